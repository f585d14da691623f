"""PagerDuty: Events API v2 to open and resolve an incident, REST API v2 to find it and write notes on it.

A small adapter round pdpyras, whose own retries, sleeps and messages (one shows the end of the key) are kept out by
raising at the first answer that isn't a success. The runbook's page and report steps call it.
"""

from __future__ import annotations

import functools
import importlib
import json
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, TypeVar

import requests
from urllib3.exceptions import ReadTimeoutError

from watcher.systems.fault import Fault
from watcher.systems.secret_file import SecretFile

SYSTEM = "PagerDuty"
SUMMARY_LIMIT = 1024
"""https://developer.pagerduty.com/docs/events-api-v2/trigger-events/: the longest `payload.summary`, in characters."""
DETAILS_LIMIT = 200_000
"""An event may have 512 KB (/docs/events-api-v2/overview/, Size Limits); escaping details once more may double them."""
UNDOCUMENTED = "answered with something that its API doesn't document"
LASTING = frozenset({400, 401, 402, 403, 404})
Severity = Literal["critical", "error", "warning", "info"]
_Kind = TypeVar("_Kind")


@dataclass(frozen=True, slots=True)
class PagerDutySettings:
    """Where PagerDuty is and who calls. `timeout` is in seconds, for connecting and for each wait for data.

    `api_token` None does without the REST API. `from_email` is the user that notes are written as: PagerDuty demands
    one with an account-level token.
    """

    routing_key: SecretFile
    api_token: SecretFile | None
    events_url: str
    api_url: str
    from_email: str | None
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class PageEvent:
    """What a trigger event says. `links` are (href, text); `source` is the affected system."""

    dedup_key: str
    summary: str
    source: str
    severity: Severity
    details: Mapping[str, object]
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident as PagerDuty shows it; `url` is for people, `status` triggered, acknowledged or resolved."""

    id: str
    url: str
    status: str


class PagerDuty:
    """The calls that the runbook makes. Every method raises Fault when PagerDuty doesn't do what it was asked.

    A session and the secrets are taken afresh for each call, so that calls may come from several threads and a changed
    secret counts at once.
    """

    def __init__(self, settings: PagerDutySettings) -> None:
        self._settings = settings

    def trigger(self, event: PageEvent) -> None:
        """Open the incident of `event.dedup_key`, or add to it while it is open.

        Once it is resolved, the same key opens another one. A longer summary is cut to what PagerDuty takes.
        """
        links = [{"href": href, "text": text} for href, text in event.links]
        payload = {
            "summary": _cut(" ".join(event.summary.split()), SUMMARY_LIMIT),
            "source": event.source,
            "severity": event.severity,
            "custom_details": _details(event.details),
        }
        self._send("trigger", event.dedup_key, {"payload": payload, **({"links": links} if links else {})})

    def resolve(self, dedup_key: str) -> None:
        """Resolve the open incident of `dedup_key`; PagerDuty drops the event if there is none."""
        self._send("resolve", dedup_key, {})

    def incident(self, dedup_key: str) -> Incident | None:
        """Return the newest incident of `dedup_key`; None without an API token, or while PagerDuty has none.

        Events are processed after they are accepted, so that a new incident may take a moment to appear.
        """
        if self._settings.api_token is None:
            return None
        # The answer can't be checked against the key: incidents with alerts have no `incident_key` of their own
        # (https://developer.pagerduty.com/api-reference/9d0b4b12e36f9-list-incidents).
        wanted = {"incident_key": dedup_key, "sort_by": "created_at:desc", "limit": 1}
        with self._rest() as session:
            found = _field(_json(session.get("/incidents", params=wanted)), "incidents", list)
            if not found:
                return None
            first = found[0]
            return Incident(_field(first, "id", str), _field(first, "html_url", str), _field(first, "status", str))

    def note(self, incident_id: str, text: str) -> None:
        """Write a note on an incident."""
        with self._rest() as session:
            answer = _json(session.post(f"/incidents/{incident_id}/notes", json={"note": {"content": text}}))
            _field(answer, "note", dict)

    def notes(self, incident_id: str) -> tuple[str, ...]:
        """Return the notes on an incident, so that a repeated step can look before it writes."""
        with self._rest() as session:
            found = _field(_json(session.get(f"/incidents/{incident_id}/notes")), "notes", list)
            return tuple(_field(note, "content", str) for note in found)

    def _send(self, action: str, dedup_key: str, properties: Mapping[str, object]) -> None:
        session = _pdpyras().EventsAPISession(self._settings.routing_key.read())
        with self._calling(session, self._settings.events_url):
            if session.send_event(action, dedup_key=dedup_key, **properties) != dedup_key:
                raise _Unexpected

    @contextmanager
    def _rest(self) -> Iterator[Any]:
        if self._settings.api_token is None:
            raise Fault(SYSTEM, "the REST API needs a token, and none is configured", lasting=True)
        session = _pdpyras().APISession(self._settings.api_token.read(), default_from=self._settings.from_email)
        with self._calling(session, self._settings.api_url):
            yield session

    @contextmanager
    def _calling(self, session: Any, url: str) -> Iterator[None]:
        """Make `session` (pdpyras has no types) try once, and turn whatever goes wrong meanwhile into a Fault.

        The causes are cut off (`from None`): their texts hold the vendor's answers, which may repeat a secret.
        """
        session.url, session.timeout, session.max_network_attempts = url, self._settings.timeout, 0
        session.hooks["response"].append(_refuse)
        try:
            with session:
                yield
        except _Refused as refused:
            raise _refusal(refused.response, session.api_key) from None
        except _pdpyras().PDClientError as error:
            raise Fault(SYSTEM, _said(error, self._settings.timeout)) from None
        except _Unexpected:
            raise Fault(SYSTEM, UNDOCUMENTED) from None


class _Refused(Exception):
    """Carries an answer that isn't a success past pdpyras, which would wait and ask again, for 429 without end."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class _Unexpected(Exception):
    """An answer of a shape that PagerDuty doesn't document."""


