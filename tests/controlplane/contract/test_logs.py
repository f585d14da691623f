"""Pods' logs: the client reads what a Job's command wrote, from the kubelet of its node by way of the API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane.bed import Bed, condition
from tests.controlplane.http import Json, until
from tests.controlplane.manifests import deployment, job
from tests.controlplane.processes import runs
from tests.controlplane.real import free_ports
from watcher.systems import kubernetes as k8s
from watcher.systems.kubernetes import Connection

ELSEWHERE = "default"
"""A namespace whose pods no node runs."""


@pytest.fixture
def client(bed: Bed, tmp_path: Path) -> Connection:
    """The daemon's connection to the bed's cluster."""
    return Connection.open(str(bed.cluster.write_kubeconfig(tmp_path / "kubeconfig")))


@pytest.fixture
def lone(bed: Bed) -> Iterator[Json]:
    """A pod that nobody starts, to be created by the test; named as the bed's namespace."""
    yield {"metadata": {"name": bed.namespace}, "spec": {"containers": [{"name": "main", "image": "tools"}]}}
    bed.http.request("DELETE", _path(bed), {"gracePeriodSeconds": 0})


def _path(bed: Bed, subresource: str = "") -> str:
    return f"/api/v1/namespaces/{ELSEWHERE}/pods/{bed.namespace}{subresource}"


def _pod(bed: Bed, name: str) -> str:
    (pod,) = bed.items("pods", labelSelector=f"job-name={name}")
    return str(pod["metadata"]["name"])


def _ran(bed: Bed, body: Json) -> str:
    """Run a Job to its end; the name of its pod."""
    bed.http.create(bed.path("jobs"), body)
    name = body["metadata"]["name"]
    until(lambda: bed.http.get(bed.path("jobs", name))["status"].get("conditions"))
    return _pod(bed, name)


def _shell(bed: Bed, script: str) -> str:
    return _ran(bed, job("plan", "sh", "-c", script))


def test_a_jobs_output_is_read_after_its_end(bed: Bed, client: Connection) -> None:
    """Once a Job is over, all that its command wrote is there, both streams in the order of writing, also if failed."""
    pod = _shell(bed, "echo planning; echo careful > /dev/stderr; printf '\\377\\n'; echo done; exit 3")
    for container in ("", "main"):
        assert client.pod_log(bed.namespace, pod, container) == "planning\ncareful\n\ufffd\ndone\n"
    assert condition(bed.http.get(bed.path("jobs", "plan")), "Failed")


def test_a_long_output_is_read_whole_or_not_at_all(bed: Bed, client: Connection) -> None:
    """A log longer than the client will take is a fault; at its very length it is whole, its last line included."""
    pod = _shell(bed, "yes 0123456789 | head -n 20000; echo end")
    wanted = "0123456789\n" * 20_000 + "end\n"
    assert client.pod_log(bed.namespace, pod, most=len(wanted)) == wanted
    for most in (len(wanted) - 1, 100):
        with pytest.raises(k8s.Malformed, match=f"longer than {most} bytes"):
            client.pod_log(bed.namespace, pod, most=most)
    with pytest.raises(k8s.Malformed, match="longer than 65536 bytes"):
        client.pod_log(bed.namespace, pod)


def test_what_a_container_is_told_to_run(bed: Bed, client: Connection) -> None:
    """A container's command, args, env and workingDir are all honoured."""
    body = job("plan", "sh", "-c")
    container = body["spec"]["template"]["spec"]["containers"][0]
    script = 'echo "$0 $1 $MIGRATION"; pwd; env'
    container.update(args=[script, "to", "42"], workingDir="/usr", env=[{"name": "MIGRATION", "value": "0042 'x'"}])
    pod = _ran(bed, body)
    log = client.pod_log(bed.namespace, pod)
    assert log.startswith("to 42 0042 'x'\n/usr\n")
    assert "KUBEBUILDER_ASSETS" not in log, "a container sees nothing of its host's environment"


def test_a_running_pods_output_is_read(bed: Bed, client: Connection) -> None:
    """What a command has written so far can be read while it runs."""
    bed.http.create(bed.path("jobs"), job("plan", "sh", "-c", "echo begun; exec sleep 60"))
    until(lambda: bed.items("pods", fieldSelector="status.phase=Running"))
    until(lambda: client.pod_log(bed.namespace, _pod(bed, "plan")) == "begun\n")


def test_the_limit_is_kept(bed: Bed) -> None:
    """A limitBytes gives the first bytes of a log, as text; a limit of none is a 422, no number a 400."""
    pod = _shell(bed, "echo planning")
    for limit, text in (("5", "plann"), ("9", "planning\n"), ("100", "planning\n")):
        answer = bed.http.request("GET", bed.path("pods", f"{pod}/log", limitBytes=limit))
        assert (answer.status_code, answer.text) == (200, text)
        assert answer.headers["Content-Type"].startswith("text/plain")
    for limit, code in (("0", 422), ("-1", 422), ("x", 400)):
        answer = bed.http.request("GET", bed.path("pods", f"{pod}/log", limitBytes=limit))
        assert (answer.status_code, answer.json()["kind"]) == (code, "Status")


