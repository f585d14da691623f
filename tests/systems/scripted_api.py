"""An API server on loopback whose LIST is `objects` and whose WATCH is a script: for streams that go wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from kubernetes.client import Configuration

from watcher.systems.kubernetes import Connection

Json = dict[str, Any]
TOKEN = "t0ken-of-the-watcher-WXYZ"


def connect(url: str, timeout: float = 0.5) -> Connection:
    """Connect to a server that listens without TLS, with `TOKEN`."""
    configuration = Configuration(host=url)
    configuration.api_key["BearerToken"] = f"Bearer {TOKEN}"
    return Connection(configuration, "own-namespace", timeout)


def config_map(name: str, version: str, value: str = "") -> Json:
    """Return a ConfigMap as the API gives it."""
    return {"metadata": {"name": name, "namespace": "shop", "resourceVersion": version}, "data": {"value": value}}


def event(kind: str, item: Json) -> bytes:
    """Return one line of a watch."""
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


def gone() -> bytes:
    """Return an ERROR event of a watch whose resourceVersion is too old."""
    return event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})


class Watch:
    """One WATCH that a client has open; a script's means to feed it."""

    def __init__(self, handler: BaseHTTPRequestHandler, query: Mapping[str, str], ended: threading.Event) -> None:
        self._handler = handler
        self._ended = ended
        self.query = query

    def send(self, line: bytes) -> None:
        """Send one chunk."""
        self._handler.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def finish(self) -> None:
        """End the stream as a server does whose time is up."""
        self._handler.wfile.write(b"0\r\n\r\n")

    def hang(self) -> None:
        """Keep it open, silent, until the server stops."""
        self._ended.wait()


class ScriptedApi:
    """Use it as a context manager. `on_watch` runs for each WATCH, `on_list` answers each LIST with (status, body)."""

    def __init__(self) -> None:
        self.objects: list[Json] = []
        self.version = "10"
        self.lists: list[Mapping[str, str]] = []
        self.watches: list[Mapping[str, str]] = []
        self.on_watch: Callable[[Watch], None] = Watch.hang
        self.on_list: Callable[[Mapping[str, str]], tuple[int, Json]] = self.whole_list
        self._ended = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def whole_list(self, query: Mapping[str, str]) -> tuple[int, Json]:
        """Answer with all objects on one page."""
        return 200, {"kind": "List", "metadata": {"resourceVersion": self.version}, "items": self.objects}

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Serve one request."""
        query = dict(parse_qsl(urlsplit(handler.path).query))
        if query.get("watch") != "true":
            self.lists.append(query)
            status, body = self.on_list(query)
            content = json.dumps(body).encode()
            handler.send_response(status)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)
            return
        self.watches.append(query)
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.close_connection = True
        self.on_watch(Watch(handler, query, self._ended))

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    owner: ScriptedApi

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Pass it to the owner."""
        self.server.owner.answer(self)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""
