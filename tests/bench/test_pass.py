"""What a pass over a thousand rollouts costs the daemon."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.bench.figures import Figure, Table
from tests.bench.fleet import Fleet, config_for
from tests.bench.metrics import Answers, Page
from tests.bench.running import Running, Seen, running
from tests.controlplane.http import until
from tests.scenarios.gate import Gate
from watcher.sandbox.prometheus import Programs, PrometheusServer, Target
from watcher.sandbox.stand_in import StandIn

ROLLOUTS = 1000
PASSES = 4
SCRAPE_INTERVAL = 5.0
AGE = 1600.0  # seconds since the rollouts' start: near the end of their watch, the most past to ask for
SHIPPED = ("error-rate", "latency-p99")


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """A thousand Deployments, each in a rollout: two revisions, both with pods."""
    with Fleet() as fleet:
        now = time.time()
        fleet.add(ROLLOUTS, (now - 86400, now - AGE))
        yield fleet


@contextmanager
def daemon(folder: Path, fleet: Fleet, prometheus: str) -> Iterator[Running]:
    """The daemon with the shipped policies that ask Prometheus."""
    (folder / "policies").mkdir()
    for name in SHIPPED:
        shutil.copy(Path("policies") / f"{name}.yaml", folder / "policies")
    fleet.write_kubeconfig(folder / "kubeconfig")
    with running(folder, config_for(folder, prometheus)) as daemon:
        yield daemon


def asked(prometheus: StandIn) -> int:
    """How many queries Prometheus was asked."""
    return sum(1 for request in prometheus.requests if request.path.startswith("/api/v1/query"))


def measured(daemon: Running, prometheus: StandIn) -> tuple[int, list[Seen]]:
    """The queries that Prometheus got in `PASSES` passes; the passes, after the one that they are counted from."""
    first = daemon.passes(1)
    before = asked(prometheus)
    seen = daemon.passes(PASSES)
    assert all(one.counts == f"{ROLLOUTS} KeepWatching" for one in seen), daemon.said()
    return asked(prometheus) - before, first + seen


def own_seconds(seen: list[Seen]) -> list[float]:
    """The CPU seconds of each interval from the end of one pass to the end of the next."""
    return [after.cpu - before.cpu for before, after in pairwise(seen)]


@pytest.mark.timeout(300)
def test_a_pass_over_a_thousand_rollouts_is_three_queries_and_a_second(
    fleet: Fleet, tmp_path: Path, table: Table
) -> None:
    """A pass over 1,000 rollouts asks 3 queries and takes under a second of the daemon's own CPU."""
    with Answers(fleet.services) as prometheus, daemon(tmp_path, fleet, prometheus.url) as running_daemon:
        queries, seen = measured(running_daemon, prometheus)
        most = max(own_seconds(seen))
        memory = running_daemon.memory("VmHWM")
    setting = f"{ROLLOUTS:,} rollouts, 4 pods each, shipped error-rate and latency-p99, 15 s interval, {PASSES} passes"
    answered = "Prometheus stood in for: 13,000 series a pass"
    cost = f"{seen[0].cpu:.2f} s, the start included, and {memory:.0f} MB"
    cold = f"the first one asks for {AGE / 60:.0f} min of past: {cost}"
    table.note(
        Figure("Queries of a pass over 1,000 rollouts", "3", f"{queries / PASSES:g}", setting, queries == 3 * PASSES),
        Figure(
            "The daemon's own CPU for it",
            "< 1 s",
            f"{most:.2f} s",
            f"the most of them, user and system, /proc/PID/stat; {answered}; {cold}",
            most < 1.0,
        ),
    )


@pytest.mark.timeout(400)
def test_a_real_prometheus_answers_for_a_thousand_rollouts_in_time(
    fleet: Fleet, tmp_path: Path, table: Table, programs: Programs
) -> None:
    """With a real Prometheus that holds 32,000 series it is the same, and the whole pass is over in seconds."""
    with Page(fleet.services) as page, PrometheusServer(programs, SCRAPE_INTERVAL) as server, Gate(server.url) as gate:
        server.set_targets([Target(f"127.0.0.1:{page.port}")])
        until(lambda: len(page.requests) > 2, 60.0)
        with daemon(tmp_path, fleet, gate.url) as running_daemon:
            queries, seen = measured(running_daemon, gate)
    most, longest = max(own_seconds(seen)), max(one.seconds for one in seen[1:])
    wall = f"each pass over in {longest:.2f} s at most, Prometheus's time included"
    table.note(
        Figure(
            "The same with a real Prometheus",
            "3 queries, < 1 s",
            f"{queries / PASSES:g} queries, {most:.2f} s",
            f"it scrapes 32,000 series every {SCRAPE_INTERVAL:g} s; {wall}",
            queries == 3 * PASSES and most < 1.0,
        )
    )
