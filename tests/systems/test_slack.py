"""Slack's adapter against its stand-in."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import pytest

from tests.systems.credentials import SLACK_TOKEN
from tests.systems.fault_matrix import Case, every_fault, faulted, strike
from watcher.sandbox import slack as stand_in
from watcher.sandbox.stand_in import Reply, Request, json_reply
from watcher.systems.fault import Fault
from watcher.systems.secret_file import SecretFile
from watcher.systems.slack import Posted, Slack, SlackSettings

SECRETS = (SLACK_TOKEN,)
CHANNEL = "C0DEPLOY01"
CALLS: dict[str, Callable[[Slack, Posted], object]] = {
    "post": lambda slack, posted: slack.post("hello", "case-2"),
    "find": lambda slack, posted: slack.find("case-1", time.time()),
    "update": lambda slack, posted: slack.update(posted, "changed"),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


def test_a_message_from_post_to_update(slack: Slack, slack_api: stand_in.Slack) -> None:
    """A message is posted, found by its key and changed, all within the documented rules; it keeps its mark."""
    started = time.time()
    posted = slack.post(":rotating_light: Rolled back `cart`", "case-1")
    assert posted.channel == CHANNEL
    assert slack.find("case-1", started) == posted
    slack.update(posted, "Rolled back `cart` and verified")
    [message] = slack_api.messages
    assert message.text == "Rolled back `cart` and verified"
    assert message.edits == (":rotating_light: Rolled back `cart`",)
    assert message.metadata == {"event_type": "canary_watch_case", "event_payload": {"key": "case-1"}}
    assert slack.find("case-1", started) == posted
    assert slack_api.violations == []


def test_links_are_not_unfurled(slack: Slack, slack_api: stand_in.Slack) -> None:
    """A link to a dashboard doesn't grow a preview in the channel."""
    slack.post("<https://grafana.example.com|Dashboard>", "case-1")
    body = slack_api.requests[-1].body
    assert b'"unfurl_links": false' in body
    assert b'"unfurl_media": false' in body


def test_only_the_message_with_the_key_is_found(slack: Slack) -> None:
    """Another case's message, and a key that was never posted, are not found."""
    started = time.time()
    slack.post("one", "case-1")
    second = slack.post("two", "case-2")
    assert slack.find("case-2", started) == second
    assert slack.find("case-3", started) is None


def test_a_message_is_found_on_a_later_page(slack: Slack, slack_api: stand_in.Slack) -> None:
    """A busy channel is read page by page, and only as far as needed."""
    started = time.time()
    posted = slack.post("ours", "case-1")
    now = int(started)
    others = tuple(stand_in.Message(CHANNEL, f"{now}.{at:06d}", "chatter", {}) for at in range(500_000, 500_450))
    slack_api.messages += others
    slack_api.requests.clear()
    assert slack.find("case-1", started) == posted
    assert len(slack_api.requests) == 3
    assert slack_api.violations == []


def test_reading_the_history_is_bounded(slack: Slack, slack_api: stand_in.Slack) -> None:
    """A channel with endless chatter costs ten requests, not a request for every page of it."""
    now = int(time.time())
    others = tuple(stand_in.Message(CHANNEL, f"{now}.{at:06d}", "chatter", {}) for at in range(3_000))
    slack_api.messages = others
    assert Slack.find(slack, "case-1", float(now)) is None
    assert [request.path for request in slack_api.requests].count("/api/conversations.history") == 10


def test_history_is_read_from_the_case_on(slack: Slack, slack_api: stand_in.Slack) -> None:
    """Messages from long before the case are not read, but a slow clock of Slack's doesn't hide ours."""
    mark = {"event_type": "canary_watch_case", "event_payload": {"key": "case-1"}}
    slack_api.messages = (
        stand_in.Message(CHANNEL, "1000000000.000001", "long ago", mark),
        stand_in.Message(CHANNEL, "1000003570.000002", "30 s before the case, by Slack's clock", mark),
    )
    assert slack.find("case-1", 1_000_003_600.0) == Posted(CHANNEL, "1000003570.000002")
    assert slack.find("case-1", 1_000_007_200.0) is None


