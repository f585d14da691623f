"""Fixtures of the runbook's tests: an embedded cluster with a shop in it, and the vendors' stand-ins, all over HTTP."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.runbook.office import Office
from tests.runbook.parts import NOW, OWN, Line, decision, until
from watcher.adapters import PagerDutyPager, SlackAnnouncer
from watcher.judgement.model import Rollout
from watcher.judgement.rollouts import History, rollout_of
from watcher.runbook.case import Case, open_case
from watcher.sandbox import pagerduty as pagerduty_stand_in
from watcher.sandbox import slack as slack_stand_in
from watcher.sandbox.cluster.embedded import EmbeddedCluster
from watcher.sandbox.cluster.runners import Switches
from watcher.systems.kubernetes import Connection, paths
from watcher.systems.pagerduty import PagerDuty, PagerDutySettings
from watcher.systems.secret_file import SecretFile
from watcher.systems.slack import Slack, SlackSettings

Json = dict[str, Any]
ALERT = "svc-error-rate"
NUMBERS = itertools.count(1)
TOKEN, SENDER, TIMEOUT = "u+token", "canary-watch@example.com", 0.4


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """The embedded cluster, with the daemon's own namespace; every test has a namespace of its own beside it."""
    with EmbeddedCluster() as embedded:
        kubeconfig = embedded.write_kubeconfig(tmp_path_factory.mktemp("cluster") / "kubeconfig", OWN)
        connection = Connection.open(str(kubeconfig))
        connection.create(paths.namespaces(), {"metadata": {"name": OWN}})
        yield connection


def template(image: str, port: int = 8080) -> Json:
    """A pod template with a field that this code knows nothing of."""
    container = {"name": "shop", "image": image, "ports": [{"name": "http", "containerPort": port}]}
    return {
        "metadata": {"labels": {"app": "checkout"}, "annotations": {"team": "payments"}},
        "spec": {"containers": [container], "priorityClassName": "high", "dnsConfig": {"searches": ["shop.local"]}},
    }


@dataclass
class Shop:
    """The Deployment checkout in a namespace of its own. `line` is how the steps reach the cluster."""

    connection: Connection
    namespace: str
    line: Line

    @property
    def path(self) -> str:
        """The Deployment's path."""
        return paths.deployments(self.namespace, "checkout")

    def deployment(self) -> Json:
        """The Deployment as it is."""
        return self.connection.get(self.path)

    def revisions(self) -> dict[int, Json]:
        """Its ReplicaSets by revision."""
        listed = self.connection.get(paths.replica_sets(self.namespace))["items"]
        return {int(rs["metadata"]["annotations"]["deployment.kubernetes.io/revision"]): rs for rs in listed}

    def annotate(self, path: str, **notes: str | None) -> None:
        """Set or remove annotations of ours on any object; `_` in a name stands for `-`."""
        named = {f"canary-watch.io/{key.replace('_', '-')}": value for key, value in notes.items()}
        self.connection.merge_patch(path, {"metadata": {"annotations": named}})

    def ship(self, image: str) -> Json:
        """Give the Deployment another image and wait until the controller has made a revision of it."""
        newest = max(self.revisions(), default=0)
        self.connection.merge_patch(self.path, {"spec": {"template": template(image)}})
        until(lambda: self.settled() and max(self.revisions()) > newest, f"a revision of {image}")
        return self.deployment()

    def settled(self) -> bool:
        """Whether the controller has seen the Deployment and numbered its newest ReplicaSet."""
        now = self.deployment()
        notes = now["metadata"].get("annotations") or {}
        seen = (now.get("status") or {}).get("observedGeneration") == now["metadata"]["generation"]
        return seen and notes.get("deployment.kubernetes.io/revision") == str(max(self.revisions(), default=0))

    def rollout(self) -> Rollout:
        """The newest revision's rollout, as the view would see it."""
        now = self.deployment()
        history = History([now], self.connection.get(paths.replica_sets(self.namespace))["items"])
        return rollout_of(now, history.of(now), None)

    def case(self) -> Case:
        """A case to roll the newest revision back."""
        return open_case(decision(about=self.rollout()), ("prod", "us-east-1"), NOW)

    def images(self) -> str:
        """The image that the Deployment's template names."""
        return str(self.deployment()["spec"]["template"]["spec"]["containers"][0]["image"])


