"""The embedded API server's HTTP: paths in, `api.py`, `listing.py`, `logs.py` and `proxy.py` behind, JSON out."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from watcher.sandbox.cluster import events, listing, logs, proxy, refusal
from watcher.sandbox.cluster.api import Api
from watcher.sandbox.cluster.kinds import DEPLOYMENT, NAMESPACE, POD, REPLICA_SET, Object, discovery
from watcher.sandbox.cluster.routes import Route
from watcher.sandbox.cluster.scale import read_scale, write_scale

REMEMBERED_REQUESTS = 10_000
Parameters = dict[str, str]
Verb = Callable[[Route, Parameters, Any], Object]

HEALTH_PATHS = frozenset({"/readyz", "/livez", "/healthz"})


@dataclass(frozen=True)
class Received:
    """A request as it came in; `path` includes the query."""

    method: str
    path: str
    token: str = field(repr=False)


class Server(ThreadingHTTPServer):
    """Serves an `Api` on a free loopback port; `requests` holds the latest of what came in."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, api: Api) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.api = api
        self.requests: deque[Received] = deque(maxlen=REMEMBERED_REQUESTS)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._watching: set[socket.socket] = set()

    def opened(self, connection: socket.socket) -> None:
        """Remember a client's connection, to be able to cut it."""
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """Forget it."""
        with self._lock:
            self._open.discard(connection)
            self._watching.discard(connection)

    def watching(self, connection: socket.socket) -> None:
        """Remember that a watch is served on it."""
        with self._lock:
            self._watching.add(connection)

    def watched(self, connection: socket.socket) -> None:
        """The watch on it is over."""
        with self._lock:
            self._watching.discard(connection)

    def cut(self, *, watches_only: bool) -> None:
        """Cut the connections of all clients, or of those that watch."""
        with self._lock:
            for connection in list(self._watching if watches_only else self._open):
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client was quicker

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class Handler(BaseHTTPRequestHandler):
    """One client's connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536
    server: Server

    def setup(self) -> None:
        """Tell the server of the connection."""
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        """Tell the server of its end."""
        self.server.closed(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: `Server.requests` is the log."""

    def do_GET(self) -> None:
        """Serve GET; every other method has the same way in."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        self.server.requests.append(Received(self.command, self.path, token))
        try:
            self._serve(body)
        except refusal.Refusal as error:
            self._answer(error.status, error.code)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            refused = refusal.bad_request(f"the object provided does not have the shape of its kind: {error!r}")
            self._answer(refused.status, refused.code)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _serve(self, body: bytes) -> None:
        split = urlsplit(self.path)
        parameters = dict(parse_qsl(split.query, keep_blank_values=True))
        path = split.path.rstrip("/") or "/"
        if path in HEALTH_PATHS:
            self._send(200, b"ok", {"Content-Type": "text/plain; charset=utf-8"})
        elif (document := discovery(path)) is not None:
            self._answer(document)
        else:
            route = Route.read(split.path if "/proxy/" in split.path else path)
            if route.kind is POD and route.subresource == "proxy":
                self._proxy(route, split.query, body)
            elif route.kind is POD and route.subresource == "log":
                self._log(route, parameters)
            elif parameters.get("watch") in {"1", "true"} and self.command == "GET":
                self._watch(route, parameters)
            else:
                self._answer(*self._document(route, parameters, self._json(body)))

    def _document(self, route: Route, parameters: Parameters, body: Any) -> tuple[Object, int]:
        """As `_object`, in the words of the group that was asked."""
        if not route.renamed:
            return self._object(route, parameters, body)
        if self.command == "POST":
            events.check_new_event(body)
        document, code = self._object(route, parameters, events.stored(body))
        return events.shown(document), code

    def _object(self, route: Route, parameters: Parameters, body: Any) -> tuple[Object, int]:
        """The answer to a request for objects, and its HTTP status."""
        kind = route.kind
        if kind is POD and route.subresource == "binding" and self.command == "POST":
            return self._bind(route, body), 201
        if kind in {DEPLOYMENT, REPLICA_SET} and route.subresource == "scale" and self.command != "POST":
            return self._scale(route, body), 200
        if route.subresource not in ({"", "status"} if kind.status else {""}):
            raise refusal.no_such_resource()
        if self.command == "POST" and not route.name and (route.namespace or not kind.namespaced):
            return self.server.api.create(kind, route.namespace, body), 201
        verbs: dict[tuple[str, bool], Verb] = {
            ("GET", True): self._read,
            ("PUT", True): self._replace,
            ("PATCH", True): self._patch,
        }
        verbs |= {("GET", False): self._list}
        if not route.subresource:
            verbs |= {("DELETE", True): self._delete, ("DELETE", False): self._delete_all}
        verb = verbs.get((self.command, bool(route.name)))
        if verb is None:
            raise refusal.method_not_allowed()
        return verb(route, parameters, body), 200

    def _bind(self, route: Route, body: Any) -> Object:
        self.server.api.bind(route.namespace, route.name, body["target"]["name"])
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    def _scale(self, route: Route, body: Any) -> Object:
        where = route.namespace, route.name
        if self.command == "GET":
            return read_scale(self.server.api.read(route.kind, *where))
        return write_scale(self.server.api, route.kind, where, body)

    def _read(self, route: Route, parameters: Parameters, body: Any) -> Object:
        return self.server.api.read(route.kind, route.namespace, route.name)

    def _list(self, route: Route, parameters: Parameters, body: Any) -> Object:
        selection = listing.Selection.read(route.kind, route.namespace, parameters)
        return listing.list_page(self.server.api.store, selection, parameters)

    def _replace(self, route: Route, parameters: Parameters, body: Any) -> Object:
        status = route.subresource == "status"
        return self.server.api.replace(route.kind, route.namespace, route.name, body, status=status)

    def _patch(self, route: Route, parameters: Parameters, body: Any) -> Object:
        where, form = (route.namespace, route.name), self.headers.get_content_type()
        return self.server.api.patch(route.kind, where, form, body, status=route.subresource == "status")

    def _delete(self, route: Route, parameters: Parameters, body: Any) -> Object:
        """Delete; answers with the object where it lingers, and always for pods, else with a Status."""
        options = self._options(parameters, body)
        item = self.server.api.delete(route.kind, route.namespace, route.name, options)
        metadata = item["metadata"]
        if route.kind is POD or "deletionTimestamp" in metadata:
            return item
        details = {**refusal.about(route.kind, metadata["name"]), "uid": metadata["uid"]}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

    def _delete_all(self, route: Route, parameters: Parameters, body: Any) -> Object:
        if route.kind is NAMESPACE:
            raise refusal.method_not_allowed()
        store = self.server.api.store
        selection = listing.Selection.read(route.kind, route.namespace, parameters)
        with store.lock:
            page = listing.list_page(store, selection, {})
            for item in page["items"]:
                where = item["metadata"].get("namespace", ""), item["metadata"]["name"]
                self.server.api.delete(route.kind, *where, self._options(parameters, body))
        return page

    def _options(self, parameters: Parameters, body: Any) -> Object:
        options: Object = dict(body) if isinstance(body, dict) else {}
        if parameters.get("gracePeriodSeconds", "").isdigit():
            options["gracePeriodSeconds"] = int(parameters["gracePeriodSeconds"])
        if "propagationPolicy" in parameters:
            options["propagationPolicy"] = parameters["propagationPolicy"]
        return options

    def _watch(self, route: Route, parameters: Parameters) -> None:
        if route.name:
            parameters = {**parameters, "fieldSelector": f"metadata.name={route.name}"}
        selection = listing.Selection.read(route.kind, route.namespace, parameters)
        changes = listing.watch(self.server.api.store, selection, parameters, self._hung_up)
        self.server.watching(self.connection)
        self.send_response_only(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for event in changes:
            if route.renamed:
                event["object"] = events.shown(event["object"])
            line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
            self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
        self.server.watched(self.connection)

    def _hung_up(self) -> bool:
        """Whether the client has closed: it sends nothing else while it watches."""
        return bool(select.select([self.connection], [], [], 0)[0])

    def _proxy(self, route: Route, query: str, body: bytes) -> None:
        target = proxy.Target.read(route.name)
        pod = self.server.api.read(POD, route.namespace, target.name)
        path = f"/{route.rest}" + (f"?{query}" if query else "")
        passed = proxy.forward(pod, target, self.command, path, proxy.Passed(dict(self.headers.items()), body))
        self._send(passed.status, passed.body, passed.headers)

    def _log(self, route: Route, parameters: Parameters) -> None:
        if self.command != "GET":
            raise refusal.method_not_allowed()
        passed = logs.read(self.server.api, route.namespace, route.name, parameters)
        self._send(passed.status, passed.body, passed.headers)

    def _json(self, body: bytes) -> Any:
        if not body:
            return None
        try:
            return json.loads(body)
        except ValueError as error:
            raise refusal.bad_request(f"the object provided is unrecognized: {error}") from error

    def _answer(self, document: Object, code: int = 200) -> None:
        body = json.dumps(document, separators=(",", ":")).encode()
        self._send(code, body, {"Content-Type": "application/json"})

    def _send(self, code: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
