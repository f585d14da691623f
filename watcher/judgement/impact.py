"""The impact of a bad rollout: which share of the requests it took, and for how long its check was over its threshold.

Pure arithmetic on readings; `runbook.evidence` asks for them. The runbook's postmortem depends on both numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from watcher.judgement.judge import MOST_BAD
from watcher.judgement.model import NAN
from watcher.judgement.readings import RatioReading, ValueReading
from watcher.judgement.thresholds import show

Numbers = list[float]


@dataclass(frozen=True, slots=True)
class Impact:
    """What a bad rollout did. `share`: of the Deployment's requests, 0 to 1; None where nothing was counted.

    `first` and `last`: the first and the last instant (epoch seconds) at which the check was over its threshold; None
    where it never was, or has no threshold. `duration`: seconds. `said`: one sentence for people. There is no number of
    requests: each reading counts a window, and windows overlap.
    """

    share: float | None
    first: float | None
    last: float | None
    duration: float
    said: str


def share_of(readings: Iterable[RatioReading]) -> float | None:
    """Give the bad requests' share of all: the sums over all instants of all revisions' own (`new`) counts.

    Every request is in as many windows as any other, so that the share doesn't depend on the window, though the sums
    do. What `judge` wouldn't judge for what it is (no number, none at all, more bad than total) is left out, however
    few the requests are. None where nothing was counted.
    """
    bad, total = 0.0, 0.0
    for reading in readings:
        for one, all_of_them in zip(reading.new.bad, reading.new.total, strict=True):
            if not math.isnan(_ratio(one, all_of_them)):
                bad, total = bad + one, total + all_of_them
    share = bad / total if total > 0 else NAN
    return min(1.0, share) if math.isfinite(share) else None


def values_of(reading: RatioReading | ValueReading, least_total: float = 0.0, least_bad: float = 0.0) -> Numbers:
    """Give a reading's number at each instant, in its threshold's unit; NaN where there is none to go by.

    Of a ratio these are the revision's own (`new`), where it has `least_total` requests and `least_bad` bad ones.
    """
    if isinstance(reading, ValueReading):
        return [value if math.isfinite(value) else NAN for value in reading.values]
    counts = zip(reading.new.bad, reading.new.total, strict=True)
    return [_ratio(bad, total) if total >= least_total and bad >= least_bad else NAN for bad, total in counts]


def _ratio(bad: float, total: float) -> float:
    if not (math.isfinite(bad) and math.isfinite(total) and total > 0 <= bad):
        return NAN
    ratio = bad / total
    return ratio if ratio <= MOST_BAD else NAN


def span_over(
    readings: Iterable[RatioReading | ValueReading], limit: float, least: tuple[float, float] = (0.0, 0.0)
) -> tuple[float, float] | None:
    """Give the first and the last instant at which any of the readings is above `limit`; None where none ever is.

    `least`: the fewest requests, and the fewest bad ones, that a ratio's check is judged by.
    """
    over = [
        at
        for reading in readings
        for at, value in zip(reading.grid.times(), values_of(reading, *least), strict=True)
        if value > limit
    ]
    return (min(over), max(over)) if over else None


def impact_of_span(
    share: tuple[float | None, str], check: str, span: tuple[float, float] | None, step: float
) -> Impact:
    """Put together what is known where the check has readings: it was over its threshold from the one to the other.

    `share`: the number and its sentence. The newest of the readings over it stands for a `step` (seconds), too.
    """
    number, said = share
    if span is None:
        return Impact(number, None, None, 0.0, f"{said}; {check} never over its threshold")
    duration = span[1] - span[0] + step
    return Impact(number, *span, duration, f"{said}; {check} over its threshold for {say_duration(duration)}")


def impact_since(share: tuple[float | None, str], begun: tuple[float, str], until: float) -> Impact:
    """Put together what is known where no check has readings: it lasted from when it has `begun` (and with what)."""
    since, what = begun
    duration = max(0.0, until - since)
    return Impact(share[0], None, None, duration, f"{share[1]}; {say_duration(duration)} since {what}")


def say_share(share: float | None, period: float, why: str = "Prometheus counted none") -> str:
    """Say which share of the requests of a period (seconds) were bad, or why that isn't known."""
    if share is None:
        return f"the share of the requests is not known: {why}"
    return f"{show(share, 'ratio')} of the requests in {say_duration(period)}"


def say_duration(seconds: float) -> str:
    """Say how long something lasted: 45 s, 12 min 30 s, 2 h 5 min."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else whole % 60, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or f"{round(seconds, 1):g} s"
