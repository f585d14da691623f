"""The lease against real API servers, its holders processes that are killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.controlplane.http import until
from tests.controlplane.real import RealCluster
from watcher.sandbox.cluster import EmbeddedCluster
from watcher.systems.kubernetes import Connection, Lease, leases

NAME = "canary-watch"
DURATION = 2.0
HOLDER = """
import sys
from watcher.systems.kubernetes import Connection, Lease
lease = Lease(Connection.open(sys.argv[1]), sys.argv[2], "child", float(sys.argv[3]))
lease.start()
assert lease.wait_leading(10)
print(lease.identity, flush=True)
sys.stdin.read()
lease.stop()
"""

Cluster = RealCluster | EmbeddedCluster


@pytest.fixture(params=["real_cluster", "embedded_cluster"])
def kubeconfig(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Write a kubeconfig for each of the clusters in turn."""
    cluster: Cluster = request.getfixturevalue(request.param)
    return cluster.write_kubeconfig(tmp_path / "kubeconfig")


@pytest.fixture
def name(kubeconfig: Path) -> Iterator[str]:
    """Name a Lease that is the test's own, and remove it afterwards."""
    lease = f"{NAME}-{time.monotonic_ns()}"
    yield lease
    Connection.open(str(kubeconfig)).delete(leases("default", lease))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Clean up after the test, the last first."""
    with ExitStack() as cleaning:
        yield cleaning


def child(kubeconfig: Path, name: str, stack: ExitStack) -> tuple[subprocess.Popen[str], str]:
    """Start a process that takes the Lease, and wait until it leads; returns it and its identity."""
    command = [sys.executable, "-c", HOLDER, str(kubeconfig), name, str(DURATION)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    stack.enter_context(process)
    stack.callback(process.kill)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def follower(kubeconfig: Path, name: str, stack: ExitStack) -> Lease:
    """Start a second candidate in this process."""
    lease = Lease(Connection.open(str(kubeconfig)), name, "follower", DURATION)
    stack.callback(lease.stop)
    lease.start()
    return lease


def test_a_killed_holder_is_succeeded(kubeconfig: Path, name: str, stack: ExitStack) -> None:
    """After SIGKILL the other leads once the record has stood still for its duration, and not at once."""
    process, identity = child(kubeconfig, name, stack)
    second = follower(kubeconfig, name, stack)
    until(lambda: second.holder == identity)
    time.sleep(DURATION)
    assert not second.leading(), "a living holder is not succeeded"
    process.kill()
    killed = time.monotonic()
    assert second.wait_leading(10.0)
    waited = time.monotonic() - killed
    assert DURATION / 3 < waited < DURATION + 5.0  # a holder on a loaded machine may have missed renewals before
    spec = Connection.open(str(kubeconfig)).get(leases("default", name))["spec"]
    assert spec["holderIdentity"] == second.identity
    assert spec["leaseTransitions"] == 1
    assert spec["leaseDurationSeconds"] == 2


def test_a_stopped_holder_releases(kubeconfig: Path, name: str, stack: ExitStack) -> None:
    """A holder that ends in order leaves the record empty, and the other leads at its next look."""
    process, identity = child(kubeconfig, name, stack)
    second = follower(kubeconfig, name, stack)
    until(lambda: second.holder == identity)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(5) == 0
    ended = time.monotonic()
    assert second.wait_leading(5.0)
    assert time.monotonic() - ended < DURATION / 2
