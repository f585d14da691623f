"""The shop's pods over HTTP, alone and as a process, and its customers."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from watcher.sandbox.customers import Customers
from watcher.sandbox.shop import Shop, ShopSettings

PATIENCE = 5.0


def get(address: str, path: str) -> tuple[int, str]:
    """GET a page; return its status and text."""
    with closing(http.client.HTTPConnection(address, timeout=PATIENCE)) as connection:
        return get_over(connection, path)


def get_over(connection: http.client.HTTPConnection, path: str) -> tuple[int, str]:
    """GET a page over a connection that stays open; return its status and text."""
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def metric(address: str, series: str) -> float:
    """The value of one series in a pod's metrics."""
    found = re.search(f"^{re.escape(series)} (.+)$", get(address, "/metrics")[1], re.MULTILINE)
    assert found, series
    return float(found[1])


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A pod of a good release."""
    with Shop(ShopSettings()) as serving:
        yield serving


def test_orders_fail_at_the_configured_rate() -> None:
    """At an error rate of 0.2, each fifth order fails and no other."""
    with Shop(ShopSettings(error_rate=0.2)) as shop:
        assert [get(shop.address, "/")[0] for _ in range(10)] == [200, 200, 200, 200, 500] * 2


@pytest.mark.parametrize(("rate", "failures"), [(0.0, 0), (0.001, 1), (0.3, 300), (1.0, 1000)])
def test_any_rate_is_met_exactly(rate: float, failures: int) -> None:
    """A thousand orders fail as often as the rate says, none by chance."""
    with Shop(ShopSettings(error_rate=rate)) as shop:
        assert sum(shop.order() == 500 for _ in range(1000)) == failures


def test_orders_are_counted_by_code() -> None:
    """Both codes are there from the start, and count the orders but not probes and scrapes."""
    with Shop(ShopSettings(error_rate=0.5)) as shop:
        assert metric(shop.address, 'http_requests_total{code="200"}') == 0
        assert metric(shop.address, 'http_requests_total{code="500"}') == 0
        for path in ("/", "/", "/", "/readyz", "/nothing"):
            get(shop.address, path)
        assert metric(shop.address, 'http_requests_total{code="200"}') == 2
        assert metric(shop.address, 'http_requests_total{code="500"}') == 1
        assert metric(shop.address, "http_request_duration_seconds_count") == 3


def test_latency_shows_in_the_histogram() -> None:
    """An order takes its latency, and falls into the buckets from there up."""
    with Shop(ShopSettings(latency=0.03)) as shop:
        get(shop.address, "/")
        assert metric(shop.address, 'http_request_duration_seconds_bucket{le="0.025"}') == 0
        for bound in ("0.5", "1.0", "+Inf"):
            assert metric(shop.address, f'http_request_duration_seconds_bucket{{le="{bound}"}}') == 1
        assert metric(shop.address, "http_request_duration_seconds_sum") >= 0.03


def test_a_pod_s_behaviour_can_change(shop: Shop) -> None:
    """New settings hold from the next request on, and the counts go on."""
    assert get(shop.address, "/")[0] == 200
    assert get(shop.address, "/readyz")[0] == 200
    shop.settings = ShopSettings(error_rate=1.0, ready=False)
    assert get(shop.address, "/")[0] == 500
    assert get(shop.address, "/readyz")[0] == 503
    assert metric(shop.address, "http_request_duration_seconds_count") == 2


def test_pods_are_apart(shop: Shop) -> None:
    """Each pod has its own address and counts its own orders."""
    with Shop(ShopSettings()) as other:
        get(shop.address, "/")
        assert other.address != shop.address
        assert metric(other.address, 'http_requests_total{code="200"}') == 0


def test_a_stopped_pod_is_gone(shop: Shop) -> None:
    """Open connections end with the pod, so that nobody scrapes a dead one, and new ones are refused."""
    with closing(http.client.HTTPConnection(shop.address, timeout=PATIENCE)) as connection:
        assert get_over(connection, "/readyz")[0] == 200
        shop.stop()
        shop.stop()
        with pytest.raises(ConnectionError):
            get_over(connection, "/readyz")
    with pytest.raises(ConnectionRefusedError):
        get(shop.address, "/readyz")


def test_settings_come_from_a_pod_template() -> None:
    """The environment says how a release behaves; what it leaves out is good."""
    env = {"ERROR_RATE": "0.2", "LATENCY": "0.05", "READY": "false", "PATH": "/bin"}
    assert ShopSettings.from_env(env) == ShopSettings(error_rate=0.2, latency=0.05, ready=False)
    assert ShopSettings.from_env({}) == ShopSettings(error_rate=0.0, latency=0.0, ready=True)


@pytest.mark.parametrize(
    ("name", "value"), [("ERROR_RATE", "20%"), ("ERROR_RATE", "1.1"), ("LATENCY", "nan"), ("READY", "yes")]
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    """A template that the shop can't read is refused, not guessed at."""
    with pytest.raises(ValueError, match=f"^{name} is '{re.escape(value)}'; it is "):
        ShopSettings.from_env({name: value})


