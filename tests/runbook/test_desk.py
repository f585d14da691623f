"""The desk: one case for a decision, each step once at a time, and nobody waited for."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable

import pytest

from tests.runbook.office import DONE, Office, Scripted, revert_step, waiting_for
from tests.runbook.parts import NOW, OWN, Once, case_of, cut, decision, rollout, until
from watcher.judgement.model import Decision
from watcher.runbook.case import Case
from watcher.runbook.cases import Cases
from watcher.runbook.step import Outcome


def test_the_same_decision_twice_is_one_case(office: Office) -> None:
    """However often a decision is handed in, one case is opened and its work done once."""
    step = revert_step()
    desk = office.desk(step)
    for _ in range(20):
        desk.take(decision())
    office.rest()
    desk.take(decision())
    office.rest()
    assert office.stored_names() == ["case-uid-of-checkout-r2"]
    assert step.runs == ["case-uid-of-checkout-r2"]
    assert office.stored().outcome == "verified"
    assert not office.stored().is_open


def test_the_case_is_written_before_anything_is_done(office: Office) -> None:
    """When a step runs, the case is already in the cluster."""
    seen: list[Case] = []

    def look(case: Case) -> Outcome:
        seen.append(office.stored())
        return DONE

    office.desk(revert_step(look)).take(decision())
    office.rest()
    assert [case.id for case in seen] == [case_of().id]


def test_a_step_with_a_bug_is_recorded_and_retried(office: Office) -> None:
    """An exception that nobody foresaw is written down and tried again; the lane and the other cases live on."""
    outcomes: list[Callable[[], Outcome]] = [lambda: DONE]

    def deed(case: Case) -> Outcome:
        if len(step.runs) <= 6:
            raise ZeroDivisionError("not foreseen")
        return outcomes[0]()

    step = revert_step(deed)
    desk = office.desk(step)
    desk.take(decision())
    office.rest()
    assert "an error of canary-watch itself" in office.stored().step("revert").error
    office.passes(desk, 6)
    assert (len(step.runs), office.stored().outcome) == (7, "verified")


def test_not_leading_does_nothing(office: Office) -> None:
    """Without the Lease nothing is opened, advanced, converted or ended."""
    step = revert_step()
    desk = office.desk(step)
    office.leads[0] = False
    desk.take(decision())
    office.rest()
    assert (office.stored_names(), step.runs) == ([], [])
    Cases(office.line, OWN, "they").open(case_of("Hold"))
    desk.load(NOW)
    written = office.stored()
    calls = len(office.line.changes())
    desk.take(decision())
    desk.end(written, "recovered")
    office.passes(desk)
    assert (office.stored(), len(office.line.changes()), step.runs) == (written, calls, [])


def test_a_hung_slack_delays_nobody_else(office: Office) -> None:
    """While every thread for Slack hangs, other cases are opened and reverted, and a pass is not held up."""
    gate = threading.Event()
    slack = Scripted("announce", "slack", write_ahead=True, deed=waiting_for(gate))
    revert = Scripted("revert", "kubernetes")
    desk = office.desk(slack, revert)
    begun = time.monotonic()
    for number in range(2, 12):
        desk.take(decision(about=rollout(number)))
        desk.advance()
    handed_in = time.monotonic() - begun
    until(lambda: len(set(revert.runs)) == 10, "all ten are reverted")
    assert handed_in < 0.5
    assert not gate.is_set()
    gate.set()


def test_a_pass_never_waits_for_the_api_server(office: Office) -> None:
    """Taking decisions, advancing, and looking at the cases return at once while the API server hangs."""
    gate, waiting = threading.Event(), threading.Event()
    desk = office.desk(revert_step())

    def hang(method: str, path: str) -> None:
        waiting.set()
        gate.wait(20)

    desk.take(decision("Hold", "paused"))
    office.rest()
    office.line.before = hang
    desk.take(decision())
    assert waiting.wait(5)
    begun = time.monotonic()
    for _ in range(50):
        desk.take(decision())
        desk.take(decision(about=rollout(7)))
        desk.end(case_of("Hold"), "recovered")
        desk.advance()
        desk.acted_on()
        desk.every()
    assert time.monotonic() - begun < 0.5
    gate.set()


class Counting:
    """Deeds that take a moment and note when one runs beside itself."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[str] = set()
        self.beside: list[str] = []

    def deed(self, case: Case, name: str) -> Outcome:
        """Run for a moment."""
        key = f"{case.name}/{name}"
        with self._lock:
            if key in self._running:
                self.beside.append(key)
            self._running.add(key)
        time.sleep(0.002)
        with self._lock:
            self._running.discard(key)
        return Outcome("later", {"n": time.monotonic()})


