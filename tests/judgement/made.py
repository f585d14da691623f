"""Values that the tables of this folder are written with: revisions, rollouts, checks and readings in few words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from watcher.judgement.judge import Question
from watcher.judgement.model import Evidence, Grid, Revision, Rollout, Series, Verdict
from watcher.judgement.readings import Counts, RatioReading, ValueReading
from watcher.policy.model import Check, Policy, Ratio, Threshold, Value

NAN = math.nan
INF = math.inf
HIGH, LOW = 0.9, 0.2  # beside the value check's 0.5
GOOD, BAD, NONE = (0.0, 500.0), (50.0, 500.0), (0.0, NAN)  # (bad, total) beside the ratio check's 1%
START = 1_800_000_000.0  # 2027-01-15T08:00:00Z
STEP = 15.0

NEW = Revision(2, "checkout-7d9f84", "rs-2", replicas=2)
OLD = Revision(1, "checkout-5c6b7a", "rs-1", replicas=2)
ROLLOUT = Rollout("shop", "checkout", "uid-1", NEW, (OLD,), START)

RATIO = Ratio("bad", "total", per_pod=True)
RATIO_CHECK = Check("error-rate", RATIO, Threshold(0.01, "1%", "ratio"), hold_for=60.0)
VALUE_CHECK = Check("latency-p99", Value("p99"), Threshold(0.5, "500ms", "seconds"), hold_for=60.0)
POLICY = Policy("error-rate", "error-rate.yaml", ("*",), 1800.0, (RATIO_CHECK, VALUE_CHECK))


def asked(check: Check, rollout: Rollout = ROLLOUT) -> Question:
    """One check put to a rollout."""
    return Question(rollout, POLICY, check)


def ratio_check(control: bool = False, hold_for: float = 60.0, **kind: Any) -> Check:
    """The error-rate check, with other settings of its ratio."""
    check = replace(RATIO_CHECK, kind=replace(RATIO, **kind), hold_for=hold_for)
    return replace(check, control="previous-revision") if control else check


def values(*samples: float, ends: float = START + 600) -> ValueReading:
    """A value check's reading: these samples, `STEP` apart, the last one at `ends`."""
    return ValueReading(Grid(ends, STEP, len(samples)), list(samples))


def ratios(
    new: Sequence[tuple[float, float]], old: Sequence[tuple[float, float]] = (), ends: float = START + 600
) -> RatioReading:
    """A ratio check's reading by (bad, total); old pods that aren't named have nothing."""
    beside = list(old) or [(0.0, NAN)] * len(new)
    return RatioReading(Grid(ends, STEP, len(new)), _counts(new), _counts(beside), per_pod=True)


def whole(both: Sequence[tuple[float, float]], ends: float = START + 600) -> RatioReading:
    """A ratio check's reading without pods: the Deployment's own counts, before the rollout and after."""
    counts = _counts(both)
    return RatioReading(Grid(ends, STEP, len(both)), counts, counts, per_pod=False)


def _counts(pairs: Sequence[tuple[float, float]]) -> Counts:
    return Counts([bad for bad, _ in pairs], [total for _, total in pairs])


def series(labels: Mapping[str, str], *samples: tuple[float, float]) -> Series:
    """One series of an answer."""
    return Series(labels, samples)


def verdict(outcome: Any, reason: str, guard: str = "") -> Verdict:
    """A verdict of the error-rate check, whose sentence is its reason."""
    return Verdict(outcome, reason, Evidence(f"said {reason}"), POLICY, RATIO_CHECK, guard)
