"""Jobs made from the bad revision's own pod template, so that they have its code, env and secrets.

`plan` and `migrate` run them; each is named from its case, so that it is made once, however often that is tried.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from watcher.policy.model import PREFIX, Migrations
from watcher.runbook.case import Case
from watcher.runbook.ports import Cluster
from watcher.runbook.scrubbing import masked
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import paths
from watcher.systems.kubernetes.faults import AlreadyExists, NotFound

CASE_NOTE = PREFIX + "case"
KEPT_FOR = 7 * 86400  # seconds that a finished Job stays, for its logs
LONGEST_TAIL = 300  # characters of a failed Job's output that are shown
LATE = 120.0  # seconds after its time at which a Job that has not ended never began: it is suspended, say

_VERSION = re.compile(r"\$version(?!\w)")

# What a Job's container must not have of the template's: it serves nobody.
_SERVING = ("readinessProbe", "livenessProbe", "startupProbe", "lifecycle", "ports")
# By these newer Kubernetes runs a single container again, whatever its pod's restartPolicy says.
_RESTARTING = ("restartPolicy", "restartPolicyRules")

DOWN = "down"  # what a Job is for: the way back, or a plan of it by any other name

State = Literal["active", "complete", "failed"]


def job_name(case: Case, what: str) -> str:
    """Name a case's Job: at most 63 characters, with room for what pods' names add.

    A plan changes nothing, and may be asked for anew at each turn of the case. There is one way down in all of it.
    """
    asked = "down" if what == DOWN else f"t{case.turn}-{what}"
    return f"migrate-{case.uid[:18]}-r{case.bad}-{asked}"


def job_for(case: Case, what: str, template: dict[str, Any], migrations: Migrations, version: str) -> dict[str, Any]:
    """Make the Job that goes back to `version`: one container of the template with another command.

    It has nothing of the template that serves or restarts. The template's labels are left out: no Service may take the
    Job's pod for one of the Deployment's. Its init containers are left out but for those that the policy names: one of
    them may be what migrates forward. Raises ValueError where the container isn't there.
    """
    spec = dict(template["spec"])
    words = migrations.command if what == DOWN else migrations.plan
    containers = spec.get("containers") or []
    chosen = next((c for c in containers if migrations.container in ("", c.get("name"))), None)
    if chosen is None:
        raise ValueError(f"the pod template has no container {migrations.container}")
    own = {key: value for key, value in chosen.items() if key not in (*_SERVING, *_RESTARTING, "args")}
    own["command"] = [_VERSION.sub(lambda _: version, word) for word in words]
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
        made = made_before(cluster, case, body["metadata"]["name"])
        if made is None:
            raise
        return made


def made_before(cluster: Cluster, case: Case, name: str) -> dict[str, Any] | None:
    """Give a case's Job of that name; None where there is none. Raises Fault, lasting where it is somebody else's."""
    try:
        job = cluster.get(paths.jobs(case.namespace, name))
    except NotFound:
        return None
    if (job["metadata"].get("annotations") or {}).get(CASE_NOTE) != case.id:
        raise Fault("Kubernetes", f"Job {case.namespace}/{name} is not this case's; delete it", lasting=True)
    return job


def state_of(job: dict[str, Any]) -> tuple[State, str]:
    """Say how a Job stands, and why it failed."""
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition.get("status") == "True" and condition.get("type") in ("Complete", "Failed"):
            why = str(condition.get("message") or condition.get("reason") or "no reason given")
            return ("complete", "") if condition["type"] == "Complete" else ("failed", why)
    return "active", ""


def never_began(job: dict[str, Any], since: float, now: float) -> bool:
    """Say whether a Job that has been waited for since then should long have ended by itself.

    Its deadline counts from its start, from which a queue may keep it.
    """
    return now > since + float(job["spec"].get("activeDeadlineSeconds") or 0) + LATE


def output_of(cluster: Cluster, case: Case, job: dict[str, Any]) -> str:
    """Read what a Job's pod wrote; empty where it has none any more. Raises Fault."""
    name = job["metadata"]["name"]
    listed = cluster.get(paths.pods(case.namespace), {"labelSelector": f"job-name={name}"})
    pods = sorted(listed.get("items") or [], key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
    container = job["spec"]["template"]["spec"]["containers"][0]["name"]
    return cluster.pod_log(case.namespace, str(pods[-1]["metadata"]["name"]), container) if pods else ""


def whole_output_of(cluster: Cluster, case: Case, job: dict[str, Any]) -> str:
    """Read what an ended Job's pod wrote, twice: an answer that broke off on its way looks like any other.

    Raises Fault where the two differ, or the last line is not whole.
    """
    output = output_of(cluster, case, job)
    if output_of(cluster, case, job) != output or not output.endswith("\n"):
        raise Fault("Kubernetes", f"the output of Job {case.namespace}/{job['metadata']['name']} did not come whole")
    return output


def failure_of(cluster: Cluster, case: Case, job: dict[str, Any], why: str) -> str:
    """Say how a Job failed, with the end of its output where that can be had, less what looks like a secret."""
    try:
        output = tail(masked(output_of(cluster, case, job)))
    except Fault:
        output = ""
    said = f"Job {case.namespace}/{job['metadata']['name']} failed: {why}"
    return f"{said}; its output ends: {output}" if output else said


def tail(output: str) -> str:
    """The end of an output, on one line, for a message."""
    line = " ".join(output.split())
    return line if len(line) <= LONGEST_TAIL else "…" + line[-LONGEST_TAIL:]
