"""The ReplicaSet controller: as many pods as `spec.replicas` says, and a status that counts them."""

from __future__ import annotations

import calendar
import time

from watcher.sandbox.cluster.api import Api
from watcher.sandbox.cluster.kinds import POD, REPLICA_SET, Kind, Object


def controller_reference(kind: Kind, owner: Object) -> Object:
    """The owner reference that makes `owner` the controller of an object."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def pod_from(kind: Kind, owner: Object, name: str) -> Object:
    """A new pod from the template of its owner."""
    template = owner["spec"]["template"]
    metadata: Object = {
        **{part: template["metadata"][part] for part in ("labels", "annotations") if part in template["metadata"]},
        "name": name,
        "generateName": f"{owner['metadata']['name']}-",
        "ownerReferences": [controller_reference(kind, owner)],
    }
    return {"metadata": metadata, "spec": template["spec"]}


def seconds_of(timestamp: str) -> float:
    """Epoch seconds of a Kubernetes timestamp."""
    return float(calendar.timegm(time.strptime(timestamp, "%Y-%m-%dT%H:%M:%SZ")))


def ready_since(pod: Object) -> float | None:
    """Since when a pod is ready, in epoch seconds; None if it isn't."""
    for condition in pod["status"].get("conditions") or ():
        if condition["type"] == "Ready" and condition["status"] == "True":
            return seconds_of(condition.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"])
    return None


def active_pods(api: Api, owner: Object) -> list[Object]:
    """The owner's pods that are neither finished nor being deleted."""
    pods = [item for kind, _, item in api.store.owned(owner["metadata"]["uid"]) if kind is POD]
    return [
        pod
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") not in {"Succeeded", "Failed"}
    ]


class ReplicaSetController:
    """Creates and deletes pods; the pods that are deleted first are those that would be missed least."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def reconcile(self, replica_set: Object) -> float | None:
        """One look at a ReplicaSet; returns when a pod will have been ready for `minReadySeconds`."""
        metadata = replica_set["metadata"]
        pods = active_pods(self._api, replica_set)
        if "deletionTimestamp" not in metadata:
            missing = replica_set["spec"]["replicas"] - len(pods)
            for _ in range(missing):
                name = self._api.generate(f"{metadata['name']}-")
                self._api.create(POD, metadata["namespace"], pod_from(REPLICA_SET, replica_set, name))
            for pod in sorted(pods, key=_missed)[: max(-missing, 0)]:
                self._api.delete(POD, metadata["namespace"], pod["metadata"]["name"])
        return self._report(replica_set)

    def _report(self, replica_set: Object) -> float | None:
        metadata, spec = replica_set["metadata"], replica_set["spec"]
        since = [ready_since(pod) for pod in active_pods(self._api, replica_set)]
        ready = [one for one in since if one is not None]
        waits = [max(one + spec.get("minReadySeconds", 0) - time.time(), 0.0) for one in ready]
        counts = {
            "fullyLabeledReplicas": len(since),
            "readyReplicas": len(ready),
            "availableReplicas": sum(wait <= 0 for wait in waits),
        }
        status = {
            "replicas": len(since),
            **{name: count for name, count in counts.items() if count},
            "observedGeneration": metadata["generation"],
        }
        body = {**replica_set, "status": status}
        self._api.replace(REPLICA_SET, metadata["namespace"], metadata["name"], body, status=True)
        return min((wait for wait in waits if wait > 0), default=None)


def _missed(pod: Object) -> tuple[bool, bool, bool, float, float]:
    """Orders pods by how little they would be missed: unassigned, pending, not ready, lately ready, lately created."""
    since = ready_since(pod)
    return (
        bool(pod["spec"].get("nodeName")),
        pod["status"].get("phase") == "Running",
        since is not None,
        -(since or 0.0),
        -seconds_of(pod["metadata"]["creationTimestamp"]),
    )
