"""A world around the command line: a cluster behind a gate, a canned Prometheus, the vendors, and real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

from tests.controlplane.bed import Bed, bed_on
from tests.controlplane.http import until
from tests.controlplane.manifests import deployment
from tests.controlplane.real import RealCluster
from tests.scenarios.gate import Gate
from watcher.sandbox.cluster import EmbeddedCluster
from watcher.sandbox.pagerduty import PagerDuty
from watcher.sandbox.slack import Slack
from watcher.sandbox.stand_in import Reply, Request, StandIn, json_reply

PATIENCE = 20.0
PROMPT = 2.0
"""Seconds in which the daemon ends once it is told to."""

POLICY = """\
apiVersion: canary-watch/v1
kind: RollbackPolicy
metadata: {name: errors}
spec:
  match: {namespaces: ["*"]}
  watchFor: 5m
  checks:
  - name: errors
    value: max by (namespace, deployment) (errors{namespace=~"$namespace", deployment=~"$deployment"})
    above: 5
    for: 1s
"""


class Metrics(StandIn):
    """Prometheus's range queries, answered with one series: 9 from the moment a Deployment is broken, 0 before."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[tuple[str, str], float] = {}

    def answer(self, request: Request) -> Reply:
        """Give each known Deployment's series on the grid that is asked for."""
        form = {**request.query, **parse_qs(request.body.decode())}
        start, end, step = (float(form[key][0]) for key in ("start", "end", "step"))
        times = [start + step * n for n in range(int((end - start) / step + 1.5))]
        result = [
            {
                "metric": {"namespace": namespace, "deployment": name},
                "values": [[at, "9" if at >= since else "0"] for at in times],
            }
            for (namespace, name), since in self.known.items()
        ]
        return json_reply(200, {"status": "success", "data": {"resultType": "matrix", "result": result}})


