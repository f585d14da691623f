"""PagerDuty's stand-in: the Events API v2 and the part of the REST API v2 that canary-watch uses, on loopback.

What it demands is what PagerDuty documents; each rule cites its page. Every breach is answered as PagerDuty answers it
and kept in `violations`. Pages are below https://developer.pagerduty.com/.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

from watcher.sandbox.stand_in import RETRY_AFTER, Reply, Request, StandIn, json_reply

ACCEPT = "application/vnd.pagerduty+json;version=2"
ACTIONS = ("trigger", "acknowledge", "resolve")
SEVERITIES = ("critical", "error", "warning", "info")
STATUS_AFTER = {"trigger": "triggered", "acknowledge": "acknowledged", "resolve": "resolved"}
MAX_EVENT_BYTES = 512 * 1024
MAX_NOTES = 2000
LIST_PARAMETERS = {"incident_key", "statuses[]", "date_range", "since", "until", "sort_by", "limit", "offset", "total"}


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident: the events that made and moved it, oldest first, and the notes written on it."""

    id: str
    routing_key: str
    dedup_key: str
    status: str
    created_at: str
    html_url: str
    events: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The summary of the event that opened it."""
        return str(self.events[0]["payload"]["summary"])


class PagerDuty(StandIn):
    """Events and incidents in memory. `api_token` is the REST token that it knows, `users` the e-mail addresses.

    `incidents` is a tuple of values, oldest first: read it at any time.
    """

    def __init__(self, api_token: str = "", users: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.api_token = api_token
        self.users = users
        self.incidents: tuple[Incident, ...] = ()
        self._numbers = itertools.count(1)

    def incident(self, dedup_key: str) -> Incident | None:
        """Return the newest incident of `dedup_key`."""
        return next((i for i in reversed(self.incidents) if i.dedup_key == dedup_key), None)

    def answer(self, request: Request) -> Reply:
        """Carry out one request to either API."""
        if request.method == "POST" and request.path == "/v2/enqueue":
            return self._enqueue(request)
        refusal = self._unauthorized(request)
        if refusal:
            return refusal
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["incidents"]:
                return self._list(request)
            case "GET", ["incidents", incident_id, "notes"]:
                return self._notes(incident_id)
            case "POST", ["incidents", incident_id, "notes"]:
                return self._note(request, incident_id)
        return self._refuse(404, 2100, "Not Found", f"{request.method} {request.path}")

    def limited(self, request: Request) -> Reply:
        """Answer 429: the REST API says when in `ratelimit-reset` (docs/rest-api-v2/rate-limiting)."""
        if request.path == "/v2/enqueue":
            return super().limited(request)
        headers = {"ratelimit-limit": "960", "ratelimit-remaining": "0", "ratelimit-reset": str(RETRY_AFTER)}
        return json_reply(429, {"error": {"message": "Rate Limit Exceeded", "code": 2020}}, headers)

    def _enqueue(self, request: Request) -> Reply:
        """Take one event (docs/events-api-v2/trigger-events); 202, or 400 with every mistake."""
        event, errors = _event(request)
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
                moved = replace(incident, status=status, events=(*incident.events, event))
                self.incidents = (*self.incidents[:at], moved, *self.incidents[at + 1 :])
                return
        if event["event_action"] == "trigger":
            incident_id = f"Q{next(self._numbers):013d}"
            opened = Incident(
                id=incident_id,
                routing_key=event["routing_key"],
                dedup_key=key,
                status="triggered",
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                html_url=f"{self.url}/incidents/{incident_id}",
                events=(event,),
            )
            self.incidents = (*self.incidents, opened)

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

    def _list(self, request: Request) -> Reply:
        """List incidents (api-reference/9d0b4b12e36f9-list-incidents).

        "Incidents with child alerts do not have an incident key; querying by incident key will return incidents whose
        alerts have alert_key matching": the answer carries no key, and one key may have several incidents.
        """
        unknown = sorted(set(request.query) - LIST_PARAMETERS)
        if unknown:
            return self._refuse(400, 2001, "Invalid Input Provided", f"unknown parameters {unknown}")
        limit = _number(request.query.get("limit", ["25"])[0])
        if not 1 <= limit <= 100:
            return self._refuse(400, 2001, "Invalid Input Provided", "limit is not between 1 and 100")
        key = request.query.get("incident_key", [None])[0]
        statuses = request.query.get("statuses[]", list(STATUS_AFTER.values()))
        found = [i for i in self.incidents if key in (None, i.dedup_key) and i.status in statuses]
        if request.query.get("sort_by") == ["created_at:desc"]:
            found.reverse()
        page = [_shown(incident) for incident in found[:limit]]
        return json_reply(
            200, {"incidents": page, "limit": limit, "offset": 0, "total": None, "more": len(found) > limit}
        )

    def _notes(self, incident_id: str) -> Reply:
        found = next((i for i in self.incidents if i.id == incident_id), None)
        if not found:
            return self._refuse(404, 2100, "Not Found", f"no incident {incident_id}")
        return json_reply(200, {"notes": [{"id": f"N{at}", "content": text} for at, text in enumerate(found.notes)]})

    def _note(self, request: Request, incident_id: str) -> Reply:
        """Write a note (api-reference/9529ec706026d-create-a-note-on-an-incident).

        `From`, "the email address of a valid user associated with the account", is a required header there; so is
        `Content-Type`. An incident takes 2,000 notes.
        """
        if request.headers.get_content_type() != "application/json":
            return self._refuse(400, 2002, "Arguments Caused Error", "Content-Type is not application/json")
        if request.headers.get("From") not in self.users:
            return self._refuse(400, 1008, "Requester User Not Found", "From is not the e-mail address of a user")
        text = _object(_object(_decoded(request.body)).get("note")).get("content")
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
        return self._refuse(404, 2100, "Not Found", f"no incident {incident_id}")

    def _refuse(self, status: int, code: int, message: str, detail: str) -> Reply:
        """Note a broken rule and answer in the REST API's error shape (docs/rest-api-v2/errors)."""
        self.violate(f"REST: {detail}")
        return json_reply(status, {"error": {"message": message, "code": code, "errors": [detail]}})


