"""A real Prometheus scrapes real shops, and the shipped queries return what was served."""

from __future__ import annotations

import http.client
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import yaml

from tests.conftest import require
from watcher.judgement.model import Answer, Grid, Series
from watcher.sandbox.customers import Customers
from watcher.sandbox.prometheus import Programs, PrometheusMissing, PrometheusServer, Target, find_programs
from watcher.sandbox.shop import Shop, ShopSettings
from watcher.systems.prometheus import Prometheus, PrometheusSettings

POLICIES = Path(__file__).parents[2] / "policies"
PATIENCE = 30.0
# Deployment -> pod -> how it behaves
PODS = {
    "cart": {"cart-6d5f-aaaaa": ShopSettings(latency=0.02), "cart-7c9b-bbbbb": ShopSettings(0.2, latency=0.02)},
    "search": {"search-5b8d-ccccc": ShopSettings(latency=0.6)},
}


@dataclass(frozen=True)
class Site:
    """A running Prometheus, the pods that it scrapes, and the adapter to ask it with."""

    server: PrometheusServer
    prometheus: Prometheus
    targets: tuple[Target, ...]

    def ask(self, query: str) -> Answer:
        """Ask for the last three seconds, with what is under watch filled in."""
        filled = query.replace("$namespace", "shop").replace("$deployment", "cart|search").replace("$pod", ".+")
        return self.prometheus.range(filled, Grid(end=math.floor(time.time()), step=1.0, count=3))

    def wait_for(self, query: str, enough: Callable[[Sequence[Series]], bool]) -> None:
        """Ask again and again until the answer is `enough`."""
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.ask(query)
            assert answer.error == ""
            if enough(answer.series):
                return
            assert time.monotonic() < deadline, answer
            time.sleep(0.2)


@pytest.fixture(scope="module")
def programs() -> Programs:
    """Prometheus's programs."""
    try:
        return find_programs()
    except PrometheusMissing as missing:
        require(f"Prometheus ({missing})", False)
        raise


@pytest.fixture(scope="module")
def site(programs: Programs) -> Iterator[Site]:
    """Two Deployments under load for long enough to be judged, and a pod that will leave."""
    with ExitStack() as running:
        server = running.enter_context(PrometheusServer(programs))
        targets = []
        for deployment, pods in PODS.items():
            shops = {pod: running.enter_context(Shop(settings)) for pod, settings in pods.items()}
            for pod, shop in shops.items():
                labels = {"namespace": "shop", "deployment": deployment, "pod": pod}
                targets.append(Target(shop.address, labels))
            addresses = [shop.address for shop in shops.values()]
            running.enter_context(Customers(partial(tuple, addresses), rate=20, lasting=90))
        leaving = running.enter_context(Shop(ShopSettings()))
        server.set_targets([*targets, Target(leaving.address, {"namespace": "leaving"})])
        made = Site(server, Prometheus(PrometheusSettings(server.url, timeout=5.0)), tuple(targets))
        made.wait_for("increase(http_requests_total{code='200'}[1m]) > 20", lambda series: len(series) == 3)
        yield made


def policy_query(file: str, kind: str, part: str | None = None) -> str:
    """Read a PromQL text out of a shipped policy."""
    check = yaml.safe_load((POLICIES / file).read_text())["spec"]["checks"][0]
    return str(check[kind][part] if part else check[kind])


def newest(answer: Answer, label: str) -> Mapping[str, float]:
    """The newest sample of each series, by one of its labels."""
    assert (answer.error, answer.warnings) == ("", ())
    return {series.labels[label]: series.samples[-1][1] for series in answer.series}


def test_the_error_rate_policy_sees_what_was_served(site: Site) -> None:
    """Bad out of total is the bad pod's error rate, and zero for the good one."""
    bad = newest(site.ask(policy_query("error-rate.yaml", "ratio", "bad")), "pod")
    answer = site.ask(policy_query("error-rate.yaml", "ratio", "total"))
    totals: dict[str, float] = dict.fromkeys(bad, 0.0)
    for series in answer.series:
        totals[series.labels["pod"]] += series.samples[-1][1]
    shares = {pod: bad[pod] / totals[pod] for pod in bad}
    assert shares == {
        "cart-6d5f-aaaaa": 0.0,
        "cart-7c9b-bbbbb": pytest.approx(0.2, abs=0.02),
        "search-5b8d-ccccc": 0.0,
    }


def test_the_latency_policy_sees_what_was_served(site: Site) -> None:
    """The p99 of each Deployment lies in its latency's bucket."""
    p99 = newest(site.ask(policy_query("latency-p99.yaml", "value")), "deployment")
    assert p99.keys() == {"cart", "search"}
    assert 0.01 < p99["cart"] <= 0.5
    assert 0.5 < p99["search"] <= 1.0


def test_the_grid_is_the_one_asked_for(site: Site) -> None:
    """A step of a fraction of a second comes back on exactly the instants asked for."""
    grid = Grid(end=math.floor(time.time()), step=0.7, count=5)
    answer = site.prometheus.range("vector(1)", grid)
    assert [t for t, _ in answer.series[0].samples] == grid.times()


def test_prometheus_s_own_words_are_the_error(site: Site) -> None:
    """A query that can't be read, or asks for too much, comes back with Prometheus's reason."""
    assert "bad_data: " in site.ask("sum(").error
    assert "parse error" in site.ask("sum(").error
    too_fine = site.prometheus.range("vector(1)", Grid(end=math.floor(time.time()), step=1.0, count=12_000))
    assert "11,000 points" in too_fine.error


def test_a_pod_that_is_gone_ends(site: Site) -> None:
    """A target taken away has no newest sample soon after; the others stay."""
    assert len(site.ask("up{namespace='leaving'}").series) == 1
    site.server.set_targets(site.targets)
    site.wait_for("up{namespace='leaving'}", lambda series: not series)
    assert len(site.ask("up").series) == len(site.targets)


def test_it_leaves_nothing_behind(programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped, the server is gone and so are its data."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with PrometheusServer(programs) as server:
        assert is_up(server.url)
        assert len(list(tmp_path.iterdir())) == 1
    assert not is_up(server.url)
    assert list(tmp_path.iterdir()) == []


def test_it_dies_with_whoever_started_it(programs: Programs, tmp_path: Path) -> None:
    """A SIGKILL of the demo or of a test run leaves no server behind."""
    code = (
        "import time\nfrom watcher.sandbox.prometheus import *\n"
        "with PrometheusServer(find_programs()) as server:\n    print(server.url, flush=True)\n    time.sleep(60)"
    )
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        url = parent.stdout.readline().strip()
        assert is_up(url)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while is_up(url):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_prometheus_that_does_not_start_says_why(tmp_path: Path) -> None:
    """The end of its own log is in the error."""
    broken = tmp_path / "prometheus"
    broken.write_text("#!/bin/sh\necho 'no space left on device' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(RuntimeError, match="no space left on device"):
        PrometheusServer(Programs(broken, None)).start()


def is_up(url: str) -> bool:
    """Say whether anything answers at `url`."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=2)
    try:
        connection.request("GET", "/-/healthy")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
