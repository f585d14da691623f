"""The thread under a case's message: each reply once, whatever fails; turns and bad ends reach the channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from tests.runbook.parts import NOW, decision
from tests.runbook.test_telling import CONTACTS, attempt, paged, rolled_back
from watcher.adapters import SlackAnnouncer
from watcher.runbook.announce import Announce
from watcher.runbook.case import Case, StepRecord
from watcher.runbook.progress import GIVE_UP_AFTER, converted, held, record_try
from watcher.runbook.replies import replies
from watcher.runbook.step import Outcome
from watcher.runbook.thread import Thread
from watcher.sandbox.slack import Slack
from watcher.sandbox.stand_in import Request
from watcher.systems.fault import Fault

POST = "/api/chat.postMessage"


@pytest.fixture
def thread(announcer: SlackAnnouncer) -> Thread:
    """The step, against Slack's stand-in."""
    return Thread(announcer, CONTACTS)


@pytest.fixture
def said(announcer: SlackAnnouncer) -> Case:
    """A rollback whose message is in the channel."""
    return attempt(Announce(announcer, CONTACTS), paged(rolled_back()))


def said_again(announcer: SlackAnnouncer, case: Case) -> Case:
    """The case with its message up to date, and whoever is on call looked up."""
    return attempt(Announce(announcer, CONTACTS), paged(case.with_step("oncall", StepRecord("skipped", 1))))


def keys(slack_api: Slack) -> list[str]:
    """The keys of all replies, oldest first."""
    return [str(m.metadata["event_payload"]["key"]) for m in slack_api.messages if m.thread_ts]


def wanted(case: Case) -> list[str]:
    """The keys of the replies that a case should have."""
    return [reply.key for reply in replies(case, CONTACTS)]


def test_each_outcome_is_a_reply(slack_api: Slack, thread: Thread, said: Case) -> None:
    """What is over is told once, in the message's thread and not in the channel, and then nothing is left to do."""
    assert thread.due(said)
    case = attempt(thread, said)
    assert (keys(slack_api), len(keys(slack_api))) == (wanted(case), 3)
    assert {m.thread_ts for m in slack_api.messages[1:]} == {slack_api.top[0].ts}
    assert not any(m.broadcast for m in slack_api.messages)
    assert not thread.due(case)


def test_what_comes_later_is_added(slack_api: Slack, thread: Thread, said: Case) -> None:
    """A step that ends after the first replies has its own, without the others being posted again."""
    case = attempt(thread, said)
    case = case.with_step("verify", StepRecord("done", 1, finished=NOW + 60, result={"parts": []}))
    assert thread.due(case)
    assert attempt(thread, case).step("thread").state == "done"
    assert len(keys(slack_api)) == len(set(keys(slack_api))) == 4
    assert keys(slack_api)[-1].startswith(f"{case.id}/verify/done/")


def test_without_a_message_there_is_no_thread(thread: Thread) -> None:
    """Nothing is due before the message is posted, nor without Slack."""
    assert not thread.due(paged(rolled_back()))
    assert not Thread(None, CONTACTS).due(paged(rolled_back()))


@pytest.mark.parametrize("failing", [1, 2, 3])
@pytest.mark.parametrize("mode", ["hung-halfway", "500", "429", "html"])
def test_slack_may_fail_in_the_middle(slack_api: Slack, thread: Thread, said: Case, failing: int, mode: str) -> None:
    """Whichever of several replies fails, or loses its answer, each is there once and in order in the end."""
    count = [0]

    def nth(request: Request) -> bool:
        count[0] += request.path == POST
        return request.path == POST and count[0] == failing

    slack_api.inject(mode, when=nth, times=1)  # type: ignore[arg-type]
    case = attempt(thread, said)
    assert case.step("thread").error
    case = attempt(thread, case)
    assert (keys(slack_api), case.step("thread").state) == (wanted(case), "done")


def test_a_crash_between_post_and_record(slack_api: Slack, thread: Thread, said: Case) -> None:
    """An attempt that was recorded, posted, and never came back is looked up after the restart: nothing comes twice."""
    written = record_try(said, "thread", NOW)
    thread.carry_out(written, NOW)
    assert thread.write_ahead
    assert thread.due(written)
    case = attempt(thread, written)
    assert (keys(slack_api), case.step("thread").state) == (wanted(case), "done")


def test_a_thread_that_cannot_be_read_is_told_all_the_same(slack_api: Slack, thread: Thread, said: Case) -> None:
    """Where the app may post but not read, a reply twice is better than none."""
    slack_api.inject("500", prefix=POST, times=1)
    case = attempt(thread, said)
    refusal = {"ok": False, "error": "missing_scope", "needed": "channels:history"}
    slack_api.inject("wrong-shape", prefix="/api/conversations.replies", shape=refusal)
    case = attempt(thread, case)
    assert (keys(slack_api), case.step("thread").state) == (wanted(case), "done")


