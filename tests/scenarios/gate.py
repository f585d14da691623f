"""A gate before a real outside system: a reverse proxy on loopback that scenarios make fail, and look through.

It is `watcher.sandbox.stand_in` whose answers come from the real system; the daemon is given the gate's address.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from email.message import Message
from pathlib import Path
from urllib.parse import urlsplit

from watcher.sandbox.stand_in import Reply, Request, StandIn

UPSTREAM_TIMEOUT = 30.0
_PIECE = 65536
# Of one connection only (RFC 9110, 7.6.1), or written anew on each side.
_OWN_HEADERS = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"}
    | {"host", "content-length", "content-type", "date", "server"}
)


class Gate(StandIn):
    """Passes requests on to `upstream`, its certificate checked against `ca_file`, and answers back as they come.

    `before` runs before a request is passed on, `after` when the upstream has carried it out. A Kubernetes watch is
    passed on event by event, until either side ends it. An upstream that can't be reached is answered with 502.
    """

    def __init__(self, upstream: str, ca_file: Path | None = None) -> None:
        super().__init__()
        self._upstream = urlsplit(upstream)
        secure = self._upstream.scheme == "https"
        self._tls = ssl.create_default_context(cafile=str(ca_file) if ca_file else None) if secure else None

    def answer(self, request: Request) -> Reply:
        """Pass `request` on over a connection of its own."""
        connection = self._connection()
        try:
            return self._passed_on(connection, request)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            said = f"{self._upstream.netloc} can't be reached: {error!r}"
            return Reply(502, said.encode(), "text/plain; charset=utf-8")

    def write_kubeconfig(self, path: Path, token: str, namespace: str) -> Path:
        """Write a kubeconfig (JSON, which is YAML too) that leads through the gate; returns `path`."""
        context = {"cluster": "gate", "user": "gate", "namespace": namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "gate",
            "clusters": [{"name": "gate", "cluster": {"server": self.url}}],
            "users": [{"name": "gate", "user": {"token": token}}],
            "contexts": [{"name": "gate", "context": context}],
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=2))
        return path

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls:
            return http.client.HTTPSConnection(self._upstream.netloc, timeout=UPSTREAM_TIMEOUT, context=self._tls)
        return http.client.HTTPConnection(self._upstream.netloc, timeout=UPSTREAM_TIMEOUT)

    def _passed_on(self, connection: http.client.HTTPConnection, request: Request) -> Reply:
        connection.connect()
        upstream: socket.socket = connection.sock
        headers = _passed(request.headers)
        if "Content-Type" in request.headers:
            headers["Content-Type"] = request.headers["Content-Type"]
        connection.request(request.method, self._upstream.path + request.target, request.body or None, headers)
        answer = connection.getresponse()
        content_type, headers = answer.headers.get("Content-Type", ""), _passed(answer.headers)
        if answer.status == http.client.OK and request.query.get("watch", [""])[0] in {"1", "true"}:
            upstream.settimeout(None)  # a watch may be silent for as long as its client stays
            return Reply(answer.status, b"", content_type, headers, _Events(upstream, answer))
        body = answer.read()
        connection.close()
        return Reply(answer.status, body, content_type, headers)


class _Events:
    """The events of a watch, as the upstream sends them."""

    def __init__(self, upstream: socket.socket, answer: http.client.HTTPResponse) -> None:
        self._upstream = upstream
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        try:
            while piece := self._answer.read1(_PIECE):
                yield piece
        except http.client.HTTPException as error:
            raise ConnectionAbortedError(f"the upstream cut the watch: {error!r}") from error

    def cut(self) -> None:
        """Wake the reader: to close a socket that is being read would not."""
        with suppress(OSError):  # the upstream was faster, or it is closed already
            # Not SSLSocket's own: that takes the TLS state from under the reader first.
            socket.socket.shutdown(self._upstream, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._answer.close()
        self._upstream.close()


def _passed(headers: Message) -> dict[str, str]:
    """The headers that go through."""
    named_here = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    return {name: value for name, value in headers.items() if name.lower() not in _OWN_HEADERS | named_here}
