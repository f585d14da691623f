"""Step 1 of the runbook: confirm that the newest revision is the bad one, and settle which one to go back to.

Reads the API server itself, not the watch cache: what is decided here is what gets patched. What it finds (the rollout
history, what the release changed, who else manages the Deployment) is recorded for whoever reads the case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from watcher.judgement.model import Revision
from watcher.judgement.pauses import pause_in, say_pause
from watcher.judgement.rollouts import REVISION, History, rollout_of, target_of, trim_deployment, trim_replica_set
from watcher.policy.model import PREFIX
from watcher.runbook.case import Case
from watcher.runbook.changes import changes_between, history_of
from watcher.runbook.duty import stale_order
from watcher.runbook.owners import owner_of, said_writer
from watcher.runbook.ports import Cluster
from watcher.runbook.step import Outcome
from watcher.runbook.templates import images_of, same_template
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import paths
from watcher.systems.kubernetes.faults import NotFound

TICKET = PREFIX + "ticket"
DASHBOARD = PREFIX + "dashboard"
LONGEST_NOTE = 500  # characters of an annotation that a case keeps
ATTEMPTS = 3  # at the facts of a case that isn't a rollback: its page doesn't need them


@dataclass(frozen=True, slots=True)
class _Found:
    """A Deployment as the API server has it, with its ReplicaSets, newest revision first."""

    deployment: dict[str, Any]
    replica_sets: list[dict[str, Any]]
    owned: list[tuple[Revision, Mapping[str, Any]]]

    @property
    def newest(self) -> int:
        """The newest revision's number, 0 where there is none."""
        return self.owned[0][0].number if self.owned else 0

    def named(self, name: str) -> dict[str, Any]:
        """The ReplicaSet of that name."""
        return next(rs for rs in self.replica_sets if rs["metadata"]["name"] == name)


class Confirm:
    """Look at the Deployment and its ReplicaSets once more, and record what is found, bad and target revision."""

    name = "confirm"
    lane = "kubernetes"
    write_ahead = False

    def __init__(self, cluster: Cluster, own_namespace: str) -> None:
        self._cluster = cluster
        self._own_namespace = own_namespace

    def due(self, case: Case) -> bool:
        """It comes first."""
        return not case.outcome and not case.step("confirm").over

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Confirm, or find the case overtaken by another change or held by a pause."""
        if case.action != "RollBack":
            return self._record(case)
        try:
            found = self._find(case)
        except NotFound:
            return Outcome("done", case_outcome="overtaken", said="the Deployment was deleted")
        if found.deployment["metadata"].get("uid") != case.uid:
            return Outcome("done", case_outcome="overtaken", said="the Deployment was deleted and created again")
        if found.newest != case.bad:
            return Outcome("done", case_outcome="overtaken", said=f"revision {found.newest} is the newest now")
        bad = found.named(found.owned[0][0].replica_set)
        if not same_template(found.deployment["spec"]["template"], bad["spec"]["template"]):
            return Outcome("done", case_outcome="overtaken", said="the Deployment's template was changed meanwhile")
        stale = stale_order(case, now)
        if stale:
            return Outcome("later", escalate=stale)
        pausing = list(dict.fromkeys((case.namespace, self._own_namespace)))
        held = held_by(self._cluster, found.deployment, pausing, now)
        if held:
            reason = "spec-paused" if "spec.paused" in held else "paused"
            return Outcome("later", hold=held, reason=reason)
        return _settled(case, found, pausing)

    def _record(self, case: Case) -> Outcome:
        """Record the facts for a case in which nothing is taken back. Without them, it is paged all the same."""
        try:
            found = self._find(case)
        except NotFound:
            return Outcome("skipped", said="the Deployment is gone")
        except Fault:
            if case.step("confirm").failures >= ATTEMPTS - 1:
                return Outcome("skipped", said="the API server doesn't say more about it")
            raise
        if found.deployment["metadata"].get("uid") != case.uid:
            return Outcome("skipped", said="the Deployment was deleted and created again")
        return Outcome("done", _facts(case, found, None), "the facts are recorded")

    def _find(self, case: Case) -> _Found:
        deployment = self._cluster.get(paths.deployments(case.namespace, case.deployment))
        listed = self._cluster.get(paths.replica_sets(case.namespace), selector_query(deployment))
        every = [rs for rs in listed.get("items") or [] if _owner(rs) == case.uid]
        small = History([trim_deployment(deployment)], [trim_replica_set(rs) for rs in every])
        return _Found(deployment, every, small.of(deployment))


def _settled(case: Case, found: _Found, pausing: list[str]) -> Outcome:
    """Settle the target: the one demanded, else the newest good one, else none: then the Deployment is scaled to 0."""
    target = target_of(rollout_of(trim_deployment(found.deployment), found.owned, None), case.target)
    if target is None and not (case.scale_to_zero and len(found.owned) == 1 and case.bad == 1):
        wanted = f"revision {case.target} can't be rolled back to" if case.target else "no earlier revision is left"
        if case.target:
            return Outcome("later", escalate=wanted, reason="fixed-revision-unusable")
        return Outcome("later", escalate=f"{wanted} to roll back to")
    result = {**_facts(case, found, target), "pausingNamespaces": pausing}
    if target is None:
        replicas = found.deployment["spec"].get("replicas")
        scaled = {"targetRevision": 0, "scaleToZero": True, "replicas": 1 if replicas is None else replicas}
        return Outcome("done", {**result, **scaled}, f"revision {case.bad} is the only one; scaling to 0")
    good = found.named(target.replica_set)
    result |= {
        "targetRevision": target.number,
        "targetReplicaSet": target.replica_set,
        "targetUid": target.uid,
        "targetImage": images_of(good["spec"]["template"]),
        "targetSchema": target.schema,
        "targetSchemaBy": target.schema_by,
    }
    return Outcome("done", result, f"revision {case.bad} is the newest; going back to {target.number}")


def _facts(case: Case, found: _Found, target: Revision | None) -> dict[str, Any]:
    """What whoever reads the case wants to know: history, changes, owner, ticket, dashboard."""
    notes, owner = _notes(found.deployment), owner_of(found.deployment)
    facts: dict[str, Any] = {
        "badRevision": case.bad,
        "history": history_of(found.replica_sets),
        "owner": owner.said if owner else "",
        "writer": said_writer(found.deployment, owner),
        "labels": dict(found.deployment["metadata"].get("labels") or {}),
        "ticket": notes.get(TICKET, "")[:LONGEST_NOTE],
        "dashboard": notes.get(DASHBOARD, "")[:LONGEST_NOTE],
    }
    bad = next((rs for revision, rs in _pairs(found) if revision.number == case.bad), None)
    good = next((rs for revision, rs in _pairs(found) if target and revision.uid == target.uid), None)
    if bad:
        facts |= {"badImage": images_of(bad["spec"]["template"]), "badUid": bad["metadata"]["uid"]}
    if bad and good:
        facts["changes"] = list(changes_between(bad["spec"]["template"], good["spec"]["template"]))
    return facts


def _pairs(found: _Found) -> Iterable[tuple[Revision, dict[str, Any]]]:
    return ((revision, found.named(revision.replica_set)) for revision, _ in found.owned)


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


def _notes(obj: dict[str, Any]) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def selector_query(deployment: dict[str, Any]) -> dict[str, str]:
    """Make the list query that finds a Deployment's own ReplicaSets and pods: its selector's labels."""
    labels = (deployment["spec"].get("selector") or {}).get("matchLabels") or {}
    return {"labelSelector": ",".join(f"{k}={v}" for k, v in sorted(labels.items()))} if labels else {}
