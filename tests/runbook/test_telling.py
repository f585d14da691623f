"""Announce, page and report against Slack's and PagerDuty's stand-ins: said once, kept true, settled in the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.runbook.parts import NOW, TARGET, case_of
from watcher.adapters import PagerDutyPager, SlackAnnouncer
from watcher.runbook.announce import Announce
from watcher.runbook.case import Case, StepRecord
from watcher.runbook.page import MOST_LOOKUPS, Page
from watcher.runbook.progress import record_outcome, record_try
from watcher.runbook.report import Report
from watcher.runbook.step import Step
from watcher.sandbox.pagerduty import PagerDuty
from watcher.sandbox.slack import Slack
from watcher.systems.fault import Fault
from watcher.systems.pagerduty import PagerDuty as PagerDutyClient
from watcher.systems.pagerduty import PagerDutySettings
from watcher.systems.secret_file import SecretFile

CONTACTS = {"sre-oncall": "S0123ABCD"}


def rolled_back() -> Case:
    """A case whose revert is done, opened just now by this machine's clock, by which the stand-ins date things."""
    case = case_of().with_step("confirm", StepRecord("done", 1, result=TARGET))
    case = case.with_step("oncall", StepRecord("skipped", 1))
    case = case.with_step("revert", StepRecord("done", 1, result={"from": 2, "to": 1, "newRevision": 3}))
    return replace(case, opened=time.time())


def attempt(step: Step, case: Case, now: float = NOW) -> Case:
    """One attempt at a step as the desk makes it."""
    tried = record_try(case, step.name, now)
    try:
        return record_outcome(tried, step.name, step.carry_out(tried, now), now)
    except Fault as fault:
        return record_outcome(tried, step.name, fault, now)


def asked(slack_api: Slack, method: str) -> int:
    """How often a method of Slack's was called."""
    return sum(1 for request in slack_api.requests if request.path == f"/api/{method}")


def paged(case: Case) -> Case:
    """The case with its page through."""
    return case.with_step("page", StepRecord("done", 1, result={"paged": case.action}))


def test_the_first_try_posts_without_looking(slack_api: Slack, announcer: SlackAnnouncer) -> None:
    """What was never tried cannot have been posted: one request, one message, which carries the case's key."""
    step, case = Announce(announcer, CONTACTS), paged(rolled_back())
    case = attempt(step, case)
    assert [m.text for m in slack_api.messages] == [step.text(case)]
    assert slack_api.messages[0].metadata["event_payload"] == {"key": case.id}
    assert asked(slack_api, "conversations.history") == 0
    assert not step.due(case)


def test_a_cut_off_try_is_looked_up(slack_api: Slack, announcer: SlackAnnouncer) -> None:
    """When the answer to a post is lost, the next attempt finds the message and posts no second one."""
    step, case = Announce(announcer, CONTACTS), paged(rolled_back())
    slack_api.inject("hung-halfway", prefix="/api/chat.postMessage", times=1)
    case = attempt(step, case)
    assert case.step("announce").error
    case = attempt(step, case)
    assert case.step("announce").state == "done"
    assert len(slack_api.messages) == 1


def test_a_crash_in_the_middle_is_looked_up(slack_api: Slack, announcer: SlackAnnouncer) -> None:
    """An attempt that was recorded but never came back may have posted: after a restart it is looked for."""
    step, case = Announce(announcer, CONTACTS), paged(rolled_back())
    written = record_try(case, "announce", NOW)
    step.carry_out(written, NOW)
    assert step.due(written)
    case = attempt(step, written)
    assert case.step("announce").state == "done"
    assert len(slack_api.messages) == 1


@pytest.mark.parametrize("mode", ["500", "timeout", "html", "wrong-shape", "429"])
def test_a_failing_lookup_never_posts_twice(slack_api: Slack, announcer: SlackAnnouncer, mode: str) -> None:
    """While the lookup fails nothing is posted; once it works, the message is found."""
    step, case = Announce(announcer, CONTACTS), paged(rolled_back())
    slack_api.inject("hung-halfway", prefix="/api/chat.postMessage", times=1)
    case = attempt(step, case)
    slack_api.inject(mode, prefix="/api/conversations.history", times=1, shape={"ok": True, "messages": 3})  # type: ignore[arg-type]
    case = attempt(step, case)
    assert case.step("announce").error
    assert len(slack_api.messages) == 1
    assert attempt(step, case).step("announce").state == "done"
    assert len(slack_api.messages) == 1


