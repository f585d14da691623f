"""Post-Rollback: the impact decides, one postmortem, one comment, one invitation, whatever gets cut off on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.runbook.parts import NOW, TARGET, case_of
from watcher.adapters import SlackAnnouncer
from watcher.adapters.jira import JiraTracker
from watcher.judgement.impact import Impact
from watcher.runbook.case import Case, StepRecord
from watcher.runbook.follow_up import (
    INDEX_LAG,
    CommentTicket,
    FilePostmortem,
    InviteToReview,
    Limits,
    MeasureImpact,
    label_of,
)
from watcher.runbook.progress import record_outcome, record_try
from watcher.runbook.step import Outcome, Step
from watcher.runbook.thread import chart_name
from watcher.sandbox import jira as jira_stand_in
from watcher.sandbox import slack as slack_stand_in
from watcher.systems.fault import Fault
from watcher.systems.jira import Jira, JiraSettings
from watcher.systems.secret_file import SecretFile

LIMITS = Limits(900.0, 0.001, 48 * 3600.0, "UTC")
PNG = b"\x89PNG\r\n\x1a\n picture"
LONG = Impact(0.0001, NOW - 100, NOW + 900, 1000.0, "0.01% of requests for 1000 s")


@dataclass
class Drawn:
    """The figures of a case, or a fault in their place."""

    impacted: Impact | Fault = LONG
    picture: bytes | Fault | None = PNG

    def impact(self, case: Case, until: float) -> Impact:
        """The impact."""
        if isinstance(self.impacted, Fault):
            raise self.impacted
        return self.impacted

    def chart(self, case: Case, until: float) -> bytes | None:
        """The picture."""
        if isinstance(self.picture, Fault):
            raise self.picture
        return self.picture


def over(ticket: str = "", **steps: Mapping[str, Any]) -> Case:
    """A case that was rolled back and verified; `steps` are results of others that are done."""
    case = replace(case_of(), outcome="verified")
    done: dict[str, Mapping[str, Any]] = {
        "confirm": {**TARGET, "ticket": ticket},
        "revert": {"from": 2, "to": 1, "newRevision": 3},
        "verify": {"verified": True, "parts": []},
        **steps,
    }
    for name, result in done.items():
        case = case.with_step(name, StepRecord("done", attempts=1, finished=NOW + 60, result=result))
    return case


def go(case: Case, step: Step, now: float = NOW, **lost: Any) -> Case:
    """Carry a step out as the desk does; `crash` forgets what came of it, as a process that dies."""
    assert step.due(case)
    begun = record_try(case, step.name, now)
    try:
        outcome: Outcome | Fault = step.carry_out(begun, now)
    except Fault as fault:
        outcome = fault
    return begun if lost.get("crash") else record_outcome(begun, step.name, outcome, now)


@pytest.fixture
def site() -> Iterator[jira_stand_in.Jira]:
    """A Jira site with the deployment ticket OPS-1."""
    with jira_stand_in.Jira("token", "bot@example.com") as api:
        api.add("OPS", "Deploy checkout")
        yield api
        assert api.violations == []


@pytest.fixture
def tracker(site: jira_stand_in.Jira, secret: Callable[[str], SecretFile]) -> JiraTracker:
    """Jira as the daemon uses it."""
    settings = JiraSettings(url=site.url, token=secret("token"), email=secret("bot@example.com"), timeout=2.0)
    return JiraTracker(Jira(settings), "OPS", "Task")


@pytest.mark.parametrize(
    ("impact", "due", "said"),
    [
        (LONG, True, "a postmortem is due"),
        (replace(LONG, duration=900.0), False, "no postmortem is due"),
        (replace(LONG, duration=60.0, share=0.0011), True, "a postmortem is due"),
        (replace(LONG, duration=60.0, share=0.001), False, "no postmortem is due"),
        (replace(LONG, duration=901.0, share=None), True, "a postmortem is due"),
        (replace(LONG, duration=60.0, share=None), False, "for people to decide"),
    ],
)
def test_when_a_postmortem_is_due(impact: Impact, due: bool, said: str) -> None:
    """Longer than the one limit or more than the other (runbook); what isn't known is for people to decide."""
    case = go(over(), MeasureImpact(Drawn(impact), LIMITS))
    assert (case.result("impact", "due"), said in case.result("impact", "said")) == (due, True)
    review = case.result("impact", "review")
    assert NOW < review <= NOW + 60 + 48 * 3600 if due else review is None


