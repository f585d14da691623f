"""The desk: it opens cases for decisions, and advances every open case by what it can do now.

One step of one case at a time in its lane; the outcome is written to the case's ConfigMap before the next step begins.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from watcher.judgement.model import Decision
from watcher.runbook.case import Case, StepRecord, case_name, open_case
from watcher.runbook.cases import Cases, TakenOver
from watcher.runbook.lanes import Lanes
from watcher.runbook.progress import closed_if_over, converted, record_outcome, record_try, startable
from watcher.runbook.step import Outcome, Step
from watcher.systems.fault import Fault

LOG = logging.getLogger("canary-watch.runbook")


@dataclass(frozen=True, slots=True)
class Place:
    """The cluster's name and region, which every case carries."""

    cluster: str
    region: str


@dataclass(frozen=True, slots=True)
class Duty:
    """When work may be done: `leading` is asked before every change, `clock` gives epoch seconds."""

    leading: Callable[[], bool]
    clock: Callable[[], float]


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
        """The revisions that were acted on, by rollout; a hold has acted on nothing."""
        return {(c.uid, c.bad): c.id for c in self.every() if c.action != "Hold"}

    def rollbacks_since(self, moment: float) -> tuple[str, ...]:
        """The Deployment (by UID) of each rollback decided since `moment`, epoch seconds; not of overtaken ones."""
        every = (c for c in self.every() if c.action == "RollBack" and (c.outcome != "overtaken" or c.rolled_back))
        return tuple(c.uid for c in every if (c.step("revert").first_try or c.opened) >= moment)

    def take(self, decision: Decision) -> None:
        """Have the case of a decision opened, or its hold brought up to date, in a lane: the pass goes on."""
        rollout = decision.rollout
        name = case_name(rollout.uid, rollout.new.number)
        known = self._get(name)
        held = known is not None and known.action == "Hold"
        if decision.action == "KeepWatching":
            if known and held and known.is_open and decision.reason == "healthy":
                self.end_hold(known, "recovered")
        elif known is None:
            self._lanes.submit("kubernetes", (name, "open"), lambda: self._guarded(name, lambda: self._open(decision)))
        elif held and (known.action != decision.action or known.outcome):
            self._lanes.submit(
                "kubernetes", (name, "open"), lambda: self._guarded(name, lambda: self._convert(decision))
            )

    def end_hold(self, case: Case, outcome: str) -> None:
        """Say that a hold is over: recovered, superseded or watch-ended."""
        name = case.name

        def end() -> None:
            with self._lock_of(name):
                current = self._get(name) if self._duty.leading() else None
                if current and current.is_open and current.action == "Hold" and not current.outcome:
                    self._keep(replace(current, outcome=outcome))
            self._advance_case(name)

        self._lanes.submit("kubernetes", (name, "end"), lambda: self._guarded(name, end))

    def advance(self) -> None:
        """Start in its lane whatever can be done now for each open case."""
        for case in self.every():
            if case.is_open or case.name in self._unsaved or case.name in self._outdated:
                self._submit_advance(case.name)

    def _submit_advance(self, name: str) -> None:
        self._lanes.submit("desk", (name, "advance"), lambda: self._guarded(name, lambda: self._advance_case(name)))

    def _open(self, decision: Decision) -> None:
        name = case_name(decision.rollout.uid, decision.rollout.new.number)
        with self._lock_of(name):
            if self._get(name) is not None or not self._duty.leading():
                return
            case = self._store.open(open_case(decision, (self._place.cluster, self._place.region), self._duty.clock()))
            self._put(case)
        LOG.warning("case %s opened: %s (%s): %s", case.id, case.action, case.reason, case.said)
        self._advance_case(case.name)

    def _convert(self, decision: Decision) -> None:
        name = case_name(decision.rollout.uid, decision.rollout.new.number)
        with self._lock_of(name):
            known = self._get(name)
            if known is None or known.action != "Hold" or not self._duty.leading():
                return
            case = converted(known, decision)
            self._keep(case)
        LOG.warning("case %s was held and is now: %s (%s): %s", case.id, case.action, case.reason, case.said)
        self._advance_case(name)

    def _advance_case(self, name: str) -> None:
        now, steps = self._duty.clock(), tuple(self._steps.values())
        with self._lock_of(name):
            if not self._duty.leading():
                return
            if name in self._outdated:
                self._put(self._store.read(name))
                self._outdated.discard(name)
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
                if case.action == before.action and _same_again(begun, case.step(step.name)):
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


def _same_again(before: StepRecord, after: StepRecord) -> bool:
    """A step looked again and saw the same: nothing that is worth writing down."""
    waits = after.state == "waiting" and not after.error and not before.error
    return waits and after.result == before.result


def _log(case: Case, step: str, outcome: Outcome | Fault | str) -> None:
    record = case.step(step)
    if isinstance(outcome, Outcome):
        LOG.info("case %s: %s %s: %s", case.id, step, record.state, outcome.said)
    else:
        LOG.warning("case %s: %s failed, attempt %d: %s", case.id, step, record.attempts, record.error)
