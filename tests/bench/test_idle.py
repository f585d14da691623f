"""What the daemon costs when there is nothing to do, and how soon it is there."""

from __future__ import annotations

import shutil
import time
from collections import Counter
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


@pytest.mark.timeout(200)
def test_an_idle_daemon_asks_nothing_and_is_small(tmp_path: Path, table: Table) -> None:
    """With nothing under watch it asks Prometheus nothing, keeps to its watches and its Lease, and stays small."""
    (tmp_path / "policies").mkdir()
    for path in Path("policies").glob("*.yaml"):
        shutil.copy(path, tmp_path / "policies")
    now = time.time()
    with Fleet() as fleet, Answers(()) as prometheus:
        fleet.add(DEPLOYMENTS, (now - 3 * DAY, now - 2 * DAY, now - DAY))
        fleet.write_kubeconfig(tmp_path / "kubeconfig")
        with running(tmp_path, config_for(tmp_path, prometheus.url)) as daemon:
            daemon.until(lambda: {"POST leases", *WATCHED} <= set(map(kind_of, fleet.received)))
            known = time.monotonic() - daemon.begun
            first = daemon.passes(1)[0]
            assert first.watched == 0, daemon.said()
            before, cpu = len(fleet.received), daemon.cpu
            time.sleep(IDLE)
            kinds = Counter(map(kind_of, fleet.received[before:]))
            used, memory, most = daemon.cpu - cpu, daemon.memory("VmRSS"), daemon.memory("VmHWM")
            queries = len(prometheus.requests)
    kubernetes = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"
    more = set(kinds) - ALLOWED
    fleet_is = f"{DEPLOYMENTS:,} Deployments, {3 * DEPLOYMENTS:,} ReplicaSets, all of them older than their watch"
    synced = f"all watches open and the Lease its own after {known:.2f} s"
    ready = first.at - daemon.begun
    table.note(
        Figure("Prometheus queries, idle", "0", f"{queries}", f"from the start on; {fleet_is}", queries == 0),
        Figure(
            "Kubernetes requests, idle",
            "watches and the Lease",
            f"{sum(kinds[kind] for kind in more)} others",
            f"in {IDLE:g} s after the first pass: {kubernetes}",
            not more,
        ),
        Figure(
            "Memory, idle",
            "< 100 MB",
            f"{memory:.0f} MB",
            f"VmRSS; {most:.0f} MB at its highest, while all were listed; {100 * used / IDLE:.1f} % of a CPU is used",
            memory < 100,
        ),
        Figure(
            "Ready after",
            "< 2 s",
            f"{ready:.2f} s",
            f"from the process's start to the first pass in its log; {synced}",
            ready < 2.0,
        ),
    )
