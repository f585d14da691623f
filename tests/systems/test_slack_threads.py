"""Slack's adapter in a thread: replies, files, what is there already, and people by their e-mail address."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.systems.credentials import SLACK_TOKEN
from tests.systems.fault_matrix import CASES, Case, every_fault, faulted, strike
from watcher.sandbox import slack as stand_in
from watcher.sandbox.stand_in import Request
from watcher.systems.fault import Fault
from watcher.systems.slack import Posted, Slack

SECRETS = (SLACK_TOKEN,)
CHANNEL = "C0DEPLOY01"
MARK = {"event_type": "canary_watch_case", "event_payload": {"key": "k"}}
CHART = b"\x89PNG\r\n\x1a\n\x00\xff"
EMAIL = "maria.chen@example.com"
CALLS: dict[str, Callable[[Slack, Posted], object]] = {
    "reply": lambda slack, thread: slack.post("hello", "case-1/paged", thread, broadcast=True),
    "keys_in": lambda slack, thread: slack.keys_in(thread),
    "upload": lambda slack, thread: slack.upload(thread, "chart.png", CHART, "Error rate"),
    "user_by_email": lambda slack, thread: slack.user_by_email(EMAIL),
}
LEGS = ("/api/files.getUploadURLExternal", "/upload/v1/", "/api/files.completeUploadExternal")
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
every_leg = pytest.mark.parametrize("leg", range(3), ids=["announce", "send", "complete"])


@pytest.fixture
def thread(slack: Slack) -> Posted:
    """The message of a case."""
    return slack.post("Rolled back `cart`", "case-1")


def test_a_thread_holds_what_was_posted_into_it(slack: Slack, slack_api: stand_in.Slack, thread: Posted) -> None:
    """Replies and files land below the case's message, within the documented rules, and are found by their marks."""
    assert slack.keys_in(thread) == frozenset()
    reply = slack.post("Paged", "case-1/paged", thread)
    slack.upload(thread, "chart.png", CHART, "Error rate")
    slack.post("Verified", "case-1/verified", thread, broadcast=True)
    assert slack.keys_in(thread) == {"case-1/paged", "case-1/verified", "chart.png"}
    [top] = slack_api.top
    [paged, verified] = slack_api.messages[1:]
    assert (paged.ts, paged.thread_ts, paged.broadcast) == (reply.ts, top.ts, False)
    assert (verified.thread_ts, verified.broadcast) == (top.ts, True)
    [file] = slack_api.files
    assert (file.name, file.title, file.content) == ("chart.png", "Error rate", CHART)
    assert (file.channel, file.thread_ts) == (CHANNEL, top.ts)
    assert slack_api.violations == []


def test_the_other_threads_of_a_channel_are_not_looked_at(slack: Slack, thread: Posted) -> None:
    """Another case's replies and files are not this case's."""
    other = slack.post("Rolled back `pay`", "case-2")
    slack.post("Paged", "case-2/paged", other)
    slack.upload(other, "case-2.png", CHART, "Error rate")
    assert slack.keys_in(thread) == frozenset()


def test_a_broadcast_reply_is_not_the_cases_message(slack: Slack, slack_api: stand_in.Slack, thread: Posted) -> None:
    """The channel's history shows such a reply, even one with the message's own key; `find` passes it over."""
    started = time.time()
    slack.post("Verified", "case-1", thread, broadcast=True)
    slack.post("Closed", "case-1/closed", thread, broadcast=True)
    assert slack.find("case-1", started) == thread
    assert slack.find("case-1/closed", started) is None
    assert len(slack_api.messages) == 3


def test_without_a_thread_nothing_is_broadcast(slack: Slack, slack_api: stand_in.Slack) -> None:
    """The channel's own message needs no broadcast, and Slack allows none."""
    slack.post("hello", "case-1", broadcast=True)
    assert not slack_api.messages[0].broadcast
    assert slack_api.violations == []


def test_a_reply_stays_in_its_threads_channel(slack: Slack, slack_api: stand_in.Slack) -> None:
    """A thread that was begun before the configured channel changed goes on where it is; new messages do not."""
    slack_api.channels["C0OLDER"] = "older"
    slack_api.messages = (stand_in.Message("C0OLDER", "1000000000.000001", "long ago", {}),)
    assert slack.post("Closed", "k", Posted("C0OLDER", "1000000000.000001")).channel == "C0OLDER"
    assert slack.post("hello", "case-2").channel == CHANNEL


