"""When the blameless review is held (runbook, Post-Rollback: within 48 hours), and its invitation. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from watcher.runbook.document import plain, readable, web_address

SLOT = 3600.0  # seconds that a review takes
FIRST_HOUR, LAST_HOUR = 9, 15  # a review in the daytime begins at 09:00 at the earliest and ends by 16:00
REST = 16 * 3600.0  # seconds after the end in which nobody has to review, if that can be
HEAD_START = 3600.0  # seconds at least, to gather what is known
HORIZON = 8 * 86400.0  # seconds to look ahead: there is a working day in it, whatever the weekday
ALARM = timedelta(minutes=-15)


def review_at(ended: float, within: float, zone: str = "UTC") -> float:
    """Say when the review begins, so that its hour is over at most `within` seconds after `ended` (epoch seconds).

    `zone` is an IANA time zone; ValueError says that it is none. The first of these that there is:

    1. the earliest full hour on a working day (Monday to Friday) in the daytime (09:00 to 16:00), 16 hours or more
       after the end;
    2. the latest such hour on a working day, an hour or more after the end;
    3. the latest such hour on any day: 48 hours after a Friday evening are over on Sunday;
    4. the last full hour that fits;
    5. the last hour that fits, or at once where `within` is shorter than the review.
    """
    place, latest = _zone(zone), ended + min(within, HORIZON) - SLOT
    hours = [hour for hour in _daytime(ended, latest, place) if hour >= ended + HEAD_START]
    working = [hour for hour in hours if datetime.fromtimestamp(hour, place).weekday() < 5]
    rested = [hour for hour in working if hour >= ended + REST]
    for found in (rested[:1], working[-1:], hours[-1:]):
        if found:
            return found[0]
    full = datetime.fromtimestamp(latest, place).replace(minute=0, second=0, microsecond=0).timestamp()
    return full if ended <= full <= latest else max(ended, latest)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no IANA time zone; right would be UTC or Europe/Berlin") from None


def _daytime(ended: float, latest: float, zone: ZoneInfo) -> Iterator[float]:
    """Every full hour in the daytime at which a review can begin, in order."""
    first = datetime.fromtimestamp(ended, zone)
    last = datetime.fromtimestamp(latest, zone)
    for days in range((last.date() - first.date()).days + 1):
        date = first.date() + timedelta(days=days)
        for hour in range(FIRST_HOUR, LAST_HOUR + 1):
            moment = datetime(date.year, date.month, date.day, hour, tzinfo=zone).timestamp()
            if ended <= moment <= latest:
                yield moment


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the invitation says. `uid` comes from the case's id, so that a second file changes no second meeting.

    `start` and `stamp` (when it was written) in epoch seconds.
    """

    uid: str
    start: float
    stamp: float
    summary: str
    description: str
    url: str = ""


def invitation(details: Invitation) -> bytes:
    """Write the review's iCalendar file (RFC 5545), times in UTC.

    It is a PUBLISH (RFC 5546, 3.2.1), which names no attendees: whoever reads the thread puts it in their calendar.
    """
    from icalendar import Alarm, Calendar, Event  # noqa: PLC0415 - 0.1 s, once in a case

    summary = plain(details.summary, 250)
    event, start = Event(), _utc(details.start)
    event.add("uid", plain(details.uid, 250))
    event.add("dtstamp", _utc(details.stamp))
    event.add("dtstart", start)
    event.add("dtend", start + timedelta(seconds=SLOT))
    event.add("sequence", 0)
    event.add("summary", summary)
    event.add("description", readable(details.description))
    if web_address(details.url):
        event.add("url", details.url)
    alarm = Alarm()
    alarm.add("action", "DISPLAY")
    alarm.add("trigger", ALARM)
    alarm.add("description", summary)
    event.add_component(alarm)
    calendar = Calendar()
    calendar.add("prodid", "-//canary-watch//blameless review//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add_component(event)
    return bytes(calendar.to_ical())


def _utc(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC).replace(microsecond=0)
