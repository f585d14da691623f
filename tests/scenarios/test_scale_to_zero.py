"""A canary Deployment that is bad from its creation, where the policy says what to do without an earlier revision."""

from __future__ import annotations

from tests.scenarios.conftest import MakeStage
from tests.scenarios.test_triggers import BAD, GOOD


def test_scaled_to_zero(make_stage: MakeStage) -> None:
    """`noEarlierRevision: scale-to-zero`: to 0 pods, condemned and verified; one with an earlier revision goes back.

    Without that it is escalated: `test_history.test_no_earlier_revision`.
    """
    stage = make_stage(policies=("error-rate",), spec={"noEarlierRevision": "scale-to-zero"})
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("bad:1", BAD)
    stage.traffic.set_behaviour("bad:2", BAD)
    stage.ship("good:1", "stable")
    stage.start()
    stage.set_image("bad:2", "stable")
    stage.ship("bad:1", "canary")
    [case] = stage.closed("verified", deployment="canary")
    assert (case["action"], case["scale_to_zero"], case["bad"]) == ("RollBack", True, 1)
    canary = stage.deployment("canary")
    assert (canary["spec"]["replicas"], stage.image("canary")) == (0, "bad:1")
    pods = stage.http.get(f"/api/v1/namespaces/{stage.namespace}/pods?labelSelector=app=canary")["items"]
    assert pods == []
    assert stage.verdicts()["bad:1"] == "condemned"
    [message] = stage.posted("canary")
    first = message.text.splitlines()[0]
    assert first.startswith("🚨 Scaled `canary` in `us-east-1` to zero: revision 1 has no earlier one to go back to.")
    assert "✅ Verified" in message.text
    [case] = stage.closed("verified", deployment="stable")
    assert (stage.image("stable"), stage.deployment("stable")["spec"]["replicas"]) == ("good:1", 2)
    assert sorted(i.status for i in stage.pagerduty.incidents) == ["resolved", "resolved"]
    stage.stays(lambda: len(stage.cases()) == 2, 4, "what is scaled to 0 is not judged any more")
    assert (stage.patches("canary"), stage.patches("stable")) == (1, 1)
    assert stage.vendors.violations == []