def test_a_failing_look_posts_nothing(slack_api: Slack, thread: Thread, said: Case) -> None:
    """While it can't be known in passing what the thread has, nothing is posted twice on suspicion."""
    slack_api.inject("hung-halfway", prefix=POST, times=1)
    slack_api.inject("500", prefix="/api/conversations.replies", times=1)
    case = attempt(thread, attempt(thread, said))
    assert (len(keys(slack_api)), bool(case.step("thread").error)) == (1, True)
    assert attempt(thread, case).step("thread").state == "done"
    assert keys(slack_api) == wanted(case)


def test_a_turn_reaches_the_channel(slack_api: Slack, thread: Thread, announcer: SlackAnnouncer) -> None:
    """A hold that becomes a rollback edits its message, which notifies nobody, and so is broadcast from the thread."""
    hold = attempt(thread, said_again(announcer, replace(rolled_back(), action="Hold")))
    case = converted(hold, decision())
    case = attempt(thread, said_again(announcer, case))
    [top] = slack_api.top
    assert top.text.startswith("⚠️ `checkout`")
    [told] = [m for m in slack_api.messages if m.broadcast]
    assert (told.metadata["event_payload"]["key"], told.thread_ts) == (f"{case.id}/turn-1", top.ts)
    assert told.text.startswith("<!subteam^S0123ABCD> Cluster prod: ⚠️ `checkout` in `us-east-1`")
    assert not thread.due(case)


def test_a_turn_before_the_message_is_told_by_it(slack_api: Slack, thread: Thread, announcer: SlackAnnouncer) -> None:
    """What was held before anything had been said is announced once, as a hold, and not repeated from the thread."""
    case = held(rolled_back(), "revert", Outcome("later", hold="paused on Namespace shop"), NOW)
    case = attempt(thread, said_again(announcer, case))
    assert (case.turn, slack_api.top[0].text[:1]) == (1, "✋")
    assert not any(m.broadcast for m in slack_api.messages)
    assert attempt(thread, said_again(announcer, converted(case, decision()))).turn == 2
    assert [m.metadata["event_payload"]["key"] for m in slack_api.messages if m.broadcast] == [f"{case.id}/turn-2"]


def test_a_turn_is_told_where_the_message_was_found(slack_api: Slack, announcer: SlackAnnouncer) -> None:
    """Where the post's answer was lost and the case has turned since, the found message is old: the turn is told."""
    slack_api.inject("hung-halfway", prefix=POST, times=1)
    case = attempt(Announce(announcer, CONTACTS), paged(rolled_back()))
    case = said_again(announcer, held(case, "revert", Outcome("later", hold="paused"), NOW))
    attempt(Thread(announcer, CONTACTS), case)
    assert (len(slack_api.top), slack_api.messages[1].broadcast) == (1, True)


def test_what_a_turn_leaves_as_it_is_isnt_told_again(slack_api: Slack, thread: Thread, said: Case) -> None:
    """A pause found by the revert turns the case, but its confirmation and its page were told: they stay one reply."""
    waiting = said.with_step("revert", StepRecord("waiting", 1, error="HTTP 500"))
    case = attempt(thread, waiting)
    before = keys(slack_api)
    case = attempt(thread, held(case, "revert", Outcome("later", hold="paused"), NOW))
    assert keys(slack_api) == [*before, f"{case.id}/turn-1"]


def test_a_turn_waits_for_whom_to_tag(thread: Thread, announcer: SlackAnnouncer) -> None:
    """A hold may have lasted for days: the turn is told once it is looked up again who is on call."""
    hold = attempt(thread, said_again(announcer, replace(rolled_back(), action="Hold")))
    case = converted(hold, decision())
    assert not thread.due(case)
    assert not Announce(announcer, CONTACTS).due(case)
    assert thread.due(case.with_step("oncall", StepRecord("skipped", 1)))


def test_a_bad_end_reaches_the_channel(slack_api: Slack, thread: Thread, said: Case) -> None:
    """Not verified is an alarm in the channel, once, though the answer to it is lost."""
    case = replace(attempt(thread, said), outcome="not-verified")
    slack_api.inject("hung-halfway", prefix=POST, times=1)
    case = attempt(thread, attempt(thread, case))
    [alarm] = [m for m in slack_api.messages if m.broadcast]
    assert alarm.text.startswith("<!subteam^S0123ABCD> platform lead incident commander `checkout`")
    assert "NOT verified" in alarm.text
    assert not thread.due(case)


def test_a_second_bad_end_is_a_second_alarm(slack_api: Slack, thread: Thread, said: Case) -> None:
    """A case that is opened again and ends badly again alarms again; so does a migration that fails afterwards."""
    case = attempt(thread, replace(said, outcome="not-verified"))
    case = attempt(thread, replace(case, outcome="migration-failed"))
    attempt(thread, replace(case, outcome="not-verified", turn=1))
    told = [str(m.metadata["event_payload"]["key"]) for m in slack_api.messages if m.broadcast]
    assert told == [f"{case.id}/{key}" for key in ("0/not-verified", "0/migration-failed", "turn-1", "1/not-verified")]


