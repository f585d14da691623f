"""A case that turns: permission withdrawn, a rollback decided anew or barred for good, and a mark that fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.runbook.conftest import Shop
from tests.runbook.office import Office, Scripted
from tests.runbook.parts import NOW, OWN, POLICY, case_of, decision, rollout, until, verdict
from watcher.judgement.decide import Circumstances, Judged, decide
from watcher.judgement.model import Action, Decision, Evidence, Rollout, Verdict
from watcher.policy.model import Check, SmokeJob
from watcher.runbook.case import Case
from watcher.runbook.cases import Cases
from watcher.runbook.confirm import Confirm
from watcher.runbook.desk import Desk, Place
from watcher.runbook.duty import Duty
from watcher.runbook.plan import Plan
from watcher.runbook.progress import barred, record_outcome, record_try
from watcher.runbook.revert import Revert
from watcher.runbook.step import Outcome
from watcher.runbook.verify import Verify, rollout_status
from watcher.systems.fault import Fault

SMOKE = Check("smoke", SmokeJob("smoke-test-for"), None, 0.0)


def at_work(office: Office) -> Desk:
    """A desk that confirms and reverts in the cluster."""
    duty = Duty(lambda: True, office.clock, 60.0)
    plan = Plan(office.line, lambda query: "", lambda: ())
    steps = (Confirm(office.line, OWN), plan, Revert(office.line, duty))
    return Desk(Cases(office.line, OWN, "me"), steps, office.lanes, duty, Place("prod", "us-east-1"))


def watching_on(about: Rollout, reason: str) -> Decision:
    """A decision to do nothing."""
    return Decision("KeepWatching", reason, "", about, verdict())


def refusing(method: str, part: str) -> Callable[[str, str], None]:
    """An API server that refuses one kind of change."""

    def refuse(called: str, path: str) -> None:
        if called == method and part in path:
            raise Fault("Kubernetes", "an admission webhook denied the request", lasting=True)

    return refuse


def the_case(desk: Desk) -> Case:
    """The only case there is."""
    [case] = desk.every()
    return case


def test_a_rollback_that_recovered_is_made_when_the_breach_returns(shop: Shop, office: Office) -> None:
    """A pending rollback that one healthy pass ended is decided again, and made, in the same case."""
    desk, about = at_work(office), shop.rollout()
    office.line.before = refusing("json_patch", "/deployments/")
    desk.take(decision(about=about))
    office.rest()
    assert the_case(desk).step("revert").error
    desk.take(watching_on(about, "healthy"))
    office.rest()
    assert (the_case(desk).outcome, the_case(desk).is_open) == ("recovered", False)
    office.line.before = lambda method, path: None
    breached = Judged(about, (POLICY,), (verdict(),))
    [again] = decide([breached], Circumstances(acted_on=desk.acted_on()))
    assert (again.action, again.reason) == ("RollBack", "above-threshold")
    desk.take(again)
    office.rest()
    assert (shop.images(), the_case(desk).rolled_back, the_case(desk).outcome) == ("shop:1", True, "")


def reverted_after(shop: Shop, office: Office, *meanwhile: Decision) -> str:
    """Take these decisions while the revert waits for its first answer; the image that the Deployment has then."""
    desk, gate, waiting = at_work(office), threading.Event(), threading.Event()

    def hang(method: str, path: str) -> None:
        if (method, path) == ("get", shop.path) and the_case(desk).step("confirm").over:
            waiting.set()
            gate.wait(20)

    office.line.before = hang
    desk.take(decision(about=shop.rollout()))
    assert waiting.wait(8)
    for each in meanwhile:
        desk.take(each)
    gate.set()
    office.rest()
    return shop.images()


@pytest.mark.parametrize(
    ("action", "reason"),
    [("KeepWatching", "healthy"), ("KeepWatching", "not-for-long-enough"), ("Hold", "brake-cluster")],
)
def test_a_later_decision_withdraws_the_permission(shop: Shop, office: Office, action: Action, reason: str) -> None:
    """Decided otherwise while the revert is under way, however freshly it was permitted, its patch isn't sent."""
    otherwise = Decision(action, reason, "", shop.rollout(), verdict())
    assert reverted_after(shop, office, otherwise) == "shop:2"
    assert all(method != "json_patch" for method, _ in office.line.calls)


def test_unknown_withdraws_nothing(shop: Shop, office: Office) -> None:
    """A pass that knows nothing says nothing against the rollback: it goes on."""
    assert reverted_after(shop, office, watching_on(shop.rollout(), "unknown")) == "shop:1"


def test_the_last_decision_counts(shop: Shop, office: Office) -> None:
    """Decided again after it was withdrawn, the rollback is permitted again."""
    about = shop.rollout()
    turns = (watching_on(about, "not-for-long-enough"), decision(about=about))
    assert reverted_after(shop, office, *turns) == "shop:1"