def test_a_long_thread_is_read_over_pages(slack: Slack, slack_api: stand_in.Slack, thread: Posted) -> None:
    """People talk in a thread: ours is found behind 450 replies of theirs, and only ours."""
    now = int(time.time())
    talk = tuple(
        stand_in.Message(CHANNEL, f"{now}.{at:06d}", "chatter", {}, thread_ts=thread.ts)
        for at in range(500_000, 500_450)
    )
    theirs = {"event_type": "their_app", "event_payload": {"key": "theirs"}}
    slack_api.messages += (
        *talk,
        stand_in.Message(CHANNEL, f"{now}.600000", "their app's", theirs, thread_ts=thread.ts),
        stand_in.Message(CHANNEL, f"{now}.700000", "ours", MARK, thread_ts=thread.ts),
    )
    slack_api.requests.clear()
    assert slack.keys_in(thread) == {"k"}
    assert len(slack_api.requests) == 3
    assert slack_api.violations == []


def test_reading_a_thread_is_bounded(slack: Slack, slack_api: stand_in.Slack, thread: Posted) -> None:
    """Endless talk costs ten requests."""
    now = int(time.time())
    slack_api.messages += tuple(
        stand_in.Message(CHANNEL, f"{now}.{at:06d}", "chatter", {}, thread_ts=thread.ts) for at in range(1_000, 4_000)
    )
    slack_api.requests.clear()
    slack.keys_in(thread)
    assert len(slack_api.requests) == 10


def test_replies_of_odd_shapes_are_passed_over(slack: Slack, slack_api: stand_in.Slack) -> None:
    """What people and other apps put into a thread, a deleted file among it, doesn't hide what is ours."""
    odd: tuple[dict[str, object], ...] = (
        {"metadata": "text", "files": "text"},
        {"metadata": {"event_type": "canary_watch_case", "event_payload": []}, "files": [None, {"mode": "tombstone"}]},
        {"metadata": {"event_type": "canary_watch_case", "event_payload": {"key": ["k"]}}, "files": [{"name": ["x"]}]},
        {"metadata": MARK, "files": [{"name": "a.png"}, {"name": "b.ics"}]},
    )
    replies = [{"ts": f"1.{at}", "thread_ts": "1.0", **reply} for at, reply in enumerate(odd, 1)]
    slack_api.inject("wrong-shape", shape={"ok": True, "messages": [{"ts": "1.0", "metadata": MARK}, 5, *replies]})
    assert slack.keys_in(Posted(CHANNEL, "1.0")) == {"k", "a.png", "b.ics"}


def test_a_message_that_was_deleted_has_no_thread(slack: Slack) -> None:
    """Reading it is a lasting Fault in Slack's words, not an empty thread."""
    with pytest.raises(Fault, match="refused: thread_not_found") as raised:
        slack.keys_in(Posted(CHANNEL, "1000000000.000001"))
    assert raised.value.lasting


@pytest.mark.parametrize(
    ("user", "found"),
    [
        ({"id": "U0MARIA", "deleted": False, "is_bot": False}, "U0MARIA"),
        ({"id": "W0MARIA"}, "W0MARIA"),
        ({"id": "U0MARIA", "deleted": True}, None),
        ({"id": "U0MARIA", "is_bot": True}, None),
    ],
)
def test_only_a_person_who_is_there_is_found(
    user: object, found: str | None, slack: Slack, slack_api: stand_in.Slack
) -> None:
    """Whoever left, and a bot, is nobody to be tagged."""
    slack_api.inject("wrong-shape", shape={"ok": True, "user": user})
    assert slack.user_by_email(EMAIL) == found


def test_people_are_found_by_their_address(slack: Slack, slack_api: stand_in.Slack) -> None:
    """The address that PagerDuty knows leads to the ID that Slack tags by; one that Slack doesn't know, to nobody."""
    slack_api.users = {EMAIL: "U0MARIA"}
    assert slack.user_by_email(EMAIL) == "U0MARIA"
    assert slack.user_by_email("nobody+x@example.com") is None
    assert slack_api.violations == []


def test_a_missing_scope_is_a_lasting_fault_that_names_it(slack: Slack, slack_api: stand_in.Slack) -> None:
    """An app that was set up before files and addresses were asked for needs its scopes widened."""
    refusal = {"ok": False, "error": "missing_scope", "needed": "users:read.email", "provided": "chat:write"}
    slack_api.inject("wrong-shape", shape=refusal)
    with pytest.raises(Fault, match=r"refused: missing_scope \(the app lacks users:read.email\)") as raised:
        slack.user_by_email(EMAIL)
    assert raised.value.lasting


