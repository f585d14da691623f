"""Judge one check of one rollout: a reading in, a verdict with its named reason and its numbers out.

`for` means: every reading in that time is over the threshold, the time is covered, and it lies after the rollout's
start. It is read from Prometheus's history each time, so that a restart of the daemon doesn't reset it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from watcher.judgement.model import Evidence, Outcome, Rollout, SmokeResult, Verdict
from watcher.judgement.readings import Counts, NoReading, RatioReading, Reading, ValueReading
from watcher.judgement.rollouts import write_time
from watcher.judgement.thresholds import show, threshold_for
from watcher.policy.model import Check, Policy, Ratio

# A new revision is worse than its control from this many times the control's ratio on.
TIMES_WORSE = 3.0

REASONS: Mapping[str, Outcome] = {
    "below-threshold": "Healthy",
    "not-for-long-enough": "Healthy",
    "too-few-bad": "Healthy",
    "smoke-test-passed": "Healthy",
    "above-threshold": "Breached",
    "smoke-test-failed": "Breached",
    "no-smoke-test": "Unknown",
    "smoke-test-unanswered": "Unknown",
    "no-data": "Unknown",
    "stale-data": "Unknown",
    "not-a-number": "Unknown",
    "no-requests": "Unknown",
    "too-few-requests": "Unknown",
    "gaps": "Unknown",
    "no-threshold": "Unknown",
    "prometheus-error": "Unknown",
    "partial-answer": "Unknown",
    "ambiguous-series": "Unknown",
    "not-asked": "Unknown",
}


@dataclass(frozen=True, slots=True)
class Question:
    """One check of one policy, put to one rollout."""

    rollout: Rollout
    policy: Policy
    check: Check


@dataclass(frozen=True, slots=True)
class Point:
    """One reading at one instant. `flaw` names why it can't be judged; `over` says that it is above the threshold."""

    at: float
    value: float
    over: bool
    flaw: str = ""
    bad: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Before:
    """What is known of the time before the rollout: every reading over (`breached`), and its counts for the control."""

    breached: bool
    covered: bool
    bad: float = 0.0
    total: float = 0.0


def _points(question: Question, reading: RatioReading | ValueReading, limit: float, *, before: bool) -> list[Point]:
    """Turn the reading into points on one side of the rollout's start, oldest first."""
    started = question.rollout.started
    wanted = [(i, t) for i, t in enumerate(reading.grid.times()) if (t <= started) == before]
    if isinstance(reading, ValueReading):
        return [_value_point(t, reading.values[i], limit) for i, t in wanted]
    counts = reading.old if before else reading.new
    return [_ratio_point(question.check, counts, i, t, limit) for i, t in wanted]


def _value_point(at: float, value: float, limit: float) -> Point:
    return Point(at, value, value > limit, "no-data" if math.isnan(value) else "")


def _ratio_point(check: Check, counts: Counts, index: int, at: float, limit: float) -> Point:
    assert isinstance(check.kind, Ratio)
    bad, total = counts.bad[index], counts.total[index]
    if math.isnan(total):
        return Point(at, math.nan, False, "no-data")
    if math.isnan(bad) or math.isinf(bad) or math.isinf(total):
        return Point(at, math.nan, False, "not-a-number", bad, total)
    if total <= 0:
        return Point(at, math.nan, False, "no-requests", bad, total)
    ratio = bad / total
    if total < check.kind.least_total:
        return Point(at, ratio, False, "too-few-requests", bad, total)
    return Point(at, ratio, ratio > limit and bad >= check.kind.least_bad, "", bad, total)


