"""Judge one check of one rollout: a reading in, a verdict with its named reason and its numbers out.

`for` means: every reading in that time is over the threshold, the time is covered, and it lies after the rollout's
start. It is read from Prometheus's history each time, so that a restart of the daemon doesn't reset it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from watcher.judgement.model import Evidence, Grid, Outcome, Rollout, SmokeResult, Verdict
from watcher.judgement.queries import points_for
from watcher.judgement.readings import NoReading, RatioReading, Reading, ValueReading
from watcher.judgement.rollouts import write_time
from watcher.judgement.thresholds import show, threshold_for
from watcher.policy.model import Check, Policy, Ratio, SmokeJob, SmokeProbe

# A new revision is worse than its control from this many times the control's ratio on.
TIMES_WORSE = 3.0

# No ratio is far above 1: its two queries don't count the same thing. A little is what increase() extrapolates.
MOST_BAD = 1.5

REASONS: Mapping[str, Outcome] = {
    "below-threshold": "Healthy",
    "not-for-long-enough": "Healthy",
    "too-few-bad": "Healthy",
    "smoke-test-passed": "Healthy",
    "above-threshold": "Breached",
    "smoke-test-failed": "Breached",
    "no-smoke-test": "Unknown",
    "smoke-test-pending": "Unknown",
    "smoke-test-unanswered": "Unknown",
    "no-data": "Unknown",
    "new-pods-silent": "Unknown",
    "stale-data": "Unknown",
    "not-a-number": "Unknown",
    "implausible": "Unknown",
    "no-requests": "Unknown",
    "too-few-requests": "Unknown",
    "gaps": "Unknown",
    "no-threshold": "Unknown",
    "prometheus-error": "Unknown",
    "partial-answer": "Unknown",
    "ambiguous-series": "Unknown",
}


@dataclass(frozen=True, slots=True)
class Question:
    """One check of one policy, put to one rollout."""

    rollout: Rollout
    policy: Policy
    check: Check


class Point(NamedTuple):
    """One reading at one instant. `flaw` names why it can't be judged; `over` says that it is above the threshold."""

    at: float
    value: float
    over: bool
    flaw: str = ""
    bad: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Before:
    """What is known of the time before the rollout: whether it was in breach, and its counts for the control.

    `breached` only for as long as that breach has not been seen to end: one that comes back is the rollout's own.
    `most` is the largest total of one reading: readings overlap, so that their sum tells of no number of requests.
    """

    breached: bool
    bad: float = 0.0
    total: float = 0.0
    most: float = 0.0


def _first_after(grid: Grid, moment: float) -> int:
    """Give the index of the first instant after `moment`; the grid's count where there is none."""
    place = (moment - grid.start) / grid.step + 1e-6
    return 0 if place < 0 else grid.count if place >= grid.count else math.floor(place) + 1


def _point(question: Question, reading: RatioReading | ValueReading, limit: float, index: int) -> Point:
    """Turn one instant of the reading into a point: the old pods' up to the rollout's start, the new ones' after."""
    grid = reading.grid
    at = grid.start + index * grid.step
    if isinstance(reading, ValueReading):
        value = reading.values[index]
        if not math.isfinite(value):
            return Point(at, math.nan, False, "no-data" if math.isnan(value) else "not-a-number")
        return Point(at, value, value > limit)
    counts = reading.new if at > question.rollout.started else reading.old
    return _ratio_point(question.check, at, (counts.bad[index], counts.total[index]), limit)


def _ratio_point(check: Check, at: float, counts: tuple[float, float], limit: float) -> Point:
    bad, total = counts
    least_total, least_bad = _least(check)
    if math.isnan(total):
        return Point(at, math.nan, False, "no-data")
    if not (math.isfinite(bad) and math.isfinite(total)):
        return Point(at, math.nan, False, "not-a-number")
    if total <= 0:
        return Point(at, math.nan, False, "no-requests", bad, total)
    ratio = bad / total
    if not math.isfinite(ratio):
        return Point(at, math.nan, False, "not-a-number")
    if bad < 0 or ratio > MOST_BAD:
        return Point(at, math.nan, False, "implausible", bad, total)
    if total < least_total:
        return Point(at, ratio, False, "too-few-requests", bad, total)
    return Point(at, ratio, ratio > limit and bad >= least_bad, "", bad, total)


