"""Pods and Jobs: what the node reports, commands that run as processes, and the way to a pod through the API server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.controlplane.bed import Bed, condition
from tests.controlplane.http import Json, until
from tests.controlplane.manifests import deployment, job


def over(bed: Bed, name: str) -> Json | None:
    """The Job once it is complete or failed."""
    item = bed.http.get(bed.path("jobs", name))
    return item if condition(item, "Complete") or condition(item, "Failed") else None


def test_a_job_whose_command_succeeds_completes(bed: Bed) -> None:
    """A Job's command runs as a process; when it exits with 0, the Job is Complete with a completionTime."""
    bed.http.create(bed.path("jobs"), job("smoke", "true"))
    item = until(lambda: over(bed, "smoke"))
    assert condition(item, "Complete")["status"] == "True"
    assert item["status"]["succeeded"] == 1
    assert {"startTime", "completionTime"} <= item["status"].keys()


def test_a_job_whose_command_fails_fails(bed: Bed) -> None:
    """A command that exits with another code fails its pod with that code, and the Job past its backoffLimit."""
    bed.http.create(bed.path("jobs"), job("smoke", "sh", "-c", "exit 3"))
    item = until(lambda: over(bed, "smoke"))
    assert condition(item, "Failed")["status"] == "True"
    assert condition(item, "Failed")["reason"] == "BackoffLimitExceeded"
    (pod,) = bed.items("pods", labelSelector="job-name=smoke")
    assert pod["status"]["phase"] == "Failed"
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    assert item["status"]["failed"] == 1


def test_a_command_gets_its_environment(bed: Bed) -> None:
    """A container's env reaches its command, plain values and its own pod's fields."""
    body = job("env", "sh", "-c", 'test "$GREETING" = hello && test "$NAME" = "$HOSTNAME"')
    body["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "GREETING", "value": "hello"},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    bed.http.create(bed.path("jobs"), body)
    assert condition(until(lambda: over(bed, "env")), "Complete")


def test_a_job_is_ended_at_its_deadline(bed: Bed) -> None:
    """A Job that runs longer than activeDeadlineSeconds fails as DeadlineExceeded and its pod goes."""
    bed.http.create(bed.path("jobs"), job("slow", "sleep", "60", activeDeadlineSeconds=1))
    item = until(lambda: over(bed, "slow"))
    assert condition(item, "Failed")["reason"] == "DeadlineExceeded"
    until(lambda: not bed.items("pods", labelSelector="job-name=slow"))


def test_a_deleted_jobs_pods_go_when_asked(bed: Bed) -> None:
    """Deleting a Job leaves its pods unless propagationPolicy says otherwise."""
    for name in ("kept", "taken"):
        bed.http.create(bed.path("jobs"), job(name, "true"))
        until(lambda name=name: over(bed, name))  # type: ignore[misc]
    bed.http.request("DELETE", bed.path("jobs", "kept"))
    bed.http.request("DELETE", bed.path("jobs", "taken", propagationPolicy="Background"))
    until(lambda: not bed.items("pods", labelSelector="job-name=taken"))
    assert len(bed.items("pods", labelSelector="job-name=kept")) == 1


def test_readiness_can_be_switched(bed: Bed) -> None:
    """Pods of an image that is switched off become unready, and available again once it is switched on."""
    bed.http.create(bed.path("deployments"), deployment("shop", "shop:1"))
    bed.settled("shop")
    for pod in bed.items("pods"):
        assert pod["status"]["phase"] == "Running"
        assert pod["status"]["containerStatuses"][0]["image"] == "shop:1"
        assert pod["status"]["podIP"] == bed.pod_address
    bed.switches.set_ready("shop:1", False)
    until(lambda: bed.deployment("shop")["status"].get("availableReplicas", 0) == 0)
    assert condition(bed.deployment("shop"), "Available")["status"] == "False"
    bed.switches.set_ready("shop:1", True)
    until(lambda: bed.deployment("shop")["status"].get("availableReplicas") == 2)


def test_a_deleted_pod_is_replaced(bed: Bed) -> None:
    """A pod on a node lingers as being deleted until the node has ended it; its ReplicaSet makes another."""
    bed.http.create(bed.path("deployments"), deployment("shop", "shop:1", replicas=1))
    bed.settled("shop")
    (pod,) = bed.items("pods")
    answer = bed.http.request("DELETE", bed.path("pods", pod["metadata"]["name"]))
    assert "deletionTimestamp" in answer.json()["metadata"]
    until(lambda: bed.http.request("GET", bed.path("pods", pod["metadata"]["name"])).status_code == 404)
    bed.settled("shop")
    assert len(bed.items("pods")) == 1


class _Shop(BaseHTTPRequestHandler):
    """Answers /readyz with 200 and anything else with 503, and says what it was asked."""

    def do_GET(self) -> None:
        body = self.path.encode()
        self.send_response(200 if self.path.startswith("/readyz") else 503)
        self.send_header("X-Shop", "open")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def shop_port(bed: Bed) -> Iterator[int]:
    """The port of an HTTP server on the pods' address."""
    server = ThreadingHTTPServer((bed.pod_address, 0), _Shop)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_pod_proxy_reaches_a_pod(bed: Bed, shop_port: int) -> None:
    """The pod proxy passes path, query, status, headers and body on, with and without scheme, port and path."""
    body = deployment("shop", "shop:1", replicas=1)
    body["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"containerPort": shop_port}]
    bed.http.create(bed.path("deployments"), body)
    bed.settled("shop")
    (pod,) = bed.items("pods")
    name = pod["metadata"]["name"]
    for target in (f"http:{name}:{shop_port}", f"{name}:{shop_port}", name):
        answer = bed.http.request("GET", bed.path("pods", f"{target}/proxy/readyz") + "?verbose=1")
        assert (answer.status_code, answer.text) == (200, "/readyz?verbose=1")
        assert answer.headers["X-Shop"] == "open"
    answer = bed.http.request("GET", bed.path("pods", f"{name}:{shop_port}/proxy/other"))
    assert (answer.status_code, answer.text) == (503, "/other")


def test_the_pod_proxy_says_what_it_cannot_reach(bed: Bed, shop_port: int) -> None:
    """A pod that doesn't listen answers a 5xx Status, a missing one 404, one without address 400."""
    bed.http.create(bed.path("deployments"), deployment("shop", "shop:1", replicas=1))
    bed.settled("shop")
    (pod,) = bed.items("pods")
    closed = bed.http.request("GET", bed.path("pods", f"{pod['metadata']['name']}:1/proxy/readyz"))
    assert closed.status_code in {500, 503}
    assert "error trying to reach service" in closed.json()["message"]
    assert bed.http.request("GET", bed.path("pods", "none/proxy/readyz")).status_code == 404
    elsewhere = {
        "metadata": {"name": "new"},
        "spec": {"nodeName": "elsewhere", "containers": [{"name": "a", "image": "a"}]},
    }
    bed.http.create(bed.path("pods"), elsewhere)
    assert bed.http.request("GET", bed.path("pods", f"new:{shop_port}/proxy/readyz")).status_code == 400