def before_of(question: Question, reading: Reading) -> Before | None:
    """Read the time before the rollout out of a reading whose grid reaches that far; None where it does not.

    The past doesn't change: the caller keeps what it got, and needn't ask for that time again.
    """
    if not isinstance(reading, RatioReading | ValueReading):
        return None
    started, hold = question.rollout.started, question.check.hold_for
    if reading.grid.start > started - hold:
        return None
    limit, _ = threshold_for(question.check, question.rollout)
    if limit is None:
        return None
    past = [p for p in _points(question, reading, limit, before=True) if p.at >= started - hold - reading.grid.step]
    sound = [p for p in past if not p.flaw]
    covered = bool(past) and len(sound) == len(past)
    return Before(
        breached=covered and all(p.over for p in past),
        covered=covered,
        bad=sum(p.bad for p in sound),
        total=sum(p.total for p in sound),
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
    points = _points(question, reading, limit, before=False)
    unfit = _unfit(points, question.check)
    if unfit:
        return _verdict(question, unfit[0], Evidence(unfit[1], threshold=limit))
    newest = points[-1]
    if not newest.over:
        few = newest.value > limit
        said = _say(question, newest, limit) + (", but too few bad ones to count" if few else "")
        return _verdict(question, "too-few-bad" if few else "below-threshold", _evidence(said, newest, limit))
    return _judge_over(question, reading, points, (limit, before))


def _unfit(points: list[Point], check: Check) -> tuple[str, str] | None:
    """Say why the newest reading can't be judged, if it can't: a reason and a sentence."""
    if not points or all(p.flaw == "no-data" for p in points):
        return "no-data", f"{check.name}: Prometheus has no data of this rollout"
    newest = points[-1]
    if newest.flaw == "no-data":
        last = next(p for p in reversed(points) if p.flaw != "no-data")
        return "stale-data", f"{check.name}: the newest sample is of {write_time(last.at)}"
    if newest.flaw == "too-few-requests" and isinstance(check.kind, Ratio):
        return newest.flaw, f"{check.name}: {newest.total:.0f} requests, {check.kind.least_total:.0f} needed to judge"
    if newest.flaw:
        return newest.flaw, f"{check.name}: {newest.flaw.replace('-', ' ')}"
    return None


def _judge_over(
    question: Question,
    reading: RatioReading | ValueReading,
    points: list[Point],
    past: tuple[float, Before | None],
) -> Verdict:
    """Judge a rollout whose newest reading is over: for long enough, without gaps, and by its own fault?"""
    limit, before = past
    newest, hold = points[-1], question.check.hold_for
    begin = newest.at - hold
    window = [p for p in points if p.at >= begin - 1e-6]
    run = next((i for i, p in enumerate(reversed(points)) if not p.over), len(points))
    since = points[len(points) - run].at
    evidence = _evidence(_say(question, newest, limit), newest, limit, since)
    covered = hold <= 0 or window[0].at - begin < reading.grid.step
    if any(p.flaw for p in window) and all(p.over or p.flaw for p in window):
        return _verdict(question, "gaps", evidence)
    if not covered or not all(p.over for p in window) or begin < question.rollout.started:
        return _verdict(question, "not-for-long-enough", evidence)
    if before and before.breached:
        return _verdict(question, "above-threshold", evidence, "older-than-rollout")
    guard, said = _control(question, reading, window, before)
    said = f"{evidence.said}; {said}" if said else evidence.said
    return _verdict(question, "above-threshold", _evidence(said, newest, limit, since), guard)


def _control(
    question: Question, reading: RatioReading | ValueReading, window: list[Point], before: Before | None
) -> tuple[str, str]:
    """Compare with the old pods that still serve, else with the time before the rollout: a guard (or ""), a sentence."""
    kind = question.check.kind
    if question.check.control == "none" or not isinstance(reading, RatioReading) or not isinstance(kind, Ratio):
        return "", ""
    enough = max(1.0, kind.least_total)
    moments = {p.at for p in window}
    beside = [i for i, t in enumerate(reading.grid.times()) if t in moments and reading.old.total[i] > 0]
    bad, total = sum(reading.old.bad[i] for i in beside), sum(reading.old.total[i] for i in beside)
    name = "the old pods beside it"
    if not reading.per_pod or total < enough:
        if before is None or before.total < enough:
            return "", "no control: no old pod serves, and there is no history from before the rollout"
        bad, total, name = before.bad, before.total, "the time before the rollout"
    ratio = sum(p.bad for p in window) / sum(p.total for p in window)
    said = f"{name}: {show(bad / total, 'ratio')}"
    if ratio < TIMES_WORSE * bad / total:
        return "not-worse-than-control", f"{said}, less than {TIMES_WORSE:g} times better"
    return "", said


def _judge_smoke(question: Question, result: SmokeResult) -> Verdict:
    reason = {
        "failed": "smoke-test-failed",
        "passed": "smoke-test-passed",
        "waiting": "no-smoke-test",
        "unanswered": "smoke-test-unanswered",
    }[result.state]
    return _verdict(question, reason, Evidence(result.said))


def _say(question: Question, point: Point, limit: float) -> str:
    check = question.check
    unit = check.threshold.unit if check.threshold else "number"
    observed = show(point.value, unit)
    counts = f" ({point.bad:.0f} of {point.total:.0f} requests)" if isinstance(check.kind, Ratio) else ""
    side = "above" if point.value > limit else "not above"
    return f"{check.name} {observed}{counts}, {side} {show(limit, unit)}"


def _evidence(said: str, point: Point, limit: float, since: float | None = None) -> Evidence:
    numbers = {"bad": point.bad, "total": point.total} if point.total else {}
    if since is not None:
        said = f"{said} since {write_time(since)}" if "since" not in said else said
    return Evidence(said, point.value, limit, since, numbers)


def _verdict(question: Question, reason: str, evidence: Evidence, guard: str = "") -> Verdict:
    return Verdict(REASONS[reason], reason, evidence, question.policy, question.check, guard)
