"""The rules of an event (docs/events-api-v2/trigger-events and docs/events-api-v2/overview, "Size Limits")."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from watcher.sandbox.stand_in import Request

ACTIONS = ("trigger", "acknowledge", "resolve")
SEVERITIES = ("critical", "error", "warning", "info")
STATUS_AFTER = {"trigger": "triggered", "acknowledge": "acknowledged", "resolve": "resolved"}
MAX_EVENT_BYTES = 512 * 1024


def checked(request: Request) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the event and what is wrong with it."""
    if request.headers.get_content_type() != "application/json":
        return {}, ("Content-Type is not application/json",)
    if len(request.body) > MAX_EVENT_BYTES:
        return {}, ("The event is larger than 512 KB",)
    event = as_object(decoded(request.body))
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


def as_object(value: object) -> dict[str, Any]:
    """Return `value` where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def decoded(body: bytes) -> object:
    """Return the JSON in `body`, None if it is none; Python alone takes NaN for JSON."""
    try:
        return json.loads(body, parse_constant=_no_constant)
    except ValueError:
        return None


def _payload_rules(event: Mapping[str, Any]) -> dict[str, bool]:
    payload, links = as_object(event.get("payload")), event.get("links", [])
    return {
        "'payload.summary' is missing or longer than 1024 characters": _text(payload.get("summary"), 1, 1024),
        "'payload.source' is missing": isinstance(payload.get("source"), str) and bool(payload["source"]),
        "'payload.severity' is not one of critical, error, warning, info": payload.get("severity") in SEVERITIES,
        "'payload.custom_details' is not an object": isinstance(payload.get("custom_details", {}), dict),
        "'links' is not a list of objects with 'href'": isinstance(links, list)
        and all(isinstance(as_object(link).get("href"), str) for link in links),
    }


def _text(value: object, least: int, most: int) -> bool:
    return isinstance(value, str) and least <= len(value) <= most


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
