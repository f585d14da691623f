"""Pauses: what holds, until when, and what is said."""

from __future__ import annotations

import pytest

from tests.judgement.made import START
from watcher.judgement.model import Pause
from watcher.judgement.pauses import PAUSE, PAUSE_REASON, pause_in, say_pause


def read(text: str, reason: str = "") -> Pause | None:
    """Read one annotation at 2027-01-15T08:00:00Z."""
    return pause_in({PAUSE: text, PAUSE_REASON: reason} if reason else {PAUSE: text}, "Deployment shop/checkout", START)


def test_nothing_is_paused_without_the_annotation() -> None:
    """A reason alone, left behind by somebody, pauses nothing."""
    assert pause_in({PAUSE_REASON: "load test"}, "Namespace shop", START) is None


def test_true_pauses_until_it_is_removed() -> None:
    """`"true"` has no end, and the line shown to people says where it is, how it ends, and why it is there."""
    pause = read("true", "load test until noon")
    assert pause == Pause("Deployment shop/checkout", None, "load test until noon")
    said = "paused on Deployment shop/checkout until the annotation is removed (load test until noon)"
    assert say_pause(pause) == said


@pytest.mark.parametrize("text", ["2027-01-15T08:00:01Z", "2027-01-15T09:00:01+01:00", "2027-01-15T08:00:00.5Z"])
def test_a_time_to_come_pauses_until_then(text: str) -> None:
    """An RFC 3339 time in the future pauses, whichever zone it is written in, and the end is shown in UTC."""
    pause = read(text)
    assert pause is not None
    assert pause.flaw == ""
    assert pause.until is not None
    assert START < pause.until <= START + 1
    assert "until 2027-01-15T08:00:0" in say_pause(pause)


@pytest.mark.parametrize("text", ["2027-01-15T08:00:00Z", "2027-01-15T07:59:59Z", "2020-01-01T00:00:00-05:00"])
def test_a_time_that_has_come_pauses_no_longer(text: str) -> None:
    """A pause ends by itself, at its very time."""
    assert read(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "True",
        "yes",
        "false",
        " true",
        "2h",
        "2027-01-15T08:00:00",
        "2020-01-01T00:00:00",
        "2027-01-15",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_anything_else_holds_and_says_so(text: str) -> None:
    """What can't be read holds rather than not, names the mistake and the right form, and never ends a pass."""
    pause = read(text, "because")
    assert pause is not None
    assert pause.until is None
    said = say_pause(pause)
    assert repr(text) in said
    assert "(because)" in said
    assert '"true" nor an RFC 3339 time such as "2026-11-01T10:00:00Z"' in said


def test_messages_stay_short() -> None:
    """An annotation of 256 KiB makes no message of that length."""
    pause = read("x" * 200_000, "y" * 200_000)
    assert pause is not None
    assert len(say_pause(pause)) < 1000


def test_the_last_time_that_can_be_written_pauses() -> None:
    """A pause "for ever", written as the year 9999, is a time like any other."""
    pause = read("9999-12-31T23:59:59Z")
    assert pause is not None
    assert "until 9999-12-31T23:59:59Z" in say_pause(pause)
