"""A Deployment's status: counts, and the conditions that `kubectl rollout status` reads."""

from __future__ import annotations

import time
from collections.abc import Sequence

from watcher.sandbox.cluster.api import timestamp
from watcher.sandbox.cluster.kinds import Object
from watcher.sandbox.cluster.replicasets import seconds_of
from watcher.sandbox.cluster.rolling import counted, limits, spec_replicas

COMPLETE = "NewReplicaSetAvailable"
LATE = "ProgressDeadlineExceeded"


class RolloutStatus:
    """Works out the next status of a Deployment from its present one and from its ReplicaSets."""

    def __init__(self, deployment: Object) -> None:
        self._deployment = deployment
        self._spec: Object = deployment["spec"]
        self._status: Object = deployment.get("status") or {}
        self._now = time.time()

    def found(self, new: Object, *, created: bool) -> Object:
        """The status once the new ReplicaSet is known: the start of its progress, where it was just created."""
        name = new["metadata"]["name"]
        conditions = self._conditions()
        if created:
            self._set(conditions, "Progressing", ("True", "NewReplicaSetCreated"), f'Created new replica set "{name}"')
        elif "Progressing" not in conditions:
            self._set(conditions, "Progressing", ("True", "FoundNewReplicaSet"), f'Found new replica set "{name}"')
        return {**self._status, "conditions": list(conditions.values())}

    def is_complete(self, everyone: Sequence[Object], new: Object | None) -> bool:
        """Whether all pods are of the new revision and available."""
        return self._complete(self._counts(everyone, new))

    def report(self, everyone: Sequence[Object], new: Object | None) -> tuple[Object, float | None]:
        """The next status, and after how many seconds the rollout would be late."""
        counts = self._counts(everyone, new)
        conditions = self._conditions()
        enough = counts["availableReplicas"] >= self._spec["replicas"] - limits(self._spec)[1]
        has = "has" if enough else "does not have"
        reason = "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable"
        self._set(conditions, "Available", (str(enough), reason), f"Deployment {has} minimum availability.")
        if self._spec.get("paused"):
            self._set(conditions, "Progressing", ("Unknown", "DeploymentPaused"), "Deployment is paused")
        elif conditions.get("Progressing", {}).get("reason") == "DeploymentPaused":
            self._set(conditions, "Progressing", ("Unknown", "DeploymentResumed"), "Deployment is resumed")
        again = None if self._spec.get("paused") else self._progress(conditions, counts, new)
        status = {name: count for name, count in counts.items() if count}
        return {**status, "conditions": list(conditions.values())}, again

    def _progress(self, conditions: dict[str, Object], counts: dict[str, int], new: Object | None) -> float | None:
        present = conditions.get("Progressing", {})
        name = new["metadata"]["name"] if new else self._deployment["metadata"]["name"]
        if counts["replicas"] == counts["updatedReplicas"] and present.get("reason") == COMPLETE:
            return None
        if self._complete(counts):
            text = f'ReplicaSet "{name}" has successfully progressed.'
            self._set(conditions, "Progressing", ("True", COMPLETE), text)
            return None
        if self._moves(counts):
            since = present.get("lastTransitionTime") if present.get("status") == "True" else None
            conditions.pop("Progressing", None)
            self._set(conditions, "Progressing", ("True", "ReplicaSetUpdated"), f'ReplicaSet "{name}" is progressing.')
            if since:
                conditions["Progressing"]["lastTransitionTime"] = since
            present = conditions["Progressing"]
        elif present.get("reason") in {None, LATE}:
            return None
        left = seconds_of(present["lastUpdateTime"]) + self._spec["progressDeadlineSeconds"] - self._now
        if left > 0 or present.get("reason") == COMPLETE:
            return max(left, 0.0) or None
        self._set(conditions, "Progressing", ("False", LATE), f'ReplicaSet "{name}" has timed out progressing.')
        return None

    def _counts(self, everyone: Sequence[Object], new: Object | None) -> dict[str, int]:
        available = counted(everyone, "availableReplicas")
        return {
            "observedGeneration": self._deployment["metadata"]["generation"],
            "replicas": counted(everyone, "replicas"),
            "updatedReplicas": counted([new] if new else [], "replicas"),
            "readyReplicas": counted(everyone, "readyReplicas"),
            "availableReplicas": available,
            "unavailableReplicas": max(spec_replicas(everyone) - available, 0),
        }

    def _complete(self, counts: dict[str, int]) -> bool:
        wanted = self._spec["replicas"]
        return all(counts[name] == wanted for name in ("updatedReplicas", "replicas", "availableReplicas"))

    def _moves(self, counts: dict[str, int]) -> bool:
        """Whether the rollout has come further since the status was last written."""
        before = {name: self._status.get(name, 0) for name in counts}
        old, old_before = (one["replicas"] - one["updatedReplicas"] for one in (counts, before))
        grown = any(counts[name] > before[name] for name in ("updatedReplicas", "readyReplicas", "availableReplicas"))
        return grown or old < old_before

    def _conditions(self) -> dict[str, Object]:
        return {one["type"]: one for one in self._status.get("conditions") or ()}

    def _set(self, conditions: dict[str, Object], kind: str, said: tuple[str, str], message: str) -> None:
        """Set a condition to a status and reason; one that has both already keeps its times."""
        present = conditions.pop(kind, {})
        status, reason = said
        if (present.get("status"), present.get("reason")) == said:
            conditions[kind] = present
            return
        now = timestamp(self._now)
        conditions[kind] = {
            "type": kind,
            "status": status,
            "lastUpdateTime": now,
            "lastTransitionTime": present["lastTransitionTime"] if present.get("status") == status else now,
            "reason": reason,
            "message": message,
        }
