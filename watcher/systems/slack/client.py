"""The calls that the runbook makes: messages and replies with a key each, files, and people by their e-mail address."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from watcher.systems.fault import Fault
from watcher.systems.slack.calls import SYSTEM, Calls, Refused, SlackSettings, string, unexpected

if TYPE_CHECKING:
    from slack_sdk import WebClient
    from slack_sdk.web import SlackResponse

EVENT_TYPE = "canary_watch_case"
TEXT_LIMIT = 4_000
"""Characters. chat.update refuses more (https://docs.slack.dev/reference/methods/chat.update, msg_too_long), and
chat.postMessage advises no more; up to 40,000 it takes, but such a message could never be updated."""
MESSAGES_PAGE, MESSAGES_PAGES = 200, 10
"""conversations.history and conversations.replies recommend at most 200 a page; 2,000 messages since a case was opened,
or in its thread, are enough to read."""
CHANNELS_PAGE, CHANNELS_PAGES = 200, 10
CLOCK_SKEW = 60.0
"""Seconds by which Slack's clock, which gives messages their time, may be behind ours."""
CHANNEL_ID = re.compile(r"[CGD][A-Z0-9]{2,}")
USER_ID = re.compile(r"[UW][A-Z0-9]{2,}")
UNFINISHED = re.compile(r"(<[^<>]*|&[a-z]{0,3})$")
"""A link, a mention or an escape without its end."""


@dataclass(frozen=True, slots=True)
class Posted:
    """Where a message is: the channel's ID and the message's `ts`, which together name it, and the thread below it."""

    channel: str
    ts: str


class Slack:
    """The calls that the runbook makes. Every method raises Fault when Slack doesn't do what it was asked."""

    def __init__(self, settings: SlackSettings) -> None:
        self._settings = settings
        self._calls = Calls(settings)
        self._channel_id = settings.channel if CHANNEL_ID.fullmatch(settings.channel) else ""

    def post(self, text: str, key: str, thread: Posted | None = None, *, broadcast: bool = False) -> Posted:
        """Post `text` (Slack's mrkdwn), marked with `key` for `find` and `keys_in`; links are not unfurled.

        It becomes a reply below `thread`, which must not be a reply itself; with `broadcast` the channel shows it too.
        """
        metadata = {"event_type": EVENT_TYPE, "event_payload": {"key": key}}
        channel = thread.channel if thread else self._channel_id or self._settings.channel
        answer = self._calls.ask(
            lambda client: client.chat_postMessage(
                channel=channel,
                text=_clipped(text),
                thread_ts=thread.ts if thread else None,
                reply_broadcast=broadcast if thread else None,
                metadata=metadata,
                unfurl_links=False,
                unfurl_media=False,
            )
        )
        posted = Posted(string(answer, "channel"), string(answer, "ts"))
        if thread is None:
            self._channel_id = posted.channel
        return posted

    def find(self, key: str, since: float) -> Posted | None:
        """Return the message that was posted with `key` at `since` (epoch seconds) or later, None if there is none.

        A reply is never it, although the channel's history holds those that were broadcast.
        """
        channel = self._channel()
        oldest = f"{max(0.0, since - CLOCK_SKEW):.6f}"

        def page(cursor: str | None, client: WebClient) -> SlackResponse:
            return client.conversations_history(
                channel=channel, oldest=oldest, include_all_metadata=True, limit=MESSAGES_PAGE, cursor=cursor
            )

        for message in self._calls.pages(page, "messages", MESSAGES_PAGES):
            if not _is_reply(message) and _key(message) == key:
                return Posted(channel, string(message, "ts"))
        return None

    def keys_in(self, thread: Posted) -> frozenset[str]:
        """Return the keys of the replies below `thread`, and the names of the files there, whoever put them there.

        A repeated step tells by them what it has posted already. Raises Fault if the message is gone.
        """

        def page(cursor: str | None, client: WebClient) -> SlackResponse:
            return client.conversations_replies(
                channel=thread.channel, ts=thread.ts, include_all_metadata=True, limit=MESSAGES_PAGE, cursor=cursor
            )

        found: set[str] = set()
        for message in self._calls.pages(page, "messages", MESSAGES_PAGES):
            if _is_reply(message):
                found.update(_file_names(message))
                key = _key(message)
                if isinstance(key, str):
                    found.add(key)
        return frozenset(found)

    def update(self, posted: Posted, text: str) -> None:
        """Replace a message's text; its mark stays, for metadata left out is retained."""
        self._calls.ask(lambda client: client.chat_update(channel=posted.channel, ts=posted.ts, text=_clipped(text)))

    def upload(self, thread: Posted, name: str, content: bytes, title: str) -> None:
        """Put a file into the thread below `thread`. `name` is its mark for `keys_in`, `content` must not be empty.

        In the three requests of https://docs.slack.dev/reference/methods/files.getUploadURLExternal. Slack shares it a
        moment after it has taken it, so that `keys_in` may miss it at first.
        """
        place = self._calls.ask(lambda client: client.files_getUploadURLExternal(filename=name, length=len(content)))
        file_id = string(place, "file_id")
        self._calls.send(string(place, "upload_url"), content)
        answer = self._calls.ask(
            lambda client: client.files_completeUploadExternal(
                files=[{"id": file_id, "title": title}], channel_id=thread.channel, thread_ts=thread.ts
            )
        )
        if file_id not in (file.get("id") for file in _objects(answer, "files")):
            raise unexpected()

    def user_by_email(self, email: str) -> str | None:
        """Return the ID of the person with this address; None for nobody, a deactivated account or a bot.

        A deactivated one is users_not_found by https://docs.slack.dev/reference/methods/users.lookupByEmail.
        """
        try:
            answer = self._calls.ask(lambda client: client.users_lookupByEmail(email=email))
        except Refused as refused:
            if refused.code == "users_not_found":
                return None
            raise
        user = answer.get("user")
        if not isinstance(user, dict) or not USER_ID.fullmatch(string(user, "id")):
            raise unexpected()
        return None if user.get("deleted") or user.get("is_bot") else string(user, "id")

    def _channel(self) -> str:
        """Return the channel's ID, which history needs where posting takes a name; look it up once.

        The app's own channels are asked for, not the workspace's: few, and history is open to members alone.
        """
        if not self._channel_id:
            name = self._settings.channel.removeprefix("#")

            def page(cursor: str | None, client: WebClient) -> SlackResponse:
                return client.users_conversations(types="public_channel", limit=CHANNELS_PAGE, cursor=cursor)

            for channel in self._calls.pages(page, "channels", CHANNELS_PAGES):
                if channel.get("name") == name:
                    self._channel_id = string(channel, "id")
                    return self._channel_id
            said = f"the app is not a member of a public channel #{name}: invite it, or configure the channel's ID"
            raise Fault(SYSTEM, said, lasting=True)
        return self._channel_id


def _is_reply(message: dict[str, Any]) -> bool:
    """Tell by `thread_ts`, which a message with replies has too: its own `ts`."""
    return message.get("thread_ts") not in (None, message.get("ts"))


def _key(message: dict[str, Any]) -> object:
    """Return the key that a message of ours is marked with, None for any other."""
    metadata = message.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("event_type") != EVENT_TYPE:
        return None
    payload = metadata.get("event_payload")
    return payload.get("key") if isinstance(payload, dict) else None


def _file_names(message: dict[str, Any]) -> list[str]:
    """Return the names of a message's files; one that was deleted has none."""
    names = [file.get("name") for file in _objects(message, "files")]
    return [name for name in names if isinstance(name, str)]


def _objects(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    items = answer.get(name)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _clipped(text: str) -> str:
    """Return `text` in at most TEXT_LIMIT characters, never cut inside a link, a mention or an escape."""
    if len(text) <= TEXT_LIMIT:
        return text
    return UNFINISHED.sub("", text[: TEXT_LIMIT - 1]).rstrip() + "…"