def test_an_impact_that_can_not_be_had_holds_up_nothing() -> None:
    """Prometheus is asked five times; then people decide, and the rest goes on."""
    step, case = MeasureImpact(Drawn(Fault("Prometheus", "did not answer")), LIMITS), over()
    for number in range(5):
        assert not case.step("impact").over, number
        case = go(case, step)
    assert (case.result("impact", "due"), "for people to decide" in case.result("impact", "said")) == (False, True)
    assert "the impact can't be computed (Prometheus: did not answer)" in case.result("impact", "said")
    assert not step.due(replace(over(), outcome="")), "not before its end"
    assert not step.due(replace(case_of(), outcome="overtaken")), "nothing was rolled back"


@pytest.mark.parametrize("outcome", ["not-verified", "migration-failed", "put-back", "overtaken", "gave-up"])
@pytest.mark.parametrize("impacted", [replace(LONG, duration=60.0), Fault("Prometheus", "did not answer")], ids=str)
def test_while_the_incident_goes_on_a_postmortem_is_due(outcome: str, impacted: Impact | Fault) -> None:
    """However short it was when the verification ended, it is not over: that isn't taken for its duration."""
    step, case = MeasureImpact(Drawn(impacted), LIMITS), replace(over(), outcome=outcome)
    for _ in range(5):
        case = go(case, step) if step.due(case) else case
    assert (case.step("impact").state, case.result("impact", "due")) == ("done", True)
    assert case.result("impact", "said").endswith("; the incident goes on: a postmortem is due")
    assert NOW < case.result("impact", "review") <= NOW + 60 + 48 * 3600


DUE = {"due": True, "review": NOW + 90_000.0, "said": "impact: 1000 s", "share": 0.1, "duration": 1000.0}


def test_it_is_filed_once_with_its_chart(site: jira_stand_in.Jira, tracker: JiraTracker) -> None:
    """An issue of the project with label, due date and document; the picture is attached to it."""
    step, case = FilePostmortem(tracker, None, Drawn(), {}), over(impact=DUE)
    case = go(go(case, step), step)
    issue = site.issues[-1]
    assert (case.step("postmortem").state, case.result("postmortem", "key")) == ("done", issue.key)
    assert issue.labels == ("canary-watch", "postmortem", label_of(case))
    assert (issue.due, issue.attachments) == ("2027-01-16", {chart_name(case): PNG})
    assert "checkout" in issue.summary


def test_where_none_is_due_nothing_is_filed(site: jira_stand_in.Jira, tracker: JiraTracker) -> None:
    """Below both limits there is neither a postmortem nor a review."""
    case = go(over(impact={"due": False, "said": ""}), FilePostmortem(tracker, None, Drawn(), {}))
    case = go(case, InviteToReview(None))
    assert (case.step("postmortem").state, case.step("review").state, len(site.issues)) == ("skipped", "skipped", 1)


def test_a_crash_at_any_point_files_one(site: jira_stand_in.Jira, tracker: JiraTracker) -> None:
    """Killed after the filing, and after the picture: it is found by its label, once the search can know it."""
    site.index_lag = 0.0
    step, case = FilePostmortem(tracker, None, Drawn(), {}), over(impact=DUE)
    case = go(case, step, crash=True)
    case = go(case, step, NOW + 1)
    assert (case.result("postmortem", "key"), "may have filed it" in case.step("postmortem").error) == (None, True)
    assert case.step("postmortem").next_try >= NOW + INDEX_LAG
    case = go(case, step, NOW + INDEX_LAG)
    case = go(go(case, step, NOW + 40, crash=True), step, NOW + 50)
    assert case.step("postmortem").state == "done"
    assert (len(site.issues), len(site.issues[-1].files)) == (2, 1)


class Forgetful(JiraTracker):
    """A Jira that files, and whose answer is lost."""

    def create(self, summary: str, document: Mapping[str, Any], labels: tuple[str, ...], due: str) -> dict[str, str]:
        """File it, and say nothing."""
        super().create(summary, document, labels, due)
        raise Fault("Jira", "did not answer")


