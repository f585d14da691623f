"""Confirm, revert and the marks against an API server over HTTP: one rollback exactly, and never over somebody's change."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.runbook.conftest import OWN, Shop
from tests.runbook.parts import NOW, Once, cut, until
from watcher.judgement.rollouts import own_revert, write_time
from watcher.runbook.case import Case, StepRecord
from watcher.runbook.confirm import Confirm
from watcher.runbook.lanes import Lanes
from watcher.runbook.marks import Marks
from watcher.runbook.revert import Revert
from watcher.runbook.step import Outcome
from watcher.runbook.templates import without_hash
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import Invalid, paths

Json = dict[str, Any]
NOTE = "canary-watch.io/rolled-back"


def confirm(shop: Shop, case: Case, now: float = NOW) -> Outcome:
    """Carry confirm out."""
    return Confirm(shop.line, OWN).carry_out(case, now)


def confirmed(shop: Shop) -> Case:
    """The case of the newest revision, confirmed."""
    case = shop.case()
    outcome = confirm(shop, case)
    assert outcome.state == "done"
    assert outcome.case_outcome == ""
    return case.with_step("confirm", StepRecord("done", result=outcome.result))


def revert(shop: Shop, case: Case, now: float = NOW) -> Outcome:
    """Carry revert out."""
    return Revert(shop.line).carry_out(case, now)


def patches(shop: Shop) -> list[str]:
    """The objects that were patched through the steps' line."""
    return [path.rsplit("/", 2)[1] for method, path in shop.line.calls if method == "json_patch"]


def mark(shop: Shop, revision: int, verdict: str) -> None:
    """Give a revision a verdict, as the daemon does."""
    rs = shop.revisions()[revision]["metadata"]
    shop.annotate(paths.replica_sets(shop.namespace, rs["name"]), verdict=verdict, verdict_of=rs["uid"])


def test_confirms_bad_and_target(shop: Shop) -> None:
    """Confirm records which revision is bad and which one to go back to, with images and the ReplicaSet's UID."""
    result = confirm(shop, shop.case()).result
    good = shop.revisions()[1]["metadata"]
    assert (result["badRevision"], result["badImage"]) == (2, "shop:2")
    assert (result["targetRevision"], result["targetImage"]) == (1, "shop:1")
    assert (result["targetReplicaSet"], result["targetUid"]) == (good["name"], good["uid"])


def test_a_newer_revision_overtakes(shop: Shop) -> None:
    """When another revision is the newest by now, nothing is rolled back."""
    case = shop.case()
    shop.ship("shop:3")
    outcome = confirm(shop, case)
    assert (outcome.case_outcome, outcome.said) == ("overtaken", "revision 3 is the newest now")


def test_a_template_without_a_revision_yet_overtakes(shop: Shop) -> None:
    """A change that the Deployment controller has not numbered counts as somebody's change too."""
    case = shop.case()
    shop.connection.merge_patch(shop.path, {"spec": {"paused": True}})
    shop.connection.merge_patch(shop.path, {"spec": {"template": {"metadata": {"annotations": {"n": "1"}}}}})
    outcome = confirm(shop, case)
    assert (outcome.case_outcome, outcome.said) == ("overtaken", "the Deployment's template was changed meanwhile")


@pytest.mark.parametrize("step", ["confirm", "revert"])
@pytest.mark.parametrize("again", [True, False])
def test_a_deployment_that_is_gone_overtakes(shop: Shop, step: str, again: bool) -> None:
    """A Deployment deleted, or deleted and created again, ends the case at once instead of failing for a day."""
    case = confirmed(shop) if step == "revert" else shop.case()
    old = shop.deployment()
    shop.connection.delete(shop.path)
    until(lambda: not shop.connection.get(paths.deployments(shop.namespace))["items"], "deleted")
    if again:
        shop.connection.create(
            paths.deployments(shop.namespace), {"metadata": {"name": "checkout"}, "spec": old["spec"]}
        )
    outcome = confirm(shop, case) if step == "confirm" else revert(shop, case)
    assert outcome.case_outcome == "overtaken"
    assert ("created again" in outcome.said) == again


def pause_deployment(shop: Shop) -> str:
    """Pause the Deployment."""
    shop.annotate(shop.path, pause="true", pause_reason="flash sale")
    return "(flash sale)"


def pause_namespace(shop: Shop) -> str:
    """Pause the shop's Namespace until later."""
    shop.annotate(paths.namespaces(shop.namespace), pause=write_time(NOW + 60))
    return f"paused on Namespace {shop.namespace} until {write_time(NOW + 60)}"


def pause_everything(shop: Shop) -> str:
    """Pause the whole cluster."""
    shop.annotate(paths.namespaces(OWN), pause="true")
    return f"paused on Namespace {OWN}"


