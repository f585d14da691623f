"""The database's adapter against a real PostgreSQL that is well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.systems.database_world import MIGRATIONS, World
from watcher.sandbox.postgres import ADMIN, READER, PostgresServer


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


@pytest.mark.parametrize(
    ("kind", "values", "version"),
    [
        ("bigint", "(20240101120000)", "20240101120000"),
        ("integer", "(9), (10), (1)", "10"),
        ("varchar(255)", "('20240101'), ('20240103'), ('20240102')", "20240103"),
        ("char(20)", "('0042')", "0042"),
        ("text", "('v2.1_add-sku:final')", "v2.1_add-sku:final"),
    ],
)
def test_the_version_of_schema_migrations(database: World, kind: str, values: str, version: str) -> None:
    """The newest version is read, be it kept as a number or as text, without the blanks of char(n)."""
    database.execute(f"CREATE TABLE schema_migrations (version {kind})")
    database.execute(f"INSERT INTO schema_migrations VALUES {values}")  # noqa: S608 - the test's own values
    assert database.version() == version


def test_the_version_of_django_migrations(database: World) -> None:
    """The app's newest migration is read; an app without any is at what `empty` says."""
    database.execute("CREATE TABLE django_migrations (id bigserial, app varchar(255), name varchar(255))")
    database.execute("INSERT INTO django_migrations (app, name) VALUES ('shop', '0001_initial'), ('shop', '0002_sku')")
    database.execute("INSERT INTO django_migrations (app, name) VALUES ('auth', '0012_alter')")
    query = "SELECT name FROM django_migrations WHERE app = %s ORDER BY id DESC LIMIT 1"
    assert database.version(query, "shop") == "0002_sku"
    assert database.version(query, "blog", empty="zero") == "zero"
    assert database.version(query, "shop' OR 'a' = 'a", empty="zero") == "zero"
    assert database.version("SELECT name FROM django_migrations WHERE name LIKE '%alter'") == "0012_alter"


def test_an_empty_table_has_no_version(database: World) -> None:
    """No row, or the NULL that max() makes of it, is a lasting Fault unless `empty` says what it means."""
    database.execute("CREATE TABLE schema_migrations (version bigint)")
    none, null = "SELECT version FROM schema_migrations", MIGRATIONS
    assert (database.version(none, empty="zero"), database.version(null, empty="zero")) == ("zero", "zero")
    assert database.fault(none).said == "gave no row where the schema's version should be"
    fault = database.fault(null)
    assert fault.said == "gave NULL where the schema's version should be"
    assert fault.lasting


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT max(version) FROM nowhere", 'there is no table "nowhere"'),
        ("SELECT version FROM schema_migrations", "gave more than one row: the query must give one value"),
        ("SELECT generate_series(1, 1000000)", "gave more than one row: the query must give one value"),
        ("SELECT version, 1 FROM schema_migrations LIMIT 1", "gave 2 columns: the query must give one value"),
        ("SELECT now()", "gave a datetime: the query must give a whole number or a text (cast it with ::text)"),
        ("SELECT true", "gave a bool: the query must give a whole number or a text (cast it with ::text)"),
        ("SELECT 'hunter 2'", "gave a text that is no version: at most 200 letters, digits and _ . : - are"),
        ("SELECT repeat('1', 201)", "gave a text that is no version: at most 200 letters, digits and _ . : - are"),
        ("SELECT -1", "gave a text that is no version: at most 200 letters, digits and _ . : - are"),
        ("SELEC 1", 'refused the query: syntax error at or near "SELEC"'),
        ("SELECT nothing FROM schema_migrations", 'refused the query: column "nothing" does not exist'),
        ("SELECT pg_read_file('/etc/passwd')", "refused the query: permission denied for function pg_read_file"),
        ("SET timezone = 'GMT'", "can't be asked this query: the operation in stream() didn't produce a result"),
        ("", "can't be asked this query: "),
    ],
)
def test_a_query_that_gives_no_version_is_a_lasting_fault(migrated: World, query: str, said: str) -> None:
    """What is wrong with the query or the schema is said, the value never: it may be anything."""
    fault = migrated.fault(query)
    assert fault.said.startswith(said)
    assert fault.lasting
    assert "hunter" not in fault.said