def test_an_answer_that_is_lost_late_files_one(site: jira_stand_in.Jira, tracker: JiraTracker) -> None:
    """However long it has failed before, the search is given its time after the attempt that may have filed it."""
    step, case = FilePostmortem(tracker, None, Drawn(), {}), over(impact=DUE)
    away = FilePostmortem(_Away(tracker), None, Drawn(), {})  # type: ignore[arg-type]
    case = go(case, away)
    lossy = Forgetful(tracker._client, "OPS", "Task")
    case = go(case, FilePostmortem(lossy, None, Drawn(), {}), NOW + 300)
    assert case.step("postmortem").next_try >= NOW + 300 + INDEX_LAG
    go(case, step, NOW + 300 + INDEX_LAG)
    assert len(site.issues) == 2


class _Away:
    """A Jira that finds nothing and can't be reached to file."""

    def __init__(self, tracker: JiraTracker) -> None:
        self.find = tracker.find

    def create(self, *words: Any) -> dict[str, str]:
        """Fail."""
        raise Fault("Jira", "can't be reached")


def test_without_a_chart_it_is_filed_all_the_same(site: jira_stand_in.Jira, tracker: JiraTracker) -> None:
    """A Prometheus that is away for good costs the picture, not the postmortem."""
    step, case = FilePostmortem(tracker, None, Drawn(picture=Fault("Prometheus", "away")), {}), over(impact=DUE)
    for _ in range(6):
        case = go(case, step)
    assert (case.step("postmortem").state, site.issues[-1].files, len(site.issues)) == ("done", (), 2)


def test_the_ticket_gets_one_comment(site: jira_stand_in.Jira, tracker: JiraTracker) -> None:
    """Once, also after a crash; by its key or its address."""
    step, case = CommentTicket(tracker, {}), over("OPS-1", impact=DUE, postmortem={"key": "OPS-9"})
    case = go(go(case, step, crash=True), step)
    address = over(f"{site.url}/browse/OPS-1", impact=DUE, postmortem={})
    again = go(address.with_step("ticket", StepRecord(attempts=1)), step)
    assert (case.result("ticket", "ticket"), again.result("ticket", "ticket")) == ("OPS-1", "OPS-1")
    issue = site.issue("OPS-1")
    assert issue is not None
    assert len(issue.comments) == 1


@pytest.mark.parametrize(("ticket", "state"), [("", "skipped"), ("see the wiki", "done")])
def test_no_ticket_and_no_right_one(tracker: JiraTracker, ticket: str, state: str) -> None:
    """Without the annotation nothing is said; with one that is no key, what would be right is."""
    case = go(over(ticket, postmortem={}), CommentTicket(tracker, {}))
    assert case.step("ticket").state == state
    assert not ticket or "OPS-12" in case.result("ticket", "said")


def threaded(announcer: SlackAnnouncer, **steps: Mapping[str, Any]) -> Case:
    """The case, with its message in Slack."""
    return over("", announce={"place": dict(announcer.post("rolled back", "case-1"))}, impact=DUE, **steps)


def test_without_jira_it_goes_into_the_thread(slack_api: slack_stand_in.Slack, announcer: SlackAnnouncer) -> None:
    """The same content as a Markdown file; once, also after a crash."""
    step, case = FilePostmortem(None, announcer, Drawn(), {}), threaded(announcer)
    case = go(go(case, step, crash=True), step)
    [file] = slack_api.files
    assert (case.result("postmortem", "file"), case.step("postmortem").state) == (file.name, "done")
    assert b"checkout" in file.content


def test_the_invitation_goes_into_the_thread(slack_api: slack_stand_in.Slack, announcer: SlackAnnouncer) -> None:
    """An .ics file within 48 hours; once, also after a crash."""
    step, case = InviteToReview(announcer), threaded(announcer, postmortem={})
    case = go(go(case, step, crash=True), step)
    [file] = slack_api.files
    assert (case.result("review", "file"), file.name[-4:], file.content[:15]) == (file.name, ".ics", b"BEGIN:VCALENDAR")
    assert go(over(impact=DUE, postmortem={}), InviteToReview(None)).step("review").state == "skipped"
