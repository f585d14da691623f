"""What the embedded cluster has beyond the contract: a log of requests, a history to forget, speed, quick retries."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.controlplane.bed import Bed, bed_on, condition
from tests.controlplane.http import Http, Json, until
from tests.controlplane.manifests import config_map, deployment, job
from watcher.sandbox.cluster import EmbeddedCluster


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    """A fresh embedded cluster."""
    with EmbeddedCluster() as cluster:
        yield cluster


@pytest.fixture
def bed(cluster: EmbeddedCluster) -> Iterator[Bed]:
    """A namespace on it."""
    with bed_on(cluster) as bed:
        yield bed


def test_requests_are_logged_with_their_token(cluster: EmbeddedCluster) -> None:
    """Each request is kept with method, path and query, and bearer token; the token stays out of its repr."""
    http = Http(cluster.url, "someone")
    http.get("/api/v1/configmaps?limit=1")
    received = cluster.requests[-1]
    assert (received.method, received.path, received.token) == ("GET", "/api/v1/configmaps?limit=1", "someone")
    assert "someone" not in repr(received)
    http.session.close()


def test_the_kubeconfig_names_the_cluster(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    """write_kubeconfig writes a file whose current context leads to the cluster and to the namespace asked for."""
    config = json.loads(cluster.write_kubeconfig(tmp_path / "kubeconfig", "shop").read_text())
    assert config["clusters"][0]["cluster"]["server"] == cluster.url
    assert config["contexts"][0]["context"]["namespace"] == "shop"


def test_any_old_watch_expires_after_a_compaction(bed: Bed, cluster: EmbeddedCluster) -> None:
    """Once the history is compacted, a watch of any kind from before it answers 410 Expired."""
    start = bed.http.get(bed.path("deployments"))["metadata"]["resourceVersion"]
    bed.http.create(bed.path("configmaps"), config_map("one"))
    cluster.compact()
    (event,) = bed.http.watch(bed.path("deployments", watch="1", resourceVersion=start), lambda _: False)
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    (event,) = bed.http.watch(bed.path("deployments", watch="1", resourceVersion="1"), lambda _: False)
    assert event["object"]["message"].startswith("too old resource version: 1 (")


def test_watches_can_be_dropped(bed: Bed, cluster: EmbeddedCluster) -> None:
    """drop_watches ends every open watch at once, whatever its timeoutSeconds, and leaves other clients alone."""
    threading.Timer(0.3, cluster.drop_watches).start()
    began = time.monotonic()
    path = bed.path("leases", watch="1", timeoutSeconds="60")
    with pytest.raises(requests.RequestException), bed.http.session.get(bed.http.url + path, stream=True) as answer:
        list(answer.iter_lines())
    assert time.monotonic() - began < 2
    assert bed.http.get(bed.path("leases"))["items"] == []


def test_stopping_ends_open_watches(tmp_path: Path) -> None:
    """A cluster stops at once although clients still watch."""
    with EmbeddedCluster() as cluster:
        http = Http(cluster.url, "")
        answer = http.session.get(f"{cluster.url}/api/v1/pods?watch=1", stream=True, timeout=5)
        began = time.monotonic()
    assert time.monotonic() - began < 2
    answer.close()
    http.session.close()


def test_controllers_react_within_a_moment(bed: Bed) -> None:
    """The time from creating a Deployment to its pods being available is a fraction of a second."""
    began = time.monotonic()
    bed.http.create(bed.path("deployments"), deployment("shop", "shop:1"))
    bed.settled("shop")
    assert time.monotonic() - began < 1


def test_a_thousand_deployments_are_handled(bed: Bed) -> None:
    """A thousand Deployments without pods all get their ReplicaSets, and are listed in pages."""
    body = deployment("shop", "shop:1", replicas=0)
    for number in range(1000):
        body["metadata"]["name"] = f"shop-{number}"
        bed.http.create(bed.path("deployments"), body)
    until(lambda: len(bed.items("replicasets")) == 1000, timeout=20)
    page, seen = bed.http.get(bed.path("deployments", limit="100")), 0
    while True:
        seen += len(page["items"])
        if not (token := page["metadata"].get("continue")):
            break
        page = bed.http.get(bed.path("deployments", limit="100", **{"continue": token}))
    assert seen == 1000


def test_a_job_retries_up_to_its_backoff_limit(bed: Bed) -> None:
    """With backoffLimit 1 a failing Job gets a second pod, at once, before it fails."""
    bed.http.create(bed.path("jobs"), job("smoke", "false", backoffLimit=1))

    def failed() -> Json | None:
        item = bed.http.get(bed.path("jobs", "smoke"))
        return item if condition(item, "Failed") else None

    assert until(failed)["status"]["failed"] == 2
    assert len(bed.items("pods", labelSelector="job-name=smoke")) == 2
