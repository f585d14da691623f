"""The fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.world import World
from tests.controlplane.real import RealCluster
from watcher.sandbox.cluster import EmbeddedCluster


@pytest.fixture
def world(embedded_cluster: EmbeddedCluster, tmp_path: Path) -> Iterator[World]:
    """A world on the embedded cluster."""
    with World(embedded_cluster, tmp_path) as world:
        yield world


@pytest.fixture
def real_world(real_cluster: RealCluster, tmp_path: Path) -> Iterator[World]:
    """A world on the real control plane."""
    with World(real_cluster, tmp_path) as world:
        yield world
