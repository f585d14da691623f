"""An embedded Kubernetes cluster: an API server with the usual controllers, and a node that runs pods as processes."""

from __future__ import annotations

from watcher.sandbox.cluster.embedded import EmbeddedCluster

__all__ = ["EmbeddedCluster"]
