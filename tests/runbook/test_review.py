"""The review: always within its 48 hours, in the daytime of a working day where that can be, and its invitation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from icalendar import Calendar

from tests.runbook.parts import NOW
from watcher.runbook.review import Invitation, invitation, review_at

HOUR = 3600.0
WITHIN = 48 * HOUR
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Kiritimati")


def local(text: str, zone: str = "UTC") -> float:
    """Epoch seconds of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@given(st.floats(0, 4e9), st.floats(HOUR, 400 * HOUR) | st.just(WITHIN), st.sampled_from(ZONES))
@example(1e9, 1e18, "UTC")
def test_always_within(ended: float, within: float, zone: str) -> None:
    """Whenever it ended, wherever the team is: the review begins after the end and is over in time."""
    start = review_at(ended, within, zone)
    assert ended <= start
    assert start + HOUR <= ended + within + 0.001


@given(st.floats(0, 4e9), st.floats(0, HOUR))
def test_at_once_where_there_is_no_time(ended: float, within: float) -> None:
    """With less time than a review takes, it begins at once, never before the end."""
    assert ended <= review_at(ended, within) <= ended + 0.001


@given(st.floats(0, 4e9), st.sampled_from(ZONES))
def test_rested_on_a_working_day_where_that_can_be(ended: float, zone: str) -> None:
    """It is at night or on a weekend only where the 48 hours leave nothing else."""
    start = datetime.fromtimestamp(review_at(ended, WITHIN, zone), ZoneInfo(zone))
    assert (start.minute, start.second) == (0, 0)
    assert 9 <= start.hour <= 15
    end = datetime.fromtimestamp(ended, ZoneInfo(zone))
    if end.weekday() in (6, 0, 1, 2):  # Sunday to Wednesday
        assert start.weekday() < 5
        assert start.timestamp() >= ended + 16 * HOUR


TIMES = {
    "in the night: next morning but one night": ("2027-01-12T02:00", WITHIN, "UTC", "2027-01-13T09:00"),
    "at noon: next morning": ("2027-01-12T12:00", WITHIN, "UTC", "2027-01-13T09:00"),
    "in the evening: 16 hours later": ("2027-01-12T18:30", WITHIN, "UTC", "2027-01-13T11:00"),
    "on Friday in the morning: the same afternoon": ("2027-01-15T08:00", WITHIN, "UTC", "2027-01-15T15:00"),
    "on Friday at the last moment": ("2027-01-15T14:00", WITHIN, "UTC", "2027-01-15T15:00"),
    "on Friday, no head start left: on Sunday": ("2027-01-15T14:01", WITHIN, "UTC", "2027-01-17T13:00"),
    "on Friday night: on Sunday": ("2027-01-15T23:00", WITHIN, "UTC", "2027-01-17T15:00"),
    "on Saturday in the morning: late on Monday it is too late": (
        "2027-01-16T08:00",
        WITHIN,
        "UTC",
        "2027-01-17T15:00",
    ),
    "on Saturday at noon: on Monday": ("2027-01-16T12:00", WITHIN, "UTC", "2027-01-18T09:00"),
    "five days: on Monday": ("2027-01-15T23:00", 120 * HOUR, "UTC", "2027-01-18T09:00"),
    "where the team is": ("2027-01-12T02:00", WITHIN, "America/New_York", "2027-01-13T09:00"),
    "over the change to summer time": ("2027-03-28T01:30", WITHIN, "Europe/Berlin", "2027-03-29T09:00"),
    "half hours from UTC": ("2027-01-12T02:10", WITHIN, "Asia/Kolkata", "2027-01-13T09:00"),
    "only hours, in the day": ("2027-01-12T09:30", 6 * HOUR, "UTC", "2027-01-12T14:00"),
    "only hours, in the night: the last full hour": ("2027-01-12T00:20", 4 * HOUR, "UTC", "2027-01-12T03:00"),
    "no full hour fits: the last hour": ("2027-01-12T00:20", 1.5 * HOUR, "UTC", "2027-01-12T00:50"),
}


@pytest.mark.parametrize(("ended", "within", "zone", "start"), TIMES.values(), ids=TIMES.keys())
def test_when_it_is(ended: str, within: float, zone: str, start: str) -> None:
    """The rule, case by case, in local time. 15 January 2027 is a Friday."""
    assert review_at(local(ended, zone), within, zone) == local(start, zone)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "/etc/localtime", "Europe"])
def test_refuses_an_unknown_zone(zone: str) -> None:
    """What is no time zone is a ValueError that says what would be right."""
    with pytest.raises(ValueError, match="right would be UTC"):
        review_at(NOW, WITHIN, zone)


DETAILS = Invitation(
    uid="prod/shop/checkout/r2-uid-of-c@canary-watch",
    start=NOW + 25 * HOUR + 0.9,
    stamp=NOW,
    summary="Blameless review: shop/checkout, prod, us-east-1 🚨",
    description="Rolled back; errors 4 %, above 1 %.\nRead: C:\\new, \"quoted\"; 'a:b'",
    url="https://jira.example/browse/OPS-7?a=1,2;b=3",
)


def event_of(file: bytes) -> tuple[Any, Any]:
    """The calendar in a file, and its one event."""
    calendar = Calendar.from_ical(file)
    (event,) = calendar.walk("VEVENT")
    return calendar, event


def test_invitation() -> None:
    """Who parses the file finds what was put in: one hour, in UTC, with an alarm a quarter of an hour before."""
    calendar, event = event_of(invitation(DETAILS))
    assert (calendar["VERSION"], calendar["METHOD"]) == ("2.0", "PUBLISH")
    start = datetime.fromtimestamp(NOW + 25 * HOUR, UTC)
    assert [event[key].dt for key in ("DTSTAMP", "DTSTART", "DTEND")] == [
        datetime.fromtimestamp(NOW, UTC),
        start,
        start + timedelta(hours=1),
    ]
    assert b"DTSTART:20270116T090000Z" in invitation(DETAILS)
    assert (event["UID"], event["SEQUENCE"]) == (DETAILS.uid, 0)
    assert (event["SUMMARY"], event["DESCRIPTION"]) == (DETAILS.summary, DETAILS.description)
    assert event["URL"] == DETAILS.url
    assert not {"ORGANIZER", "ATTENDEE"} & set(event)
    (alarm,) = event.walk("VALARM")
    assert (alarm["ACTION"], alarm["TRIGGER"].dt) == ("DISPLAY", timedelta(minutes=-15))


def test_the_same_case_is_the_same_event() -> None:
    """A file made again holds the same UID, so that a calendar has one review."""
    assert invitation(DETAILS) == invitation(DETAILS)


texts = st.text(st.sampled_from('\r\n,;:\\"\t n🚨é\x00\ud800') | st.characters(), max_size=200)


@given(texts, texts, texts)
@settings(deadline=None)
def test_no_text_breaks_the_file(summary: str, description: str, url: str) -> None:
    """Whatever the texts hold: lines end in CRLF and have 75 bytes at most, and there is one event with one alarm."""
    file = invitation(Invitation(f"case {url}", NOW, NOW, summary, description, url=url))
    assert file.endswith(b"\r\n")
    lines = file.split(b"\r\n")
    assert max(map(len, lines)) <= 75
    assert all(sign >= 32 or sign == 9 for line in lines for sign in line)
    file.decode("utf-8")
    calendar, event = event_of(file)
    assert [part.name for part in calendar.walk()] == ["VCALENDAR", "VEVENT", "VALARM"]
    assert str(event["SUMMARY"]).split() == str(event.walk("VALARM")[0]["DESCRIPTION"]).split()
    assert not event.errors
