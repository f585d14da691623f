"""Each of the runbook's triggers, and the release that breaches none: from the metric to the closed case."""

from __future__ import annotations

import time

from tests.scenarios.conftest import MakeStage
from tests.scenarios.stage import Stage
from tests.scenarios.traffic import Behaviour

GOOD, BAD = Behaviour(rate=40, error_share=0.0, latency=0.05), Behaviour(rate=40, error_share=0.2, latency=0.05)
SLOW = Behaviour(rate=40, error_share=0.0, latency=2.0)


def test_good_rollout(short_stage: Stage) -> None:
    """A rollout that stays healthy is proven at the end of its watch, and nobody hears of it."""
    stage = short_stage
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("good:2", GOOD)
    stage.ship("good:1")
    stage.start()
    stage.ship("good:2")
    stage.until(lambda: stage.verdicts().get("good:2") == "proven", "revision 2 is proven")
    assert stage.cases() == []
    assert stage.posted() == ()
    assert stage.pagerduty.requests == []
    assert stage.image() == "good:2"


def test_error_rate(stage: Stage) -> None:
    """Errors above 1 % are rolled back in one patch, verified, paged and announced in the runbook's words."""
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("bad:2", BAD)
    stage.ship("good:1", annotations={"example.com/owner": "shop"})
    before = stage.deployment()
    stage.start()
    stage.ship("bad:2")
    [case] = stage.closed("verified")
    assert (case["action"], case["reason"], case["bad"]) == ("RollBack", "above-threshold", 2)
    after = stage.deployment()
    assert after["spec"] == before["spec"]
    assert after["metadata"]["annotations"]["example.com/owner"] == "shop"
    assert stage.verdicts()["bad:2"] == "condemned"
    [message] = stage.posted()
    first = message.text.splitlines()[0]
    assert first.startswith(
        "🚨 Rolled back `checkout` in `us-east-1` from revision 2 to revision 1. Reason: error-rate "
    )
    assert first.endswith(". Investigating root cause.")
    assert "<!subteam^S0123ABCD>" in message.text
    [incident] = stage.pagerduty.incidents
    assert incident.html_url in message.text
    assert "✅ Verified" in message.text
    assert incident.status == "resolved"
    assert [note for note in incident.notes if "Verified" in note]
    assert stage.slack.violations == stage.pagerduty.violations == []


def test_latency(stage: Stage) -> None:
    """A p99 over the Deployment's own SLO is rolled back."""
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("slow:2", SLOW)
    stage.ship("good:1", annotations={"canary-watch.io/slo-p99": "300ms"})
    stage.start()
    stage.ship("slow:2")
    [case] = stage.closed("verified")
    assert (case["policy"], case["check"], case["evidence"]["threshold"]) == ("latency-p99", "latency-p99", 0.3)
    assert stage.image() == "good:1"


def test_failed_smoke_job(stage: Stage) -> None:
    """A labelled Job that fails for the new revision rolls it back; one that failed before it does not."""
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("good:2", GOOD)
    stage.ship("good:1")
    stage.smoke_job("old", passes=False)
    stage.until(lambda: stage.job_ended("old"), "the old smoke test has failed")
    time.sleep(1.1)  # creation times have whole seconds
    stage.ship("good:2")
    stage.start()
    stage.until(lambda: "1 rollouts under watch" in stage.daemons[0].said(), "revision 2 is under watch")
    stage.stays(lambda: stage.cases() == [], 3, "the old Job says nothing of revision 2")
    stage.smoke_job("new", passes=False)
    [case] = stage.closed("verified")
    assert (case["check"], case["reason"]) == ("smoke-tests", "smoke-test-failed")
    assert "Job new failed" in case["said"]


def test_failing_probe(make_stage: MakeStage) -> None:
    """An HTTP probe that fails three times running rolls the new revision back."""
    stage = make_stage(policies=("smoke-probe",))
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("good:2", GOOD)
    stage.ship("good:1")
    stage.start()
    stage.ship("good:2")
    asked = len(stage.traffic.pods.requests)
    probed = lambda: sum(r.path == "/smoke" for r in stage.traffic.pods.requests[asked:]) > 1  # noqa: E731 - named
    stage.until(probed, "the probe was answered 200, and asked again")
    assert stage.cases() == []
    stage.traffic.pods.statuses["/smoke"] = 500
    stage.until(lambda: stage.image() == "good:1", "revision 2 is rolled back")
    stage.traffic.pods.statuses["/smoke"] = 200
    [case] = stage.closed("verified")
    assert case["reason"] == "smoke-test-failed"
    assert "3 times running" in case["said"]
