"""A rollback that doesn't help is said so, plainly and loudly, and its incident stays open."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.scenarios.conftest import MakeStage
from tests.scenarios.stage import Stage
from tests.scenarios.test_triggers import BAD, GOOD


@pytest.fixture
def impatient(make_stage: MakeStage) -> Iterator[Stage]:
    """A stage on which a rollback has 6 s to be verified."""
    stage = make_stage(verify_within="6s")
    yield stage
    stage.traffic.pods.statuses["/readyz"] = 200


def ship_bad(stage: Stage) -> None:
    """A bad release on top of a good one."""
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("bad:2", BAD)
    stage.ship("good:1")
    stage.start()
    stage.ship("bad:2")


def said_plainly(stage: Stage, why: str) -> None:
    """The message is edited, an alarm shown in the channel, and the incident left open, all with the reason."""
    [message] = stage.posted()
    [alarm] = [reply for reply in stage.thread(message) if reply.broadcast]
    assert message.text.startswith("🚨 Rolled back `checkout`")
    for text in (message.text, alarm.text):
        assert "NOT verified within 6 s" in text
        assert why in text
    assert alarm.text.startswith("<!subteam^S0123ABCD>")
    [incident] = stage.pagerduty.incidents
    assert incident.status == "triggered"
    assert [note for note in incident.notes if why in note]
    assert stage.slack.violations == stage.pagerduty.violations == []


def test_readyz_does_not_answer_200(impatient: Stage) -> None:
    """Pods that are rolled back, but say on /readyz that they aren't ready, are no verified rollback."""
    impatient.traffic.pods.statuses["/readyz"] = 503
    ship_bad(impatient)
    [case] = impatient.closed("not-verified")
    assert impatient.image() == "good:1"
    assert [part["name"] for part in case["steps"]["verify"]["result"]["parts"] if not part["holds"]] == ["readyz"]
    said_plainly(impatient, "/readyz answers 200 on 0 of 2 pods")


def test_the_check_stays_over_its_threshold(impatient: Stage) -> None:
    """Errors that go on after the rollback are no verified rollback either."""
    ship_bad(impatient)
    impatient.until(lambda: impatient.image() == "good:1", "revision 2 is rolled back")
    impatient.traffic.set_behaviour("good:1", BAD)
    [case] = impatient.closed("not-verified")
    assert "check" in [part["name"] for part in case["steps"]["verify"]["result"]["parts"] if not part["holds"]]
    said_plainly(impatient, "above 1 %")
