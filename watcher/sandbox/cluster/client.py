"""A small client for any Kubernetes API server, with the standard library alone; the node uses it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from watcher.sandbox.cluster.kinds import Object
from watcher.sandbox.cluster.patches import MERGE_PATCH

TIMEOUT = 10.0


class Refused(Exception):
    """The API server answered, but not with success; `code` is its HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Client:
    """Requests to one API server, over a connection for each thread; raises `Refused`, or OSError if none answers."""

    def __init__(self, url: str, token: str, ca_file: Path | None = None) -> None:
        split = urlsplit(url)
        self._host, self._secure = split.netloc, split.scheme == "https"
        self._tls = ssl.create_default_context(cafile=str(ca_file)) if ca_file else None
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open: set[http.client.HTTPConnection] = set()
        self._closed = False

    def close(self) -> None:
        """Cut every connection, those that other threads wait on too; whatever is asked afterwards raises OSError."""
        with self._lock:
            self._closed = True
            for connection in self._open:
                if connection.sock:
                    with contextlib.suppress(OSError):
                        # not SSLSocket.shutdown, which takes the TLS state away from under a reading thread
                        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
        self.drop_kept()

    def get(self, path: str) -> Object:
        """The document at `path`."""
        return self._request("GET", path, None, "application/json")

    def create(self, path: str, body: Object) -> Object:
        """POST an object."""
        return self._request("POST", path, body, "application/json")

    def merge(self, path: str, change: Object) -> Object:
        """PATCH with a merge patch."""
        return self._request("PATCH", path, change, MERGE_PATCH)

    def delete(self, path: str, options: Object) -> Object:
        """DELETE with `DeleteOptions`."""
        return self._request("DELETE", path, options, "application/json")

    def watch(self, path: str) -> Iterator[Object]:
        """The events of the watch at `path`, until the server ends it; its `timeoutSeconds` must be below `TIMEOUT`."""
        connection = self._connect()
        try:
            connection.request("GET", path, headers=self._headers)
            if self._closed:  # while the connection was made, so that it wasn't cut
                return
            with connection.getresponse() as answer:
                if answer.status != http.client.OK:
                    raise Refused(answer.status, answer.read().decode(errors="replace"))
                while line := answer.readline():
                    yield json.loads(line)
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            self._drop(connection)

    def _request(self, method: str, path: str, body: Object | None, form: str) -> Object:
        payload = None if body is None else json.dumps(body)
        headers = {**self._headers, "Content-Type": form}
        kept = getattr(self._local, "connection", None)
        try:
            status, text = self._exchange(kept or self._connect(), method, path, (payload, headers))
        except ConnectionError:
            if kept is None:
                raise
            # a server may close an idle connection at any moment
            status, text = self._exchange(self._connect(), method, path, (payload, headers))
        document: Object = json.loads(text)
        if status >= http.client.BAD_REQUEST:
            raise Refused(status, str(document.get("message")))
        return document

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, sent: tuple[str | None, dict[str, str]]
    ) -> tuple[int, bytes]:
        payload, headers = sent
        self._local.connection = None
        try:
            connection.request(method, path, payload, headers)
            answer = connection.getresponse()
            text = answer.read()
        except http.client.HTTPException as error:
            self._drop(connection)
            raise ConnectionError(str(error)) from error
        except OSError:
            self._drop(connection)
            raise
        self._local.connection = connection
        return answer.status, text

    def _connect(self) -> http.client.HTTPConnection:
        connection = (
            http.client.HTTPSConnection(self._host, timeout=TIMEOUT, context=self._tls)
            if self._secure
            else http.client.HTTPConnection(self._host, timeout=TIMEOUT)
        )
        with self._lock:
            if self._closed:
                raise ConnectionError("this client is closed")
            self._open.add(connection)
        return connection

    def _drop(self, connection: http.client.HTTPConnection | None) -> None:
        if connection:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def drop_kept(self) -> None:
        """Close the connection that this thread keeps open: a thread that used the client calls it before it ends."""
        self._drop(getattr(self._local, "connection", None))
        self._local.connection = None
