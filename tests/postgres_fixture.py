"""The PostgreSQL that tests run against; a plugin, so that every suite that names it has the same server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import require
from watcher.sandbox.postgres import PostgresServer
from watcher.sandbox.postgres_programs import PostgresMissing, find_programs


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL; tests share it, so each creates a database of its own, and starts again what it stopped."""
    try:
        programs = find_programs()
    except PostgresMissing as missing:
        require(f"PostgreSQL ({missing})", False)
        raise
    with PostgresServer(programs) as server:
        yield server
