"""The API server over HTTP: JSON in, JSON out, every failure a Fault, every call bounded in time, nothing retried.

The `kubernetes` client gives connection, credentials and TLS only: its typed models (37) drop fields they don't know.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Self, TypeVar
from urllib.parse import urlencode, urlsplit

import urllib3
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException

from watcher import __version__
from watcher.systems.kubernetes import credentials, paths
from watcher.systems.kubernetes.faults import (
    Gone,
    Invalid,
    Json,
    KubernetesFault,
    Malformed,
    Unavailable,
    answered,
    status_object,
    unreachable,
)
from watcher.systems.kubernetes.stream import Stream

Kept = TypeVar("Kept")
Query = Mapping[str, str]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

TIMEOUT = 5.0  # seconds, to connect and be answered; the body may take as long again
_CONNECTIONS = 32  # kept open: about 20 threads and the watches
_LIST_ATTEMPTS = 3
_LIST_PAGE = 50  # objects; with 4,000 to list, pages of 200 cost 15 MB more, and are no faster
_CHUNK = 65536
_PROXIED = 65536  # bytes of a pod's answer that are looked at
_LOGGED = 65536  # bytes of a pod's log, where a caller does not say


@dataclass(frozen=True, slots=True)
class _Ask:
    """One request, as it is sent and as messages name it."""

    method: Method
    path: str
    query: Query | None = None
    body: Json | list[Json] | None = None
    content_type: str = "application/json"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Connection:
    """One API server, shared by all threads. `namespace` is the daemon's own, `server` the address for messages.

    All calls raise KubernetesFault's subclasses and nothing else.
    """

    def __init__(self, configuration: Configuration, namespace: str, timeout: float = TIMEOUT) -> None:
        configuration.retries = False  # urllib3 would try four times; redirects are not followed either
        configuration.connection_pool_maxsize = _CONNECTIONS
        configuration.keep_alive = True  # a peer that vanished is found out in about two minutes, not in hours
        self._client = ApiClient(configuration)
        self._timeout = timeout
        self.namespace = namespace
        address = urlsplit(configuration.host)
        self.server = f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"

    @classmethod
    def open(cls, kubeconfig: str | None = None, context: str | None = None) -> Self:
        """Connect to the cluster that is configured (see credentials.load); sends nothing yet. Raises NotConfigured."""
        return cls(*credentials.load(kubeconfig, context))

    def within(self, timeout: float) -> Self:
        """Give the same connection, its calls bounded by `timeout` seconds instead."""
        other = copy.copy(self)
        other._timeout = timeout
        return other

    def get(self, path: str, query: Query | None = None) -> Json:
        """GET one object, or one page of a list."""
        return self._json(_Ask("GET", path, query))

    def create(self, path: str, body: Json) -> Json:
        """POST a new object to its collection's path; what was stored comes back. AlreadyExists where it is there."""
        return self._json(_Ask("POST", path, body=body))

    def replace(self, path: str, body: Json) -> Json:
        """PUT an object; with a resourceVersion in its metadata, Conflict where it has changed since."""
        return self._json(_Ask("PUT", path, body=body))

    def delete(self, path: str, query: Query | None = None) -> Json:
        """DELETE an object; `query` may hold a propagationPolicy (Jobs leave their pods behind without)."""
        return self._json(_Ask("DELETE", path, query))

    def json_patch(self, path: str, ops: list[Json]) -> Json:
        """Patch by RFC 6902; Invalid where a `test` does not hold, and then nothing is changed."""
        return self._json(_Ask("PATCH", path, body=ops, content_type="application/json-patch+json"))

    def merge_patch(self, path: str, body: Json) -> Json:
        """Patch by RFC 7386: None removes a key, a list is replaced as a whole."""
        return self._json(_Ask("PATCH", path, body=body, content_type="application/merge-patch+json"))

    def pages(self, path: str, query: Query | None = None, limit: int = 200) -> Iterator[Json]:
        """Read a list page by page, all of one instant. Raises Gone if that instant grows too old in between."""
        more = ""
        while True:
            page = self.get(path, {**(query or {}), "limit": str(limit), **({"continue": more} if more else {})})
            items = page.get("items")
            if not isinstance(items, list) or not all(map(_is_object, items)):
                raise Malformed(f"GET {path}: the answer is not a list of objects")
            yield page
            more = str(page["metadata"].get("continue") or "")
            if not more:
                return

    def listing(self, path: str, query: Query | None, trim: Callable[[Json], Kept]) -> tuple[list[Kept], str]:
        """Read a whole list, each object trimmed as its page comes in; with it the resourceVersion to watch from.

        A 410 between pages starts over, three times at most: an earlier attempt's pages are of another instant.
        """
        for attempt in range(1, _LIST_ATTEMPTS + 1):
            items: list[Kept] = []
            version = ""
            try:
                for page in self.pages(path, query, _LIST_PAGE):
                    items.extend(map(trim, page["items"]))
                    version = str(page["metadata"].get("resourceVersion") or "")
                if not version:
                    raise Malformed(f"GET {path}: the list has no resourceVersion")
                return items, version
            except Gone:
                if attempt == _LIST_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    def stream(self, path: str, query: Query | None, read_timeout: float) -> Stream:
        """Open a watch; `read_timeout` bounds in seconds how long it may stay silent."""
        ask = _Ask("GET", path, {**(query or {}), "watch": "true"})
        response = self._send(ask, (self._timeout, read_timeout))
        if response.status != 200:
            raise self._refused(response.status, response.headers, self._body(response, ask), ask)
        return Stream(response, f"WATCH {path}", self.server)

    def pod_get(self, namespace: str, pod: str, port: int, path: str, scheme: Literal["http", "https"] = "http") -> int:
        """Ask a pod through the API server's pod proxy for the HTTP status that it answers with.

        Raises Unavailable where the pod could not be reached, NotFound where there is no such pod: the API server says
        that with a Status object, which tells it from the pod's own 503 or 404.
        """
        ask = _Ask("GET", paths.pod_proxy(namespace, pod, port, path, scheme))
        response = self._send(ask, self._timeout)
        if response.status < 400:
            response.close()
            return response.status
        body = self._body(response, ask, _PROXIED)
        # Overload is the API server's to report (its 429 is plain text), and no evidence against the pod.
        if status_object(body) is not None or response.status == 429:
            fault = self._refused(response.status, response.headers, body, ask)
            # 400 "address not allowed": the pod has no address yet.
            raise Unavailable(fault.said, status=fault.status) if isinstance(fault, Invalid) else fault
        return response.status

    def pod_log(self, namespace: str, pod: str, container: str = "", most: int = _LOGGED) -> str:
        """Read what a pod's container wrote, standard output and error as one; of its only one where none is named.

        Raises Malformed, lasting, where there is more than `most` bytes of it; Unavailable while the pod has no node;
        Invalid for a container that the pod doesn't have or that hasn't started; NotFound where the pod or its node is
        not there. That it came says not that it is whole: a kubelet keeps the newest 10 MiB (`containerLogMaxSize`),
        and the API server ends its answer in good order where the kubelet's breaks off. What must be whole needs an
        end of its own to be known by.
        """
        query = {"limitBytes": str(most + 1), **({"container": container} if container else {})}
        ask = _Ask("GET", paths.pod_log(namespace, pod), query)
        response = self._send(ask, self._timeout)
        body = self._body(response, ask, max(most + 1, _PROXIED))
        if response.status == 204:
            raise Unavailable(f"{ask}: the pod has not been given a node yet", status=204)
        if response.status != 200:
            raise self._refused(response.status, response.headers, body, ask)
        if not response.headers.get("Content-Type", "").startswith("text/plain"):
            raise Malformed(f"{ask} was answered with something that is not a log")
        if len(body) > most:
            raise Malformed(f"{ask}: the log is longer than {most} bytes", lasting=True)
        return body.decode(errors="replace")

    def _json(self, ask: _Ask) -> Json:
        response = self._send(ask, self._timeout)
        body = self._body(response, ask)
        if not 200 <= response.status < 300:
            raise self._refused(response.status, response.headers, body, ask)
        try:
            answer = json.loads(body)
        except ValueError:
            raise Malformed(f"{ask} was answered with something that is not JSON") from None
        if not isinstance(answer, dict) or (ask.path.startswith("/api") and not _is_object(answer)):
            raise Malformed(f"{ask} was answered with JSON that is no Kubernetes object")
        return answer

    def _send(self, ask: _Ask, timeout: float | tuple[float, float]) -> urllib3.BaseHTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": f"canary-watch/{__version__}"}
        if ask.body is not None:
            headers["Content-Type"] = ask.content_type
        url = self._client.configuration.host + ask.path + (f"?{urlencode(ask.query)}" if ask.query else "")
        try:
            self._client.update_params_for_auth(headers, [], ["BearerToken"], ask.path, ask.method, ask.body)
        except (ConfigException, OSError, ValueError) as error:
            raise Unavailable(f"{ask}: the credentials can't be read ({type(error).__name__})") from None
        if "authorization" in headers:
            headers["authorization"] = headers["authorization"].strip()  # a token file often ends in a newline
        try:
            response = self._exchange(ask, url, headers, timeout)
        except (urllib3.exceptions.HTTPError, ApiException, OSError, ValueError) as error:
            raise unreachable(error, str(ask), self.server) from None
        return response

    def _exchange(
        self, ask: _Ask, url: str, headers: dict[str, str], timeout: float | tuple[float, float]
    ) -> urllib3.BaseHTTPResponse:
        if isinstance(ask.body, list):  # a JSON patch, which the client would write in its own way
            pool = self._client.rest_client.pool_manager
            limit = urllib3.Timeout(total=timeout) if isinstance(timeout, float) else urllib3.Timeout(*timeout)
            sent = as_go_writes(ask.body)
            return pool.request(ask.method, url, body=sent, headers=headers, timeout=limit, preload_content=False)
        answer = self._client.call_api(ask.method, url, header_params=headers, body=ask.body, _request_timeout=timeout)
        response: urllib3.BaseHTTPResponse = answer.response
        return response

    def _body(self, response: urllib3.BaseHTTPResponse, ask: _Ask, most: int | None = None) -> bytes:
        """Read the body, or its first `most` bytes; in time, though a server may hand it out drop by drop."""
        deadline = time.monotonic() + self._timeout
        body = bytearray()
        try:
            while chunk := response.read1(_CHUNK):
                body += chunk
                if most is not None and len(body) >= most:
                    response.close()
                    break
                if time.monotonic() > deadline:
                    response.close()
                    raise Unavailable(f"{ask}: the answer from {self.server} did not end in time")
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            response.close()
            raise unreachable(error, str(ask), self.server) from None
        response.release_conn()
        return bytes(body)

    def _refused(self, status: int, headers: Mapping[str, str], body: bytes, ask: _Ask) -> KubernetesFault:
        """Tell the fault behind a status; a token that a server or a proxy quotes back is blotted out first."""
        token = str(self._client.configuration.api_key.get("BearerToken") or "").strip().rpartition(" ")[2]
        if token:
            body = body.replace(token.encode(), b"***")
        return answered(status, headers, body, str(ask))


def as_go_writes(value: object) -> bytes:
    """Write JSON as Go's encoder does, byte for byte.

    The API server's JSON patch compares strings by their JSON bytes (evanphx/json-patch, `lazyNode.equal`): a `test`
    on a template with `a && b` or `ä` in it fails, changed or not, unless `&`, `<`, `>` and the two line separators
    are escaped and nothing else is.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for char in "&<>\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text.encode()


def _is_object(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("metadata"), dict)
