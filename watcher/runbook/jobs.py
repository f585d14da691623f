"""Jobs made from the bad revision's own pod template, so that they have its code, env and secrets.

`plan` and `migrate` run them; each is named from its case, so that it is made once, however often that is tried.
"""

from __future__ import annotations

from typing import Any, Literal

from watcher.policy.model import PREFIX, Migrations
from watcher.runbook.case import Case
from watcher.runbook.ports import Cluster
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import paths
from watcher.systems.kubernetes.faults import AlreadyExists

CASE_NOTE = PREFIX + "case"
KEPT_FOR = 7 * 86400  # seconds that a finished Job stays, for its logs
LONGEST_TAIL = 300  # characters of a failed Job's output that are shown

# What a Job's container must not have of the template's: it serves nobody.
_SERVING = ("readinessProbe", "livenessProbe", "startupProbe", "lifecycle", "ports")

State = Literal["active", "complete", "failed"]
What = Literal["plan", "down"]


def job_name(case: Case, what: What) -> str:
    """Name a case's Job: at most 63 characters, with room for what pods' names add."""
    return f"migrate-{case.uid[:18]}-r{case.bad}-t{case.turn}-{what}"


def job_for(case: Case, what: What, template: dict[str, Any], migrations: Migrations, version: str) -> dict[str, Any]:
    """Make the Job that goes back to `version`: one container of the template with another command.

    It has nothing of the template that serves or restarts. The template's labels are left out: no Service may take the
    Job's pod for one of the Deployment's. Its init containers are left out but for those that the policy names: one of
    them may be what migrates forward. Raises ValueError where the container isn't there.
    """
    spec = dict(template["spec"])
    words = migrations.plan if what == "plan" else migrations.command
    containers = spec.get("containers") or []
    chosen = next((c for c in containers if migrations.container in ("", c.get("name"))), None)
    if chosen is None:
        raise ValueError(f"the pod template has no container {migrations.container}")
    own = {key: value for key, value in chosen.items() if key not in (*_SERVING, "args")}
    own["command"] = [word.replace("$version", version) for word in words]
    kept = [c for c in spec.get("initContainers") or [] if c.get("name") in migrations.init_containers]
    spec |= {"containers": [own], "restartPolicy": "Never"}
    spec |= {"initContainers": kept} if kept else {}
    if not kept:
        spec.pop("initContainers", None)
    labels = {"app.kubernetes.io/managed-by": "canary-watch"}
    notes = {**((template.get("metadata") or {}).get("annotations") or {}), CASE_NOTE: case.id}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job_name(case, what), "labels": labels, "annotations": {CASE_NOTE: case.id}},
        "spec": {
            "backoffLimit": 0,  # a migration that failed half-way is never repeated blindly
            "activeDeadlineSeconds": round(migrations.timeout),
            "ttlSecondsAfterFinished": KEPT_FOR,
            "template": {"metadata": {"labels": labels, "annotations": notes}, "spec": spec},
        },
    }


def run_once(cluster: Cluster, case: Case, body: dict[str, Any]) -> dict[str, Any]:
    """Create the Job, or give the one that an earlier attempt has created. Raises Fault."""
    try:
        return cluster.create(paths.jobs(case.namespace), body)
    except AlreadyExists:
        return cluster.get(paths.jobs(case.namespace, body["metadata"]["name"]))


def state_of(job: dict[str, Any]) -> tuple[State, str]:
    """Say how a Job stands, and why it failed."""
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition.get("status") == "True" and condition.get("type") in ("Complete", "Failed"):
            why = str(condition.get("message") or condition.get("reason") or "no reason given")
            return ("complete", "") if condition["type"] == "Complete" else ("failed", why)
    return "active", ""


def output_of(cluster: Cluster, case: Case, job: dict[str, Any]) -> str:
    """Read what a Job's pod wrote; empty where it has none any more. Raises Fault.

    An API server whose connection to the kubelet breaks hands out what it has got, as if that were all: what isn't the
    same when it is read twice may be a part.
    """
    name = job["metadata"]["name"]
    listed = cluster.get(paths.pods(case.namespace), {"labelSelector": f"job-name={name}"})
    pods = [pod["metadata"]["name"] for pod in listed.get("items") or []]
    container = job["spec"]["template"]["spec"]["containers"][0]["name"]
    first, again = (cluster.pod_log(case.namespace, pods[-1], container) if pods else "" for _ in range(2))
    if first != again:
        raise Fault("Kubernetes", f"the output of Job {name} was not the same when it was read twice")
    return first


def failure_of(cluster: Cluster, case: Case, job: dict[str, Any], why: str) -> str:
    """Say how a Job failed, with the end of its output where that can be had."""
    try:
        output = tail(output_of(cluster, case, job))
    except Fault:
        output = ""
    said = f"Job {case.namespace}/{job['metadata']['name']} failed: {why}"
    return f"{said}; its output ends: {output}" if output else said


def tail(output: str) -> str:
    """The end of an output, on one line, for a message."""
    line = " ".join(output.split())
    return line if len(line) <= LONGEST_TAIL else "…" + line[-LONGEST_TAIL:]
