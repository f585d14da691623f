"""The made-up traffic: what a real Prometheus makes of it over windows of seconds is what the behaviour says."""

from __future__ import annotations

import time

import pytest
import requests

from tests.controlplane.http import until
from tests.scenarios.traffic import Behaviour, Traffic
from watcher.sandbox.prometheus import PrometheusServer

WINDOW = 5.0
"""Seconds; the scenarios' policies use it."""


class _Asked:
    """Instant queries; answers come back by pod, or by "" where the query keeps no pod."""

    def __init__(self, server: PrometheusServer) -> None:
        self._url = f"{server.url}/api/v1/query"

    def __call__(self, query: str) -> dict[str, float]:
        """Ask once."""
        answer = requests.post(self._url, data={"query": query}, timeout=5).json()
        return {one["metric"].get("pod", ""): float(one["value"][1]) for one in answer["data"]["result"]}


@pytest.fixture
def ask(prometheus_server: PrometheusServer) -> _Asked:
    """Ask the Prometheus that scrapes the page."""
    return _Asked(prometheus_server)


def _shown(ask: _Asked, namespace: str) -> set[str]:
    return set(ask(f'sum by (pod) (http_requests_total{{namespace="{namespace}"}})'))


def _pod_share(namespace: str) -> str:
    picked = f'http_requests_total{{namespace="{namespace}"'
    return f'sum by (pod) (increase({picked}, code=~"5.."}}[5s])) / sum by (pod) (increase({picked}}}[5s]))'


def _p99(namespace: str) -> str:
    buckets = f'http_request_duration_seconds_bucket{{namespace="{namespace}"}}'
    return f"histogram_quantile(0.99, sum by (pod, le) (rate({buckets}[5s])))"


def test_rates_shares_and_latencies_are_those_of_the_behaviour(traffic: Traffic, ask: _Asked) -> None:
    """Over 5 s: requests within a tenth, the share of errors exact, p99 in the bucket that the latency falls in."""
    traffic.set_behaviour("good", Behaviour(rate=20))
    traffic.set_behaviour("bad", Behaviour(rate=40, error_share=0.05, latency=0.8))
    traffic.pod_ready("steady", "checkout", "checkout-a-1", "good")
    traffic.pod_ready("steady", "checkout", "checkout-b-1", "bad")
    until(lambda: _shown(ask, "steady") == {"checkout-a-1", "checkout-b-1"})
    time.sleep(WINDOW + 1)
    total = ask('sum by (pod) (increase(http_requests_total{namespace="steady", deployment="checkout"}[5s]))')
    assert total == pytest.approx({"checkout-a-1": 20 * WINDOW, "checkout-b-1": 40 * WINDOW}, rel=0.1)
    assert ask(_pod_share("steady")) == pytest.approx({"checkout-a-1": 0.0, "checkout-b-1": 0.05}, abs=1e-6)
    assert ask(_p99("steady")) == pytest.approx({"checkout-a-1": 0.099, "checkout-b-1": 0.995}, abs=0.001)
    mean = 'rate(http_request_duration_seconds_sum{namespace="steady"}[5s])'
    mean += ' / rate(http_request_duration_seconds_count{namespace="steady"}[5s])'
    assert ask(mean) == pytest.approx({"checkout-a-1": 0.05, "checkout-b-1": 0.8})


def test_a_new_pod_is_counted_from_its_first_requests(traffic: Traffic, ask: _Asked) -> None:
    """Two seconds after it appeared a pod has an increase, of no more than it has served."""
    traffic.set_behaviour("new", Behaviour(rate=30, error_share=0.1))
    traffic.pod_ready("fresh", "checkout", "checkout-c-1", "new")
    began = time.monotonic()
    until(lambda: ask(_pod_share("fresh")), timeout=10)
    assert ask(_pod_share("fresh"))["checkout-c-1"] == pytest.approx(0.1)
    increase = ask('sum by (pod) (increase(http_requests_total{namespace="fresh"}[5s]))')["checkout-c-1"]
    assert 0 < increase <= 30 * (time.monotonic() - began)


def test_a_change_of_behaviour_resets_no_counter(traffic: Traffic, ask: _Asked) -> None:
    """A running pod that starts to fail shows it within a window, its counters growing on from where they were."""
    traffic.set_behaviour("turning", Behaviour(rate=20))
    traffic.pod_ready("turning", "checkout", "checkout-d-1", "turning")
    until(lambda: _shown(ask, "turning"))
    time.sleep(1)
    traffic.set_behaviour("turning", Behaviour(rate=5, error_share=1.0, latency=3.0))
    until(lambda: ask(_pod_share("turning")).get("checkout-d-1", 0.0) == pytest.approx(1.0), timeout=WINDOW + 10)
    assert ask(_p99("turning")) == {"checkout-d-1": 2.5}
    assert set(ask('sum by (pod) (resets(http_requests_total{namespace="turning"}[1m]))').values()) == {0.0}


def test_a_pod_that_is_gone_leaves_the_page(traffic: Traffic, ask: _Asked) -> None:
    """Its series end with the next scrape, and those of its neighbour in another namespace do not."""
    for namespace in ("here", "there"):
        traffic.pod_ready(namespace, "checkout", "checkout-e-1", "any")
        until(lambda namespace=namespace: _shown(ask, namespace))  # type: ignore[misc]
    traffic.pod_gone("here", "checkout-e-1")
    traffic.pod_gone("here", "never-there")
    until(lambda: not _shown(ask, "here"))
    assert _shown(ask, "there")


def test_pods_answer_as_they_are_told(traffic: Traffic) -> None:
    """/readyz and /smoke are each 200 until another status is set, at an address that is not loopback."""
    base = f"http://{traffic.host}:{traffic.pods_port}"
    assert not traffic.host.startswith("127.")
    assert [requests.get(base + path, timeout=5).status_code for path in ("/readyz", "/smoke", "/x")] == [200, 200, 404]
    traffic.pods.statuses["/readyz"] = 503
    assert [requests.get(base + path, timeout=5).status_code for path in ("/readyz", "/smoke")] == [503, 200]
    traffic.pods.statuses["/readyz"] = 200
