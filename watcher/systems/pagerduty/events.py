"""What a trigger event may hold: the summary and the details, cut to the sizes that PagerDuty takes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from watcher.systems.pagerduty.values import PageEvent

SUMMARY_LIMIT = 1024
"""https://developer.pagerduty.com/docs/events-api-v2/trigger-events/: the longest `payload.summary`, in characters."""
DETAILS_LIMIT = 200_000
"""An event may have 512 KB (/docs/events-api-v2/overview/, Size Limits); escaping details once more may double them."""


def properties(event: PageEvent) -> dict[str, object]:
    """Return what a trigger event holds besides its action and its keys."""
    links = [{"href": href, "text": text} for href, text in event.links]
    payload = {
        "summary": cut(" ".join(event.summary.split()), SUMMARY_LIMIT),
        "source": event.source,
        "severity": event.severity,
        "custom_details": _details(event.details),
    }
    return {"payload": payload, **({"links": links} if links else {})}


def cut(text: str, limit: int) -> str:
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
    return plain if len(text) <= DETAILS_LIMIT else {"cut": cut(text, DETAILS_LIMIT)}


def _plain(value: object) -> object:
    """Return `value` as JSON: a float that isn't a number, which JSON doesn't know, becomes its name."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)
