"""What the daemon costs when there is nothing to do, and how soon it is there."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bench.figures import Figure, Table
from tests.bench.fleet import Fleet, config_for
from tests.bench.metrics import Answers
from tests.bench.running import running
from watcher.sandbox.cluster.server import Received

DEPLOYMENTS = 1000
IDLE = 35.0  # seconds; two passes and more at the default interval
DAY = 86400.0
WATCHED = {f"WATCH {one}" for one in ("deployments", "replicasets", "namespaces", "jobs")}
ALLOWED = {"PUT leases", *WATCHED}


def kind_of(request: Received) -> str:
    """What a request is, in two words."""
    path, _, query = request.path.partition("?")
    verb = "WATCH" if "watch=true" in query else request.method
    collection = path.split("/")[-1 if request.method != "PUT" else -2]
    return f"{verb} {collection}"


@dataclass(frozen=True, slots=True)
class Idle:
    """What was seen: seconds from the process's start, queries and requests, MB, the share of a CPU."""

    known: float
    ready: float
    queries: int
    requests: Counter[str]
    memory: float
    most_memory: float
    cpu: float


def watch_idle(folder: Path) -> Idle:
    """Start the daemon on a fleet that has nothing under watch, and look at it for a while."""
    shutil.copytree("policies", folder / "policies")
    now = time.time()
    with Fleet() as fleet, Answers(()) as prometheus:
        fleet.add(DEPLOYMENTS, (now - 3 * DAY, now - 2 * DAY, now - DAY))
        fleet.write_kubeconfig(folder / "kubeconfig")
        with running(folder, config_for(folder, prometheus.url)) as daemon:
            daemon.until(lambda: {"POST leases", *WATCHED} <= set(map(kind_of, fleet.received)))
            known = time.monotonic() - daemon.begun
            first = daemon.passes(1)[0]
            assert first.watched == 0, daemon.said()
            before, cpu = len(fleet.received), daemon.cpu
            time.sleep(IDLE)
            requests = Counter(map(kind_of, fleet.received[before:]))
            used, memory, most = daemon.cpu - cpu, daemon.memory("VmRSS"), daemon.memory("VmHWM")
        return Idle(known, first.at - daemon.begun, len(prometheus.requests), requests, memory, most, used / IDLE)


@pytest.mark.timeout(200)
def test_an_idle_daemon_asks_nothing_and_is_small(tmp_path: Path, table: Table) -> None:
    """With nothing under watch it asks Prometheus nothing, keeps to its watches and its Lease, and stays small."""
    seen = watch_idle(tmp_path)
    named = ", ".join(f"{count} {kind}" for kind, count in sorted(seen.requests.items())) or "none"
    more = set(seen.requests) - ALLOWED
    others = sum(seen.requests[kind] for kind in more)
    fleet_is = f"{DEPLOYMENTS:,} Deployments, {3 * DEPLOYMENTS:,} ReplicaSets, all of them older than their watch"
    memory = f"VmRSS; {seen.most_memory:.0f} MB at its highest; {100 * seen.cpu:.1f} % of a CPU is used"
    synced = f"all watches open and the Lease its own after {seen.known:.2f} s"
    ready = f"from the process's start to the first pass in its log, by an API server that pages at once; {synced}"
    table.note(
        Figure("Prometheus queries, idle", "0", f"{seen.queries}", f"from the start on; {fleet_is}", seen.queries == 0),
        Figure(
            "Kubernetes requests, idle",
            "watches and the Lease",
            f"{others} others",
            f"in {IDLE:g} s after the first pass: {named}",
            not more,
        ),
        Figure("Memory, idle", "< 100 MB", f"{seen.memory:.0f} MB", memory, seen.memory < 100),
        Figure("Ready after", "< 2 s", f"{seen.ready:.2f} s", ready, seen.ready < 2.0),
    )