@functools.cache
def _pdpyras() -> ModuleType:
    """Import pdpyras when it is first needed: that takes 74 ms, and warns that it is no longer maintained."""
    warnings.filterwarnings("ignore", message='The package "pdpyras" is deprecated')
    return importlib.import_module("pdpyras")


def _refuse(response: requests.Response, **_: object) -> None:
    if not 200 <= response.status_code < 300:
        len(response.content)  # read here, where pdpyras still sees to a connection that breaks
        raise _Refused(response)


def _refusal(response: requests.Response, secret: str) -> Fault:
    """Say what PagerDuty refused, in its own words where it has some."""
    try:
        answer = response.json()
    except ValueError:
        answer = None
    error = answer.get("error", answer) if isinstance(answer, dict) else None
    message, details = (error.get("message"), error.get("errors")) if isinstance(error, dict) else (None, None)
    words = [message, *(details if isinstance(details, list) else [])]
    text = "; ".join(word for word in words if isinstance(word, str)).replace(secret, "(secret)")
    status = response.status_code
    # The REST API names the wait in ratelimit-reset (https://developer.pagerduty.com/docs/rest-api-v2/rate-limiting/).
    reset = response.headers.get("ratelimit-reset") if status == 429 else None
    wait = _seconds(response.headers.get("Retry-After") or reset)
    said = f"answered HTTP {status}" + (f": {_cut(text, 300)}" if text else "")
    return Fault(SYSTEM, said, retry_after=wait, lasting=status in LASTING)


def _said(error: Exception, timeout: float) -> str:
    """Say why there is no usable answer; pdpyras keeps requests' exception as its error's cause."""
    cause = error.__cause__
    if cause is None:
        return UNDOCUMENTED
    if isinstance(cause, requests.Timeout) or any(isinstance(arg, ReadTimeoutError) for arg in cause.args):
        return f"did not answer within {timeout:g} s"
    return f"can't be reached ({type(cause).__name__})"


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _json(response: requests.Response) -> object:
    try:
        return response.json()
    except ValueError:
        raise _Unexpected from None


def _field(value: object, name: str, kind: type[_Kind]) -> _Kind:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, kind):
        raise _Unexpected
    return found


def _cut(text: str, limit: int) -> str:
    """Return `text` in at most `limit` characters, cut after a word where that loses little."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    word = kept.rfind(" ")
    return (kept[:word] if word > limit * 3 // 4 else kept) + "…"


def _details(details: Mapping[str, object]) -> dict[str, object]:
    """Return `details` as JSON can hold them. A page without all its details is better than none."""
    plain = {str(name): _plain(value) for name, value in details.items()}
    text = json.dumps(plain)
    return plain if len(text) <= DETAILS_LIMIT else {"cut": _cut(text, DETAILS_LIMIT)}


def _plain(value: object) -> object:
    """Return `value` as JSON: a float that isn't a number, which JSON doesn't know, becomes its name."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)
