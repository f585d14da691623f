"""Readings: Prometheus's answers for many rollouts taken apart into one reading for each check and rollout.

Pods are told apart by revision from their names alone: a ReplicaSet's name, a dash and one segment without a dash.
In a reading NaN means that Prometheus had no sample, and infinity that a sample was no finite number (NaN included).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from watcher.judgement.model import NAN, Answer, Grid, Rollout, Series, SmokeResult
from watcher.judgement.rollouts import pod_prefix
from watcher.policy.model import Labels, Ratio, Value

Numbers = list[float]

# A generated name's length at most, and how much of it is random: k8s.io/apiserver/pkg/storage/names/generate.go
LONGEST_POD, RANDOM = 63, 5


@dataclass(frozen=True, slots=True)
class Counts:
    """Bad and total counts at each instant of a grid. Where Prometheus had nothing, total is NaN and bad is zero."""

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
    """Which rollout, and which side of it, a series speaks of. `unclear`: rollouts whose pods can't be told apart."""

    def __init__(self, rollouts: Sequence[Rollout]) -> None:
        self.rollouts = tuple(rollouts)
        self.unclear: dict[tuple[str, int], str] = {}
        self._deployments = {(r.namespace, r.deployment): r for r in rollouts}
        self._sets: dict[tuple[str, str], tuple[Rollout, bool]] = {}
        for rollout in rollouts:
            self._add(rollout, rollout.new.replica_set, new=True)
            for revision in rollout.control:
                self._add(rollout, revision.replica_set, new=False)

    def _add(self, rollout: Rollout, replica_set: str, *, new: bool) -> None:
        """Keep a ReplicaSet by what its pods' names begin with; names cut by Kubernetes may begin alike."""
        prefix = pod_prefix(replica_set)
        known, was_new = self._sets.setdefault((rollout.namespace, prefix), (rollout, new))
        if known is not rollout or was_new != new:
            for one in (known, rollout):
                said = f"pods of different revisions can't be told apart: their names all begin with {prefix}"
                self.unclear[one.key] = said

    def by_pod(self, labels: Mapping[str, str], names: Labels) -> tuple[Rollout, bool] | None:
        """Find the rollout of a series with a pod, and whether the pod is of the new revision."""
        pod, namespace = labels.get(names.pod, ""), labels.get(names.namespace, "")
        prefix = pod[: pod.rfind("-") + 1]
        found = self._sets.get((namespace, prefix))
        if found is None and len(pod) == LONGEST_POD and "-" not in pod[-RANDOM:]:
            found = self._sets.get((namespace, pod[:-RANDOM]))
        return found

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


class Places(dict[float, int]):
    """The index of each instant of a grid; -1 for a moment beside it. Near misses are worked out once and kept."""

    def __init__(self, grid: Grid) -> None:
        super().__init__((moment, index) for index, moment in enumerate(grid.times()))
        self._grid = grid

    def __missing__(self, moment: float) -> int:
        """Find the instant that a moment means, which may be a rounding error away."""
        place = (moment - self._grid.start) / self._grid.step
        index = round(place) if -1 < place < self._grid.count else -1
        self[moment] = found = index if index < self._grid.count and abs(place - index) < 0.01 else -1
        return found


def add_series(into: Numbers, series: Series, places: Places) -> None:
    """Add a series' samples to the instants that they belong to; what lies beside the grid is left out."""
    for moment, value in series.samples:
        index = places[moment]
        if index >= 0:
            here = into[index]
            if not math.isfinite(value):
                into[index] = math.inf
            else:
                into[index] = value if math.isnan(here) else here + value


def _blank(grid: Grid) -> Numbers:
    return [NAN] * grid.count


def read_ratios(
    kind: Ratio, subjects: Subjects, bad: Answer, total: Answer
) -> dict[tuple[str, int], RatioReading | NoReading]:
    """Give each rollout its counts. Where `total` has a sample and `bad` has none, there were zero bad ones."""
    flaw = flaw_of(bad, total)
    if flaw:
        return {r.key: flaw for r in subjects.rollouts}
    grid = min(bad.grid, total.grid, key=lambda asked: asked.count)  # beyond it, no bad sample says nothing
    made: dict[tuple[str, int], RatioReading | NoReading] = {}
    sides: dict[tuple[tuple[str, int], bool], Counts] = {}
    for rollout in subjects.rollouts:
        new = Counts([0.0] * grid.count, _blank(grid))
        old = Counts([0.0] * grid.count, _blank(grid)) if kind.per_pod else new
        sides[rollout.key, True], sides[rollout.key, False] = new, old
        made[rollout.key] = RatioReading(grid, new, old, kind.per_pod)
    places = Places(grid)
    for series in total.series:
        place = _side(kind, subjects, series)
        if place:
            add_series(sides[place].total, series, places)
    for series in bad.series:
        place = _side(kind, subjects, series)
        if place:
            add_series(sides[place].bad, series, places)
    if kind.per_pod:
        made.update({key: NoReading("ambiguous-series", said) for key, said in subjects.unclear.items()})
    return made


def _side(kind: Ratio, subjects: Subjects, series: Series) -> tuple[tuple[str, int], bool] | None:
    if kind.per_pod:
        found = subjects.by_pod(series.labels, kind.labels)
        return (found[0].key, found[1]) if found else None
    rollout = subjects.by_deployment(series.labels, kind.labels)
    return (rollout.key, True) if rollout else None


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
    places = Places(answer.grid)
    for rollout in subjects.rollouts:
        several = found.get(rollout.key, [])
        if len(several) > 1:
            shown = " and ".join(_say_labels(s.labels) for s in several[:2])
            said = f"{len(several)} series for {rollout.name} where one is meant: {shown}; aggregate them in the query"
            made[rollout.key] = NoReading("ambiguous-series", said)
            continue
        values = _blank(answer.grid)
        for series in several:
            add_series(values, series, places)
        made[rollout.key] = ValueReading(answer.grid, values)
    return made


def _say_labels(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'{k}="{v}"' for k, v in sorted(labels.items())) + "}"
