"""A rollback that a person orders, at the desk: taken up from its ConfigMap, theirs to decide, and not for ever."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.runbook.conftest import Shop
from tests.runbook.office import Office, Scripted, overwrite, revert_step
from tests.runbook.parts import NOW, OWN, Line, Once, case_of, cut, decision, on_duty, rollout
from watcher.judgement.model import Rollout
from watcher.runbook.by_hand import Order, ordered, reordered
from watcher.runbook.case import BY_HAND, Case
from watcher.runbook.cases import LABEL, Cases, trim_case
from watcher.runbook.confirm import Confirm
from watcher.runbook.desk import Desk, Place
from watcher.runbook.duty import ORDER_STANDS, Duty
from watcher.runbook.plan import Plan
from watcher.runbook.revert import Revert
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import paths

ORDER = Order(0, "it loses orders (ordered by maria@laptop)", NOW)
PERSON = "rollback by hand, maria@laptop"


def by_hand(about: Rollout | None = None) -> Case:
    """The case of an order."""
    return ordered(about or rollout(), ("prod", "us-east-1"), ORDER)


def write(office: Office, case: Case) -> None:
    """Write it as `canary-watch rollback` does."""
    Cases(Line(office.line.inner), OWN, PERSON).open(case)


def notice(office: Office, desk: Desk) -> None:
    """What each pass does first: look at the ConfigMaps of the cases as they are in the watch cache."""
    listed = office.line.inner.get(paths.config_maps(OWN), {"labelSelector": LABEL})
    desk.notice([trim_case(item) for item in listed["items"]])


def test_an_order_is_taken_up(office: Office) -> None:
    """A case that a person has written is carried out like one of the daemon's own, and then written by it."""
    step = revert_step()
    desk = office.desk(step)
    desk.load(NOW)
    write(office, by_hand())
    notice(office, desk)
    desk.advance()
    office.rest()
    assert (len(step.runs), office.stored().outcome, office.stored().reason) == (1, "verified", BY_HAND)
    notice(office, desk)
    office.passes(desk, 2)
    assert len(step.runs) == 1


def test_what_we_wrote_ourselves_is_not_read_again(office: Office) -> None:
    """Our own writing, and another hand's that was read already, costs no request."""
    desk = office.desk(Scripted("revert", "kubernetes"))
    desk.take(decision())
    office.rest()
    write(office, replace(by_hand(rollout(3)), outcome="overtaken", closed=NOW))
    notice(office, desk)
    calls = len(office.line.calls)
    office.passes(desk)
    assert [path for method, path in office.line.calls[calls:] if method == "get"] == []


def test_a_late_cache_costs_nothing_done(office: Office) -> None:
    """A cache that still shows the order, after the daemon has written its own state over it, undoes nothing."""
    step = revert_step()
    desk = office.desk(step)
    desk.load(NOW)
    write(office, by_hand())
    stale = [trim_case(i) for i in office.line.inner.get(paths.config_maps(OWN), {"labelSelector": LABEL})["items"]]
    for _ in range(3):
        desk.notice(stale)
        office.passes(desk)
    assert (len(step.runs), office.stored().outcome) == (1, "verified")


def test_an_order_that_cannot_be_read_just_now_is_read_later(office: Office) -> None:
    """The API server failing at that moment loses no order."""
    step = revert_step()
    desk = office.desk(step)
    write(office, by_hand())
    office.line.before = Once("get", "configmaps", cut)
    notice(office, desk)
    office.passes(desk)
    assert step.runs == []
    office.passes(desk)
    assert office.stored().outcome == "verified"


def test_an_order_that_was_deleted_again_is_forgotten(office: Office) -> None:
    """A ConfigMap that is gone when it is to be read is not asked for in every pass from then on."""
    desk = office.desk(revert_step())
    write(office, by_hand())
    notice(office, desk)
    office.line.inner.delete(paths.config_maps(OWN, by_hand().name))
    office.passes(desk)
    calls = len(office.line.calls)
    office.passes(desk, 3)
    assert len(office.line.calls) == calls
    assert desk.every() == ()


