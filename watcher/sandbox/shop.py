"""A small shop: takes orders over HTTP and exports Prometheus metrics, as good or bad as its pod template makes it.

One Shop is one pod, with its own port and its own metrics. The embedded cluster runs its pods as objects in one
process; `python -m watcher.sandbox.shop` runs one alone. Nothing of ours is imported: any container can run this file.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from types import FrameType, TracebackType
from typing import Self

# The usual ones of the Prometheus client libraries; 0.5 is the shipped SLO.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
IDLE_TIMEOUT = 60.0
ORDER_PAGE = b"<!doctype html><title>Shop</title><p>Thank you for your order.</p>\n"
FAILURE_PAGE = b"<!doctype html><title>Shop</title><p>Your order could not be placed.</p>\n"


@dataclass(frozen=True, slots=True)
class ShopSettings:
    """How a release behaves: the share of orders that fail (0 to 1), seconds for an order, what /readyz says."""

    error_rate: float = 0.0
    latency: float = 0.0
    ready: bool = True

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> ShopSettings:
        """Read ERROR_RATE, LATENCY and READY as a pod template carries them; a ValueError names the wrong one."""
        return cls(_number(env, "ERROR_RATE", most=1.0), _number(env, "LATENCY", most=60.0), _flag(env, "READY"))


def _number(env: Mapping[str, str], name: str, most: float) -> float:
    written = env.get(name, "0")
    try:
        number = float(written)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise ValueError(f"{name} is {written!r}; it is a number from 0 to {most:g}")
    return number


def _flag(env: Mapping[str, str], name: str) -> bool:
    written = env.get(name, "true")
    if written not in {"true", "false"}:
        raise ValueError(f'{name} is {written!r}; it is "true" or "false"')
    return written == "true"


class _Metrics:
    """The counters of one pod, and their text format."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Both from the start: increase() does not see the first value of a series that appears later.
        self._codes = {200: 0, 500: 0}
        self._buckets = [0] * len(BUCKETS)
        self._seconds = 0.0

    def observe(self, code: int, seconds: float) -> None:
        """Count one answered order."""
        with self._lock:
            self._codes[code] += 1
            self._seconds += seconds
            for i, bound in enumerate(BUCKETS):
                self._buckets[i] += seconds <= bound

    def text(self) -> bytes:
        """Write everything in the text format that Prometheus scrapes."""
        name = "http_request_duration_seconds"
        with self._lock:
            count = sum(self._codes.values())
            lines = ["# HELP http_requests_total Orders answered.", "# TYPE http_requests_total counter"]
            lines += [f'http_requests_total{{code="{code}"}} {number}' for code, number in self._codes.items()]
            lines += [f"# HELP {name} Time to answer an order.", f"# TYPE {name} histogram"]
            lines += [f'{name}_bucket{{le="{le}"}} {n}' for le, n in zip(BUCKETS, self._buckets, strict=True)]
            lines += [f'{name}_bucket{{le="+Inf"}} {count}', f"{name}_sum {self._seconds!r}", f"{name}_count {count}"]
        return "\n".join([*lines, ""]).encode()


class Shop:
    """One pod of the shop, serving from `start` to `stop`; use it as a context manager or call these.

    `settings` may be replaced while it serves, as when something that it depends on breaks. Which orders fail is fixed
    by their count: at an error rate of 0.2 each fifth does.
    """

    def __init__(self, settings: ShopSettings, host: str = "127.0.0.1", port: int = 0) -> None:
        self.settings = settings
        self.metrics = _Metrics()
        self._owed = 0.0
        self._lock = threading.Lock()
        self._server = _Server(self, host, port)

    @property
    def address(self) -> str:
        """Where it serves, as `host:port`."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def start(self) -> Self:
        """Serve in the background, and return self."""
        threading.Thread(target=self._server.accept_all, name=f"shop {self.address}", daemon=True).start()
        return self

    def stop(self) -> None:
        """Close the port and every connection at once, as a killed pod does."""
        self._server.close_all()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def order(self) -> HTTPStatus:
        """Take an order: spend its time, count it, and say whether it succeeded."""
        started = time.perf_counter()
        settings = self.settings
        with self._lock:
            self._owed += settings.error_rate
            fails = self._owed > 1 - 1e-9
            self._owed -= fails
        if settings.latency:
            time.sleep(settings.latency)
        status = HTTPStatus.INTERNAL_SERVER_ERROR if fails else HTTPStatus.OK
        self.metrics.observe(status, time.perf_counter() - started)
        return status


class _Server(ThreadingTCPServer):
    """The sockets of one shop. A thread waits in accept(), which costs nothing, where serve_forever() would poll."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, shop: Shop, host: str, port: int) -> None:
        super().__init__((host, port), _Handler)
        self.shop = shop
        self._connections: set[socket.socket] = set()
        self._closed = False
        self._lock = threading.Lock()

    def accept_all(self) -> None:
        """Hand each connection to a thread of its own, until the port is closed."""
        while True:
            try:
                connection, client = self.get_request()
            except OSError:
                return
            with self._lock:
                self._connections.add(connection)
                late = self._closed
            if late:
                self.shutdown_request(connection)
            else:
                self.process_request(connection, client)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Close a connection that has ended."""
        if isinstance(request, socket.socket):
            with self._lock:
                self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Be quiet about connections that end early: customers hang up, and pods are killed."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def close_all(self) -> None:
        """Close the port and cut all connections; calling it twice is harmless."""
        with self._lock:
            self._closed = True
            for one in [self.socket, *self._connections]:
                _cut(one)
        self.socket.close()


def _cut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was faster


class _Handler(BaseHTTPRequestHandler):
    """One connection of a customer, a probe or Prometheus."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_TIMEOUT
    server: _Server

    def do_GET(self) -> None:
        """Answer the order page, the readiness probe and the metrics."""
        shop = self.server.shop
        if self.path == "/":
            status = shop.order()
            self._send(status, ORDER_PAGE if status == HTTPStatus.OK else FAILURE_PAGE, "text/html; charset=utf-8")
        elif self.path == "/readyz":
            ready = shop.settings.ready
            self._send(HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, b"ok\n" if ready else b"not ready\n")
        elif self.path == "/metrics":
            self._send(HTTPStatus.OK, shop.metrics.text(), "text/plain; version=0.0.4; charset=utf-8")
        else:
            self._send(HTTPStatus.NOT_FOUND, b"no such page\n")

    def _send(self, status: HTTPStatus, body: bytes, content_type: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the metrics say it all."""


def main() -> None:
    """Run one pod until SIGTERM or SIGINT. What is not said on the command line comes from the environment."""
    parser = argparse.ArgumentParser(
        prog="python -m watcher.sandbox.shop", description="One pod of the sandbox's shop."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--error-rate", metavar="SHARE", help="share of orders that fail, 0 to 1 (ERROR_RATE)")
    parser.add_argument("--latency", metavar="SECONDS", help="time that an order takes (LATENCY)")
    parser.add_argument("--ready", choices=("true", "false"), help="what /readyz says (READY)")
    said = parser.parse_args()
    flags = {"ERROR_RATE": said.error_rate, "LATENCY": said.latency, "READY": said.ready}
    try:
        settings = ShopSettings.from_env({**os.environ, **{name: value for name, value in flags.items() if value}})
    except ValueError as error:
        parser.error(str(error))
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    with Shop(settings, said.host, said.port) as shop:
        print(f"serving on {shop.address}", flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
