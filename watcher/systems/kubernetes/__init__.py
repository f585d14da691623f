"""The cluster: `Connection` (requests), `WatchCache` (what is there, without asking) and `Lease` (who acts)."""

from watcher.systems.kubernetes.connection import TIMEOUT, Connection
from watcher.systems.kubernetes.faults import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    Json,
    KubernetesFault,
    Malformed,
    NotConfigured,
    NotFound,
    Silent,
    Unavailable,
)
from watcher.systems.kubernetes.lease import Lease
from watcher.systems.kubernetes.paths import (
    config_maps,
    deployments,
    jobs,
    leases,
    namespaces,
    pods,
    replica_sets,
)
from watcher.systems.kubernetes.stream import Stream
from watcher.systems.kubernetes.watch_cache import Resource, WatchCache

__all__ = [
    "TIMEOUT",
    "AlreadyExists",
    "Conflict",
    "Connection",
    "Forbidden",
    "Gone",
    "Invalid",
    "Json",
    "KubernetesFault",
    "Lease",
    "Malformed",
    "NotConfigured",
    "NotFound",
    "Resource",
    "Silent",
    "Stream",
    "Unavailable",
    "WatchCache",
    "config_maps",
    "deployments",
    "jobs",
    "leases",
    "namespaces",
    "pods",
    "replica_sets",
]
