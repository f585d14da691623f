"""Slack: posts a message once, finds it again by its key, and changes it. The runbook's announce step calls it.

slack-sdk's own retries are off: a post whose answer was lost must be looked up, not sent again. The app needs the
scopes chat:write, channels:history and channels:read (for a private channel groups:history and the channel's ID), and
must be a member of the channel.
"""

from __future__ import annotations

import functools
import logging
import math
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from watcher.systems.fault import Fault
from watcher.systems.secret_file import SecretFile

if TYPE_CHECKING:
    from slack_sdk import WebClient
    from slack_sdk.web import SlackResponse

SYSTEM = "Slack"
EVENT_TYPE = "canary_watch_case"
TEXT_LIMIT = 4_000
"""Characters. chat.update refuses more (https://docs.slack.dev/reference/methods/chat.update, msg_too_long), and
chat.postMessage advises no more; up to 40,000 it takes, but such a message could never be updated."""
HISTORY_PAGE, HISTORY_PAGES = 200, 10
"""conversations.history recommends at most 200 a page; 2,000 messages since a case was opened are enough to read."""
CHANNELS_PAGE, CHANNELS_PAGES = 200, 10
CLOCK_SKEW = 60.0
"""Seconds by which Slack's clock, which gives messages their time, may be behind ours."""
CHANNEL_ID = re.compile(r"[CGD][A-Z0-9]{2,}")
ERROR_CODE = re.compile(r"[a-z0-9_]+")
SCOPES = re.compile(r"[a-z_:.,]+")
UNFINISHED = re.compile(r"(<[^<>]*|&[a-z]{0,3})$")
"""A link, a mention or an escape without its end."""
PASSING = frozenset(
    {"ratelimited", "rate_limited", "message_limit_exceeded", "internal_error", "fatal_error", "service_unavailable"}
    | {"request_timeout", "team_added_to_org", "update_failed"}
)
"""The error codes that Slack documents as its own trouble; any other comes back until somebody changes something."""

# The SDK logs each failure with the start of the answer. A Fault says it too, and without what an answer may repeat.
_unheard = logging.getLogger(f"{__name__}.sdk")
_unheard.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """Where Slack is and where to post. `channel` is an ID, or a public channel's name with or without its `#`.

    `timeout` is in seconds, for connecting and for each wait for data.
    """

    token: SecretFile
    channel: str
    api_url: str
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Posted:
    """Where a message is: the channel's ID and the message's `ts`, which together name it."""

    channel: str
    ts: str


