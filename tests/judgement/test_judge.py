"""Verdicts: one reading in, one verdict with its named reason out."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from tests.judgement.made import (
    BAD,
    GOOD,
    HIGH,
    INF,
    LOW,
    NAN,
    NONE,
    RATIO_CHECK,
    ROLLOUT,
    START,
    STEP,
    VALUE_CHECK,
    asked,
    ratio_check,
    ratios,
    values,
)
from watcher.judgement.judge import REASONS, Before, judge
from watcher.judgement.model import Grid, SmokeResult
from watcher.judgement.readings import NoReading, RatioReading, Reading, ValueReading
from watcher.policy.model import Check, SmokeJob, SmokeProbe, Threshold

FIVE = [HIGH] * 5  # covers `for: 1m` at 15 s


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (FIVE, "above-threshold"),
        ([LOW, *FIVE], "above-threshold"),
        ([NAN, *FIVE], "above-threshold"),
        ([HIGH] * 4, "not-for-long-enough"),
        ([HIGH, LOW, HIGH, HIGH, HIGH], "not-for-long-enough"),
        ([LOW, HIGH, HIGH, HIGH, HIGH], "not-for-long-enough"),
        ([HIGH, LOW, HIGH, LOW, HIGH], "not-for-long-enough"),
        ([HIGH, LOW, NAN, HIGH, HIGH], "not-for-long-enough"),
        ([0.5] * 5, "below-threshold"),
        ([HIGH, HIGH, HIGH, 0.5, HIGH], "not-for-long-enough"),
        ([0.500001] * 5, "above-threshold"),
        ([HIGH, HIGH, HIGH, HIGH, LOW], "below-threshold"),
        ([LOW] * 5, "below-threshold"),
        ([NAN, NAN, NAN, NAN, LOW], "below-threshold"),
        ([-1.0] * 5, "below-threshold"),
        ([HIGH, HIGH, NAN, HIGH, HIGH], "gaps"),
        ([NAN, HIGH, HIGH, HIGH, HIGH], "gaps"),
        ([HIGH, HIGH, INF, HIGH, HIGH], "gaps"),
        ([HIGH, HIGH, HIGH, HIGH, NAN], "stale-data"),
        ([LOW, LOW, LOW, LOW, NAN], "stale-data"),
        ([NAN] * 5, "no-data"),
        ([INF] * 5, "not-a-number"),
        ([-INF] * 5, "not-a-number"),
        ([LOW, LOW, LOW, LOW, INF], "not-a-number"),
    ],
)
def test_a_value_is_judged_by_every_reading_of_its_for(samples: list[float], reason: str) -> None:
    """A breach is every reading in `for` over the threshold; exactly at it is not above, and missing is Unknown."""
    verdict = judge(asked(VALUE_CHECK), values(*samples), None)
    assert (verdict.reason, verdict.outcome) == (reason, REASONS[reason])
    assert verdict.guard == ""
    assert verdict.check is VALUE_CHECK


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ([BAD] * 5, "above-threshold"),
        ([BAD] * 4, "not-for-long-enough"),
        ([(5.0, 500.0)] * 5, "below-threshold"),
        ([GOOD] * 5, "below-threshold"),
        ([(-3.0, 500.0)] * 5, "implausible"),
        ([(1000.0, 500.0)] * 5, "implausible"),
        ([(600.0, 500.0)] * 5, "above-threshold"),
        ([BAD, BAD, (0.0, 0.0), BAD, BAD], "gaps"),
        ([BAD, BAD, (9.0, 90.0), BAD, BAD], "gaps"),
        ([BAD, BAD, BAD, BAD, (0.0, 0.0)], "no-requests"),
        ([(0.0, 0.0)] * 5, "no-requests"),
        ([(0.0, -5.0)] * 5, "no-requests"),
        ([(9.0, 99.0)] * 5, "too-few-requests"),
        ([(0.0, 99.0)] * 5, "too-few-requests"),
        ([(4.0, 100.0)] * 5, "too-few-bad"),
        ([(5.0, 100.0)] * 5, "above-threshold"),
        ([BAD, BAD, (4.0, 100.0), BAD, BAD], "not-for-long-enough"),
        ([BAD, BAD, BAD, BAD, NONE], "stale-data"),
        ([NONE] * 5, "no-data"),
        ([(INF, 500.0)] * 5, "not-a-number"),
        ([(0.0, INF)] * 5, "not-a-number"),
        ([(NAN, 500.0)] * 5, "not-a-number"),
    ],
)
def test_a_ratio_is_judged_by_its_counts(counts: list[tuple[float, float]], reason: str) -> None:
    """`atLeast` needs so many requests to judge and so many bad ones to breach; zero requests are no ratio."""
    verdict = judge(asked(ratio_check(least_total=100.0, least_bad=5.0)), ratios(counts), None)
    assert (verdict.reason, verdict.outcome) == (reason, REASONS[reason])


def test_a_ratio_beyond_all_numbers_is_no_number() -> None:
    """A quotient that overflows is not a breach."""
    assert judge(asked(RATIO_CHECK), ratios([(1e300, 1e-300)] * 5), None).reason == "not-a-number"


def test_new_pods_that_are_silent_while_old_ones_speak_are_told_from_no_data() -> None:
    """Pods that crash on start report nothing: that is not a Deployment that has no such metric."""
    silent = judge(asked(RATIO_CHECK), ratios([NONE] * 5, [GOOD] * 5), None)
    assert (silent.outcome, silent.reason) == ("Unknown", "new-pods-silent")
    assert judge(asked(RATIO_CHECK), ratios([NONE] * 5, [GOOD] * 4 + [NONE]), None).reason == "no-data"


def test_every_reason_can_be_reached() -> None:
    """Each named reason is the verdict of some reading, with the outcome that its name stands for."""
    few = ratio_check(least_total=100.0, least_bad=5.0)
    smoke, no_limit = Check("smoke", SmokeJob()), replace(VALUE_CHECK, threshold=None)
    reached: list[tuple[Check, Reading]] = [
        (VALUE_CHECK, values(LOW)),
        (VALUE_CHECK, values(HIGH)),
        (VALUE_CHECK, values(*FIVE)),
        (VALUE_CHECK, values(NAN)),
        (VALUE_CHECK, values(LOW, NAN)),
        (VALUE_CHECK, values(INF)),
        (VALUE_CHECK, values(HIGH, HIGH, NAN, HIGH, HIGH)),
        (no_limit, values(HIGH)),
        (few, ratios([(4.0, 100.0)])),
        (few, ratios([(9.0, 99.0)])),
        (few, ratios([(0.0, 0.0)])),
        (few, ratios([(-1.0, 500.0)])),
        (few, ratios([NONE], [GOOD])),
        *((smoke, SmokeResult(state, "")) for state in ("failed", "passed", "none", "pending", "unanswered")),
        *((few, NoReading(reason, "")) for reason in ("prometheus-error", "partial-answer", "ambiguous-series")),
    ]
    found = {(verdict.reason, verdict.outcome) for verdict in (judge(asked(c), r, None) for c, r in reached)}
    assert found == set(REASONS.items())


@pytest.mark.parametrize(
    ("hold_for", "needed"), [(0.0, 1), (1.0, 2), (15.0, 2), (16.0, 3), (20.0, 3), (30.0, 3), (60.0, 5), (61.0, 6)]
)
def test_readings_span_the_whole_for(hold_for: float, needed: int) -> None:
    """A `for` that is no multiple of the interval is covered to its end, never rounded down."""
    check = replace(VALUE_CHECK, hold_for=hold_for)
    for count in range(1, 9):
        verdict = judge(asked(check), values(*[HIGH] * count), None)
        assert (verdict.outcome == "Breached") == (count >= needed)


@pytest.mark.parametrize("grid_count", [5, 41, 200])
def test_what_was_before_the_start_does_not_count(grid_count: int) -> None:
    """The `for` lies after the rollout's start, at whichever instant the range begins and the start falls."""
    for offset in (0.0, 0.5, 7.0, 14.999):
        for after in range(6):
            reading = values(*[HIGH] * grid_count, ends=START + offset + after * STEP)
            verdict = judge(asked(VALUE_CHECK), reading, None)
            readings = after + (1 if offset else 0)
            wanted = "above-threshold" if readings >= 5 else "not-for-long-enough" if readings else "no-data"
            assert verdict.reason == wanted, (offset, after)


