"""Step 4 of the runbook: the message in #deploy, posted once for each case, and kept true to the case from then on.

What happens afterwards goes into its thread: `thread`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from watcher.runbook import messages
from watcher.runbook.case import Case
from watcher.runbook.ports import Announcer
from watcher.runbook.step import Outcome
from watcher.systems.fault import Fault

LOG = logging.getLogger("canary-watch.runbook")

LOOK_BACK = 600.0  # seconds before the case was opened: clocks differ, that of a person's machine most of all

# What the first message says, or whom it tags: it isn't posted before each has been tried once.
FIRST = ("confirm", "oncall", "page")


class Announce:
    """Post the message, and change it whenever the case says something new.

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
        if not all(case.step(name).tried for name in FIRST if not (name == "confirm" and case.outcome)):
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
        record, text = case.step("announce"), self.text(case)
        place = record.result.get("place")
        if place is not None:
            _edit(self._announcer, place, text)
            return Outcome("done", {**record.result, "text": text}, "the message is up to date")
        place, said_then = self._found_or_posted(self._announcer, case, text)
        turn = {"turn": case.turn} if said_then else {}
        return Outcome("done", {"place": dict(place), "text": text, **turn}, "announced")

    def _found_or_posted(self, announcer: Announcer, case: Case, text: str) -> tuple[Mapping[str, str], bool]:
        """Post, unless an earlier attempt is found to have posted. The first attempt needn't look.

        Also says whether this text was posted: one that is found may have been posted before the case turned.
        """
        if case.step("announce").attempts > 1:
            try:
                place = announcer.find(case.id, case.opened - LOOK_BACK)
            except Fault as fault:
                if not fault.lasting:
                    raise
                place = None  # the app may post there but not read: a message twice is better than none
            if place is not None:
                _edit(announcer, place, text)
                return place, False
        return announcer.post(text, case.id), True


def _edit(announcer: Announcer, place: Mapping[str, str], text: str) -> None:
    """Change a message. One that can't be changed any more, deleted or too old, must not stop what is new."""
    try:
        announcer.update(place, text)
    except Fault as fault:
        if not fault.lasting:
            raise
        LOG.warning("a message can't be edited: %s", fault.said)
