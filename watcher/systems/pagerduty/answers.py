"""The reading of PagerDuty's answers: shapes checked, people and incidents made, the texts of alerts collected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import requests

from watcher.systems.pagerduty.values import OpenIncident, Person

TEXT_LIMIT = 1000
"""Characters of one text of an alert; a longer one comes in pieces."""
DEPTH_LIMIT = 20
# A piece ends with a line, or else where a word ends: half a label, half a name would say something else.
# What is longer without a space or a comma (an image in base64) is no text, and left out.
PIECE = re.compile(rf"(?s)(?<![^\s,])(?:.{{1,{TEXT_LIMIT}}}(?![^\n])|.{{1,{TEXT_LIMIT}}}(?![^\s,]))")
_Kind = TypeVar("_Kind")


class Unexpected(Exception):
    """An answer of a shape that PagerDuty doesn't document."""


def document(response: requests.Response) -> object:
    """Return the JSON that an answer holds. Raises Unexpected where it is none."""
    try:
        return response.json()
    except (ValueError, RecursionError):
        raise Unexpected from None


def field(value: object, name: str, kind: type[_Kind]) -> _Kind:
    """Return `value[name]`. Raises Unexpected unless `value` is an object that has it, of that kind."""
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, kind):
        raise Unexpected
    return found


def first_called(entries: Iterable[object]) -> tuple[Person, ...]:
    """Return who is called first: the people at the lowest level of these on-call entries, each once, in order."""
    found = [(field(entry, "escalation_level", int), _person(field(entry, "user", dict))) for entry in entries]
    lowest = min((level for level, _ in found), default=0)
    return tuple(dict.fromkeys(person for level, person in found if level == lowest))


def open_incident(value: object) -> OpenIncident:
    """Return an incident of a list."""
    return OpenIncident(
        id=field(value, "id", str),
        url=field(value, "html_url", str),
        status=field(value, "status", str),
        title=field(value, "title", str),
    )


def texts(alert: object) -> Iterator[str]:
    """Yield what an alert says: its summary, its key, and its details as lines like `namespace: shop`.

    Details are "an arbitrary JSON object or string"; an event's are also in `cef_details`, which PagerDuty sends
    though it doesn't document it. Each text has at most TEXT_LIMIT characters.
    """
    if not isinstance(alert, dict):
        raise Unexpected
    body = alert.get("body")
    inside = body if isinstance(body, dict) else {}
    for value in (alert.get("summary"), alert.get("alert_key"), inside.get("details"), inside.get("cef_details")):
        yield from _flat(value, "", DEPTH_LIMIT)


def _person(user: Mapping[str, object]) -> Person:
    return Person(field(user, "id", str), field(user, "name", str), field(user, "email", str))


def _flat(value: object, name: str, depth: int) -> Iterator[str]:
    """Yield a text for each value inside `value`, with the name that it stands under, and each name."""
    if depth == 0:
        return
    if isinstance(value, dict):
        yield from _pieces(name)
        for key, inner in value.items():
            yield from _flat(inner, key, depth - 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _flat(inner, name, depth - 1)
    elif value is None:
        yield from _pieces(name)
    else:
        yield from _pieces(f"{name}: {value}" if name else str(value))


def _pieces(text: str) -> Iterator[str]:
    yield from (piece for found in PIECE.finditer(text) if (piece := found[0].strip()))
