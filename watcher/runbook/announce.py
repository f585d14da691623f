"""Step 4 of the runbook: the message in #deploy, posted once for each case, and kept true to the case from then on."""

from __future__ import annotations

from watcher.runbook import messages
from watcher.runbook.case import Case
from watcher.runbook.ports import Announcer
from watcher.runbook.step import Outcome

LOOK_BACK = 120.0  # seconds before the case was opened: clocks differ


class Announce:
    """Post the message; change it whenever the case says something new.

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
        return not record.over or (record.state == "done" and record.result.get("text") != self.text(case))

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
        if place is None and record.attempts > 1:
            place = self._announcer.find(key, case.opened - LOOK_BACK)
        if place is None:
            place = self._announcer.post(text, key)
        elif record.result.get("text") != text:
            self._announcer.update(place, text)
        return Outcome("done", {"place": dict(place), "key": key, "text": text}, "announced")
