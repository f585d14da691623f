"""The gate: what goes through it is what the system behind it says, and its faults are where they were put."""

from __future__ import annotations

import gc
import json
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.controlplane.http import JSON_PATCH, Http, Json, until
from tests.controlplane.manifests import config_map
from tests.controlplane.real import RealCluster
from tests.scenarios.gate import Gate
from watcher.sandbox.cluster import EmbeddedCluster
from watcher.sandbox.prometheus import PrometheusServer
from watcher.sandbox.stand_in import Dropped, Mode, Request
from watcher.systems.kubernetes import Connection

PATIENCE = 1.0
"""Seconds that a client waits for an answer that doesn't come."""


@dataclass(frozen=True)
class Way:
    """A cluster seen through a gate and directly, and the path of the ConfigMaps of a namespace of its own."""

    gate: Gate
    through: Http
    direct: Http
    namespace: str
    token: str

    @property
    def path(self) -> str:
        """Where the ConfigMaps are."""
        return f"/api/v1/namespaces/{self.namespace}/configmaps"


@pytest.fixture(params=["embedded", "real"])
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    """A gate before either cluster."""
    cluster: RealCluster | EmbeddedCluster = request.getfixturevalue(f"{request.param}_cluster")
    ca_file = cluster.ca_file if isinstance(cluster, RealCluster) else None
    namespace = f"gate-{secrets.token_hex(3)}"
    with Gate(cluster.url, ca_file) as gate:
        through, direct = Http(gate.url, cluster.token), Http(cluster.url, cluster.token, ca_file)
        direct.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        yield Way(gate, through, direct, namespace, cluster.token)
        direct.request("DELETE", f"/api/v1/namespaces/{namespace}")
        through.session.close()
        direct.session.close()
    gc.collect()  # a connection that the gate left open warns now, and so fails this test and no other


def test_requests_and_answers_go_through_unchanged(way: Way) -> None:
    """Method, path, query, media type and body arrive; status and body come back as without the gate."""
    created = way.through.create(
        way.path, config_map("one", labels={"app": "a"}, data={"key": "old", "other": "ä & ö"})
    )
    way.through.create(way.path, config_map("two"))
    assert way.direct.get(f"{way.path}/one") == created == way.through.get(f"{way.path}/one")
    chosen = way.through.get(f"{way.path}?labelSelector=app%3Da&fieldSelector=metadata.name%21%3Dtwo")
    assert [item["metadata"]["name"] for item in chosen["items"]] == ["one"]
    ops = [{"op": "test", "path": "/data/key", "value": "old"}, {"op": "replace", "path": "/data/key", "value": "new"}]
    assert way.through.change(f"{way.path}/one", ops, JSON_PATCH)["data"]["key"] == "new"
    for method, name, body in (("PATCH", "one", ops), ("GET", "missing", None), ("POST", "", config_map("one"))):
        target = f"{way.path}/{name}".rstrip("/")
        answers = [
            one.request(method, target, body, JSON_PATCH if body is ops else "application/json")
            for one in (way.through, way.direct)
        ]
        assert answers[0].status_code == answers[1].status_code >= 400
        assert answers[0].json() == answers[1].json()
        assert answers[0].headers["Content-Type"] == answers[1].headers["Content-Type"]


def test_the_daemons_client_sends_its_token_through(way: Way, tmp_path: Path) -> None:
    """The daemon's own client takes the gate's kubeconfig, and its bearer token reaches the gate over plain HTTP."""
    kubeconfig = way.gate.write_kubeconfig(tmp_path / "kubeconfig", way.token, way.namespace)
    connection = Connection.open(str(kubeconfig))
    assert connection.namespace == way.namespace
    connection.create(way.path, config_map("one", data={"key": "1"}))
    assert connection.get(f"{way.path}/one")["data"] == {"key": "1"}
    assert [one.method for one in way.gate.requests] == ["POST", "GET"]
    assert {one.headers["Authorization"] for one in way.gate.requests} == {f"Bearer {way.token}"}


class _Watcher(threading.Thread):
    """Watches ConfigMaps through the gate; notes when each event came, and how the watch ended."""

    def __init__(self, http: Http, path: str) -> None:
        super().__init__()
        self._answer = http.session.get(f"{http.url}{path}", stream=True, timeout=10)
        self.events: list[tuple[float, Json]] = []
        self.ended = ""

    def run(self) -> None:
        """Read to the end."""
        try:
            with self._answer:
                for line in self._answer.iter_lines(chunk_size=None):
                    self.events.append((time.monotonic(), json.loads(line)))
            self.ended = "by the server"
        except requests.RequestException:
            self.ended = "cut"


def test_watch_events_come_through_at_once(way: Way) -> None:
    """An event is there within half a second of the change, one after the other, and the server's end is passed on."""
    watcher = _Watcher(way.through, f"{way.path}?watch=true&timeoutSeconds=2&fieldSelector=metadata.name%3Done")
    watcher.start()
    delays = []
    for count, value in enumerate("abc", start=1):
        changed = time.monotonic()
        if count == 1:
            way.direct.create(way.path, config_map("one", data={"key": value}))
        else:
            way.direct.change(f"{way.path}/one", {"data": {"key": value}})
        until(lambda count=count: len(watcher.events) >= count, timeout=10)  # type: ignore[misc]
        delays.append(watcher.events[-1][0] - changed)
    assert max(delays) < 0.5
    assert [event["object"]["data"]["key"] for _, event in watcher.events] == ["a", "b", "c"]
    watcher.join(5)
    assert watcher.ended == "by the server"