@pytest.fixture
def shop(cluster: Connection, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """The shop at revision 2, which is the bad one."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    namespace = f"t-{words[:40].strip('-')}-{next(NUMBERS)}"  # a former one of that name may not be gone yet
    cluster.create(paths.namespaces(), {"metadata": {"name": namespace}})
    made = Shop(cluster, namespace, Line(cluster))
    body = {
        "metadata": {"name": "checkout", "annotations": {"owner": "payments", "canary-watch.io/slo-p99": "300ms"}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "checkout"}},
            "template": template("shop:1"),
        },
    }
    cluster.create(paths.deployments(namespace), body)
    until(lambda: bool(made.revisions()) and made.settled(), "revision 1")
    made.ship("shop:2")
    yield made
    for config_map in cluster.get(paths.config_maps(OWN))["items"]:
        cluster.delete(paths.config_maps(OWN, config_map["metadata"]["name"]))
    cluster.merge_patch(paths.namespaces(OWN), {"metadata": {"annotations": None}})
    cluster.delete(paths.namespaces(namespace))


@pytest.fixture
def secret(tmp_path: Path) -> Callable[[str], SecretFile]:
    """Write a secret to a file."""

    def write(content: str) -> SecretFile:
        path = tmp_path / f"secret-{len(list(tmp_path.iterdir()))}"
        path.write_text(content)
        return SecretFile(path)

    return write


@pytest.fixture
def slack_api() -> Iterator[slack_stand_in.Slack]:
    """Slack's stand-in."""
    with slack_stand_in.Slack("xoxb-1") as api:
        yield api
        assert api.violations == []


@pytest.fixture
def announcer(slack_api: slack_stand_in.Slack, secret: Callable[[str], SecretFile]) -> SlackAnnouncer:
    """Slack as the daemon uses it."""
    return SlackAnnouncer(Slack(SlackSettings(secret("xoxb-1"), "#deploy", f"{slack_api.url}/api/", TIMEOUT)))


@pytest.fixture
def pagerduty_api() -> Iterator[pagerduty_stand_in.PagerDuty]:
    """PagerDuty's stand-in."""
    with pagerduty_stand_in.PagerDuty(TOKEN, (SENDER,)) as api:
        yield api
        assert api.violations == []


@pytest.fixture
def pagerduty(pagerduty_api: pagerduty_stand_in.PagerDuty, secret: Callable[[str], SecretFile]) -> PagerDuty:
    """PagerDuty's client, with a REST token."""
    url = pagerduty_api.url
    return PagerDuty(PagerDutySettings(secret("r" * 32), secret(TOKEN), url, url, SENDER, TIMEOUT))


@pytest.fixture
def pager(pagerduty: PagerDuty) -> PagerDutyPager:
    """PagerDuty as the daemon uses it."""
    return PagerDutyPager(pagerduty, can_link=True, alert=ALERT)


class Ready(BaseHTTPRequestHandler):
    """A shop's own HTTP server: /readyz answers what `server.status` says."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(self.server.status if self.path == "/readyz" else 404)  # type: ignore[attr-defined]
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def pods() -> Iterator[ThreadingHTTPServer]:
    """The server that every pod of the tests is: they all have its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Ready)
    server.status = 200  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def switches() -> Switches:
    """Which images' pods are ready."""
    return Switches()


@pytest.fixture
def office(cluster: Connection) -> Iterator[Office]:
    """The tests' office; its cases are thrown away afterwards."""
    made = Office(Line(cluster))
    yield made
    made.rest()
    made.line.before = made.line.after = lambda method, path: None
    for name in made.stored_names():
        cluster.delete(paths.config_maps(OWN, name))
