"""Slack's stand-in: the Web API methods that canary-watch calls, on loopback.

What it demands is what Slack documents; each rule cites its page below https://docs.slack.dev/. A failure is an HTTP
200 with `ok: false`, as with Slack; those that a correct client never causes are kept in `violations`. `slack_rules`
reads the calls, `slack_files` holds the files that are on their way in.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from watcher.sandbox.slack_files import UPLOADS, File, Uploads
from watcher.sandbox.slack_rules import arguments_of, content_error, flag, metadata_error, text_error
from watcher.sandbox.stand_in import RETRY_AFTER, Reply, Request, StandIn, json_reply

UPDATE_TEXT_LIMIT = 4_000
POST_TEXT_LIMIT = 40_000
TIMESTAMP = re.compile(r"\d{1,10}(\.\d{1,6})?")
GONE = ("invalid_auth", "channel_not_found", "message_not_found", "thread_not_found", "users_not_found")
"""The errors that a correct client may meet: a token that isn't known, and what isn't there or is no longer."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it is now; `edits` are its earlier texts, oldest first.

    `thread_ts` is the `ts` of the message that it replies to, empty where it is no reply.
    """

    channel: str
    ts: str
    text: str
    metadata: Mapping[str, Any]
    edits: tuple[str, ...] = ()
    thread_ts: str = ""
    broadcast: bool = False


class Slack(StandIn):
    """A workspace in memory: `channels` by ID, of which the app is a member of all. `token` is the one that it knows.

    `users` are the IDs of people by their e-mail addresses. `messages`, replies among them, and `files` are tuples of
    values, oldest first: read them at any time.
    """

    def __init__(self, token: str, channels: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.token = token
        self.channels = dict(channels or {"C0DEPLOY01": "deploy"})
        self.users: dict[str, str] = {}
        self.messages: tuple[Message, ...] = ()
        self.files: tuple[File, ...] = ()
        self._uploads = Uploads()
        self._fraction = itertools.count(1)

    @property
    def top(self) -> tuple[Message, ...]:
        """The messages that aren't replies."""
        return tuple(message for message in self.messages if not message.thread_ts)

    def answer(self, request: Request) -> Reply:
        """Carry out one method call, `/api/<method>`, or take a file's bytes."""
        if request.path.startswith(UPLOADS):
            return self._receive(request)
        methods = {
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
            "files.getUploadURLExternal": self._announce,
            "files.completeUploadExternal": self._complete,
            "users.conversations": self._conversations,
            "users.lookupByEmail": self._lookup,
        }
        method = methods.get(request.path.removeprefix("/api/"))
        if method is None:
            return self._refuse("unknown_method", request.path)
        error = self._unauthorized(request) or content_error(request)
        if error:
            return self._refuse(error, request.path)
        arguments = arguments_of(request)
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
        `reply_broadcast` is "used in conjunction with thread_ts", which is a parent's `ts`, not a reply's. The page
        names no error for a thread that isn't there; here it is the one for a message that takes no replies.
        """
        channel = self._channel(arguments.get("channel"))
        if not channel:
            return self._refuse("channel_not_found", "chat.postMessage")
        text = arguments.get("text")
        error = text_error(text) or metadata_error(arguments.get("metadata"))
        thread, broadcast = str(arguments.get("thread_ts") or ""), flag(arguments.get("reply_broadcast"))
        if not error and thread and not self._is_parent(channel, thread):
            error = "cannot_reply_to_message"
        if error:
            return self._refuse(error, "chat.postMessage")
        text = str(text)
        if broadcast and not thread:
            self.violate("chat.postMessage: reply_broadcast without thread_ts")
        if len(text) > UPDATE_TEXT_LIMIT:
            self.violate(f"chat.postMessage: the text has {len(text)} characters, 4,000 are recommended")
        with self.lock:
            ts, metadata = self._now(), arguments.get("metadata") or {}
            posted = Message(channel, ts, text[:POST_TEXT_LIMIT], metadata, (), thread, broadcast and bool(thread))
            self.messages = (*self.messages, posted)
        return json_reply(200, {"ok": True, "channel": channel, "ts": ts, "message": {"text": text, "ts": ts}})

    def _update(self, arguments: Mapping[str, Any]) -> Reply:
        """Change a message (reference/methods/chat.update): by channel ID; metadata left out is retained."""
        error = text_error(arguments.get("text")) or metadata_error(arguments.get("metadata"))
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
        found = [
            message
            for message in reversed(self._shown(arguments))
            if message.get("thread_ts", message["ts"]) == message["ts"] or "subtype" in message
        ]
        found = [message for message in found if float(message["ts"]) > float(oldest)]
        return self._page(found, "messages", arguments)

    def _replies(self, arguments: Mapping[str, Any]) -> Reply:
        """List a thread, the parent first (reference/methods/conversations.replies): `ts` is any message's in it.

        A message without replies comes alone. Metadata comes only with `include_all_metadata`.
        """
        if arguments.get("channel") not in self.channels:
            return self._refuse("channel_not_found", "conversations.replies")
        shown = self._shown(arguments)
        roots = [message.get("thread_ts", message["ts"]) for message in shown if message["ts"] == arguments.get("ts")]
        if not roots:
            return self._refuse("thread_not_found", "conversations.replies")
        found = [message for message in shown if message.get("thread_ts", message["ts"]) == roots[0]]
        return self._page(found, "messages", arguments)

    def _shown(self, arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return all that is in the channel as history and replies show it, oldest first.

        A reply has `thread_ts`, and so has a message with replies (messaging/retrieving-messages); one that the channel
        shows too is a thread_broadcast (reference/events/message/thread_broadcast). A file comes with its own message.
        """
        channel, metadata = arguments["channel"], flag(arguments.get("include_all_metadata"))
        messages = [message for message in self.messages if message.channel == channel]
        files = [file for file in self.files if file.channel == channel]
        parents = {message.thread_ts for message in messages} | {file.thread_ts for file in files}
        shown = [
            {"type": "message", "ts": message.ts, "text": message.text}
            | ({"thread_ts": message.thread_ts or message.ts} if message.thread_ts or message.ts in parents else {})
            | ({"subtype": "thread_broadcast"} if message.broadcast else {})
            | ({"metadata": message.metadata} if metadata else {})
            for message in messages
        ] + [
            {"type": "message", "ts": file.ts, "text": ""}
            | ({"thread_ts": file.thread_ts} if file.thread_ts else {})
            | {"files": [{"id": file.id, "name": file.name, "title": file.title}]}
            for file in files
        ]
        return sorted(shown, key=lambda message: float(message["ts"]))

    def _announce(self, arguments: Mapping[str, Any]) -> Reply:
        """Give a file an ID and a URL for its bytes (reference/methods/files.getUploadURLExternal)."""
        with self.lock:
            key = self._uploads.announce(arguments)
        if not key:
            return self._refuse("missing_argument", "files.getUploadURLExternal")
        return json_reply(200, {"ok": True, "upload_url": f"{self.url}{UPLOADS}{key}", "file_id": key})

    def _receive(self, request: Request) -> Reply:
        """Take a file's bytes; 200 is success. The URL says enough: a token sent to it is a violation."""
        if "Authorization" in request.headers:
            self.violate("upload: a token came with the bytes")
        with self.lock:
            error = self._uploads.receive(request)
        if error:
            self.violate(f"upload: {request.path} {error}")
            return Reply(400, error.encode(), "text/plain")
        return Reply(200, f"OK - {len(request.body)}".encode(), "text/plain")

    def _complete(self, arguments: Mapping[str, Any]) -> Reply:
        """Share files whose bytes have come, once (reference/methods/files.completeUploadExternal): by channel ID.

        "Never use a reply's ts value": as with a message, a thread that isn't there is refused without a rule for it.
        """
        channel, thread = arguments.get("channel_id"), str(arguments.get("thread_ts") or "")
        if not isinstance(channel, str) or channel not in self.channels:
            return self._refuse("channel_not_found", "files.completeUploadExternal")
        if thread and not self._is_parent(channel, thread):
            return self._refuse("cannot_reply_to_message", "files.completeUploadExternal")
        with self.lock:
            taken = self._uploads.take(arguments.get("files"))
            if not taken:
                return self._refuse("file_not_found", "files.completeUploadExternal")
            for file in taken:
                shared = File(file.name, file.title, file.content, channel, thread, file.id, self._now())
                self.files = (*self.files, shared)
        return json_reply(200, {"ok": True, "files": [{"id": file.id, "title": file.title} for file in taken]})

    def _lookup(self, arguments: Mapping[str, Any]) -> Reply:
        """Find a person by e-mail address (reference/methods/users.lookupByEmail)."""
        email = arguments.get("email")
        if not isinstance(email, str) or not email:
            return self._refuse("invalid_arguments", "users.lookupByEmail")
        if email not in self.users:
            return self._refuse("users_not_found", "users.lookupByEmail")
        user = {"id": self.users[email], "deleted": False, "is_bot": False, "profile": {"email": email}}
        return json_reply(200, {"ok": True, "user": user})

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

    def _now(self) -> str:
        """Return a `ts` that no message has. The caller holds the lock."""
        return f"{int(time.time())}.{next(self._fraction):06d}"

    def _is_parent(self, channel: str, ts: str) -> bool:
        return any((message.channel, message.ts) == (channel, ts) for message in self.top)

    def _channel(self, given: object) -> str:
        """Return the ID of a channel given by ID or name."""
        wanted = str(given)
        if wanted in self.channels:
            return wanted
        return next((key for key, name in self.channels.items() if name == wanted.removeprefix("#")), "")

    def _refuse(self, error: str, what: str) -> Reply:
        """Answer `ok: false`, a violation unless it is one of those that a correct client may meet."""
        if error not in GONE:
            self.violate(f"{what}: {error}")
        return json_reply(200, {"ok": False, "error": error})
