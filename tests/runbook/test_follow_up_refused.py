"""Follow-ups that a system refuses for good: over after three attempts; the thread says so, and the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.runbook.test_follow_up import DUE, Drawn, go, over
from watcher.adapters import SlackAnnouncer
from watcher.adapters.jira import JiraTracker
from watcher.runbook.case import Case, StepRecord
from watcher.runbook.follow_up import INDEX_LAG, CommentTicket, FilePostmortem, InviteToReview
from watcher.runbook.replies import replies
from watcher.runbook.step import Step
from watcher.runbook.thread import LASTING_ATTEMPTS, ChartInThread
from watcher.sandbox import jira as jira_stand_in
from watcher.sandbox import slack as slack_stand_in
from watcher.systems.fault import Fault
from watcher.systems.jira import Jira, JiraSettings
from watcher.systems.secret_file import SecretFile

CONTACTS = {"platform-lead": "U0789IJKL"}


@pytest.fixture
def site() -> Iterator[jira_stand_in.Jira]:
    """A Jira site whose project takes no due date: it refuses what we file."""
    with jira_stand_in.Jira("token", "bot@example.com") as api:
        api.add("OPS", "Deploy checkout")
        api.without_due.add("OPS")
        yield api
        assert api.violations == []


@pytest.fixture
def tracker(site: jira_stand_in.Jira, secret: Callable[[str], SecretFile]) -> JiraTracker:
    """Jira as the daemon uses it."""
    settings = JiraSettings(url=site.url, token=secret("token"), email=secret("bot@example.com"), timeout=2.0)
    return JiraTracker(Jira(settings), "OPS", "Task")


@dataclass
class Refusing(JiraTracker):
    """A project that demands one more field; `lasting` False is one that fails for now."""

    inner: JiraTracker
    lasting: bool = True

    def find(self, label: str) -> Mapping[str, str] | None:
        """Nothing was filed."""
        return self.inner.find(label)

    def create(self, summary: str, document: Mapping[str, Any], labels: tuple[str, ...], due: str) -> Mapping[str, str]:
        """Refuse it."""
        raise Fault("Jira", "answered HTTP 400: customfield_10042: Team is required", lasting=self.lasting)


def threaded(announcer: SlackAnnouncer, ticket: str = "", **steps: Mapping[str, Any]) -> Case:
    """The case, with its message in Slack and a postmortem due."""
    place = {"place": dict(announcer.post("rolled back", "case-1"))}
    return over(ticket, announce=place, impact=DUE, **steps)


def tried(case: Case, step: Step, times: int = LASTING_ATTEMPTS) -> Case:
    """The case after so many attempts, of which none but the last ends the step."""
    for _ in range(times):
        assert not case.step(step.name).over
        at = max(case.step(step.name).next_try, 1.0)
        case = go(case, step, at)
    return case


def told(case: Case, step: str) -> str:
    """What the thread says of a step."""
    [text] = [reply.text for reply in replies(case, CONTACTS) if f"/{step}/" in reply.key]
    return text


def test_a_refused_postmortem_goes_into_the_thread(
    tracker: JiraTracker, slack_api: slack_stand_in.Slack, announcer: SlackAnnouncer
) -> None:
    """One more required field in Jira: the same content is in the thread within minutes, and why it is there."""
    step, case = FilePostmortem(Refusing(tracker), announcer, Drawn(), CONTACTS), threaded(announcer)
    case = tried(case, step)
    [file] = slack_api.files
    assert (case.step("postmortem").state, case.result("postmortem", "file")) == ("done", file.name)
    assert case.step("postmortem").attempts * INDEX_LAG < 300
    assert b"checkout" in file.content
    said = told(case, "postmortem")
    assert "could not be filed in Jira: answered HTTP 400: customfield_10042: Team is required" in said
    assert f"the postmortem is in this thread: {file.name}" in said
    assert "U0789IJKL" in said, "the platform lead is tagged"


def test_an_attempt_that_passes_by_is_no_refusal(tracker: JiraTracker, announcer: SlackAnnouncer) -> None:
    """A Jira that is away is waited for, as long as that takes."""
    step, case = FilePostmortem(Refusing(tracker, lasting=False), announcer, Drawn(), CONTACTS), threaded(announcer)
    case = tried(case, step, 6)
    assert (case.step("postmortem").state, case.step("postmortem").failures) == ("waiting", 6)


def test_without_a_thread_it_is_over_all_the_same(tracker: JiraTracker) -> None:
    """Neither Jira nor Slack: the case says so, and is not kept open for it."""
    case = tried(over(impact=DUE), FilePostmortem(Refusing(tracker), None, Drawn(), CONTACTS))
    assert case.step("postmortem").state == "done"
    assert case.result("postmortem", "said").endswith("Team is required; there is no thread for it")


def test_a_thread_that_takes_no_file_is_no_place_either(
    tracker: JiraTracker, slack_api: slack_stand_in.Slack, announcer: SlackAnnouncer
) -> None:
    """An app that may not write files: what is wrong with both is said; a Slack that is away is waited for."""
    step, case = FilePostmortem(Refusing(tracker), announcer, Drawn(), CONTACTS), threaded(announcer)
    slack_api.inject("500", prefix="/api/files.")
    case = tried(case, step, 4)
    assert not case.step("postmortem").over
    slack_api.recover()
    slack_api.inject("wrong-shape", prefix="/api/files.", shape={"ok": False, "error": "missing_scope"})
    case = tried(case, step, 1)
    said = case.result("postmortem", "said")
    assert "could not be filed in Jira" in said
    assert "could not be put into this thread: " in said
    alone = tried(threaded(announcer), FilePostmortem(None, announcer, Drawn(), CONTACTS))
    assert "could not be put into this thread: " in alone.result("postmortem", "said")


def test_a_chart_that_jira_refuses_costs_the_chart(site: jira_stand_in.Jira, tracker: JiraTracker) -> None:
    """Attachments are switched off, or too large: the postmortem is filed, and its reply says what it lacks."""
    site.without_due.clear()
    site.attachment_limit = 1
    step, case = FilePostmortem(tracker, None, Drawn(), CONTACTS), over(impact=DUE)
    case = tried(go(case, step), step)
    assert (case.step("postmortem").state, case.result("postmortem", "key")) == ("done", site.issues[-1].key)
    assert f"the postmortem is {site.issues[-1].key}, without its chart: Jira: answered HTTP 413" in told(
        case, "postmortem"
    )


@pytest.mark.parametrize(("ticket", "status"), [("OPS-99999", "404"), ("OPS-1", "401")])
def test_a_ticket_that_can_not_be_written_on(
    site: jira_stand_in.Jira, tracker: JiraTracker, ticket: str, status: str
) -> None:
    """A key that isn't there, or a revoked token: over after three attempts, and the thread names ticket and cause."""
    site.token = "token" if status == "404" else "another"
    case = tried(over(ticket, impact=DUE, postmortem={}), CommentTicket(tracker, CONTACTS))
    assert case.step("ticket").state == "done"
    said = told(case, "ticket")
    assert f"could not be written on the deployment ticket {ticket}: Jira: " in said
    assert status in said