def pause_spec(shop: Shop) -> str:
    """Set spec.paused."""
    shop.connection.merge_patch(shop.path, {"spec": {"paused": True}})
    return "spec.paused"


@pytest.mark.parametrize("step", ["confirm", "revert"])
@pytest.mark.parametrize("pause", [pause_deployment, pause_namespace, pause_everything, pause_spec])
def test_a_late_pause_holds(shop: Shop, step: str, pause: Callable[[Shop], str]) -> None:
    """A pause set after the decision holds the rollback, wherever it is set and whichever step comes next."""
    case = confirmed(shop) if step == "revert" else shop.case()
    said = pause(shop)
    outcome = confirm(shop, case) if step == "confirm" else revert(shop, case)
    assert outcome.state == "later"
    assert said in outcome.hold
    assert shop.images() == "shop:2"


def test_a_pause_whose_time_has_passed_does_not_hold(shop: Shop) -> None:
    """Until means until."""
    shop.annotate(shop.path, pause=write_time(NOW - 1))
    assert confirm(shop, shop.case()).hold == ""


def test_a_proven_target_comes_first(shop: Shop) -> None:
    """The newest proven revision is chosen before a newer one that nobody knows."""
    mark(shop, 1, "proven")
    shop.ship("shop:3")
    assert confirm(shop, shop.case()).result["targetRevision"] == 1


def test_a_condemned_revision_is_no_target(shop: Shop) -> None:
    """A revision that was rolled back itself is passed over; where none is left that is a fault, which is retried."""
    shop.ship("shop:3")
    mark(shop, 2, "condemned")
    assert confirm(shop, shop.case()).result["targetRevision"] == 1
    mark(shop, 1, "condemned")
    with pytest.raises(Fault, match="no revision of .* is left"):
        confirm(shop, shop.case())


def test_reverts_in_one_patch(shop: Shop) -> None:
    """The template goes back exactly, every other annotation stays, and the rollback says who did it and why."""
    shop.annotate(shop.path, verdict="proven", verdict_of="x", rollout_started="1@x")
    case, before = confirmed(shop), shop.deployment()
    good = without_hash(shop.revisions()[1]["spec"]["template"])
    outcome = revert(shop, case)
    after = shop.deployment()
    assert outcome.result == {"from": 2, "to": 1, "newRevision": 3}
    assert after["spec"]["template"] == good
    assert after["spec"]["template"]["spec"]["dnsConfig"] == {"searches": ["shop.local"]}
    assert {k: v for k, v in after["spec"].items() if k != "template"} == {
        k: v for k, v in before["spec"].items() if k != "template"
    }
    notes = after["metadata"]["annotations"]
    assert (notes["owner"], notes["canary-watch.io/slo-p99"]) == ("payments", "300ms")
    assert json.loads(notes[NOTE])["case"] == case.id
    assert case.id in notes["kubernetes.io/change-cause"]
    assert not {key for key in notes if "verdict" in key or "rollout-started" in key}
    assert patches(shop) == ["deployments", "replicasets"]


def test_its_own_revision_is_known_again(shop: Shop) -> None:
    """The Deployment controller gives the rollback the number that was foretold, so that it is not judged as a rollout."""
    revert(shop, confirmed(shop))
    until(lambda: shop.settled() and 3 in shop.revisions(), "revision 3")
    assert own_revert(shop.deployment(), 3)
    assert shop.revisions()[3]["metadata"]["name"] == shop.rollout().new.replica_set


def test_condemns_the_bad_revision(shop: Shop) -> None:
    """The bad ReplicaSet is marked, so that no later rollback goes there."""
    revert(shop, confirmed(shop))
    bad = shop.revisions()[2]["metadata"]
    assert bad["annotations"]["canary-watch.io/verdict"] == "condemned"
    assert bad["annotations"]["canary-watch.io/verdict-of"] == bad["uid"]


def test_a_second_run_changes_nothing(shop: Shop) -> None:
    """Carried out again, the revert finds itself done and sends no patch."""
    case = confirmed(shop)
    first = revert(shop, case)
    sent = len(patches(shop))
    assert revert(shop, case) == first
    assert len(patches(shop)) == sent


def test_a_lost_answer_is_found_done(shop: Shop) -> None:
    """When the patch went through but its answer was lost, the next attempt finds it, and condemns what is bad."""
    case = confirmed(shop)
    shop.line.after = Once("json_patch", "deployments", cut)
    with pytest.raises(Fault):
        revert(shop, case)
    assert revert(shop, case).result["to"] == 1
    assert patches(shop) == ["deployments", "replicasets"]
    assert shop.revisions()[2]["metadata"]["annotations"]["canary-watch.io/verdict"] == "condemned"