def test_a_channel_name_is_looked_up_once(slack: Slack, slack_api: stand_in.Slack) -> None:
    """History needs the channel's ID: it is found among the app's channels, over pages, and kept."""
    for at in range(450):
        slack_api.channels[f"C0AAA{at:05d}"] = f"team-{at}"
    slack_api.channels = {"C9LAST": "deploy"} | {
        key: name for key, name in slack_api.channels.items() if name != "deploy"
    }
    assert slack.find("case-1", time.time()) is None
    assert slack.find("case-1", time.time()) is None
    paths = [request.path for request in slack_api.requests]
    assert paths.count("/api/users.conversations") == 3
    assert paths.count("/api/conversations.history") == 2
    assert slack_api.violations == []


def test_a_channel_id_is_not_looked_up(slack_settings: SlackSettings, slack_api: stand_in.Slack) -> None:
    """A configured ID is used as it is."""
    assert Slack(dataclasses.replace(slack_settings, channel=CHANNEL)).find("case-1", time.time()) is None
    assert [request.path for request in slack_api.requests] == ["/api/conversations.history"]


def test_the_channel_of_a_post_is_not_looked_up(slack: Slack, slack_api: stand_in.Slack) -> None:
    """The answer to a post holds the channel's ID."""
    slack.post("hello", "case-1")
    slack.find("case-1", time.time())
    assert [r.path for r in slack_api.requests] == ["/api/chat.postMessage", "/api/conversations.history"]


def test_a_channel_that_the_app_is_not_in_is_a_lasting_fault(slack: Slack, slack_api: stand_in.Slack) -> None:
    """Who must do what is said: invite the app, or configure the ID."""
    slack_api.channels = {"C0OTHER": "other"}
    with pytest.raises(Fault, match="not a member of a public channel #deploy: invite it") as raised:
        slack.find("case-1", time.time())
    assert raised.value.lasting
    with pytest.raises(Fault, match="refused: channel_not_found") as refused:
        slack.post("hello", "case-1")
    assert refused.value.lasting


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("x" * 5_000, "xx…"),
        ("x" * 3_990 + " <https://example.com/a|a link>", "x…"),
        ("x" * 3_996 + "&amp;&amp;", "x…"),
    ],
    ids=["text", "link", "escape"],
)
def test_a_long_text_is_cut_where_it_stays_whole(slack: Slack, slack_api: stand_in.Slack, text: str, end: str) -> None:
    """A post and an update of more than 4,000 characters go out, cut, but never inside a link or an escape."""
    posted = slack.post(text, "case-1")
    slack.update(posted, text)
    [message] = slack_api.messages
    assert message.text == message.edits[0]
    assert 3_985 < len(message.text) <= 4_000
    assert message.text.endswith(end)
    assert slack_api.violations == []


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
    posted = slack.post("hello", "case-1")
    before = len(slack_api.requests)
    strike(slack_api, case)
    fault = faulted(lambda: call(slack, posted), "Slack", SECRETS, caplog)
    assert fault.retry_after == case.retry_after
    assert not fault.lasting
    assert len(slack_api.requests) - before == (0 if case.mode == "refused" else 1)
    slack_api.recover()
    call(slack, posted)
    assert slack_api.violations == []


