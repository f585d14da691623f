"""Cases in their ConfigMaps: nothing lost when the API server fails, nothing written over another daemon's."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tests.runbook.office import DONE, Office, Scripted, overwrite, revert_step, waiting_for
from tests.runbook.parts import NOW, OWN, TARGET, Once, case_of, cut, decision, until
from watcher.runbook.cases import KEPT_FOR, Cases, TakenOver
from watcher.runbook.lanes import WORKERS
from watcher.runbook.progress import converted, record_outcome, record_try
from watcher.runbook.step import Outcome
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import paths


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


def test_a_deleted_case_is_written_again(office: Office) -> None:
    """A ConfigMap that somebody deletes under an open case comes back with all that was done."""
    gate = threading.Event()
    desk = office.desk(revert_step(waiting_for(gate)))
    desk.take(decision())
    until(lambda: bool(office.stored_names()), "the case")
    office.line.inner.delete(paths.config_maps(OWN, case_of().name))
    gate.set()
    office.rest()
    assert office.stored().outcome == "verified"


def test_a_foreign_writer_takes_the_case(office: Office) -> None:
    """A case that another daemon has written is dropped, with what was not saved; nothing is written over theirs."""
    gate = threading.Event()
    step = revert_step(waiting_for(gate))
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
    step = revert_step(waiting_for(gate))
    desk = office.desk(step)
    desk.take(decision())
    until(lambda: bool(step.runs), "the step runs")
    overwrite(office, record_try(case_of(), "page", NOW), "the old leader")
    gate.set()
    office.rest()
    office.passes(desk, 2)
    assert office.stored().outcome == "verified"
    assert office.stored().step("page").attempts == 1


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


def test_a_queued_step_waits_for_the_save_too(office: Office) -> None:
    """A step that was waiting in a full lane when the write failed is not carried out before it is made up for."""
    gate = threading.Event()

    def wait() -> None:
        assert gate.wait(20)

    full = WORKERS["pagerduty"]
    for number in range(full):
        office.lanes.submit("pagerduty", number, wait)
    page = Scripted("page", "pagerduty")
    confirm = Scripted("confirm", "kubernetes")
    desk = office.desk(page, confirm)

    def no_writes(method: str, path: str) -> None:
        if method == "replace":
            cut()

    office.line.before = no_writes
    desk.take(decision())
    until(lambda: ("replace", paths.config_maps(OWN, case_of().name)) in office.line.calls, "the write that fails")
    until(lambda: office.lanes.busy() == full + 1, "confirm is through, page still queued")
    gate.set()
    office.rest()
    assert (len(confirm.runs), len(page.runs)) == (1, 0)
    office.line.before = lambda method, path: None
    office.passes(desk)
    assert len(page.runs) == 1