def test_a_lost_mark_is_made_up_for(shop: Shop) -> None:
    """When the mark failed after the patch, the next attempt sets the mark and patches no template again."""
    case = confirmed(shop)
    shop.line.before = Once("json_patch", "replicasets", cut)
    with pytest.raises(Fault):
        revert(shop, case)
    revert(shop, case)
    assert patches(shop) == ["deployments", "replicasets", "replicasets"]


def test_a_persons_change_before_the_patch_wins(shop: Shop) -> None:
    """A change made between our reading and our patch stands: the patch is refused, and the case is overtaken."""
    case = confirmed(shop)
    shop.line.before = Once("json_patch", "deployments", lambda: shop.ship("shop:3") and None)
    assert revert(shop, case) == Outcome("later", said="the Deployment changed under the patch")
    outcome = revert(shop, case)
    assert (outcome.case_outcome, dict(outcome.result)) == ("overtaken", {})
    assert shop.images() == "shop:3"


def test_an_unrelated_change_before_the_patch_does_not_stop_it(shop: Shop) -> None:
    """Somebody's new annotation or another replica count neither stops the rollback nor is lost by it."""
    case = confirmed(shop)
    change = {"metadata": {"annotations": {"seen": "yes"}}, "spec": {"replicas": 3}}
    shop.line.before = Once("json_patch", "deployments", lambda: shop.connection.merge_patch(shop.path, change) and None)
    revert(shop, case)
    after = shop.deployment()
    assert (shop.images(), after["spec"]["replicas"]) == ("shop:1", 3)
    assert after["metadata"]["annotations"]["seen"] == "yes"


def test_somebody_elses_undo_is_not_ours(shop: Shop) -> None:
    """Where a person put the template back first, the case is overtaken and nothing is claimed."""
    case = confirmed(shop)
    shop.ship("shop:1")
    outcome = revert(shop, case)
    assert (outcome.case_outcome, dict(outcome.result)) == ("overtaken", {})
    assert patches(shop) == []


def test_a_change_after_our_patch_is_not_fought(shop: Shop) -> None:
    """When the answer was lost and a person shipped on, theirs stands, and the case still knows that it rolled back."""
    case = confirmed(shop)
    shop.line.after = Once("json_patch", "deployments", cut)
    with pytest.raises(Fault):
        revert(shop, case)
    shop.connection.merge_patch(shop.path, {"spec": {"template": {"metadata": {"annotations": {"again": "2"}}}}})
    outcome = revert(shop, case)
    assert (outcome.case_outcome, outcome.result["to"]) == ("overtaken", 1)
    assert patches(shop) == ["deployments", "replicasets"]


def test_a_refused_patch_is_a_fault(shop: Shop) -> None:
    """What the API server will not take is a fault with its words, to be retried; not an endless `later`."""
    case = confirmed(shop)

    def refuse() -> None:
        raise Invalid("admission webhook denied the request")

    shop.line.before = Once("json_patch", "deployments", refuse)
    with pytest.raises(Invalid, match="admission webhook"):
        revert(shop, case)
    assert shop.images() == "shop:2"


def test_marks_proven_and_start(shop: Shop) -> None:
    """A proven revision and the start of a reused one are written on the ReplicaSet, once each, beside what is there."""
    lanes = Lanes({"kubernetes": 1})
    marks = Marks(shop.line, lanes, lambda: True)
    rollout = shop.rollout()
    for _ in range(2):
        marks.prove(rollout)
        marks.record_start(rollout)
        until(lambda: lanes.busy() == 0, "marks")
    notes = shop.revisions()[2]["metadata"]["annotations"]
    assert (notes["canary-watch.io/verdict"], notes["canary-watch.io/verdict-of"]) == ("proven", rollout.new.uid)
    assert notes["canary-watch.io/rollout-started"] == f"2@{write_time(rollout.started)}"
    assert notes["deployment.kubernetes.io/revision"] == "2"
    assert patches(shop) == ["replicasets", "replicasets"]


def test_marks_nothing_without_the_lease(shop: Shop) -> None:
    """A daemon that does not lead marks nothing."""
    lanes = Lanes({"kubernetes": 1})
    Marks(shop.line, lanes, lambda: False).prove(shop.rollout())
    until(lambda: lanes.busy() == 0, "marks")
    assert shop.line.calls == []


def test_marks_only_the_replica_set_that_was_judged(shop: Shop) -> None:
    """A ReplicaSet of the same name but another UID is another one."""
    lanes = Lanes({"kubernetes": 1})
    rollout = shop.rollout()
    Marks(shop.line, lanes, lambda: True).prove(replace(rollout, new=replace(rollout.new, uid="another")))
    until(lambda: lanes.busy() == 0, "marks")
    assert shop.line.changes() == []
