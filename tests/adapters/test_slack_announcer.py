"""Slack as the steps see it: a place is a mapping, and a message that somebody deleted is told from other failures."""

from __future__ import annotations

import time

import pytest

from watcher.adapters import SlackAnnouncer
from watcher.runbook.thread import Gone
from watcher.sandbox.slack import Slack as StandIn
from watcher.systems.fault import Fault
from watcher.systems.slack import Slack


@pytest.fixture
def announcer(slack: Slack) -> SlackAnnouncer:
    """As the daemon makes it."""
    return SlackAnnouncer(slack)


def test_a_case_has_one_place(slack_api: StandIn, announcer: SlackAnnouncer) -> None:
    """What was posted is found by its key, changed, replied to and given files, by the place alone."""
    begun = time.time()
    place = announcer.post("to be rolled back", "case-1")
    announcer.update(place, "rolled back")
    announcer.reply(place, "verified", "case-1/verify", broadcast=False)
    announcer.upload(place, "chart.png", b"\x89PNG", "errors")
    assert announcer.find("case-1", begun) == place
    assert announcer.find("case-1/verify", begun) is None
    assert announcer.known(place) == {"case-1/verify", "chart.png"}
    assert [m.text for m in slack_api.top] == ["rolled back"]


def test_a_deleted_message_is_gone(slack_api: StandIn, announcer: SlackAnnouncer) -> None:
    """Reading its thread and replying say so, as nothing else does; whatever would be tried again fails again."""
    place = announcer.post("rolled back", "case-1")
    slack_api.messages = ()
    with pytest.raises(Gone) as caught:
        announcer.known(place)
    assert caught.value.lasting
    with pytest.raises(Gone):
        announcer.reply(place, "verified", "case-1/verify", broadcast=False)
    slack_api.violations.clear()


@pytest.mark.parametrize("mode", ["500", "429", "html", "timeout"])
def test_any_other_failure_is_not(slack_api: StandIn, announcer: SlackAnnouncer, mode: str) -> None:
    """A message is not taken for deleted because Slack can't be asked."""
    place = announcer.post("rolled back", "case-1")
    slack_api.inject(mode)  # type: ignore[arg-type]
    for call in (lambda: announcer.known(place), lambda: announcer.reply(place, "x", "k", broadcast=True)):
        with pytest.raises(Fault) as caught:
            call()
        assert not isinstance(caught.value, Gone)


def test_a_revoked_token_is_not(slack_api: StandIn, announcer: SlackAnnouncer) -> None:
    """A lasting refusal of another kind is no deleted message either."""
    place = announcer.post("rolled back", "case-1")
    slack_api.token = "another"
    with pytest.raises(Fault, match="invalid_auth") as caught:
        announcer.known(place)
    assert not isinstance(caught.value, Gone)
