"""The API paths that the steps use, each from the case."""

from __future__ import annotations

from urllib.parse import quote

from watcher.runbook.case import Case


def deployment_path(case: Case) -> str:
    """The case's Deployment."""
    return f"/apis/apps/v1/namespaces/{quote(case.namespace)}/deployments/{quote(case.deployment)}"


def replica_sets_path(case: Case, name: str = "") -> str:
    """The ReplicaSets of the case's namespace, or one of them."""
    path = f"/apis/apps/v1/namespaces/{quote(case.namespace)}/replicasets"
    return f"{path}/{quote(name)}" if name else path


def pods_path(case: Case) -> str:
    """The pods of the case's namespace."""
    return f"/api/v1/namespaces/{quote(case.namespace)}/pods"


def namespace_path(name: str) -> str:
    """A Namespace."""
    return f"/api/v1/namespaces/{quote(name)}"


def config_maps_path(namespace: str, name: str = "") -> str:
    """The ConfigMaps of a namespace, or one of them."""
    path = f"/api/v1/namespaces/{quote(namespace)}/configmaps"
    return f"{path}/{quote(name)}" if name else path
