"""The metrics of a fleet's pods: as a page for a real Prometheus, and as the answers that one would give.

Four pods for each Deployment, each with requests of two status codes and a latency histogram; all is well with them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from urllib.parse import parse_qs

from tests.bench.fleet import Service
from watcher.sandbox.stand_in import Reply, Request, StandIn, json_reply

RATE = 10.0  # requests a second of one pod
BAD = 0.002
BUCKETS = ("0.05", "0.1", "0.25", "0.5", "1", "+Inf")
WITHIN = (0.5, 0.9, 0.995, 1.0, 1.0, 1.0)  # the share of the requests that each bucket holds


class Page(StandIn):
    """An exporter that speaks for all pods; its counters grow evenly from its start on."""

    def __init__(self, services: Sequence[Service]) -> None:
        super().__init__()
        self._begun = time.monotonic()
        pods = [
            f'namespace="{s.namespace}",deployment="{s.name}",pod="{pod}",container="main"'
            for s in services
            for pod in s.pods()
        ]
        self._parts = {
            **{
                f'http_requests_total{{code="{code}",': (pods, share)
                for code, share in (("200", 1 - BAD), ("500", BAD))
            },
            **{
                f'http_request_duration_seconds_bucket{{le="{le}",': (pods, share)
                for le, share in zip(BUCKETS, WITHIN, strict=True)
            },
        }

    def answer(self, request: Request) -> Reply:
        """The page as it is now."""
        count = RATE * (time.monotonic() - self._begun)
        text = "".join(
            f"{head}{pod}}} {count * share}\n" for head, (pods, share) in self._parts.items() for pod in pods
        )
        return Reply(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")


class Answers(StandIn):
    """A Prometheus that knows the answers already: at once, whatever the range, as if the past had been the same."""

    def __init__(self, services: Sequence[Service]) -> None:
        super().__init__()
        self._services = services

    def answer(self, request: Request) -> Reply:
        """Answer a range query of the two shipped policies."""
        asked = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if request.path != "/api/v1/query_range":
            return json_reply(404, {"status": "error", "errorType": "not_found", "error": request.path})
        start, end, step = (float(asked[name]) for name in ("start", "end", "step"))
        times = [start + step * number for number in range(round((end - start) / step) + 1)]
        series = (
            self._latencies(times) if "histogram_quantile" in asked["query"] else self._counts(times, asked["query"])
        )
        body = '{"status":"success","data":{"resultType":"matrix","result":[' + ",".join(series) + "]}}"
        return Reply(200, body.encode())

    def _counts(self, times: Sequence[float], query: str) -> Iterator[str]:
        shares = {"500": BAD} if "5.." in query else {"200": 1 - BAD, "500": BAD}
        for code, share in shares.items():
            values = _values(times, 60 * RATE * share)
            for service in self._services:
                same = f'"code":"{code}","container":"main","deployment":"{service.name}","job":"pods"'
                for pod in service.pods():
                    yield f'{{"metric":{{{same},"namespace":"{service.namespace}","pod":"{pod}"}},"values":{values}}}'

    def _latencies(self, times: Sequence[float]) -> Iterator[str]:
        values = _values(times, 0.1)
        for service in self._services:
            labels = f'"deployment":"{service.name}","namespace":"{service.namespace}"'
            yield f'{{"metric":{{{labels}}},"values":{values}}}'


def _values(times: Sequence[float], around: float) -> str:
    """Samples near a number, with as many digits as Prometheus sends."""
    return json.dumps([[moment, repr(around * (1 + 1 / (7 + at)))] for at, moment in enumerate(times)])
