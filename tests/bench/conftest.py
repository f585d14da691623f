"""The table that the benchmarks fill, printed at their end whatever came of them; and the parts that they share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench.figures import Table
from tests.conftest import require
from watcher.sandbox.prometheus import Programs, PrometheusMissing, find_programs


@pytest.fixture(scope="session")
def table() -> Iterator[Table]:
    """The table of figures."""
    table = Table()
    yield table
    print(f"\n\n{table.markdown}\n")


@pytest.fixture(scope="session")
def programs() -> Programs:
    """Prometheus's programs."""
    try:
        return find_programs()
    except PrometheusMissing as missing:
        require(f"Prometheus ({missing})", False)
        raise
