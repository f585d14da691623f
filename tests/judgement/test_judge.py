"""Verdicts: one reading in, one verdict with its named reason out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.judgement.made import (
    INF,
    NAN,
    RATIO_CHECK,
    ROLLOUT,
    START,
    STEP,
    VALUE_CHECK,
    asked,
    ratio_check,
    ratios,
    values,
    whole,
)
from watcher.judgement.judge import REASONS, Before, before_of, judge
from watcher.judgement.model import Grid, SmokeResult
from watcher.judgement.readings import NoReading, RatioReading, Reading, ValueReading
from watcher.policy.model import Check, SmokeJob, Threshold

HIGH, LOW = 0.9, 0.2
FIVE = [HIGH] * 5  # covers `for: 1m` at 15 s
GOOD, BAD, NONE = (0.0, 500.0), (50.0, 500.0), (0.0, NAN)


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
        ([(-3.0, 500.0)] * 5, "below-threshold"),
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
        (few, ratios([NONE], [GOOD])),
        *((smoke, SmokeResult(state, "")) for state in ("failed", "passed", "waiting", "unanswered")),
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
        ("waiting", "Unknown", "no-smoke-test"),
        ("unanswered", "Unknown", "smoke-test-unanswered"),
    ],
)
def test_a_smoke_test_is_judged_by_how_it_ended(state: Any, outcome: str, reason: str) -> None:
    """A smoke test that has not ended, or was not answered, says nothing."""
    verdict = judge(asked(Check("smoke", SmokeJob())), SmokeResult(state, "Job smoke"), None)
    assert (verdict.outcome, verdict.reason, verdict.guard) == (outcome, reason, "")


def _past(samples: Sequence[float], start: float = START) -> Before | None:
    """What a grid that ends 30 s after the start tells of the time before it; `samples` end at the start."""
    reading = values(*samples, LOW, LOW, ends=start + 2 * STEP)
    return before_of(asked(VALUE_CHECK, replace(ROLLOUT, started=start)), reading)


@pytest.mark.parametrize(
    ("samples", "breached"),
    [
        ([HIGH] * 9, True),
        ([LOW] * 4 + [HIGH] * 5, True),
        ([HIGH] * 5 + [LOW, HIGH, HIGH, HIGH], False),
        ([HIGH] * 8 + [LOW], False),
        ([LOW] * 9, False),
        ([NAN] * 9, False),
        ([NAN] * 8 + [HIGH], True),
        ([HIGH] * 5 + [HIGH, NAN, INF, HIGH], True),
        ([HIGH] * 5 + [HIGH, NAN, LOW, HIGH], False),
        ([LOW] * 5 + [HIGH] * 4, False),
    ],
)
def test_a_breach_is_older_if_all_readings_of_the_for_before_are_over(samples: list[float], breached: bool) -> None:
    """The last `for` before the start decides; what is missing there doesn't clear it, and nothing is no breach."""
    before = _past(samples)
    assert before is not None
    assert before.breached is breached


def test_the_time_before_needs_a_range_that_reaches_it() -> None:
    """A range that begins later tells nothing of the time before, rather than half of it."""
    assert _past([HIGH] * 5) is not None
    assert _past([HIGH] * 4) is None
    assert before_of(asked(VALUE_CHECK), values(*FIVE, ends=START + 600)) is None
    assert before_of(asked(VALUE_CHECK), NoReading("prometheus-error", "")) is None
    nothing = replace(VALUE_CHECK, threshold=None)
    assert before_of(asked(nothing), values(*[HIGH] * 99, ends=START)) is None


def test_the_time_before_is_the_old_pods() -> None:
    """By pod, the breach before the start is the earlier revision's; what new pods do later changes nothing."""
    reading = ratios([NONE] * 6 + [GOOD] * 3, [BAD] * 9, ends=START + 3 * STEP)
    before = before_of(asked(RATIO_CHECK), reading)
    assert before == Before(True, 5 * 50.0, 5 * 500.0, 500.0)


def test_an_older_breach_is_guarded() -> None:
    """A rollout isn't blamed for what was broken before it: the verdict is a breach with its guard."""
    verdict = judge(asked(VALUE_CHECK), values(*FIVE), Before(True))
    assert (verdict.outcome, verdict.reason, verdict.guard) == ("Breached", "above-threshold", "older-than-rollout")
    assert judge(asked(VALUE_CHECK), values(*FIVE), Before(False)).guard == ""