def test_parameters_that_don_t_fit_are_a_lasting_fault(migrated: World) -> None:
    """A query with two places for one parameter is told so."""
    fault = migrated.fault("SELECT %s || %s", "shop")
    assert fault.said == "can't be asked this query: the query has 2 placeholders but 1 parameters were passed"
    assert fault.lasting


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM schema_migrations RETURNING version",
        "WITH gone AS (DELETE FROM schema_migrations RETURNING version) SELECT max(version) FROM gone",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "COMMIT; DELETE FROM schema_migrations",
        "SELECT 1; SELECT 2",
    ],
)
def test_nothing_is_ever_written(migrated: World, query: str) -> None:
    """Even a role that may write can't, neither straight nor by leaving the read-only transaction."""
    migrated.point(migrated.server.dsn(migrated.name, ADMIN))
    assert migrated.fault(query).lasting
    assert migrated.version() == "20240103"
    assert migrated.execute("SELECT count(*) FROM schema_migrations") == ["3"]


def test_the_connection_says_whose_it_is(database: World) -> None:
    """A DBA finds the daemon in pg_stat_activity, reading only, and nothing of it afterwards."""
    assert database.version("SELECT current_setting('application_name')") == "canary-watch"
    assert database.version("SELECT current_setting('transaction_read_only')") == "on"
    mine = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database.name}' AND usename = '{READER}'"  # noqa: S608
    deadline = time.monotonic() + 5
    while database.execute(mine) != ["0"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (":{password}@", ":wrong@", f'refused the connection: password authentication failed for user "{READER}"'),
        (":{password}@", "@", "wants a password, and the DSN has none"),
        ("/{name}", "/nowhere", 'refused the connection: database "nowhere" does not exist'),
        ("/{name}", "/{name}?sslmode=require", "and the DSN don't agree on TLS (sslmode, certificates)"),
        ("/{name}", "/{name}?sslmode=verify-full", "and the DSN don't agree on TLS (sslmode, certificates)"),
        ("postgresql://", "postgresql+psycopg://", "{path} must hold postgresql://user:password@host:port/database"),
        ("postgresql://", "", "{path} must hold postgresql://user:password@host:port/database"),
        (":{password}@", ":{password}@{password}@", "{path} must hold postgresql://user:password@host:port/database"),
        (":{password}@", ":{password}/{password}@", "{path} must hold postgresql://user:password@host:port/database"),
        (":{password}@", ":5432/{password}@", "{path} must hold postgresql://user:password@host:port/database"),
    ],
)
def test_a_wrong_dsn_is_a_lasting_fault(migrated: World, old: str, new: str, said: str) -> None:
    """What has to be mended is said, and not even a mistyped DSN shows its password."""
    values = {"password": migrated.password, "name": migrated.name, "path": str(migrated.file.path)}
    migrated.point(migrated.server.dsn(migrated.name).replace(old.format(**values), new.format(**values)))
    fault = migrated.fault()
    assert fault.said.startswith(said.format(**values))
    assert fault.lasting


def test_a_changed_dsn_counts_at_once(migrated: World) -> None:
    """A password that was changed works without a restart."""
    right = migrated.server.dsn(migrated.name)
    migrated.point(right.replace(migrated.password, "old"))
    assert migrated.fault().lasting
    migrated.point(right)
    assert migrated.version() == "20240103"


def test_several_threads_ask_at_once(migrated: World) -> None:
    """Cases that ask at the same time don't wait for, or disturb, each other."""
    with ThreadPoolExecutor(8) as pool:
        asked: Callable[[int], str] = lambda number: migrated.version("SELECT %s::int + 1", str(number))  # noqa: E731
        assert list(pool.map(asked, range(32))) == [str(number + 1) for number in range(32)]
