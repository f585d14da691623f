"""Pauses: the `pause` annotation on a Deployment, its Namespace, or the daemon's own namespace (the whole cluster)."""

from __future__ import annotations

from collections.abc import Mapping

from watcher.judgement.model import Pause
from watcher.judgement.rollouts import parse_time, write_time
from watcher.policy.model import PREFIX

PAUSE = PREFIX + "pause"
PAUSE_REASON = PREFIX + "pause-reason"

# An annotation may be 256 KiB long; a message may not.
LONGEST_SHOWN = 200


def pause_in(annotations: Mapping[str, str], where: str, now: float) -> Pause | None:
    """Read the pause in force in one object's `annotations`; None where there is none, or its time has passed.

    `"true"` pauses until it is removed, an RFC 3339 time until then; anything else holds too, and says what is wrong.
    """
    text = annotations.get(PAUSE)
    if text is None:
        return None
    reason = annotations.get(PAUSE_REASON, "")[:LONGEST_SHOWN]
    if text == "true":
        return Pause(where, None, reason)
    try:
        until = parse_time(text)
    except ValueError:
        flaw = (
            f'{PAUSE}: {text[:LONGEST_SHOWN]!r} is neither "true" nor an RFC 3339 time such as "2026-11-01T10:00:00Z"'
        )
        return Pause(where, None, reason, flaw)
    return Pause(where, until, reason) if now < until else None


def say_pause(pause: Pause) -> str:
    """Say a pause in one line: where, until when, why, and what is wrong with it."""
    said = f"paused on {pause.where}"
    said += f" until {write_time(pause.until)}" if pause.until is not None else " until the annotation is removed"
    if pause.reason:
        said += f" ({pause.reason})"
    return f"{said}; {pause.flaw}; remove the annotation to resume" if pause.flaw else said
