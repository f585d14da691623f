"""Numbers that people write with their unit: `30m`, `1%`, `500ms`. Read by `policy.document` and `settings`.

Every function raises ValueError, whose text says what would be right.
"""

from __future__ import annotations

import math
import re
from typing import Literal

LONGEST = 366 * 86400.0  # seconds

Unit = Literal["ratio", "seconds", "number"]

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
DURATION = "^(?=.)" + "".join(rf"(?:({_NUMBER}){unit})?" for unit in _UNITS) + "$"
PERCENTAGE = rf"^({_NUMBER})%$"


def bare(written: object) -> float | None:
    """Return the number if `written` is one without a unit (quoted or not), else None."""
    if isinstance(written, bool) or not isinstance(written, int | float | str):
        return None
    try:
        return float(written)
    except (ValueError, OverflowError):
        return None


def seconds(written: object) -> float:
    """Read a duration such as `90s`, `1.5h` or `1h30m`: d, h, m, s and ms, each at most once, the longest first."""
    number = bare(written)
    if number is not None:
        shown = show(number)
        raise ValueError(f"{shown} has no unit; write {shown}s, {shown}m or {shown}h")
    found = re.fullmatch(DURATION, written) if isinstance(written, str) else None
    if found is None:
        raise ValueError(
            f"{quoted(written)} is not a duration; write a number and its unit (ms, s, m, h, d), like 1h30m"
        )
    parts = zip(found.groups(), _UNITS.values(), strict=True)
    total = math.fsum(float(part) * unit for part, unit in parts if part)
    if not total <= LONGEST:
        raise ValueError(f"{quoted(written)} is longer than a year")
    return total


def longer_than_zero(written: object) -> float:
    """Read a duration that may not be 0."""
    value = seconds(written)
    if value == 0:
        raise ValueError(f"{written} is no time at all; write a longer one")
    return value


def quantity(written: object) -> tuple[float, Unit]:
    """Read a threshold: a percentage (as 0.01 for `1%`), a duration (in seconds) or a bare number."""
    number = bare(written)
    if number is not None:
        return _finite(number, written), "number"
    if isinstance(written, str):
        percentage = re.fullmatch(PERCENTAGE, written)
        if percentage:
            return _finite(float(percentage[1]) / 100, written), "ratio"
        if re.fullmatch(DURATION, written):
            return seconds(written), "seconds"
    raise ValueError(f"{quoted(written)} is not a threshold; write a percentage (1%), a time (500ms) or a number")


def show(number: float) -> str:
    """Write a number without needless digits."""
    return f"{number:.12g}"


def as_percentage(number: float) -> str:
    """Write the percentage that somebody most likely meant by a bare number: 0.01 and 1 are both `1%`."""
    return f"{show(number * 100 if abs(number) < 1 else number)}%"


def as_duration(number: float) -> str:
    """Write seconds with their unit: 0.5 is `500ms`."""
    return f"{show(number * 1000)}ms" if abs(number) < 1 else f"{show(number)}s"


def _finite(number: float, written: object) -> float:
    if not math.isfinite(number):
        raise ValueError(f"{quoted(written)} is not a finite number")
    return number


def quoted(written: object) -> str:
    """Show what somebody wrote, in part where it is long, for a message."""
    if isinstance(written, bool):
        return str(written).lower()
    if isinstance(written, str):
        return f'"{written[:60]}"'
    return {list: "a list", dict: "a mapping", type(None): "nothing"}.get(type(written), str(written)[:60])
