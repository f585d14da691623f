"""A stage for whole scenarios: a cluster, a node, a real Prometheus, the vendors' stand-ins, the daemon as a process.

Each test gets a namespace of its own to ship into and one for the daemon, so that tests share the slow parts.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.controlplane.http import JSON_PATCH, Http
from tests.controlplane.real import RealCluster
from tests.scenarios.files import Addresses, write_config, write_policy
from tests.scenarios.gate import Gate
from tests.scenarios.processes import Daemon, Served
from tests.scenarios.traffic import Traffic
from tests.scenarios.vendors import Vendors
from watcher.sandbox.cluster.client import Client
from watcher.sandbox.cluster.node import Node
from watcher.sandbox.slack import Message

T = TypeVar("T")
PATIENCE = 40.0  # seconds that a scenario may take to come to what is awaited


def _image(obj: dict[str, Any]) -> str:
    return str(obj["spec"]["template"]["spec"]["containers"][0]["image"])


@dataclass
class Stage:
    """Everything that one scenario plays on."""

    cluster: RealCluster
    prometheus: Gate
    traffic: Traffic
    folder: Path
    policies: Sequence[str] = ("error-rate", "latency-p99", "smoke-tests")
    watch_for: str = "60s"
    verify_within: str = "30s"
    settings: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, str] = field(default_factory=dict)  # further keys of each policy
    container: dict[str, Any] = field(default_factory=dict)  # further keys of the Deployments' container
    vendors: Vendors = field(default_factory=Vendors)
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:8])  # ends the namespaces' names

    def __post_init__(self) -> None:
        self.namespace, self.home = f"shop-{self.name}", f"watch-{self.name}"
        self.http = Http(self.cluster.url, self.cluster.token, self.cluster.ca_file)
        self.gate = Gate(self.cluster.url, self.cluster.ca_file)
        self.pagerduty, self.slack = self.vendors.pagerduty, self.vendors.slack
        self.jira, self.grafana = self.vendors.jira, self.vendors.grafana
        self.stand_ins = (self.gate, *self.vendors.all)
        client = Client(self.cluster.url, self.cluster.token, self.cluster.ca_file)
        addresses: Iterator[str] = itertools.repeat(self.traffic.host)
        self.node = Node(client, lambda pod: Served(self.traffic, pod), self.namespace, addresses)
        self.daemons: list[Daemon] = []
        self._orders: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Stage:
        for name in (self.namespace, self.home):
            self.http.create("/api/v1/namespaces", {"metadata": {"name": name}})
        for part in self.stand_ins:
            part.start()
        self.node.__enter__()
        self._write_files()
        return self

    def __exit__(self, *_: object) -> None:
        for daemon in self.daemons:
            if daemon.process.poll() is None:
                daemon.kill()
        for order in self._orders:
            order.kill()
            order.communicate(timeout=10)
        self.node.__exit__(None, None, None)
        for part in self.stand_ins:
            part.stop()
        for name in (self.namespace, self.home):
            self.http.request("DELETE", f"/api/v1/namespaces/{name}")

    def _write_files(self) -> None:
        pods = f"{self.traffic.host}:{self.traffic.pods_port}"
        vendors = (self.pagerduty.url, self.slack.url, self.jira.url, self.grafana.url)
        at = Addresses(self.namespace, self.prometheus.url, *vendors, pods)
        (self.folder / "policies").mkdir()
        keys = {"watchFor": self.watch_for, "verifyWithin": self.verify_within, **self.spec}
        for name in self.policies:
            write_policy(self.folder / "policies", name, keys, pods)
        write_config(self.folder, at, self.settings)
        self.gate.write_kubeconfig(self.folder / "kubeconfig", self.cluster.token, self.home)

    def command(self, *arguments: str) -> list[str]:
        """The command line of canary-watch with this stage's cluster."""
        kubeconfig = str(self.folder / "kubeconfig")
        return [sys.executable, "-m", "watcher", *arguments, "--kubeconfig", kubeconfig]

    def env(self) -> dict[str, str]:
        """The environment of canary-watch's processes."""
        return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    def start(self, *arguments: str) -> Daemon:
        """Start a daemon."""
        log = self.folder / f"daemon-{len(self.daemons)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command("run", "--config", str(self.folder / "config.yaml"), "--verbose", *arguments),
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.env(),
            )
        self.daemons.append(Daemon(process, log))
        return self.daemons[-1]

    def path(self, deployment: str = "checkout") -> str:
        """The API path of a Deployment."""
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{deployment}"

    def ship(
        self,
        image: str,
        deployment: str = "checkout",
        annotations: dict[str, str] | None = None,
        notes: dict[str, str] | None = None,
    ) -> int:
        """Create the Deployment with `image`, or change its image, and wait until that is rolled out; its revision.

        `annotations` are a new Deployment's, `notes` the pod template's.
        """
        if self.http.request("GET", self.path(deployment)).status_code == 404:
            body = self.manifest(image, deployment, annotations or {})
            body["spec"]["template"]["metadata"]["annotations"] = notes or {}
            self.http.create(f"/apis/apps/v1/namespaces/{self.namespace}/deployments", body)
        else:
            self.set_image(image, deployment, notes)
        return self.until(lambda: self.rolled_out(deployment, image), f"{deployment} rolled out to {image}")

    def set_image(
        self, image: str, deployment: str = "checkout", notes: dict[str, str] | None = None, manager: str = ""
    ) -> None:
        """Change the Deployment's image, as a delivery pipeline does, and the pod template's annotations with it.

        `manager` is who does it by the name that Kubernetes keeps of it, a field manager.
        """
        change: list[dict[str, Any]] = [
            {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": image}
        ]
        if notes is not None:
            change.append({"op": "add", "path": "/spec/template/metadata/annotations", "value": notes})
        query = f"?fieldManager={manager}" if manager else ""
        self.http.change(self.path(deployment) + query, change, JSON_PATCH)

    def manifest(self, image: str, deployment: str, annotations: dict[str, str]) -> dict[str, Any]:
        """A Deployment of two pods with a readiness probe."""
        probe = {"httpGet": {"path": "/readyz", "port": self.traffic.pods_port}}
        container = {
            "name": "shop",
            "image": image,
            "ports": [{"containerPort": self.traffic.pods_port}],
            "readinessProbe": probe,
            "args": ["sh", "-c", "serve --greeting=ä🚨 && exit < /dev/null"],  # what JSON encoders write differently
            "env": [{"name": "GREETING", "value": "hello"}],
            **self.container,
        }
        return {
            "metadata": {"name": deployment, "annotations": annotations, "labels": {"app": deployment}},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"app": deployment}},
                "template": {"metadata": {"labels": {"app": deployment}}, "spec": {"containers": [container]}},
            },
        }

    def verdicts(self) -> dict[str, str]:
        """The verdict on each revision, by its image; revisions without one are left out."""
        listed = self.http.get(f"/apis/apps/v1/namespaces/{self.namespace}/replicasets")["items"]
        notes = {_image(rs): rs["metadata"].get("annotations", {}).get("canary-watch.io/verdict", "") for rs in listed}
        return {image: verdict for image, verdict in notes.items() if verdict}

    def annotate(self, notes: dict[str, str | None], deployment: str = "checkout") -> None:
        """Set annotations on a Deployment; None removes one."""
        self.http.change(self.path(deployment), {"metadata": {"annotations": notes}})

    def annotate_namespace(self, namespace: str, notes: dict[str, str | None]) -> None:
        """Set annotations on a Namespace; None removes one."""
        self.http.change(f"/api/v1/namespaces/{namespace}", {"metadata": {"annotations": notes}})

    def smoke_job(self, name: str, *, passes: bool, deployment: str = "checkout") -> None:
        """Start a smoke test's Job for a Deployment; the node runs its command as a process."""
        container = {"name": "smoke", "image": "smoke:1", "command": ["true" if passes else "false"]}
        template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
        labels = {"canary-watch.io/smoke-test-for": deployment}
        body = {"metadata": {"name": name, "labels": labels}, "spec": {"backoffLimit": 0, "template": template}}
        self.http.create(f"/apis/batch/v1/namespaces/{self.namespace}/jobs", body)

    def job_ended(self, name: str) -> bool:
        """Whether a Job has completed or failed."""
        found = self.http.get(f"/apis/batch/v1/namespaces/{self.namespace}/jobs/{name}")
        return any(c["type"] in ("Complete", "Failed") for c in found.get("status", {}).get("conditions", []))

    def cli(self, *arguments: str) -> str:
        """Run another command of canary-watch to its end; its output. It must succeed."""
        done = subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=30, check=False, env=self.env()
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def order(self, deployment: str, *arguments: str) -> subprocess.Popen[str]:
        """Begin to roll a Deployment back by hand: the command as it runs."""
        config = str(self.folder / "config.yaml")
        line = self.command("rollback", f"{self.namespace}/{deployment}", "--config", config, *arguments)
        pipe = subprocess.PIPE
        self._orders.append(subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True, env=self.env()))
        return self._orders[-1]

    def deployment(self, name: str = "checkout") -> dict[str, Any]:
        """The Deployment as it is."""
        return self.http.get(self.path(name))

    def image(self, name: str = "checkout") -> str:
        """The image that the Deployment asks for."""
        return _image(self.deployment(name))

    def rolled_out(self, name: str, image: str) -> int:
        """The revision, once the Deployment has come to `image` with all of its pods; else 0."""
        found = self.deployment(name)
        status = found.get("status", {})
        current = _image(found) == image
        seen = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        full = status.get("availableReplicas") == status.get("updatedReplicas") == status.get("replicas") == 2
        return (
            int(found["metadata"]["annotations"]["deployment.kubernetes.io/revision"])
            if current and seen and full
            else 0
        )

    def cases(self, deployment: str = "") -> list[dict[str, Any]]:
        """Every case in the daemon's namespace, or those of one Deployment, as written, the oldest first."""
        path = f"/api/v1/namespaces/{self.home}/configmaps?labelSelector=canary-watch.io/case"
        cases = [json.loads(item["data"]["case"]) for item in self.http.get(path)["items"]]
        mine = [case for case in cases if deployment in ("", case["deployment"])]
        return sorted(mine, key=lambda case: float(case["opened"]))

    def closed(self, outcome: str, count: int = 1, deployment: str = "") -> list[dict[str, Any]]:
        """Wait for `count` cases, all closed, the newest with this outcome; of one Deployment where it is named."""

        def look() -> list[dict[str, Any]]:
            cases = self.cases(deployment)
            done = len(cases) == count and all(case["closed"] for case in cases)
            return cases if done and cases[-1]["outcome"] == outcome else []

        return self.until(look, f"{count} closed cases of {deployment or 'all'}, the last one {outcome}")

    def patches(self, deployment: str = "checkout") -> int:
        """How often the daemon has patched a Deployment, or tried to."""
        return sum(r.method == "PATCH" and r.path == self.path(deployment) for r in self.gate.requests)

    def posted(self, deployment: str = "") -> tuple[Message, ...]:
        """The messages in #deploy, or those about one Deployment, which begin with it; replies not among them."""
        first = f"`{deployment}`"
        return tuple(m for m in self.slack.top if not deployment or first in m.text.splitlines()[0])

    def thread(self, message: Message) -> tuple[Message, ...]:
        """The replies to a message."""
        return tuple(reply for reply in self.slack.messages if reply.thread_ts == message.ts)

    def until(self, look: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
        """Wait until `look` gives something true, and give it; fail with the daemons' logs when it doesn't in time."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            time.sleep(0.1)
        logs = "\n".join(f"--- {d.log.name}\n{d.said()[-6000:]}" for d in self.daemons)
        raise AssertionError(f"not within {patience:g} s: {what}\ncases: {json.dumps(self.cases(), indent=1)}\n{logs}")

    def stays(self, holds: Callable[[], bool], seconds: float, what: str) -> None:
        """Look for `seconds` whether something stays true: for what must not happen."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert holds(), f"{what}\n{self.daemons[-1].said()[-4000:] if self.daemons else ''}"
            time.sleep(0.2)
