"""Chart, impact and baseline of a case, out of what a real Prometheus answers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.conftest import require
from tests.controlplane.http import until
from tests.runbook.parts import POLICY
from tests.runbook.test_evidence import RATIO, a_case
from tests.scenarios.traffic import Behaviour, Traffic
from watcher.policy.model import Ratio
from watcher.runbook.evidence import Evidence
from watcher.sandbox.prometheus import PrometheusMissing, PrometheusServer, Target, find_programs
from watcher.systems.fault import Fault
from watcher.systems.prometheus import Prometheus, PrometheusSettings


@pytest.fixture
def scraped() -> Iterator[tuple[str, Traffic]]:
    """A real Prometheus that scrapes a page of traffic twice a second; its address, and the page."""
    try:
        programs = find_programs()
    except PrometheusMissing as missing:
        require(f"Prometheus ({missing})", False)
        raise
    with PrometheusServer(programs, 0.5) as server, Traffic() as traffic:
        server.set_targets([Target(traffic.address)])
        until(lambda: traffic.page.requests)
        yield server.url, traffic


def test_by_a_real_prometheus(scraped: tuple[str, Traffic]) -> None:
    """Its answers give both revisions their lines, the share that was served bad, and the baseline before."""
    url, traffic = scraped
    counted = [f'increase(http_requests_total{{pod=~"$pod"{code}}}[2s])' for code in (',code="500"', "")]
    check = replace(RATIO, kind=Ratio(counted[0], counted[1], per_pod=True))
    real = Prometheus(PrometheusSettings(url, 5.0))
    drawing = Evidence(real, lambda: (replace(POLICY, checks=(check,)),), 0.5)

    def seen(name: str) -> list[float]:
        chart = drawing.chart(replace(a_case(), rollout_started=time.time()), time.time())
        lines = chart.lines if chart else ()
        return [value for line in lines if line.name == name for _, value in line.points if not math.isnan(value)]

    traffic.set_behaviour("good:1", Behaviour(rate=30.0, error_share=0.01))
    traffic.set_behaviour("bad:2", Behaviour(rate=30.0, error_share=0.5))
    traffic.pod_ready("shop", "checkout", "checkout-1-aaaaa", "good:1")
    until(lambda: len(patiently(seen, "revision 1")) >= 6)
    case = replace(a_case(), rollout_started=time.time())
    traffic.pod_ready("shop", "checkout", "checkout-2-bbbbb", "bad:2")
    until(lambda: len(patiently(seen, "revision 2 (bad)")) >= 8)
    assert seen("revision 1")[-1] == pytest.approx(0.01, abs=0.005)
    assert seen("revision 2 (bad)")[-1] == pytest.approx(0.5, abs=0.02)
    impact = drawing.impact(case, time.time())
    assert impact.share is not None
    assert 0.05 < impact.share < 0.3
    assert impact.duration > 2.0
    assert drawing.baseline(case) == pytest.approx(0.01, abs=0.005)


def patiently(seen: Callable[[str], list[float]], name: str) -> list[float]:
    """What is seen of a revision; nothing before its first scrape."""
    try:
        return seen(name)
    except Fault:
        return []