def test_a_recovery_is_told_quietly(slack_api: Slack, thread: Thread, announcer: SlackAnnouncer) -> None:
    """A hold that ends in health edits the message and notes the incident's end in the thread, and wakes nobody."""
    hold = attempt(thread, said_again(announcer, replace(rolled_back(), action="Hold")))
    case = replace(hold, outcome="recovered")
    case = case.with_step("report", StepRecord("done", 1, finished=NOW, result={"said": "incident resolved"}))
    case = attempt(thread, said_again(announcer, case))
    assert "✅ Recovered" in slack_api.top[0].text
    assert "incident resolved" in slack_api.messages[-1].text
    assert not any(m.broadcast for m in slack_api.messages)


@pytest.mark.parametrize("looked", [False, True])
def test_a_deleted_message_holds_up_nothing(slack_api: Slack, thread: Thread, said: Case, looked: bool) -> None:
    """Where somebody deleted the message, what the channel must know is a message of its own; the rest is left."""
    case = attempt(thread, said) if looked else said
    slack_api.messages = ()
    case = attempt(thread, replace(case, outcome="not-verified"))
    assert case.step("thread").state == "done"
    assert [m.metadata["event_payload"]["key"] for m in slack_api.top] == [f"{case.id}/0/not-verified"]
    assert not thread.due(case)
    slack_api.violations[:] = [one for one in slack_api.violations if "cannot_reply_to_message" not in one]


def test_an_alarm_without_a_thread_comes_once(slack_api: Slack, thread: Thread, said: Case) -> None:
    """The message that takes the place of a reply is looked for as well, before it is posted again."""
    case = replace(attempt(thread, said), outcome="not-verified")
    slack_api.messages = ()
    slack_api.inject("hung-halfway", prefix=POST, times=1)
    case = attempt(thread, attempt(thread, case))
    assert (len(slack_api.top), case.step("thread").state) == (1, "done")


@dataclass
class Sealed:
    """Slack in a workspace where messages can't be edited: an `Announcer`."""

    inner: SlackAnnouncer

    def find(self, key: str, since: float) -> Mapping[str, str] | None:
        """Look for a message."""
        return self.inner.find(key, since)

    def post(self, text: str, key: str) -> Mapping[str, str]:
        """Post one."""
        return self.inner.post(text, key)

    def update(self, place: Mapping[str, str], text: str) -> None:
        """Refuse."""
        raise Fault("Slack", "refused: edit_window_closed", lasting=True)

    def known(self, thread: Mapping[str, str]) -> frozenset[str]:
        """Look into the thread."""
        return self.inner.known(thread)

    def reply(self, thread: Mapping[str, str], text: str, key: str, *, broadcast: bool) -> None:
        """Reply."""
        self.inner.reply(thread, text, key, broadcast=broadcast)

    def upload(self, thread: Mapping[str, str], name: str, content: bytes, title: str) -> None:
        """Upload."""
        self.inner.upload(thread, name, content, title)


def test_a_message_that_cannot_be_edited_holds_up_no_alarm(
    slack_api: Slack, announcer: SlackAnnouncer, said: Case
) -> None:
    """Not verified is alarmed once, though the message itself can't be changed any more."""
    case = replace(said, outcome="not-verified")
    for step in (Announce(Sealed(announcer), CONTACTS), Thread(Sealed(announcer), CONTACTS)):
        assert step.due(case)
        case = attempt(step, case)
        assert (case.step(step.name).state, step.due(case)) == ("done", False)
    assert [m.metadata["event_payload"]["key"] for m in slack_api.messages if m.broadcast] == wanted(case)[-1:]


def test_a_message_that_is_found_and_cannot_be_edited_is_no_obstacle(
    slack_api: Slack, announcer: SlackAnnouncer
) -> None:
    """What a cut-off attempt has posted is found and left as it is, where Slack refuses to have it changed."""
    step = Announce(Sealed(announcer), CONTACTS)
    slack_api.inject("hung-halfway", prefix=POST, times=1)
    case = attempt(step, attempt(step, paged(rolled_back())))
    assert (len(slack_api.top), case.step("announce").state) == (1, "done")


def test_a_thread_that_was_given_up_ends_with_its_turn(thread: Thread, said: Case) -> None:
    """24 hours of failing end the trying, not the telling: once the case turns, the thread is tried again."""
    failed = said.with_step("thread", StepRecord("failed", 99, error="HTTP 500", finished=NOW + GIVE_UP_AFTER))
    case = converted(replace(failed, action="Hold"), decision())
    assert case.step("thread").state != "failed"