def test_refusing_cuts_a_watch_and_recovering_lets_it_start_again(way: Way) -> None:
    """A gate that refuses cuts silent watches at once; afterwards they can be opened again on the same port."""
    watcher = _Watcher(way.through, f"{way.path}?watch=1&fieldSelector=metadata.name%3Dnone")
    watcher.start()
    way.gate.inject("refused")
    watcher.join(1)
    assert watcher.ended == "cut"
    with pytest.raises(requests.ConnectionError):
        way.through.get(way.path)
    way.gate.recover()
    way.direct.create(way.path, config_map("one"))
    assert way.through.watch(f"{way.path}?watch=1&fieldSelector=metadata.name%3Done", bool)[0]["type"] == "ADDED"


def _outcome(way: Way, value: str) -> object:
    """Patch through the gate; return the status, "html" or "hung"."""
    url = f"{way.gate.url}{way.path}/one"
    headers = {**way.through.session.headers, "Content-Type": "application/merge-patch+json"}
    body = json.dumps({"data": {"key": value}})
    try:
        answer = requests.patch(url, data=body, headers=headers, timeout=PATIENCE)
        content_type = answer.headers["Content-Type"]
    except requests.RequestException:
        return "hung"
    return "html" if "html" in content_type else answer.status_code if answer.json() != {"odd": 1} else "odd"


@pytest.mark.parametrize(
    ("mode", "seen", "carried_out"),
    [
        ("timeout", "hung", False),
        ("hung-halfway", "hung", True),
        ("429", 429, False),
        ("500", 500, False),
        ("html", "html", False),
        ("wrong-shape", "odd", False),
    ],
)
def test_a_fault_takes_its_method_and_its_number(way: Way, mode: Mode, seen: object, carried_out: bool) -> None:
    """A fault of one PATCH leaves reads alone and is over after it; only `hung-halfway` carries the PATCH out."""
    way.direct.create(way.path, config_map("one", data={"key": "old"}))
    way.gate.inject(mode, prefix=way.path, when=lambda request: request.method == "PATCH", times=1, shape={"odd": 1})
    assert way.through.get(f"{way.path}/one")["data"] == {"key": "old"}
    assert _outcome(way, "new") == seen
    assert way.direct.get(f"{way.path}/one")["data"] == {"key": "new" if carried_out else "old"}
    assert _outcome(way, "newer") == 200
    assert [request.method for request in way.gate.requests] == ["GET", "PATCH", "PATCH"]


def test_hooks_run_round_what_the_cluster_does(way: Way) -> None:
    """`before` runs when nothing is done yet; `after` when the cluster has the change and the client has no answer."""
    seen: dict[str, object] = {}
    answered = threading.Event()

    def look(moment: str) -> None:
        seen[moment] = way.direct.request("GET", f"{way.path}/one").status_code, answered.is_set()

    way.gate.before = lambda request: look("before")
    way.gate.after = lambda request: look("after")
    way.through.create(way.path, config_map("one"))
    answered.set()
    assert seen == {"before": (404, False), "after": (200, False)}


def test_a_dropped_request_never_reaches_the_cluster(way: Way) -> None:
    """What `before` drops is neither carried out nor answered; sent again, it goes through."""
    way.direct.create(way.path, config_map("one", data={"key": "old"}))

    def drop(request: Request) -> None:
        way.gate.before = lambda request: None
        raise Dropped

    way.gate.before = drop
    assert _outcome(way, "new") == "hung"
    assert way.direct.get(f"{way.path}/one")["data"] == {"key": "old"}
    assert _outcome(way, "new") == 200
    assert way.direct.get(f"{way.path}/one")["data"] == {"key": "new"}


def test_a_client_killed_before_its_answer_leaves_the_change_behind(way: Way) -> None:
    """What `after` is for: the client dies unanswered, the cluster has its change, and the gate serves the next one."""
    address = f"{way.gate.url}{way.path}"
    send = (
        "import json, sys, urllib.request as r; "
        "r.urlopen(r.Request(sys.argv[1], sys.argv[2].encode(), json.loads(sys.argv[3])), timeout=10)"
    )
    body = json.dumps(config_map("one"))
    headers = json.dumps({"Authorization": f"Bearer {way.token}", "Content-Type": "application/json"})
    codes: list[int] = []

    def die(request: Request) -> None:
        client.kill()
        codes.append(client.wait(10))

    way.gate.after = die
    client = subprocess.Popen([sys.executable, "-c", send, address, body, headers])
    until(lambda: codes)
    assert codes == [-signal.SIGKILL]
    way.gate.after = lambda request: None
    assert way.through.get(f"{way.path}/one")["metadata"]["name"] == "one"


def test_prometheus_answers_through_the_gate(prometheus_server: PrometheusServer) -> None:
    """A query that is sent as a form by POST, and compressed on its way back, gets the answer that it gets directly."""
    answers = []
    with Gate(prometheus_server.url) as gate:
        for url in (gate.url, prometheus_server.url):
            query = {"query": "vector(1) > 0", "time": "1700000000"}
            answers.append(requests.post(f"{url}/api/v1/query", data=query, timeout=5).json())
    assert answers[0] == answers[1]
    assert answers[0]["data"]["result"][0]["value"] == [1700000000, "1"]
