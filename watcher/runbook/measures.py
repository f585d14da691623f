"""A check over a span of time, asked of Prometheus for a case's Deployment and taken apart by revision.

`evidence` draws the chart, the impact and the baseline from it. Which revisions there are says the case's own record.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from watcher.judgement.model import Answer, Grid, Revision, Rollout
from watcher.judgement.queries import fill, texts_of
from watcher.judgement.readings import NoReading, RatioReading, Subjects, ValueReading, read_ratios, read_values
from watcher.judgement.rollouts import pod_prefix
from watcher.policy.model import MOST_POINTS, Check, Ratio, Value
from watcher.runbook.case import Case
from watcher.runbook.ports import Prometheus
from watcher.systems.fault import Fault

# More than a picture has pixels. A thousand pods' series of so many samples are still an answer of bearable size.
POINTS = min(2_000, MOST_POINTS)


@dataclass(frozen=True, slots=True)
class Side:
    """What was read of one revision, or of the whole service. A ratio's counts are `reading.new`, this one's alone."""

    name: str
    bad: bool
    reading: RatioReading | ValueReading

    @property
    def has_series(self) -> bool:
        """Whether Prometheus had anything at all of it."""
        counted = self.reading.new.total if isinstance(self.reading, RatioReading) else self.reading.values
        return not all(map(math.isnan, counted))


class Measures:
    """Asks range queries for one Deployment, as `watch` does for all. `interval`: seconds between the instants."""

    def __init__(self, prometheus: Prometheus, interval: float) -> None:
        self._prometheus = prometheus
        self._interval = interval

    def grid(self, start: float, end: float) -> Grid:
        """Lay instants from `start` (or a little later) to `end`, an interval apart; further where that is too long."""
        last = math.floor(end * 1000) / 1000
        span = max(0.0, last - start)
        step = max(self._interval, math.ceil(span / (POINTS - 1) * 1000) / 1000)  # Prometheus knows milliseconds
        return Grid(last, step, math.floor(span / step + 1e-9) + 1)

    def sides(self, case: Case, check: Check, grid: Grid) -> tuple[Side, ...]:
        """Read a check at each instant: where it is per pod, one side for each revision, the bad one last; else one.

        Empty for a smoke test. Raises Fault where the answer has an error or is partial, or series can't be told apart.
        """
        if not isinstance(check.kind, Ratio | Value):
            return ()
        whole = _whole(case)
        per_pod = isinstance(check.kind, Ratio) and check.kind.per_pod
        parts = _parts(whole) if per_pod else [("service", False, whole)]
        readings = self._read(check, [rollout for _, _, rollout in parts], grid)
        return tuple(Side(name, bad, _sound(readings[rollout.key])) for name, bad, rollout in parts)

    def beside(self, case: Case, check: Check, grid: Grid) -> RatioReading | ValueReading | None:
        """Read a check of all revisions but the bad one, together: a ratio's counts are `new`. Raises Fault likewise.

        None for a smoke test, and where the bad revision's pods can't be told from others.
        """
        if not isinstance(check.kind, Ratio | Value):
            return None
        whole = _whole(case)
        reading = self._read(check, [whole], grid)[whole.key]
        if isinstance(reading, RatioReading):
            return RatioReading(reading.grid, reading.old, reading.old, reading.per_pod)
        return reading if isinstance(reading, ValueReading) else None

    def _read(
        self, check: Check, rollouts: Sequence[Rollout], grid: Grid
    ) -> dict[tuple[str, int], RatioReading | NoReading] | dict[tuple[str, int], ValueReading | NoReading]:
        answers = [self._ask(fill(text, rollouts), grid) for text in texts_of(check)]
        subjects = Subjects(rollouts)
        if isinstance(check.kind, Value):
            return read_values(check.kind, subjects, answers[0])
        return read_ratios(cast(Ratio, check.kind), subjects, answers[0], answers[1])

    def _ask(self, query: str, grid: Grid) -> Answer:
        answer = self._prometheus.range(query, grid)
        if answer.error:
            raise Fault("Prometheus", answer.error)
        if answer.warnings:
            raise Fault("Prometheus", f"the answer is partial: {answer.warnings[0]}")
        return answer


def _sound(reading: RatioReading | ValueReading | NoReading) -> RatioReading | ValueReading:
    if isinstance(reading, NoReading):
        raise Fault("Prometheus", reading.said, lasting=True)
    return reading


def _whole(case: Case) -> Rollout:
    """The Deployment's bad revision, and every other that the case has on record, as a rollout.

    All are taken to have pods: whichever had some then, Prometheus has their series.
    """
    found = {case.bad_replica_set: case.bad}
    history = case.result("confirm", "history")
    known = [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    target = {
        "replicaSet": case.result("confirm", "targetReplicaSet"),
        "revision": case.result("confirm", "targetRevision"),
    }
    for entry in (target, *known):
        name, number = entry.get("replicaSet"), entry.get("revision")
        if isinstance(name, str) and name:
            found.setdefault(name, int(str(number)) if str(number).isdecimal() else 0)
    every = [Revision(number, name, "", replicas=1) for name, number in found.items()]
    earlier = tuple(sorted(every[1:], key=lambda revision: (revision.number, revision.replica_set)))
    return Rollout(case.namespace, case.deployment, case.uid, every[0], earlier, case.rollout_started)


def _parts(whole: Rollout) -> list[tuple[str, bool, Rollout]]:
    """Take a rollout apart, one for each revision; those whose pods' names begin alike stay together."""
    alike: dict[str, list[Revision]] = {}
    for revision in (*whole.earlier, whole.new):
        alike.setdefault(pod_prefix(revision.replica_set), []).append(revision)
    parts = []
    for place, revisions in enumerate(alike.values()):
        bad = whole.new in revisions
        name = " and ".join(f"revision {r.number}" if r.number else r.replica_set for r in revisions)
        only = Revision(place, revisions[0].replica_set, "")  # the place tells one rollout from another
        part = Rollout(whole.namespace, whole.deployment, whole.uid, only, (), whole.started)
        parts.append((f"{name} (bad)" if bad else name, bad, part))
    return sorted(parts, key=lambda part: part[1])