@pytest.mark.parametrize(("action", "reason"), [("Hold", "older-than-rollout"), ("RollBack", "above-threshold")])
def test_another_reason_brings_its_grounds(office: Office, action: Action, reason: str) -> None:
    """When only the reason changes, policy, check and evidence are those of the verdict that gave it."""
    desk, policy = office.desk(), replace(POLICY, name="smoke-tests", verify_within=60.0, checks=(SMOKE,))
    failed = Verdict("Breached", "smoke-test-failed", Evidence("the Job failed"), policy, SMOKE)
    desk.take(replace(decision(action, "smoke-test-failed"), verdict=failed))
    office.rest()
    before = office.stored()
    assert (before.policy, before.check, before.evidence["observed"]) == ("smoke-tests", "smoke", None)
    desk.take(decision(action, reason))
    office.rest()
    case = office.stored()
    assert (case.reason, case.policy, case.check, case.verify_within) == (reason, "error-rate", "errors", 600.0)
    assert (case.evidence["observed"], case.evidence["numbers"]) == (0.04, {"bad": 40.0, "total": 1000.0})
    assert case.turn == before.turn, "nobody is paged for a reason"


@pytest.mark.parametrize("step", ["plan", "migrate"])
def test_what_bars_a_rollback_bars_it_after_a_pause_too(step: str) -> None:
    """A pause over a hold for the migration leaves the migration's reason as it is: the next pass holds for that."""
    found = Outcome("later", {"from": "7"}, hold="it drops a column", reason="destructive-migration")
    case = record_outcome(record_try(case_of(), step, NOW), step, found, NOW)
    assert barred(case) == ("destructive-migration", "it drops a column")
    assert barred(replace(case, reason="paused")) == ("destructive-migration", "it drops a column")
    assert barred(replace(case, outcome="recovered")) is None


def test_the_desk_bars_what_a_step_has_barred(office: Office) -> None:
    """The next pass's decision is the same hold as the step's: the case isn't turned, and nobody is told again."""
    found = Outcome("later", {"from": "7"}, hold="it drops a column", reason="destructive-migration")
    desk = office.desk(Scripted("plan", "migrations", deed=lambda case: found))
    desk.take(decision())
    office.rest()
    about = rollout()
    assert desk.barred() == {about.key: ("destructive-migration", "it drops a column")}
    known = Circumstances(acted_on=desk.acted_on(), barred=desk.barred())
    [again] = decide([Judged(about, (POLICY,), (verdict(),))], known)
    assert (again.action, again.reason) == ("Hold", "destructive-migration")
    desk.take(again)
    office.rest()
    assert (the_case(desk).turn, the_case(desk).action) == (1, "Hold")


def good(case: Case, now: float) -> tuple[bool, str]:
    """The check is back under its threshold."""
    return True, "errors 0.00%"


def unmarked(shop: Shop, office: Office) -> tuple[Desk, Callable[[float], Outcome]]:
    """A desk whose revert could not mark the bad revision, with the rollback out; and a look by verify, at a time."""
    shop.connection.merge_patch(shop.path, {"spec": {"replicas": 0}})
    until(shop.settled, "scaled")
    desk = at_work(office)
    office.line.before = refusing("json_patch", "/replicasets/")
    desk.take(decision(about=shop.rollout()))
    office.rest()
    until(lambda: shop.settled() and rollout_status(shop.deployment())[0], "the rollback is out")
    verify = Verify(office.line, good, lambda url, timeout: 200, lambda case: None)
    return desk, lambda now: verify.carry_out(the_case(desk), now)


def mark(shop: Shop) -> str | None:
    """The bad revision's mark."""
    found: str | None = shop.revisions()[2]["metadata"]["annotations"].get("canary-watch.io/verdict")
    return found


def test_a_rollback_whose_mark_fails_is_made(shop: Shop, office: Office) -> None:
    """The revert is done, and counts for the brakes, though the bad revision can't be marked."""
    desk, _ = unmarked(shop, office)
    case = the_case(desk)
    assert (shop.images(), case.rolled_back, case.step("revert").error) == ("shop:1", True, "")
    assert desk.rollbacks_since(NOW) == (case.uid,)
    assert "denied" in case.result("revert", "unmarked")
    assert mark(shop) is None


def test_verify_makes_up_for_the_mark(shop: Shop, office: Office) -> None:
    """Verify says that the mark is in the way for as long as it is, then sets it and is through."""
    _, look = unmarked(shop, office)
    waits = look(NOW + 15)
    assert (waits.state, waits.case_outcome) == ("later", "")
    assert "revision 2 can't be marked condemned" in waits.said
    office.line.before = lambda method, path: None
    assert (look(NOW + 30).case_outcome, mark(shop)) == ("verified", "condemned")


def test_a_mark_alone_does_not_make_a_rollback_unverified(shop: Shop, office: Office) -> None:
    """When its time is over, a rollback that came through is verified with its mark or without."""
    _, look = unmarked(shop, office)
    assert look(NOW + 599).state == "later"
    assert look(NOW + 600).case_outcome == "verified"
