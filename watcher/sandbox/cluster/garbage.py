"""What goes when something else has gone: owned objects, and everything in a namespace that is being deleted."""

from __future__ import annotations

from watcher.sandbox.cluster.api import Api
from watcher.sandbox.cluster.kinds import KINDS, NAMESPACE, Object


def collect(api: Api, gone: Object) -> None:
    """Delete the objects that were owned by the removed object and have no other owner."""
    for kind, (namespace, name), item in api.store.owned(gone["metadata"]["uid"]):
        owners = item["metadata"]["ownerReferences"]
        if all(owner["uid"] == gone["metadata"]["uid"] for owner in owners):
            api.delete(kind, namespace, name, {"propagationPolicy": "Background"})


def finish_namespace(api: Api, namespace: Object) -> None:
    """Empty a namespace that is being deleted, and remove it once nothing is left in it.

    Pods that run on a node are only marked: the node removes them, and the namespace is looked at again.
    """
    if "deletionTimestamp" not in namespace["metadata"]:
        return
    name, left = namespace["metadata"]["name"], 0
    for kind in KINDS:
        for key, item in api.store.all(kind).items():
            if not kind.namespaced or key[0] != name:
                continue
            if "deletionTimestamp" not in item["metadata"]:
                api.delete(kind, *key, {"propagationPolicy": "Background"})
            left += api.store.get(kind, key) is not None
    if not left:
        api.store.remove(NAMESPACE, ("", name))
