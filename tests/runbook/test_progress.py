"""How a case moves on: backoff, giving up, holds and back, closing. Pure: time is a number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.runbook.parts import NOW, POLICY, TARGET, case_of, decision, verdict
from watcher.runbook.announce import Announce
from watcher.runbook.case import BY_HAND, Case, CaseAction, StepRecord
from watcher.runbook.page import Page
from watcher.runbook.progress import (
    GIVE_UP_AFTER,
    LONGEST_ASKED,
    busy,
    closed_if_over,
    converted,
    record_outcome,
    record_try,
    startable,
    unsettled,
)
from watcher.runbook.step import Outcome, Step
from watcher.systems.fault import Fault

OWN_KEY = case_of().incident_key
PAGE = Page(None)
STEPS: list[Step] = [PAGE, Announce(None, {})]


def failed(case: Case, step: str, at: float, fault: Fault | str = "HTTP 500") -> Case:
    """One attempt that begins and fails at `at`."""
    return record_outcome(record_try(case, step, at), step, fault, at)


def test_backoff_doubles_up_to_a_minute() -> None:
    """A failing step is tried again after 1, 2, 4, 8, 16, 32 and then 60 seconds, no sooner."""
    case, now, waits = case_of("Hold"), NOW, []
    for _ in range(9):
        case = failed(case, "page", now)
        waits.append(case.step("page").next_try - now)
        assert startable(case, [PAGE], now + waits[-1] - 0.01) == []
        now += waits[-1]
        assert startable(case, [PAGE], now) == [PAGE]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_success_starts_the_backoff_over() -> None:
    """Failures count in a row: after a success the next failure waits one second again, and has 24 hours of its own."""
    case = case_of("Hold")
    for _ in range(6):
        case = failed(case, "announce", NOW)
    case = record_outcome(record_try(case, "announce", NOW), "announce", Outcome("done"), NOW)
    late = NOW + 3 * GIVE_UP_AFTER
    case = failed(case, "announce", late)
    assert case.step("announce").state == "waiting"
    assert case.step("announce").next_try == late + 1
    assert case.step("announce").attempts == 8


def test_retry_after_is_honoured() -> None:
    """A longer wait that the system asked for is kept; a shorter one does not shorten the backoff."""
    asked = failed(case_of("Hold"), "page", NOW, Fault("PagerDuty", "HTTP 429", retry_after=300.0))
    assert asked.step("page").next_try == NOW + 300
    short = failed(case_of("Hold"), "page", NOW, Fault("PagerDuty", "HTTP 429", retry_after=0.1))
    assert short.step("page").next_try == NOW + 1


def test_an_endless_retry_after_is_bounded() -> None:
    """However long a system asks to wait, the step is tried again within a day."""
    case = failed(case_of("Hold"), "page", NOW, Fault("PagerDuty", "HTTP 429", retry_after=1e12))
    assert case.step("page").next_try == NOW + LONGEST_ASKED


def test_given_up_after_24_hours() -> None:
    """A step that has failed for 24 hours is failed for good, keeps its error, and is not tried again."""
    case = failed(failed(case_of("Hold"), "page", NOW), "page", NOW + GIVE_UP_AFTER)
    record = case.step("page")
    assert (record.state, record.error, record.finished) == ("failed", "HTTP 500", NOW + GIVE_UP_AFTER)
    case = case.with_step("confirm", StepRecord("done")).with_step("oncall", StepRecord("skipped"))
    assert startable(case, STEPS, NOW + 2 * GIVE_UP_AFTER) == [STEPS[1]]


def test_not_given_up_a_moment_earlier() -> None:
    """Just under 24 hours it is still tried."""
    case = failed(failed(case_of("Hold"), "page", NOW), "page", NOW + GIVE_UP_AFTER - 1)
    assert case.step("page").state == "waiting"


def test_later_is_no_failure() -> None:
    """A step that looks again has no error, leaves no backoff, and is left for the next pass."""
    case = failed(failed(case_of("Hold"), "page", NOW), "page", NOW)
    case = record_outcome(record_try(case, "page", NOW), "page", Outcome("later", {"paged": "Hold"}), NOW)
    record = case.step("page")
    assert (record.error, record.failures, record.result) == ("", 0, {"paged": "Hold"})
    assert startable(case, [PAGE], NOW) == []
    assert startable(case, [PAGE], NOW + 1) == [PAGE]


def test_a_pause_turns_a_rollback_into_a_hold() -> None:
    """A pause found by the revert makes the case a hold that says so; what was found, said and paged stays."""
    case = case_of().with_step("confirm", StepRecord("done", result=TARGET))
    case = case.with_step("page", StepRecord("done", result={"paged": "RollBack"}))
    case = record_outcome(record_try(case, "revert", NOW), "revert", Outcome("later", hold="paused on X"), NOW)
    assert (case.action, case.reason, case.outcome, case.is_open) == ("Hold", "paused", "", True)
    assert case.said.startswith("paused on X; ")
    assert set(case.steps) == {"confirm", "page"}


def test_a_hold_becomes_a_rollback() -> None:
    """A hold that ends in a rollback is paged again under its key, announced anew, and rests on the new verdict."""
    hold = case_of("Hold")
    hold = hold.with_step("page", StepRecord("done", 3, result={"paged": "Hold", "url": "https://pd/1", "lookups": 2}))
    hold = hold.with_step(
        "announce", StepRecord("done", 1, result={"key": f"{hold.id}/Hold", "text": "x", "place": {}})
    )
    hold = hold.with_step("thread", StepRecord("done", 2, result={"told": ["a"]}))
    hold = hold.with_step("oncall", StepRecord("done", 1, result={"sre-oncall": ["U1"]}))
    hold = replace(hold.with_step("report", StepRecord("done")), outcome="recovered", closed=NOW)
    other = replace(POLICY, name="latency", verify_within=30.0)
    now = converted(hold, replace(decision(said="p99 too high"), verdict=verdict("p99 too high", other)))
    assert (now.id, now.action, now.outcome, now.closed) == (hold.id, "RollBack", "", None)
    assert (now.policy, now.verify_within, now.said) == ("latency", 30.0, "p99 too high")
    assert now.step("page").result == {}, "its incident is resolved: another one follows"
    unresolved = converted(replace(hold, outcome="", closed=None), decision())
    assert unresolved.step("page").result == {"url": "https://pd/1", "dedupKey": hold.id}
    assert not now.step("page").over
    assert now.step("announce").state == "waiting"
    assert now.step("announce").attempts == 1, "what was posted before is looked for first"
    assert now.step("report") == StepRecord()
    assert now.step("thread") == hold.step("thread"), "the thread goes on"
    assert now.step("oncall") == StepRecord(), "a hold may last for days: another one is on call"


@pytest.mark.parametrize(
    ("action", "result", "outcome", "kept"),
    [
        ("Hold", {"paged": "Hold", "url": "u"}, "", {"url": "u", "dedupKey": OWN_KEY}),
        ("Hold", {}, "", {"dedupKey": OWN_KEY}),
        ("Hold", {"paged": "Hold", "url": "u"}, "watch-ended", {"dedupKey": OWN_KEY}),
        ("RollBack", {"linked": "Q1", "url": "u", "alert": "a"}, "", {}),
    ],
)
def test_a_turn_goes_on_with_the_incidents_that_are_open(
    action: CaseAction, result: dict[str, Any], outcome: str, kept: dict[str, Any]
) -> None:
    """Ours is paged again under its key and not left behind for an alert's; an alert's is looked for again."""
    case = replace(case_of(action).with_step("page", StepRecord("done", 1, result=result)), outcome=outcome)
    assert converted(case, decision("Escalate", "no-earlier-revision")).step("page").result == kept


def test_a_resolved_incident_is_followed_by_another_one() -> None:
    """Recovered and reported, a case keeps no incident; recovered and not reported yet, it may be open."""
    page, team = StepRecord("done", 1, result={"paged": "Hold", "url": "u"}), StepRecord("done", 1)
    case = replace(case_of("Hold").with_step("page", page).with_step("database-team", team), outcome="recovered")
    assert converted(case, decision()).step("page").result == {"dedupKey": OWN_KEY}
    assert converted(case, decision()).step("database-team").state == "done"
    case = case.with_step("report", StepRecord("done", 1))
    assert converted(case, decision()).step("page").result == {}
    assert converted(case, decision()).step("database-team").state == "waiting"


def test_a_page_that_was_never_tried_keeps_nothing() -> None:
    """Without an attempt there is no incident to go on with."""
    assert converted(case_of("Hold"), decision()).step("page") == StepRecord()


def test_a_persons_order_that_cannot_be_carried_out_stays_theirs() -> None:
    """A rollback by hand that is escalated keeps its reason: no pass decides about it."""
    case = replace(case_of(), reason=BY_HAND)
    case = record_outcome(record_try(case, "revert", NOW), "revert", Outcome("later", escalate="too late"), NOW)
    assert (case.action, case.reason, unsettled(case)) == ("Escalate", BY_HAND, False)
    other = record_outcome(record_try(case_of(), "confirm", NOW), "confirm", Outcome("later", escalate="none"), NOW)
    assert (other.action, other.reason) == ("Escalate", "no-earlier-revision")


def test_a_converted_hold_has_its_24_hours() -> None:
    """A hold that lasted for days does not use up the patience of the steps that follow it."""
    hold = case_of("Hold")
    for step in ("page", "announce"):
        hold = record_outcome(record_try(hold, step, NOW), step, Outcome("done"), NOW)
    case = converted(hold, decision())
    for step in ("page", "announce"):
        assert failed(case, step, NOW + 5 * GIVE_UP_AFTER).step(step).state == "waiting"


def test_nothing_is_converted_to_keep_watching() -> None:
    """Only a decision to do something changes a hold."""
    with pytest.raises(ValueError, match="something to do"):
        converted(case_of("Hold"), decision("KeepWatching", "healthy"))


def test_a_message_that_never_got_through_ends_no_hold() -> None:
    """Slack's refusal for 24 hours does not end a hold: it stays open, and its recovery still settles the incident."""
    hold = case_of("Hold").with_step("page", StepRecord("done")).with_step("announce", StepRecord("failed"))
    assert closed_if_over(hold, STEPS, NOW).outcome == ""
    assert closed_if_over(hold, STEPS, NOW).is_open


