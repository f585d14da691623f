"""Grafana: marks a rollout or a rollback on the dashboards with an annotation, and tells whether it is marked already.

The runbook's steps call it. The service account needs `annotations:create` and `annotations:read`
(https://grafana.com/docs/grafana/latest/developers/http_api/annotations/).
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import dataclass
from typing import Any

import requests
import urllib3

from watcher.systems.fault import Fault
from watcher.systems.secret_file import SecretFile

SYSTEM = "Grafana"
CONNECT_TIMEOUT = 2.0
ANSWER_LIMIT = 1024 * 1024
"""A hundred annotations, the most that is asked for, are far smaller."""
PART = 64 * 1024
TAG_LIMIT = 100
"""Characters that Grafana's database keeps of a tag's key, and of its value."""
FOUND_LIMIT = 100
UNDOCUMENTED = "answered with something that its API doesn't document"


@dataclass(frozen=True, slots=True)
class GrafanaSettings:
    """Where Grafana is (`url` may have a sub-path) and who calls: a service account's token.

    `timeout` is in seconds, for each wait for data and for the whole answer.
    """

    url: str
    token: SecretFile
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Annotation:
    """A moment (`at`, epoch seconds), shown by every dashboard that asks for the tags."""

    text: str
    tags: tuple[str, ...]
    at: float


class Grafana:
    """The calls that the runbook makes. Every method raises Fault when Grafana doesn't do what it was asked.

    A tag is `key` or `key:value`. Grafana drops what follows a second colon, and can't store a longer key or value
    than TAG_LIMIT: such a tag is changed to one that it keeps, the same way whether it is written or looked for.
    """

    def __init__(self, settings: GrafanaSettings) -> None:
        self._settings = settings

    def annotate(self, annotation: Annotation) -> None:
        """Write an annotation. Writing it twice makes two: `annotated` tells whether it is there."""
        body: dict[str, object] = {
            "text": annotation.text,
            "tags": [_kept(tag) for tag in annotation.tags],
            "time": _milliseconds(annotation.at),
        }
        answer = self._call("POST", json=body)
        if not isinstance(answer, dict) or type(answer.get("id")) is not int:
            raise Fault(SYSTEM, UNDOCUMENTED)

    def annotated(self, tags: tuple[str, ...], since: float, until: float) -> bool:
        """Say whether there is an annotation with all of `tags` at some time from `since` to `until` (epoch seconds).

        Grafana finds none where one of the tags is another's key ("shop" beside "shop:cart").
        """
        wanted = [_kept(tag) for tag in tags]
        times = [("from", str(_milliseconds(since))), ("to", str(_milliseconds(until)))]
        params = [("type", "annotation"), *times, ("limit", str(FOUND_LIMIT)), *(("tags", tag) for tag in wanted)]
        answer = self._call("GET", params=params)
        if not isinstance(answer, list):
            raise Fault(SYSTEM, UNDOCUMENTED)
        return any(set(wanted) <= _tags_of(found) for found in answer)

    def _call(self, method: str, **what: Any) -> object:
        """Make one call and return its answer as JSON; anything but a 200 with JSON becomes a Fault.

        The token is read for each call. Causes are cut off (`from None`): their texts may hold a header.
        """
        token, timeout = self._settings.token.read(), self._settings.timeout
        deadline = time.monotonic() + timeout
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Authorization": f"Bearer {token}"}
        with requests.Session() as session:
            session.trust_env = False  # no proxy and no netrc, which would replace the token
            try:
                with session.request(
                    method,
                    f"{self._settings.url.rstrip('/')}/api/annotations",
                    headers=headers,
                    timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
                    allow_redirects=False,
                    stream=True,
                    **what,
                ) as response:
                    body = _read(response, deadline)
            except (OSError, urllib3.exceptions.HTTPError) as error:
                raise Fault(SYSTEM, _unreached(error, timeout)) from None
        if body is None:
            raise Fault(SYSTEM, f"had not finished its answer after {timeout:g} s")
        if response.status_code != 200:
            raise _refusal(response, body, token)
        if len(body) > ANSWER_LIMIT:
            raise Fault(SYSTEM, f"the answer is larger than {ANSWER_LIMIT >> 20} MB")
        return _parsed(body, UNDOCUMENTED)


def _read(response: requests.Response, deadline: float) -> bytes | None:
    """Read the body until it ends or passes the limit; None where a server that drips passes the deadline."""
    body = bytearray()
    while len(body) <= ANSWER_LIMIT:
        part = response.raw.read1(PART)
        if not part:
            break
        body += part
        if time.monotonic() > deadline:
            return None
    return bytes(body)


def _parsed(body: bytes, otherwise: str) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Fault(SYSTEM, otherwise) from None


def _refusal(response: requests.Response, body: bytes, token: str) -> Fault:
    """Say what Grafana refused, in its own words where it has some that repeat nothing of the token."""
    status = response.status_code
    if 300 <= status < 400:
        return Fault(SYSTEM, f"answered HTTP {status}, a redirect: the URL must be Grafana's own", lasting=True)
    try:
        answer = _parsed(body, "")
    except Fault:
        answer = None
    message = answer.get("message") if isinstance(answer, dict) else None
    words = " ".join(message.split())[:300] if isinstance(message, str) else ""
    if any(token[at : at + 4] in words for at in range(max(1, len(token) - 3))):
        words = ""
    wait = _seconds(response.headers.get("Retry-After"))
    lasting = 400 <= status < 500 and status not in (408, 429)
    return Fault(SYSTEM, f"answered HTTP {status}" + (f": {words}" if words else ""), retry_after=wait, lasting=lasting)


def _unreached(error: Exception, timeout: float) -> str:
    """Say why there is no whole answer, without the vendor's text."""
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return f"did not answer within {timeout:g} s"
    return f"can't be reached ({type(error).__name__})"


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _tags_of(found: object) -> set[str]:
    """Read the tags of one annotation; Grafana sends null for none."""
    tags = found.get("tags", []) if isinstance(found, dict) else None
    if tags is None and isinstance(found, dict):
        return set()
    if not isinstance(tags, list):
        raise Fault(SYSTEM, UNDOCUMENTED)
    return {tag for tag in tags if isinstance(tag, str)}


def _milliseconds(moment: float) -> int:
    return round(moment * 1000)


def _kept(tag: str) -> str:
    """Return `tag` as Grafana keeps it whole: one line, one colon, key and value no longer than TAG_LIMIT."""
    key, colon, value = " ".join(tag.split()).partition(":")
    return _short(key.strip()) + colon + _short(value.strip().replace(":", "-"))


def _short(part: str) -> str:
    """Return `part`, or, where it is too long, its start and a hash of all of it: two long ones stay different."""
    if len(part) <= TAG_LIMIT:
        return part
    mark = hashlib.sha256(part.encode()).hexdigest()[:8]
    return f"{part[: TAG_LIMIT - len(mark) - 1]}-{mark}"
