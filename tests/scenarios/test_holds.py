"""Holds: what keeps a rollback back is said and paged once, and what ends it ends well."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from tests.scenarios.stage import Stage
from tests.scenarios.test_triggers import BAD, GOOD

PAUSE = "canary-watch.io/pause"


def test_breach_older_than_the_rollout(stage: Stage) -> None:
    """Errors older than the rollout hold it: said and paged once, nothing is rolled back; health resolves it."""
    stage.traffic.set_behaviour("bad:1", BAD)
    stage.traffic.set_behaviour("bad:2", BAD)
    stage.ship("bad:1")
    time.sleep(10)  # the real Prometheus must have seen errors for longer than `for` before the rollout
    stage.start()
    stage.ship("bad:2")
    stage.until(lambda: len(stage.posted()) == 1, "the hold is said")
    [case] = stage.cases()
    assert (case["action"], case["reason"]) == ("Hold", "older-than-rollout")
    stage.stays(lambda: stage.image() == "bad:2" and len(stage.posted()) == 1, 5, "said once, nothing rolled back")
    assert [i.status for i in stage.pagerduty.incidents] == ["triggered"]
    stage.traffic.set_behaviour("bad:2", GOOD)
    stage.closed("recovered")
    assert [i.status for i in stage.pagerduty.incidents] == ["resolved"]
    assert "Recovered" in stage.posted()[0].text


def test_pause_and_resume(stage: Stage) -> None:
    """Under a pause a breach is said and paged, not rolled back; resumed, it is rolled back under the same incident.

    The message is the same as well; that it has turned is said in its thread, and in the channel.
    """
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("bad:2", BAD)
    stage.ship("good:1")
    stage.cli("pause", f"{stage.namespace}/checkout", "--reason", "load test")
    stage.start()
    stage.ship("bad:2")
    stage.until(lambda: len(stage.posted()) == 1, "the hold is said")
    assert "paused" in stage.posted()[0].text
    assert "load test" in stage.posted()[0].text
    stage.stays(lambda: stage.image() == "bad:2" and len(stage.posted()) == 1, 4, "held")
    stage.cli("resume", f"{stage.namespace}/checkout")
    stage.closed("verified")
    assert stage.image() == "good:1"
    assert [i.status for i in stage.pagerduty.incidents] == ["resolved"]
    [message] = stage.posted()
    assert (message.edits[0].split()[0], message.text.split()[0]) == ("✋", "🚨")
    [turned] = [reply.text for reply in stage.thread(message) if reply.broadcast]
    assert turned.startswith("<!subteam^S0123ABCD> Cluster test-cluster: ⚠️ `checkout` in `us-east-1` is to be rolled")


def test_pause_until(stage: Stage) -> None:
    """A pause until a time ends by itself then."""
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("bad:2", BAD)
    stage.ship("good:1")
    until = time.time() + 15
    stage.annotate({PAUSE: datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")})
    stage.start()
    stage.ship("bad:2")
    stage.until(lambda: stage.image() == "good:1", "rolled back after the pause")
    assert time.time() >= int(until)
    stage.closed("verified")


def test_pause_of_namespace_and_cluster(stage: Stage) -> None:
    """The same annotation on the Namespace, or on the daemon's own for the whole cluster, holds too."""
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("bad:2", BAD)
    stage.ship("good:1")
    stage.annotate_namespace(stage.namespace, {PAUSE: "true"})
    stage.annotate_namespace(stage.home, {PAUSE: "true"})
    stage.start()
    stage.ship("bad:2")
    stage.until(lambda: len(stage.posted()) == 1, "the hold is said")
    assert f"Namespace {stage.namespace}" in stage.posted()[0].text
    stage.annotate_namespace(stage.namespace, {PAUSE: None})
    stage.stays(lambda: stage.image() == "bad:2", 4, "the whole cluster is still paused")
    stage.annotate_namespace(stage.home, {PAUSE: None})
    stage.closed("verified")
    assert stage.image() == "good:1"


def test_a_pause_that_cannot_be_read(stage: Stage) -> None:
    """A pause that is neither `"true"` nor a time holds, and says what would be right."""
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("bad:2", BAD)
    stage.ship("good:1")
    stage.annotate({PAUSE: "until monday"})
    stage.start()
    stage.ship("bad:2")
    stage.until(lambda: len(stage.posted()) == 1, "the hold is said")
    assert "RFC 3339" in stage.posted()[0].text
    assert stage.image() == "bad:2"


def test_spec_paused(stage: Stage) -> None:
    """A Deployment whose rollout is paused by spec.paused is held; unpaused, it is rolled back."""
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("bad:2", BAD)
    stage.ship("good:1")
    stage.ship("bad:2")
    stage.http.change(stage.path(), {"spec": {"paused": True}})
    stage.start()
    stage.until(lambda: len(stage.posted()) == 1, "the hold is said")
    assert stage.cases()[0]["reason"] == "spec-paused"
    assert stage.image() == "bad:2"
    stage.http.change(stage.path(), {"spec": {"paused": None}})
    stage.closed("verified")
    assert stage.image() == "good:1"
