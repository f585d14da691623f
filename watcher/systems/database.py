"""The service's own database (PostgreSQL): asks which schema version it has, which the runbook's migrate step goes by.

One connection for each question, and nothing is ever written: the question is asked in a transaction that PostgreSQL
itself keeps read-only. Nothing is set for the whole session, so that PgBouncer may be in between.
"""

from __future__ import annotations

import os
import queue
import re
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from watcher.systems.fault import Fault
from watcher.systems.secret_file import SecretFile

if TYPE_CHECKING:
    import psycopg

SYSTEM = "Database"
CONNECT_TIMEOUT = 2
"""Whole seconds for each address of the host, unless the DSN says otherwise; psycopg takes no less."""
LINE_LIMIT = 300
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")
LIMITS = "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true)"
HOSTS = re.compile(r"[A-Za-z0-9._:%,/-]*")
PORTS = re.compile(r"[0-9,]*")

LASTING_CLASSES = frozenset({"0A", "22", "25", "26", "28", "2F", "39", "3D", "3F", "42", "54"})
"""Classes of SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html) that the question, the role or
the schema is to blame for. The rest is trouble that may pass."""
REFUSAL = re.compile(r"\bFATAL: +(.+)")
"""What the server said when it let nobody in; libpq puts words of its own before it and hands no SQLSTATE down."""
LASTING_REFUSAL = re.compile(
    r"authentication failed|pg_hba\.conf|does not exist|no such|not permitted|permission denied|unsupported"
)
UNREACHED = (
    (re.compile(r"no password supplied"), "wants a password, and the DSN has none", True),
    (re.compile(r"not support SSL|certificate"), "and the DSN don't agree on TLS (sslmode, certificates)", True),
    (re.compile(r"(resolve|translate) host"), "can't be reached (the host's name is not known)", False),
    (re.compile(r"[Cc]onnection refused"), "can't be reached (connection refused)", False),
    (re.compile(r"timeout expired"), "can't be reached (no answer to connecting)", False),
    (re.compile(r"closed|reset by peer|EOF"), "cut the connection", False),
)
"""libpq's own complaints in our words: its text may repeat parts of a mistyped DSN."""


@dataclass(frozen=True, slots=True)
class SchemaSource:
    """Where a schema's version is to be read.

    `dsn`: the file with the connection string, `postgresql://user:password@host:port/database` or `key=value` pairs;
    the role need only read one table. `query`: one statement that gives one value; `%s` stands where `parameters` go
    (and beside parameters, `%%` for a percent sign). `empty`: the version that no row, or NULL, means; "" where a
    migrated database always has one.
    """

    dsn: SecretFile
    query: str
    parameters: tuple[str, ...] = ()
    empty: str = ""


def schema_version(source: SchemaSource, timeout: float = 5.0) -> str:
    """Ask once for the schema's version and return it as text; safe to call from several threads.

    Raises Fault where no version is to be had, and after `timeout` seconds at the latest, whatever the server and the
    network do. The DSN is read from its file for each call.
    """
    question = _Question(source, source.dsn.read(), time.monotonic() + timeout)
    # On a thread of its own: psycopg bounds each attempt to connect, but not the look-up of the host's name, nor a
    # server that is silent or drips once it has let us in.
    threading.Thread(target=question.ask, name="schema version", daemon=True).start()
    try:
        outcome = question.outcome.get(timeout=timeout)
    except queue.Empty:
        question.cut()
        outcome = Fault(SYSTEM, f"did not answer within {timeout:g} s")
    if isinstance(outcome, Fault):
        raise outcome
    return outcome


