"""The kubelet's own HTTPS server, which API servers ask for the logs of a node's pods; `node.py` starts it.

An API server finds it by the Node object, and does not check its certificate unless it is told which to expect
(`--kubelet-certificate-authority`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from watcher.sandbox.cluster.certificate import server_side
from watcher.sandbox.cluster.kinds import Object

Logs = Callable[[str, str, str], bytes | None]
"""What a container has written, by namespace, pod and container; None where no such pod runs or ran."""

ADDRESS = "127.0.0.1"
TIMEOUT = 10.0
LIMIT = "limitBytes"


class Kubelet:
    """Serves `GET /containerLogs/NAMESPACE/POD/CONTAINER?limitBytes=` on a free loopback port, for whoever asks."""

    def __init__(self, logs: Logs) -> None:
        self._server = _Server(logs)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="kubelet", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def node(self, name: str) -> Object:
        """The Node object that leads here."""
        return {
            "metadata": {"name": name},
            "status": {
                "addresses": [{"type": "InternalIP", "address": ADDRESS}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": self._server.server_port}},
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            },
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, logs: Logs) -> None:
        super().__init__((ADDRESS, 0), _Handler)
        self.logs = logs
        # the handshake is left to the handler's thread: here a silent client would keep everybody else waiting
        self.socket = server_side().wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    """One request; HTTP/1.0, so that no connection outlives the kubelet."""

    timeout = TIMEOUT
    server: _Server

    def do_GET(self) -> None:
        """Answer as a kubelet does: 404 for an unknown path, 400 in plain words for a container without a log."""
        split = urlsplit(self.path)
        asked = dict(parse_qsl(split.query))
        match [unquote(part) for part in split.path.split("/")]:
            case ["", "containerLogs", namespace, pod, container]:
                self._send(*self._log((namespace, pod, container), asked))
            case _:
                self._send(404, b"404 page not found")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _log(self, where: tuple[str, str, str], asked: dict[str, str]) -> tuple[int, bytes]:
        if unknown := asked.keys() - {LIMIT}:
            return 400, f"the sandbox's kubelet gives whole logs, without {', '.join(sorted(unknown))}".encode()
        log = self.server.logs(*where)
        if log is None:
            return 400, f'container "{where[2]}" in pod "{where[1]}" is not available'.encode()
        return 200, log[: int(asked[LIMIT])] if LIMIT in asked else log

    def _send(self, status: int, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
