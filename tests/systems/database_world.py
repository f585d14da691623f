"""What the tests of the database's adapter share: a database, the file that leads to it, what a Fault must be like."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.systems.database_peers import Peer
from tests.systems.fault_matrix import faulted
from watcher.sandbox.postgres import READER, PostgresServer
from watcher.systems.database import SYSTEM, SchemaSource, schema_version
from watcher.systems.fault import Fault
from watcher.systems.secret_file import SecretFile

MIGRATIONS = "SELECT max(version) FROM schema_migrations"
NAME = "test_database"
TIMEOUT = 1.0
"""Seconds, where a Fault is waited for."""


class World:
    """An empty database, and a DSN file that leads to it until it is pointed elsewhere.

    As a context manager it demands that no question is still under way afterwards.
    """

    def __init__(self, server: PostgresServer, path: Path, log: pytest.LogCaptureFixture) -> None:
        self.server = server
        self.name = NAME
        self.password = server.passwords[READER]
        self.file = SecretFile(path)
        self._log = log
        if not server.execute("postgres", f"SELECT 1 FROM pg_database WHERE datname = '{NAME}'"):  # noqa: S608
            server.create_database(NAME)
        self.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")  # ten times as fast as another database
        self.point(server.dsn(self.name))

    def point(self, dsn: str) -> None:
        """Change what is in the file."""
        self.file.path.write_text(dsn + "\n")

    def lead_to(self, peer: Peer) -> None:
        """Point the file at somebody else's port; plain TCP, as a `peer` speaks no TLS."""
        self.point(f"postgresql://{READER}:{self.password}@127.0.0.1:{peer.port}/{self.name}?sslmode=disable")

    def execute(self, sql: str) -> list[str]:
        """Do something in the database as its owner would."""
        return self.server.execute(self.name, sql)

    def version(self, query: str = MIGRATIONS, *parameters: str, empty: str = "", timeout: float = 5.0) -> str:
        """Ask through the file."""
        return schema_version(SchemaSource(self.file, query, parameters, empty), timeout)

    def fault(self, query: str = MIGRATIONS, *parameters: str, empty: str = "", timeout: float = TIMEOUT) -> Fault:
        """Demand that asking ends in a Fault, soon and without the password anywhere."""
        dsn = self.file.path.read_text().strip()
        ask = lambda: self.version(query, *parameters, empty=empty, timeout=timeout)  # noqa: E731
        found = faulted(ask, SYSTEM, (self.password,), self._log)
        assert found.__context__ is None, "a vendor's exception would hold the connection"
        assert dsn not in f"{found}{self._log.text}"
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        deadline = time.monotonic() + 10
        while any(thread.name == "schema version" for thread in threading.enumerate()):
            assert time.monotonic() < deadline, "a question goes on for ever"
            time.sleep(0.02)
