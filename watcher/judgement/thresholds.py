"""Thresholds: the number that a check's `above` means for one rollout, and how numbers are shown to people."""

from __future__ import annotations

import math
import re

from watcher.judgement.model import Rollout
from watcher.policy.model import Check

# What is longer is no threshold. A pattern over the 256 KiB that an annotation may hold would take minutes.
LONGEST_THRESHOLD = 40

_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> float:
    """Turn `500ms`, `5m` or `1h30m` into seconds; ValueError where it is no duration with a unit."""
    parts = list(_TIME.finditer(text))
    if not parts or "".join(p.group() for p in parts) != text:
        raise ValueError(f"{text!r} is no duration; write it with a unit, as 500ms, 30s, 5m, 2h or 1h30m")
    return sum(float(p.group(1)) * _SECONDS[p.group(2)] for p in parts)


def parse_quantity(text: str) -> tuple[float, str]:
    """Turn `1%`, `500ms` or `20` into a number in its base unit, and the unit's name (ratio, seconds, number)."""
    if text.endswith("%"):
        return _finite(text[:-1]) / 100.0, "ratio"
    if re.search(r"[a-z]$", text):
        return parse_duration(text), "seconds"
    return _finite(text), "number"


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{text!r} is no threshold; write a number from 0 on")
    return number


def threshold_for(check: Check, rollout: Rollout) -> tuple[float | None, str]:
    """Give the check's threshold for this rollout, or None and what is wrong or missing.

    An annotation on the Deployment goes before the policy's default; one that can't be read is said, never guessed.
    """
    threshold = check.threshold
    if threshold is None:
        return None, f"{check.name} has no threshold"
    text = rollout.annotations.get(threshold.annotation, "") if threshold.annotation else ""
    if not text:
        if threshold.value is None:
            return None, f"{rollout.name} has no annotation {threshold.annotation}, and the policy names no default"
        return threshold.value, ""
    try:
        number, unit = parse_quantity(text.strip()) if len(text) <= LONGEST_THRESHOLD else (0.0, "")
    except ValueError:
        number, unit = 0.0, ""
    if unit != threshold.unit:
        right = {"seconds": "500ms", "ratio": "1%", "number": "20"}[threshold.unit]
        said = f"annotation {threshold.annotation} on {rollout.name} is {text[:LONGEST_THRESHOLD]!r}"
        return None, f"{said}; right would be {right}"
    return number, ""


def show(number: float, unit: str) -> str:
    """Show a number with its unit: 3.2 %, 1.43 s, 520 ms."""
    if unit == "ratio":
        return f"{number * 100:.3g} %"
    if unit == "seconds":
        return f"{number:.3g} s" if number >= 1 else f"{number * 1000:.3g} ms"
    return f"{number:.4g}"
