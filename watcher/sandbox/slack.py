"""Slack's stand-in: the Web API methods that canary-watch calls, on loopback.

What it demands is what Slack documents; each rule cites its page below https://docs.slack.dev/. A failure is an HTTP
200 with `ok: false`, as with Slack; those that a correct client never causes are kept in `violations`.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs

from watcher.sandbox.stand_in import RETRY_AFTER, Reply, Request, StandIn, json_reply

UPDATE_TEXT_LIMIT = 4_000
POST_TEXT_LIMIT = 40_000
CONTENT_TYPES = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
CHARSETS = (None, "utf-8", "iso-8859-1")
TIMESTAMP = re.compile(r"\d{1,10}(\.\d{1,6})?")
METADATA_NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it is now; `edits` are its earlier texts, oldest first."""

    channel: str
    ts: str
    text: str
    metadata: Mapping[str, Any]
    edits: tuple[str, ...] = ()


class Slack(StandIn):
    """A workspace in memory: `channels` by ID, of which the app is a member of all. `token` is the one that it knows.

    `messages` is a tuple of values, oldest first: read it at any time.
    """

    def __init__(self, token: str, channels: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.token = token
        self.channels = dict(channels or {"C0DEPLOY01": "deploy"})
        self.messages: tuple[Message, ...] = ()
        self._fraction = itertools.count(1)

    def answer(self, request: Request) -> Reply:
        """Carry out one method call: `/api/<method>`."""
        methods = {
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "conversations.history": self._history,
            "users.conversations": self._conversations,
        }
        method = methods.get(request.path.removeprefix("/api/"))
        if method is None:
            return self._refuse("unknown_method", request.path)
        error = self._unauthorized(request) or _content_error(request)
        if error:
            return self._refuse(error, request.path)
        arguments = _arguments(request)
        if arguments is None:
            return self._refuse("invalid_form_data", request.path)
        return method(arguments)

    def limited(self, request: Request) -> Reply:
        """Answer 429 with Retry-After (apis/web-api/rate-limits)."""
        return json_reply(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": str(RETRY_AFTER)})

    def _unauthorized(self, request: Request) -> str:
        """Check the token: "passed as an HTTP Authorization header" (reference/methods/chat.postMessage)."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            return "not_authed"
        return "" if token == self.token else "invalid_auth"

    def _post(self, arguments: Mapping[str, Any]) -> Reply:
        """Post a message (reference/methods/chat.postMessage): `channel` is a channel's ID or name.

        Above 40,000 characters Slack truncates, above 4,000 it splits: neither is an error, both are violations here.
        """
        channel = self._channel(arguments.get("channel"))
        if not channel:
            return self._refuse("channel_not_found", "chat.postMessage")
        text = arguments.get("text")
        error = _text_error(text) or _metadata_error(arguments.get("metadata"))
        if error:
            return self._refuse(error, "chat.postMessage")
        text = str(text)
        if len(text) > UPDATE_TEXT_LIMIT:
            self.violate(f"chat.postMessage: the text has {len(text)} characters, 4,000 are recommended")
        with self.lock:
            ts = f"{int(time.time())}.{next(self._fraction):06d}"
            metadata = arguments.get("metadata") or {}
            self.messages = (*self.messages, Message(channel, ts, text[:POST_TEXT_LIMIT], metadata))
        return json_reply(200, {"ok": True, "channel": channel, "ts": ts, "message": {"text": text, "ts": ts}})

    def _update(self, arguments: Mapping[str, Any]) -> Reply:
        """Change a message (reference/methods/chat.update): by channel ID; metadata left out is retained."""
        error = _text_error(arguments.get("text")) or _metadata_error(arguments.get("metadata"))
        if not error and len(arguments["text"]) > UPDATE_TEXT_LIMIT:
            error = "msg_too_long"
        if not error and arguments.get("channel") not in self.channels:
            error = "channel_not_found"
        if error:
            return self._refuse(error, "chat.update")
        with self.lock:
            for at, message in enumerate(self.messages):
                if (message.channel, message.ts) == (arguments["channel"], arguments.get("ts")):
                    metadata = arguments.get("metadata", message.metadata)
                    edits = (*message.edits, message.text)
                    changed = replace(message, text=arguments["text"], metadata=metadata, edits=edits)
                    self.messages = (*self.messages[:at], changed, *self.messages[at + 1 :])
                    answer = {"ok": True, "channel": message.channel, "ts": message.ts, "text": changed.text}
                    return json_reply(200, answer)
        return self._refuse("message_not_found", "chat.update")

    def _history(self, arguments: Mapping[str, Any]) -> Reply:
        """List messages, newest first (reference/methods/conversations.history): by channel ID, at most 999 a page.

        `oldest` is exclusive. Metadata comes only with `include_all_metadata`.
        """
        if arguments.get("channel") not in self.channels:
            return self._refuse("channel_not_found", "conversations.history")
        oldest = str(arguments.get("oldest", "0"))
        if not TIMESTAMP.fullmatch(oldest):
            return self._refuse("invalid_ts_oldest", "conversations.history")
        everything = str(arguments.get("include_all_metadata")).lower() in ("1", "true")
        found = [
            {"type": "message", "ts": m.ts, "text": m.text, **({"metadata": m.metadata} if everything else {})}
            for m in reversed(self.messages)
            if m.channel == arguments["channel"] and float(m.ts) > float(oldest)
        ]
        return self._page(found, "messages", arguments)

    def _conversations(self, arguments: Mapping[str, Any]) -> Reply:
        """List the channels that the app is a member of (reference/methods/users.conversations)."""
        found = [{"id": key, "name": name, "is_channel": True} for key, name in sorted(self.channels.items())]
        return self._page(found, "channels", arguments)

    def _page(self, items: list[dict[str, Any]], name: str, arguments: Mapping[str, Any]) -> Reply:
        """Return one page (apis/web-api/pagination): an empty `next_cursor` ends it."""
        limit, cursor = str(arguments.get("limit", "100")), str(arguments.get("cursor") or "at:0")
        if not limit.isdigit() or not 1 <= int(limit) <= 999:
            return self._refuse("invalid_limit", name)
        start = cursor.removeprefix("at:")
        if not cursor.startswith("at:") or not start.isdigit():
            return self._refuse("invalid_cursor", name)
        end = int(start) + int(limit)
        following = f"at:{end}" if end < len(items) else ""
        answer = {"ok": True, name: items[int(start) : end], "response_metadata": {"next_cursor": following}}
        return json_reply(200, {**answer, "has_more": bool(following)})

    def _channel(self, given: object) -> str:
        """Return the ID of a channel given by ID or name."""
        wanted = str(given)
        if wanted in self.channels:
            return wanted
        return next((key for key, name in self.channels.items() if name == wanted.removeprefix("#")), "")

    def _refuse(self, error: str, what: str) -> Reply:
        """Answer `ok: false`; only a token that isn't known and a channel or message that is gone are no violation."""
        if error not in ("invalid_auth", "channel_not_found", "message_not_found"):
            self.violate(f"{what}: {error}")
        return json_reply(200, {"ok": False, "error": error})


def _content_error(request: Request) -> str:
    """Check the POST's type and charset (reference/methods/chat.update, errors invalid_post_type, invalid_charset)."""
    if request.method == "GET":
        return ""
    if "Content-Type" not in request.headers:
        return "missing_post_type"
    if request.headers.get_content_type() not in CONTENT_TYPES:
        return "invalid_post_type"
    charset = request.headers.get_content_charset()
    return "" if charset in CHARSETS else "invalid_charset"


def _arguments(request: Request) -> dict[str, Any] | None:
    """Return the call's arguments, out of a JSON or a form body or the query; None if they can't be read."""
    arguments: dict[str, Any] = {name: values[0] for name, values in request.query.items()}
    if request.headers.get_content_type() == "application/json" and request.body:
        try:
            given = json.loads(request.body)
        except ValueError:
            return None
        return {**arguments, **given} if isinstance(given, dict) else None
    form = parse_qs(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    arguments |= {name: values[0] for name, values in form.items()}
    if isinstance(arguments.get("metadata"), str):
        try:
            arguments["metadata"] = json.loads(arguments["metadata"])
        except ValueError:
            arguments["metadata"] = None
    return arguments


def _text_error(text: object) -> str:
    return "" if isinstance(text, str) and text.strip() else "no_text"


def _metadata_error(metadata: object) -> str:
    """Check metadata (messaging/message-metadata): an alphanumeric `event_type` and an object `event_payload`."""
    if metadata is None:
        return ""
    if not isinstance(metadata, dict) or not isinstance(metadata.get("event_payload"), dict):
        return "invalid_metadata_format"
    return "" if METADATA_NAME.fullmatch(str(metadata.get("event_type", ""))) else "invalid_metadata_format"
