"""The Deployment controller: revisions, ReplicaSets and rolling updates as a real one does them.

`rolling.py` holds the arithmetic, `conditions.py` the status.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from watcher.sandbox.cluster.api import SAFE_LETTERS, Api
from watcher.sandbox.cluster.conditions import RolloutStatus
from watcher.sandbox.cluster.kinds import DEPLOYMENT, POD, REPLICA_SET, Object
from watcher.sandbox.cluster.replicasets import controller_reference
from watcher.sandbox.cluster.rolling import (
    by_age,
    counted,
    limits,
    new_size,
    old_sizes,
    proportional_sizes,
)

HASH_LABEL = "pod-template-hash"
PREFIX = "deployment.kubernetes.io/"
REVISION, HISTORY = f"{PREFIX}revision", f"{PREFIX}revision-history"
DESIRED, MAXIMUM = f"{PREFIX}desired-replicas", f"{PREFIX}max-replicas"
NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        HISTORY,
        DESIRED,
        MAXIMUM,
        "deprecated.deployment.rollback.to",
    }
)
LONGEST_HISTORY = 2000


@dataclass(frozen=True)
class Family:
    """A Deployment with its ReplicaSets; `new` is the one with the Deployment's template, None before it exists."""

    deployment: Object
    new: Object | None
    old: tuple[Object, ...]

    @property
    def everyone(self) -> list[Object]:
        """All of its ReplicaSets."""
        return [*self.old, *([self.new] if self.new else [])]


def template_hash(template: Object) -> str:
    """The value of `pod-template-hash`: equal templates have equal hashes."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(SAFE_LETTERS[byte % len(SAFE_LETTERS)] for byte in digest[:9])


def revision_of(item: Object) -> int:
    """The revision in an object's annotations, 0 where there is none."""
    text = (item["metadata"].get("annotations") or {}).get(REVISION, "")
    return int(text) if text.isdigit() else 0


def same_template(one: Object, other: Object) -> bool:
    """Whether two pod templates are equal but for `pod-template-hash`."""
    return _without_hash(one) == _without_hash(other)