def test_old_pods_errors_before_the_start_are_not_the_new_ones() -> None:
    """Only the new revision's pods are judged, and only since the start."""
    reading = ratios([NONE] * 6 + [GOOD] * 4, [BAD] * 10, ends=START + 4 * STEP)
    assert judge(asked(RATIO_CHECK), reading, None).reason == "below-threshold"


@pytest.mark.parametrize(
    "samples", [[LOW] * 60 + [HIGH] * 5, [LOW] * 61 + [HIGH] * 4, [HIGH] * 63 + [NAN, HIGH], [LOW] * 65]
)
def test_a_restart_resets_nothing(samples: list[float]) -> None:
    """The long range that a new daemon asks for and the short one of a running daemon give the same verdict."""
    long, short = values(*samples, ends=START + 900), values(*samples[-5:], ends=START + 900)
    restarted, running = judge(asked(VALUE_CHECK), long, None), judge(asked(VALUE_CHECK), short, None)
    assert (restarted.outcome, restarted.reason) == (running.outcome, running.reason)
    assert restarted == judge(asked(VALUE_CHECK), long, None)


def test_the_evidence_has_the_numbers() -> None:
    """A verdict says what was observed against which threshold, since when, and how many requests it is made of."""
    reading = ratios([GOOD] * 3 + [BAD] * 6, ends=START + 600)
    evidence = judge(asked(RATIO_CHECK), reading, None).evidence
    assert (evidence.observed, evidence.threshold) == (0.1, 0.01)
    assert evidence.since == START + 600 - 5 * STEP
    assert evidence.numbers == {"bad": 50, "total": 500}
    assert evidence.said == "error-rate 10 % (50 of 500 requests), above 1 % since 2027-01-15T08:08:45Z"
    said = judge(asked(VALUE_CHECK), values(*FIVE), None).evidence.said
    assert said == "latency-p99 900 ms, above 500 ms since 2027-01-15T08:09:00Z"
    healthy = judge(asked(VALUE_CHECK), values(0.5), None).evidence
    assert (healthy.said, healthy.since) == ("latency-p99 500 ms, not above 500 ms", None)
    few = judge(asked(ratio_check(least_bad=5.0)), ratios([(2.0, 100.0)]), None).evidence.said
    assert few == "error-rate 2 % (2 of 100 requests), above 1 %, but too few bad ones to count"


