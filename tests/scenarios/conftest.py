"""Fixtures of the scenarios: the real outside systems that are started once for all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import require
from watcher.sandbox.prometheus import PrometheusMissing, PrometheusServer, find_programs

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