def test_edits_when_the_case_says_something_new(slack_api: Slack, announcer: SlackAnnouncer) -> None:
    """The one message follows the case: it is changed when the case is verified, and not otherwise."""
    step = Announce(announcer, CONTACTS)
    case = attempt(step, paged(rolled_back()))
    assert not step.due(case)
    case = replace(case, outcome="verified")
    assert step.due(case)
    case = attempt(step, case)
    assert len(slack_api.messages) == 1
    assert slack_api.messages[0].text == step.text(case)
    assert "✅ Verified" in slack_api.messages[0].text
    assert not step.due(case)


def test_a_failing_edit_is_tried_again(slack_api: Slack, announcer: SlackAnnouncer) -> None:
    """An edit that failed is made up for, without a second message."""
    step = Announce(announcer, CONTACTS)
    case = replace(attempt(step, paged(rolled_back())), outcome="verified")
    slack_api.inject("500", prefix="/api/chat.update", times=1)
    case = attempt(step, case)
    assert step.due(case)
    case = attempt(step, case)
    assert slack_api.messages[0].text == step.text(case)
    assert len(slack_api.messages) == 1


def test_the_one_message_follows_every_turn(slack_api: Slack, announcer: SlackAnnouncer) -> None:
    """A hold that becomes a rollback is the same message, edited: a case has one thread."""
    step = Announce(announcer, CONTACTS)
    case = attempt(step, paged(replace(rolled_back(), action="Hold")))
    assert slack_api.top[0].text.startswith("✋")
    case = attempt(step, paged(replace(case, action="RollBack", turn=1)))
    assert [m.text for m in slack_api.top] == [step.text(case)]
    assert slack_api.top[0].text.startswith("🚨 Rolled back")


@pytest.mark.parametrize("waited_for", ["confirm", "oncall", "page"])
def test_the_message_waits_for_what_it_says(announcer: SlackAnnouncer, waited_for: str) -> None:
    """It comes after one try each at the facts, at whom to tag and at the page, and waits for no try to succeed."""
    step, whole = Announce(announcer, CONTACTS), paged(rolled_back())
    case = replace(whole, steps={name: record for name, record in whole.steps.items() if name != waited_for})
    assert not step.due(case)
    assert not step.due(record_try(case, waited_for, NOW))
    assert step.due(record_outcome(record_try(case, waited_for, NOW), waited_for, "HTTP 500", NOW))


def test_a_case_that_ended_needs_no_facts(announcer: SlackAnnouncer) -> None:
    """What ends before it could be confirmed, as a recovered hold may, is said without the facts."""
    case = replace(paged(replace(rolled_back(), action="Hold")), outcome="recovered")
    case = replace(case, steps={name: record for name, record in case.steps.items() if name != "confirm"})
    assert Announce(announcer, CONTACTS).due(case)


def test_pages_once_and_links(pagerduty_api: PagerDuty, pager: PagerDutyPager) -> None:
    """One incident under the case's id, with the evidence, and its address in the case."""
    case = attempt(Page(pager), rolled_back())
    incident = pagerduty_api.incidents[0]
    assert (incident.dedup_key, case.result("page", "url")) == (case.id, incident.html_url)
    assert "rolled back: errors 4.00%" in incident.summary
    assert case.step("page").state == "done"


class Late(PagerDutyPager):
    """PagerDuty whose incidents show their address only after some lookups; None: the REST API fails."""

    def __init__(self, client: PagerDutyClient, *misses: bool | None) -> None:
        super().__init__(client, can_link=True)
        self._misses = list(misses)

    def link(self, case: Case) -> str | None:
        """The address, when it is time."""
        missed = self._misses.pop(0) if self._misses else False
        if missed is None:
            raise Fault("PagerDuty", "answered HTTP 401", lasting=True)
        return None if missed else super().link(case)


@pytest.mark.parametrize("miss", [True, None])
def test_a_link_found_later_is_put_into_the_message(
    slack_api: Slack, announcer: SlackAnnouncer, pagerduty_api: PagerDuty, pagerduty: PagerDutyClient, miss: bool | None
) -> None:
    """Where the incident's address comes late, the message is posted with the key and then gets the link."""
    page, announce = Page(Late(pagerduty, miss)), Announce(announcer, CONTACTS)
    case = attempt(announce, attempt(page, rolled_back()))
    assert f"PagerDuty incident `{case.id}`" in slack_api.messages[0].text
    case = attempt(page, case)
    assert announce.due(case)
    attempt(announce, case)
    assert f"<{pagerduty_api.incidents[0].html_url}|PagerDuty incident>" in slack_api.messages[0].text
    assert (len(slack_api.messages), len(pagerduty_api.incidents[0].events)) == (1, 1)