def test_a_rollback_that_failed_for_good_is_given_up() -> None:
    """A revert that failed for 24 hours ends the case as gave-up, once that has been said."""
    case = case_of().with_step("revert", StepRecord("failed", error="HTTP 403"))
    case = closed_if_over(case, STEPS, NOW)
    assert (case.outcome, case.is_open) == ("gave-up", True)


@pytest.mark.parametrize("action", ["Hold", "Escalate"])
def test_facts_that_cannot_be_recorded_end_nothing(action: CaseAction) -> None:
    """A hold stays a hold, and an escalation one, though its facts couldn't be recorded for 24 hours."""
    case = case_of(action).with_step("confirm", StepRecord("failed", error="an error of canary-watch itself"))
    assert closed_if_over(case, STEPS, NOW) is case


def ended(case: Case, step: str, outcome: str) -> Case:
    """A step comes to an end of the case."""
    return record_outcome(record_try(case, step, NOW), step, Outcome("done", {}, step, outcome), NOW)


def test_a_failed_migration_is_not_overwritten() -> None:
    """What verifying came to, begun before the migration failed, doesn't take the place of that end."""
    case = ended(record_try(case_of(), "verify", NOW), "migrate", "migration-failed")
    assert case.step("verify").state == "waiting", "what is under way is dropped when it comes back"
    case = ended(case, "verify", "not-verified")
    assert (case.outcome, case.ending) == ("migration-failed", "migrate")


