"""`canary-watch rollback`: a person opens a case by hand; the daemon takes it through the same steps as its own."""

from __future__ import annotations

import getpass
import socket
import time
from dataclasses import dataclass, replace
from typing import TextIO

from watcher.commands.arguments import Subject
from watcher.daemon import Daemon
from watcher.judgement.model import Rollout
from watcher.judgement.rollouts import History, policies_for, rollout_of, trim_deployment, trim_replica_set
from watcher.runbook.by_hand import Order, order_of, ordered, refused, reordered, still_verified, under_way
from watcher.runbook.case import Case
from watcher.runbook.cases import Cases, TakenOver
from watcher.runbook.confirm import held_by
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import NotFound, paths

LOOK = 0.5  # seconds between two looks at the case
WRITES = 5  # attempts at turning a case over while the daemon writes it, too
LINGER = 8.0  # seconds that the rest, replies say, is waited for once the rollback has ended
TAKEN_UP_WITHIN = 20.0  # seconds, then it is said that no daemon seems to run


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says: the target's number (0: the newest good one), why, whether to wait for the end."""

    subject: Subject
    target: int
    reason: str
    wait: bool


def rollback(daemon: Daemon, asked: Asked, out: TextIO, err: TextIO) -> int:
    """Open the case and follow it; 0 once it is verified (or opened, without waiting), else 1. Raises Fault."""
    case = _open(daemon, asked, time.time())
    out.write(f"case {case.id}: revision {case.bad} is to be rolled back\n")
    out.flush()
    return _follow(daemon, case, out, err) if asked.wait else 0


def _open(daemon: Daemon, asked: Asked, now: float) -> Case:
    """Write the case, or turn over the one that this revision has; Fault says why it can't be."""
    rollout = _rollout(daemon, asked.subject, now)
    policies = policies_for(rollout, daemon.policies)
    order = order_of(asked.target, asked.reason, _who(), now)
    scales = any(p.no_earlier_revision == "scale-to-zero" for p in policies)
    cluster = daemon.settings.cluster
    store = Cases(daemon.connection, daemon.connection.namespace, f"rollback by hand, {_who()}")
    _demand(refused(rollout, order, scale_to_zero=scales))
    _demand(still_verified(store.load().values(), rollout, order))
    within = next((p.verify_within for p in policies), 600.0)
    fresh = replace(ordered(rollout, (cluster.name, cluster.region), order), verify_within=within)
    known = store.open(fresh)
    return known if known is fresh else _turned_over(store, known, order, rollout)


def _turned_over(store: Cases, known: Case, order: Order, rollout: Rollout) -> Case:
    """Turn over the case that the revision has, of which the daemon may be writing."""
    for _ in range(WRITES):
        _demand(under_way(known))
        case = reordered(known, order, rollout)
        try:
            store.save(case)
        except TakenOver:
            known = store.read(known.name)
        else:
            return case
    raise Fault("canary-watch", f"case {known.id} is being written by the daemon all the time; try again")


def _demand(why_not: str) -> None:
    if why_not:
        raise Fault("canary-watch", why_not, lasting=True)


def _rollout(daemon: Daemon, subject: Subject, now: float) -> Rollout:
    """The Deployment's newest rollout, from the API server itself; Fault where a pause holds it."""
    connection = daemon.connection
    try:
        deployment = connection.get(paths.deployments(subject.namespace, subject.deployment))
    except NotFound:
        raise Fault("Kubernetes", f"there is no Deployment {subject} on {connection.server}") from None
    held = held_by(connection, deployment, dict.fromkeys((subject.namespace, connection.namespace)), now)
    if held:
        raise Fault(
            "canary-watch", f"{held}; resume it first, a pause holds what is ordered by hand, too", lasting=True
        )
    listed = connection.get(paths.replica_sets(subject.namespace))
    small = trim_deployment(deployment)
    history = History([small], [trim_replica_set(item) for item in listed.get("items") or []])
    owned = history.of(small)
    if not owned:
        raise Fault("canary-watch", f"{subject} has no revision yet", lasting=True)
    return rollout_of(small, owned, None)


def _follow(daemon: Daemon, opened: Case, out: TextIO, err: TextIO) -> int:
    """Tell each step's end until the rollback has ended, and the rest for a while. The case goes on without us.

    What is written about it afterwards may wait for a vendor that is away, for a day.
    """
    store = Cases(daemon.connection, daemon.connection.namespace, "")
    begun, told, warned, ended = time.monotonic(), set[tuple[str, str]](), False, 0.0
    while True:
        case = _read(store, opened.name, err)
        _tell(case, told, out)
        ended = (ended or time.monotonic()) if case.outcome else 0.0
        if case.closed is not None or (case.outcome and time.monotonic() - ended > LINGER):
            rest = "is closed" if case.closed is not None else "has ended, what is left to write goes on"
            out.write(f"case {case.id} {rest}: {case.outcome}\n")
            return 0 if case.outcome == "verified" else 1
        if case == opened and not warned and time.monotonic() - begun > TAKEN_UP_WITHIN:
            warned = True
            where = f"is one running that has its cases in Namespace {daemon.connection.namespace}?"
            err.write(f"canary-watch: no daemon has taken the case up yet; {where} It waits for 10 minutes.\n")
            err.flush()
        time.sleep(LOOK)


def _tell(case: Case, told: set[tuple[str, str]], out: TextIO) -> None:
    """Write what each step came to that is not in `told` yet, and add it there."""
    for step, record in case.steps.items():
        said = record.error or ("" if record.state == "done" else record.state)
        if (record.over or record.error) and (step, said) not in told:
            told.add((step, said))
            out.write(f"{step}: {record.error or record.state}\n")
            out.flush()


def _read(store: Cases, name: str, err: TextIO) -> Case:
    """Read the case, and wait for an API server that is away: the daemon waits for it, too."""
    said = ""
    while True:
        try:
            return store.read(name)
        except Fault as fault:
            if fault.lasting or isinstance(fault, NotFound):
                raise
            if fault.said != said:
                err.write(f"canary-watch: {fault}; the case goes on, it is looked at again\n")
                err.flush()
            said = fault.said
        time.sleep(LOOK)


def _who() -> str:
    """Name who gives the order, as far as this machine knows."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):  # no such user in a container
        return socket.gethostname()