def _least(check: Check) -> tuple[float, float]:
    """Give the fewest requests, and the fewest bad ones, that a ratio is judged by."""
    return (check.kind.least_total, check.kind.least_bad) if isinstance(check.kind, Ratio) else (0.0, 0.0)


def before_of(question: Question, reading: Reading, known: Before | None = None) -> Before | None:
    """Give what is known of the time before the rollout, after this reading; None where nothing is.

    Without `known`, from earlier readings, it is read out of a reading whose grid reaches that far; the caller keeps
    it, and needs no such range again. A breach that this reading shows to have ended since the start is taken back.
    """
    limit, _ = threshold_for(question.check, question.rollout)
    if limit is None or not isinstance(reading, RatioReading | ValueReading):
        return known
    before = known or _read_before(question, reading, limit)
    if before and before.breached and _ended(question, reading, limit):
        return replace(before, breached=False)
    return before


def _ended(question: Question, reading: RatioReading | ValueReading, limit: float) -> bool:
    """Say whether any reading since the rollout's start that can be judged is not above the threshold."""
    span = range(_first_after(reading.grid, question.rollout.started), reading.grid.count)
    points = (_point(question, reading, limit, i) for i in span)
    return any(not p.flaw and p.value <= limit for p in points)


def _read_before(question: Question, reading: RatioReading | ValueReading, limit: float) -> Before | None:
    """Read the last `for` before the start; None where the grid begins later.

    It was in breach if at least half of its instants can be judged and each of those is over: a single bad reading
    among missing ones is no breach, and a few missing ones don't clear it.
    """
    grid, started = reading.grid, question.rollout.started
    begin = started - max(question.check.hold_for, grid.step)
    if grid.start > begin:
        return None
    span = range(_first_after(grid, begin - 0.001), _first_after(grid, started))
    past = [point for i in span if not (point := _point(question, reading, limit, i)).flaw]
    return Before(
        breached=0 < len(span) <= 2 * len(past) and all(p.over for p in past),
        bad=sum(p.bad for p in past),
        total=sum(p.total for p in past),
        most=max((p.total for p in past), default=0.0),
    )


def judge(question: Question, reading: Reading, before: Before | None) -> Verdict:
    """Judge one check of one rollout by its reading, and by what is known of the time before."""
    if isinstance(reading, NoReading):
        return _verdict(question, reading.reason, Evidence(reading.said))
    if isinstance(reading, SmokeResult):
        return _judge_smoke(question, reading)
    limit, flaw = threshold_for(question.check, question.rollout)
    if limit is None:
        return _verdict(question, "no-threshold", Evidence(flaw))
    first, last = _first_after(reading.grid, question.rollout.started), reading.grid.count - 1
    if first > last:
        return _verdict(question, "no-data", Evidence(f"{question.check.name}: no reading since the rollout's start"))
    newest = _point(question, reading, limit, last)
    if newest.flaw:
        points = [_point(question, reading, limit, i) for i in range(first, last + 1)]
        reason, said = _unfit(points, question.check, reading)
        return _verdict(question, reason, Evidence(f"{question.check.name}: {said}", threshold=limit))
    if newest.over:
        return _judge_over(question, reading, limit, before)
    few = newest.value > limit
    said = _say(question, newest, limit) + (", but too few bad ones to count" if few else "")
    return _verdict(question, "too-few-bad" if few else "below-threshold", _evidence(said, newest, limit))


def with_unknown_past(verdict: Verdict, before: Before | None) -> Verdict:
    """Hold a breach of which it can't be known whether it is older than the rollout: its past is out of reach."""
    asked = not isinstance(verdict.check.kind, SmokeJob | SmokeProbe)
    if verdict.outcome != "Breached" or verdict.guard or before is not None or not asked:
        return verdict
    return replace(verdict, guard="past-unknown")


def _unfit(points: list[Point], check: Check, reading: RatioReading | ValueReading) -> tuple[str, str]:
    """Say why the newest reading, which has a flaw, can't be judged: a reason and a sentence."""
    newest = points[-1]
    if newest.flaw == "no-data":
        last = next((p for p in reversed(points) if p.flaw != "no-data"), None)
        if last is not None:
            return "stale-data", f"the newest sample is of {write_time(last.at)}"
        if isinstance(reading, RatioReading) and not math.isnan(reading.old.total[-1]):
            return "new-pods-silent", "the new pods have no data, and the old ones have"
        return "no-data", "Prometheus has no data of this rollout"
    if newest.flaw == "too-few-requests":
        return newest.flaw, f"{newest.total:.0f} requests, {_least(check)[0]:.0f} needed to judge"
    return newest.flaw, newest.flaw.replace("-", " ")


