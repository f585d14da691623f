"""The desk and its store against an API server: one case for a decision, nothing lost, nothing twice, nobody waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from tests.runbook.conftest import OWN
from tests.runbook.parts import NOW, TARGET, Clock, Line, Once, case_of, cut, decision, rollout, until
from watcher.judgement.model import Decision
from watcher.runbook.case import Case, read_case
from watcher.runbook.cases import KEPT_FOR, Cases, TakenOver
from watcher.runbook.desk import Desk, Duty, Place
from watcher.runbook.lanes import Lanes
from watcher.runbook.progress import converted, record_outcome, record_try
from watcher.runbook.step import Outcome, Step
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import Connection, paths

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
    lanes: Lanes = field(default_factory=lambda: Lanes({"kubernetes": 4, "slack": 2, "pagerduty": 2, "desk": 2}))

    def desk(self, *steps: Step, writer: str = "me") -> Desk:
        """A desk with these steps."""
        self.store = Cases(self.line, OWN, writer)
        duty = Duty(lambda: self.leads[0], self.clock)
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


@pytest.fixture
def office(cluster: Connection) -> Iterator[Office]:
    """The tests' office; its cases are thrown away afterwards."""
    made = Office(Line(cluster))
    yield made
    made.rest()
    made.line.before = made.line.after = lambda method, path: None
    for name in made.stored_names():
        cluster.delete(paths.config_maps(OWN, name))


def revert_step(deed: Callable[[Case], Outcome] = lambda case: DONE) -> Scripted:
    """A stand-in for the work in the cluster, which ends the case as verified."""
    return Scripted("revert", "kubernetes", deed=lambda case: replace(deed(case), case_outcome="verified"))


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


def test_somebody_elses_case_is_adopted(office: Office) -> None:
    """Where the case is there already, theirs is gone on with, and what is done in it is not done again."""
    first = Scripted("confirm", "kubernetes")
    blocked = revert_step()
    theirs = record_outcome(record_try(case_of(), "confirm", NOW), "confirm", DONE, NOW)
    Cases(office.line, OWN, "they").open(theirs)
    desk = office.desk(first, blocked)
    desk.take(decision(said="mine"))
    office.rest()
    assert (first.runs, len(blocked.runs)) == ([], 1)
    assert office.stored().said == theirs.said


def test_a_lost_answer_to_create_is_no_second_case(office: Office) -> None:
    """When the answer to the create is lost, the next pass finds the case as its own."""
    step = revert_step()
    desk = office.desk(step)
    office.line.after = Once("create", "configmaps", cut)
    desk.take(decision())
    office.rest()
    assert step.runs == []
    desk.take(decision())
    office.rest()
    assert (len(step.runs), office.stored().outcome) == (1, "verified")


def test_a_lost_answer_to_save_goes_on(office: Office) -> None:
    """When the answer to a write is lost, the conflict with our own writing is recognised, and the case goes on."""
    steps = Scripted("confirm", "kubernetes"), replace(revert_step(), after="confirm")
    desk = office.desk(*steps)
    office.line.after = Once("replace", "configmaps", cut)
    desk.take(decision())
    office.rest()
    office.passes(desk, 2)
    assert [len(step.runs) for step in steps] == [1, 1]
    assert office.stored().outcome == "verified"


def test_an_unsaved_case_is_saved_before_anything_else(office: Office) -> None:
    """While the API server takes no write, no further step is carried out; once it does, the work goes on."""
    steps = Scripted("confirm", "kubernetes"), replace(revert_step(), after="confirm")
    desk = office.desk(*steps)

    def no_writes(method: str, path: str) -> None:
        if method == "replace":
            cut()

    office.line.before = no_writes
    desk.take(decision())
    office.rest()
    office.passes(desk, 3)
    assert [len(step.runs) for step in steps] == [1, 0]
    office.line.before = lambda method, path: None
    office.passes(desk)
    assert [len(step.runs) for step in steps] == [1, 1]


def test_a_closed_case_is_saved_in_the_end(office: Office) -> None:
    """A case that closed while the API server was down is written as closed once it is back."""
    desk = office.desk(revert_step())

    def no_writes(method: str, path: str) -> None:
        if method == "replace":
            cut()

    office.line.before = no_writes
    desk.take(decision())
    office.rest()
    office.passes(desk, 2)
    office.line.before = lambda method, path: None
    assert office.stored().is_open
    office.passes(desk, 2)
    assert (office.stored().outcome, office.stored().is_open) == ("verified", False)


def test_a_deleted_case_is_written_again(office: Office) -> None:
    """A ConfigMap that somebody deletes under an open case comes back with all that was done."""
    gate = threading.Event()
    desk = office.desk(revert_step(lambda case: DONE if gate.wait(5) else DONE))
    desk.take(decision())
    until(lambda: bool(office.stored_names()), "the case")
    office.line.inner.delete(paths.config_maps(OWN, case_of().name))
    gate.set()
    office.rest()
    assert office.stored().outcome == "verified"


def overwrite(office: Office, case: Case, writer: str) -> None:
    """Write a case as another daemon would."""
    other = Cases(Line(office.line.inner), OWN, writer)
    other.read(case.name)
    other.save(case)


def test_a_foreign_writer_takes_the_case(office: Office) -> None:
    """A case that another daemon has written is dropped, with what was not saved; nothing is written over theirs."""
    gate = threading.Event()
    step = revert_step(lambda case: DONE if gate.wait(5) else DONE)
    desk = office.desk(step)
    desk.take(decision())
    until(lambda: bool(step.runs), "the step runs")
    theirs = replace(case_of(), outcome="not-verified", closed=NOW)
    overwrite(office, theirs, "they")
    office.leads[0] = False
    gate.set()
    office.rest()
    office.passes(desk, 2)
    assert office.stored() == theirs
    assert len(step.runs) == 1


