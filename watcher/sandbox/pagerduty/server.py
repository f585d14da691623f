"""PagerDuty's stand-in itself: takes events, and answers what the REST API is asked."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from watcher.sandbox.pagerduty import lists
from watcher.sandbox.pagerduty.account import Account, Alert, Incident, Service, shown_service
from watcher.sandbox.pagerduty.events import STATUS_AFTER, as_object, checked, decoded
from watcher.sandbox.stand_in import RETRY_AFTER, Reply, Request, StandIn, json_reply

ACCEPT = "application/vnd.pagerduty+json;version=2"
MAX_NOTES = 2000


class PagerDuty(StandIn):
    """Events and incidents in memory. `api_token` is the REST token that it knows, `account` what is set up in it.

    `users` are e-mail addresses of users besides those of the account: the senders of notes. `incidents` is a tuple of
    values, oldest first: read it at any time.
    """

    def __init__(self, api_token: str = "", users: tuple[str, ...] = (), account: Account | None = None) -> None:
        super().__init__()
        self.api_token = api_token
        self.users = users
        self.account = account or Account()
        self.incidents: tuple[Incident, ...] = ()
        self._numbers = itertools.count(1)

    def incident(self, dedup_key: str) -> Incident | None:
        """Return the newest incident of `dedup_key`."""
        return next((i for i in reversed(self.incidents) if i.dedup_key == dedup_key), None)

    def open_elsewhere(self, title: str, service_id: str, *details: Mapping[str, Any]) -> Incident:
        """Open an incident as another tool's event would, Alertmanager's say, with an alert for each of `details`.

        Several alerts in one incident are what PagerDuty's alert grouping makes of them.
        """
        service = self.account.service(service_id)
        if service is None:
            raise ValueError(f"the account has no service {service_id}")
        with self.lock:
            payloads = [
                {"summary": title, "source": "alertmanager", "severity": "critical", "custom_details": of}
                for of in details or ({},)
            ]
            key = self.account.routing_key_of(service_id)
            events = tuple({"routing_key": key, "event_action": "trigger", "payload": payload} for payload in payloads)
            opened = self._opened(service, f"elsewhere-{next(self._numbers)}", events)
            self.incidents = (*self.incidents, opened)
        return opened

    def answer(self, request: Request) -> Reply:
        """Carry out one request to either API."""
        if request.method == "POST" and request.path == "/v2/enqueue":
            return self._enqueue(request)
        refusal = self._unauthorized(request)
        if refusal:
            return refusal
        try:
            return self._asked(request)
        except lists.Refused as refused:
            return self._refuse(400, 2001, "Invalid Input Provided", str(refused))

    def limited(self, request: Request) -> Reply:
        """Answer 429: the REST API says when in `ratelimit-reset` (docs/rest-api-v2/rate-limiting)."""
        if request.path == "/v2/enqueue":
            return super().limited(request)
        headers = {"ratelimit-limit": "960", "ratelimit-remaining": "0", "ratelimit-reset": str(RETRY_AFTER)}
        return json_reply(429, {"error": {"message": "Rate Limit Exceeded", "code": 2020}}, headers)

    def _asked(self, request: Request) -> Reply:
        """Answer a request to the REST API that has shown its token."""
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["incidents"]:
                return lists.incidents(self.incidents, request.query)
            case "GET", ["incidents", incident_id, "alerts" | "notes" as part]:
                incident = next((i for i in self.incidents if i.id == incident_id), None)
                if incident is None:
                    return self._missing(f"incident {incident_id}")
                return lists.alerts(incident, request.query) if part == "alerts" else _notes(incident)
            case "POST", ["incidents", incident_id, "notes"]:
                return self._note(request, incident_id)
            case "GET", ["services", service_id]:
                service = self.account.service(service_id)
                return json_reply(200, {"service": shown_service(service)}) if service else self._missing(service_id)
            case "GET", ["oncalls"]:
                return lists.on_calls(self.account, request.query)
        return self._missing(f"{request.method} {request.path}")

    def _enqueue(self, request: Request) -> Reply:
        """Take one event (docs/events-api-v2/trigger-events); 202, or 400 with every mistake."""
        event, errors = checked(request)
        if errors:
            for error in errors:
                self.violate(f"event: {error}")
            return json_reply(
                400, {"status": "invalid event", "message": "Event object is invalid", "errors": list(errors)}
            )
        with self.lock:
            key = event.get("dedup_key") or f"generated-{next(self._numbers)}"
            self._apply(event, key)
        return json_reply(202, {"status": "success", "message": "Event processed", "dedup_key": key})

    def _apply(self, event: Mapping[str, Any], key: str) -> None:
        """Move the open incident of this routing and dedup key.

        A resolved one stays resolved: a trigger then opens another, and other events are dropped
        (docs/events-api-v2/trigger-events, "Event Action Behavior").
        """
        for at, incident in enumerate(self.incidents):
            same = (incident.routing_key, incident.dedup_key) == (event["routing_key"], key)
            if same and incident.status != "resolved":
                # A trigger on an acknowledged incident is logged and doesn't open it again.
                status = incident.status if event["event_action"] == "trigger" else STATUS_AFTER[event["event_action"]]
                alerts = incident.alerts
                if status == "resolved":
                    alerts = tuple(replace(alert, status="resolved") for alert in alerts)
                moved = replace(incident, status=status, alerts=alerts, events=(*incident.events, event))
                self.incidents = (*self.incidents[:at], moved, *self.incidents[at + 1 :])
                return
        if event["event_action"] == "trigger":
            opened = self._opened(self.account.service_of(event["routing_key"]), key, (event,))
            self.incidents = (*self.incidents, opened)

    def _opened(self, service: Service, key: str, events: tuple[Mapping[str, Any], ...]) -> Incident:
        """Make the incident that these events open, with an alert for each; the first has the incident's key."""
        incident_id = f"Q{next(self._numbers):013d}"
        alerts = (
            Alert(
                id=f"{incident_id}A{at}",
                key=f"{key}-{at}" if at else key,
                summary=event["payload"]["summary"],
                details=event["payload"].get("custom_details", {}),
            )
            for at, event in enumerate(events)
        )
        return Incident(
            id=incident_id,
            routing_key=events[0]["routing_key"],
            dedup_key=key,
            status="triggered",
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            html_url=f"{self.url}/incidents/{incident_id}",
            service=service,
            events=events,
            alerts=tuple(alerts),
        )

    def _unauthorized(self, request: Request) -> Reply | None:
        """Check the token (docs/rest-api-v2/authentication) and the version header (docs/rest-api-v2/versioning)."""
        scheme, _, token = request.headers.get("Authorization", "").partition("token=")
        if scheme != "Token ":
            return self._refuse(401, 2006, "Authentication failed", "Authorization is not 'Token token=...'")
        if request.headers.get("Accept") != ACCEPT:
            return self._refuse(400, 2002, "Arguments Caused Error", f"Accept is not {ACCEPT}")
        if not self.api_token or token != self.api_token:
            return json_reply(401, {"error": {"message": "Authentication failed", "code": 2006}})
        return None

    def _note(self, request: Request, incident_id: str) -> Reply:
        """Write a note (api-reference/9529ec706026d-create-a-note-on-an-incident).

        `From`, "the email address of a valid user associated with the account", is a required header there; so is
        `Content-Type`. An incident takes 2,000 notes.
        """
        if request.headers.get_content_type() != "application/json":
            return self._refuse(400, 2002, "Arguments Caused Error", "Content-Type is not application/json")
        if request.headers.get("From") not in (*self.users, *(user.email for user in self.account.users)):
            return self._refuse(400, 1008, "Requester User Not Found", "From is not the e-mail address of a user")
        text = as_object(as_object(decoded(request.body)).get("note")).get("content")
        if not isinstance(text, str) or not text:
            return self._refuse(400, 2001, "Invalid Input Provided", "note.content is missing")
        with self.lock:
            for at, incident in enumerate(self.incidents):
                if incident.id == incident_id and len(incident.notes) >= MAX_NOTES:
                    return self._refuse(400, 2019, "Product Limit Reached", "the incident has 2,000 notes")
                if incident.id == incident_id:
                    noted = replace(incident, notes=(*incident.notes, text))
                    self.incidents = (*self.incidents[:at], noted, *self.incidents[at + 1 :])
                    return json_reply(200, {"note": {"id": f"N{len(incident.notes)}", "content": text}})
        return self._missing(f"incident {incident_id}")

    def _missing(self, what: str) -> Reply:
        return self._refuse(404, 2100, "Not Found", f"no {what}")

    def _refuse(self, status: int, code: int, message: str, detail: str) -> Reply:
        """Note a broken rule and answer in the REST API's error shape (docs/rest-api-v2/errors)."""
        self.violate(f"REST: {detail}")
        return json_reply(status, {"error": {"message": message, "code": code, "errors": [detail]}})


def _notes(incident: Incident) -> Reply:
    return json_reply(200, {"notes": [{"id": f"N{at}", "content": text} for at, text in enumerate(incident.notes)]})
