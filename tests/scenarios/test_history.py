"""Rollouts after rollouts: what is bad goes back to the last good one, what is good stays, a revert is no rollout."""

from __future__ import annotations

import time

from tests.scenarios.stage import Stage
from tests.scenarios.test_triggers import BAD, GOOD


def test_good_bad_bad_good(stage: Stage) -> None:
    """After two bad releases the Deployment is on the good one both times, and the next good release is left alone."""
    for image, behaviour in (("good:1", GOOD), ("bad:2", BAD), ("bad:3", BAD), ("good:4", GOOD)):
        stage.traffic.set_behaviour(image, behaviour)
    stage.ship("good:1")
    stage.start()
    stage.ship("bad:2")
    stage.closed("verified")
    stage.ship("bad:3")
    second = stage.closed("verified", count=2)[-1]
    assert stage.image() == "good:1"
    assert second["steps"]["confirm"]["result"]["targetImage"] == "good:1"
    stage.ship("good:4")
    stage.stays(lambda: stage.image() == "good:4" and len(stage.cases()) == 2, 8, "a good release is left alone")
    assert stage.verdicts()["bad:2"] == stage.verdicts()["bad:3"] == "condemned"
    assert [i.status for i in stage.pagerduty.incidents] == ["resolved", "resolved"]
    assert len(stage.posted()) == 2


def test_a_revert_is_not_judged(stage: Stage) -> None:
    """The rollback itself is not watched as a rollout: when the old revision fails too, nothing flips back."""
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("bad:2", BAD)
    stage.ship("good:1")
    stage.start()
    stage.ship("bad:2")
    stage.closed("verified")
    stage.traffic.set_behaviour("good:1", BAD)
    stage.stays(lambda: stage.image() == "good:1" and len(stage.cases()) == 1, 10, "the revert is not judged")
    assert "0 rollouts under watch" in stage.daemons[0].said().splitlines()[-1]


def test_the_same_bad_template_again(stage: Stage) -> None:
    """A condemned template that is shipped again is a case of its own: a person is called, and it isn't fought."""
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("bad:2", BAD)
    stage.ship("good:1")
    stage.start()
    stage.ship("bad:2")
    stage.closed("verified")
    stage.set_image("bad:2")
    cases = stage.closed("escalated", count=2)
    assert [(case["bad"], case["reason"]) for case in cases] == [(2, "above-threshold"), (4, "put-back")]
    assert (stage.image(), stage.patches()) == ("bad:2", 1)
    assert [i.status for i in stage.pagerduty.incidents] == ["resolved", "triggered"]
    assert len(stage.posted()) == 2


def test_no_earlier_revision(stage: Stage) -> None:
    """A Deployment that is bad from its creation has nothing to go back to: it is escalated, and left alone."""
    stage.traffic.set_behaviour("bad:1", BAD)
    stage.start()
    stage.ship("bad:1")
    [case] = stage.closed("escalated")
    assert (case["action"], case["reason"]) == ("Escalate", "no-earlier-revision")
    assert [i.status for i in stage.pagerduty.incidents] == ["triggered"]
    [message] = stage.posted()
    assert "can't be rolled back" in message.text
    assert stage.image() == "bad:1"


def test_a_restart_does_not_reset_for(stage: Stage) -> None:
    """`for` is read from Prometheus's history: a daemon that starts in mid-breach decides in its first pass."""
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("bad:2", BAD)
    stage.ship("good:1")
    stage.ship("bad:2")
    time.sleep(9)  # longer than the window and `for`, for the real Prometheus
    daemon = stage.start()
    stage.closed("verified")
    passes = [line for line in daemon.said().splitlines() if "INFO canary-watch " in line and " under watch, " in line]
    assert "1 RollBack (above-threshold)" in passes[0]


def test_idle(short_stage: Stage) -> None:
    """Once nothing is under watch, Prometheus is asked nothing, and the API server only for watches and the Lease."""
    stage = short_stage
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.start()
    stage.ship("good:1")
    stage.until(lambda: stage.verdicts().get("good:1") == "proven", "revision 1 is proven")
    stage.until(lambda: "0 rollouts under watch" in stage.daemons[0].said(), "nothing is under watch")
    queries, requests = len(stage.prometheus.requests), len(stage.gate.requests)
    stage.stays(lambda: len(stage.prometheus.requests) == queries, 4, "no query while nothing is under watch")
    asked = {(r.method, "watch" in r.query, r.path.rsplit("/", 2)[-2]) for r in stage.gate.requests[requests:]}
    assert {kind for kind in asked if not kind[1]} == {("PUT", False, "leases")}