def test_the_sentences_of_unknown_say_what_is_missing() -> None:
    """Each sentence names its check, and what would be needed."""
    stale = judge(asked(VALUE_CHECK), values(HIGH, HIGH, NAN, NAN), None).evidence.said
    assert stale == "latency-p99: the newest sample is of 2027-01-15T08:09:30Z"
    few = judge(asked(ratio_check(least_total=100.0)), ratios([(9.0, 42.0)]), None).evidence.said
    assert few == "error-rate: 42 requests, 100 needed to judge"


def test_a_check_without_a_threshold_judges_nothing() -> None:
    """What can't be compared is Unknown, and says which annotation is missing."""
    check = replace(VALUE_CHECK, threshold=Threshold(None, "", "seconds", "canary-watch.io/slo-p99"))
    verdict = judge(asked(check), values(*FIVE), None)
    assert (verdict.outcome, verdict.reason) == ("Unknown", "no-threshold")
    assert "canary-watch.io/slo-p99" in verdict.evidence.said


@pytest.mark.parametrize("reason", ["prometheus-error", "partial-answer", "ambiguous-series"])
def test_no_reading_is_unknown(reason: str) -> None:
    """Whatever kept Prometheus from answering is Unknown, in its own words."""
    verdict = judge(asked(RATIO_CHECK), NoReading(reason, "in its own words"), None)
    assert (verdict.outcome, verdict.reason, verdict.evidence.said) == ("Unknown", reason, "in its own words")


@pytest.mark.parametrize(
    ("state", "outcome", "reason"),
    [
        ("failed", "Breached", "smoke-test-failed"),
        ("passed", "Healthy", "smoke-test-passed"),
        ("none", "Unknown", "no-smoke-test"),
        ("pending", "Unknown", "smoke-test-pending"),
        ("unanswered", "Unknown", "smoke-test-unanswered"),
    ],
)
def test_a_smoke_test_is_judged_by_how_it_ended(state: Any, outcome: str, reason: str) -> None:
    """A smoke test that has not ended, or was not answered, says nothing."""
    verdict = judge(asked(Check("smoke", SmokeJob())), SmokeResult(state, "Job smoke"), None)
    assert (verdict.outcome, verdict.reason, verdict.guard) == (outcome, reason, "")


def test_a_smoke_test_brings_its_guard() -> None:
    """What keeps a failed probe from being the rollout's own comes with its result."""
    result = SmokeResult("failed", "http://checkout.shop/up answers 500", "never-answered-right")
    verdict = judge(asked(Check("up", SmokeProbe("http://checkout.shop/up", 3, 200, 1.0))), result, None)
    assert (verdict.outcome, verdict.reason) == ("Breached", "smoke-test-failed")
    assert verdict.guard == "never-answered-right"


@pytest.mark.parametrize("step", [0.1, 1.0, 15.0])
def test_any_interval_will_do(step: float) -> None:
    """Seconds instead of minutes, and fractions of one, are judged alike."""
    check = replace(VALUE_CHECK, hold_for=4 * step)
    for count, reason in ((5, "above-threshold"), (4, "not-for-long-enough")):
        reading = ValueReading(Grid(START + 100, step, count), [HIGH] * count)
        assert judge(asked(check), reading, None).reason == reason


def test_a_start_within_a_second_is_exact() -> None:
    """A start that was seen, not created, has fractions: the reading at that instant is before it."""
    rollout = replace(ROLLOUT, started=START + 0.25)
    reading = values(*FIVE, ends=START + 4 * STEP)
    assert judge(asked(VALUE_CHECK, rollout), reading, None).reason == "not-for-long-enough"


def test_unknown_is_never_made_of_healthy_readings_alone() -> None:
    """A reading of all the old pods' errors and none of the new ones is about the new ones."""
    reading = ratios([GOOD] * 5, [BAD] * 5)
    assert isinstance(reading, RatioReading)
    verdict = judge(asked(ratio_check(control=True)), reading, Before(True))
    assert (verdict.outcome, verdict.guard) == ("Healthy", "")
    assert math.isclose(verdict.evidence.observed or 0.0, 0.0)