def _judge_over(
    question: Question, reading: RatioReading | ValueReading, limit: float, before: Before | None
) -> Verdict:
    """Judge a rollout whose newest reading is over: for long enough, without gaps, and by its own fault?"""
    grid = reading.grid
    span = range(_first_after(grid, question.rollout.started), grid.count)
    needed = points_for(question.check.hold_for, grid.step)
    run: list[Point] = []
    for index in reversed(span):
        point = _point(question, reading, limit, index)
        if not point.over:
            break
        run.append(point)
    since = run[-1].at
    said = f"{_say(question, run[0], limit)} since {write_time(since)}"
    if len(run) < needed:
        window = [_point(question, reading, limit, i) for i in span[-needed:]]
        gaps = len(window) == needed and all(p.over or p.flaw for p in window)
        reason = "gaps" if gaps else "not-for-long-enough"
        return _verdict(question, reason, _evidence(said, run[0], limit, since))
    if before and before.breached:
        return _verdict(question, "above-threshold", _evidence(said, run[0], limit, since), "older-than-rollout")
    guard, compared = _control(question, reading, run[:needed], before)
    said = f"{said}; {compared}" if compared else said
    return _verdict(question, "above-threshold", _evidence(said, run[0], limit, since), guard)


def _control(
    question: Question, reading: RatioReading | ValueReading, window: list[Point], before: Before | None
) -> tuple[str, str]:
    """Compare with the old pods that still serve, else with the time before: a guard (or ""), and a sentence."""
    if question.check.control == "none" or not isinstance(reading, RatioReading):
        return "", ""
    enough = max(1.0, _least(question.check)[0])
    old = list(zip(reading.old.bad, reading.old.total, strict=True))[-len(window) :]
    beside = [(b, t) for b, t in old if t > 0 and math.isfinite(b) and math.isfinite(t)]
    bad, total, most = sum(b for b, _ in beside), sum(t for _, t in beside), max((t for _, t in beside), default=0.0)
    name = "the old pods beside it"
    if not reading.per_pod or most < enough:
        if before is None or before.most < enough:
            return "", "no control: no old pod serves enough requests, and there is no history from before the rollout"
        bad, total, name = before.bad, before.total, "the time before the rollout"
    ratio = sum(p.bad for p in window) / sum(p.total for p in window)
    said = f"{name}: {show(bad / total, 'ratio')}"
    if ratio >= TIMES_WORSE * bad / total:
        return "", said
    return "not-worse-than-control", f"{said}, less than {TIMES_WORSE:g} times better"


def _judge_smoke(question: Question, result: SmokeResult) -> Verdict:
    reason = {
        "failed": "smoke-test-failed",
        "passed": "smoke-test-passed",
        "none": "no-smoke-test",
        "pending": "smoke-test-pending",
        "unanswered": "smoke-test-unanswered",
    }[result.state]
    return _verdict(question, reason, Evidence(result.said), result.guard)


def _count(number: float) -> str:
    return f"{number:.0f}" if number < 1e12 else f"{number:.3g}"


def _say(question: Question, point: Point, limit: float) -> str:
    check = question.check
    unit = check.threshold.unit if check.threshold else "number"
    observed = show(point.value, unit)
    counts = f" ({_count(point.bad)} of {_count(point.total)} requests)" if isinstance(check.kind, Ratio) else ""
    side = "above" if point.value > limit else "not above"
    return f"{check.name} {observed}{counts}, {side} {show(limit, unit)}"


def _evidence(said: str, point: Point, limit: float, since: float | None = None) -> Evidence:
    numbers = {"bad": point.bad, "total": point.total} if point.total else {}
    return Evidence(said, point.value, limit, since, numbers)


def _verdict(question: Question, reason: str, evidence: Evidence, guard: str = "") -> Verdict:
    return Verdict(REASONS[reason], reason, evidence, question.policy, question.check, guard)
