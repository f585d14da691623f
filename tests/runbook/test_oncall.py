"""Whom to tag: looked up while the rollback is under way, and never in the way of telling people."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from tests.runbook.office import Office, Scripted, revert_step
from tests.runbook.parts import case_of, decision, fails, until
from tests.runbook.test_telling import CONTACTS, attempt
from watcher.adapters import SlackAnnouncer
from watcher.runbook import messages
from watcher.runbook.announce import Announce
from watcher.runbook.oncall import ATTEMPTS, OnCall
from watcher.runbook.page import Page
from watcher.runbook.step import Step
from watcher.sandbox.slack import Slack
from watcher.systems.fault import Fault

FOUND = {"sre-oncall": ["U1", "U2"], "incident-commander": ["U3"]}


def failing() -> Mapping[str, list[str]]:
    """A directory that can't be reached."""
    fails("answered HTTP 500")()
    raise AssertionError


def test_who_is_on_call_is_tagged() -> None:
    """Whoever was found, by role, is in the case, and tagged instead of the contact."""
    case = attempt(OnCall(lambda: FOUND), case_of("Escalate"))
    assert case.step("oncall").result == FOUND
    assert messages.tags(case, CONTACTS) == "<@U1> <@U2> <@U3>"
    assert not OnCall(lambda: FOUND).due(case)


def test_without_a_directory_the_contacts_are_tagged() -> None:
    """Where PagerDuty has no token, or Slack is left out, the step is over at once."""
    case = attempt(OnCall(None), case_of())
    assert case.step("oncall").state == "skipped"
    assert messages.tags(case, CONTACTS) == "<!subteam^S0123ABCD>"


def test_nobody_found_is_no_failure() -> None:
    """A schedule with a gap leaves the contact of the config."""
    case = attempt(OnCall(dict), case_of())
    assert case.step("oncall").state == "done"
    assert messages.tags(case, CONTACTS) == "<!subteam^S0123ABCD>"


def test_a_lookup_that_fails_is_given_up_soon() -> None:
    """After a few attempts it is done without: a case doesn't stay open for it, nor for 24 hours."""
    step, case = OnCall(failing), case_of()
    for tries in range(1, ATTEMPTS + 1):
        assert step.due(case)
        case = attempt(step, case)
        assert case.step("oncall").tried
        assert (case.step("oncall").state == "skipped") == (tries == ATTEMPTS)
    assert not step.due(case)


def test_a_lookup_that_works_later_counts() -> None:
    """A first failure doesn't cost the tag for good: the message is edited."""
    case = attempt(OnCall(lambda: FOUND), attempt(OnCall(failing), case_of()))
    assert messages.tags(case, CONTACTS) == "<@U1> <@U2>"


def telling(announcer: SlackAnnouncer, directory: Callable[[], Mapping[str, list[str]]]) -> tuple[Step, ...]:
    """The steps that a message takes, and a revert."""
    confirm = Scripted("confirm", "kubernetes")
    return confirm, revert_step(), OnCall(directory), Page(None), Announce(announcer, CONTACTS)


def test_a_lookup_that_hangs_delays_no_revert(office: Office, slack_api: Slack, announcer: SlackAnnouncer) -> None:
    """While the directory hangs the rollback is made; the message comes when it is known, or known not to be, whom."""
    gate = threading.Event()

    def hanging() -> Mapping[str, list[str]]:
        assert gate.wait(20)
        raise Fault("PagerDuty", "did not answer within 10 s")

    desk = office.desk(*telling(announcer, hanging))
    desk.take(decision())
    until(lambda: [case.outcome for case in desk.every()] == ["verified"], "the rollback is made")
    assert slack_api.messages == ()
    gate.set()
    office.rest()
    assert [m.text.splitlines()[1].split(" ")[0] for m in slack_api.top] == ["<!subteam^S0123ABCD>"]


def test_a_turn_looks_again(office: Office, announcer: SlackAnnouncer, slack_api: Slack) -> None:
    """A hold that becomes a rollback days later tags whoever is on call then."""
    on_call = [{"sre-oncall": ["U1"]}]
    confirm = Scripted("confirm", "kubernetes")
    desk = office.desk(confirm, OnCall(lambda: on_call[0]), Page(None), Announce(announcer, CONTACTS))
    desk.take(decision("Hold", "paused"))
    office.rest()
    assert "<@U1>" in slack_api.top[0].text
    on_call[0] = {"sre-oncall": ["U2"]}
    desk.take(decision("Escalate", "no-earlier-revision"))
    office.rest()
    office.passes(desk)
    assert "<@U2>" in slack_api.top[0].text
    assert len(slack_api.top) == 1
