"""One call to Slack at a time: made once, bounded in time and size, every failure a Fault without secrets.

slack-sdk's own retries are off: a post whose answer was lost must be looked up, not sent again. Its way of sending is
replaced as well, for it follows redirects, to another host with the token, and reads answers of any length.
"""

from __future__ import annotations

import functools
import logging
import math
import re
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse, IncompleteRead
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import HTTPErrorProcessor, Request, build_opener

from watcher.systems.fault import Fault
from watcher.systems.secret_file import SecretFile

if TYPE_CHECKING:
    from slack_sdk import WebClient
    from slack_sdk.web import SlackResponse

SYSTEM = "Slack"
ANSWER_LIMIT = 16 * 1024 * 1024
"""Bytes. A page of 200 messages, each of the longest, stays below."""
PART = 64 * 1024
ERROR_CODE = re.compile(r"[a-z0-9_]+")
SCOPES = re.compile(r"[a-z_:.,]+")
PASSING = frozenset(
    {"ratelimited", "rate_limited", "message_limit_exceeded", "internal_error", "fatal_error", "service_unavailable"}
    | {"request_timeout", "team_added_to_org", "update_failed"}
    | {"file_not_found", "file_update_failed"}  # an upload tried again is another file
)
"""The error codes that Slack documents as its own trouble; any other comes back until somebody changes something."""
FOREIGN = (b"<", b"{", b"[", b'"', b"null")
"""How a page or JSON begins. Slack's answer to a file's bytes is short plain text."""

# The SDK logs each failure with the start of the answer. A Fault says it too, and without what an answer may repeat.
_unheard = logging.getLogger(f"{__name__}.sdk")
_unheard.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class SlackSettings:
    """Where Slack is and where to post. `channel` is an ID, or a public channel's name with or without its `#`.

    `timeout` is in seconds, for connecting and for each wait for data; a whole answer may take twice as long.
    """

    token: SecretFile
    channel: str
    api_url: str
    timeout: float = 10.0


class Refused(Fault):
    """Slack itself said no: `code` is its error code."""

    def __init__(self, code: str, said: str, *, retry_after: float | None = None) -> None:
        super().__init__(SYSTEM, said, retry_after=retry_after, lasting=code not in PASSING)
        self.code = code


class Calls:
    """Makes calls. Each raises Fault, and reads the token anew."""

    def __init__(self, settings: SlackSettings) -> None:
        self._settings = settings

    def ask(self, method: Callable[[WebClient], SlackResponse]) -> dict[str, Any]:
        """Call one method and return its answer, a JSON object with `ok: true`; raises Refused for `ok: false`."""
        from slack_sdk.errors import SlackClientError  # noqa: PLC0415 - 66 ms, when first needed

        client = _client_class()(
            token=self._settings.token.read(),
            base_url=self._settings.api_url,
            timeout=self._settings.timeout,  # type: ignore[arg-type]  # urllib takes a float
            retry_handlers=[],
            logger=_unheard,
        )
        try:
            answer = method(client).data
        # The SDK takes every JSON for an object: a list, a string or a strange charset fails in the last four ways.
        except (SlackClientError, OSError, HTTPException, AttributeError, TypeError, ValueError, LookupError) as error:
            fault = _fault(error, self._settings.timeout)
            # The SDK's frames hold the token and, after a timeout, the open connection.
            traceback.clear_frames(error.__traceback__)
            raise fault from None
        if not isinstance(answer, dict) or answer.get("ok") is not True:  # the SDK takes any truth for success
            raise unexpected()
        return answer

    def pages(
        self, page: Callable[[str | None, WebClient], SlackResponse], name: str, most: int
    ) -> Iterator[dict[str, Any]]:
        """Yield the objects of a list that comes in pages (https://docs.slack.dev/apis/web-api/pagination)."""
        cursor: str | None = None
        for _ in range(most):
            answer = self.ask(functools.partial(page, cursor))
            items, following = answer.get(name), answer.get("response_metadata")
            if not isinstance(items, list):
                raise unexpected()
            yield from (item for item in items if isinstance(item, dict))
            cursor = following.get("next_cursor") if isinstance(following, dict) else None
            if not cursor:
                return

    def send(self, url: str, content: bytes) -> None:
        """POST a file's bytes to the URL that Slack gave for them, which needs no token and so gets none.

        HTTP 200 is success (https://docs.slack.dev/reference/methods/files.getUploadURLExternal), unless a page or
        JSON comes with it: then something in between has answered. The URL lets anybody upload: it is never shown.
        """
        try:
            if not self._is_safe(url):
                raise Fault(SYSTEM, "gave an address for the upload that is not https")
            kind = {"Content-Type": "application/octet-stream"}
            request = Request(url, content, kind, method="POST")  # noqa: S310 - the scheme has just been checked
            answer = _exchange(request, self._settings.timeout)
        except (OSError, HTTPException, ValueError) as error:
            fault = _fault(error, self._settings.timeout)
            traceback.clear_frames(error.__traceback__)
            raise fault from None
        if answer.status != 200:
            raise _http_fault(answer.status, _lowered(dict(answer.headers)), " to the upload")
        if answer.body.lstrip().startswith(FOREIGN):
            raise unexpected()

    def _is_safe(self, url: str) -> bool:
        """Tell whether nobody can listen in; without https only where the API itself is without, at its own port."""
        given, api = urlsplit(url), urlsplit(self._settings.api_url)
        return bool(given.hostname) and (given.scheme == "https" or given[:2] == api[:2])


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: HTTPMessage
    body: bytes


