"""Whose fault a breach is: the time before the rollout, and the old pods beside the new ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
    whole,
)
from watcher.judgement.judge import Before, before_of, judge
from watcher.judgement.readings import NoReading

FIVE = [HIGH] * 5  # covers `for: 1m` at 15 s


def _past(samples: Sequence[float], start: float = START) -> Before | None:
    """What a grid that ends 30 s after the start tells of the time before it; `samples` end at the start."""
    reading = values(*samples, HIGH, NAN, ends=start + 2 * STEP)
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
        ([NAN] * 8 + [HIGH], False),
        ([NAN] * 7 + [HIGH, HIGH], False),
        ([NAN] * 6 + [HIGH, HIGH, HIGH], True),
        ([HIGH] * 5 + [HIGH, NAN, INF, HIGH], True),
        ([HIGH] * 5 + [INF, NAN, INF, HIGH], False),
        ([HIGH] * 5 + [HIGH, NAN, LOW, HIGH], False),
        ([LOW] * 5 + [HIGH] * 4, False),
    ],
)
def test_a_breach_is_older_if_all_readings_of_the_for_before_are_over(samples: list[float], breached: bool) -> None:
    """In the last `for` before the start every reading is over, and half of them are there; one alone is no breach."""
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


def test_a_for_below_the_interval_still_looks_one_interval_back() -> None:
    """Between two readings there is always one to tell of the time before, however short the `for`."""
    question = asked(replace(VALUE_CHECK, hold_for=1.0))
    for offset in (0.0, 7.0, 14.0):
        assert before_of(question, values(HIGH, HIGH, HIGH, ends=START + offset)) == Before(True)
        assert before_of(question, values(LOW, LOW, HIGH, ends=START + offset + 1)) == Before(False)


def test_the_time_before_is_the_old_pods() -> None:
    """By pod, the breach before the start is the earlier revision's; what they do later changes nothing."""
    reading = ratios([NONE] * 6 + [BAD] * 3, [BAD] * 6 + [GOOD] * 3, ends=START + 3 * STEP)
    before = before_of(asked(RATIO_CHECK), reading)
    assert before == Before(True, 5 * 50.0, 5 * 500.0, 500.0)


def test_a_breach_that_ended_and_came_back_is_not_older() -> None:
    """One reading since the start that is not over ends the older breach, and the counts of the time before stay."""
    counts = ratios([NONE] * 6 + [BAD, GOOD, BAD], [BAD] * 9, ends=START + 3 * STEP)
    assert before_of(asked(RATIO_CHECK), counts) == Before(False, 5 * 50.0, 5 * 500.0, 500.0)
    came_back = values(*[HIGH] * 5, LOW, *FIVE, ends=START + 6 * STEP)
    question = asked(VALUE_CHECK)
    verdict = judge(question, came_back, before_of(question, came_back))
    assert (verdict.outcome, verdict.guard) == ("Breached", "")


def test_an_end_that_was_seen_once_is_kept() -> None:
    """What earlier readings told is handed in: later ones, which no longer reach so far, take no end of it back."""
    question = asked(VALUE_CHECK)
    known = before_of(question, values(*FIVE), Before(True))
    assert known == Before(True)
    known = before_of(question, values(HIGH, HIGH, HIGH, HIGH, LOW), known)
    assert known == Before(False)
    known = before_of(question, values(*FIVE), known)
    assert known == Before(False)
    known = before_of(question, values(*[HIGH] * 20, ends=START + 6 * STEP), known)
    assert known == Before(False)
    assert judge(question, values(*FIVE), known).guard == ""


@pytest.mark.parametrize("flaw", [NAN, INF])
def test_what_cannot_be_judged_ends_no_breach(flaw: float) -> None:
    """Missing data is neither healthy nor a breach: the older breach goes on behind it."""
    assert before_of(asked(VALUE_CHECK), values(HIGH, flaw, HIGH), Before(True)) == Before(True)
    assert before_of(asked(VALUE_CHECK), NoReading("prometheus-error", ""), Before(True)) == Before(True)
    nothing = replace(VALUE_CHECK, threshold=None)
    assert before_of(asked(nothing), values(LOW), Before(True)) == Before(True)


def test_too_few_to_judge_end_no_breach() -> None:
    """New pods' first requests, and a ratio above with too few bad ones, don't say that the older breach is over."""
    question = asked(ratio_check(least_total=100.0, least_bad=5.0))
    for counts in ((0.0, 99.0), (4.0, 100.0)):
        assert before_of(question, ratios([counts]), Before(True)) == Before(True)
    assert before_of(question, ratios([(0.0, 100.0)]), Before(True)) == Before(False)


def test_what_was_under_before_the_start_is_not_an_end() -> None:
    """Only readings since the start end the older breach, at whichever instant the range begins."""
    reading = values(*[LOW] * 4, *[HIGH] * 7, ends=START + 2 * STEP)
    assert before_of(asked(VALUE_CHECK), reading) == Before(True)


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
