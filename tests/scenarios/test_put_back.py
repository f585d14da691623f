"""Somebody puts the bad template back after the rollback: noticed, named, escalated, and never fought."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.scenarios.conftest import MakeStage
from tests.scenarios.stage import Stage
from tests.scenarios.test_triggers import BAD, GOOD

ARGO_CD = "argocd-controller"
PAUSE = "canary-watch.io/pause"


@pytest.fixture
def fleet(make_stage: MakeStage) -> Iterator[Stage]:
    """A stage with one policy; its pods are ready again afterwards."""
    stage = make_stage(policies=("error-rate",))
    for image, behaviour in (("good:1", GOOD), ("bad:2", BAD), ("bad:3", BAD)):
        stage.traffic.set_behaviour(image, behaviour)
    yield stage
    stage.traffic.pods.statuses["/readyz"] = 200


def tracked(stage: Stage, deployment: str) -> dict[str, str]:
    """The annotation by which Argo CD knows a Deployment as its own."""
    return {"argocd.argoproj.io/tracking-id": f"shop:apps/Deployment:{stage.namespace}/{deployment}"}


def escalated(stage: Stage, deployment: str, writer: str) -> dict[str, Any]:
    """The case that the put-back has from the first pass that sees it; it names who did it."""
    *_, case = stage.closed("escalated", count=2, deployment=deployment)
    about = f" {stage.namespace}/{deployment} revision 4 ("
    first = next(line for line in stage.daemons[-1].said().splitlines() if about in line)
    assert f"Escalate{about}put-back)" in first, "nothing else was decided before"
    assert (case["action"], case["reason"], case["bad"]) == ("Escalate", "put-back", 4)
    message = stage.posted(deployment)[-1]
    first = (*message.edits, message.text)[0]
    assert "revision 2, which was rolled back, was put back as revision 4" in first
    assert f"Put back by {writer}. canary-watch doesn't fight it." in first
    assert "<@U0COMMAND>" in first
    return case


def incidents(stage: Stage, case: dict[str, Any]) -> list[str]:
    """The states of the incidents that a case goes on with, oldest first."""
    key = case["incident"] or case["id"]
    return [incident.status for incident in stage.pagerduty.incidents if incident.dedup_key == key]


def test_put_back_after_the_rollback_was_verified(fleet: Stage) -> None:
    """By a controller, or by a person: named, and paged anew. Under a pause it is held instead, until that is over."""
    stage = fleet
    names = {"tracked": ARGO_CD, "edited": "kubectl-edit", "paused": ARGO_CD}
    for name in names:
        stage.ship("good:1", name, tracked(stage, name))
    stage.start()
    for name in names:
        stage.set_image("bad:2", name)
    for name in names:
        stage.closed("verified", deployment=name)
    stage.annotate({PAUSE: "true"}, "paused")
    for name, manager in names.items():
        stage.set_image("bad:2", name, manager=manager)
    for name, writer in (
        ("tracked", "Argo CD application `shop`"),
        ("edited", "somebody with kubectl (kubectl-edit)"),
    ):
        case = escalated(stage, name, writer)
        assert incidents(stage, case) == ["resolved", "triggered"], "the first was over; it is the same key"
    held = stage.until(lambda: stage.cases("paused")[1:], "what goes on under the pause has a case")
    assert (held[0]["action"], held[0]["reason"]) == ("Hold", "paused")
    stage.annotate({PAUSE: None}, "paused")
    [*_, resumed] = stage.closed("escalated", count=2, deployment="paused")
    assert (resumed["bad"], resumed["reason"]) == (4, "put-back")
    assert {(stage.patches(name), stage.image(name)) for name in names} == {(1, "bad:2")}
    assert stage.vendors.violations == []


def test_put_back_while_it_is_verified(fleet: Stage) -> None:
    """The first case says who overtook it, the second goes on with its incident; a fresh release is judged as usual."""
    stage = fleet
    stage.ship("good:1", annotations=tracked(stage, "checkout"))
    stage.start()
    stage.traffic.pods.statuses["/readyz"] = 503
    stage.ship("bad:2")
    stage.until(lambda: stage.rolled_out("checkout", "good:1"), "it is rolled back, and not verified yet")
    stage.until(stage.posted, "the rollback is announced")
    stage.set_image("bad:2", manager=ARGO_CD)
    case = escalated(stage, "checkout", "Argo CD application `shop`")
    first = stage.cases()[0]
    assert (first["action"], first["outcome"]) == ("RollBack", "overtaken")
    said = "Revision 2, which was rolled back, was put back by Argo CD application `shop`"
    assert said in stage.posted()[0].text
    assert case["incident"] == first["id"]
    assert [i.status for i in stage.pagerduty.incidents] == ["triggered"]
    stage.traffic.set_behaviour("bad:2", GOOD)  # so that what the next release breaks wasn't broken before
    stage.traffic.pods.statuses["/readyz"] = 200
    stage.stays(lambda: stage.image() == "bad:2" and len(stage.cases()) == 2, 10, "it is not fought")
    assert (stage.patches(), len(stage.posted()), len(stage.pagerduty.incidents)) == (1, 2, 1)
    stage.set_image("bad:3")
    [*_, fresh] = stage.closed("verified", count=3)
    assert (fresh["action"], fresh["bad"], stage.image()) == ("RollBack", 5, "good:1")
    assert stage.vendors.violations == []
