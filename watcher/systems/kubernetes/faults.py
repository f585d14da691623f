"""What the API server's refusals and silences become: a subclass of `Fault` for each thing a caller may do about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

import urllib3.exceptions as network
from kubernetes.client.exceptions import ApiException

from watcher.systems.fault import Fault

Json: TypeAlias = dict[str, Any]

_LONGEST = 600  # characters of the server's message kept: a 422 may quote a whole pod template


class KubernetesFault(Fault):
    """The API server did not do what it was asked; `status` is its HTTP status, 0 where it gave none."""

    def __init__(self, said: str, *, status: int = 0, retry_after: float | None = None, lasting: bool = False) -> None:
        super().__init__("Kubernetes", said, retry_after=retry_after, lasting=lasting)
        self.status = status


class NotConfigured(KubernetesFault):
    """No cluster is configured, or its configuration can't be used."""


class NotFound(KubernetesFault):
    """The API server itself says that the object is not there (404)."""


class AlreadyExists(KubernetesFault):
    """Somebody created the object before (409, reason AlreadyExists)."""


class Conflict(KubernetesFault):
    """The object changed since its resourceVersion was read (409)."""


class Invalid(KubernetesFault):
    """The request was not accepted: a JSON patch's `test` failed, or the object is not valid (422 and other 4xx)."""


class Gone(KubernetesFault):
    """The resourceVersion or the list's continuation is too old (410): list again."""


class Forbidden(KubernetesFault):
    """The credentials are refused (401), or RBAC lacks a rule (403)."""


class Unavailable(KubernetesFault):
    """No usable answer: network, timeout, 429, 5xx, or something that is not the API's JSON."""


class Silent(Unavailable):
    """Nothing came over a watch in its read timeout: an idle cluster sends nothing, nor does a half-open connection."""


class Malformed(Unavailable):
    """An answer came, and it is not JSON or not of the shape that the API has."""


def answered(status: int, headers: Mapping[str, str], body: bytes, request: str) -> KubernetesFault:
    """Tell the fault behind an HTTP status that is no success; `request` ("GET /path") says what was asked.

    404, 409, 410 and 422 count only with a Status object of the API: the same number from a proxy in between says
    nothing about the object.
    """
    told = status_object(body)
    if told is None:
        wait = _seconds(headers.get("Retry-After"))
        if status in {401, 403}:
            return Forbidden(f"{request} was refused with HTTP {status}", status=status, lasting=True)
        return Unavailable(
            f"{request} was answered with HTTP {status}, not the API's JSON", status=status, retry_after=wait
        )
    return told_by(told, request, status=status, retry_after=_seconds(headers.get("Retry-After")))


def told_by(told: Json, request: str, *, status: int = 0, retry_after: float | None = None) -> KubernetesFault:
    """Tell the fault that a Status object speaks of, in an answer or in a watch's ERROR event."""
    code = told.get("code")
    status = status or (code if isinstance(code, int) else 0)
    reason = str(told.get("reason") or "")
    message = " ".join(str(told.get("message") or reason or "no explanation").split())[:_LONGEST]
    said = f"{request}: {message} (HTTP {status})"
    if status in {401, 403}:
        return Forbidden(said, status=status, lasting=True)
    if status == 409:
        return (AlreadyExists if reason == "AlreadyExists" else Conflict)(said, status=status)
    if status == 404:
        return NotFound(said, status=status)
    if status == 410:
        return Gone(said, status=status)
    if 400 <= status < 500 and status not in {408, 429}:
        return Invalid(said, status=status)
    details = told.get("details")
    asked = details.get("retryAfterSeconds") if isinstance(details, dict) else None
    return Unavailable(said, status=status, retry_after=retry_after if retry_after is not None else _seconds(asked))


def status_object(body: bytes) -> Json | None:
    """Find the API's Status object in an answer's body, None where it is anything else."""
    try:
        told = json.loads(body)
    except ValueError:
        return None
    return told if isinstance(told, dict) and told.get("kind") == "Status" else None


def unreachable(error: Exception, request: str, server: str) -> Unavailable:
    """Tell the fault behind an exception of the network, mostly by its kind: its text may hold a header or a query."""
    if isinstance(error, ApiException):  # what the client makes of a failed TLS handshake, and of nothing else here
        why = f"TLS with {server} failed: {' '.join(str(error.reason).split())[:_LONGEST]}"
    elif isinstance(error, network.NewConnectionError):
        cause = error.__cause__ or error.__context__
        why = f"can't connect to {server}: {getattr(cause, 'strerror', None) or 'no connection'}"
    elif isinstance(error, network.TimeoutError):
        why = f"no answer from {server} in time"
    elif isinstance(error, network.ProxyError):
        why = f"the proxy before {server} can't be used"
    elif isinstance(error, network.HTTPError):
        why = f"the connection to {server} was cut ({type(error).__name__})"
    else:
        why = f"can't talk to {server} ({type(error).__name__})"
    return Unavailable(f"{request}: {why}")


def _seconds(asked: object) -> float | None:
    """Read a wait in seconds; an HTTP date, which the API server never sends, counts as none."""
    try:
        wait = float(str(asked))
    except ValueError:
        return None
    return wait if 0 <= wait < float("inf") else None