class _Question:
    """One question. `ask` runs on its own thread and puts its `outcome` where the caller waits for it.

    A Fault is made here and raised by the caller, so that it drags no frames along that hold the DSN.
    """

    def __init__(self, source: SchemaSource, dsn: str, deadline: float) -> None:
        self.outcome: queue.SimpleQueue[str | Fault] = queue.SimpleQueue()
        self._source = source
        self._dsn = dsn
        self._deadline = deadline
        self._secrets = [dsn]
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._over = False

    def ask(self) -> None:
        """Ask, and give the version or the Fault."""
        import psycopg  # noqa: PLC0415 - 100 ms, when first needed

        outcome: str | Fault
        try:
            outcome = self._answer()
        except psycopg.Error as error:
            outcome = _fault(error, self._secrets)
        except Exception as error:  # noqa: BLE001 - the caller waits for an outcome, whatever the library does
            outcome = Fault(SYSTEM, f"could not be asked: {type(error).__name__}")
        self.outcome.put(outcome)

    def cut(self) -> None:
        """End the connection under the thread that waits for it; one that is still connecting ends by itself."""
        import psycopg  # noqa: PLC0415

        with self._lock:
            self._over = True
            if self._connection is None:
                return
            # A connection that has just ended by itself says so. Only libpq may close its socket: a copy is shut down.
            with (
                suppress(OSError, psycopg.Error),
                socket.socket(fileno=os.dup(self._connection.fileno())) as copy,
            ):
                copy.shutdown(socket.SHUT_RDWR)

    def _answer(self) -> str | Fault:
        import psycopg  # noqa: PLC0415

        parameters = self._parameters()
        if isinstance(parameters, Fault):
            return parameters
        connection = psycopg.connect(**parameters)
        try:
            with self._lock:
                self._connection = connection
                over = self._over
            if over:
                return Fault(SYSTEM, "let us in too late")
            rows = self._rows(connection)
        finally:
            self._close(connection)
        return _version(rows, self._source.empty)

    def _parameters(self) -> dict[str, Any] | Fault:
        """Take the DSN apart. Characters that belong in a password are refused elsewhere: logs would show them."""
        import psycopg  # noqa: PLC0415
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

        wanted = f"{self._source.dsn.path} must hold postgresql://user:password@host:port/database"
        try:
            given = conninfo_to_dict(self._dsn)
        except psycopg.ProgrammingError:
            return Fault(SYSTEM, wanted, lasting=True)
        self._secrets += [str(given[name]) for name in ("password", "sslpassword") if given.get(name)]
        places = [str(given.get(name) or "") for name in ("host", "hostaddr")]
        sound = all(map(HOSTS.fullmatch, places)) and PORTS.fullmatch(str(given.get("port") or ""))
        if not sound or "@" in str(given.get("dbname") or ""):
            said = f"{wanted}, with the password's special characters percent-encoded"
            return Fault(SYSTEM, said, lasting=True)
        usual = {"connect_timeout": CONNECT_TIMEOUT, "gssencmode": "disable"}
        return {**usual, **given, "application_name": "canary-watch", "client_encoding": "utf8"}

    def _rows(self, connection: psycopg.Connection[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Ask in a read-only transaction and return the first two rows, enough to see that there is more than one."""
        connection.read_only = True
        # The server should give up first: its own message says more than our timeout, and it stops working on it.
        rest = max(2, int((self._deadline - time.monotonic()) * 800))
        cursor = connection.cursor()
        cursor.execute(LIMITS, (f"{rest}ms", f"{rest // 2}ms"))
        # stream() refuses a second statement, which could end the transaction, and doesn't read a whole table.
        stream = cursor.stream(self._source.query, self._source.parameters or None)
        rows = list(islice(stream, 2))
        if len(rows) < 2:
            connection.rollback()  # PgBouncer would throw the server's connection away with an open transaction
        else:
            self._close(connection)  # before the stream, which would else ask the server to cancel the rest
        return rows

    def _close(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        with self._lock:
            connection.close()


def _version(rows: list[tuple[Any, ...]], empty: str) -> str | Fault:
    """Find the one version in what the query gave. A value is never shown: a wrong query may have read anything."""
    if len(rows) > 1 or any(len(row) != 1 for row in rows):
        many = "more than one row" if len(rows) > 1 else f"{len(rows[0])} columns"
        return Fault(SYSTEM, f"gave {many}: the query must give one value", lasting=True)
    value = rows[0][0] if rows else None
    if value is None:
        found = "NULL" if rows else "no row"
        return empty or Fault(SYSTEM, f"gave {found} where the schema's version should be", lasting=True)
    if isinstance(value, bool) or not isinstance(value, int | str):
        said = f"gave a {type(value).__name__}: the query must give a whole number or a text (cast it with ::text)"
        return Fault(SYSTEM, said, lasting=True)
    version = str(value).strip()
    if not VERSION.fullmatch(version):
        said = "gave a text that is no version: at most 200 letters, digits and _ . : - are"
        return Fault(SYSTEM, said, lasting=True)
    return version


def _fault(error: psycopg.Error, secrets: list[str]) -> Fault:
    """Say what went wrong, in the server's own words where they are the server's."""
    import psycopg  # noqa: PLC0415

    if error.sqlstate and error.diag.message_primary:
        return _query_refused(error.sqlstate, _line(error.diag.message_primary, secrets))
    refusal = REFUSAL.search(str(error))
    if refusal:
        said = _line(refusal[1], secrets)
        return Fault(SYSTEM, f"refused the connection: {said}", lasting=bool(LASTING_REFUSAL.search(said)))
    if not isinstance(error, psycopg.OperationalError):
        return Fault(SYSTEM, f"can't be asked this query: {_line(str(error), secrets)}", lasting=True)
    for pattern, said, lasting in UNREACHED:
        if pattern.search(str(error)):
            return Fault(SYSTEM, said, lasting=lasting)
    return Fault(SYSTEM, f"can't be reached ({type(error).__name__})")


def _query_refused(sqlstate: str, message: str) -> Fault:
    """Tell by SQLSTATE what became of the query."""
    if sqlstate == "42P01":
        table = re.search(r'"([^"]+)"', message)
        said = f'there is no table "{table[1]}"' if table else f"there is no such table: {message}"
        return Fault(SYSTEM, said, lasting=True)
    if sqlstate == "25006":
        return Fault(SYSTEM, f"refused the query, which may only read: {message}", lasting=True)
    if sqlstate in {"57014", "55P03"}:
        return Fault(SYSTEM, f"gave the query up: {message}")
    return Fault(SYSTEM, f"refused the query: {message}", lasting=sqlstate[:2] in LASTING_CLASSES)


def _line(text: str, secrets: list[str]) -> str:
    """Give `text` as one line of bounded length, without the secrets, should somebody have put one into a name."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    line = " ".join(text.split())
    return line if len(line) <= LINE_LIMIT else line[: LINE_LIMIT - 1] + "…"
