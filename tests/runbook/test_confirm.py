"""Confirm against an API server over HTTP: what is bad, where to go back to, and what stands in the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.runbook.conftest import Shop, template
from tests.runbook.hands import confirm, confirmed, revert
from tests.runbook.parts import NOW, OWN, cut, until
from watcher.judgement.rollouts import write_time
from watcher.runbook.case import StepRecord
from watcher.systems.fault import Fault
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


def test_the_facts_are_recorded(shop: Shop) -> None:
    """History, changes, owner, writer, labels, ticket and dashboard are there for whoever reads the case."""
    shop.annotate(shop.path, ticket="OPS-12", dashboard="x" * 9000)
    notes = {"meta.helm.sh/release-name": "checkout", "meta.helm.sh/release-namespace": shop.namespace}
    labels = {"tier": "web", "app.kubernetes.io/managed-by": "Helm"}
    shop.connection.merge_patch(shop.path, {"metadata": {"annotations": notes, "labels": labels}})
    result = confirm(shop, shop.case()).result
    assert [one["revision"] for one in result["history"]] == [2, 1]
    assert result["changes"] == ["image of `shop`: shop:1 → shop:2"]
    assert (result["ticket"], len(result["dashboard"])) == ("OPS-12", 500)
    assert (result["labels"], "Helm" in result["owner"]) == (labels, True)
    assert result["writer"]


def test_no_secret_value_is_recorded(shop: Shop) -> None:
    """What changed in the environment is named; its values are not."""
    env = [{"name": "API_TOKEN", "value": "hunter2-hunter2"}, {"name": "LEVEL", "value": "debug"}]
    changed = template("shop:3")
    changed["spec"]["containers"][0]["env"] = env
    shop.connection.merge_patch(shop.path, {"spec": {"template": changed}})
    until(lambda: shop.settled() and 3 in shop.revisions(), "revision 3")
    result = confirm(shop, shop.case()).result
    assert "API_TOKEN" in str(result["changes"])
    assert "hunter2" not in str(result)


@pytest.mark.parametrize("action", ["Hold", "Escalate"])
def test_facts_without_a_rollback(shop: Shop, action: Any) -> None:
    """The facts alone: nothing is confirmed, no target settled."""
    case = replace(shop.case(), action=action)
    outcome = confirm(shop, case)
    assert (outcome.state, outcome.result["badImage"]) == ("done", "shop:2")
    assert not [key for key in outcome.result if key.startswith("target")]


def test_facts_that_can_not_be_had_hold_up_nothing(shop: Shop) -> None:
    """Three attempts, then it is paged without; a Deployment that is gone, or another one of its name, has none."""
    case = replace(shop.case(), action="Hold")
    shop.line.before = lambda method, path: cut()
    for failures in (0, 1):
        with pytest.raises(Fault):
            confirm(shop, case.with_step("confirm", StepRecord(failures=failures)))
    assert confirm(shop, case.with_step("confirm", StepRecord(failures=2))).state == "skipped"
    shop.line.before = lambda method, path: None
    assert confirm(shop, replace(case, uid="another")).state == "skipped"
    shop.connection.delete(shop.path)
    assert confirm(shop, case).state == "skipped"


def test_a_demanded_target_or_none(shop: Shop) -> None:
    """The policy's revision and no other, also by a number that it had before; a condemned one never."""
    shop.ship("shop:3")
    case = shop.case()
    assert confirm(shop, replace(case, target=1)).result["targetRevision"] == 1
    mark(shop, 2, "proven")
    assert confirm(shop, replace(case, target=1)).result["targetRevision"] == 1
    mark(shop, 1, "condemned")
    for target in (1, 3, 7):
        assert f"revision {target} can't be rolled back to" in confirm(shop, replace(case, target=target)).escalate
    shop.ship("shop:2")
    shop.ship("shop:5")
    assert confirm(shop, replace(shop.case(), target=2)).result["targetRevision"] == 4


def test_a_case_s_size_is_bounded(shop: Shop) -> None:
    """However much a release changes, its case stays far below what a ConfigMap may hold (1 MiB)."""
    changed = template("shop:3")
    container = changed["spec"]["containers"][0]
    container["env"] = [{"name": f"V{number}", "value": "x" * 1000} for number in range(300)]
    container["args"] = ["word " * 2000] * 20
    changed["metadata"]["annotations"] = {f"note-{number}": "y" * 500 for number in range(200)}
    shop.connection.merge_patch(shop.path, {"spec": {"template": changed}})
    until(lambda: shop.settled() and 3 in shop.revisions(), "revision 3")
    case = shop.case()
    assert len(case.with_step("confirm", StepRecord("done", result=confirm(shop, case).result)).write()) < 20_000
