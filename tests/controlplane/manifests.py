"""The objects that cluster tests create."""

from __future__ import annotations

from typing import Any

from tests.controlplane.http import Json


def deployment(name: str, image: str, **spec: Any) -> Json:
    """A Deployment of one container; `spec` adds to or overrides its spec."""
    container = {"name": "main", "image": image, "ports": [{"containerPort": 8080}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
            **spec,
        },
    }


def job(name: str, *command: str, **spec: Any) -> Json:
    """A Job of one pod that runs a command, without retries; `spec` adds to or overrides its spec."""
    container = {"name": "main", "image": "tools", "command": list(command)}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": template, **spec},
    }


def config_map(name: str, labels: dict[str, str] | None = None, data: dict[str, str] | None = None) -> Json:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels or {}}, "data": data}


def lease(name: str, holder: str) -> Json:
    """A Lease that somebody holds."""
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}
