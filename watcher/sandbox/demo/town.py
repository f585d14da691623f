"""The demo's town: a cluster with a node, a shop with its customers, Prometheus, PagerDuty, Slack, and the daemon."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from watcher.judgement.rollouts import REVISION, VERDICT
from watcher.sandbox.cluster import EmbeddedCluster
from watcher.sandbox.cluster.node import Node
from watcher.sandbox.customers import Customers
from watcher.sandbox.demo.policies import shortened
from watcher.sandbox.demo.through import Through
from watcher.sandbox.pagerduty import PagerDuty
from watcher.sandbox.prometheus import PrometheusServer, Target, find_programs
from watcher.sandbox.shop import Shop, ShopSettings
from watcher.sandbox.slack import Slack
from watcher.systems.kubernetes import Connection, NotFound, paths

DEPLOYMENT = "checkout"
ROUTING_KEY, API_TOKEN, SLACK_TOKEN = "d" * 32, "demo-api-token", "xoxb-demo-token"
USER = "canary-watch@example.com"
ORDERS_PER_SECOND = 40.0
LONGEST = 300.0  # seconds after which the customers go home whatever happens


class _ShopPod:
    """A pod of the shop; the node asks whether it is ready, and stops it."""

    def __init__(self, town: Town, pod: dict[str, Any]) -> None:
        env = {e["name"]: e.get("value", "") for e in pod["spec"]["containers"][0].get("env", ())}
        self._shop = Shop(ShopSettings.from_env(env), pod["status"]["podIP"], town.port).start()
        self._name, self._town = pod["metadata"]["name"], town
        town.opened(self._name, self._shop.address)

    def ready(self) -> bool:
        """It serves from the start."""
        return True

    def exit_code(self) -> int | None:
        """It runs until it is stopped."""
        return None

    def stop(self) -> None:
        """End it, and its scrape."""
        self._town.closed(self._name)
        self._shop.stop()


class Town:
    """Everything that the demo needs, started on entering and removed on leaving.

    `kubeconfig` names the cluster to play on; None starts an embedded one. Either way in a namespace of its own.
    """

    def __init__(self, kubeconfig: str | None) -> None:
        self.namespace = f"canary-watch-demo-{uuid.uuid4().hex[:6]}"
        self.embedded = kubeconfig is None
        self.port = _free_port()
        self.pagerduty = PagerDuty(API_TOKEN, users=(USER,))
        self.slack = Slack(SLACK_TOKEN)
        self.log = Path()
        self._kubeconfig = kubeconfig
        self._pods: dict[str, str] = {}
        self._lock = threading.Lock()
        self._leave = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._enter(stack)
            self._leave = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leave.close()

    def _enter(self, stack: contextlib.ExitStack) -> None:
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="canary-watch-demo-")))
        self.log = self.folder / "daemon.log"
        self.prometheus = stack.enter_context(PrometheusServer(find_programs()))
        if self._kubeconfig is None:
            cluster = stack.enter_context(EmbeddedCluster())
            self._kubeconfig = str(cluster.write_kubeconfig(self.folder / "kubeconfig"))
        self.cluster = Connection.open(self._kubeconfig)
        self.cluster.create(paths.namespaces(), {"metadata": {"name": self.namespace}})
        stack.callback(self._remove_namespace)
        stack.enter_context(self.pagerduty)
        stack.enter_context(self.slack)
        node = Node(Through(self.cluster), lambda pod: _ShopPod(self, pod), self.namespace, binds=self.embedded)
        stack.enter_context(node)
        stack.enter_context(Customers(self._addresses, ORDERS_PER_SECOND, LONGEST))
        self._write_files()

    def _remove_namespace(self) -> None:
        with contextlib.suppress(NotFound):
            self.cluster.delete(paths.namespaces(self.namespace))

    def opened(self, pod: str, address: str) -> None:
        """A pod serves: send it customers and scrape it."""
        with self._lock:
            self._pods[pod] = address
            self._scrape()

    def closed(self, pod: str) -> None:
        """A pod ends."""
        with self._lock:
            self._pods.pop(pod, None)
            self._scrape()

    def _scrape(self) -> None:
        labels = {"namespace": self.namespace, "deployment": DEPLOYMENT}
        self.prometheus.set_targets(Target(at, {**labels, "pod": pod}) for pod, at in self._pods.items())

    def _addresses(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(self._pods.values())

    def _write_files(self) -> None:
        shortened(self.folder / "policies")
        for name, text in (("routing-key", ROUTING_KEY), ("api-token", API_TOKEN), ("slack-token", SLACK_TOKEN)):
            (self.folder / name).write_text(f"{text}\n")
        config = {
            "cluster": {"name": "demo", "region": "us-east-1"},
            "policies": "policies",
            "interval": "1s",
            "namespaces": [self.namespace],
            "prometheus": {"url": self.prometheus.url, "timeout": "3s"},
            "pagerduty": {
                "routingKeyFile": "routing-key",
                "apiTokenFile": "api-token",
                "eventsUrl": self.pagerduty.url,
                "apiUrl": self.pagerduty.url,
                "fromEmail": USER,
            },
            "slack": {"tokenFile": "slack-token", "channel": "#deploy", "apiUrl": f"{self.slack.url}/api/"},
            "contacts": {
                "sre-oncall": {"slack": "S0123ABCD"},
                "platform-lead": {"slack": "U0789IJKL"},
                "database-team": {"slack": "S0456EFGH"},
                "incident-commander": {"slack": "U0COMMAND"},
            },
        }
        (self.folder / "config.yaml").write_text(json.dumps(config, indent=1))

    @contextlib.contextmanager
    def daemon(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run the daemon; it is killed if it still runs at the end."""
        command = [sys.executable, "-m", "watcher", "run", "--config", str(self.folder / "config.yaml")]
        with self.log.open("wb") as output:
            process = subprocess.Popen(
                [*command, "--kubeconfig", str(self._kubeconfig)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "POD_NAMESPACE": self.namespace},
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()

    def release(self, image: str, error_rate: float) -> None:
        """Ship a release: create the Deployment, or change its image and how it behaves, as a pipeline would."""
        container = {
            "name": "shop",
            "image": image,
            "ports": [{"containerPort": self.port}],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": self.port}},
            "env": [{"name": "ERROR_RATE", "value": str(error_rate)}, {"name": "LATENCY", "value": "0.02"}],
        }
        pod: dict[str, Any] = {"containers": [container]}
        if not self.embedded:
            pod["schedulerName"] = "canary-watch-demo"  # no real node takes it: the demo plays the node
        template = {"metadata": {"labels": {"app": DEPLOYMENT}}, "spec": pod}
        path = paths.deployments(self.namespace, DEPLOYMENT)
        try:
            self.cluster.get(path)
        except NotFound:
            spec = {"replicas": 2, "selector": {"matchLabels": {"app": DEPLOYMENT}}, "template": template}
            body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": DEPLOYMENT}, "spec": spec}
            self.cluster.create(paths.deployments(self.namespace), body)
            return
        self.cluster.json_patch(path, [{"op": "replace", "path": "/spec/template", "value": template}])

    def deployment(self) -> dict[str, Any]:
        """The Deployment as it is."""
        return self.cluster.get(paths.deployments(self.namespace, DEPLOYMENT))

    def revisions(self) -> dict[int, dict[str, Any]]:
        """The ReplicaSets by revision number."""
        listed = self.cluster.get(paths.replica_sets(self.namespace))["items"]
        return {int(rs["metadata"]["annotations"].get(REVISION, 0)): rs for rs in listed}

    def verdict(self, image: str) -> str:
        """The verdict on the revision that runs `image`, or nothing."""
        for replica_set in self.revisions().values():
            if replica_set["spec"]["template"]["spec"]["containers"][0]["image"] == image:
                return str(replica_set["metadata"]["annotations"].get(VERDICT, ""))
        return ""


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])