def test_a_step_in_flight_is_not_started_twice(office: Office) -> None:
    """However many passes and threads push a case on at once, no step of it ever runs beside itself."""
    counting = Counting()
    names = (("confirm", "kubernetes"), ("announce", "slack"), ("page", "pagerduty"))
    steps = [
        Scripted(name, lane, name == "announce", functools.partial(counting.deed, name=name)) for name, lane in names
    ]
    desk = office.desk(*steps)
    for number in range(2, 5):
        desk.take(decision(about=rollout(number)))
    stop = time.monotonic() + 1.0

    def push() -> None:
        while time.monotonic() < stop:
            office.clock.now += 1.0
            desk.advance()
            time.sleep(0.001)

    threads = [threading.Thread(target=push) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    office.rest()
    assert counting.beside == []
    assert all(len(step.runs) > 20 for step in steps)
    for case in desk.every():
        assert office.stored(case.name).step("announce").attempts == case.step("announce").attempts


def test_write_ahead_is_in_the_cluster_first(office: Office) -> None:
    """A step that can't be repeated blindly is recorded as tried before it is; where that fails, it is not tried."""
    seen: list[int] = []

    def deed(case: Case) -> Outcome:
        seen.append(office.stored().step("announce").attempts)
        return DONE

    step = Scripted("announce", "slack", write_ahead=True, deed=deed)
    desk = office.desk(step)
    office.line.before = Once("replace", "configmaps", cut)
    desk.take(decision())
    office.rest()
    assert seen == []
    office.passes(desk)
    assert seen == [1]


def test_the_message_does_not_wait_for_the_next_pass(office: Office) -> None:
    """A step that looks again later (the page, for its link) lets those that wait for its first attempt begin."""

    def later(case: Case) -> Outcome:
        return Outcome("later", {"paged": "RollBack"})

    page = Scripted("page", "pagerduty", deed=later)
    announce = Scripted("announce", "slack")
    announce.due = lambda case: case.step("page").tried and not case.step("announce").over  # type: ignore[method-assign]
    office.desk(page, announce).take(decision())
    office.rest()
    assert (len(page.runs), len(announce.runs)) == (1, 1)


def test_an_outcome_from_before_a_turn_is_dropped(office: Office) -> None:
    """What an attempt for the hold comes to is not taken for the rollback's that the case has become meanwhile."""
    gate = threading.Event()
    first = [True]

    def deed(case: Case) -> Outcome:
        if first.pop() if first else False:
            gate.wait(5)
        return Outcome("done", {"paged": case.action})

    page = Scripted("page", "pagerduty", deed=deed)
    desk = office.desk(page)
    desk.take(decision("Hold", "paused"))
    until(lambda: bool(page.runs), "the hold's page")
    desk.take(decision("RollBack"))
    until(lambda: office.stored().action == "RollBack", "the case has turned")
    gate.set()
    office.rest()
    office.passes(desk)
    assert office.stored().result("page", "paged") == "RollBack"


@pytest.mark.parametrize("said", ["RollBack", "Escalate"])
def test_a_hold_is_converted_once(office: Office, said: str) -> None:
    """A hold whose pause ends becomes what is decided then, in the same case; decided again, it stays."""
    desk = office.desk()
    desk.take(decision("Hold", "paused"))
    office.rest()
    assert desk.acted_on() == {}
    again: Decision = decision("RollBack") if said == "RollBack" else decision("Escalate", "no-earlier-revision")
    for _ in range(3):
        desk.take(again)
        office.rest()
    assert office.stored().action == said
    assert office.stored_names() == [case_of().name]
    done = {} if said == "RollBack" else {("uid-of-checkout", 2): case_of().id}
    assert desk.acted_on() == done, "until it is made, each pass decides a rollback anew"


def test_a_hold_ends_in_health(office: Office) -> None:
    """Healthy again, the hold is recovered and closes; a verdict that is merely not bad does not end it."""
    desk = office.desk()
    desk.take(decision("Hold", "paused"))
    office.rest()
    desk.take(decision("KeepWatching", "unknown"))
    office.rest()
    assert office.stored().is_open
    desk.take(decision("KeepWatching", "healthy"))
    office.rest()
    assert (office.stored().outcome, office.stored().is_open) == ("recovered", False)


def test_a_breach_after_recovery_opens_the_case_again(office: Office) -> None:
    """A hold that recovered and breaches once more is the same case, open again."""
    desk = office.desk()
    for each in (decision("Hold", "paused"), decision("KeepWatching", "healthy"), decision("Hold", "paused")):
        desk.take(each)
        office.rest()
    assert (office.stored().outcome, office.stored().is_open) == ("", True)