def test_a_hold_becomes_a_rollback_by_hand(office: Office) -> None:
    """A person turns a hold's own case over: the same case, one turn on, and its rollback is made."""
    step = revert_step()
    step.due = lambda case: case.action == "RollBack" and not case.step("revert").over  # type: ignore[method-assign]
    desk = office.desk(step)
    desk.take(decision("Hold", "paused"))
    office.rest()
    overwrite(office, reordered(office.stored(), ORDER, rollout()), PERSON)
    notice(office, desk)
    office.passes(desk)
    case = office.stored()
    assert (case.id, case.turn, case.outcome) == (case_of().id, 1, "verified")
    assert case.said.startswith("it loses orders (ordered by maria@laptop); ")
    assert office.stored_names() == [case.name]


@pytest.mark.parametrize("reason", ["healthy", "unknown"])
def test_no_pass_decides_about_an_order(office: Office, reason: str) -> None:
    """Neither a healthy pass nor a hold nor another rollback ends or turns what a person has ordered."""
    desk = office.desk(Scripted("confirm", "kubernetes"))
    write(office, by_hand())
    desk.load(NOW)
    assert desk.acted_on() == {rollout().key: by_hand().id}
    for each in (decision("KeepWatching", reason), decision("Hold", "paused"), decision("Escalate", "put-back")):
        desk.take(each)
        desk.end(desk.every()[0], "recovered")
        office.rest()
    case = office.stored()
    assert (case.action, case.reason, case.outcome, case.turn) == ("RollBack", BY_HAND, "", 0)


def test_an_order_needs_no_pass() -> None:
    """What a person ordered is permitted without a fresh decision, but not to a daemon that doesn't lead."""
    leads = [True]
    duty = Duty(lambda: leads[0], lambda: NOW, 60.0)
    duty.demand(by_hand())
    with pytest.raises(Fault, match="no pass has decided"):
        duty.demand(case_of())
    leads[0] = False
    with pytest.raises(Fault, match="no longer leads"):
        duty.demand(by_hand())
    on_duty(case_of()).demand(case_of())


def at_work(office: Office) -> Desk:
    """A desk that confirms and reverts in the cluster; no pass has decided anything."""
    duty = Duty(lambda: True, office.clock, 60.0)
    steps = (Confirm(office.line, OWN), Plan(office.line, lambda query: "", lambda: ()), Revert(office.line, duty))
    return Desk(Cases(office.line, OWN, "me"), steps, office.lanes, duty, Place("prod", "us-east-1"))


def test_an_order_is_carried_out_in_the_cluster(shop: Shop, office: Office) -> None:
    """Without a breach and without a policy the Deployment goes back to its last good revision."""
    desk = at_work(office)
    write(office, by_hand(shop.rollout()))
    notice(office, desk)
    desk.advance()
    office.rest()
    assert (shop.images(), desk.every()[0].rolled_back) == ("shop:1", True)


def test_an_order_that_waited_too_long_is_escalated(shop: Shop, office: Office) -> None:
    """What a person saw ten minutes ago may be over: nothing is changed, and they are told to say it again."""
    desk = at_work(office)
    write(office, by_hand(shop.rollout()))
    notice(office, desk)
    office.clock.now = NOW + ORDER_STANDS + 1
    desk.advance()
    office.rest()
    [case] = desk.every()
    assert (shop.images(), case.action, case.reason) == ("shop:2", "Escalate", BY_HAND)
    assert "give it again" in case.said


def test_a_put_back_case_has_its_rollbacks_incident(office: Office) -> None:
    """A revision that is put back goes on with the incident of its rollback, and so does one put back once more."""
    desk = office.desk(revert_step())
    desk.take(decision())
    office.rest()
    first = office.stored()
    assert desk.taken_back() == {("uid-of-checkout", "checkout-2"): (first.id, 2)}
    again = rollout(4, replica_set="checkout-2")
    desk.take(decision("Escalate", "put-back", about=again))
    office.rest()
    second = office.stored("case-uid-of-checkout-r4")
    assert (second.incident, second.incident_key) == (first.id, first.id)
    overwrite(office, reordered(second, ORDER, again), PERSON)
    notice(office, desk)
    office.passes(desk)
    desk.take(decision("Escalate", "put-back", about=rollout(6, replica_set="checkout-2")))
    office.rest()
    assert office.stored("case-uid-of-checkout-r6").incident_key == first.id


def test_another_escalation_has_an_incident_of_its_own(office: Office) -> None:
    """Only what was put back is the same incident; another bad revision of the same Deployment is not."""
    desk = office.desk(revert_step())
    desk.take(decision())
    office.rest()
    desk.take(decision("Escalate", "no-earlier-revision", about=rollout(3)))
    office.rest()
    assert office.stored("case-uid-of-checkout-r3").incident == ""
