"""Fixtures: the canned API, an adapter connected to it, and a server that speaks in bytes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.systems.fault_matrix import PATIENCE, TIMEOUT
from tests.systems.prometheus.canned import TOKEN, Api
from watcher.systems.prometheus import Prometheus, PrometheusSettings
from watcher.systems.secret_file import SecretFile


@pytest.fixture
def api() -> Iterator[Api]:
    """Start the canned API."""
    with Api() as listening:
        yield listening


@pytest.fixture
def token(tmp_path: Path) -> SecretFile:
    """Write the bearer token to a file."""
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return SecretFile(path)


@pytest.fixture
def prometheus(api: Api, token: SecretFile) -> Prometheus:
    """Connect the adapter to the canned API."""
    return Prometheus(PrometheusSettings(api.url, TIMEOUT, token))


@pytest.fixture
def talk() -> Iterator[Callable[[bytes, bytes], str]]:
    """Serve one connection at the byte level: send the first text, then the second byte by byte; return the URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threads: list[threading.Thread] = []

        def serve(at_once: bytes, dripping: bytes) -> None:
            connection, _ = server.accept()
            with closing(connection):
                connection.recv(65536)
                connection.sendall(at_once)
                for byte in dripping:
                    time.sleep(TIMEOUT / 5)
                    try:
                        connection.sendall(bytes([byte]))
                    except OSError:
                        return  # the client has had enough, as it should

        def start(at_once: bytes, dripping: bytes) -> str:
            threads.append(threading.Thread(target=serve, args=(at_once, dripping)))
            threads[0].start()
            return f"http://127.0.0.1:{server.getsockname()[1]}"

        yield start
        threads[0].join(PATIENCE)
        assert not threads[0].is_alive()
