"""Step 4 of the runbook: the message in #deploy, posted once for each case, and kept true to the case from then on."""

from __future__ import annotations

from collections.abc import Mapping

from watcher.runbook import messages
from watcher.runbook.case import ALARMING, Case
from watcher.runbook.ports import Announcer
from watcher.runbook.step import Outcome
from watcher.systems.fault import Fault

LOOK_BACK = 120.0  # seconds before the case was opened: clocks differ


class Announce:
    """Post the message; change it whenever the case says something new; and post an alarm where the end is a bad one.

    `write_ahead`: the attempt is recorded before it is made. One that was cut off may have posted, so that the message
    is looked for, by the key that it carries, before it is posted again.
    """

    name = "announce"
    lane = "slack"
    write_ahead = True

    def __init__(self, announcer: Announcer | None, contacts: messages.Contacts) -> None:
        self._announcer = announcer
        self._contacts = contacts

    def due(self, case: Case) -> bool:
        """After the page was tried, for its link; and again when the message no longer says what the case says."""
        if not case.step("page").tried:
            return False
        record = case.step("announce")
        told = record.result.get("text") == self.text(case) and record.result.get("alarm") == self._alarm_key(case)
        return not record.over or (record.state == "done" and not told)

    def text(self, case: Case) -> str:
        """The message as it should stand now."""
        return messages.announcement(case, self._contacts)

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Post, or change what was posted."""
        if self._announcer is None:
            return Outcome("skipped", said="Slack is not configured")
        text, key = self.text(case), f"{case.id}/{case.action}"
        record = case.step("announce")
        place = record.result.get("place") if record.result.get("key") == key else None
        if place is not None and record.result.get("text") != text:
            self._announcer.update(place, text)
        former = record.result if record.result.get("key") not in (None, key) else None
        if former:
            self._announcer.update(former["place"], f"{former['text']}\n{messages.NO_LONGER}")
        if place is None:
            place = self._found_or_posted(self._announcer, case, key, text)
        alarm = self._alarm_key(case)
        if alarm and record.result.get("alarm") != alarm:
            self._found_or_posted(self._announcer, case, alarm, messages.alarm(case, self._contacts))
        return Outcome("done", {"place": dict(place), "key": key, "text": text, "alarm": alarm}, "announced")

    def _alarm_key(self, case: Case) -> str | None:
        """The key of the alarm that the case's end calls for: nobody is told by an edit."""
        return f"{case.id}/{case.outcome}" if case.outcome in ALARMING else None

    def _found_or_posted(self, announcer: Announcer, case: Case, key: str, text: str) -> Mapping[str, str]:
        """Post, unless an earlier attempt is found to have posted. The first attempt needn't look."""
        if case.step("announce").attempts > 1:
            try:
                place = announcer.find(key, case.opened - LOOK_BACK)
            except Fault as fault:
                if not fault.lasting:
                    raise
                place = None  # the app may post there but not read: a message twice is better than none
            if place is not None:
                announcer.update(place, text)
                return place
        return announcer.post(text, key)
