"""The verbs of the embedded API server on its store, without HTTP: `http.py` and the controllers both call them."""

from __future__ import annotations

import copy
import random
import time
import uuid
from typing import Any

from watcher.sandbox.cluster import patches, refusal
from watcher.sandbox.cluster.defaults import fill_in
from watcher.sandbox.cluster.kinds import JOB, NAMESPACE, NODE, POD, Kind, Object
from watcher.sandbox.cluster.rules import check
from watcher.sandbox.cluster.store import Store

SAFE_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""What generated names are made of: no vowels, so no words."""

MUST_NAME_VERSION = frozenset({"Lease"})
"""Kinds whose PUT is refused without a resourceVersion."""

_KEPT = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
)


def timestamp(seconds: float) -> str:
    """Epoch seconds as Kubernetes writes them: RFC 3339, UTC, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Api:
    """Creates, replaces, patches and deletes objects; every method raises `Refusal` where a real server refuses.

    Objects that come back are the stored ones: not to be changed in place.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._random = random.Random(0)

    def generate(self, base: str) -> str:
        """`base` and five safe letters."""
        return base + "".join(self._random.choice(SAFE_LETTERS) for _ in range(5))

    def read(self, kind: Kind, namespace: str, name: str) -> Object:
        """The object; 404 where there is none."""
        found = self.store.get(kind, (namespace, name))
        if found is None:
            raise refusal.not_found(kind, name)
        return found

    def create(self, kind: Kind, namespace: str, body: Object) -> Object:
        """Store a new object; 409 where its name is taken, 403 where its namespace is being deleted."""
        item = self._own_copy(kind, namespace, body)
        metadata = item["metadata"]
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = self.generate(metadata["generateName"])
        for name in ("deletionTimestamp", "resourceVersion", "generation", "selfLink"):
            metadata.pop(name, None)
        metadata.update(uid=str(uuid.uuid4()), creationTimestamp=timestamp(time.time()))
        if kind.generation:
            metadata["generation"] = 1
        if kind.status and kind is not NODE:  # a kubelet registers itself with its status
            item.pop("status", None)
        fill_in(kind, item)
        check(kind, item, None)
        with self.store.lock:
            self._check_namespace(kind, namespace, metadata["name"])
            if self.store.get(kind, (namespace, metadata["name"])):
                raise refusal.already_exists(kind, metadata["name"])
            return self.store.put(kind, (namespace, metadata["name"]), item)

    def replace(self, kind: Kind, namespace: str, name: str, body: Object, *, status: bool = False) -> Object:
        """PUT: 409 where the body's resourceVersion or uid is not the stored one's. `status` writes only the status."""
        item = self._own_copy(kind, namespace, body)
        if item["metadata"].get("name", name) != name:
            raise refusal.bad_request(
                f"the name of the object ({item['metadata']['name']}) does not match the name on the URL ({name})"
            )
        if kind.name in MUST_NAME_VERSION and not item["metadata"].get("resourceVersion"):
            problem = "Invalid value: 0x0: must be specified for an update"
            raise refusal.invalid(kind, name, "metadata.resourceVersion", problem)
        with self.store.lock:
            return self._write(kind, self.read(kind, namespace, name), item, status=status)

    def patch(self, kind: Kind, where: tuple[str, str], form: str, change: Any, *, status: bool = False) -> Object:
        """PATCH the object at namespace and name `where`; `form` is the patch's media type."""
        with self.store.lock:
            before = self.read(kind, *where)
            if form == patches.JSON_PATCH:
                item = patches.json_patch(before, change)
            elif form in {patches.MERGE_PATCH, patches.STRATEGIC_MERGE_PATCH}:
                if not isinstance(change, dict):
                    raise refusal.bad_request("a merge patch must be a JSON object")
                merge = patches.merge_patch if form == patches.MERGE_PATCH else patches.strategic_merge_patch
                item = copy.deepcopy(merge(before, change))
            else:
                raise refusal.unsupported_media_type(
                    f"{patches.JSON_PATCH}, {patches.MERGE_PATCH}, {patches.STRATEGIC_MERGE_PATCH}"
                )
            if item.get("metadata", {}).get("name") != where[1]:
                raise refusal.bad_request("the name of the object does not match the name on the URL")
            return self._write(kind, before, self._own_copy(kind, where[0], item), status=status)

    def delete(self, kind: Kind, namespace: str, name: str, options: Object | None = None) -> Object:
        """DELETE with `DeleteOptions`; returns the object as it was last, or as it now is where it must linger."""
        options = options or {}
        with self.store.lock:
            item = self.read(kind, namespace, name)
            self._check_preconditions(kind, item, options.get("preconditions") or {})
            policy = options.get("propagationPolicy") or ("Orphan" if kind is JOB else "Background")
            if policy == "Orphan":
                self._orphan(item["metadata"]["uid"])
            grace = self._grace(kind, item, options)
            if grace is None and not item["metadata"].get("finalizers"):
                return self.store.remove(kind, (namespace, name))
            return self._mark_deleted(kind, item, grace or 0)

    def bind(self, namespace: str, name: str, node: str) -> None:
        """Assign a pod to a node; 409 where it has one."""
        with self.store.lock:
            pod = self.read(POD, namespace, name)
            if assigned := pod["spec"].get("nodeName"):
                why = f'pod {name} is already assigned to node "{assigned}"'
                raise refusal.conflict(POD, name, why)
            self.store.put(POD, (namespace, name), {**pod, "spec": {**pod["spec"], "nodeName": node}})

    def _write(self, kind: Kind, before: Object, item: Object, *, status: bool) -> Object:
        metadata, old = item["metadata"], before["metadata"]
        name = old["name"]
        if metadata.get("resourceVersion", "") not in {"", old["resourceVersion"]}:
            raise refusal.conflict(kind, name)
        if metadata.get("uid", old["uid"]) != old["uid"]:
            why = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {old['uid']}"
            raise refusal.conflict(kind, name, why)
        for field in _KEPT:
            metadata.pop(field, None)
            if field in old:
                metadata[field] = old[field]
        metadata["resourceVersion"] = old["resourceVersion"]
        if kind.status:
            self._keep_the_other_half(before, item, status=status)
        fill_in(kind, item)
        check(kind, item, before)
        if kind.generation and not status and _counts(before) != _counts(item):
            metadata["generation"] = old["generation"] + 1
        if item == before:
            return before
        key = (old.get("namespace", ""), name)
        stored = self.store.put(kind, key, item)
        lingers = metadata.get("finalizers") or kind is NAMESPACE or kind is POD
        return stored if lingers or "deletionTimestamp" not in metadata else self.store.remove(kind, key)

    def _keep_the_other_half(self, before: Object, item: Object, *, status: bool) -> None:
        """A write of the status leaves spec and labels alone, any other write the status."""
        if status:
            item["spec"] = before.get("spec", {})
            item["metadata"].pop("labels", None)
            if "labels" in before["metadata"]:
                item["metadata"]["labels"] = before["metadata"]["labels"]
        else:
            item["status"] = before["status"]

    def _own_copy(self, kind: Kind, namespace: str, body: Any) -> Object:
        if not isinstance(body, dict) or not isinstance(body.get("metadata", {}), dict):
            raise refusal.bad_request(f"the object provided is unrecognized (must be of type {kind.name})")
        found = body.get("apiVersion", kind.api_version), body.get("kind", kind.name)
        if found != (kind.api_version, kind.name):
            raise refusal.bad_request(f'{found[1]} in version "{found[0]}" cannot be handled as a {kind.name}')
        item: Object = {"kind": kind.name, "apiVersion": kind.api_version, **copy.deepcopy(body)}
        metadata = item.setdefault("metadata", {})
        if kind.namespaced:
            if metadata.setdefault("namespace", namespace) != namespace:
                raise refusal.bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
        else:
            metadata.pop("namespace", None)
        for name in [name for name in ("labels", "annotations", "finalizers", "ownerReferences") if name in metadata]:
            if not metadata[name]:
                del metadata[name]
        return item

    def _check_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        if not kind.namespaced:
            return
        found = self.read(NAMESPACE, "", namespace)
        if "deletionTimestamp" in found["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
            message = f'{kind.resource} "{name}" is forbidden: {why}'
            raise refusal.Refusal(403, "Forbidden", message, refusal.about(kind, name, causes=[cause]))

    def _check_preconditions(self, kind: Kind, item: Object, wanted: Object) -> None:
        for field, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            found = item["metadata"][field]
            if wanted.get(field, found) != found:
                why = (
                    f"the {label} in the precondition ({wanted[field]}) does not match the {label} in record ({found})"
                )
                raise refusal.conflict(kind, item["metadata"]["name"], why)

    def _grace(self, kind: Kind, item: Object, options: Object) -> int | None:
        """For how many seconds it lingers until whoever is in charge of it removes it; None to remove it now."""
        if kind is NAMESPACE:
            return 0
        waiting = (
            kind is POD and item["spec"].get("nodeName") and item["status"]["phase"] not in {"Succeeded", "Failed"}
        )
        grace = options.get("gracePeriodSeconds", item["spec"]["terminationGracePeriodSeconds"]) if waiting else 0
        return int(grace) or None

    def _mark_deleted(self, kind: Kind, item: Object, grace: int) -> Object:
        if "deletionTimestamp" in item["metadata"]:
            return item
        metadata = {**item["metadata"], "deletionTimestamp": timestamp(time.time() + grace)}
        marked = {**item, "metadata": metadata}
        if kind is NAMESPACE:
            marked["status"] = {**item["status"], "phase": "Terminating"}
        else:
            metadata["deletionGracePeriodSeconds"] = grace
            if "generation" in metadata:
                metadata["generation"] += 1
        return self.store.put(kind, (metadata.get("namespace", ""), metadata["name"]), marked)

    def _orphan(self, uid: str) -> None:
        for kind, key, item in self.store.owned(uid):
            rest = [owner for owner in item["metadata"]["ownerReferences"] if owner["uid"] != uid]
            self.store.put(kind, key, {**item, "metadata": {**item["metadata"], "ownerReferences": rest}})


def _counts(item: Object) -> tuple[Any, Any]:
    """What raises the generation: the spec, and, of Deployments, the annotations."""
    return item["spec"], item["metadata"].get("annotations") if item["kind"] == "Deployment" else None
