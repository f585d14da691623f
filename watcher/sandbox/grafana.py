"""Grafana's stand-in: writing and finding annotations, on loopback.

What it demands is what Grafana documents (https://grafana.com/docs/grafana/latest/developers/http_api/annotations/ and
http_api/authentication/); what the page leaves open is taken from Grafana's own pkg/services/annotations and
pkg/services/tag. Every breach is answered as Grafana answers it and kept in `violations`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from watcher.sandbox.stand_in import Reply, Request, StandIn, json_reply

FIELDS = {"dashboardUID", "dashboardId", "panelId", "time", "timeEnd", "tags", "text", "data"}
PARAMETERS = {"from", "to", "limit", "alertId", "dashboardId", "dashboardUID", "panelId", "userId", "type", "tags"}
TAGS_LENGTH = 500
"""The default of `[annotations] tags_length`: all tags of an annotation, as JSON."""
TAG_PART = 100
"""The database's columns for a tag's key and its value."""
EARLIEST = 100_000_000_000
"""Below this a time of these days is in seconds, where milliseconds are meant."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation as Grafana keeps it: times in epoch milliseconds, `dashboard` a UID or empty."""

    id: int
    text: str
    tags: tuple[str, ...]
    time: int
    time_end: int
    dashboard: str


class Grafana(StandIn):
    """Annotations in memory. `token` is the service account's that it knows.

    `annotations` is a tuple of values, oldest first: read it at any time.
    """

    def __init__(self, token: str) -> None:
        super().__init__()
        self.token = token
        self.annotations: tuple[Annotation, ...] = ()
        self._numbers = itertools.count(1)

    def answer(self, request: Request) -> Reply:
        """Carry out one request."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:  # http_api/authentication: "Authorization: Bearer <token>"
            return self._refuse(401, "Unauthorized", "Authorization is not 'Bearer ...'")
        if token != self.token:
            return json_reply(401, {"message": "Invalid API key"})
        if request.path != "/api/annotations":
            return self._refuse(404, "Not found", f"{request.method} {request.path}")
        if request.method == "POST":
            return self._create(request)
        if request.method == "GET":
            return self._find(request)
        return self._refuse(405, "Method not allowed", request.method)

    def _create(self, request: Request) -> Reply:
        """Create an annotation: `text` is required, times are "epoch numbers in millisecond resolution"."""
        body = _json(request)
        if not isinstance(body, dict):
            return self._refuse(400, "bad request data", "the body is not a JSON object, or isn't sent as one")
        errors = list(_mistakes(body))
        if errors:
            for error in errors:
                self.violate(f"POST /api/annotations: {error}")
            return json_reply(400, {"message": "Failed to save annotation", "error": "; ".join(errors)})
        start, end = sorted((body["time"], body.get("timeEnd", body["time"])))
        with self.lock:
            number = next(self._numbers)
            made = Annotation(number, body["text"], _kept(body["tags"]), start, end, body.get("dashboardUID", ""))
            self.annotations = (*self.annotations, made)
        return json_reply(200, {"message": "Annotation added", "id": number})

    def _find(self, request: Request) -> Reply:
        """Find annotations: those that overlap from-to and have every one of `tags`, newest first."""
        query = request.query
        errors = [f"unknown parameter {name}" for name in query if name not in PARAMETERS]
        errors += [f"{name} is not a time in milliseconds" for name in ("from", "to") if not _is_time(query.get(name))]
        errors += ["limit is not a number"] if not query.get("limit", ["100"])[0].isdigit() else []
        errors += ["type is neither alert nor annotation"] if query.get("type") not in (["annotation"], None) else []
        for error in errors:
            self.violate(f"GET /api/annotations: {error}")
        if errors:
            return json_reply(400, {"message": "; ".join(errors)})
        wanted, since, until = _kept(query.get("tags", [])), int(query["from"][0]), int(query["to"][0])
        found = [a for a in self.annotations if a.time <= until and a.time_end >= since and _matches(a, wanted)]
        found.sort(key=lambda a: (a.time_end, a.time), reverse=True)
        return json_reply(200, [_shown(annotation) for annotation in found[: int(query.get("limit", ["100"])[0])]])

    def _refuse(self, status: int, message: str, rule: str) -> Reply:
        self.violate(rule)
        return json_reply(status, {"message": message})


def _json(request: Request) -> object:
    if request.headers.get_content_type() != "application/json":
        return None
    try:
        return json.loads(request.body)
    except ValueError:
        return None


def _mistakes(body: Mapping[str, Any]) -> Iterable[str]:
    """Yield what is wrong with a new annotation."""
    yield from (f"unknown field {name}" for name in body if name not in FIELDS)
    if not isinstance(body.get("text"), str) or not body["text"]:
        yield "text field should not be empty"
    for name in ("time", "timeEnd"):
        moment = body.get(name, EARLIEST if name == "timeEnd" else None)
        if type(moment) is not int or moment < EARLIEST:
            yield f"{name} is not an epoch number in milliseconds"
    if not isinstance(body.get("dashboardUID", ""), str):
        yield "dashboardUID is not a string"
    tags = body.get("tags", [])
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        yield "tags is not a list of strings"
        return
    if len(json.dumps(tags, separators=(",", ":"), ensure_ascii=False).encode()) > TAGS_LENGTH:
        yield "tags length exceeds the maximum allowed"
    for tag in tags:
        if any(len(part) > TAG_PART for part in tag.split(":")):
            yield f"tag {tag!r} has a key or a value of more than {TAG_PART} characters"
        if tag.count(":") > 1:
            yield f"tag {tag!r} has more than one colon: the rest is lost"


def _kept(tags: Iterable[str]) -> tuple[str, ...]:
    """Keep of each tag its key and, after a colon, its value (pkg/services/tag, ParseTagPairs); no tag twice."""
    pairs = ([part.strip() for part in tag.split(":")[:2]] for tag in tags)
    return tuple(dict.fromkeys(":".join(part for part in pair if part) for pair in pairs if pair[0]))


def _matches(annotation: Annotation, wanted: tuple[str, ...]) -> bool:
    """Count the tags as Grafana does: a key alone counts every tag of that key, and the sum must be exact."""
    hits = sum(tag == want or tag.startswith(f"{want}:") for tag in annotation.tags for want in wanted)
    return not wanted or hits == len(wanted)


def _is_time(values: list[str] | None) -> bool:
    return values is not None and len(values) == 1 and values[0].isdigit() and int(values[0]) >= EARLIEST


def _shown(annotation: Annotation) -> dict[str, Any]:
    return {
        "id": annotation.id,
        "alertId": 0,
        "dashboardUID": annotation.dashboard or None,
        "panelId": 0,
        "userId": 0,
        "newState": "",
        "prevState": "",
        "time": annotation.time,
        "timeEnd": annotation.time_end,
        "text": annotation.text,
        "tags": list(annotation.tags),
        "data": {},
    }