@dataclass(frozen=True)
class Ended:
    """What a finished command left: its exit code, what it said, and how many seconds it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


class Running:
    """A command that runs; its output is in files, so that reading is never waited for."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._files = [folder / f"{len(list(folder.iterdir()))}.{name}" for name in ("out", "err")]
        with self._files[0].open("wb") as out, self._files[1].open("wb") as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        self._begun = time.monotonic()

    def said(self) -> str:
        """Standard error so far."""
        return self._files[1].read_text()

    def until_said(self, text: str) -> None:
        """Wait until `text` is on standard error."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.said():
            assert time.monotonic() < deadline, f"not said: {text!r}\n{self.said()}"
            assert self.process.poll() is None, self.said()
            time.sleep(0.02)

    def end(self, number: signal.Signals = signal.SIGTERM) -> Ended:
        """Tell it to end; what it left, `seconds` counted from the signal."""
        self.process.send_signal(number)
        self._begun = time.monotonic()
        return self.wait()

    def wait(self) -> Ended:
        """Wait for its end."""
        code = self.process.wait(60)
        out, err = (file.read_text() for file in self._files)
        return Ended(code, out, err, time.monotonic() - self._begun)


class World:
    """One test's world on a cluster; the daemon's own namespace and that of its Deployments is the bed's."""

    def __init__(self, cluster: RealCluster | EmbeddedCluster, folder: Path) -> None:
        self.folder = folder
        self.metrics = Metrics()
        self.pagerduty = PagerDuty("pagerduty-api-token-f00d", users=("watch@example.com",))
        self.slack = Slack("xoxb-slack-token-beef")
        self.secrets = ("0badc0de" * 4, self.pagerduty.api_token, self.slack.token, cluster.token)
        self.gate = Gate(cluster.url, cluster.ca_file if isinstance(cluster, RealCluster) else None)
        self._cluster = cluster
        self._leave = ExitStack()
        self._running: list[Running] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.bed: Bed = stack.enter_context(bed_on(self._cluster))
            for part in (self.gate, self.metrics, self.pagerduty, self.slack):
                stack.enter_context(part)
            stack.callback(self._kill_all)
            self._write_files()
            self._leave = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leave.close()

    def _kill_all(self) -> None:
        for one in self._running:
            one.process.kill()
            one.process.wait(10)

    def _write_files(self) -> None:
        for name in ("policies", "outputs"):
            (self.folder / name).mkdir()
        (self.folder / "policies" / "errors.yaml").write_text(POLICY)
        for name, text in zip(("routing-key", "api-token", "slack-token"), self.secrets, strict=False):
            (self.folder / name).write_text(text + "\n")
        self.gate.write_kubeconfig(self.folder / "kubeconfig", self.secrets[3], self.bed.namespace)
        self.configure()

    def configure(self, **changes: object) -> None:
        """Write the config file, with `changes` to its sections."""
        pagerduty = {"eventsUrl": self.pagerduty.url, "apiUrl": self.pagerduty.url, "fromEmail": "watch@example.com"}
        config = {
            "cluster": {"name": "test-cluster", "region": "us-east-1"},
            "policies": "policies",
            "interval": "1s",
            "namespaces": [self.bed.namespace],
            "prometheus": {"url": self.metrics.url, "timeout": "1s"},
            "pagerduty": {"routingKeyFile": "routing-key", "apiTokenFile": "api-token", **pagerduty},
            "slack": {"tokenFile": "slack-token", "channel": "#deploy", "apiUrl": f"{self.slack.url}/api/"},
            "contacts": {
                "sre-oncall": {"slack": "S0123ABCD"},
                "platform-lead": {"slack": "U0789IJKL"},
                "database-team": {"slack": "S0456EFGH"},
                "incident-commander": {"slack": "U0COMMAND"},
            },
            "lease": {"duration": "15s"},
            **changes,
        }
        self.config.write_text(json.dumps(config, indent=1))

    @property
    def config(self) -> Path:
        """The config file."""
        return self.folder / "config.yaml"

    def start(self, command: str, *arguments: str, configured: bool = True) -> Running:
        """Start a command on this world's cluster, `configured` with its config file."""
        line = self.line(command, *arguments, *(["--config", str(self.config)] if configured else []))
        self._running.append(Running(line, self.folder / "outputs"))
        return self._running[-1]

    def line(self, command: str, *arguments: str) -> list[str]:
        """The line of a command, on this world's cluster."""
        kubeconfig = str(self.folder / "kubeconfig")
        return [sys.executable, "-m", "watcher", command, *arguments, "--kubeconfig", kubeconfig]

    def call(self, command: str, *arguments: str, configured: bool = True) -> Ended:
        """Run a command to its end."""
        return self.start(command, *arguments, configured=configured).wait()

    def ship(self, name: str = "checkout") -> str:
        """Roll a Deployment out, and then its second revision; give it as the command line names it."""
        self.bed.http.create(self.bed.path("deployments"), deployment(name, "shop:1"))
        self.bed.settled(name)
        self.bed.set_image(name, "shop:2")
        self.bed.settled(name)
        self.metrics.known[self.bed.namespace, name] = float("inf")
        return f"{self.bed.namespace}/{name}"

    def break_it(self, name: str = "checkout") -> float:
        """Let a Deployment's metric go bad; the time at which all readings have been over for long enough."""
        now = time.time()
        self.metrics.known[self.bed.namespace, name] = now
        return now + 2.2

    def broken(self, name: str = "checkout") -> str:
        """Ship a Deployment whose second revision is in breach; give it as the command line names it."""
        shipped = self.ship(name)
        self.sleep_until(self.break_it(name))
        return shipped

    def sleep_until(self, moment: float) -> None:
        """Let the time come in which the canned metric has been over for long enough."""
        time.sleep(max(0.0, moment - time.time()))

    def image(self, name: str = "checkout") -> str:
        """The image that a Deployment asks for."""
        return str(self.bed.deployment(name)["spec"]["template"]["spec"]["containers"][0]["image"])

    def holder(self, name: str = "canary-watch") -> str:
        """Who holds the Lease; empty where nobody does."""
        return str(self.bed.http.get(self.bed.path("leases", name))["spec"].get("holderIdentity") or "")

    def cases(self) -> list[dict[str, Any]]:
        """Every case, as its ConfigMap holds it."""
        listed = self.bed.items("configmaps", labelSelector="canary-watch.io/case")
        return [json.loads(item["data"]["case"]) for item in listed]

    def objects(self) -> dict[str, str]:
        """The resourceVersion of every object in the namespace but the Leases."""
        kinds = ("deployments", "replicasets", "pods", "configmaps", "jobs")
        found = {f"{kind}/{item['metadata']['name']}": item for kind in kinds for item in self.bed.items(kind)}
        found["namespace"] = self.bed.http.get(f"/api/v1/namespaces/{self.bed.namespace}")
        return {key: item["metadata"]["resourceVersion"] for key, item in found.items()}

    def writes(self) -> set[str]:
        """What was asked of the cluster through the gate and was no reading: method and path."""
        return {f"{r.method} {r.path}" for r in self.gate.requests if r.method != "GET"}

    def leaks(self, *ended: Ended) -> list[str]:
        """The secrets that are in what these commands said."""
        said = "".join(one.out + one.err for one in ended)
        return [secret for secret in self.secrets if secret in said]

    def settled_objects(self) -> dict[str, str]:
        """`objects`, once they have stopped changing."""
        seen: list[dict[str, str]] = []

        def still() -> bool:
            seen.append(self.objects())
            time.sleep(0.1)
            return len(seen) > 2 and seen[-1] == seen[-2] == seen[-3]

        until(still)
        return seen[-1]
