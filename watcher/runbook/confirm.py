"""Step 1 of the runbook: confirm that the newest revision is the bad one, and settle which one to go back to.

Reads the API server itself, not the watch cache: what is decided here is what gets patched.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from watcher.judgement.pauses import pause_in, say_pause
from watcher.judgement.rollouts import REVISION, History, rollout_of, target_of, trim_deployment, trim_replica_set
from watcher.runbook.case import Case
from watcher.runbook.ports import Cluster
from watcher.runbook.step import Outcome
from watcher.runbook.templates import images_of, same_template
from watcher.systems.kubernetes import paths
from watcher.systems.kubernetes.faults import NotFound


class Confirm:
    """Look at the Deployment and its ReplicaSets once more, and record bad and target revision."""

    name = "confirm"
    lane = "kubernetes"
    write_ahead = False

    def __init__(self, cluster: Cluster, own_namespace: str) -> None:
        self._cluster = cluster
        self._own_namespace = own_namespace

    def due(self, case: Case) -> bool:
        """It comes first."""
        return case.action == "RollBack" and not case.outcome and not case.step("confirm").over

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Confirm, or find the case overtaken by another change or held by a pause."""
        try:
            deployment = self._cluster.get(paths.deployments(case.namespace, case.deployment))
        except NotFound:
            return Outcome("done", case_outcome="overtaken", said="the Deployment was deleted")
        if deployment["metadata"].get("uid") != case.uid:
            return Outcome("done", case_outcome="overtaken", said="the Deployment was deleted and created again")
        listed = self._cluster.get(paths.replica_sets(case.namespace), selector_query(deployment))
        every = [rs for rs in listed.get("items") or [] if _owner(rs) == case.uid]
        small = History([trim_deployment(deployment)], [trim_replica_set(rs) for rs in every])
        owned = small.of(deployment)
        if not owned or owned[0][0].number != case.bad:
            newest = owned[0][0].number if owned else 0
            return Outcome("done", case_outcome="overtaken", said=f"revision {newest} is the newest now")
        bad = _named(every, owned[0][0].replica_set)
        if not same_template(deployment["spec"]["template"], bad["spec"]["template"]):
            return Outcome("done", case_outcome="overtaken", said="the Deployment's template was changed meanwhile")
        pausing = list(dict.fromkeys((case.namespace, self._own_namespace)))
        held = held_by(self._cluster, deployment, pausing, now)
        if held:
            return Outcome("later", hold=held)
        target = target_of(rollout_of(small.deployments[0], owned, None))
        if target is None:
            return Outcome("later", escalate="no earlier revision is left to roll back to")
        good = _named(every, target.replica_set)
        result = {
            "badRevision": case.bad,
            "badImage": images_of(bad["spec"]["template"]),
            "targetRevision": target.number,
            "targetReplicaSet": target.replica_set,
            "targetUid": target.uid,
            "targetImage": images_of(good["spec"]["template"]),
            "pausingNamespaces": pausing,
        }
        return Outcome("done", result, f"revision {case.bad} is the newest; going back to {target.number}")


def held_by(cluster: Cluster, deployment: dict[str, Any], namespaces: Iterable[str], now: float) -> str:
    """Say what holds the revert, if anything does: a pause may have come after the decision. Raises Fault."""
    if deployment["spec"].get("paused"):
        return "the Deployment's spec.paused is set"
    meta = deployment["metadata"]
    pause = pause_in(_notes(deployment), f"Deployment {meta['namespace']}/{meta['name']}", now)
    for name in namespaces:
        if pause is None:
            pause = pause_in(_notes(cluster.get(paths.namespaces(name))), f"Namespace {name}", now)
    return say_pause(pause) if pause else ""


def newest_revision(deployment: dict[str, Any]) -> int:
    """Read the number that the Deployment controller last gave; 0 before it gave one."""
    number = str(_notes(deployment).get(REVISION, ""))
    return int(number) if number.isdigit() else 0


def _owner(replica_set: dict[str, Any]) -> str:
    owners = replica_set["metadata"].get("ownerReferences") or []
    return next((str(owner.get("uid")) for owner in owners if owner.get("controller")), "")


def _named(replica_sets: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(rs for rs in replica_sets if rs["metadata"]["name"] == name)


def _notes(obj: dict[str, Any]) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def selector_query(deployment: dict[str, Any]) -> dict[str, str]:
    """Make the list query that finds a Deployment's own ReplicaSets and pods: its selector's labels."""
    labels = (deployment["spec"].get("selector") or {}).get("matchLabels") or {}
    return {"labelSelector": ",".join(f"{k}={v}" for k, v in sorted(labels.items()))} if labels else {}