class DeploymentController:
    """Brings a Deployment's ReplicaSets in line with it, one step at each look."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def reconcile(self, deployment: Object) -> float | None:
        """One look at a Deployment; returns when its `progressDeadlineSeconds` will be over."""
        if "deletionTimestamp" in deployment["metadata"]:
            return None
        paused = bool(deployment["spec"].get("paused"))
        family = self._family(deployment)
        family = self._revise(family, create=not paused)
        if paused or self._is_scaled(family):
            self._scale_in_place(family)
        elif family.new:
            self._roll(family, family.new)
        family = self._family(self._api.read(DEPLOYMENT, *_key(deployment)))
        if not paused:
            self._clean_up(family)
        return self._report(family)

    def _family(self, deployment: Object) -> Family:
        owned = self._api.store.owned(deployment["metadata"]["uid"])
        replica_sets = by_age([item for kind, _, item in owned if kind is REPLICA_SET])
        template = deployment["spec"]["template"]
        new = next((one for one in replica_sets if same_template(one["spec"]["template"], template)), None)
        return Family(deployment, new, tuple(one for one in replica_sets if one is not new))

    def _revise(self, family: Family, *, create: bool) -> Family:
        """Make sure that the new ReplicaSet exists and has the highest revision, and that the Deployment shows it."""
        deployment = family.deployment
        revision = 1 + max(map(revision_of, family.old), default=0)
        if family.new:
            new = self._write(family.new, annotations=_annotations(deployment, family.new, revision))
        elif create:
            new = self._create(family, revision)
        else:
            return family
        shown = {**(deployment["metadata"].get("annotations") or {}), REVISION: str(revision_of(new))}
        status = RolloutStatus(deployment).found(new, created=family.new is None)
        changed = {**deployment, "metadata": {**deployment["metadata"], "annotations": shown}, "status": status}
        deployment = self._api.replace(DEPLOYMENT, *_key(deployment), changed, status=True)
        return Family(deployment, new, family.old)

    def _create(self, family: Family, revision: int) -> Object:
        deployment, spec = family.deployment, family.deployment["spec"]
        label = {HASH_LABEL: template_hash(spec["template"])}
        metadata = spec["template"]["metadata"]
        template = {**spec["template"], "metadata": {**metadata, "labels": {**metadata["labels"], **label}}}
        selector = {**spec["selector"], "matchLabels": {**(spec["selector"].get("matchLabels") or {}), **label}}
        new: Object = {
            "metadata": {
                "name": f"{deployment['metadata']['name']}-{label[HASH_LABEL]}",
                "labels": template["metadata"]["labels"],
                "ownerReferences": [controller_reference(DEPLOYMENT, deployment)],
            },
            "spec": {"replicas": 0, "selector": selector, "template": template},
        }
        if spec.get("minReadySeconds"):
            new["spec"]["minReadySeconds"] = spec["minReadySeconds"]
        if spec["strategy"]["type"] == "RollingUpdate":
            new["spec"]["replicas"] = new_size(spec, new, [*family.old, new])
        sizes = {DESIRED: str(spec["replicas"]), MAXIMUM: str(spec["replicas"] + limits(spec)[0])}
        new["metadata"]["annotations"] = {**_annotations(deployment, new, revision), **sizes}
        return self._api.create(REPLICA_SET, deployment["metadata"]["namespace"], new)

    def _is_scaled(self, family: Family) -> bool:
        """Whether `spec.replicas` was changed since the active ReplicaSets were last scaled."""
        active = [one for one in family.everyone if one["spec"]["replicas"]]
        wanted = str(family.deployment["spec"]["replicas"])
        shown = [(one["metadata"].get("annotations") or {}).get(DESIRED, wanted) for one in active]
        return any(one != wanted for one in shown)

    def _scale_in_place(self, family: Family) -> None:
        """Follow a change of `spec.replicas` without moving the rollout on."""
        spec = family.deployment["spec"]
        active = [one for one in by_age(family.everyone) if one["spec"]["replicas"]]
        if not active:
            active = by_age(family.everyone)[-1:] if family.new is None else [family.new]
        if len(active) == 1:
            sizes = {active[0]["metadata"]["name"]: spec["replicas"]}
        elif family.new and counted([family.new], "availableReplicas") == spec["replicas"]:
            sizes = {one["metadata"]["name"]: 0 for one in family.old}
        elif active and self._is_scaled(family):
            sizes = proportional_sizes(spec, active)
        else:
            return
        for one in family.everyone:
            if one["metadata"]["name"] in sizes:
                self._scale(family.deployment, one, sizes[one["metadata"]["name"]])

    def _roll(self, family: Family, new: Object) -> None:
        """One step of the rollout: the new ReplicaSet grows if it may, else the old ones shrink if they may."""
        spec = family.deployment["spec"]
        if spec["strategy"]["type"] == "Recreate":
            for one in family.old:
                self._scale(family.deployment, one, 0)
            if not any(self._has_pods(one) for one in family.old):
                self._scale(family.deployment, new, spec["replicas"])
            return
        size = new_size(spec, new, family.everyone)
        if size != new["spec"]["replicas"]:
            self._scale(family.deployment, new, size)
            return
        sizes = old_sizes(spec, new, family.old)
        for one in family.old:
            if one["metadata"]["name"] in sizes:
                self._scale(family.deployment, one, sizes[one["metadata"]["name"]])

    def _has_pods(self, replica_set: Object) -> bool:
        """Whether any of its pods is still there, if only to be ended."""
        owned = self._api.store.owned(replica_set["metadata"]["uid"])
        return any(
            kind is POD and item["status"].get("phase") not in {"Succeeded", "Failed"} for kind, _, item in owned
        )

    def _scale(self, deployment: Object, replica_set: Object, size: int) -> None:
        spec = deployment["spec"]
        annotations = {
            **(replica_set["metadata"].get("annotations") or {}),
            DESIRED: str(spec["replicas"]),
            MAXIMUM: str(spec["replicas"] + limits(spec)[0]),
        }
        self._write(replica_set, annotations=annotations, replicas=size)

    def _write(self, replica_set: Object, *, annotations: Object, replicas: int | None = None) -> Object:
        spec = replica_set["spec"] if replicas is None else {**replica_set["spec"], "replicas": replicas}
        changed = {**replica_set, "metadata": {**replica_set["metadata"], "annotations": annotations}, "spec": spec}
        return self._api.replace(REPLICA_SET, *_key(replica_set), changed)

    def _clean_up(self, family: Family) -> None:
        """Delete the oldest ReplicaSets beyond `revisionHistoryLimit`, once the rollout is over."""
        if not RolloutStatus(family.deployment).is_complete(family.everyone, family.new):
            return
        idle = [one for one in family.old if not one["spec"]["replicas"] and not one["status"].get("replicas")]
        surplus = len(idle) - family.deployment["spec"]["revisionHistoryLimit"]
        for one in sorted(idle, key=revision_of)[: max(surplus, 0)]:
            self._api.delete(REPLICA_SET, *_key(one))

    def _report(self, family: Family) -> float | None:
        deployment = family.deployment
        status, again = RolloutStatus(deployment).report(family.everyone, family.new)
        self._api.replace(DEPLOYMENT, *_key(deployment), {**deployment, "status": status}, status=True)
        return again


def _annotations(deployment: Object, replica_set: Object, revision: int) -> Object:
    """The new ReplicaSet's annotations: the Deployment's are added, and a higher revision than it had is noted."""
    present: Object = replica_set["metadata"].get("annotations") or {}
    copied = (deployment["metadata"].get("annotations") or {}).items()
    annotations = {**present, **{key: value for key, value in copied if key not in NOT_COPIED}}
    if revision_of(replica_set) < revision:
        annotations[REVISION] = str(revision)
        if REVISION in present:
            history = [*filter(None, present.get(HISTORY, "").split(",")), present[REVISION]]
            while len(",".join(history)) > LONGEST_HISTORY:
                history.pop(0)
            annotations[HISTORY] = ",".join(history)
    return annotations


def _without_hash(template: Object) -> Object:
    metadata = dict(template["metadata"])
    labels = {key: value for key, value in (metadata.pop("labels", None) or {}).items() if key != HASH_LABEL}
    metadata.pop("creationTimestamp", None)
    return {**template, "metadata": {**metadata, "labels": labels}}


def _key(item: Object) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]