def test_a_migration_that_fails_afterwards_is_told() -> None:
    """A case that was over already, and closed, is opened for it; any later end of another kind changes nothing."""
    case = replace(ended(case_of(), "verify", "not-verified"), closed=NOW)
    assert ended(case, "migrate", "overtaken").outcome == "not-verified"
    case = ended(case, "migrate", "migration-failed")
    assert (case.outcome, case.is_open) == ("migration-failed", True)


@pytest.mark.parametrize("outcome", [Outcome("later", hold="paused"), Outcome("later", escalate="nothing is left")])
def test_what_was_not_confirmed_is_recorded_anew(outcome: Outcome) -> None:
    """A pause that confirming itself has found leaves no step under way: the facts are recorded for the hold."""
    case = failed(case_of(), "confirm", NOW)
    case = record_outcome(record_try(case, "confirm", NOW), "confirm", outcome, NOW)
    assert case.step("confirm") == StepRecord(attempts=2)
    assert not busy(case)


def test_an_escalation_is_over_once_it_is_said() -> None:
    """An escalation closes when page and message are through, not before."""
    case = case_of("Escalate").with_step("page", StepRecord("skipped"))
    assert closed_if_over(case, STEPS, NOW).is_open
    case = closed_if_over(case.with_step("announce", StepRecord("skipped")), STEPS, NOW)
    assert (case.outcome, case.closed) == ("escalated", NOW)


def test_a_closed_case_stays_as_it_is() -> None:
    """Closing is once and for all."""
    case = replace(case_of(), outcome="verified", closed=NOW - 9)
    assert closed_if_over(case, [], NOW) is case