def test_other_wishes_are_refused(bed: Bed) -> None:
    """What this node's kubelet doesn't do is said, and not left out; a parameter that nobody knows is ignored."""
    pod = _shell(bed, "echo planning")
    answer = bed.http.request("GET", bed.path("pods", f"{pod}/log", tailLines="1", timestamps="true"))
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    assert "without tailLines, timestamps" in answer.json()["message"]
    assert bed.http.request("GET", bed.path("pods", f"{pod}/log", other="1")).text == "planning\n"
    assert bed.http.request("POST", bed.path("pods", f"{pod}/log")).status_code == 405


def test_a_container_that_is_not_there(bed: Bed, client: Connection) -> None:
    """A wrong container name is Invalid, and says so; where there are two, one must be named."""
    body = job("plan", "echo", "planning")
    body["spec"]["template"]["spec"]["containers"].append({"name": "beside", "image": "tools"})
    pod = _ran(bed, body)
    with pytest.raises(k8s.Invalid, match=f"container wrong is not valid for pod {pod}") as raised:
        client.pod_log(bed.namespace, pod, "wrong")
    assert raised.value.status == 400
    with pytest.raises(k8s.Invalid, match=r"must be specified for pod .* choose one of: \[main beside\]"):
        client.pod_log(bed.namespace, pod)
    assert client.pod_log(bed.namespace, pod, "main") == "planning\n"
    assert client.pod_log(bed.namespace, pod, "beside") == "", "the node runs the first container only"


def test_pods_without_processes_write_nothing(bed: Bed, client: Connection) -> None:
    """A Deployment's pod, for which the node runs no process, has an empty log; a missing pod has none."""
    bed.http.create(bed.path("deployments"), deployment("shop", "shop:1", replicas=1))
    bed.settled("shop")
    (pod,) = bed.items("pods")
    assert client.pod_log(bed.namespace, pod["metadata"]["name"]) == ""
    with pytest.raises(k8s.NotFound, match='pods "none" not found'):
        client.pod_log(bed.namespace, "none")


def test_a_pod_that_has_no_node(bed: Bed, client: Connection, lone: Json) -> None:
    """A pod that waits for a node is a 204 without text, which the client doesn't take for an empty log."""
    bed.http.create(f"/api/v1/namespaces/{ELSEWHERE}/pods", lone)
    answer = bed.http.request("GET", _path(bed, "/log"))
    assert (answer.status_code, answer.text) == (204, "")
    with pytest.raises(k8s.Unavailable, match="not been given a node"):
        client.pod_log(ELSEWHERE, bed.namespace)


def test_a_pod_that_its_node_has_not_started(bed: Bed, client: Connection, lone: Json) -> None:
    """Where the kubelet has no such container yet, the API server hands on its refusal as a 400."""
    lone["spec"]["nodeName"] = bed.node.name
    bed.http.create(f"/api/v1/namespaces/{ELSEWHERE}/pods", lone)
    with pytest.raises(k8s.Invalid, match=f'container "main" in pod "{bed.namespace}" is not available') as raised:
        client.pod_log(ELSEWHERE, bed.namespace)
    assert raised.value.status == 400


def test_a_pod_whose_node_is_gone(bed: Bed, client: Connection, lone: Json) -> None:
    """A pod on a node that isn't registered is NotFound, by the node's name."""
    lone["spec"]["nodeName"] = f"gone-{bed.namespace}"
    bed.http.create(f"/api/v1/namespaces/{ELSEWHERE}/pods", lone)
    with pytest.raises(k8s.NotFound, match=f'"gone-{bed.namespace}" not found'):
        client.pod_log(ELSEWHERE, bed.namespace)


def test_a_kubelet_that_does_not_answer(bed: Bed, client: Connection, lone: Json) -> None:
    """A node whose kubelet can't be reached is Unavailable, with where it was looked for."""
    (port,) = free_ports(1)
    node, nodes = f"dead-{bed.namespace}", "/api/v1/nodes"
    endpoint = {"daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}
    status = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], **endpoint}
    bed.http.create(nodes, {"metadata": {"name": node}, "status": status})
    lone["spec"]["nodeName"] = node
    bed.http.create(f"/api/v1/namespaces/{ELSEWHERE}/pods", lone)
    with pytest.raises(k8s.Unavailable, match=f"127.0.0.1:{port}/containerLogs/") as raised:
        client.pod_log(ELSEWHERE, bed.namespace)
    assert raised.value.status == 500
    bed.http.request("DELETE", f"{nodes}/{node}")


def test_a_job_past_its_deadline_leaves_no_process(bed: Bed, client: Connection) -> None:
    """A Job past activeDeadlineSeconds has failed as DeadlineExceeded, and all processes of its command are gone."""
    script = "sleep 61 & echo $! $$; exec sleep 60"
    bed.http.create(bed.path("jobs"), job("slow", "sh", "-c", script, activeDeadlineSeconds=2))
    until(lambda: bed.items("pods", fieldSelector="status.phase=Running"))
    pod = _pod(bed, "slow")
    processes = [int(number) for number in until(lambda: client.pod_log(bed.namespace, pod)).split()]
    assert len(processes) == 2
    assert all(map(runs, processes))
    item = until(lambda: _failed(bed, "slow"))
    assert condition(item, "Failed")["reason"] == "DeadlineExceeded"
    until(lambda: not any(map(runs, processes)))
    assert bed.http.get(bed.path("jobs", "slow"))["status"].get("active", 0) == 0


def _failed(bed: Bed, name: str) -> Json | None:
    item = bed.http.get(bed.path("jobs", name))
    return item if condition(item, "Failed") else None
