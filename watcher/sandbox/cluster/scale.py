"""The `scale` subresource, which `kubectl scale` and autoscalers use: an object's replicas under a shape of its own."""

from __future__ import annotations

from typing import Any

from watcher.sandbox.cluster.api import Api
from watcher.sandbox.cluster.kinds import Kind, Object
from watcher.sandbox.cluster.patches import MERGE_PATCH
from watcher.sandbox.cluster.refusal import bad_request


def read_scale(item: Object) -> Object:
    """The Scale of a Deployment or ReplicaSet."""
    metadata = item["metadata"]
    shared = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    selector = ",".join(f"{key}={value}" for key, value in (item["spec"]["selector"].get("matchLabels") or {}).items())
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in shared},
        "spec": {"replicas": item["spec"]["replicas"]},
        "status": {"replicas": item["status"].get("replicas", 0), "selector": selector},
    }


def write_scale(api: Api, kind: Kind, where: tuple[str, str], body: Any) -> Object:
    """Set the replicas of the object at namespace and name `where`; `body` is a Scale, or a merge patch of one."""
    try:
        change: Object = {"spec": {"replicas": body["spec"]["replicas"]}}
        if version := body.get("metadata", {}).get("resourceVersion"):
            change["metadata"] = {"resourceVersion": version}
    except (TypeError, KeyError, AttributeError) as error:
        raise bad_request("a Scale needs spec.replicas") from error
    return read_scale(api.patch(kind, where, MERGE_PATCH, change))
