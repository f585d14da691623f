"""The sandbox's node beyond the contract: its Node object, its kubelet, and what it keeps of containers' output."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.controlplane.bed import bed_on
from tests.controlplane.http import Http, until
from tests.controlplane.manifests import job
from tests.controlplane.processes import runs
from watcher.sandbox.cluster import EmbeddedCluster
from watcher.sandbox.cluster.client import Client, Refused
from watcher.sandbox.cluster.kinds import Object
from watcher.sandbox.cluster.kubelet import Kubelet
from watcher.sandbox.cluster.node import Node
from watcher.sandbox.cluster.output import LARGEST
from watcher.sandbox.cluster.runners import NOT_FOUND, STOP_SECONDS, Process, Switches


@pytest.fixture
def kubelet() -> Iterator[Kubelet]:
    """A kubelet whose containers have all written where they are."""
    kubelet = Kubelet(lambda *where: None if "none" in where else "/".join(where).encode())
    kubelet.start()
    yield kubelet
    kubelet.stop()


def ask(kubelet: Kubelet, path: str) -> tuple[int, bytes]:
    """Ask as an API server does, without a look at the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port(kubelet), timeout=5, context=context)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def port(kubelet: Kubelet) -> int:
    """The port that its Node object leads to."""
    return int(kubelet.node("a")["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"])


def process(*command: str) -> Process:
    """Run a container of its own pod."""
    container = {"name": "main", "image": "tools", "command": list(command)}
    return Process({"metadata": {"name": "p", "namespace": "n"}, "status": {}, "spec": {"containers": [container]}})


def ended(process: Process) -> int:
    """Wait for its exit code."""
    return until(lambda: (process.exit_code(),) if process.exit_code() is not None else None)[0] or 0


def test_what_a_kubelet_answers(kubelet: Kubelet) -> None:
    """A container's log comes whole or up to limitBytes; anything that can't be given is refused in words."""
    assert ask(kubelet, "/containerLogs/n/p/main") == (200, b"n/p/main")
    assert ask(kubelet, "/containerLogs/n/p/main?limitBytes=3") == (200, b"n/p")
    assert ask(kubelet, "/containerLogs/n/none/main") == (400, b'container "main" in pod "none" is not available')
    assert ask(kubelet, "/containerLogs/n/p/main?follow=true")[0] == 400
    assert ask(kubelet, "/pods")[0] == 404


def test_a_silent_client_keeps_nobody_waiting(kubelet: Kubelet) -> None:
    """A client that connects and says nothing, not even a TLS hello, doesn't hold up the next."""
    with socket.create_connection(("127.0.0.1", port(kubelet))):
        assert ask(kubelet, "/containerLogs/n/p/main")[0] == 200


def test_a_node_is_registered_while_it_runs(embedded_cluster: EmbeddedCluster) -> None:
    """Each node has a Node object under a name of its own, whose kubelet answers, and which is gone at its end."""
    with bed_on(embedded_cluster) as one, bed_on(embedded_cluster) as two:
        assert one.node.name != two.node.name
        for bed in (one, two):
            item = until(lambda bed=bed: found(bed.http, bed.node.name))  # type: ignore[misc]
            assert item["status"]["addresses"] == [{"type": "InternalIP", "address": "127.0.0.1"}]
    http = Http(embedded_cluster.url, embedded_cluster.token)
    assert not found(http, one.node.name)
    assert not found(http, two.node.name)
    http.session.close()


def found(http: Http, name: str) -> Object | None:
    """A Node object, None where it isn't."""
    answer = http.request("GET", f"/api/v1/nodes/{name}")
    return dict(answer.json()) if answer.ok else None


class _WithoutNodes(Client):
    """A client that may create no Nodes."""

    def create(self, path: str, body: Object) -> Object:
        """POST an object that is no Node."""
        if path == "/api/v1/nodes":
            raise Refused(403, "nodes is forbidden")
        return super().create(path, body)


@pytest.mark.parametrize(("client", "binds"), [(_WithoutNodes, True), (Client, False)])
def test_a_node_that_is_not_registered_runs_pods(
    embedded_cluster: EmbeddedCluster, client: type[Client], binds: bool
) -> None:
    """A node that may not register itself, or that binds no pods and so must not, runs Jobs all the same."""
    http = Http(embedded_cluster.url, embedded_cluster.token)
    namespace = f"unregistered-{binds}".lower()
    http.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    with Node(client(embedded_cluster.url, "t"), Switches().run, namespace, binds=binds) as node:
        http.create(jobs, job("plan", "true"))
        until(lambda: http.get(f"{jobs}/plan")["status"].get("succeeded"))
        assert not found(http, node.name)
    http.session.close()


def test_a_restarted_containers_last_words_can_be_read(embedded_cluster: EmbeddedCluster) -> None:
    """While a container that failed waits to be started again, its log is that of the time before."""
    with bed_on(embedded_cluster) as bed:
        body: dict[str, Any] = job("plan", "sh", "-c", "echo no; exit 1", backoffLimit=5)
        body["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
        bed.http.create(bed.path("jobs"), body)
        pod = until(lambda: [one for one in bed.items("pods") if waits(one)])[0]["metadata"]["name"]
        assert bed.http.request("GET", bed.path("pods", f"{pod}/log")).text == "no\n"


def waits(pod: Object) -> bool:
    """Whether its container waits to be started again."""
    return any("waiting" in one["state"] for one in pod["status"].get("containerStatuses", ()))


def test_output_is_whole_once_the_exit_code_is_known() -> None:
    """Whoever sees that a container has ended can read all that it wrote, though it wrote much at the last moment."""
    runner = process("sh", "-c", "head -c 5000000 /dev/zero; echo end >&2; exit 3")
    assert ended(runner) == 3
    assert len(runner.output.text()) == 5_000_004
    assert runner.output.text().endswith(b"\0end\n")


def test_a_container_leaves_no_process_behind() -> None:
    """When a container's command has ended, what it left in the background is ended too, as in a container."""
    runner = process("sh", "-c", "sleep 60 & echo $!")
    assert ended(runner) == 0
    left = int(runner.output.text())
    until(lambda: not runs(left))


def test_an_escaped_process_does_not_keep_a_container_open() -> None:
    """A process that left the group and still holds the output delays the end by moments, not for good."""
    begun = time.monotonic()
    runner = process("setsid", "--fork", "sleep", "8")
    assert ended(runner) == 0
    assert time.monotonic() - begun < STOP_SECONDS + 3


def test_a_command_that_is_not_there() -> None:
    """A command that can't be started has a shell's exit code and wrote nothing."""
    runner = process("/no/such/command")
    assert ended(runner) == NOT_FOUND
    assert runner.output.text() == b""


def test_endless_output_is_bounded() -> None:
    """Of a container that writes more than a kubelet keeps in one file, only the newest is kept."""
    runner = process("sh", "-c", f"head -c {LARGEST} /dev/zero; echo end")
    assert ended(runner) == 0
    assert runner.output.text().endswith(b"end\n")
    assert len(runner.output.text()) < LARGEST
