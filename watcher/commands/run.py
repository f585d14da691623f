"""`canary-watch run`: start the daemon, make passes, and end within two seconds of SIGTERM."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time

from watcher import loop
from watcher.daemon import Daemon

LOG = logging.getLogger("canary-watch")
READY = 30.0  # seconds that `--once` waits for the cluster's first lists
SETTLE = 60.0  # seconds that `--once` gives the steps that its pass started


def run(daemon: Daemon, *, once: bool) -> int:
    """Run until SIGTERM or SIGINT, or for one pass; the exit code."""
    told = threading.Event()

    def end(_number: int, _frame: object) -> None:
        told.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    settings, what = daemon.settings, "a dry run: nothing is changed" if daemon.dry_run else "in earnest"
    said = "canary-watch for %s (%s): %d policies, a pass every %g s, %s"
    LOG.info(said, settings.cluster.name, daemon.connection.server, len(daemon.policies), settings.interval, what)
    daemon.start()
    if once:
        return _once(daemon)
    rhythm = loop.Rhythm(settings.interval, time.time, daemon.stop)
    threading.Thread(target=loop.run, args=(daemon.turn, rhythm), name="passes", daemon=True).start()
    told.wait()
    LOG.info("told to end; what is under way goes on from the cases at the next start")
    daemon.end()
    _leave(0)
    return 0


def _once(daemon: Daemon) -> int:
    """Make one pass, let what it started come to rest, and say what it saw."""
    missing = daemon.wait_ready(READY)
    if missing or not daemon.lease.wait_leading(READY):
        why = missing or f"{daemon.lease.holder or 'nobody'} holds the Lease, and this daemon could not get it"
        sys.stderr.write(f"canary-watch: no pass was made: {why}\n")
        daemon.end()
        return 1
    sys.stdout.write(daemon.turn(time.time()) + "\n")
    latest = time.monotonic() + SETTLE
    while daemon.lanes.busy() and time.monotonic() < latest:
        daemon.stop.wait(0.05)
    daemon.end()
    return 0


def _leave(code: int) -> None:
    """End now: threads that wait for a hung system are not waited for, which the interpreter would do for some."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