def test_a_late_write_of_an_old_leader_loses_no_case(office: Office) -> None:
    """A leader that finds its case overwritten by an old one's late answer reads it again and goes on from there."""
    gate = threading.Event()
    step = revert_step(lambda case: DONE if gate.wait(5) else DONE)
    desk = office.desk(step)
    desk.take(decision())
    until(lambda: bool(step.runs), "the step runs")
    overwrite(office, record_try(case_of(), "page", NOW), "the old leader")
    gate.set()
    office.rest()
    office.passes(desk, 2)
    assert office.stored().outcome == "verified"
    assert office.stored().step("page").attempts == 1


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
    desk.end_hold(written, "recovered")
    office.passes(desk)
    assert (office.stored(), len(office.line.changes()), step.runs) == (written, calls, [])


def test_a_hung_slack_delays_nobody_else(office: Office) -> None:
    """While every thread for Slack hangs, other cases are opened and reverted, and a pass is not held up."""
    gate = threading.Event()
    slack = Scripted("announce", "slack", write_ahead=True, deed=lambda case: DONE if gate.wait(20) else DONE)
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
        desk.end_hold(case_of("Hold"), "recovered")
        desk.advance()
        desk.acted_on()
        desk.every()
    assert time.monotonic() - begun < 0.5
    gate.set()


def test_a_step_in_flight_is_not_started_twice(office: Office) -> None:
    """However many passes and threads push a case on at once, no step of it ever runs beside itself."""
    beside: list[str] = []
    running: set[str] = set()
    lock = threading.Lock()

    def deed_of(name: str) -> Callable[[Case], Outcome]:
        def deed(case: Case) -> Outcome:
            key = f"{case.name}/{name}"
            with lock:
                if key in running:
                    beside.append(key)
                running.add(key)
            time.sleep(0.002)
            with lock:
                running.discard(key)
            return Outcome("later", {"n": time.monotonic()})

        return deed

    names = (("confirm", "kubernetes"), ("announce", "slack"), ("page", "pagerduty"))
    steps = [Scripted(name, lane, name == "announce", deed_of(name)) for name, lane in names]
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
    assert beside == []
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
    assert desk.acted_on() == {("uid-of-checkout", 2): case_of().id}


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


def test_a_restart_goes_on_where_it_was(office: Office) -> None:
    """A new desk loads the open cases and does only what is left."""
    steps = Scripted("confirm", "kubernetes"), replace(revert_step(), after="confirm")
    half = record_outcome(record_try(case_of(), "confirm", NOW), "confirm", Outcome("done", TARGET), NOW)
    Cases(office.line, OWN, "the last life").open(half)
    desk = office.desk(*steps)
    assert desk.load(NOW) == 1
    office.passes(desk)
    assert [len(step.runs) for step in steps] == [0, 1]
    assert office.stored().outcome == "verified"


def test_old_cases_are_deleted_and_new_ones_kept(office: Office) -> None:
    """Loading deletes what was closed 30 days ago; what can't be deleted, or read, keeps nobody from leading."""
    store = Cases(office.line, OWN, "me")
    for number, closed in ((2, NOW - KEPT_FOR - 1), (3, NOW - 1), (4, None)):
        case = replace(case_of(), bad=number, outcome="verified" if closed else "", closed=closed)
        store.open(case)
    labels = {"canary-watch.io/case": "open"}
    office.line.create(paths.config_maps(OWN), {"metadata": {"name": "odd", "labels": labels}, "data": {"case": "{}"}})
    office.line.before = Once("delete", "configmaps", cut)
    assert office.desk().load(NOW) == 1
    desk = office.desk()
    assert desk.load(NOW) == 1
    assert {case.bad for case in desk.every()} == {3, 4}
    assert "case-uid-of-checkout-r2" not in office.stored_names()
    assert "odd" in office.stored_names()


def test_an_unreadable_case_stops_its_rollback(office: Office) -> None:
    """Where the ConfigMap of that name holds no case, nothing is done for it, and the fault says what to do."""
    name = case_of().name
    office.line.create(paths.config_maps(OWN), {"metadata": {"name": name}, "data": {}})
    with pytest.raises(Fault, match="holds no case; delete it"):
        Cases(office.line, OWN, "me").open(case_of())
    step = revert_step()
    office.desk(step).take(decision())
    office.rest()
    assert step.runs == []


def test_the_store_keeps_writers_apart(office: Office) -> None:
    """A write over another daemon's is refused as TakenOver; over our own lost one it is carried out."""
    mine, theirs = Cases(office.line, OWN, "me"), Cases(office.line, OWN, "they")
    mine.open(case_of())
    office.line.after = Once("replace", "configmaps", cut)
    with pytest.raises(Fault):
        mine.save(replace(case_of(), said="first"))
    mine.save(replace(case_of(), said="second"))
    assert office.stored().said == "second"
    theirs.read(case_of().name)
    theirs.save(replace(case_of(), said="theirs"))
    with pytest.raises(TakenOver):
        mine.save(replace(case_of(), said="third"))
    assert office.stored().said == "theirs"
    assert mine.read(case_of().name).said == "theirs"


def test_a_conversion_survives_the_store(office: Office) -> None:
    """A case that was turned over is written and read back exactly."""
    store = Cases(office.line, OWN, "me")
    case = store.open(case_of("Hold"))
    case = converted(record_outcome(record_try(case, "page", NOW), "page", DONE, NOW), decision())
    store.save(case)
    assert store.load() == {case.name: case}
