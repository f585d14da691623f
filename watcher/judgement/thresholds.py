"""Thresholds: the number that a check's `above` means for one rollout, and how numbers are shown to people."""

from __future__ import annotations

from watcher import quantities
from watcher.judgement.model import Rollout
from watcher.policy.model import Check

# What is longer is no threshold. A pattern over the 256 KiB that an annotation may hold would take minutes.
LONGEST_THRESHOLD = 40


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
        number, unit = quantities.quantity(text.strip()) if len(text) <= LONGEST_THRESHOLD else (-1.0, threshold.unit)
    except ValueError:
        number, unit = -1.0, threshold.unit
    if unit != threshold.unit or number < 0:
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
