"""What a cluster test needs: a namespace of one cluster, a node that runs its pods, a client that looks at it."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

from tests.controlplane.http import JSON_PATCH, Http, Json, until
from tests.controlplane.real import RealCluster
from watcher.sandbox.cluster import EmbeddedCluster
from watcher.sandbox.cluster.client import Client
from watcher.sandbox.cluster.node import Node
from watcher.sandbox.cluster.runners import Switches

REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"


@dataclass(frozen=True)
class Bed:
    """One namespace; paths of its objects come from `path`. `switches` says which of `node`'s pods are ready."""

    cluster: RealCluster | EmbeddedCluster
    http: Http
    namespace: str
    switches: Switches
    node: Node
    pod_address: str

    def path(self, plural: str, name: str = "", **parameters: str) -> str:
        """The path of a kind's objects in this namespace, or of one of them, with query parameters."""
        groups = {"deployments": "apis/apps", "replicasets": "apis/apps", "jobs": "apis/batch"}
        groups["leases"] = "apis/coordination.k8s.io"
        query = "&".join(f"{key}={quote(value)}" for key, value in parameters.items())
        objects = f"/{groups.get(plural, 'api')}/v1/namespaces/{self.namespace}/{plural}"
        return objects + (f"/{name}" if name else "") + (f"?{query}" if query else "")

    def items(self, plural: str, **parameters: str) -> list[Json]:
        """All objects of a kind in this namespace."""
        items: list[Json] = self.http.get(self.path(plural, **parameters))["items"]
        return items

    def deployment(self, name: str) -> Json:
        """A Deployment."""
        return self.http.get(self.path("deployments", name))

    def replica_sets(self, name: str) -> dict[int, Json]:
        """A Deployment's ReplicaSets by their revision."""
        uid = self.deployment(name)["metadata"]["uid"]
        owned = [one for one in self.items("replicasets") if uid in {o["uid"] for o in owners(one)}]
        return {int(one["metadata"]["annotations"][REVISION]): one for one in owned}

    def current(self, name: str) -> Json:
        """The ReplicaSet with a Deployment's highest revision."""
        return max(self.replica_sets(name).items())[1]

    def set_image(self, name: str, image: str) -> Json:
        """Roll a Deployment out to another image."""
        change = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}]
        return self.http.change(self.path("deployments", name), change, JSON_PATCH)

    def settled(self, name: str) -> Json:
        """Wait until a Deployment's rollout is over: all of its pods are of the newest revision and available."""
        return until(lambda: self._if_settled(self.deployment(name)))

    def _if_settled(self, item: Json) -> Json | None:
        status, wanted = item["status"], item["spec"]["replicas"]
        counts = {status.get(count, 0) for count in ("replicas", "updatedReplicas", "availableReplicas")}
        seen = status.get("observedGeneration", 0) >= item["metadata"]["generation"]
        return item if seen and counts == {wanted} and reason(item, "Progressing") == "NewReplicaSetAvailable" else None


@contextmanager
def bed_on(cluster: RealCluster | EmbeddedCluster) -> Iterator[Bed]:
    """Create a fresh namespace on a cluster, with a node of its own; both are gone afterwards."""
    ca_file = cluster.ca_file if isinstance(cluster, RealCluster) else None
    http = Http(cluster.url, cluster.token, ca_file)
    namespace = f"bed-{secrets.token_hex(3)}"
    http.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    address = cluster.host_address if isinstance(cluster, RealCluster) else "127.0.0.1"
    switches = Switches()
    client = Client(cluster.url, cluster.token, ca_file)
    with Node(client, switches.run, namespace, itertools.repeat(address)) as node:
        yield Bed(cluster, http, namespace, switches, node, address)
        http.request("DELETE", f"/api/v1/namespaces/{namespace}")
    http.session.close()


def owners(item: Json) -> list[Json]:
    """The owner references of an object."""
    references: list[Json] = item["metadata"].get("ownerReferences") or []
    return references


def condition(item: Json, kind: str) -> Json:
    """A condition of an object's status, {} if it has none of this type."""
    return next((one for one in item["status"].get("conditions") or () if one["type"] == kind), {})


def reason(item: Json, kind: str) -> str | None:
    """The reason of a condition."""
    return condition(item, kind).get("reason")
