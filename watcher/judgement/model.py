"""The values that the judgement works on: rollouts, readings, verdicts and decisions.

Times are seconds since the epoch (float), so that a reading's grid is plain arithmetic. All are frozen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from watcher.policy.model import Check, Policy

NAN = math.nan


@dataclass(frozen=True, slots=True)
class Revision:
    """One ReplicaSet of a Deployment, as the rollout history shows it.

    `verdict` is proven, condemned or empty; `doubted` says that it was replaced while it was not healthy. `former` are
    the numbers that it had before it was used again; `schema` the database schema's version that it was seen with, and
    `schema_by` the question that this answered (`runbook.migrations.asked_of`).
    """

    number: int
    replica_set: str
    uid: str
    verdict: str = ""
    replicas: int = 0
    doubted: bool = False
    former: tuple[int, ...] = ()
    schema: str = ""
    schema_by: str = ""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A Deployment's move to `new` from `earlier` (newest first; empty when the Deployment is being created)."""

    namespace: str
    deployment: str
    uid: str
    new: Revision
    earlier: tuple[Revision, ...]
    started: float
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    spec_paused: bool = False

    @property
    def name(self) -> str:
        """`namespace/deployment`, as messages say it."""
        return f"{self.namespace}/{self.deployment}"

    @property
    def key(self) -> tuple[str, int]:
        """What tells one rollout from another: the Deployment's UID and the new revision's number."""
        return self.uid, self.new.number

    @property
    def control(self) -> tuple[Revision, ...]:
        """The revisions that the new one is compared with: the previous one, and any older one that still has pods."""
        return tuple(r for i, r in enumerate(self.earlier) if i == 0 or r.replicas > 0)


@dataclass(frozen=True, slots=True)
class Grid:
    """The instants of a range query: `count` of them, `step` seconds apart, the last one at `end`."""

    end: float
    step: float
    count: int

    @property
    def start(self) -> float:
        """The first instant."""
        return self.end - (self.count - 1) * self.step

    def times(self) -> list[float]:
        """Every instant, oldest first."""
        return [self.start + i * self.step for i in range(self.count)]


@dataclass(frozen=True, slots=True)
class Series:
    """One series of Prometheus's answer: its labels and (time, value) samples, oldest first."""

    labels: Mapping[str, str]
    samples: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """Prometheus's answer to one range query, or why there is none (`error`). `warnings` mean that it is partial."""

    query: str
    grid: Grid
    series: tuple[Series, ...] = ()
    error: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SmokeResult:
    """What is known of a rollout's smoke test; `said` is shown to people.

    `none`: there is none (yet). `pending`: it runs, or has failed less often than it takes. `unanswered`: no answer.
    `guard` names what keeps a failure from being the rollout's own; empty where nothing does.
    """

    state: Literal["failed", "passed", "none", "pending", "unanswered"]
    said: str
    guard: str = ""


Outcome = Literal["Healthy", "Breached", "Unknown"]
Action = Literal["KeepWatching", "RollBack", "Hold", "Escalate"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The numbers behind a verdict: `observed` against `threshold`, since when, and the sentence that says so."""

    said: str
    observed: float | None = None
    threshold: float | None = None
    since: float | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check says of one rollout. `reason` is a name out of judge.REASONS; `guard` names what held a breach."""

    outcome: Outcome
    reason: str
    evidence: Evidence
    policy: Policy
    check: Check
    guard: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause in force: where it is set, until when (None: until removed), why; `flaw` where it can't be read."""

    where: str
    until: float | None = None
    reason: str = ""
    flaw: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one rollout, why (a name and a sentence), and the verdict that it rests on."""

    action: Action
    reason: str
    said: str
    rollout: Rollout
    verdict: Verdict | None = None
    verdicts: tuple[Verdict, ...] = ()
