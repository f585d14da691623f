"""The policy as values: what `policy.loading` makes of a file, and all that `judgement` sees of it.

Frozen dataclasses of the standard library alone, so that the pure core needs nothing else. Durations are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PREFIX = "canary-watch.io/"

# On the pod template, by people or their delivery pipeline: the migration that this revision expects, and whether it
# can be taken back ("true" or "false").
SCHEMA_VERSION = PREFIX + "schema-version"
SCHEMA_REVERSIBLE = PREFIX + "schema-reversible"

# Prometheus answers at most so many points for each series: https://prometheus.io/docs/prometheus/latest/querying/api/
MOST_POINTS = 11_000


@dataclass(frozen=True, slots=True)
class Threshold:
    """`above`: a number in the query's own unit (a ratio as 0.01, a time in seconds), or an annotation that holds it.

    `value` is the fixed number, or the default where `annotation` is named but not on the Deployment; None: no default.
    `written` is the text of the policy ("1%", "500ms"), for messages. `unit` is how numbers are shown.
    """

    value: float | None
    written: str
    unit: Literal["ratio", "seconds", "number"]
    annotation: str | None = None


@dataclass(frozen=True, slots=True)
class Labels:
    """Which labels of a metric name the namespace, the Deployment and the pod."""

    namespace: str = "namespace"
    deployment: str = "deployment"
    pod: str = "pod"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Two counts: `bad` out of `total`. `per_pod`: the series carry a pod and are summed by revision."""

    bad: str
    total: str
    per_pod: bool
    labels: Labels = Labels()
    least_total: float = 0.0
    least_bad: float = 0.0


@dataclass(frozen=True, slots=True)
class Value:
    """One number for each Deployment, already in the threshold's unit."""

    query: str
    labels: Labels = Labels()


@dataclass(frozen=True, slots=True)
class SmokeJob:
    """A Job with this label, whose value is the Deployment's name; it counts if created after the rollout's start."""

    label: str = PREFIX + "smoke-test-for"


@dataclass(frozen=True, slots=True)
class SmokeProbe:
    """A GET of `url` ($namespace and $deployment filled in) that fails when it answers anything but `status`.

    `failures` in a row are a breach. No answer at all is Unknown and neither counts nor ends a run:
    it may be this daemon's own network.
    """

    url: str
    failures: int
    status: int
    timeout: float

    def address(self, namespace: str, deployment: str) -> str:
        """Give the URL to ask for a Deployment."""
        return self.url.replace("$namespace", namespace).replace("$deployment", deployment)


@dataclass(frozen=True, slots=True)
class Check:
    """One question to a rollout. `threshold` and `hold_for` (the policy's `for`, seconds) are void for smoke tests."""

    name: str
    kind: Ratio | Value | SmokeJob | SmokeProbe
    threshold: Threshold | None = None
    hold_for: float = 0.0
    control: Literal["none", "previous-revision"] = "none"


@dataclass(frozen=True, slots=True)
class SchemaQuery:
    """Where a schema's version is in a database: `dsn_file` is a path, `empty` the version that no row means."""

    dsn_file: str
    query: str
    parameters: tuple[str, ...] = ()
    empty: str = ""


@dataclass(frozen=True, slots=True)
class Migrations:
    """How a release's migration is found out and taken back; see the policy file's format for each.

    `version` None: known by the pod template's `annotation` alone. `plan` empty: nothing can be asked beforehand.
    """

    version: SchemaQuery | None
    command: tuple[str, ...]
    plan: tuple[str, ...] = ()
    annotation: str = SCHEMA_VERSION
    container: str = ""
    init_containers: tuple[str, ...] = ()
    timeout: float = 600.0
    order: Literal["before", "after"] = "after"
    irreversible: Literal["hold", "revert"] = "hold"


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy file. `source` is its path, for messages; `rollback_to` a fixed target's number, 0 for none."""

    name: str
    source: str
    namespaces: tuple[str, ...]
    watch_for: float
    checks: tuple[Check, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    verify_within: float = 600.0
    rollback_to: int = 0
    no_earlier_revision: Literal["escalate", "scale-to-zero"] = "escalate"
    migrations: Migrations | None = None

    def matches(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Say whether a Deployment in `namespace` with `labels` is this policy's; `*` in namespaces matches all."""
        if "*" not in self.namespaces and namespace not in self.namespaces:
            return False
        return all(labels.get(key) == value for key, value in self.labels.items())
