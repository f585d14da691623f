"""Fixtures of the scenarios: the real outside systems that are started once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import require
from tests.controlplane.http import until
from tests.controlplane.real import RealCluster
from tests.scenarios.gate import Gate
from tests.scenarios.stage import Stage
from tests.scenarios.traffic import Traffic
from watcher.sandbox.prometheus import PrometheusMissing, PrometheusServer, Target, find_programs

MakeStage = Callable[..., Stage]

SCRAPE_INTERVAL = 0.5
"""Seconds; what a window of 5 s needs for its figures to be steady."""


@pytest.fixture(scope="session")
def prometheus_server() -> Iterator[PrometheusServer]:
    """A real Prometheus; tests share it, so each has namespaces of its own on the page that it scrapes."""
    try:
        programs = find_programs()
    except PrometheusMissing as missing:
        require(f"Prometheus ({missing})", False)
        raise
    with PrometheusServer(programs, SCRAPE_INTERVAL) as server:
        yield server


@pytest.fixture(scope="session")
def traffic(prometheus_server: PrometheusServer) -> Iterator[Traffic]:
    """The page that this Prometheus scrapes. It is the only target, set once: a new one takes up to 6 s to be seen."""
    with Traffic() as traffic:
        prometheus_server.set_targets([Target(traffic.address)])
        until(lambda: traffic.page.requests)
        yield traffic


@pytest.fixture
def make_stage(
    real_cluster: RealCluster, prometheus_server: PrometheusServer, traffic: Traffic, tmp_path: Path
) -> Iterator[MakeStage]:
    """Make the test's stage with what it wants otherwise than usual; a second one with another folder."""
    with ExitStack() as stack:
        gate = stack.enter_context(Gate(prometheus_server.url))

        def make(**wishes: Any) -> Stage:
            parts = {"cluster": real_cluster, "prometheus": gate, "traffic": traffic, "folder": tmp_path}
            return stack.enter_context(Stage(**{**parts, **wishes}))

        yield make


@pytest.fixture
def stage(make_stage: MakeStage) -> Stage:
    """A stage with all three policies, whose watch lasts longer than the test."""
    return make_stage()


@pytest.fixture
def short_stage(make_stage: MakeStage) -> Stage:
    """A stage whose watch lasts 10 s."""
    return make_stage(watch_for="10s")
