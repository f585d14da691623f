"""The desk: it opens cases for decisions, and advances every open case by what it can do now.

One step of one case at a time in its lane; the outcome is written to the case's ConfigMap before the next step begins.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from watcher.judgement.model import Decision
from watcher.runbook.case import Case, StepRecord, case_name, grounds, open_case
from watcher.runbook.cases import Cases, TakenOver
from watcher.runbook.duty import Duty
from watcher.runbook.lanes import Lanes
from watcher.runbook.progress import (
    barred,
    busy,
    closed_if_over,
    converted,
    may_recover,
    record_outcome,
    record_try,
    same_again,
    startable,
    unsettled,
)
from watcher.runbook.step import Outcome, Step
from watcher.systems.fault import Fault
from watcher.systems.kubernetes.faults import NotFound

LOG = logging.getLogger("canary-watch.runbook")


@dataclass(frozen=True, slots=True)
class Place:
    """The cluster's name and region, which every case carries."""

    cluster: str
    region: str


class Desk:
    """Every open case of this cluster, in memory as in its ConfigMap."""

    def __init__(self, cases: Cases, steps: Sequence[Step], lanes: Lanes, duty: Duty, place: Place) -> None:
        self._store = cases
        self._steps = {step.name: step for step in steps}
        self._lanes = lanes
        self._duty = duty
        self._place = place
        self._cases: dict[str, Case] = {}
        self._unsaved: set[str] = set()
        self._outdated: set[str] = set()
        self._locks: dict[str, threading.RLock] = {}
        self._table = threading.Lock()

    def load(self, now: float, *, prune: bool = True) -> int:
        """Read all cases from the cluster, as a new leader must; how many are open. Raises Fault.

        `prune` deletes those that were closed long ago.
        """
        found = self._store.load()
        try:
            for name in self._store.prune(found, now) if prune else ():
                del found[name]
        except Fault as fault:
            LOG.warning("old cases can't be deleted: %s", fault)
        with self._table:
            self._cases, self._unsaved, self._outdated = dict(found), set(), set()
        return sum(1 for case in found.values() if case.is_open)

    def every(self) -> tuple[Case, ...]:
        """All cases known, open and closed."""
        with self._table:
            return tuple(self._cases.values())

    def acted_on(self) -> Mapping[tuple[str, int], str]:
        """The revisions about which nothing is left to decide: the id of each one's case, by rollout."""
        return {(c.uid, c.bad): c.id for c in self.every() if not unsettled(c)}

    def barred(self) -> Mapping[tuple[str, int], tuple[str, str]]:
        """The rollouts whose case found that they must not be taken back: the reason's name and its words."""
        return {(c.uid, c.bad): why for c in self.every() if (why := barred(c))}

    def taken_back(self) -> Mapping[tuple[str, str], tuple[str, int]]:
        """The ReplicaSets (by the Deployment's UID and name) that were rolled back: the case's id and its revision."""
        ordered = sorted((c for c in self.every() if c.rolled_back), key=lambda case: case.opened)
        return {(c.uid, c.bad_replica_set): (c.id, c.bad) for c in ordered}

    def notice(self, config_maps: Iterable[Mapping[str, Any]]) -> None:
        """Take up what another hand has written: a rollback that a person ordered."""
        for config_map in config_maps:
            if self._store.written_by_another(config_map):
                self._outdated.add(config_map["metadata"]["name"])

    def rollbacks_since(self, moment: float) -> tuple[str, ...]:
        """The Deployment (by UID) of each rollback made since `moment`, epoch seconds."""
        made = ((c.uid, c.step("revert").finished or c.opened) for c in self.every() if c.rolled_back)
        return tuple(uid for uid, at in made if at >= moment)

    def take(self, decision: Decision) -> None:
        """Bring the case of a decision up to date: open it, permit its rollback, turn it over, or end it.

        What takes a request is done in a lane: the pass goes on.
        """
        name = case_name(decision.rollout.uid, decision.rollout.new.number)
        known = self._get(name)
        if decision.action == "RollBack":
            self._duty.decided(name)
        elif decision.reason != "unknown":  # which says nothing against the decision, while it is fresh
            self._duty.withdraw(name)
        if decision.action == "KeepWatching":
            if known and known.is_open and decision.reason == "healthy" and may_recover(known):
                self.end(known, "recovered")
        elif known is None:
            self._in_lane(name, "open", lambda: self._open(decision))
        elif unsettled(known) and (known.outcome or (known.action, known.reason) != (decision.action, decision.reason)):
            self._in_lane(name, "turn", lambda: self._turn(decision))

    def end(self, case: Case, outcome: str) -> None:
        """Say that a hold, or a rollback not made yet, is over: recovered, superseded or watch-ended."""

        def end() -> None:
            with self._lock_of(case.name):
                current = self._get(case.name) if self._duty.leading() else None
                if current and current.is_open and unsettled(current) and not current.outcome and not busy(current):
                    self._keep(replace(current, outcome=outcome))
            self._advance_case(case.name)

        if unsettled(case):
            self._in_lane(case.name, "end", end)

    def _in_lane(self, name: str, what: str, work: Callable[[], None]) -> None:
        self._lanes.submit("kubernetes", (name, what), lambda: self._guarded(name, work))

    def advance(self) -> None:
        """Start in its lane whatever can be done now for each open case."""
        waiting = {case.name for case in self.every() if case.is_open or case.name in self._unsaved}
        for name in waiting | set(self._outdated):
            self._submit_advance(name)

    def _submit_advance(self, name: str) -> None:
        self._lanes.submit("desk", (name, "advance"), lambda: self._guarded(name, lambda: self._advance_case(name)))

    def _open(self, decision: Decision) -> None:
        name = case_name(decision.rollout.uid, decision.rollout.new.number)
        with self._lock_of(name):
            if self._get(name) is not None or not self._duty.leading():
                return
            made = open_case(decision, (self._place.cluster, self._place.region), self._duty.clock())
            case = self._store.open(replace(made, incident=self._incident_of(decision)))
            self._put(case)
        LOG.warning("case %s opened: %s (%s): %s", case.id, case.action, case.reason, case.said)
        self._advance_case(case.name)

    def _incident_of(self, decision: Decision) -> str:
        """A revision that was put back goes on with the incident of its rollback, rather than be paged twice.

        Not with one that is about to be resolved.
        """
        if decision.reason != "put-back":
            return ""
        former, _ = self.taken_back().get((decision.rollout.uid, decision.rollout.new.replica_set), ("", 0))
        found = next((case for case in self.every() if case.id == former), None)
        resolving = found is not None and found.outcome == "verified" and found.is_open
        return "" if found is None or resolving else found.incident_key

    def _turn(self, decision: Decision) -> None:
        """Turn a case over to what is decided now. A hold whose reason alone has changed says so, and pages nobody."""
        name = case_name(decision.rollout.uid, decision.rollout.new.number)
        with self._lock_of(name):
            known = self._get(name)
            if known is None or not unsettled(known) or busy(known) or not self._duty.leading():
                return
            if known.action == decision.action and not known.outcome:
                verdict = grounds(decision.verdict) if decision.verdict else {}
                case = replace(known, reason=decision.reason, said=decision.said, **verdict)
            else:
                case = converted(known, decision)
            self._keep(case)
        LOG.warning("case %s is now: %s (%s): %s", case.id, case.action, case.reason, case.said)
        self._advance_case(name)

    def _advance_case(self, name: str) -> None:
        now, steps = self._duty.clock(), tuple(self._steps.values())
        with self._lock_of(name):
            if not self._duty.leading():
                return
            self._read_again(name)
            case = self._get(name)
            if case is None:
                return
            settled = closed_if_over(case, steps, now)
            if settled is not case or name in self._unsaved:
                self._keep(settled)
            if settled.closed is not None and case.closed is None:
                LOG.info("case %s closed: %s", settled.id, settled.outcome)
            if name in self._unsaved or not settled.is_open:
                return
        for step in startable(settled, steps, now):
            self._submit(name, step)

    def _read_again(self, name: str) -> None:
        """Read a case that another hand wrote; one that is deleted again is no longer waited for."""
        if name in self._outdated:
            with contextlib.suppress(NotFound):
                self._put(self._store.read(name))
            self._outdated.discard(name)

    def _submit(self, name: str, step: Step) -> None:
        attempt = lambda: self._guarded(name, lambda: self._attempt(name, step))  # noqa: E731 - two layers of delay
        self._lanes.submit(step.lane, (name, step.name), attempt)

    def _guarded(self, name: str, work: Callable[[], None]) -> None:
        """Do a piece of a case's work in a lane. Whatever comes of it, the case and the lane go on."""
        try:
            work()
        except TakenOver as fault:
            LOG.warning("%s; if this one still leads, it goes on from what is written there", fault.said)
            self._outdated.add(name)
        except Fault as fault:
            LOG.warning("case %s: %s; it is tried again next pass", name, fault)
        except Exception:
            LOG.exception("work on case %s failed in a way that was not foreseen", name)

    def _attempt(self, name: str, step: Step) -> None:
        with self._lock_of(name):
            case, now = self._get(name), self._duty.clock()
            if case is None or not case.is_open or name in self._unsaved or name in self._outdated:
                return
            if not self._duty.leading() or not startable(case, [step], now):
                return
            case = record_try(case, step.name, now)
            if step.write_ahead:
                self._store.save(case)
            self._put(case)
        try:
            outcome: Outcome | Fault | str = step.carry_out(case, now)
        except Fault as fault:
            outcome = fault
        except Exception:
            LOG.exception("case %s: %s failed in a way that was not foreseen", case.id, step.name)
            outcome = "an error of canary-watch itself; its log has the traceback"
        self._finish(name, step, outcome, case.step(step.name))

    def _finish(self, name: str, step: Step, outcome: Outcome | Fault | str, begun: StepRecord) -> None:
        """Write down what came of the attempt recorded as `begun`, unless the case was turned over meanwhile."""
        now = self._duty.clock()
        with self._lock_of(name):
            before = self._get(name)
            if before is not None and before.step(step.name) == begun:
                case = record_outcome(before, step.name, outcome, now)
                if case.action == before.action and same_again(begun, case.step(step.name)):
                    self._put(case)
                else:
                    _log(case, step.name, outcome)
                    self._keep(case)
        self._advance_case(name)

    def _keep(self, case: Case) -> None:
        """Hold the case in memory and write it; where that fails, it is written before anything else is done."""
        self._put(case)
        try:
            self._store.save(case)
            self._unsaved.discard(case.name)
        except TakenOver:
            raise
        except Fault as fault:
            self._unsaved.add(case.name)
            LOG.warning("case %s could not be written yet: %s", case.id, fault.said)

    def _get(self, name: str) -> Case | None:
        with self._table:
            return self._cases.get(name)

    def _put(self, case: Case) -> None:
        with self._table:
            self._cases[case.name] = case

    def _lock_of(self, name: str) -> threading.RLock:
        with self._table:
            return self._locks.setdefault(name, threading.RLock())


def _log(case: Case, step: str, outcome: Outcome | Fault | str) -> None:
    record = case.step(step)
    if isinstance(outcome, Outcome):
        LOG.info("case %s: %s %s: %s", case.id, step, record.state, outcome.said)
    else:
        LOG.warning("case %s: %s failed, attempt %d: %s", case.id, step, record.attempts, record.error)
