"""A real PostgreSQL for the tests, on loopback, with data that ends with it; `postgres_programs` finds the programs."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from watcher.sandbox.postgres_programs import Programs

START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0
COMMAND_TIMEOUT = 60.0
ADMIN, READER = "admin", "reader"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "jit": "off",
    "timezone": "GMT",  # built in; an unpacked server would look for any other in the system
    "log_timezone": "GMT",
    "dynamic_shared_memory_type": "mmap",  # in the data folder: nothing of a killed server stays in the system
}


class PostgresServer:
    """A running PostgreSQL; use it as a context manager. Everybody needs a password, over TCP on 127.0.0.1.

    `ADMIN` may do everything, `READER` only read. The port stays the server's own while it is stopped. The kernel ends
    the server when the thread that started it ends, however it ends.
    """

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="canary-watch-postgres-"))
        self._data = self._folder / "data"
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._port = _held_port()
        self.passwords = {ADMIN: secrets.token_urlsafe(16), READER: secrets.token_urlsafe(16)}

    @property
    def host(self) -> str:
        """Where it listens."""
        return "127.0.0.1"

    @property
    def port(self) -> int:
        """The port that it listens on, before and after a stop."""
        return int(self._port.getsockname()[1])

    def dsn(self, database: str, user: str = READER) -> str:
        """The connection string of `ADMIN` or `READER` for a database; it holds the password."""
        return f"postgresql://{user}:{self.passwords[user]}@{self.host}:{self.port}/{database}"

    def execute(self, database: str, sql: str) -> list[str]:
        """Run statements as `ADMIN`, each committed by itself; return the rows, their columns separated by `|`.

        Raises RuntimeError with the server's message where one fails.
        """
        psql = ["psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]
        done = self._run([*psql, "--file=-", self.dsn(database, ADMIN)], sql)
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace").strip())
        return done.stdout.decode().splitlines()

    def create_database(self, name: str) -> None:
        """Create an empty database."""
        self.execute("postgres", f'CREATE DATABASE "{name}"')

    def start(self) -> None:
        """Start on the data that there is. Raises RuntimeError with the end of its log where it doesn't get there."""
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        guard = ["setpriv", "--pdeathsig", "QUIT", "--"] if shutil.which("setpriv") else []
        server = [str(self._programs.folder / "postgres"), "-D", str(self._data), f"--port={self.port}", *settings]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*guard, *server],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._surroundings(),
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"PostgreSQL did not become ready; its log ends:\n{self._log_end()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server, cutting every connection, and keep its data; calling it twice is harmless."""
        self._end_process(signal.SIGINT)  # "fast": SIGTERM would wait until every client has left

    def restart(self) -> None:
        """End the server and start it again on the same data and port."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        try:
            self._initialise()
            self.start()
            reader = (
                f"CREATE ROLE {READER} LOGIN PASSWORD '{self.passwords[READER]}'; GRANT pg_read_all_data TO {READER};"
            )
            self.execute("postgres", reader)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        self._end_process(signal.SIGQUIT)  # without writing data down that are about to go
        self._port.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end_process(self, way: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(way)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)  # SIGKILL would leave its children behind
            process.wait(STOP_TIMEOUT)

    def _initialise(self) -> None:
        password = self._folder / "password"
        password.touch(mode=0o600)
        password.write_text(self.passwords[ADMIN])
        user = _unprivileged()
        if user:
            for path in (self._folder, password):
                os.chown(path, user["user"], user["group"])
        options = [f"--pgdata={self._data}", f"--username={ADMIN}", f"--pwfile={password}", "--auth=scram-sha-256"]
        done = self._run(["initdb", *options, "--encoding=UTF8", "--no-locale", "--no-sync"])
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr.decode(errors='replace').strip()[-2000:]}")

    def _is_ready(self) -> bool:
        return self._run(["pg_isready", "--quiet", f"--host={self.host}", f"--port={self.port}"]).returncode == 0

    def _run(self, command: list[str], typed: str = "") -> subprocess.CompletedProcess[bytes]:
        program = str(self._programs.folder / command[0])
        return subprocess.run(
            [program, *command[1:]],
            input=typed.encode(),
            capture_output=True,
            timeout=COMMAND_TIMEOUT,
            check=False,
            **self._surroundings(),
        )

    def _surroundings(self) -> dict[str, Any]:
        """How every program is run: as somebody whom PostgreSQL accepts, and without the caller's PG* variables."""
        environment = {"PATH": os.defpath, "LC_ALL": "C", "HOME": str(self._folder)}
        if self._programs.libraries:
            environment["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, self._programs.libraries))
        return {"cwd": self._folder, "env": environment, **_unprivileged()}

    def _log_end(self) -> str:
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""


def _unprivileged() -> dict[str, Any]:
    """Whom to run PostgreSQL as: it refuses root, who becomes `nobody`."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _held_port() -> socket.socket:
    """Return a socket that is bound to a free port but doesn't listen: nobody else gets the port, and the server does.

    Linux lets two sockets have a port where both say SO_REUSEADDR, as PostgreSQL does, and only one listens.
    """
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held
