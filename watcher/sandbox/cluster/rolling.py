"""The arithmetic of a rolling update: how far each ReplicaSet may be scaled now. Pure; `deployments.py` acts on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from watcher.sandbox.cluster.kinds import Object


def by_age(replica_sets: Sequence[Object]) -> list[Object]:
    """The oldest first."""
    return sorted(replica_sets, key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["name"]))


def spec_replicas(replica_sets: Sequence[Object]) -> int:
    """How many pods they are to have."""
    return sum(one["spec"]["replicas"] for one in replica_sets)


def counted(replica_sets: Sequence[Object], name: str) -> int:
    """The sum of a count in their status."""
    return sum(one["status"].get(name, 0) for one in replica_sets)


def limits(spec: Object) -> tuple[int, int]:
    """A Deployment's `maxSurge` and `maxUnavailable` in pods: a percentage of the one rounds up, of the other down."""
    if spec["strategy"]["type"] != "RollingUpdate" or not spec["replicas"]:
        return 0, 0
    rolling = spec["strategy"]["rollingUpdate"]
    surge = _pods(rolling["maxSurge"], spec["replicas"], math.ceil)
    unavailable = _pods(rolling["maxUnavailable"], spec["replicas"], math.floor)
    return surge, min(unavailable, spec["replicas"]) if surge or unavailable else 1


def _pods(value: Any, replicas: int, rounded: Any) -> int:
    if isinstance(value, str):
        return int(rounded(int(value.rstrip("%")) * replicas / 100))
    return int(value)


def new_size(spec: Object, new: Object, everyone: Sequence[Object]) -> int:
    """The size that the new ReplicaSet may have now: as many more pods as `maxSurge` leaves room for."""
    size, wanted = new["spec"]["replicas"], spec["replicas"]
    if size >= wanted or spec["strategy"]["type"] == "Recreate":
        return int(wanted)
    room = wanted + limits(spec)[0] - spec_replicas(everyone)
    return int(size + max(min(room, wanted - size), 0))


def old_sizes(spec: Object, new: Object, old: Sequence[Object]) -> dict[str, int]:
    """The sizes, by name, of the old ReplicaSets that may shrink now: pods that aren't available go first."""
    everyone = [*old, new]
    must_stay = spec["replicas"] - limits(spec)[1]
    starting = new["spec"]["replicas"] - new["status"].get("availableReplicas", 0)
    spare = spec_replicas(everyone) - must_stay - starting
    sizes = {one["metadata"]["name"]: int(one["spec"]["replicas"]) for one in by_age(old)}
    if spare <= 0:
        return {}
    for one in by_age(old):
        name = one["metadata"]["name"]
        broken = max(sizes[name] - one["status"].get("availableReplicas", 0), 0)
        gone = min(spare, broken)
        sizes[name] -= gone
        spare -= gone
    spare = counted(everyone, "availableReplicas") - must_stay
    for name, size in sizes.items():
        gone = max(min(spare, size), 0)
        sizes[name] -= gone
        spare -= gone
    before = {one["metadata"]["name"]: one["spec"]["replicas"] for one in old}
    return {name: size for name, size in sizes.items() if size != before[name]}


def proportional_sizes(spec: Object, active: Sequence[Object]) -> dict[str, int]:
    """The sizes, by name, of several active ReplicaSets when the Deployment is scaled in the middle of a rollout.

    Each keeps its share; what rounding leaves over goes to the largest.
    """
    surge = limits(spec)[0]
    allowed = spec["replicas"] + surge if spec["replicas"] else 0
    total = spec_replicas(active)
    largest = sorted(active, key=lambda one: (-one["spec"]["replicas"], one["metadata"]["creationTimestamp"]))
    sizes = {one["metadata"]["name"]: one["spec"]["replicas"] * allowed // total for one in largest}
    sizes[largest[0]["metadata"]["name"]] += allowed - sum(sizes.values())
    return sizes
