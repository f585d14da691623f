"""The kinds that the embedded cluster serves, and the discovery documents that tell clients about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""A Kubernetes object as raw JSON. One that has been stored is never changed in place: copy it first."""

Key = tuple[str, str]
"""Namespace ("" for kinds without one) and name."""

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Kind:
    """One kind of object. `generation` says that a change of its spec raises `metadata.generation`."""

    group: str
    plural: str
    name: str
    short: tuple[str, ...] = ()
    namespaced: bool = True
    status: bool = False
    generation: bool = False
    fields: tuple[str, ...] = ()
    """Field selectors beyond metadata.name and metadata.namespace."""

    @property
    def api_version(self) -> str:
        """As objects carry it; every group is served as v1."""
        return f"{self.group}/v1" if self.group else "v1"

    @property
    def resource(self) -> str:
        """As messages name it: `deployments.apps`, `pods`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified(self) -> str:
        """As messages about invalid objects name it: `Deployment.apps`, `Pod`."""
        return f"{self.name}.{self.group}" if self.group else self.name


NAMESPACE = Kind("", "namespaces", "Namespace", ("ns",), namespaced=False, status=True, fields=("status.phase",))
POD = Kind("", "pods", "Pod", ("po",), status=True, fields=("status.phase", "spec.nodeName", "status.podIP"))
NODE = Kind("", "nodes", "Node", ("no",), namespaced=False, status=True)
CONFIG_MAP = Kind("", "configmaps", "ConfigMap", ("cm",))
EVENT = Kind("", "events", "Event", ("ev",), fields=("involvedObject.name", "involvedObject.kind", "reason", "type"))
DEPLOYMENT = Kind("apps", "deployments", "Deployment", ("deploy",), status=True, generation=True)
REPLICA_SET = Kind("apps", "replicasets", "ReplicaSet", ("rs",), status=True, generation=True)
JOB = Kind("batch", "jobs", "Job", status=True, fields=("status.successful",))
LEASE = Kind("coordination.k8s.io", "leases", "Lease")

KINDS = (NAMESPACE, NODE, POD, CONFIG_MAP, EVENT, DEPLOYMENT, REPLICA_SET, JOB, LEASE)
GROUPS = (*dict.fromkeys(kind.group for kind in KINDS if kind.group), "events.k8s.io")
"""The last has no kinds of its own: `events.py` shows core/v1's Events under it."""

BY_RESOURCE = {(kind.group, kind.plural): kind for kind in KINDS}
BY_NAME = {(kind.api_version, kind.name): kind for kind in KINDS}

VERSION = {
    "major": "1",
    "minor": "30",
    "gitVersion": "v1.30.0+embedded",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}


def discovery(path: str) -> Object | None:
    """The document at a discovery path such as `/apis/apps/v1`, None where there is none."""
    return _DISCOVERY.get(path)


def _group(name: str) -> Object:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _resources(group: str, group_version: str) -> Object:
    listed: list[Object] = []
    for kind in KINDS:
        if kind.group == group:
            shared = {"singularName": kind.name.lower(), "namespaced": kind.namespaced, "kind": kind.name}
            listed.append({"name": kind.plural, **shared, "verbs": list(VERBS), "shortNames": list(kind.short)})
            if kind.status:
                listed.append({"name": f"{kind.plural}/status", **shared, "verbs": ["get", "patch", "update"]})
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed}


_DISCOVERY: dict[str, Object] = {
    "/version": VERSION,
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": _resources("", "v1"),
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in GROUPS]},
    **{f"/apis/{name}": {"kind": "APIGroup", "apiVersion": "v1", **_group(name)} for name in GROUPS},
    **{f"/apis/{name}/v1": _resources(name, f"{name}/v1") for name in GROUPS},
}
