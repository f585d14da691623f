"""The database's adapter against a real PostgreSQL that fails, and against what else may sit at its address."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from tests.systems import database_peers as peers
from tests.systems.database_peers import Peer, Talk
from tests.systems.database_world import World
from watcher.sandbox.postgres import ADMIN, READER, PostgresServer
from watcher.systems.fault import Fault


@pytest.fixture
def database(postgres: PostgresServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[World]:
    """A database with nothing in it."""
    with World(postgres, tmp_path / "dsn", caplog) as made:
        yield made


@pytest.fixture
def migrated(database: World) -> World:
    """A database with a `schema_migrations` of three rows."""
    database.execute("CREATE TABLE schema_migrations (version bigint)")
    database.execute("INSERT INTO schema_migrations VALUES (20240101), (20240103), (20240102)")
    return database


def test_a_host_that_is_not_known_passes(database: World) -> None:
    """DNS comes and goes."""
    database.point(f"postgresql://{READER}:{database.password}@nowhere.invalid/{database.name}")
    fault = database.fault(timeout=5)
    assert (fault.said, fault.lasting) == ("can't be reached (the host's name is not known)", False)


def test_a_stopped_server_passes(migrated: World) -> None:
    """While the server is down that is said; when it is back, it is asked again."""
    migrated.server.stop()
    try:
        fault = migrated.fault()
        assert (fault.said, fault.lasting) == ("can't be reached (connection refused)", False)
    finally:
        migrated.server.start()
    assert migrated.version() == "20240103"


def test_a_restart_in_the_middle_passes(database: World) -> None:
    """A server that shuts down under the question is a passing Fault in its own words."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(database.version, "SELECT 'begun' || pg_sleep(20)", timeout=20)
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT ''begun%'"
        while database.execute(running) != ["1"]:
            time.sleep(0.02)
        database.server.restart()
        with pytest.raises(Fault, match="terminating connection due to administrator command") as raised:
            asked.result()
    assert not raised.value.lasting


def test_a_slow_query_is_given_up_by_the_server(database: World) -> None:
    """The server itself stops working on it, within the time."""
    fault = database.fault("SELECT pg_sleep(30)")
    assert fault.said == "gave the query up: canceling statement due to statement timeout"
    assert not fault.lasting


def test_a_locked_table_passes(migrated: World) -> None:
    """A migration that holds the table makes us wait a little, and then say so."""
    with psycopg.connect(migrated.server.dsn(migrated.name, ADMIN)) as other:
        other.execute("LOCK TABLE schema_migrations")
        fault = migrated.fault()
    assert fault.said == "gave the query up: canceling statement due to lock timeout"
    assert not fault.lasting


@pytest.mark.parametrize("talk", [peers.silent, peers.dripping], ids=["silent", "dripping"])
def test_a_server_that_never_lets_us_in_holds_nobody(database: World, talk: Talk) -> None:
    """Whoever accepts and says nothing, or next to nothing, is left in time."""
    with Peer(talk) as peer:
        database.lead_to(peer)
        fault = database.fault()
        assert (fault.said, fault.lasting) == ("did not answer within 1 s", False)
        assert peer.accepted == 1


def test_an_attempt_to_connect_has_its_own_limit(database: World) -> None:
    """A host that doesn't answer leaves time for the other one: psycopg is given two seconds for each."""
    with Peer(peers.silent) as peer:
        database.lead_to(peer)
        with pytest.raises(Fault, match=r"can't be reached \(no answer to connecting\)") as raised:
            database.version(timeout=20)
        assert not raised.value.lasting
        places = f"127.0.0.1:{peer.port},127.0.0.1:{database.server.port}"
        database.point(f"postgresql://{READER}:{database.password}@{places}/{database.name}?sslmode=disable")
        assert database.version("SELECT 1", timeout=20) == "1"


@pytest.mark.parametrize("talk", [peers.silent, peers.drip_rows], ids=["silent", "dripping"])
def test_a_server_that_stops_after_the_login_holds_nobody(database: World, talk: Talk) -> None:
    """A line that goes dead, or nearly, after the login is left in time; the thread ends too, as `database` sees."""
    with Peer(peers.bad_line(database.server.port, talk)) as peer:
        database.lead_to(peer)
        fault = database.fault("SELECT 1")
        assert (fault.said, fault.lasting) == ("did not answer within 1 s", False)
        assert peer.accepted == 1, "no second connection to cancel the first"


def test_a_line_that_is_cut_passes(database: World) -> None:
    """A connection that ends after the login is a passing Fault."""
    with Peer(peers.bad_line(database.server.port, peers.cut)) as peer:
        database.lead_to(peer)
        fault = database.fault("SELECT 1")
        assert (fault.said, fault.lasting) == ("cut the connection", False)


@pytest.mark.parametrize(
    ("sqlstate", "message", "lasting"),
    [
        ("57P03", "the database system is starting up", False),
        ("57P03", "the database system is shutting down", False),
        ("53300", "sorry, too many clients already", False),
        ("28000", 'no pg_hba.conf entry for host "10.0.0.1", user "reader", database "shop", no encryption', True),
        ("28000", 'role "reader" is not permitted to log in', True),
    ],
)
def test_a_refusal_is_in_the_servers_words(database: World, sqlstate: str, message: str, lasting: bool) -> None:
    """Who must do what is in PostgreSQL's own message; what passes by itself is told from what doesn't."""
    with Peer(peers.refusing(sqlstate, message)) as peer:
        database.lead_to(peer)
        fault = database.fault()
        assert (fault.said, fault.lasting) == (f"refused the connection: {message}", lasting)


def test_a_server_that_repeats_the_password_does_not_spread_it(database: World) -> None:
    """A message with the password in it, or without end, is shown without it, in one bounded line."""
    with Peer(peers.refusing("XX000", f"{database.password} is wrong, " + "very " * 500)) as peer:
        database.lead_to(peer)
        said = database.fault().said
        assert said.startswith("refused the connection: *** is wrong, very ")
        assert len(said) < 400


def test_something_else_at_the_port_is_a_fault(database: World) -> None:
    """A web server is no database."""
    with Peer(peers.web_server) as peer:
        database.lead_to(peer)
        assert database.fault().said == "can't be reached (OperationalError)"
