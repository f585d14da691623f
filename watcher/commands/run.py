"""`canary-watch run`: start the daemon, make passes, and end within two seconds of SIGTERM."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time

from watcher import loop
from watcher.commands.ending import Ending
from watcher.daemon import Daemon
from watcher.systems.fault import Fault

LOG = logging.getLogger("canary-watch")
FIRST = 5.0  # seconds that the first turn waits to know the cluster and to lead, rather than lose an interval
READY = 30.0  # seconds that `--once` waits for the cluster's first lists, and for the Lease
SETTLE = 60.0  # seconds that `--once` gives the steps that its pass started


def run(daemon: Daemon, ending: Ending, *, once: bool) -> int:
    """Run until told to end, or for one pass. The process ends here, so that no hung thread is waited for."""
    settings, what = daemon.settings, "a dry run: nothing is changed or sent" if daemon.dry_run else "in earnest"
    said = "watching %s (%s, own Namespace %s) by policies %s; a pass every %g s; %s"
    where = (settings.cluster.name, daemon.connection.server, daemon.connection.namespace)
    LOG.info(said, *where, ", ".join(policy.name for policy in daemon.policies), settings.interval, what)
    code = _once(daemon, ending) if once else _until_told(daemon, ending)
    daemon.end()
    _leave(code)
    return code


def _until_told(daemon: Daemon, ending: Ending) -> int:
    """Make passes in a thread of their own until told to end."""
    daemon.start()
    threading.Thread(target=_passes, args=(daemon, ending), name="passes", daemon=True).start()
    ending.told.wait()
    LOG.info("told to end; what is under way goes on from the cases at the next start")
    return 0


def _passes(daemon: Daemon, ending: Ending) -> None:
    ending.wait_for(lambda: daemon.view.ready() and daemon.lease.leading(), FIRST)
    loop.run(daemon.turn, loop.Rhythm(daemon.settings.interval, time.time, daemon.stop))


def _once(daemon: Daemon, ending: Ending) -> int:
    """Make one pass, let what it started come to rest, and say what it saw; 1 where no pass could be made."""
    ending.code = 1
    try:
        said = _one_pass(daemon, ending)
    except Fault as fault:
        why = "told to end" if ending.told.is_set() else fault
        with contextlib.suppress(OSError):
            sys.stderr.write(f"canary-watch: no pass was made: {why}\n")
        return 1
    ending.code = 0
    with contextlib.suppress(OSError):  # whoever read it has gone
        sys.stdout.write(f"{said}\n")
    ending.wait_for(lambda: not daemon.lanes.busy(), SETTLE)
    left = [case.id for case in daemon.desk.every() if case.is_open]
    if left and not daemon.dry_run:
        LOG.warning("left open, for the next pass to go on with: %s", ", ".join(left))
    return 0


def _one_pass(daemon: Daemon, ending: Ending) -> str:
    """Make a pass once the cluster is known and the Lease is held; raise Fault where that doesn't come."""
    daemon.desk.load(time.time(), prune=False)  # a cluster that can't be read says so at once, not when time is up
    daemon.start()
    if not ending.wait_for(daemon.view.ready, READY):
        raise Fault("Kubernetes", daemon.wait_ready(0.0))
    if not ending.wait_for(daemon.lease.leading, READY):
        holder = f"{daemon.lease.holder or 'nobody'} holds the Lease {daemon.lease_name}"
        why = daemon.lease.last_error or "end that daemon first, or look with `canary-watch status`"
        raise Fault("Kubernetes", f"{holder}; {why}")
    return daemon.one_pass(time.time()).said


def _leave(code: int) -> None:
    """End now: threads that wait for a hung system are not waited for, which the interpreter would do for some."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # a pipe whose reader has gone
            stream.flush()
    os._exit(code)
