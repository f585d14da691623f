"""The connection and the watch cache against real API servers: the control plane's and the embedded one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest
from kubernetes.client import Configuration
from kubernetes.config.incluster_config import InClusterConfigLoader

from tests.controlplane.http import until
from tests.controlplane.real import RealCluster
from watcher.sandbox.cluster import EmbeddedCluster
from watcher.systems import kubernetes as k8s
from watcher.systems.kubernetes import Connection, Resource, WatchCache

Json = dict[str, Any]
Cluster = RealCluster | EmbeddedCluster


@pytest.fixture(params=["real_cluster", "embedded_cluster"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Take each of the clusters in turn."""
    taken: Cluster = request.getfixturevalue(request.param)
    return taken


@pytest.fixture
def connection(cluster: Cluster, tmp_path: Path) -> Iterator[Connection]:
    """Connect as an admin, with a namespace of the test's own."""
    name = f"watch-{time.monotonic_ns()}"
    opened = Connection.open(str(cluster.write_kubeconfig(tmp_path / "kubeconfig", namespace=name)))
    opened.create(k8s.namespaces(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield opened
    opened.delete(k8s.namespaces(name))


def config_map(name: str, **data: str) -> Json:
    """Write a ConfigMap down."""
    labels = {"part": "odd" if name[-1] in "13579" else "even"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": data}


def deployment(name: str) -> Json:
    """Write a small Deployment down."""
    labels = {"app": name}
    container = {"name": "main", "image": "registry.example/web:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def trim(item: Json) -> Json:
    """Keep the name and the data."""
    return {"name": item["metadata"]["name"], "data": item.get("data")}


def names(cache: WatchCache) -> set[str]:
    """Name what the cache holds."""
    return {item["name"] for item in cache.items()}


def test_the_cache_follows(connection: Connection) -> None:
    """What is created, changed and deleted shows in the cache, and a selector leaves out the rest."""
    path = k8s.config_maps(connection.namespace)
    for number in range(1, 5):
        connection.create(path, config_map(f"n{number}"))
    cache = WatchCache(connection, Resource(path, "configmaps", label_selector="part=odd"), trim, threading.Event())
    cache.start()
    assert cache.wait_synced(5.0)
    assert names(cache) == {"n1", "n3"}
    connection.create(path, config_map("n5"))
    connection.merge_patch(f"{path}/n3", {"data": {"x": "1"}})
    connection.delete(f"{path}/n1")
    until(lambda: names(cache) == {"n3", "n5"})
    assert cache.get(connection.namespace, "n3") == {"name": "n3", "data": {"x": "1"}}
    connection.merge_patch(f"{path}/n3", {"metadata": {"labels": {"part": "none"}}})
    until(lambda: names(cache) == {"n5"})
    assert (cache.failures, cache.last_error) == (0, "")
    cache.stop()


def test_a_rollout_is_seen(connection: Connection) -> None:
    """A Deployment's ReplicaSets come into their cache as the controllers make them."""
    path = k8s.replica_sets(connection.namespace)
    cache = WatchCache(connection, Resource(path, "replicasets"), trim, threading.Event())
    cache.start()
    assert cache.wait_synced(5.0)
    connection.create(k8s.deployments(connection.namespace), deployment("web"))
    until(lambda: len(cache.items()) == 1)
    image = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "registry.example/web:2"}
    connection.json_patch(k8s.deployments(connection.namespace, "web"), [image])
    until(lambda: len(cache.items()) == 2)
    cache.stop()


def test_stop_ends_the_stream_at_once(connection: Connection) -> None:
    """A silent watch, with TLS or without, is over as soon as the cache is stopped."""
    cache = WatchCache(connection, Resource(k8s.jobs(connection.namespace), "stopped"), trim, threading.Event())
    cache.start()
    assert cache.wait_synced(5.0)
    time.sleep(0.2)  # for the watch to be open
    begun = time.monotonic()
    cache.stop()
    until(lambda: "watch-stopped" not in {thread.name for thread in threading.enumerate()}, 1.0)
    assert time.monotonic() - begun < 0.5
    assert cache.last_error == ""


def test_cut_watches(embedded_cluster: EmbeddedCluster, tmp_path: Path) -> None:
    """When the API server restarts, the cache goes on from what it has seen, without another list."""
    connection = Connection.open(str(embedded_cluster.write_kubeconfig(tmp_path / "kubeconfig")))
    path = k8s.config_maps("default")
    cache = WatchCache(connection, Resource(path, "configmaps", label_selector="part=odd"), trim, threading.Event())
    cache.start()
    assert cache.wait_synced(5.0)
    connection.create(path, config_map("cut-1"))
    until(lambda: "cut-1" in names(cache))
    before = len(embedded_cluster.requests)
    embedded_cluster.drop_watches()
    connection.create(path, config_map("cut-3"))
    until(lambda: "cut-3" in names(cache))
    after = [request for request in embedded_cluster.requests[before:] if "labelSelector" in request.path]
    assert len(after) == 1
    assert "watch=true" in after[0].path
    cache.stop()
    for name in ("cut-1", "cut-3"):
        connection.delete(f"{path}/{name}")


def test_a_listing_whose_history_is_lost(cluster: Cluster, connection: Connection) -> None:
    """A compaction between two pages answers 410; the listing starts over and is complete."""
    path = k8s.config_maps(connection.namespace)
    for number in range(60):
        connection.create(path, config_map(f"n{number}"))
    pages = connection.pages(path, limit=50)
    assert len(next(pages)["items"]) == 50
    connection.create(path, config_map("later"))
    cluster.compact()
    with pytest.raises(k8s.Gone):
        next(pages)

    compacted: list[str] = []

    def keep(item: Json) -> str:
        if not compacted:
            compacted.append("once")
            connection.merge_patch(f"{path}/later", {"data": {"x": "1"}})
            cluster.compact()
        return str(item["metadata"]["name"])

    kept, version = connection.listing(path, None, keep)
    assert {name for name in kept if name != "kube-root-ca.crt"} == {f"n{number}" for number in range(60)} | {"later"}
    assert int(version) > 0


def test_refusals(connection: Connection) -> None:
    """The refusals that steps depend on are told apart."""
    path = k8s.config_maps(connection.namespace)
    made = connection.create(path, config_map("a", x="1"))
    with pytest.raises(k8s.AlreadyExists):
        connection.create(path, config_map("a"))
    with pytest.raises(k8s.NotFound, match="not found"):
        connection.get(f"{path}/b")
    test = {"op": "test", "path": "/data/x", "value": "2"}
    change = {"op": "replace", "path": "/data/x", "value": "3"}
    with pytest.raises(k8s.Invalid):
        connection.json_patch(f"{path}/a", [test, change])
    assert connection.get(f"{path}/a") == made
    connection.json_patch(f"{path}/a", [{**test, "value": "1"}, change])
    with pytest.raises(k8s.Conflict):
        connection.replace(f"{path}/a", made)
    assert connection.merge_patch(f"{path}/a", {"data": {"x": None, "y": "4"}})["data"] == {"y": "4"}


def test_what_rbac_forbids_is_named(real_cluster: RealCluster, tmp_path: Path) -> None:
    """A missing rule is told with its verb and resource, as something that lasts."""
    token = real_cluster.service_account_token("default", "nobody-special")
    weak = Connection.open(str(real_cluster.write_kubeconfig(tmp_path / "weak", token)))
    with pytest.raises(k8s.Forbidden, match='cannot list resource "deployments" in API group "apps"') as raised:
        weak.get(k8s.deployments())
    assert raised.value.lasting
    assert token not in str(raised.value)
    wrong = Connection.open(str(real_cluster.write_kubeconfig(tmp_path / "wrong", "no-such-token")))
    with pytest.raises(k8s.Forbidden):
        wrong.get(k8s.deployments())


def in_cluster(cluster: RealCluster, token: Path, ca_file: Path) -> Connection:
    """Connect as the client does in a pod, with the files somewhere else."""
    port = cluster.url.rpartition(":")[2]
    environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}
    configuration = Configuration()
    InClusterConfigLoader(str(token), str(ca_file), environ=environment).load_and_set(configuration)  # type: ignore[no-untyped-call]
    return Connection(configuration, "default")


def test_a_service_accounts_token_may_end_in_a_newline(real_cluster: RealCluster, tmp_path: Path) -> None:
    """The mounted token works with the newline that an editor left at its end."""
    token = tmp_path / "token"
    token.write_text(real_cluster.token + "\n")
    assert in_cluster(real_cluster, token, real_cluster.ca_file).get("/version")["gitVersion"]


def test_a_server_that_is_not_the_right_one(real_cluster: RealCluster, tmp_path: Path) -> None:
    """A certificate that our CA did not sign is refused, and that is what is said."""
    token = tmp_path / "token"
    token.write_text(real_cluster.token)
    with pytest.raises(k8s.Unavailable, match=r"TLS with .* certificate verify failed"):
        in_cluster(real_cluster, token, Path(certifi.where())).get("/version")
