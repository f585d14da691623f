"""One attempt at a request through pdpyras, and the Fault that it comes to where it fails.

Pdpyras's own retries, sleeps and messages (one shows the end of the key) are kept out by raising at the first answer
that isn't a success.
"""

from __future__ import annotations

import functools
import importlib
import io
import math
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import ModuleType
from typing import Any

import requests
from urllib3.exceptions import ReadTimeoutError

from watcher.systems.fault import Fault
from watcher.systems.pagerduty.answers import Unexpected
from watcher.systems.pagerduty.events import cut

SYSTEM = "PagerDuty"
UNDOCUMENTED = "answered with something that its API doesn't document"
LASTING = frozenset({400, 401, 402, 403, 404})
ANSWER_LIMIT = 16 << 20
"""Bytes of an answer: a page of 25 alerts fits, were each as large as an event may be."""
PART = 1 << 16  # bytes


@functools.cache
def pdpyras() -> ModuleType:
    """Import pdpyras when it is first needed: that takes 74 ms, and warns that it is no longer maintained."""
    warnings.filterwarnings("ignore", message='The package "pdpyras" is deprecated')
    return importlib.import_module("pdpyras")


@contextmanager
def calling(session: Any, url: str, timeout: float) -> Iterator[None]:
    """Make `session` (pdpyras has no types) try once, and turn whatever goes wrong meanwhile into a Fault.

    `timeout` is in seconds. The causes are cut off (`from None`): their texts hold the vendor's answers, which may
    repeat a secret.
    """
    session.url, session.timeout, session.max_network_attempts = url, timeout, 0
    session.hooks["response"].append(_receive)
    try:
        with session:
            yield
    except _Refused as refused:
        raise _refusal(refused.response, session.api_key) from None
    except pdpyras().PDClientError as error:
        raise Fault(SYSTEM, _said(error, timeout)) from None
    except Unexpected:
        raise Fault(SYSTEM, UNDOCUMENTED) from None


class _Refused(Exception):
    """Carries an answer that isn't a success past pdpyras, which would wait and ask again, for 429 without end."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def _receive(response: requests.Response, timeout: float, **_: object) -> None:
    """Read an answer, within bounds that requests doesn't have: of size, and of time for a server that drips.

    It is read here, where pdpyras still sees to a connection that breaks. `timeout` is the session's, in seconds.
    """
    deadline = time.monotonic() + timeout
    body = bytearray()
    with closing(response.raw) as raw:
        while part := raw.read1(PART, decode_content=True):
            body += part
            if len(body) > ANSWER_LIMIT:
                raise Fault(SYSTEM, f"the answer is larger than {ANSWER_LIMIT >> 20} MB")
            if time.monotonic() > deadline:
                raise Fault(SYSTEM, f"had not finished its answer after {timeout:g} s")
    response.raw = io.BytesIO(body)
    if not 200 <= response.status_code < 300:
        raise _Refused(response)


def _refusal(response: requests.Response, secret: str) -> Fault:
    """Say what PagerDuty refused, in its own words where it has some."""
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        answer = None
    error = answer.get("error", answer) if isinstance(answer, dict) else None
    message, details = (error.get("message"), error.get("errors")) if isinstance(error, dict) else (None, None)
    words = [message, *(details if isinstance(details, list) else [])]
    text = "; ".join(word for word in words if isinstance(word, str)).replace(secret, "(secret)")
    text = " ".join(text.split())
    status = response.status_code
    # The REST API names the wait in ratelimit-reset (https://developer.pagerduty.com/docs/rest-api-v2/rate-limiting/).
    reset = response.headers.get("ratelimit-reset") if status == 429 else None
    wait = _seconds(response.headers.get("Retry-After") or reset)
    said = f"answered HTTP {status}" + (f": {cut(text, 300)}" if text else "")
    return Fault(SYSTEM, said, retry_after=wait, lasting=status in LASTING)


def _said(error: Exception, timeout: float) -> str:
    """Say why there is no usable answer; pdpyras keeps the exception that it met as its error's cause."""
    cause = error.__cause__
    if cause is None:
        return UNDOCUMENTED
    if isinstance(cause, requests.Timeout | ReadTimeoutError):
        return f"did not answer within {timeout:g} s"
    return f"can't be reached ({type(cause).__name__})"


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
