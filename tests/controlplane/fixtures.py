"""Fixtures of the clusters that tests run against; a plugin of `tests/conftest.py`, so every suite has them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import require
from tests.controlplane.real import RealCluster, assets_folder
from watcher.sandbox.cluster import EmbeddedCluster


@pytest.fixture(scope="session")
def real_cluster() -> Iterator[RealCluster]:
    """A real control plane; tests share it, so each uses a namespace of its own."""
    assets = assets_folder()
    require("the Kubernetes control plane that KUBEBUILDER_ASSETS names", assets is not None)
    assert assets is not None
    with RealCluster(assets) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def embedded_cluster() -> Iterator[EmbeddedCluster]:
    """An embedded cluster; tests share it, so each uses a namespace of its own."""
    with EmbeddedCluster() as cluster:
        yield cluster
