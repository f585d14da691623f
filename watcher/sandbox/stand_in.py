"""An HTTP server on loopback that stands in for an outside system, and that can be made to fail in the usual ways.

`pagerduty` and `slack` beside it say what is answered; the demo and the tests start them and make them fail.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal, Self
from urllib.parse import parse_qs, urlsplit

Mode = Literal["refused", "timeout", "hung-halfway", "429", "500", "html", "wrong-shape"]

RETRY_AFTER = 7
"""The seconds that a rate-limited answer asks for."""

HTML = b"<!doctype html><html><head><title>Sign in</title></head><body>Please sign in to the proxy.</body></html>"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in. `headers` ignores case, `query` holds each parameter's values."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Message
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back."""

    status: int
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(status: int, value: object, headers: Mapping[str, str] | None = None) -> Reply:
    """Return `value` as a JSON answer."""
    return Reply(status, json.dumps(value).encode(), headers=headers or {})


@dataclass(slots=True)
class _Outage:
    """A mode in force for the paths under `prefix`; `left` counts the requests that it still takes, None: all."""

    mode: Mode
    prefix: str
    left: int | None
    shape: object


class StandIn:
    """A threaded HTTP server on 127.0.0.1 that answers with `answer`, unless told to fail.

    `before` runs when a request has come in and nothing is done yet; `after` when it was carried out and nothing is
    answered yet, which is where a client that dies leaves the most behind. `requests` and `violations` grow as requests
    come in; both are only ever appended to.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.requests: list[Request] = []
        self.violations: list[str] = []
        self.before: Callable[[Request], None] = lambda request: None
        self.after: Callable[[Request], None] = lambda request: None
        self._outages: list[_Outage] = []
        self._connections: set[socket.socket] = set()
        self._hung: set[socket.socket] = set()
        self._server = _Server(self, _bound(0))
        self.port: int = self._server.server_address[1]
        self._accepting: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The base address, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    def answer(self, request: Request) -> Reply:
        """Carry `request` out and return what to answer."""
        raise NotImplementedError

    def limited(self, request: Request) -> Reply:
        """Return the answer to a client that asks too often; `request` was not carried out."""
        return json_reply(429, {"error": "too many requests"}, {"Retry-After": str(RETRY_AFTER)})

    def violate(self, rule: str) -> None:
        """Note that a request broke one of the vendor's documented rules."""
        with self.lock:
            self.violations.append(rule)

    def start(self) -> Self:
        """Listen, and return self."""
        self._listen()
        return self

    def stop(self) -> None:
        """Close the port and every connection, the hung ones too."""
        self._close()
        self._server.socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def inject(self, mode: Mode, *, prefix: str = "/", times: int | None = None, shape: object = None) -> None:
        """Fail in `mode` from now on: on paths that start with `prefix`, `times` times (None: until `recover`).

        `refused` closes the port itself and so takes every path. `timeout` carries nothing out and never answers;
        `hung-halfway` carries the request out and then sends half of the answer. `shape` is the JSON of `wrong-shape`.
        """
        if mode == "refused":
            self._close()
            return
        with self.lock:
            self._outages.append(_Outage(mode, prefix, times, shape))

    def recover(self) -> None:
        """End every failure: let hung connections go, and listen again on the same port."""
        with self.lock:
            self._outages.clear()
            for connection in self._hung:
                _cut(connection)
        self._listen()

    def _listen(self) -> None:
        if self._accepting is None:
            self._server.server_activate()
            self._accepting = threading.Thread(target=self._server.accept_until_poked, daemon=True)
            self._accepting.start()

    def _close(self) -> None:
        """Stop listening but keep the port bound, so that nobody else gets it; cut what is connected."""
        if self._accepting is None:
            return
        self._server.poke()
        self._accepting.join()
        self._accepting = None
        self._server.socket.close()
        self._server = _Server(self, _bound(self.port))
        with self.lock:
            for connection in self._connections:
                _cut(connection)

    def _take_outage(self, path: str) -> _Outage | None:
        """Return the failure that the next request to `path` meets, and count it."""
        with self.lock:
            for outage in self._outages:
                if path.startswith(outage.prefix) and outage.left != 0:
                    outage.left = None if outage.left is None else outage.left - 1
                    return outage
        return None

    def reply_to(self, request: Request) -> tuple[Reply | None, bool]:
        """Return the answer to `request` (None: never answer), and whether to hang once half of it is sent."""
        with self.lock:
            self.requests.append(request)
        outage = self._take_outage(request.path)
        if outage and outage.mode == "timeout":
            return None, False
        if outage and outage.mode != "hung-halfway":
            return self._failure(outage, request), False
        self.before(request)
        reply = self.answer(request)
        self.after(request)
        return reply, outage is not None

    def _failure(self, outage: _Outage, request: Request) -> Reply:
        if outage.mode == "429":
            return self.limited(request)
        if outage.mode == "html":
            return Reply(200, HTML, "text/html; charset=utf-8")
        if outage.mode == "wrong-shape":
            return json_reply(200, outage.shape)
        return json_reply(500, {"error": "internal server error"})

    def hang(self, connection: socket.socket) -> None:
        """Keep a connection waiting until its client gives up, or until `recover` or `stop`."""
        with self.lock:
            self._hung.add(connection)
        while connection.recv(1024):
            pass

    def opened(self, connection: socket.socket) -> None:
        """Note a new connection, so that it can be cut."""
        with self.lock:
            self._connections.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self.lock:
            self._connections.discard(connection)
            self._hung.discard(connection)


def _bound(port: int) -> socket.socket:
    """Return a socket bound to `port` that doesn't listen yet: connecting to it is refused."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was faster


class _Server(ThreadingHTTPServer):
    """The accepting half: a thread for each connection, none of which outlives the process."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, owner: StandIn, bound: socket.socket) -> None:
        super().__init__(bound.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = bound
        self.server_address = bound.getsockname()
        self.owner = owner
        self._poked = False

    def accept_until_poked(self) -> None:
        """Accept connections, each into a thread of its own. Unlike `serve_forever` it ends without a poll's delay."""
        while True:
            connection, address = self.socket.accept()
            if self._poked:
                connection.close()
                return
            self.process_request(connection, address)

    def poke(self) -> None:
        """Make `accept_until_poked` end, by a last connection."""
        self._poked = True
        socket.create_connection(self.socket.getsockname()).close()

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Be quiet about clients that hang up, as they do when they time out or are killed; show everything else."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection: reads requests and writes what the stand-in replies."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.owner.opened(self.connection)

    def finish(self) -> None:
        self.server.owner.closed(self.connection)
        super().finish()

    def _serve(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = parse_qs(url.query, keep_blank_values=True)
        reply, half = self.server.owner.reply_to(Request(self.command, url.path, query, self.headers, body))
        if reply:
            self._send(reply, reply.body[: len(reply.body) // 2] if half else reply.body)
        if half or reply is None:
            self.close_connection = True
            self.server.owner.hang(self.connection)

    def _send(self, reply: Reply, body: bytes) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: `StandIn.requests` holds every request."""
