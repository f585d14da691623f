"""The API paths of the resources that the daemon works with, every name quoted."""

from __future__ import annotations

from urllib.parse import quote


def deployments(namespace: str | None = None, name: str | None = None) -> str:
    """Deployments of all namespaces, of one, or one Deployment."""
    return _path("/apis/apps/v1", "deployments", namespace, name)


def replica_sets(namespace: str | None = None, name: str | None = None) -> str:
    """ReplicaSets of all namespaces, of one, or one ReplicaSet."""
    return _path("/apis/apps/v1", "replicasets", namespace, name)


def pods(namespace: str | None = None, name: str | None = None) -> str:
    """Pods of all namespaces, of one, or one pod."""
    return _path("/api/v1", "pods", namespace, name)


def jobs(namespace: str | None = None, name: str | None = None) -> str:
    """Jobs of all namespaces, of one, or one Job."""
    return _path("/apis/batch/v1", "jobs", namespace, name)


def config_maps(namespace: str | None = None, name: str | None = None) -> str:
    """ConfigMaps of all namespaces, of one, or one ConfigMap."""
    return _path("/api/v1", "configmaps", namespace, name)


def leases(namespace: str | None = None, name: str | None = None) -> str:
    """Leases of all namespaces, of one, or one Lease."""
    return _path("/apis/coordination.k8s.io/v1", "leases", namespace, name)


def namespaces(name: str | None = None) -> str:
    """All Namespaces, or one."""
    return "/api/v1/namespaces" + (f"/{_segment(name)}" if name is not None else "")


def pod_proxy(namespace: str, pod: str, port: int, path: str, scheme: str = "http") -> str:
    """Name a path on a pod's own HTTP server, reached through the API server."""
    prefix = "https:" if scheme == "https" else ""
    return f"{pods(namespace)}/{prefix}{_segment(pod)}:{port}/proxy/{path.lstrip('/')}"


def pod_log(namespace: str, pod: str) -> str:
    """Name what a pod's containers have written to standard output and standard error."""
    return f"{pods(namespace, pod)}/log"


def pointer(key: str) -> str:
    """Escape a key for a JSON pointer (RFC 6901), as the paths within a JSON patch are."""
    return key.replace("~", "~0").replace("/", "~1")


def _path(group: str, resource: str, namespace: str | None, name: str | None) -> str:
    if namespace is None:
        if name is not None:
            raise ValueError(f"{resource} {name} needs its namespace")
        return f"{group}/{resource}"
    whole = f"{group}/namespaces/{_segment(namespace)}/{resource}"
    return whole if name is None else f"{whole}/{_segment(name)}"


def _segment(name: str) -> str:
    """Quote one path segment; an empty name would ask for the whole list, and delete it."""
    if name in {"", ".", ".."}:
        raise ValueError(f"{name!r} is not the name of an object")
    return quote(name, safe="")
