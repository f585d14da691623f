"""The office: a desk with lanes, a clock and a line to a cluster, and steps that do what they are told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.runbook.parts import OWN, Clock, Line, until
from watcher.runbook.case import Case, read_case
from watcher.runbook.cases import Cases
from watcher.runbook.desk import Desk, Place
from watcher.runbook.duty import Duty
from watcher.runbook.lanes import WORKERS, Lanes
from watcher.runbook.step import Outcome, Step
from watcher.systems.kubernetes import paths

DONE = Outcome("done", {"to": 1})


@dataclass
class Scripted:
    """A step that is due until it is over and comes to what it is told to: a `Step` like any other."""

    name: str
    lane: str
    write_ahead: bool = False
    deed: Callable[[Case], Outcome] = lambda case: DONE
    after: str = ""
    runs: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def due(self, case: Case) -> bool:
        """After the step that it waits for."""
        ready = not self.after or case.step(self.after).over
        return ready and not case.step(self.name).over

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Do the deed."""
        with self.lock:
            self.runs.append(case.name)
        return self.deed(case)


@dataclass
class Office:
    """A desk with all that it works with."""

    line: Line
    clock: Clock = field(default_factory=Clock)
    leads: list[bool] = field(default_factory=lambda: [True])
    lanes: Lanes = field(default_factory=lambda: Lanes(WORKERS))

    def desk(self, *steps: Step, writer: str = "me") -> Desk:
        """A desk with these steps."""
        self.store = Cases(self.line, OWN, writer)
        duty = Duty(lambda: self.leads[0], self.clock, 60.0)
        return Desk(self.store, steps, self.lanes, duty, Place("prod", "us-east-1"))

    def rest(self) -> None:
        """Wait until nothing is queued or under way."""
        until(lambda: self.lanes.busy() == 0, "the lanes are empty")

    def stored(self, name: str = "case-uid-of-checkout-r2") -> Case:
        """The case as it is in the cluster."""
        return read_case(self.line.inner.get(paths.config_maps(OWN, name))["data"]["case"])

    def stored_names(self) -> list[str]:
        """Every case's ConfigMap."""
        return [item["metadata"]["name"] for item in self.line.inner.get(paths.config_maps(OWN))["items"]]

    def passes(self, desk: Desk, count: int = 1) -> None:
        """As many passes as wanted, a minute apart, each waited for."""
        for _ in range(count):
            self.clock.now += 61.0
            desk.advance()
            self.rest()


def revert_step(deed: Callable[[Case], Outcome] = lambda case: DONE) -> Scripted:
    """A stand-in for the work in the cluster, which ends the case as verified."""
    return Scripted("revert", "kubernetes", deed=lambda case: replace(deed(case), case_outcome="verified"))


def waiting_for(gate: threading.Event) -> Callable[[Case], Outcome]:
    """A deed that takes until the gate opens."""

    def deed(case: Case) -> Outcome:
        assert gate.wait(20)
        return DONE

    return deed


def overwrite(office: Office, case: Case, writer: str) -> None:
    """Write a case as another daemon would."""
    other = Cases(Line(office.line.inner), OWN, writer)
    other.read(case.name)
    other.save(case)