def control(new: tuple[float, float], old: Sequence[tuple[float, float]], before: Before | None) -> tuple[str, str]:
    """Guard and sentence of five readings of new pods beside five of old ones."""
    check = ratio_check(control=True, least_total=100.0)
    verdict = judge(asked(check), ratios([new] * 5, list(old)), before)
    assert verdict.reason == "above-threshold"
    return verdict.guard, verdict.evidence.said.partition("; ")[2]


@pytest.mark.parametrize(
    ("bad", "guard"),
    [(0.0, ""), (10.0, ""), (16.0, ""), (17.0, "not-worse-than-control"), (50.0, "not-worse-than-control")],
)
def test_new_pods_must_be_worse_than_the_old_ones_beside_them(bad: float, guard: str) -> None:
    """Three times the old pods' ratio is worse; what both suffer alike is not the rollout's fault."""
    found, said = control(BAD, [(bad, 500.0)] * 5, Before(False, 0.0, 5000.0, 1000.0))
    assert found == guard
    assert said.startswith("the old pods beside it: ")


def test_exactly_three_times_is_worse() -> None:
    """The new revision is worse from three times its control's ratio on."""
    assert control((75.0, 500.0), [(25.0, 500.0)] * 5, None)[0] == ""


@pytest.mark.parametrize("old", [[NONE] * 5, [(0.0, 0.0)] * 5, [(0.0, 30.0)] * 5, [(0.0, INF)] * 5, [(INF, 500.0)] * 5])
def test_without_old_pods_the_time_before_is_the_control(old: list[tuple[float, float]]) -> None:
    """Overlapping readings of few requests add up to no control: the time before takes their place."""
    assert control(BAD, old, Before(False, 100.0, 1000.0, 500.0)) == (
        "not-worse-than-control",
        "the time before the rollout: 10 %, less than 3 times better",
    )
    assert control(BAD, old, Before(False, 1.0, 1000.0, 500.0)) == ("", "the time before the rollout: 0.1 %")


@pytest.mark.parametrize("before", [None, Before(False), Before(False, 40.0, 400.0, 80.0)])
def test_without_any_control_it_is_void_and_said_so(before: Before | None) -> None:
    """A control that isn't there holds nothing, and the sentence tells."""
    guard, said = control(BAD, [NONE] * 5, before)
    assert guard == ""
    assert said == "no control: no old pod serves enough requests, and there is no history from before the rollout"


def test_the_control_is_beside_the_breach() -> None:
    """Old pods count in the same `for` as the new ones; what they did earlier doesn't."""
    old = [BAD] * 20 + [GOOD] * 3 + [NONE] * 2
    check = ratio_check(control=True, least_total=100.0)
    verdict = judge(asked(check), ratios([NONE] * 10 + [BAD] * 15, old), None)
    assert (verdict.outcome, verdict.guard) == ("Breached", "")
    assert "the old pods beside it: 0 %" in verdict.evidence.said


def test_without_pods_the_control_is_the_time_before() -> None:
    """The Deployment's own counts can't be compared with themselves."""
    check = ratio_check(control=True, per_pod=False)
    worse, alike = Before(False, 0.0, 1000.0, 500.0), Before(False, 100.0, 1000.0, 500.0)
    assert judge(asked(check), whole([BAD] * 5), worse).guard == ""
    assert judge(asked(check), whole([BAD] * 5), alike).guard == "not-worse-than-control"


def test_numbers_too_large_to_add_up_are_held() -> None:
    """A comparison that comes to no number isn't taken for worse."""
    check = ratio_check(control=True)
    huge = ratios([(1.7e308, 1.7e308)] * 5, [(1.0, 1.7e308)] * 5)
    assert judge(asked(check), huge, None).guard == "not-worse-than-control"


def test_a_value_check_has_no_control() -> None:
    """One number for the whole Deployment is compared with nothing, even if the policy asks."""
    check = replace(VALUE_CHECK, control="previous-revision")
    assert judge(asked(check), values(*FIVE), None).guard == ""


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