class Slack:
    """The calls that the runbook makes. Every method raises Fault when Slack doesn't do what it was asked."""

    def __init__(self, settings: SlackSettings) -> None:
        self._settings = settings
        self._channel_id = settings.channel if CHANNEL_ID.fullmatch(settings.channel) else ""

    def post(self, text: str, key: str) -> Posted:
        """Post `text` (Slack's mrkdwn), marked with `key` for `find`; links are not unfurled."""
        metadata = {"event_type": EVENT_TYPE, "event_payload": {"key": key}}
        answer = self._call(
            lambda client: client.chat_postMessage(
                channel=self._channel_id or self._settings.channel,
                text=_clipped(text),
                metadata=metadata,
                unfurl_links=False,
                unfurl_media=False,
            )
        )
        posted = Posted(_string(answer, "channel"), _string(answer, "ts"))
        self._channel_id = posted.channel
        return posted

    def find(self, key: str, since: float) -> Posted | None:
        """Return the message that was posted with `key` at `since` (epoch seconds) or later, None if there is none."""
        channel = self._channel()
        oldest = f"{max(0.0, since - CLOCK_SKEW):.6f}"

        def page(cursor: str | None, client: WebClient) -> SlackResponse:
            return client.conversations_history(
                channel=channel, oldest=oldest, include_all_metadata=True, limit=HISTORY_PAGE, cursor=cursor
            )

        for message in self._pages(page, "messages", HISTORY_PAGES):
            metadata = message.get("metadata")
            if isinstance(metadata, dict) and metadata.get("event_type") == EVENT_TYPE:
                payload = metadata.get("event_payload")
                if isinstance(payload, dict) and payload.get("key") == key:
                    return Posted(channel, _string(message, "ts"))
        return None

    def update(self, posted: Posted, text: str) -> None:
        """Replace a message's text; its mark stays, for metadata left out is retained."""
        self._call(lambda client: client.chat_update(channel=posted.channel, ts=posted.ts, text=_clipped(text)))

    def _channel(self) -> str:
        """Return the channel's ID, which history needs where posting takes a name; look it up once.

        The app's own channels are asked for, not the workspace's: few, and history is open to members alone.
        """
        if not self._channel_id:
            name = self._settings.channel.removeprefix("#")

            def page(cursor: str | None, client: WebClient) -> SlackResponse:
                return client.users_conversations(types="public_channel", limit=CHANNELS_PAGE, cursor=cursor)

            for channel in self._pages(page, "channels", CHANNELS_PAGES):
                if channel.get("name") == name:
                    self._channel_id = _string(channel, "id")
                    return self._channel_id
            said = f"the app is not a member of a public channel #{name}: invite it, or configure the channel's ID"
            raise Fault(SYSTEM, said, lasting=True)
        return self._channel_id

    def _pages(
        self, page: Callable[[str | None, WebClient], SlackResponse], name: str, most: int
    ) -> Iterator[dict[str, Any]]:
        """Yield the objects of a list that comes in pages (https://docs.slack.dev/apis/web-api/pagination)."""
        cursor: str | None = None
        for _ in range(most):
            answer = self._call(functools.partial(page, cursor))
            items, following = answer.get(name), answer.get("response_metadata")
            if not isinstance(items, list):
                raise _unexpected()
            yield from (item for item in items if isinstance(item, dict))
            cursor = following.get("next_cursor") if isinstance(following, dict) else None
            if not cursor:
                return

    def _call(self, method: Callable[[WebClient], SlackResponse]) -> dict[str, Any]:
        """Make one call and return its answer, a JSON object with `ok: true`; anything else becomes a Fault.

        The token is read for each call.
        """
        from slack_sdk import WebClient  # noqa: PLC0415 - 66 ms, when first needed
        from slack_sdk.errors import SlackClientError  # noqa: PLC0415

        client = WebClient(
            token=self._settings.token.read(),
            base_url=self._settings.api_url,
            timeout=self._settings.timeout,  # type: ignore[arg-type]  # urllib takes a float
            retry_handlers=[],
            logger=_unheard,
        )
        client.proxy = None  # urllib then reads the proxy from the environment itself, and heeds NO_PROXY
        try:
            answer = method(client).data
        # The SDK takes every JSON for an object: a list, a string or a strange charset fails in the last four ways.
        except (SlackClientError, OSError, HTTPException, AttributeError, TypeError, ValueError, LookupError) as error:
            fault = _fault(error, self._settings.timeout)
            # The SDK's frames hold the token and, after a timeout, the open connection.
            traceback.clear_frames(error.__traceback__)
            raise fault from None
        if not isinstance(answer, dict) or answer.get("ok") is not True:  # the SDK takes any truth for success
            raise _unexpected()
        return answer


def _clipped(text: str) -> str:
    """Return `text` in at most TEXT_LIMIT characters, never cut inside a link, a mention or an escape."""
    if len(text) <= TEXT_LIMIT:
        return text
    return UNFINISHED.sub("", text[: TEXT_LIMIT - 1]).rstrip() + "…"


def _fault(error: Exception, timeout: float) -> Fault:
    response = getattr(error, "response", None)  # SlackApiError's
    if response is not None:
        return _refusal(response)
    cause = getattr(error, "reason", error)  # URLError's
    if isinstance(cause, TimeoutError):
        return Fault(SYSTEM, f"did not answer within {timeout:g} s")
    if isinstance(error, OSError | HTTPException):
        return Fault(SYSTEM, f"can't be reached ({type(cause).__name__})")
    return _unexpected()


def _refusal(response: SlackResponse) -> Fault:
    """Say what Slack refused, by its error code; a code that isn't one is an answer that isn't Slack's."""
    status, data = response.status_code, response.data if isinstance(response.data, dict) else {}
    headers = {str(name).lower(): value for name, value in response.headers.items()}
    wait = _seconds(headers.get("retry-after"))
    code, needed = data.get("error"), data.get("needed")
    known = isinstance(code, str) and ERROR_CODE.fullmatch(code)
    if status != 200:
        lasting = 400 <= status < 500 and status not in (408, 429)
        return Fault(
            SYSTEM, f"answered HTTP {status}" + (f": {code}" if known else ""), retry_after=wait, lasting=lasting
        )
    if not known:
        return _unexpected()
    scope = f" (the app lacks {needed})" if isinstance(needed, str) and SCOPES.fullmatch(needed) else ""
    return Fault(SYSTEM, f"refused: {code}{scope}", retry_after=wait, lasting=code not in PASSING)


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _string(answer: dict[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str):
        raise _unexpected()
    return value


def _unexpected() -> Fault:
    return Fault(SYSTEM, "answered with something that its API doesn't document")