def _shown(incident: Incident) -> dict[str, object]:
    return {
        "id": incident.id,
        "type": "incident",
        "summary": incident.summary,
        "title": incident.summary,
        "status": incident.status,
        "incident_key": None,
        "created_at": incident.created_at,
        "html_url": incident.html_url,
    }


def _event(request: Request) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the event and what is wrong with it (docs/events-api-v2/trigger-events and /overview, "Size Limits")."""
    if request.headers.get_content_type() != "application/json":
        return {}, ("Content-Type is not application/json",)
    if len(request.body) > MAX_EVENT_BYTES:
        return {}, ("The event is larger than 512 KB",)
    event = _object(_decoded(request.body))
    if not event:
        return {}, ("The body is not a JSON object",)
    key, action = event.get("dedup_key"), event.get("event_action")
    rules = {
        "Length of 'routing_key' is incorrect (should be 32 characters)": _text(event.get("routing_key"), 32, 32),
        "'event_action' is not one of trigger, acknowledge, resolve": action in ACTIONS,
        "'dedup_key' is longer than 255 characters": key is None or _text(key, 1, 255),
        "'dedup_key' is missing; only a trigger can do without": action == "trigger" or key is not None,
    }
    if action == "trigger":
        rules |= _payload_rules(event)
    return event, tuple(error for error, kept in rules.items() if not kept)


def _payload_rules(event: Mapping[str, Any]) -> dict[str, bool]:
    payload, links = _object(event.get("payload")), event.get("links", [])
    return {
        "'payload.summary' is missing or longer than 1024 characters": _text(payload.get("summary"), 1, 1024),
        "'payload.source' is missing": isinstance(payload.get("source"), str) and bool(payload["source"]),
        "'payload.severity' is not one of critical, error, warning, info": payload.get("severity") in SEVERITIES,
        "'payload.custom_details' is not an object": isinstance(payload.get("custom_details", {}), dict),
        "'links' is not a list of objects with 'href'": isinstance(links, list)
        and all(isinstance(_object(link).get("href"), str) for link in links),
    }


def _text(value: object, least: int, most: int) -> bool:
    return isinstance(value, str) and least <= len(value) <= most


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def _decoded(body: bytes) -> object:
    """Return the JSON in `body`, None if it is none; Python alone takes NaN for JSON."""
    try:
        return json.loads(body, parse_constant=_no_constant)
    except ValueError:
        return None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
