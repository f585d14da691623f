"""The scales of a chart: which numbers its axes name, where a value lies on them, and where a line is broken.

Pure; `chart` draws by it. Nothing here raises, whatever the numbers: a chart is made of what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Literal

from watcher.judgement.thresholds import show

Unit = Literal["ratio", "seconds", "number"]
Points = Sequence[tuple[float, float]]

# What an axis shows where everything measured is zero, and no threshold says what would be much.
_USUAL = {"ratio": 0.01, "seconds": 0.1, "number": 1.0}
_SMALLEST, _LARGEST = 1e-9, 1e300

# Of so many values the few highest may leave the picture, if they are so many times as high as all the others.
_ENOUGH, _FEW, _TIMES = 20, 0.02, 4.0

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_TIME_STEPS = (
    *(1, 2, 5, 10, 15, 30),
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12)),
    *(n * _DAY for n in (1, 2, 5, 10, 30, 90, 365)),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from `low` to `high`, with the places that are named on it."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def place(self, value: float) -> float:
        """Say where a value lies: 0 at the low end, 1 at the high one, and no further."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def value_scale(values: Iterable[float], threshold: float | None, unit: Unit) -> Scale:
    """Make the axis of the values: from zero, so that no small change looks large, to what it has to show.

    A few values far above all others don't press these to the ground: they leave the picture at its top.
    """
    known = sorted(_bounded(value) for value in values)
    limit = _bounded(threshold) if threshold is not None else 0.0
    top, bottom = max([0.0, limit, *known[-1:]]), min([0.0, limit, *known[:1]])
    if len(known) >= _ENOUGH:
        usual = max(limit * 1.5, known[math.floor((1 - _FEW) * (len(known) - 1))])
        if usual > _SMALLEST and top > _TIMES * usual:
            top = usual * 1.5
    if top - bottom < _SMALLEST:
        top, bottom = _USUAL[unit], 0.0
    roomy = top + 0.05 * (top - bottom)
    if unit == "ratio" and top <= 1.0:
        roomy = min(roomy, 1.0)
    step = _round_step((roomy - bottom) / 5)
    first, last = math.floor(bottom / step + 1e-9), math.ceil(roomy / step - 1e-9)
    return Scale(first * step, last * step, tuple((i * step, show(i * step, unit)) for i in range(first, last + 1)))


def _bounded(value: float) -> float:
    return min(_LARGEST, max(-_LARGEST, value))


def _round_step(least: float) -> float:
    magnitude = 10.0 ** math.floor(math.log10(least))
    return next(m * magnitude for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * magnitude >= least * 0.999)


def time_scale(start: float, end: float, most: int) -> Scale:
    """Make the axis of the times, with at most `most` steps between those named; without a length it gets a minute."""
    if not (math.isfinite(start) and math.isfinite(end) and end > start):
        middle = start if math.isfinite(start) else 0.0
        start, end = middle - 30, middle + 30
        if start == end:
            start, end = -30.0, 30.0
    span = end - start
    step = next((s for s in _TIME_STEPS if span <= most * s), span / most)
    first = math.ceil(start / step) * step
    ticks = [first + i * step for i in range(most + 1)]
    return Scale(start, end, tuple((at, _tick(at, step, span)) for at in ticks if start <= at <= end))


def _tick(at: float, step: float, span: float) -> str:
    if span > _DAY:
        return written(at, "%m-%d %H:%M")
    return written(at, "%H:%M:%S" if step < _MINUTE else "%H:%M")


def dates(scale: Scale) -> str:
    """Say which days a chart shows."""
    first, last = written(scale.low, "%Y-%m-%d"), written(scale.high, "%Y-%m-%d")
    return f"{first} UTC" if first == last else f"{first} to {last} UTC"


def written(moment: float, form: str) -> str:
    """Write a moment (epoch seconds) in UTC, in strftime's words; as a number where it is in no year that has one."""
    try:
        return datetime.fromtimestamp(moment, UTC).strftime(form)
    except (OverflowError, ValueError, OSError):
        return f"{moment:.4g}"


def measured(points: Points, start: float, end: float) -> list[tuple[float, float]]:
    """Give the points between `start` and `end` in their order, NaN for each value that is no finite number."""
    known = ((at, value if math.isfinite(value) else math.nan) for at, value in points if start <= at <= end)
    return sorted(known, key=lambda point: point[0])


def runs(points: Points, step: float) -> list[list[tuple[float, float]]]:
    """Take a line apart where a value is NaN, or an instant is missing: more than one `step` without a point."""
    made: list[list[tuple[float, float]]] = [[]]
    last = -math.inf
    for at, value in points:
        if math.isnan(value) or at - last > 1.5 * step:
            made.append([])
        if not math.isnan(value):
            made[-1].append((at, value))
        last = at
    return [run for run in made if run]


def step_of(lines: Iterable[Points]) -> float:
    """Say how far apart a chart's instants are, by the nearest two of a line; infinite where there are no two."""
    return min((b - a for line in lines for (a, _), (b, _) in pairwise(line) if b > a), default=math.inf)


def above(run: Points, limit: float) -> list[list[tuple[float, float]]]:
    """Give the pieces of a run that lie above `limit`, each beginning and ending where the line crosses it."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for (at, value), (after, following) in pairwise(run):
        if value > limit:
            pieces[-1].append((at, value))
        if (value > limit) != (following > limit):
            share = (limit - value) / (following - value)
            pieces[-1].append((at + share * (after - at), limit))
            if value > limit:
                pieces.append([])
    if run and run[-1][1] > limit:
        pieces[-1].append(run[-1])
    return [piece for piece in pieces if len(piece) > 1]
