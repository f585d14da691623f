"""What goes to PagerDuty and what comes from it: frozen values, made by `client` and `answers`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from watcher.systems.secret_file import SecretFile

Severity = Literal["critical", "error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class PagerDutySettings:
    """Where PagerDuty is and who calls. `timeout` is in seconds, for connecting, for each wait and for an answer.

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


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """An incident that isn't resolved, whoever opened it."""

    id: str
    url: str
    status: str
    title: str


@dataclass(frozen=True, slots=True)
class Person:
    """A user of PagerDuty; the e-mail address is what other systems know them by."""

    id: str
    name: str
    email: str