@pytest.mark.parametrize(
    "shape",
    [
        {"ok": True},
        {"ok": True, "channel": 5, "ts": [], "messages": "none", "channels": {}},
        {"ok": True, "channel": CHANNEL, "ts": 12.5, "messages": None},
        {"ok": False},
        {"ok": False, "error": {"code": "x"}},
        {"ok": False, "error": f"Bearer {SLACK_TOKEN} is bad"},
    ],
    ids=str,
)
@pytest.mark.parametrize("call", [CALLS["post"], CALLS["find"]], ids=["post", "find"])
def test_an_undocumented_answer_is_a_fault(
    shape: object,
    call: Callable[[Slack, Posted], object],
    slack: Slack,
    slack_api: stand_in.Slack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An answer that looks like Slack's but lacks what it must hold is no success, and is not repeated."""
    slack_api.inject("wrong-shape", shape=shape)
    fault = faulted(lambda: call(slack, Posted(CHANNEL, "1.1")), "Slack", SECRETS, caplog)
    assert fault.said == "answered with something that its API doesn't document"


@pytest.mark.parametrize(
    ("error", "lasting"), [("invalid_auth", True), ("is_archived", True), ("internal_error", False)]
)
def test_ok_false_is_a_fault_in_slacks_words(
    error: str, lasting: bool, slack: Slack, slack_api: stand_in.Slack
) -> None:
    """An HTTP 200 with `ok: false` is a failure, lasting unless Slack calls it its own."""
    slack_api.inject("wrong-shape", shape={"ok": False, "error": error})
    with pytest.raises(Fault) as raised:
        slack.post("hello", "case-1")
    assert raised.value.said == f"refused: {error}"
    assert raised.value.lasting is lasting


def test_a_missing_scope_is_named(slack: Slack, slack_api: stand_in.Slack) -> None:
    """Who set the app up reads which scope it lacks."""
    slack_api.inject("wrong-shape", shape={"ok": False, "error": "missing_scope", "needed": "channels:history"})
    with pytest.raises(Fault, match=r"refused: missing_scope \(the app lacks channels:history\)"):
        slack.post("hello", "case-1")


class _Echo(stand_in.Slack):
    """A proxy that shows the request in its HTML error page, the token too."""

    def answer(self, request: Request) -> Reply:
        """Answer HTML with every header."""
        return Reply(200, f"<html>{request.headers}</html>".encode(), "text/html")


@every_call
def test_an_answer_that_repeats_the_token_does_not_spread_it(
    call: Callable[[Slack, Posted], object], slack_settings: SlackSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """A page that echoes the request doesn't make us show the token."""
    with _Echo(SLACK_TOKEN) as echo:
        slack = Slack(dataclasses.replace(slack_settings, api_url=f"{echo.url}/api/"))
        faulted(lambda: call(slack, Posted(CHANNEL, "1.1")), "Slack", SECRETS, caplog)


def _hang_up(request: Request) -> None:
    raise ConnectionResetError


@every_call
def test_a_dropped_answer_is_a_fault_and_nothing_is_sent_again(
    call: Callable[[Slack, Posted], object], slack: Slack, slack_api: stand_in.Slack
) -> None:
    """A connection cut after the request was carried out is not tried again here: no second message."""
    posted = slack.post("hello", "case-1")
    slack_api.requests.clear()
    slack_api.after = _hang_up
    with pytest.raises(Fault, match="can't be reached"):
        call(slack, posted)
    assert len(slack_api.requests) == 1


class _Lost(stand_in.Slack):
    """A Slack whose answers to posts are lost on the way back."""

    def answer(self, request: Request) -> Reply:
        """Carry the request out; answer a post with a gateway's error."""
        reply = super().answer(request)
        return json_reply(502, {}) if request.path.endswith("chat.postMessage") else reply


def test_a_post_whose_answer_was_lost_can_be_found(slack_settings: SlackSettings) -> None:
    """After a failed post, `find` tells whether it was made after all, so that it need not be made twice."""
    started = time.time()
    with _Lost(SLACK_TOKEN) as lost:
        slack = Slack(dataclasses.replace(slack_settings, api_url=f"{lost.url}/api/"))
        with pytest.raises(Fault, match="HTTP 502"):
            slack.post("hello", "case-1")
        assert slack.find("case-1", started) == Posted(CHANNEL, lost.messages[0].ts)
        assert len(lost.messages) == 1


def test_a_changed_token_counts_at_once(
    slack: Slack, slack_api: stand_in.Slack, secret: Callable[[str, str], SecretFile]
) -> None:
    """A token that was revoked and replaced works without a restart."""
    slack_api.token = "xoxb-new"
    with pytest.raises(Fault, match="invalid_auth"):
        slack.post("hello", "case-1")
    secret("slack-token", "xoxb-new")
    slack.post("hello", "case-1")
    assert len(slack_api.messages) == 1
