"""The metrics of a shop that doesn't exist: one page for Prometheus on which pods come, serve and go as a test says.

A real Prometheus scrapes it over HTTP; `stage` tells it which pods are ready. Beside it answers what the pods would.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.controlplane.real import host_address
from watcher.sandbox.stand_in import Reply, Request, StandIn, json_reply

BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, float("inf"))
"""The histogram's upper bounds, seconds."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one pod does: requests per second, the share of them that fails, and the seconds that each one takes."""

    rate: float = 20.0
    error_share: float = 0.0
    latency: float = 0.05


class Traffic:
    """Use it as a context manager. A pod's counters are 0 on the first page that shows it, and grow from then on.

    So `increase` sees all of it. Counters are no whole numbers: shares are exact in every window, however short.
    `page` is what Prometheus scrapes, `pods` what answers at the pods' address: both can be made to fail, and
    `pods.statuses` maps a path to the HTTP status that every pod answers there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._behaviours: dict[str, Behaviour] = {}
        self._pods: dict[tuple[str, str], _Pod] = {}
        self.page = _Page(self)
        self.pods = _Pods()

    @property
    def address(self) -> str:
        """The `host:port` for Prometheus to scrape."""
        return f"127.0.0.1:{self.page.port}"

    @property
    def host(self) -> str:
        """The pods' address, which is the host's own: the real API server's pod proxy refuses loopback."""
        return self.pods.host

    @property
    def pods_port(self) -> int:
        """The port on which every pod answers /readyz and /smoke."""
        return self.pods.port

    def start(self) -> Self:
        """Listen, and return self."""
        self.page.start()
        self.pods.start()
        return self

    def stop(self) -> None:
        """Close both ports."""
        self.page.stop()
        self.pods.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def set_behaviour(self, image: str, behaviour: Behaviour) -> None:
        """Let the pods of `image` behave so from now on, those that are ready and those to come."""
        with self._lock:
            self._behaviours[image] = behaviour
            for pod in self._pods.values():
                if pod.image == image:
                    pod.grow(time.monotonic())
                    pod.behaviour = behaviour

    def pod_ready(self, namespace: str, deployment: str, pod: str, image: str) -> None:
        """Show a pod from the next page on."""
        with self._lock:
            labels = f'namespace="{namespace}",deployment="{deployment}",pod="{pod}"'
            self._pods[namespace, pod] = _Pod(labels, image, self._behaviours.get(image, Behaviour()))

    def pod_gone(self, namespace: str, pod: str) -> None:
        """Show it no more; harmless where it isn't there."""
        with self._lock:
            self._pods.pop((namespace, pod), None)

    def exposition(self) -> str:
        """The page as it is now, in Prometheus's text format."""
        now = time.monotonic()
        with self._lock:
            for pod in self._pods.values():
                pod.grow(now)
            requests = [line for pod in self._pods.values() for line in pod.requests()]
            durations = [line for pod in self._pods.values() for line in pod.durations()]
        heads = "# TYPE http_requests_total counter", "# TYPE http_request_duration_seconds histogram"
        return "\n".join([heads[0], *requests, heads[1], *durations, ""])


@dataclass(slots=True)
class _Pod:
    """A ready pod and its counters, as of `grown`: None until they are first shown."""

    labels: str
    image: str
    behaviour: Behaviour
    grown: float | None = None
    good: float = 0.0
    bad: float = 0.0
    seconds: float = 0.0
    within: tuple[float, ...] = (0.0,) * len(BUCKETS)

    def grow(self, now: float) -> None:
        """Count what happened since; the page and a change of behaviour both look."""
        count = self.behaviour.rate * (now - self.grown) if self.grown is not None else 0.0
        self.bad += count * self.behaviour.error_share
        self.good += count * (1 - self.behaviour.error_share)
        self.seconds += count * self.behaviour.latency
        reached = [count if self.behaviour.latency <= bound else 0.0 for bound in BUCKETS]
        self.within = tuple(map(sum, zip(self.within, reached, strict=True)))
        self.grown = now

    def requests(self) -> Iterator[str]:
        """The counters by status code."""
        for code, count in (("200", self.good), ("500", self.bad)):
            yield f'http_requests_total{{{self.labels},code="{code}"}} {count}'

    def durations(self) -> Iterator[str]:
        """The histogram."""
        name = "http_request_duration_seconds"
        for bound, count in zip(BUCKETS, self.within, strict=True):
            le = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f'{name}_bucket{{{self.labels},le="{le}"}} {count}'
        yield f"{name}_sum{{{self.labels}}} {self.seconds}"
        yield f"{name}_count{{{self.labels}}} {self.within[-1]}"


class _Page(StandIn):
    """The exporter."""

    def __init__(self, traffic: Traffic) -> None:
        super().__init__()
        self._traffic = traffic

    def answer(self, request: Request) -> Reply:
        """The page."""
        if request.path != "/metrics":
            return json_reply(404, {"error": "not found"})
        return Reply(200, self._traffic.exposition().encode(), "text/plain; version=0.0.4; charset=utf-8")


class _Pods(StandIn):
    """What answers for every pod."""

    def __init__(self) -> None:
        self.host = host_address()
        super().__init__(self.host)
        self.statuses = {"/readyz": 200, "/smoke": 200}

    def answer(self, request: Request) -> Reply:
        """The status that is set for the path."""
        status = self.statuses.get(request.path, 404)
        return json_reply(status, {"status": status})