def test_a_pod_runs_as_a_process() -> None:
    """Alone it says where it serves, takes flags over the environment, and ends on SIGTERM."""
    command = [sys.executable, "-m", "watcher.sandbox.shop", "--port", "0", "--error-rate", "1"]
    env = {**os.environ, "ERROR_RATE": "0", "READY": "false"}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            address = process.stdout.readline().removeprefix("serving on ").strip()
            assert get(address, "/")[0] == 500
            assert get(address, "/readyz")[0] == 503
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


def test_customers_keep_their_rate_and_spread() -> None:
    """Orders come steadily, in equal parts to every pod, for as long as was said."""
    with Shop(ShopSettings()) as one, Shop(ShopSettings(error_rate=0.5)) as two:
        started = time.monotonic()
        customers = Customers(lambda: [one.address, two.address], rate=100, lasting=1.0).start()
        while metric(one.address, 'http_requests_total{code="200"}') < 40:
            assert time.monotonic() - started < PATIENCE
            time.sleep(0.02)
        assert time.monotonic() - started > 0.7
        time.sleep(max(0.0, started + 1.3 - time.monotonic()))
        answers = customers.answers()
        customers.stop()
    assert customers.answers() == answers, "no order after the time is over"
    assert 60 <= sum(answers.values()) <= 101, "less only where this machine is busy"
    assert answers[500] == pytest.approx(sum(answers.values()) / 4, abs=1)


def test_customers_follow_the_pods() -> None:
    """A pod that is no longer ready gets no more orders; while none is ready, none are sent."""
    with Shop(ShopSettings()) as old, Shop(ShopSettings()) as new:
        ready: list[str] = []
        with Customers(lambda: tuple(ready), rate=200, lasting=30) as customers:
            time.sleep(0.1)
            assert customers.answers() == {}
            ready.append(old.address)
            wait_for_orders(customers, 10)
            ready[:] = [new.address]
            time.sleep(0.1)  # orders under way
            served = metric(old.address, 'http_requests_total{code="200"}')
            wait_for_orders(customers, 60)
            assert metric(old.address, 'http_requests_total{code="200"}') == served
            assert metric(new.address, 'http_requests_total{code="200"}') >= 20


def test_an_order_without_an_answer_is_counted() -> None:
    """Customers of a pod that died go on, and count what they got."""
    with Shop(ShopSettings()) as shop, Customers(lambda: [shop.address], rate=200, lasting=30) as customers:
        wait_for_orders(customers, 10)
        shop.stop()
        deadline = time.monotonic() + PATIENCE
        while customers.answers().get(0, 0) < 10:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def wait_for_orders(customers: Customers, number: int) -> None:
    """Wait until so many orders are answered."""
    deadline = time.monotonic() + PATIENCE
    while sum(customers.answers().values()) < number:
        assert time.monotonic() < deadline
        time.sleep(0.02)
