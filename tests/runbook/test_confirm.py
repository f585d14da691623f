"""Confirm against an API server over HTTP: what is bad, where to go back to, and what stands in the way."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.runbook.conftest import Shop
from tests.runbook.hands import confirm, confirmed, revert
from tests.runbook.parts import NOW, OWN, until
from watcher.judgement.rollouts import write_time
from watcher.systems.kubernetes import paths


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
    """A revision that was rolled back itself is passed over; where none is left, that is a person's business."""
    shop.ship("shop:3")
    mark(shop, 2, "condemned")
    assert confirm(shop, shop.case()).result["targetRevision"] == 1
    mark(shop, 1, "condemned")
    assert "no earlier revision is left" in confirm(shop, shop.case()).escalate
