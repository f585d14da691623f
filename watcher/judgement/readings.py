"""Readings: Prometheus's answers for many rollouts taken apart into one reading for each check and rollout.

Pods are told apart by revision from their names alone: a ReplicaSet's name, a dash and one segment without a dash.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watcher.judgement.model import NAN, Answer, Grid, Rollout, Series, SmokeResult
from watcher.policy.model import Labels, Ratio, Value

Numbers = list[float]


@dataclass(frozen=True, slots=True)
class Counts:
    """Bad and total counts at each instant of a grid; NaN where Prometheus had nothing."""

    bad: Numbers
    total: Numbers


@dataclass(frozen=True, slots=True)
class RatioReading:
    """A ratio check's counts: the new revision's and the earlier ones'. Without pods both are the Deployment's."""

    grid: Grid
    new: Counts
    old: Counts
    per_pod: bool


@dataclass(frozen=True, slots=True)
class ValueReading:
    """A value check's numbers, one for each instant; NaN where Prometheus had nothing."""

    grid: Grid
    values: Numbers


@dataclass(frozen=True, slots=True)
class NoReading:
    """Why there is no reading: `reason` is a verdict's reason, `said` the line for people."""

    reason: str
    said: str


Reading = RatioReading | ValueReading | SmokeResult | NoReading


class Subjects:
    """Which rollout, and which side of it, a series speaks of."""

    def __init__(self, rollouts: Sequence[Rollout]) -> None:
        self.rollouts = tuple(rollouts)
        self._deployments = {(r.namespace, r.deployment): r for r in rollouts}
        self._sets: dict[tuple[str, str], tuple[Rollout, bool]] = {}
        for rollout in rollouts:
            for revision in rollout.control:
                self._sets[rollout.namespace, revision.replica_set] = (rollout, False)
            self._sets[rollout.namespace, rollout.new.replica_set] = (rollout, True)

    def by_pod(self, labels: Mapping[str, str], names: Labels) -> tuple[Rollout, bool] | None:
        """Find the rollout of a series with a pod, and whether the pod is of the new revision."""
        replica_set, dash, _ = labels.get(names.pod, "").rpartition("-")
        return self._sets.get((labels.get(names.namespace, ""), replica_set)) if dash else None

    def by_deployment(self, labels: Mapping[str, str], names: Labels) -> Rollout | None:
        """Find the rollout of a series that names its Deployment."""
        return self._deployments.get((labels.get(names.namespace, ""), labels.get(names.deployment, "")))


def flaw_of(*answers: Answer) -> NoReading | None:
    """Say why answers can't be judged: an error, or warnings, which mean that the answer is partial."""
    for answer in answers:
        if answer.error:
            return NoReading("prometheus-error", answer.error)
        if answer.warnings:
            return NoReading("partial-answer", f"Prometheus warns that its answer is partial: {answer.warnings[0]}")
    return None


def add_series(into: Numbers, series: Series, grid: Grid) -> None:
    """Add a series' samples to the instants of `grid` that they belong to; what lies beside the grid is left out."""
    start, step, count = grid.start, grid.step, grid.count
    for moment, value in series.samples:
        place = (moment - start) / step
        index = round(place)
        if 0 <= index < count and abs(place - index) < 0.01:
            into[index] = value if math.isnan(into[index]) else into[index] + value


def _blank(grid: Grid) -> Numbers:
    return [NAN] * grid.count


def read_ratios(
    kind: Ratio, subjects: Subjects, bad: Answer, total: Answer
) -> dict[tuple[str, int], RatioReading | NoReading]:
    """Give each rollout its counts. Where `total` has a sample and `bad` has none, there were zero bad ones."""
    flaw = flaw_of(bad, total)
    if flaw:
        return {r.key: flaw for r in subjects.rollouts}
    grid = total.grid
    made: dict[tuple[str, int], RatioReading | NoReading] = {}
    sides: dict[tuple[tuple[str, int], bool], Counts] = {}
    for rollout in subjects.rollouts:
        new = Counts(_blank(grid), _blank(grid))
        old = Counts(_blank(grid), _blank(grid)) if kind.per_pod else new
        sides[rollout.key, True], sides[rollout.key, False] = new, old
        made[rollout.key] = RatioReading(grid, new, old, kind.per_pod)
    for answer, attribute in ((total, "total"), (bad, "bad")):
        for series in answer.series:
            place = _side(kind, subjects, series)
            if place:
                add_series(getattr(sides[place], attribute), series, grid)
    for counts in sides.values():
        _zero_where_silent(counts)
    return made


def _side(kind: Ratio, subjects: Subjects, series: Series) -> tuple[tuple[str, int], bool] | None:
    if kind.per_pod:
        found = subjects.by_pod(series.labels, kind.labels)
        return (found[0].key, found[1]) if found else None
    rollout = subjects.by_deployment(series.labels, kind.labels)
    return (rollout.key, True) if rollout else None


def _zero_where_silent(counts: Counts) -> None:
    for index, total in enumerate(counts.total):
        if not math.isnan(total) and math.isnan(counts.bad[index]):
            counts.bad[index] = 0.0


def read_values(kind: Value, subjects: Subjects, answer: Answer) -> dict[tuple[str, int], ValueReading | NoReading]:
    """Give each rollout its numbers; two series for the same Deployment can't be told apart and are named."""
    flaw = flaw_of(answer)
    if flaw:
        return {r.key: flaw for r in subjects.rollouts}
    found: dict[tuple[str, int], list[Series]] = {}
    for series in answer.series:
        rollout = subjects.by_deployment(series.labels, kind.labels)
        if rollout:
            found.setdefault(rollout.key, []).append(series)
    made: dict[tuple[str, int], ValueReading | NoReading] = {}
    for rollout in subjects.rollouts:
        several = found.get(rollout.key, [])
        if len(several) > 1:
            shown = " and ".join(_say_labels(s.labels) for s in several[:2])
            said = f"{len(several)} series for {rollout.name} where one is meant: {shown}; aggregate them in the query"
            made[rollout.key] = NoReading("ambiguous-series", said)
            continue
        values = _blank(answer.grid)
        for series in several:
            add_series(values, series, answer.grid)
        made[rollout.key] = ValueReading(answer.grid, values)
    return made


def _say_labels(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'{k}="{v}"' for k, v in sorted(labels.items())) + "}"