@pytest.mark.parametrize(
    ("postmortem", "said"),
    [
        ({"key": "OPS-9", "url": "https://jira.example/browse/OPS-9", "said": "it is OPS-9"}, '"OPS-9"'),
        ({"file": "postmortem.md", "said": "…"}, "postmortem.md, in the case's thread in Slack"),
        ({"said": "it could not be filed"}, "it could not be filed"),
        ({}, ""),
    ],
)
def test_the_comment_says_where_the_postmortem_is(
    site: jira_stand_in.Jira, tracker: JiraTracker, postmortem: Mapping[str, str], said: str
) -> None:
    """Its link, the file in the thread, or that there is none; nothing where none was due. No handle of Slack's."""
    step = CommentTicket(tracker, CONTACTS)
    assert not step.due(over("OPS-1", impact=DUE)), "it waits for the postmortem"
    go(over("OPS-1", impact=DUE, postmortem=postmortem), step)
    issue = site.issue("OPS-1")
    assert issue is not None
    [comment] = [json.dumps(one, ensure_ascii=False) for one in issue.comments]
    assert said in comment
    assert ("Postmortem:" in comment) == bool(said)
    assert postmortem.get("url", "") in comment


def test_no_handle_of_slacks_is_shown_in_jira(site: jira_stand_in.Jira, tracker: JiraTracker) -> None:
    """`U0789IJKL` says nothing to whoever reads a ticket: the roles are named, not their handles."""
    site.without_due.clear()
    go(over("OPS-1", impact=DUE), FilePostmortem(tracker, None, Drawn(), CONTACTS))
    text = json.dumps(site.issues[-1].description)
    assert "platform-lead" in text
    assert "U0789IJKL" not in text


def test_people_are_invited_while_jira_is_away(
    tracker: JiraTracker, slack_api: slack_stand_in.Slack, announcer: SlackAnnouncer
) -> None:
    """The review is within 48 hours, and an outage may take half of them: one failed attempt is enough."""
    file_it, step = (
        FilePostmortem(Refusing(tracker, lasting=False), announcer, Drawn(), CONTACTS),
        InviteToReview(announcer),
    )
    case = threaded(announcer)
    assert not step.due(case)
    case = go(case, file_it)
    assert step.due(case)
    case = go(case, step)
    assert [file.name[-4:] for file in slack_api.files] == [".ics"]
    assert not step.due(case)


def test_when_the_review_is_is_said_without_its_file(
    slack_api: slack_stand_in.Slack, announcer: SlackAnnouncer
) -> None:
    """An app that may not write files: the reply tells the hour all the same."""
    case = threaded(announcer, postmortem={})
    slack_api.inject("wrong-shape", prefix="/api/files.", shape={"ok": False, "error": "missing_scope"})
    case = tried(case, InviteToReview(announcer))
    assert case.step("review").state == "done"
    assert "the blameless review is on 2027-" in told(case, "review")
    assert "the invitation could not be put into this thread" in told(case, "review")


def test_what_goes_into_the_thread_waits_for_it(tracker: JiraTracker, announcer: SlackAnnouncer) -> None:
    """A message that comes late, for its page was slow, costs neither the invitation nor the Markdown file."""
    late = over(impact=DUE)
    markdown, review = FilePostmortem(None, announcer, Drawn(), CONTACTS), InviteToReview(announcer)
    assert not markdown.due(late)
    assert not review.due(late.with_step("postmortem", StepRecord("done")))
    case = tried(late, FilePostmortem(Refusing(tracker), announcer, Drawn(), CONTACTS), 4)
    assert not case.step("postmortem").over
    for at_last in (threaded(announcer), late.with_step("announce", StepRecord("failed"))):
        assert markdown.due(at_last)
        assert review.due(at_last.with_step("postmortem", StepRecord("done")))


def test_charts_have_a_lane_of_their_own(announcer: SlackAnnouncer) -> None:
    """A Prometheus that hangs while it is asked for a chart holds up no message."""
    assert (ChartInThread(announcer, Drawn()).lane, InviteToReview(announcer).lane) == ("charts", "slack")