@pytest.mark.parametrize("miss", [True, None])
def test_a_link_that_never_comes_is_given_up(
    pagerduty_api: PagerDuty, pagerduty: PagerDutyClient, miss: bool | None
) -> None:
    """After a few lookups, failed or in vain, the page is done without an address; nobody is paged twice for it."""
    page, case = Page(Late(pagerduty, *[miss] * MOST_LOOKUPS)), rolled_back()
    for _ in range(MOST_LOOKUPS):
        assert not case.step("page").over
        case = attempt(page, case)
    assert case.step("page").state == "done"
    assert len(pagerduty_api.incidents[0].events) == 1


def test_without_a_rest_token_no_link_is_sought(pagerduty_api: PagerDuty, secret: Callable[[str], SecretFile]) -> None:
    """With the routing key alone the page is done at once, by its key."""
    url = pagerduty_api.url
    client = PagerDutyClient(PagerDutySettings(secret("r" * 32), None, url, url, None, 1.0))
    pager = PagerDutyPager(client, can_link=False)
    case = attempt(Page(pager), rolled_back())
    assert case.step("page").state == "done"
    assert [request.path for request in pagerduty_api.requests] == ["/v2/enqueue"]
    case = attempt(Report(pager), replace(case, outcome="verified"))
    assert pagerduty_api.incidents[0].status == "resolved"


def test_a_rollback_is_paged_though_it_fails(pager: PagerDutyPager) -> None:
    """The page goes out after the first attempt, succeeded or not, be it confirm's or revert's."""
    step, case = Page(pager), case_of()
    assert not step.due(case)
    for name in ("confirm", "revert"):
        assert step.due(record_outcome(record_try(case, name, NOW), name, "HTTP 500", NOW))


def test_nobody_is_woken_for_nothing(pager: PagerDutyPager) -> None:
    """A case that is overtaken before anything was said or done pages nobody."""
    silent = replace(case_of().with_step("confirm", StepRecord("done", 1)), outcome="overtaken")
    assert not Page(pager).due(silent)
    assert Page(pager).due(replace(rolled_back(), outcome="overtaken"))


@pytest.mark.parametrize("outcome", ["verified", "recovered"])
def test_resolves_what_is_well_again(pagerduty_api: PagerDuty, pager: PagerDutyPager, outcome: str) -> None:
    """Verified and recovered cases resolve their incident, with a note that says what came of it."""
    case = replace(attempt(Page(pager), rolled_back()), outcome=outcome)
    case = attempt(Report(pager), case)
    incident = pagerduty_api.incidents[0]
    assert (incident.status, case.result("report", "resolved"), len(incident.notes)) == ("resolved", True, 1)
    assert case.id in incident.notes[0]


@pytest.mark.parametrize("outcome", ["not-verified", "overtaken", "gave-up", "superseded", "watch-ended"])
def test_leaves_the_rest_to_people(pagerduty_api: PagerDuty, pager: PagerDutyPager, outcome: str) -> None:
    """Any other end leaves the incident open, with the note."""
    attempt(Report(pager), replace(attempt(Page(pager), rolled_back()), outcome=outcome))
    assert (pagerduty_api.incidents[0].status, len(pagerduty_api.incidents[0].notes)) == ("triggered", 1)


def test_the_note_is_written_once(pagerduty_api: PagerDuty, pager: PagerDutyPager) -> None:
    """A report whose answer was lost, at the note or at the resolve, is repeated without a second note."""
    case = replace(attempt(Page(pager), rolled_back()), outcome="verified")
    number = pagerduty_api.incidents[0].id
    pagerduty_api.inject("hung-halfway", prefix=f"/incidents/{number}/notes", times=1)
    pagerduty_api.inject("500", prefix="/v2/enqueue", times=1)
    for _ in range(4):
        case = attempt(Report(pager), case)
    assert case.step("report").state == "done"
    assert (len(pagerduty_api.incidents[0].notes), pagerduty_api.incidents[0].status) == (1, "resolved")


def test_vendors_left_out_are_skipped() -> None:
    """Without PagerDuty and Slack the steps are over at once."""
    case = replace(rolled_back(), outcome="verified")
    for step in (Page(None), Announce(None, {}), Report(None)):
        case = attempt(step, case)
        assert case.step(step.name).state == "skipped"