class _AsItCame(HTTPErrorProcessor):
    """Returns every answer, whatever its status: no redirect is followed."""

    def http_response(self, request: Request, response: HTTPResponse) -> HTTPResponse:
        return response

    https_response = http_response


def _exchange(request: Request, timeout: float) -> _Answer:
    """Send one request. Raises OSError, HTTPException or ValueError; the deadline stops a server that drips.

    A proxy is taken from the environment, as HTTPS_PROXY and NO_PROXY have it: clusters often reach Slack by none else.
    """
    deadline = time.monotonic() + 2 * timeout
    body = bytearray()
    with build_opener(_AsItCame).open(request, timeout=timeout) as answer:
        while part := answer.read1(PART):
            body += part
            if len(body) > ANSWER_LIMIT:
                raise ValueError
            if time.monotonic() > deadline:
                raise TimeoutError
        if answer.length:
            raise IncompleteRead(b"", answer.length)
        return _Answer(answer.status, answer.headers, bytes(body))


@functools.cache
def _client_class() -> type[WebClient]:
    """Import slack-sdk, when it is first needed, and put `_exchange` into its client."""
    from slack_sdk import WebClient  # noqa: PLC0415

    class Client(WebClient):
        def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
            answer = _exchange(req, self.timeout)
            charset = answer.headers.get_content_charset() or "utf-8"
            return {"status": answer.status, "headers": answer.headers, "body": answer.body.decode(charset)}

    return Client


def _fault(error: Exception, timeout: float) -> Fault:
    response = getattr(error, "response", None)  # SlackApiError's
    if response is not None:
        return _refusal(response)
    cause = getattr(error, "reason", error)  # URLError's
    if isinstance(cause, TimeoutError):
        return Fault(SYSTEM, f"did not answer within {timeout:g} s")
    if isinstance(error, OSError | HTTPException):
        return Fault(SYSTEM, f"can't be reached ({type(cause).__name__})")
    return unexpected()


def _refusal(response: SlackResponse) -> Fault:
    """Say what Slack refused, by its error code; a code that isn't one is an answer that isn't Slack's."""
    status, data = response.status_code, response.data if isinstance(response.data, dict) else {}
    headers = _lowered(response.headers)
    code, needed = data.get("error"), data.get("needed")
    known = code if isinstance(code, str) and ERROR_CODE.fullmatch(code) else None
    if status != 200:
        return _http_fault(status, headers, f": {known}" if known else "")
    if not known:
        return unexpected()
    scope = f" (the app lacks {needed})" if isinstance(needed, str) and SCOPES.fullmatch(needed) else ""
    return Refused(known, f"refused: {known}{scope}", retry_after=_seconds(headers.get("retry-after")))


def _http_fault(status: int, headers: dict[str, str], more: str) -> Fault:
    lasting = 400 <= status < 500 and status not in (408, 429)
    wait = _seconds(headers.get("retry-after"))
    return Fault(SYSTEM, f"answered HTTP {status}{more}", retry_after=wait, lasting=lasting)


def _lowered(headers: dict[str, str]) -> dict[str, str]:
    return {str(name).lower(): value for name, value in headers.items()}


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def string(answer: dict[str, Any], name: str) -> str:
    """Return the string that `answer` holds as `name`; raises Fault where it has none."""
    value = answer.get(name)
    if not isinstance(value, str):
        raise unexpected()
    return value


def unexpected() -> Fault:
    """Make the Fault of an answer in a shape that Slack doesn't document."""
    return Fault(SYSTEM, "answered with something that its API doesn't document")
