"""The calls that the runbook makes: page, announce and report call it, through the adapters."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from watcher.systems.fault import Fault
from watcher.systems.pagerduty.answers import Unexpected, document, field, first_called, open_incident, texts
from watcher.systems.pagerduty.calling import SYSTEM, calling, pdpyras
from watcher.systems.pagerduty.events import properties
from watcher.systems.pagerduty.values import Incident, OpenIncident, PageEvent, PagerDutySettings, Person
from watcher.systems.secret_file import SecretFile

PAGES = 4
"""Pages that are asked for at most of any list."""
PAGE = 100
"""The largest page (https://developer.pagerduty.com/docs/rest-api-v2/pagination/)."""
ALERTS_PAGE = 25
"""Alerts hold their events' details, so that a page of them is large."""
TEXTS_LIMIT = 200


class PagerDuty:
    """Every method raises Fault when PagerDuty doesn't do what it was asked.

    A session and the secrets are taken afresh for each call, so that calls may come from several threads and a changed
    secret counts at once. Without an API token, who is on call and which incidents there are is simply not known:
    None or an empty tuple.
    """

    def __init__(self, settings: PagerDutySettings) -> None:
        self._settings = settings

    def trigger(self, event: PageEvent, routing_key: SecretFile | None = None) -> None:
        """Open the incident of `event.dedup_key`, or add to it while it is open.

        Once it is resolved, the same key opens another one. A longer summary is cut to what PagerDuty takes.
        `routing_key` leads to another team's service; None is the settings' own.
        """
        self._send("trigger", event.dedup_key, routing_key, properties(event))

    def resolve(self, dedup_key: str, routing_key: SecretFile | None = None) -> None:
        """Resolve the open incident of `dedup_key`, sent by the routing key that opened it.

        PagerDuty drops the event if there is none.
        """
        self._send("resolve", dedup_key, routing_key, {})

    def incident(self, dedup_key: str) -> Incident | None:
        """Return the newest incident of `dedup_key`; None while PagerDuty has none.

        Events are processed after they are accepted, so that a new incident may take a moment to appear.
        """
        if self._settings.api_token is None:
            return None
        # The answer can't be checked against the key: incidents with alerts have no `incident_key` of their own
        # (https://developer.pagerduty.com/api-reference/9d0b4b12e36f9-list-incidents).
        wanted = {"incident_key": dedup_key, "sort_by": "created_at:desc", "limit": 1}
        with self._rest() as session:
            found = field(document(session.get("/incidents", params=wanted)), "incidents", list)
            if not found:
                return None
            first = found[0]
            return Incident(field(first, "id", str), field(first, "html_url", str), field(first, "status", str))

    def open_incidents(
        self, service_id: str | None, since: float, within: float = math.inf
    ) -> tuple[OpenIncident, ...]:
        """Return the incidents that aren't resolved and were created `since` (epoch seconds) or later, newest first.

        Those of one service, or of all (None); the newest PAGE at most. PagerDuty refuses a `since` more than 6 months
        ago (https://developer.pagerduty.com/api-reference/9d0b4b12e36f9-list-incidents). `within` is the timeout in
        seconds where it is shorter than the settings'.
        """
        if self._settings.api_token is None:
            return ()
        wanted: dict[str, object] = {
            "statuses[]": ["triggered", "acknowledged"],
            "since": f"{datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "sort_by": "created_at:desc",
            "limit": PAGE,
        }
        if service_id is not None:
            wanted["service_ids[]"] = [service_id]
        with self._rest(within) as session:
            listed = field(document(session.get("/incidents", params=wanted)), "incidents", list)
            return tuple(open_incident(found) for found in listed)

    def texts_of(self, incident_id: str, within: float = math.inf) -> tuple[str, ...]:
        """Return what an incident's unresolved alerts say, to tell what they speak of: keys, summaries, details.

        A detail is a text like `namespace: shop`. Each text is there once; at most TEXTS_LIMIT, of at most 1,000
        characters each. Empty for an incident without alerts, such as one that a person opened
        (https://developer.pagerduty.com/api-reference/4bc42e7ac0c59-list-alerts-for-an-incident). After `within`
        seconds no further page is asked for, but a Fault raised: what is missing may speak of something else.
        """
        if self._settings.api_token is None:
            return ()
        found: dict[str, None] = {}
        path = f"/incidents/{quote(incident_id, safe='')}/alerts"
        latest = time.monotonic() + within
        with self._rest(within) as session:
            for alert in _listed(session, path, {"statuses[]": ["triggered"]}, ALERTS_PAGE, latest):
                for text in texts(alert):
                    found[text] = None
                    if len(found) == TEXTS_LIMIT:
                        return tuple(found)
        return tuple(found)

    def on_call(self, service_id: str) -> tuple[Person, ...]:
        """Return who is called first now when an incident of a service is opened; there may be several, or nobody.

        By the service's escalation policy (https://developer.pagerduty.com/api-reference/165ad96a22ffd-get-a-service),
        at its lowest level that has somebody.
        """
        if self._settings.api_token is None:
            return ()
        with self._rest() as session:
            answer = document(session.get(f"/services/{quote(service_id, safe='')}"))
            policy = field(field(field(answer, "service", dict), "escalation_policy", dict), "id", str)
            return _on_call_now(session, {"escalation_policy_ids[]": [policy]})

    def on_call_schedule(self, schedule_id: str) -> tuple[Person, ...]:
        """Return whose turn it is now in a schedule, such as the incident commander's rotation.

        PagerDuty computes it from the escalation policies: in a schedule that none uses, it is nobody's.
        """
        if self._settings.api_token is None:
            return ()
        with self._rest() as session:
            return _on_call_now(session, {"schedule_ids[]": [schedule_id]})

    def note(self, incident_id: str, text: str) -> None:
        """Write a note on an incident. A Fault without an API token."""
        with self._rest() as session:
            answer = document(session.post(f"/incidents/{incident_id}/notes", json={"note": {"content": text}}))
            field(answer, "note", dict)

    def notes(self, incident_id: str) -> tuple[str, ...]:
        """Return the notes on an incident, so that a repeated step can look before it writes.

        A Fault without an API token.
        """
        with self._rest() as session:
            found = field(document(session.get(f"/incidents/{incident_id}/notes")), "notes", list)
            return tuple(field(note, "content", str) for note in found)

    def _send(
        self, action: str, dedup_key: str, routing_key: SecretFile | None, properties: Mapping[str, object]
    ) -> None:
        session = pdpyras().EventsAPISession((routing_key or self._settings.routing_key).read())
        with calling(session, self._settings.events_url, self._settings.timeout):
            if session.send_event(action, dedup_key=dedup_key, **properties) != dedup_key:
                raise Unexpected

    @contextmanager
    def _rest(self, within: float = math.inf) -> Iterator[Any]:
        if self._settings.api_token is None:
            raise Fault(SYSTEM, "the REST API needs a token, and none is configured", lasting=True)
        session = pdpyras().APISession(self._settings.api_token.read(), default_from=self._settings.from_email)
        with calling(session, self._settings.api_url, min(self._settings.timeout, within)):
            yield session


def _on_call_now(session: Any, whose: Mapping[str, object]) -> tuple[Person, ...]:
    """Ask for the on-calls of now, which is the default of `since` and `until`; `earliest` spares the duplicates.

    https://developer.pagerduty.com/api-reference/3a6b910f11050-list-all-of-the-on-calls
    """
    return first_called(_listed(session, "/oncalls", {**whose, "include[]": ["users"], "earliest": "true"}, PAGE))


def _listed(
    session: Any, path: str, wanted: Mapping[str, object], size: int, latest: float = math.inf
) -> Iterator[object]:
    """Yield what a list holds, page by page as it is needed, PAGES at most, none begun after `latest` (monotonic).

    Every list has the name of the last part of its path (https://developer.pagerduty.com/docs/rest-api-v2/pagination/).
    """
    for page in range(PAGES):
        if time.monotonic() > latest:
            raise Fault(SYSTEM, "had not told all in the time that there was")
        answer = document(session.get(path, params={**wanted, "limit": size, "offset": page * size}))
        yield from field(answer, path.rpartition("/")[2], list)
        if not field(answer, "more", bool):
            return
