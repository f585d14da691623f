"""The sockets of a stand-in: a port that can be closed and opened again, a thread for each connection, HTTP in and out.

`stand_in` says what is answered, and when it is a failure.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in. `headers` ignores case, `query` holds each parameter's values.

    `target` is path and query as they were sent.
    """

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Message
    body: bytes
    target: str


class Stream(Protocol):
    """A body without a known end: its pieces as they come."""

    def __iter__(self) -> Iterator[bytes]:
        """Wait for each piece; raises OSError where its source is cut, so that the client sees it cut too."""

    def cut(self) -> None:
        """End the iteration, from another thread; harmless at any time, and more than once."""

    def close(self) -> None:
        """Give back what it holds; called once, by the thread that iterates or would have."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: `body`, or the pieces of `stream` as they come, until it ends or the client goes away."""

    status: int
    body: bytes = b""
    content_type: str = "application/json; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: Stream | None = None


def json_reply(status: int, value: object, headers: Mapping[str, str] | None = None) -> Reply:
    """Return `value` as a JSON answer."""
    return Reply(status, json.dumps(value).encode(), headers=headers or {})


class Listener:
    """A port of `host` whose requests are answered by `reply_to`.

    That returns the answer (None: never answer), and whether to hang once half of it is sent.
    """

    def __init__(self, host: str, reply_to: Callable[[Request], tuple[Reply | None, bool]]) -> None:
        self.reply_to = reply_to
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._hung: set[socket.socket] = set()
        self._server = _Server(self, _bound(host, 0))
        self.host, self.port = self._server.server_address
        self._accepting: threading.Thread | None = None

    def open(self) -> None:
        """Accept connections; harmless where it does already."""
        if self._accepting is None:
            self._server.server_activate()
            self._accepting = threading.Thread(target=self._server.accept_until_poked, daemon=True)
            self._accepting.start()

    def close(self) -> None:
        """Stop listening but keep the port bound, so that nobody else gets it; cut what is connected."""
        if self._accepting is None:
            return
        self._server.poke()
        self._accepting.join()
        self._accepting = None
        self._server.socket.close()
        self._server = _Server(self, _bound(self.host, self.port))
        with self._lock:
            for connection in self._connections:
                _cut(connection)

    def stop(self) -> None:
        """Close the port and every connection, and give the port back."""
        self.close()
        self._server.socket.close()

    def let_go(self) -> None:
        """Cut the connections that hang."""
        with self._lock:
            for connection in self._hung:
                _cut(connection)

    def hang(self, connection: socket.socket) -> None:
        """Keep a connection waiting until its client gives up, or until `let_go` or `close`."""
        with self._lock:
            self._hung.add(connection)
        while connection.recv(1024):
            pass

    def opened(self, connection: socket.socket) -> None:
        """Note a new connection, so that it can be cut."""
        with self._lock:
            self._connections.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """Forget a connection; cutting it wakes whoever still waits for its client."""
        with self._lock:
            self._connections.discard(connection)
            self._hung.discard(connection)
        _cut(connection)


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket bound to `port` that doesn't listen yet: connecting to it is refused."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    return bound


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):  # the other side was faster
        connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    """The accepting half: a thread for each connection, none of which outlives the process."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    server_address: tuple[str, int]

    def __init__(self, owner: Listener, bound: socket.socket) -> None:
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
            self.owner.opened(connection)  # before its thread runs, so that none escapes a cut
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
    """One connection: reads requests and writes the replies."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def finish(self) -> None:
        self.server.owner.closed(self.connection)
        super().finish()

    def _serve(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:  # the client died while it sent: no server carries out half a request
            self.close_connection = True
            return
        query = parse_qs(url.query, keep_blank_values=True)
        request = Request(self.command, url.path, query, self.headers, body, self.path)
        reply, half = self.server.owner.reply_to(request)
        if reply and reply.stream:
            self._relay(reply, reply.stream, half)
        elif reply:
            self._send(reply, reply.body[: len(reply.body) // 2] if half else reply.body)
        if half or reply is None:
            self.close_connection = True
            self.server.owner.hang(self.connection)

    def _send(self, reply: Reply, body: bytes) -> None:
        self._head(reply)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(body)

    def _relay(self, reply: Reply, stream: Stream, half: bool) -> None:
        """Send each piece as it comes; only half of the first, without an end, if `half`."""
        with closing(stream):
            self._head(reply)
            self.send_header("Connection", "close")  # all that the client does from here on is go away
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            threading.Thread(target=self._cut_when_gone, args=(stream,), daemon=True).start()
            for piece in stream:
                self.wfile.write(b"%x\r\n%b" % (len(piece), piece[: len(piece) // 2] if half else piece + b"\r\n"))
                if half:
                    return
            self.wfile.write(b"0\r\n\r\n")

    def _cut_when_gone(self, stream: Stream) -> None:
        """Cut `stream` as soon as the client has gone or was cut itself, though no piece may come for hours."""
        with suppress(OSError):
            while self.connection.recv(1024):
                pass
        stream.cut()

    def _head(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        for name, value in reply.headers.items():
            self.send_header(name, value)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: `StandIn.requests` holds every request."""
