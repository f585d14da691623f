"""How soon a breach that Prometheus shows is followed by the accepted patch, with real parts on both sides."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from tests.bench.figures import Figure, Table
from tests.controlplane.http import until
from tests.controlplane.real import RealCluster, assets_folder
from tests.scenarios.gate import Gate
from tests.scenarios.stage import Stage
from tests.scenarios.traffic import Behaviour, Traffic
from watcher.judgement.model import Grid
from watcher.sandbox.cluster import EmbeddedCluster
from watcher.sandbox.prometheus import Programs, PrometheusServer, Target
from watcher.sandbox.stand_in import Request
from watcher.systems.prometheus import Prometheus, PrometheusSettings

RELEASES = 8
INTERVAL = 2.0
HOLD_FOR = 4.0
WINDOW = 5.0
LEAST_TOTAL, LEAST_BAD, ABOVE = 10.0, 1.0, 0.01
SCRAPE_INTERVAL = 0.5
BAD = Behaviour(error_share=0.2)

POLICY = f"""\
apiVersion: canary-watch/v1
kind: RollbackPolicy
metadata: {{name: error-rate}}
spec:
  match: {{namespaces: ["*"]}}
  watchFor: 60s
  verifyWithin: 30s
  checks:
  - name: error-rate
    ratio:
      bad: increase(http_requests_total{{namespace=~"$namespace", pod=~"$pod", code=~"5.."}}[{WINDOW:g}s])
      total: increase(http_requests_total{{namespace=~"$namespace", pod=~"$pod"}}[{WINDOW:g}s])
      per: pod
    above: {ABOVE:%}
    for: {HOLD_FOR:g}s
    atLeast: {{total: {LEAST_TOTAL:g}, bad: {LEAST_BAD:g}}}
    control: previous-revision
"""


@dataclass(frozen=True, slots=True)
class Plain:
    """The embedded cluster as a stage sees any: its certificate needs no file, for it has none."""

    url: str
    token: str
    ca_file: Path | None = None


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> RealCluster:
    """The real control plane where there is one, else the embedded one; both over HTTP."""
    if assets_folder():
        return cast(RealCluster, request.getfixturevalue("real_cluster"))
    embedded: EmbeddedCluster = request.getfixturevalue("embedded_cluster")
    return cast(RealCluster, Plain(embedded.url, embedded.token))


@pytest.fixture
def stage(cluster: RealCluster, programs: Programs, tmp_path: Path) -> Iterator[Stage]:
    """A stage with one policy whose `for` is two intervals."""
    with (
        PrometheusServer(programs, SCRAPE_INTERVAL) as server,
        Traffic() as traffic,
        Gate(server.url) as gate,
        Stage(
            cluster,
            gate,
            traffic,
            tmp_path,
            policies=(),
            settings={"interval": f"{INTERVAL:g}s", "brakes": {"perDeployment": 100, "perCluster": 100}},
        ) as stage,
    ):
        server.set_targets([Target(traffic.address)])
        stage.until(lambda: traffic.page.requests, "the first scrape")
        (tmp_path / "policies" / "error-rate.yaml").write_text(POLICY)
        yield stage


class Observer:
    """Asks Prometheus itself, again and again, whether the breach of one revision can be read from it."""

    def __init__(self, stage: Stage, revision: int) -> None:
        found = next(
            one["metadata"]
            for one in stage.http.get(stage.path().replace("deployments/checkout", "replicasets"))["items"]
            if one["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == str(revision)
        )
        pods = f'namespace="{stage.namespace}", pod=~"{found["name"]}-[^-]+"'
        self._bad = f'sum(increase(http_requests_total{{{pods}, code=~"5.."}}[{WINDOW:g}s]))'
        self._total = f"sum(increase(http_requests_total{{{pods}}}[{WINDOW:g}s]))"
        self._prometheus = Prometheus(PrometheusSettings(stage.prometheus.url, 5.0))

    def seen_breach(self, now: float) -> float:
        """`now` if every reading of the last `HOLD_FOR` seconds, an interval apart, is over the threshold; else 0."""
        grid = Grid(math.floor(now * 1000) / 1000, INTERVAL, round(HOLD_FOR / INTERVAL) + 1)
        bad, total = (self._readings(query, grid) for query in (self._bad, self._total))
        return (
            now
            if len(bad) == len(total) == grid.count
            and all(
                some >= LEAST_BAD and every >= LEAST_TOTAL and some / every > ABOVE
                for some, every in zip(bad, total, strict=True)
            )
            else 0.0
        )

    def _readings(self, query: str, grid: Grid) -> list[float]:
        answer = self._prometheus.range(query, grid)
        assert not answer.error, answer.error
        return [value for series in answer.series for _, value in series.samples]


def release(stage: Stage, number: int) -> float:
    """Ship a bad release; the seconds from its evidence in Prometheus to the patch that took it back."""
    patched: list[float] = []

    def carried_out(request: Request) -> None:
        if request.method == "PATCH" and request.path == stage.path():
            patched.append(time.time())

    stage.gate.after = carried_out
    image = f"shop:bad-{number}"
    stage.traffic.set_behaviour(image, BAD)
    observer = Observer(stage, stage.ship(image))
    evidence = until(lambda: observer.seen_breach(time.time()), 40.0)
    stage.until(lambda: patched, "the patch")
    stage.closed("verified", number)
    assert stage.image() == "shop:good", stage.daemons[-1].said()
    return patched[0] - evidence


@pytest.mark.timeout(550)
def test_the_patch_follows_the_evidence_within_an_interval_and_a_second(stage: Stage, table: Table) -> None:
    """From the evidence in Prometheus to the accepted patch it is one interval and a second at most."""
    stage.ship("shop:good")
    delays: list[float] = []
    for number in range(1, RELEASES + 1):
        # Anew, and shipped another while after that: evidence comes at every moment between two passes.
        daemon = stage.start()
        time.sleep(number * INTERVAL / RELEASES)
        delays.append(release(stage, number))
        daemon.end()
    print(*(f"{delay:.2f} s" for delay in delays))
    cluster = "a real control plane" if assets_folder() else "the embedded cluster"
    parts = f"{cluster} and a real Prometheus that scrapes every {SCRAPE_INTERVAL:g} s"
    table.note(
        Figure(
            "From the evidence in Prometheus to the accepted patch",
            f"interval + 1 s = {INTERVAL + 1:g} s",
            f"{statistics.median(delays):.2f} s, at most {max(delays):.2f} s",
            f"median and most of {RELEASES} bad releases, `for: {HOLD_FOR:g}s`, interval {INTERVAL:g} s, {parts}",
            max(delays) <= INTERVAL + 1,
        )
    )