@every_fault
@every_call
def test_every_fault_is_a_fault(
    case: Case,
    call: Callable[[Slack, Posted], object],
    slack: Slack,
    slack_api: stand_in.Slack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever Slack does, each call ends soon in one Fault, after one request, and shows no secret."""
    thread = slack.post("Rolled back `cart`", "case-1")
    before = len(slack_api.requests)
    strike(slack_api, case)
    fault = faulted(lambda: call(slack, thread), "Slack", SECRETS, caplog)
    assert fault.retry_after == case.retry_after
    assert not fault.lasting
    assert len(slack_api.requests) - before == (0 if case.mode == "refused" else 1)
    slack_api.recover()
    call(slack, thread)
    assert slack_api.violations == []


@every_leg
@pytest.mark.parametrize("case", [case for case in CASES if case.mode != "refused"], ids=lambda case: case.name)
def test_every_fault_of_an_uploads_part_is_a_fault(
    case: Case, leg: int, slack: Slack, slack_api: stand_in.Slack, caplog: pytest.LogCaptureFixture
) -> None:
    """An upload that fails at any of its three requests stops there, shows no secret, and works when tried again."""
    thread = slack.post("Rolled back `cart`", "case-1")
    slack_api.requests.clear()
    slack_api.inject(case.mode, prefix=LEGS[leg], shape=case.shape)
    fault = faulted(lambda: CALLS["upload"](slack, thread), "Slack", (*SECRETS, LEGS[1]), caplog)
    assert fault.retry_after == case.retry_after
    assert not fault.lasting
    assert len(slack_api.requests) == leg + 1
    slack_api.recover()
    assert len(slack_api.files) == (1 if leg == 2 and case.mode == "hung-halfway" else 0)
    CALLS["upload"](slack, thread)
    assert slack_api.files[-1].content == CHART
    assert slack_api.violations == []


@every_leg
def test_an_upload_whose_answer_was_lost_is_not_repeated(
    leg: int, slack: Slack, slack_api: stand_in.Slack, thread: Posted
) -> None:
    """A connection cut after a part was carried out ends the call; whether the file is there after all can be read."""

    def hang_up(request: Request) -> None:
        if request.path.startswith(LEGS[leg]):
            raise ConnectionResetError

    slack_api.requests.clear()
    slack_api.after = hang_up
    with pytest.raises(Fault, match="can't be reached"):
        CALLS["upload"](slack, thread)
    assert len(slack_api.requests) == leg + 1
    assert slack.keys_in(thread) == ({"chart.png"} if leg == 2 else frozenset())


@pytest.mark.parametrize(
    "shape",
    [
        {"ok": True},
        {"ok": True, "channel": 5, "ts": [], "messages": "none", "user": "U0MARIA", "upload_url": 5, "file_id": "F1"},
        {"ok": True, "user": {"id": "<!channel>"}, "upload_url": "https://localhost/upload"},
        {"ok": True, "user": {"id": None}, "messages": {}},
        {"ok": False, "error": {"code": "users_not_found"}},
    ],
    ids=str,
)
@every_call
def test_an_undocumented_answer_is_a_fault(
    shape: object,
    call: Callable[[Slack, Posted], object],
    slack: Slack,
    slack_api: stand_in.Slack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An answer that lacks what it must hold is no success: no ID that isn't one gets into a mention."""
    slack_api.inject("wrong-shape", shape=shape)
    fault = faulted(lambda: call(slack, Posted(CHANNEL, "1.1")), "Slack", SECRETS, caplog)
    assert fault.said == "answered with something that its API doesn't document"


@pytest.mark.parametrize("files", [None, [], "F1", [{"id": "F0OTHER"}], [None]])
def test_a_completion_without_the_file_is_a_fault(
    files: object, slack: Slack, slack_api: stand_in.Slack, thread: Posted
) -> None:
    """An upload is done when Slack names the file."""
    slack_api.inject("wrong-shape", prefix=LEGS[2], shape={"ok": True, "files": files})
    with pytest.raises(Fault, match="doesn't document"):
        CALLS["upload"](slack, thread)


def test_a_file_that_slack_lost_is_a_passing_fault(slack: Slack, slack_api: stand_in.Slack, thread: Posted) -> None:
    """The next attempt is another upload, so nobody needs to change anything."""
    slack_api.inject("wrong-shape", prefix=LEGS[2], shape={"ok": False, "error": "file_not_found"})
    with pytest.raises(Fault, match="refused: file_not_found") as raised:
        CALLS["upload"](slack, thread)
    assert not raised.value.lasting
