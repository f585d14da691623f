"""Slack's stand-in where threads, files and people are concerned: it refuses what Slack's documents refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from watcher.sandbox.slack import Slack

CHANNEL = "C0DEPLOY01"
MARK = {"event_type": "kind", "event_payload": {"key": "k"}}


@pytest.fixture
def slack() -> Iterator[Slack]:
    """Slack's stand-in with #deploy."""
    with Slack("xoxb-1") as api:
        yield api


def _call(api: Slack, method: str, **arguments: object) -> Any:
    headers = {"Authorization": "Bearer xoxb-1"}
    return requests.post(f"{api.url}/api/{method}", json=arguments, headers=headers, timeout=5).json()


def _posted(api: Slack, **arguments: object) -> str:
    answer = _call(api, "chat.postMessage", channel=CHANNEL, **({"text": "t"} | arguments))
    assert answer["ok"], answer
    return str(answer["ts"])


def _announced(api: Slack, content: bytes) -> tuple[str, str]:
    """Announce a file, and return its ID and the URL for its bytes."""
    answer = _call(api, "files.getUploadURLExternal", filename="a.png", length=len(content))
    return answer["file_id"], answer["upload_url"]


def _completed(api: Slack, *keys: str, **arguments: object) -> Any:
    files = [{"id": key, "title": "A"} for key in keys]
    return _call(api, "files.completeUploadExternal", **({"files": files, "channel_id": CHANNEL} | arguments))


def test_a_thread_comes_parent_first(slack: Slack) -> None:
    """Replies list one thread, whichever of its messages is asked for; metadata comes when asked, files always."""
    parent = _posted(slack, text="parent")
    _posted(slack, text="beside it")
    reply = _posted(slack, text="reply", thread_ts=parent, metadata=MARK)
    key, url = _announced(slack, b"png")
    requests.post(url, data=b"png", timeout=5)
    _completed(slack, key, thread_ts=parent)
    for asked in (parent, reply):
        found = _call(slack, "conversations.replies", channel=CHANNEL, ts=asked)["messages"]
        assert [message["text"] for message in found] == ["parent", "reply", ""]
        assert {message["thread_ts"] for message in found} == {parent}
        assert found[2]["files"] == [{"id": key, "name": "a.png", "title": "A"}]
        assert not any("metadata" in message for message in found)
    shown = _call(slack, "conversations.replies", channel=CHANNEL, ts=parent, include_all_metadata=True)
    assert shown["messages"][1]["metadata"] == MARK
    assert slack.violations == []


def test_replies_come_in_pages(slack: Slack) -> None:
    """A page holds what was asked for, and says how to go on."""
    parent = _posted(slack)
    for _ in range(3):
        _posted(slack, thread_ts=parent)
    first = _call(slack, "conversations.replies", channel=CHANNEL, ts=parent, limit=3)
    cursor = first["response_metadata"]["next_cursor"]
    rest = _call(slack, "conversations.replies", channel=CHANNEL, ts=parent, limit=3, cursor=cursor)
    assert (len(first["messages"]), len(rest["messages"]), rest["has_more"]) == (3, 1, False)


def test_a_message_without_replies_comes_alone(slack: Slack) -> None:
    """It has no `thread_ts`, as an ordinary message."""
    [message] = _call(slack, "conversations.replies", channel=CHANNEL, ts=_posted(slack))["messages"]
    assert "thread_ts" not in message


def test_history_shows_a_reply_only_if_it_was_broadcast(slack: Slack) -> None:
    """A channel's history holds its own messages, and replies that were made visible there."""
    parent = _posted(slack, text="parent")
    _posted(slack, text="hidden", thread_ts=parent)
    _posted(slack, text="shown", thread_ts=parent, reply_broadcast=True)
    messages = _call(slack, "conversations.history", channel=CHANNEL)["messages"]
    assert [message["text"] for message in messages] == ["shown", "parent"]
    assert messages[0]["subtype"] == "thread_broadcast"
    assert [message.text for message in slack.top] == ["parent"]


