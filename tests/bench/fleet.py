"""A cluster of a thousand Deployments, without pods, controllers or nodes: the objects alone, behind a real API server.

The server is the embedded cluster's, its lists paged faster; the objects have the size and fields of production's.
"""

from __future__ import annotations

import json
import random
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

from watcher.sandbox.cluster.api import SAFE_LETTERS, Api, timestamp
from watcher.sandbox.cluster.kinds import DEPLOYMENT, NAMESPACE, REPLICA_SET, Kind
from watcher.sandbox.cluster.server import Handler, Received, Server
from watcher.sandbox.cluster.store import Store

HOME = "canary-watch"
NAMESPACES = 20
PODS = 2
REVISION = "deployment.kubernetes.io/revision"


@dataclass(frozen=True, slots=True)
class Service:
    """One Deployment and the names of its ReplicaSets, the oldest first; the two newest ones have `PODS` pods each."""

    namespace: str
    name: str
    replica_sets: tuple[str, ...]

    def pods(self) -> list[str]:
        """The names of the pods of its two newest revisions."""
        return [f"{name}-x{number}klm" for name in self.replica_sets[-2:] for number in range(PODS)]


class _Server(Server):
    """The embedded API server, but that `items`, by plural, holds large lists as they are sent."""

    def __init__(self, api: Api) -> None:
        super().__init__(api)
        self.RequestHandlerClass = _Handler
        self.items: dict[str, list[bytes]] = {}


class _Handler(Handler):
    """Pages large lists without a sort for each page, so that a start's time is the daemon's, as with a real server."""

    server: _Server

    def do_GET(self) -> None:
        """Answer a LIST from `items`; everything else is the embedded server's."""
        path, _, query = self.path.partition("?")
        items, asked = self.server.items.get(path.rpartition("/")[2]), dict(parse_qsl(query))
        if items is None or "watch" in asked:
            return super().do_GET()
        self.server.requests.append(Received("GET", self.path, ""))
        start = int(asked.get("continue", 0))
        end = start + int(asked.get("limit", len(items)))
        more = {"continue": str(end)} if end < len(items) else {}
        version = str(self.server.api.store.version)
        head = json.dumps({"kind": "List", "apiVersion": "apps/v1", "metadata": {"resourceVersion": version, **more}})
        body = head[:-1].encode() + b', "items": [' + b",".join(items[start:end]) + b"]}"
        return self._send(200, body, {"Content-Type": "application/json"})


class Fleet:
    """Use it as a context manager. `received` holds the requests so far, the oldest first."""

    def __init__(self) -> None:
        self._store = Store()
        self._server = _Server(Api(self._store))
        self._serving = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._random = random.Random(1)
        self.services: list[Service] = []
        for name in (HOME, *(f"team-{number:02}" for number in range(NAMESPACES))):
            self._server.api.create(NAMESPACE, "", {"metadata": {"name": name}})

    @property
    def received(self) -> list[Received]:
        """Every request so far."""
        return list(self._server.requests)

    def add(self, count: int, created: tuple[float, ...]) -> None:
        """Add Deployments whose revisions were created at these epoch seconds, the oldest first."""
        for number in range(len(self.services), len(self.services) + count):
            namespace, name = f"team-{number % NAMESPACES:02}", f"payments-service-{number:04}"
            sets = tuple(f"{name}-{''.join(self._random.choices(SAFE_LETTERS, k=10))}" for _ in created)
            self.services.append(Service(namespace, name, sets))
            deployment = self._object(DEPLOYMENT, namespace, name, created[0])
            deployment["metadata"]["annotations"][REVISION] = str(len(sets))
            self._put(DEPLOYMENT, deployment)
            for revision, (replica_set, moment) in enumerate(zip(sets, created, strict=True), 1):
                self._add_replica_set(deployment, replica_set, revision, moment)
        self._server.items = {
            kind.plural: [json.dumps(item).encode() for item in self._store.all(kind).values()]
            for kind in (DEPLOYMENT, REPLICA_SET)
        }

    def write_kubeconfig(self, path: Path) -> None:
        """Write a kubeconfig (JSON, which is YAML too) that names this cluster."""
        address = f"http://127.0.0.1:{self._server.server_port}"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fleet",
            "clusters": [{"name": "fleet", "cluster": {"server": address}}],
            "users": [{"name": "fleet", "user": {"token": "fleet"}}],
            "contexts": [{"name": "fleet", "context": {"cluster": "fleet", "user": "fleet", "namespace": HOME}}],
        }
        path.write_text(json.dumps(config))

    def __enter__(self) -> Self:
        self._serving.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.cut(watches_only=False)
        self._server.server_close()
        self._serving.join(timeout=5)

    def _add_replica_set(self, deployment: dict[str, Any], name: str, revision: int, created: float) -> None:
        meta = deployment["metadata"]
        replica_set = self._object(REPLICA_SET, meta["namespace"], name, created)
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": meta["name"], "uid": meta["uid"]}
        replica_set["metadata"]["ownerReferences"] = [{**owner, "controller": True, "blockOwnerDeletion": True}]
        replica_set["metadata"]["annotations"][REVISION] = str(revision)
        pods = PODS if revision >= int(meta["annotations"][REVISION]) - 1 else 0
        replica_set["status"] = {"replicas": pods, "readyReplicas": pods, "observedGeneration": 1}
        self._put(REPLICA_SET, replica_set)

    def _put(self, kind: Kind, item: dict[str, Any]) -> None:
        self._store.put(kind, (item["metadata"]["namespace"], item["metadata"]["name"]), item)

    def _object(self, kind: Kind, namespace: str, name: str, created: float) -> dict[str, Any]:
        """A Deployment or ReplicaSet of some 6 kB, most of which is what the servers and kubectl write beside it."""
        variables = [{"name": f"SETTING_{number}", "value": f"value-{number}"} for number in range(20)]
        container = {"name": "main", "image": f"registry.example.com/{name}:v1", "env": variables}
        spec = {
            "replicas": PODS,
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        }
        fields: dict[str, Any] = {
            "f:spec": {f"f:{variable['name']}": {".": {}, "f:value": {}} for variable in variables}
        }
        managed = [{"manager": who, "operation": "Update", "fieldsV1": fields} for who in ("kubectl", "controller")]
        progress = {"type": "Progressing", "status": "True", "lastUpdateTime": timestamp(created)}
        return {
            "apiVersion": kind.api_version,
            "kind": kind.name,
            "metadata": {
                "namespace": namespace,
                "name": name,
                "uid": str(uuid.UUID(int=self._random.getrandbits(128))),
                "creationTimestamp": timestamp(created),
                "generation": 1,
                "labels": {"app": name, "app.kubernetes.io/part-of": "payments", "team": namespace},
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(spec)},
                "managedFields": managed,
            },
            "spec": spec,
            "status": {"replicas": PODS, "observedGeneration": 1, "conditions": [progress]},
        }


def config_for(folder: Path, prometheus: str) -> dict[str, object]:
    """The config file of the daemon for a fleet, with the defaults that an installation has."""
    return {
        "cluster": {"name": "bench", "region": "here"},
        "policies": str(folder / "policies"),
        "prometheus": {"url": prometheus},
    }
