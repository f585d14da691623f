"""A real PostgreSQL of the tests' own: it keeps to itself, comes back after a stop, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from watcher.sandbox.postgres import ADMIN, READER, PostgresServer
from watcher.sandbox.postgres_programs import Programs, find_programs


def test_an_admin_writes_and_a_reader_reads(postgres: PostgresServer) -> None:
    """Both get in with their DSN; the reader sees every table and may change none."""
    postgres.create_database("sandbox_roles")
    postgres.execute("sandbox_roles", "CREATE TABLE prices (name text, price int); INSERT INTO prices VALUES ('a', 1)")
    assert postgres.execute("sandbox_roles", "SELECT * FROM prices") == ["a|1"]
    with psycopg.connect(postgres.dsn("sandbox_roles")) as reader:
        assert reader.execute("SELECT price FROM prices").fetchall() == [(1,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("UPDATE prices SET price = 2")
    with psycopg.connect(postgres.dsn("sandbox_roles", ADMIN)) as admin:
        admin.execute("UPDATE prices SET price = 2")
    assert postgres.execute("sandbox_roles", "SELECT price FROM prices") == ["2"]


def test_nobody_gets_in_without_the_password(postgres: PostgresServer) -> None:
    """A DSN with another password is refused, so that tests of wrong passwords test something."""
    wrong = postgres.dsn("postgres").replace(postgres.passwords[READER], "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong, connect_timeout=10)


def test_a_failing_statement_is_told(postgres: PostgresServer) -> None:
    """A test that sets its database up wrongly sees the server's message."""
    with pytest.raises(RuntimeError, match='relation "nothing" does not exist'):
        postgres.execute("postgres", "SELECT 1; SELECT * FROM nothing")


def test_an_outage_keeps_data_and_port(postgres: PostgresServer) -> None:
    """While it is stopped the port refuses and is nobody else's; afterwards all is as before."""
    postgres.create_database("sandbox_outage")
    postgres.execute("sandbox_outage", "CREATE TABLE kept (number int); INSERT INTO kept VALUES (7)")
    port = postgres.port
    postgres.stop()
    postgres.stop()
    try:
        assert not is_up(port)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((postgres.host, port))
    finally:
        postgres.start()
    assert postgres.port == port
    assert postgres.execute("sandbox_outage", "SELECT number FROM kept") == ["7"]
    postgres.restart()
    assert postgres.execute("sandbox_outage", "SELECT number FROM kept") == ["7"]


def test_it_leaves_nothing_behind(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its end the server, its data and its port are gone; its neighbour is not disturbed."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the server may run as another user
        monkeypatch.setattr(tempfile, "tempdir", folder)
        with PostgresServer(find_programs()) as server:
            port = server.port
            assert is_up(port)
            assert len(list(Path(folder).iterdir())) == 1
        assert not is_up(port)
        assert list(Path(folder).iterdir()) == []
    assert is_up(postgres.port)


@pytest.mark.usefixtures("postgres")
def test_it_dies_with_whoever_started_it() -> None:
    """A SIGKILL of a test run leaves no server behind."""
    code = (
        "import time\nfrom watcher.sandbox.postgres import *\nfrom watcher.sandbox.postgres_programs import *\n"
        "with PostgresServer(find_programs()) as server:\n    print(server.port, flush=True)\n    time.sleep(60)"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        env = {**os.environ, "TMPDIR": folder}
        with subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout
            port = int(parent.stdout.readline())
            assert is_up(port)
            parent.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 20
        while is_up(port):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_server_that_does_not_start_says_why() -> None:
    """What its programs complain about is in the error."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        broken = Path(folder) / "initdb"
        broken.write_text("#!/bin/sh\necho 'no space left on device' >&2\nexit 1\n")
        broken.chmod(0o755)
        with (
            pytest.raises(RuntimeError, match="initdb failed: no space left on device"),
            PostgresServer(Programs(Path(folder))),
        ):
            pass


def is_up(port: int) -> bool:
    """Say whether anything listens at `port`."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False