@pytest.mark.parametrize(
    ("method", "arguments", "error", "violations"),
    [
        ("chat.postMessage", {"channel": CHANNEL, "text": "t", "thread_ts": "1.1"}, "cannot_reply_to_message", 1),
        ("conversations.replies", {"channel": "#deploy", "ts": "1.1"}, "channel_not_found", 0),
        ("conversations.replies", {"channel": CHANNEL, "ts": "1.1"}, "thread_not_found", 0),
        ("conversations.replies", {"channel": CHANNEL}, "thread_not_found", 0),
        ("files.getUploadURLExternal", {"filename": "a.png", "length": 0}, "missing_argument", 1),
        ("files.getUploadURLExternal", {"length": 5}, "missing_argument", 1),
        ("files.completeUploadExternal", {"files": [{"id": "F1"}]}, "channel_not_found", 0),
        ("files.completeUploadExternal", {"files": [{"id": "F1"}], "channel_id": CHANNEL}, "file_not_found", 1),
        ("files.completeUploadExternal", {"channel_id": CHANNEL}, "file_not_found", 1),
        ("files.completeUploadExternal", {"channel_id": CHANNEL, "thread_ts": "1.1"}, "cannot_reply_to_message", 1),
        ("users.lookupByEmail", {"email": "nobody@example.com"}, "users_not_found", 0),
        ("users.lookupByEmail", {}, "invalid_arguments", 1),
    ],
)
def test_an_invalid_call_is_refused(
    slack: Slack, method: str, arguments: dict[str, object], error: str, violations: int
) -> None:
    """A call that breaks a rule gets the documented error and is noted; one for what isn't there isn't noted."""
    assert _call(slack, method, **arguments) == {"ok": False, "error": error}
    assert (slack.messages, slack.files) == ((), ())
    assert len(slack.violations) == violations


def test_a_reply_takes_no_replies(slack: Slack) -> None:
    """A thread is named by its parent alone, for messages and for files."""
    reply = _posted(slack, thread_ts=_posted(slack))
    answer = _call(slack, "chat.postMessage", channel=CHANNEL, text="t", thread_ts=reply)
    assert answer["error"] == "cannot_reply_to_message"
    key, url = _announced(slack, b"png")
    requests.post(url, data=b"png", timeout=5)
    assert _completed(slack, key, thread_ts=reply)["error"] == "cannot_reply_to_message"
    assert slack.files == ()


def test_a_broadcast_belongs_to_a_reply(slack: Slack) -> None:
    """Broadcasting a message of the channel's own is noted."""
    _posted(slack, reply_broadcast=True)
    assert slack.violations == ["chat.postMessage: reply_broadcast without thread_ts"]


def test_a_file_is_shared_once_its_bytes_have_come(slack: Slack) -> None:
    """Sharing before that, and sharing again, find no file."""
    key, url = _announced(slack, b"png")
    assert _completed(slack, key)["error"] == "file_not_found"
    assert requests.post(url, data=b"png", timeout=5).status_code == 200
    assert _completed(slack, key) == {"ok": True, "files": [{"id": key, "title": "A"}]}
    assert _completed(slack, key)["error"] == "file_not_found"
    [file] = slack.files
    assert (file.name, file.title, file.content, file.channel, file.thread_ts) == ("a.png", "A", b"png", CHANNEL, "")
    assert len(slack.violations) == 2
    [message] = _call(slack, "conversations.history", channel=CHANNEL)["messages"]
    assert message["files"][0]["name"] == "a.png"


def test_files_are_shared_together_or_not_at_all(slack: Slack) -> None:
    """One that isn't there keeps the other back, which can still be shared afterwards."""
    key, url = _announced(slack, b"png")
    requests.post(url, data=b"png", timeout=5)
    assert _completed(slack, key, "F0OTHER")["error"] == "file_not_found"
    assert _completed(slack, key)["ok"]


def test_the_bytes_of_a_file_are_checked(slack: Slack) -> None:
    """An upload's URL serves one POST of exactly the announced bytes, and needs no token."""
    _, url = _announced(slack, b"png")
    assert requests.get(url, timeout=5).status_code == 400
    assert requests.post(url, data=b"longer", timeout=5).status_code == 400
    assert requests.post(f"{slack.url}/upload/v1/F0OTHER", data=b"png", timeout=5).status_code == 400
    assert requests.post(url, data=b"png", timeout=5, headers={"Authorization": "Bearer xoxb-1"}).status_code == 200
    assert requests.post(url, data=b"png", timeout=5).status_code == 400
    said = [violation.rpartition("/")[2].partition(" ")[2] for violation in slack.violations]
    assert said == [
        "is no upload that was announced",
        "has 6 bytes, 3 were announced",
        "is no upload that was announced",
        "a token came with the bytes",
        "has its bytes already",
    ]


def test_people_have_addresses(slack: Slack) -> None:
    """A person is found by exactly the address that was set."""
    slack.users["maria.chen@example.com"] = "U0MARIA"
    user = _call(slack, "users.lookupByEmail", email="maria.chen@example.com")["user"]
    assert (user["id"], user["deleted"], user["is_bot"]) == ("U0MARIA", False, False)
