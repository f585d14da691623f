"""Events have two faces: one store, the names of core/v1 and those of events.k8s.io/v1. They are stored as core/v1."""

from __future__ import annotations

from typing import Any

from watcher.sandbox.cluster.formats import MICRO_TIME, QUALIFIED_NAME
from watcher.sandbox.cluster.kinds import EVENT, Object
from watcher.sandbox.cluster.refusal import bad_request, invalid

GROUP = "events.k8s.io"
_RENAMED = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_SHOWN = {core: new for new, core in _RENAMED.items()}
_REQUIRED = ("reportingInstance", "action", "reason")

LONGEST_NOTE = 1024
LONGEST_WORD = 128


def stored(body: Any) -> Any:
    """A body that was sent to events.k8s.io/v1, an Event or a merge patch of one, under the names of core/v1."""
    if not isinstance(body, dict):
        return body
    renamed = {_RENAMED.get(name, name): value for name, value in body.items()}
    if renamed.get("apiVersion") == f"{GROUP}/v1":
        renamed["apiVersion"] = EVENT.api_version
    return renamed


def shown(document: Object) -> Object:
    """An answer of core/v1, an Event or a list of them, under the names of events.k8s.io/v1; others as they are."""
    if document.get("kind") == "EventList":
        items = [_renamed_back(item) for item in document["items"]]
        return {**document, "apiVersion": f"{GROUP}/v1", "items": items}
    return {**_renamed_back(document), "apiVersion": f"{GROUP}/v1"} if document.get("kind") == "Event" else document


def check_event(item: Object) -> None:
    """Raise the refusal that a real API server would give; an Event with `eventTime` must say who did what and why."""
    metadata = item["metadata"]
    name, about = metadata["name"], (item.get("involvedObject") or {}).get("namespace", "")
    strict = item.get("eventTime") is not None
    if about != metadata["namespace"] and not (strict and about) and not (metadata["namespace"] == "default" == about):
        problem = f'Invalid value: "{about}": does not match event.namespace'
        raise invalid(EVENT, name, "involvedObject.namespace", problem)
    if not strict:
        return
    if not MICRO_TIME.fullmatch(str(item["eventTime"])):
        wanted = '"2006-01-02T15:04:05.000000Z07:00"'
        raise bad_request(
            f'Event in version "v1" cannot be handled as a Event: parsing "{item["eventTime"]}" as {wanted}'
        )
    if not QUALIFIED_NAME.fullmatch(str(item.get("reportingComponent") or "")):
        problem = "Invalid value: name part must consist of alphanumeric characters, '-', '_' or '.'"
        raise invalid(EVENT, name, "reportingController", problem)
    for field in _REQUIRED:
        if not item.get(field):
            raise invalid(EVENT, name, field, "Required value")
        if len(item[field]) > LONGEST_WORD:
            raise invalid(EVENT, name, field, f"Invalid value: can have at most {LONGEST_WORD} characters")
    if len(item.get("message") or "") > LONGEST_NOTE:
        raise invalid(EVENT, name, "message", f"Invalid value: can have at most {LONGEST_NOTE} characters")
    if item.get("type") not in {"Normal", "Warning"}:
        raise invalid(EVENT, name, "type", f"Invalid value: has invalid value: {item.get('type', '')}")


def check_new_event(body: Any) -> None:
    """Raise a 422 for an Event without `eventTime`, which events.k8s.io/v1 requires."""
    if isinstance(body, dict) and not body.get("eventTime"):
        name = str((body.get("metadata") or {}).get("name", ""))
        raise invalid(EVENT, name, "eventTime", "Required value")


def _renamed_back(item: Object) -> Object:
    return {_SHOWN.get(name, name): value for name, value in item.items()}
