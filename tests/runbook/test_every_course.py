"""Every course that a case can take, explored: all outcomes of all steps, in every order, with holds and turns between.

The steps' own conditions (`due`) and the pure moves of `progress` are real; what a step comes to is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

import pytest

from tests.runbook.parts import NOW, TARGET, case_of, decision
from watcher.runbook.announce import Announce
from watcher.runbook.case import Case, CaseAction, StepRecord
from watcher.runbook.confirm import Confirm
from watcher.runbook.duty import Duty
from watcher.runbook.migrate import Migrate
from watcher.runbook.migrations import needs_database_team
from watcher.runbook.oncall import OnCall
from watcher.runbook.page import MOST_LOOKUPS, Page, PageDatabaseTeam
from watcher.runbook.plan import Plan
from watcher.runbook.ports import Cluster, Pager, Probe, Recheck, Schema
from watcher.runbook.progress import GIVE_UP_AFTER, closed_if_over, converted, record_outcome, record_try
from watcher.runbook.replies import replies
from watcher.runbook.report import Report
from watcher.runbook.revert import Revert
from watcher.runbook.step import Outcome, Step
from watcher.runbook.thread import Thread
from watcher.runbook.verify import Verify
from watcher.systems.fault import Fault

NOBODY = object()  # no other step is carried out here, so that nobody else is asked


class Wall:
    """Takes every message, and finds none: an `Announcer` that never fails."""

    def find(self, key: str, since: float) -> Mapping[str, str] | None:
        """Find nothing."""
        return None

    def post(self, text: str, key: str) -> Mapping[str, str]:
        """Post."""
        return {"ts": "1"}

    def update(self, place: Mapping[str, str], text: str) -> None:
        """Change what was posted."""

    def known(self, thread: Mapping[str, str]) -> frozenset[str]:
        """Know nothing."""
        return frozenset()

    def reply(self, thread: Mapping[str, str], text: str, key: str, *, broadcast: bool) -> None:
        """Reply."""

    def upload(self, thread: Mapping[str, str], name: str, content: bytes, title: str) -> None:
        """Upload."""


class Bell:
    """As much of a `Pager` as is asked when a step may be due."""

    has_database_team = True


ANNOUNCE, THREAD = Announce(Wall(), {}), Thread(Wall(), {})
STEPS: list[Step] = [
    Confirm(cast(Cluster, NOBODY), "own"),
    Plan(cast(Cluster, NOBODY), cast(Schema, NOBODY), lambda: ()),
    Revert(cast(Cluster, NOBODY), cast(Duty, NOBODY)),
    OnCall(None),
    Page(cast(Pager, Bell())),
    PageDatabaseTeam(cast(Pager, Bell())),
    ANNOUNCE,
    THREAD,
    Verify(cast(Cluster, NOBODY), cast(Recheck, NOBODY), cast(Probe, NOBODY), lambda case: None),
    Migrate(cast(Cluster, NOBODY), cast(Schema, NOBODY), lambda: (), cast(Duty, NOBODY)),
    Report(cast(Pager, Bell())),
]
REVERTED = {"from": 2, "to": 1, "newRevision": 3}
OVERTAKEN = Outcome("done", case_outcome="overtaken")
HELD = Outcome("later", hold="paused on Namespace shop")
CARRIED = {"from": "8", "to": "7", "carried": True, "reversible": "reversible"}
BARRED = Outcome("later", {"carried": True}, hold="it drops a column", reason="destructive-migration")
FAULT = Fault("outside", "HTTP 500")
PLAIN: dict[str, list[Outcome]] = {
    "confirm": [Outcome("done", TARGET), OVERTAKEN, HELD, Outcome("later", escalate="nothing is left")],
    "plan": [Outcome("skipped")],
    "oncall": [Outcome("skipped")],
    "database-team": [Outcome("done")],
    "revert": [
        Outcome("later", again="confirm"),
        Outcome("done", REVERTED),
        OVERTAKEN,
        replace(OVERTAKEN, result=REVERTED),
        HELD,
    ],
    "verify": [Outcome("done", {}, "", outcome) for outcome in ("verified", "not-verified", "overtaken")],
    "report": [Outcome("done", {"resolved": True})],
}
# Steps whose attempts are not cut in two, and don't fail: there are courses enough.
# Steps that no other waits for: when they fail, they fail for good.
NEEDED_BY_NONE = frozenset({"announce", "verify", "report"})
AT_ONCE = frozenset({"plan", "migrate", "oncall", "thread", "database-team"})
# A release that carried a migration: fewer courses of the other steps, and none of them fails.
MIGRATING: dict[str, list[Outcome]] = {
    **PLAIN,
    "confirm": [Outcome("done", TARGET)],
    "plan": [Outcome("done", CARRIED), BARRED],
    "revert": [Outcome("done", REVERTED), HELD],
    "migrate": [Outcome("done", {"matches": True}), Outcome("done", {"failed": True}, "", "migration-failed")],
}
Choices = dict[str, list[Outcome]]
Courses = dict[str, tuple[Case, set[str]]]


def outcomes_of(step: Step, case: Case, choices: Choices) -> list[Outcome]:
    """What an attempt at the step may come to, faults left aside."""
    if step.name == "page":
        result = {"paged": case.action, "lookups": MOST_LOOKUPS}
        found = Outcome("done", {**result, "url": "https://pd/1"})
        return [found] if case.result("page", "lookups") or choices is MIGRATING else [found, Outcome("later", result)]
    if isinstance(step, Announce | Thread):
        return [step.carry_out(case, NOW)]
    if step.name == "confirm" and case.action != "RollBack":
        return [Outcome("done", {"history": []}), Outcome("skipped")]
    return choices[step.name]


def comes_first(step: Step, case: Case) -> bool:
    """Say whether a step is carried out as soon as it can be, in one piece: only what people read depends on it."""
    recording = step.name == "confirm" and case.action != "RollBack"
    return step.name in ("oncall", "thread", "database-team") or recording


def following(case: Case, choices: Choices) -> Iterator[Case]:
    """Every case that can come next, by an attempt, its end, or a decision about a hold."""
    first = [step for step in STEPS if comes_first(step, case) and case.is_open and step.due(case)][:1]
    for step in first or STEPS:
        record = case.step(step.name)
        if record.state == "trying":
            if choices is PLAIN:
                lasting = bool(record.error) or step.name in NEEDED_BY_NONE
                yield record_outcome(case, step.name, FAULT, NOW + GIVE_UP_AFTER if lasting else NOW)
            for outcome in outcomes_of(step, case, choices):
                yield record_outcome(case, step.name, outcome, NOW)
        elif case.is_open and step.due(case) and record.state != "failed":
            tried = record_try(case, step.name, NOW)
            if step.name in AT_ONCE or first:
                yield from (
                    record_outcome(tried, step.name, outcome, NOW) for outcome in outcomes_of(step, tried, choices)
                )
            else:
                yield tried
    if case.action == "Hold" and not case.outcome and not first:
        yield replace(case, outcome="recovered")
        if case.reason != "resumed":
            yield converted(case, decision("RollBack", "resumed"))
            yield converted(case, decision("Escalate", "resumed"))


def plain(case: Case) -> Case:
    """The case without times, counts and old texts, which multiply the courses and change none."""

    def bare(record: StepRecord) -> StepRecord:
        attempts, failures = min(record.attempts, 1), min(record.failures, 1)
        first = NOW if record.first_try is not None else None
        return StepRecord(record.state, attempts, failures, first, error=record.error, result=record.result)

    reason = "resumed" if case.reason == "resumed" or (case.action == "Hold" and case.steps) else case.reason
    steps = {name: bare(record) for name, record in sorted(case.steps.items())}
    case = replace(case, said="s", evidence={}, reason=reason, steps=steps)
    told = set(case.result("thread", "told") or []) & {reply.key for reply in replies(case, {})}
    if "thread" in case.steps:
        case = case.with_step("thread", replace(case.step("thread"), result={"told": sorted(told)}))
    record = case.step("announce")
    if record.result and record.result["text"] != ANNOUNCE.text(case):
        case = case.with_step("announce", replace(record, result={**record.result, "text": "old"}))
    return case


def key_of(case: Case) -> str:
    """What tells one case from another."""
    steps = [(n, r.state, r.attempts, r.failures, r.first_try, r.error, r.result) for n, r in case.steps.items()]
    return repr((case.action, case.reason, case.outcome, case.closed, sorted(steps)))


def explore(start: Case, choices: Choices) -> Courses:
    """Every case that can be reached, by its key, with those that come next."""
    found: Courses = {}
    left = [start]
    while left:
        case = left.pop()
        key = key_of(case)
        if key in found:
            continue
        settled = closed_if_over(case, STEPS, NOW)
        nexts = [plain(settled)] if settled is not case else [plain(one) for one in following(case, choices)]
        keys = [key_of(one) for one in nexts]
        found[key] = (case, set(keys))
        left += [one for one, other in zip(nexts, keys, strict=True) if other not in found]
    return found


@pytest.fixture(scope="module", params=["RollBack", "Hold", "Escalate", "migrating"])
def courses(request: pytest.FixtureRequest) -> Courses:
    """All that can become of a case that begins as each action, and of a rollback of a migration."""
    migrating = request.param == "migrating"
    start = case_of("RollBack" if migrating else cast(CaseAction, request.param))
    found = explore(plain(start), MIGRATING if migrating else PLAIN)
    assert len(found) > 50
    return found


def test_nothing_is_closed_while_something_is_left(courses: Courses) -> None:
    """At the moment of closing no step is due and none is under way."""
    for case, _ in courses.values():
        if not case.is_open:
            busy = [name for name, record in case.steps.items() if record.state == "trying"]
            due = [step.name for step in STEPS if step.due(case)]
            assert (busy, due) == ([], []), case.write()


def test_every_case_can_end_from_everywhere(courses: Courses) -> None:
    """Wherever a case has got to, there is a way on that ends with it closed: no course is a dead end."""
    before: dict[str, set[str]] = {}
    for key, (_, ways) in courses.items():
        for way in ways:
            before.setdefault(way, set()).add(key)
    reached: set[str] = set()
    left = [key for key, (case, _) in courses.items() if not case.is_open]
    while left:
        key = left.pop()
        if key not in reached:
            reached.add(key)
            left += before.get(key, ())
    stuck = set(courses) - reached
    assert not stuck, next(iter(stuck))


def test_a_closed_case_says_how_it_ended(courses: Courses) -> None:
    """Every closed case has an outcome, and one that holds for its action."""
    outcomes = {
        "RollBack": {"verified", "not-verified", "overtaken", "gave-up", "migration-failed"},
        "Hold": {"recovered"},
        "Escalate": {"escalated"},
    }
    for case, _ in courses.values():
        if not case.is_open:
            assert case.outcome in outcomes[case.action], case.write()


def test_everybody_was_told(courses: Courses) -> None:
    """No case closes without page and message tried, but one that was overtaken before anything was said."""
    for case, _ in courses.values():
        if not case.is_open:
            told = [case.step(name).tried for name in ("page", "announce")]
            silent = case.outcome == "overtaken" and not case.rolled_back and told == [False, False]
            assert all(told) or silent, case.write()


def test_an_incident_is_settled(courses: Courses) -> None:
    """Once an incident was opened, the end of the case is reported to it, unless it stands for an escalation."""
    for case, _ in courses.values():
        if not case.is_open and case.outcome != "escalated" and case.step("page").attempts:
            assert case.step("report").over, case.write()


def test_the_page_and_the_message_are_of_the_last_turn(courses: Courses) -> None:
    """A case that was held or resumed closes only after that was paged and posted, where they could be."""
    for case, _ in courses.values():
        if not case.is_open and case.step("announce").state == "done":
            assert case.result("announce", "text") == ANNOUNCE.text(case), case.write()


def test_the_thread_lacks_nothing(courses: Courses) -> None:
    """Where there is a message, a closed case's thread has every step's end, its last turn and its bad end."""
    for case, _ in courses.values():
        if not case.is_open and case.result("announce", "place"):
            lacking = {reply.key for reply in replies(case, {})} - set(case.result("thread", "told") or [])
            assert not lacking, case.write()


def test_the_database_team_is_called(courses: Courses) -> None:
    """No case closes that needs the database team and hasn't paged it, however it came to that."""
    for case, _ in courses.values():
        if not case.is_open and needs_database_team(case):
            assert case.step("database-team").state == "done", case.write()
