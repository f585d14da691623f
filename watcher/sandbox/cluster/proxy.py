"""The pod proxy subresource: passes a request on to a pod's own address and its answer back."""

from __future__ import annotations

import http.client
from dataclasses import dataclass

from watcher.sandbox.cluster.kinds import Object
from watcher.sandbox.cluster.refusal import Refusal, bad_request

TIMEOUT = 30.0
DEFAULT_PORT = 80
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host", "authorization"})


@dataclass(frozen=True)
class Passed:
    """A request on its way to a pod, or the pod's answer on its way back (`status`)."""

    headers: dict[str, str]
    body: bytes
    status: int = 0


@dataclass(frozen=True)
class Target:
    """A pod as it is named in a proxy path: `[http:]NAME[:PORT]`."""

    name: str
    port: int

    @classmethod
    def read(cls, text: str) -> Target:
        """From the path segment; port 0 where none is named. Raises a 400 for a scheme other than http."""
        parts = text.split(":")
        scheme, name, port = {1: ["http", *parts, ""], 2: ["http", *parts], 3: parts}.get(len(parts), ["", "", ""])
        if scheme not in {"", "http"} or not (port == "" or port.isdigit()):
            raise bad_request(f'invalid pod request "{text}"')
        return cls(name, int(port or 0))


def forward(pod: Object, target: Target, method: str, path: str, request: Passed) -> Passed:
    """Send a request to the pod; raises a 400 where it has no address yet and a 503 where it can't be reached.

    Unlike a real API server's, this proxy does reach pods on loopback: in the sandbox all of them are.
    """
    address = pod["status"].get("podIP")
    if not address:
        raise bad_request("address not allowed")
    port = target.port or _first_port(pod)
    connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT)
    try:
        connection.request(method, path, request.body or None, _end_to_end(request.headers))
        answer = connection.getresponse()
        return Passed(_end_to_end(dict(answer.getheaders())), answer.read(), answer.status)
    except (OSError, http.client.HTTPException) as error:
        message = f"error trying to reach service: dial tcp {address}:{port}: {error}"
        raise Refusal(503, "ServiceUnavailable", message) from error
    finally:
        connection.close()


def _first_port(pod: Object) -> int:
    ports = [port["containerPort"] for container in pod["spec"]["containers"] for port in container.get("ports") or ()]
    return int(ports[0]) if ports else DEFAULT_PORT


def _end_to_end(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP_BY_HOP}
