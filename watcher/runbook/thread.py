"""The thread under a case's message: a reply for each step's outcome, and the chart of the breached check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from watcher.runbook.announce import LOOK_BACK
from watcher.runbook.case import Case, StepRecord
from watcher.runbook.messages import Contacts
from watcher.runbook.ports import Announcer, Figures
from watcher.runbook.replies import Reply, replies
from watcher.runbook.step import Outcome
from watcher.systems.fault import Fault

CHART_ATTEMPTS = 5  # then the case goes on without
LASTING_ATTEMPTS = 3  # in a row; then a fault that lasts is the last word


class Gone(Fault):
    """The message that a thread hangs on is no longer there: somebody has deleted it."""


class Thread:
    """Post what the thread lacks.

    `write_ahead`: after an attempt that was cut off, the thread is read first, for each reply carries its key.
    """

    name = "thread"
    lane = "slack"
    write_ahead = True

    def __init__(self, announcer: Announcer | None, contacts: Contacts) -> None:
        self._announcer = announcer
        self._contacts = contacts

    def due(self, case: Case) -> bool:
        """Whenever the case has something to say that the thread doesn't have, and it is known whom to tag."""
        there = self._announcer is not None and place_of(case) is not None
        return there and case.step("oncall").tried and bool(self._missing(case))

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Post each reply that isn't there yet."""
        place = place_of(case)
        if self._announcer is None or place is None:
            return Outcome("skipped", said="there is no message to reply to")
        record, missing = case.step("thread"), self._missing(case)
        try:
            known = known_in(self._announcer, place) if record.attempts > 1 else frozenset()
            for reply in missing:
                if reply.key not in known:
                    self._announcer.reply(place, reply.text, reply.key, broadcast=reply.broadcast)
        except Gone:
            _tell_without_thread(self._announcer, case, missing)
        told = [*(record.result.get("told") or []), *(reply.key for reply in missing)]
        return Outcome("done", {"told": told}, f"{len(missing)} replies")

    def _missing(self, case: Case) -> list[Reply]:
        told = set(case.result("thread", "told") or [])
        return [reply for reply in replies(case, self._contacts) if reply.key not in told]


def known_in(announcer: Announcer, place: Mapping[str, str]) -> frozenset[str]:
    """What a thread has; nothing where the app may post but not read: a reply twice is better than none."""
    try:
        return announcer.known(place)
    except Fault as fault:
        if isinstance(fault, Gone) or not fault.lasting:
            raise
        return frozenset()


def _tell_without_thread(announcer: Announcer, case: Case, missing: Iterable[Reply]) -> None:
    """Tell the channel what it has to know, as messages of their own; the rest went with the message."""
    for reply in missing:
        if reply.broadcast and not _is_there(announcer, case, reply.key):
            announcer.post(reply.text, reply.key)


def _is_there(announcer: Announcer, case: Case, key: str) -> bool:
    try:
        return announcer.find(key, case.opened - LOOK_BACK) is not None
    except Fault as fault:
        if not fault.lasting:
            raise
        return False


class ChartInThread:
    """Put the chart into the thread: at the end of a rollback, with the recovery; at once where nothing is done."""

    name = "chart"
    lane = "charts"
    write_ahead = True

    def __init__(self, announcer: Announcer | None, figures: Figures) -> None:
        self._announcer = announcer
        self._figures = figures

    def due(self, case: Case) -> bool:
        """Once there is a thread, and nothing more will happen that the chart should show."""
        shown = bool(case.outcome) if case.action == "RollBack" else bool(case.policy)
        return self._announcer is not None and place_of(case) is not None and shown and not case.step("chart").over

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Draw it, and upload it. A chart that can't be had doesn't keep a case open."""
        place = place_of(case)
        if self._announcer is None or place is None:
            return Outcome("skipped", said="there is no thread for it")
        record, name = case.step("chart"), chart_name(case)
        try:
            image = self._figures.chart(case, end_of(case, now))
            if image is None:
                return Outcome("skipped", said="the check has no series to draw")
            if record.attempts == 1 or name not in known_in(self._announcer, place):
                self._announcer.upload(place, name, image, f"{case.check}: {case.subject} in {case.place}")
        except Fault as fault:
            if record.failures < CHART_ATTEMPTS - 1:
                raise
            return Outcome("skipped", said=f"no chart: {fault}")
        return Outcome("done", {"file": name}, "the chart is in the thread")


def given_up(record: StepRecord, fault: Fault) -> bool:
    """Say whether a follow-up's fault is its last word: it lasts, and the attempts before it have failed, too.

    What the follow-up was about is then said in the thread, and the case is kept open for nothing.
    """
    return fault.lasting and record.failures >= LASTING_ATTEMPTS - 1


def place_of(case: Case) -> Mapping[str, str] | None:
    """Where the case's message is; None before it was posted."""
    place = case.result("announce", "place")
    return place if isinstance(place, dict) else None


def chart_name(case: Case) -> str:
    """Name the chart's file: the same each time, so that it is found again."""
    return f"{case.deployment[:60]}-r{case.bad}-{case.uid[:8]}-{case.turn}.png"


def end_of(case: Case, now: float) -> float:
    """When what a case is about was over, in epoch seconds: verified, or given up; `now` where it goes on."""
    return (case.step("verify").finished or now) if case.outcome else now
