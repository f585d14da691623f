"""Revert against an API server over HTTP: one rollback, and never over somebody's change."""

from __future__ import annotations

import json

import pytest

from tests.runbook.conftest import Shop
from tests.runbook.hands import confirmed, patches, revert
from tests.runbook.parts import Once, cut, until
from watcher.judgement.rollouts import own_revert
from watcher.runbook.step import Outcome
from watcher.runbook.templates import without_hash
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import Invalid

NOTE = "canary-watch.io/rolled-back"


def test_reverts_in_one_patch(shop: Shop) -> None:
    """The template goes back exactly, every other annotation stays, and the rollback says who did it and why."""
    shop.annotate(shop.path, verdict="proven", verdict_of="x", rollout_started="1@x")
    case, before = confirmed(shop), shop.deployment()
    good = without_hash(shop.revisions()[1]["spec"]["template"])
    outcome = revert(shop, case)
    after = shop.deployment()
    assert outcome.result == {"from": 2, "to": 1, "newRevision": 3, "unmarked": ""}
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
    """The Deployment controller gives the rollback the number foretold, so that it is not judged as a rollout."""
    revert(shop, confirmed(shop))
    until(lambda: shop.settled() and 3 in shop.revisions(), "revision 3")
    assert own_revert(shop.deployment(), shop.rollout().new)
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


def test_a_mark_that_fails_does_not_undo_the_rollback(shop: Shop) -> None:
    """When the mark failed after the patch, the rollback counts as made, and what is missing is written down."""
    case = confirmed(shop)
    shop.line.before = Once("json_patch", "replicasets", cut)
    outcome = revert(shop, case)
    assert outcome.state == "done"
    assert outcome.result["unmarked"]
    assert patches(shop) == ["deployments", "replicasets"]


def test_a_persons_change_before_the_patch_wins(shop: Shop) -> None:
    """A change made between our reading and our patch stands: the patch is refused, and the case is overtaken."""
    case = confirmed(shop)
    shop.line.before = Once("json_patch", "deployments", lambda: shop.ship("shop:3"))
    assert revert(shop, case) == Outcome("later", said="the Deployment changed under the patch")
    outcome = revert(shop, case)
    assert (outcome.case_outcome, dict(outcome.result)) == ("overtaken", {})
    assert shop.images() == "shop:3"


def test_an_unrelated_change_before_the_patch_does_not_stop_it(shop: Shop) -> None:
    """Somebody's new annotation or another replica count neither stops the rollback nor is lost by it."""
    case = confirmed(shop)
    change = {"metadata": {"annotations": {"seen": "yes"}}, "spec": {"replicas": 3}}
    shop.line.before = Once("json_patch", "deployments", lambda: shop.connection.merge_patch(shop.path, change))
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

    def refuse(method: str, path: str) -> None:
        if method == "json_patch":
            raise Invalid("admission webhook denied the request")

    shop.line.before = refuse
    with pytest.raises(Invalid, match="admission webhook"):
        revert(shop, case)
    assert shop.images() == "shop:2"


def test_a_server_that_writes_json_otherwise_is_no_obstacle(shop: Shop) -> None:
    """Where the template's `test` fails though nothing has changed, the patch is guarded by the version instead."""
    case = confirmed(shop)

    def differ() -> None:
        raise Invalid("testing path /spec/template: test failed")

    shop.line.before = Once("json_patch", "deployments", differ)
    assert revert(shop, case).result["to"] == 1
    assert (shop.images(), patches(shop)) == ("shop:1", ["deployments", "deployments", "replicasets"])
