"""The Job controller: pods until enough have succeeded or too many have failed."""

from __future__ import annotations

import time

from watcher.sandbox.cluster.api import Api, timestamp
from watcher.sandbox.cluster.kinds import JOB, POD, Object
from watcher.sandbox.cluster.replicasets import active_pods, pod_from, seconds_of


class JobController:
    """Runs `spec.completions` pods, `spec.parallelism` at a time; retries at once, where a real cluster backs off."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def reconcile(self, job: Object) -> float | None:
        """One look at a Job; returns when its `activeDeadlineSeconds` will be over."""
        metadata, spec, status = job["metadata"], job["spec"], job["status"]
        if "deletionTimestamp" in metadata or status.get("conditions") or spec.get("suspend"):
            return None
        pods = [item for kind, _, item in self._api.store.owned(metadata["uid"]) if kind is POD]
        active = active_pods(self._api, job)
        phases = [pod["status"].get("phase") for pod in pods]
        succeeded, failed = phases.count("Succeeded"), phases.count("Failed")
        started = status.get("startTime") or timestamp(time.time())
        left = (
            seconds_of(started) + spec["activeDeadlineSeconds"] - time.time()
            if "activeDeadlineSeconds" in spec
            else None
        )
        condition = _condition(spec, succeeded, failed, left)
        if condition:
            for pod in active:
                self._api.delete(POD, metadata["namespace"], pod["metadata"]["name"])
            active = []
        else:
            wanted = min(spec["parallelism"], spec["completions"] - succeeded)
            for _ in range(wanted - len(active)):
                name = self._api.generate(f"{metadata['name']}-")
                active.append(self._api.create(POD, metadata["namespace"], pod_from(JOB, job, name)))
        counts = {"active": len(active), "succeeded": succeeded, "failed": failed}
        report: Object = {"startTime": started, **{name: count for name, count in counts.items() if count}}
        if condition:
            report["conditions"] = [condition]
            if condition["type"] == "Complete":
                report["completionTime"] = timestamp(time.time())
        self._api.replace(JOB, metadata["namespace"], metadata["name"], {**job, "status": report}, status=True)
        return max(left, 0.0) if left is not None and not condition else None


def _condition(spec: Object, succeeded: int, failed: int, left: float | None) -> Object | None:
    """The condition of a Job that is over, None while it isn't."""
    if succeeded >= spec["completions"]:
        ended = {"type": "Complete"}
    elif failed > spec["backoffLimit"]:
        message = "Job has reached the specified backoff limit"
        ended = {"type": "Failed", "reason": "BackoffLimitExceeded", "message": message}
    elif left is not None and left <= 0:
        message = "Job was active longer than specified deadline"
        ended = {"type": "Failed", "reason": "DeadlineExceeded", "message": message}
    else:
        return None
    now = timestamp(time.time())
    return {**ended, "status": "True", "lastProbeTime": now, "lastTransitionTime": now}
