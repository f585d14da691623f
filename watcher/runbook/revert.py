"""Step 2 of the runbook: put the Deployment back on the target revision, in ONE JSON patch, and condemn the bad one.

As `kubectl rollout undo --to-revision=N` does, with the precondition that it lacks: a `test` on the UID and on the
whole template, so that a change made meanwhile wins.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from watcher.judgement.rollouts import MARKS, ROLLED_BACK, rolled_back_note
from watcher.runbook.case import Case
from watcher.runbook.confirm import held_by, newest_revision
from watcher.runbook.duty import Duty, stale_order
from watcher.runbook.marks import condemn
from watcher.runbook.migrations import before_revert, carried, settled, taken_back
from watcher.runbook.ports import Cluster
from watcher.runbook.step import Outcome
from watcher.runbook.templates import same_template, without_hash
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import paths
from watcher.systems.kubernetes.faults import Invalid, NotFound

CHANGE_CAUSE = "kubernetes.io/change-cause"


class Revert:
    """Patch the Deployment's template back to the recorded target; never to "previous": a second undo flips back."""

    name = "revert"
    lane = "kubernetes"
    write_ahead = False

    def __init__(self, cluster: Cluster, duty: Duty) -> None:
        self._cluster = cluster
        self._duty = duty

    def due(self, case: Case) -> bool:
        """It needs the confirmed target, and the migration settled; taken back, where the policy wants that first."""
        confirmed = case.action == "RollBack" and case.step("confirm").state == "done" and settled(case)
        waits = carried(case) and before_revert(case) and not taken_back(case)
        return confirmed and not waits and not case.outcome and not case.step("revert").over

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Patch, or find it done, overtaken by another change, or held by a pause."""
        path = paths.deployments(case.namespace, case.deployment)
        try:
            deployment = self._cluster.get(path)
        except NotFound:
            return Outcome("done", case_outcome="overtaken", said="the Deployment was deleted")
        if deployment["metadata"].get("uid") != case.uid:
            return Outcome("done", case_outcome="overtaken", said="the Deployment was deleted and created again")
        current = deployment["spec"]["template"]
        mine = rolled_back_note(deployment).get("case") == case.id
        if mine and case.result("confirm", "scaleToZero"):
            return self._reverted(case)
        if mine:
            # Ours went through: the answer to it, or the mark, got lost.
            if same_template(current, self._template(case, str(case.result("confirm", "targetReplicaSet")))):
                return self._reverted(case)
            said = "it was rolled back, then changed again"
            return replace(self._reverted(case), case_outcome="overtaken", said=said)
        newer = newest_revision(deployment) > case.bad
        if newer or not same_template(current, self._template(case, case.bad_replica_set)):
            return _overtaken(case, "the Deployment's template was changed meanwhile")
        stale = "" if taken_back(case) else stale_order(case, now)  # with the schema back, the code has to follow
        return Outcome("later", escalate=stale) if stale else self._patch(case, deployment, now)

    def _patch(self, case: Case, deployment: dict[str, Any], now: float) -> Outcome:
        held = held_by(self._cluster, deployment, case.result("confirm", "pausingNamespaces") or (), now)
        if held:
            half = "; its migration has been taken back already" if taken_back(case) else ""
            return Outcome("later", hold=f"{held}{half}")
        path = paths.deployments(case.namespace, case.deployment)
        try:
            good = None if case.result("confirm", "scaleToZero") else self._good(case)
        except NotFound:
            return Outcome("later", said="the target's ReplicaSet is gone; choosing again", again="confirm")
        self._permitted(case)
        try:
            self._cluster.json_patch(path, patch_for(case, deployment, good))
        except Invalid:
            again = self._cluster.get(path)
            if again["spec"]["template"] != deployment["spec"]["template"]:
                return Outcome("later", said="the Deployment changed under the patch")
            # Unchanged, and yet a `test` failed: the server may write the template's JSON in other bytes than we do,
            # and compares those. Its resourceVersion, digits alone, says as much: nothing has changed since `again`.
            self._permitted(case)
            self._cluster.json_patch(path, patch_for(case, again, good, by_version=True))
        return self._reverted(case)

    def _permitted(self, case: Case) -> None:
        """Raise Fault unless the rollback may be made now. One of which the schema is back already is seen through."""
        if not (taken_back(case) and self._duty.leading()):
            self._duty.demand(case)

    def _reverted(self, case: Case) -> Outcome:
        target = case.result("confirm", "targetRevision")
        said = f"revision {case.bad} was rolled back to {target}"
        if case.result("confirm", "scaleToZero"):
            said = f"revision {case.bad}, the only one, was scaled to 0"
        unmarked = ""
        try:
            condemn(self._cluster, case)
        except Fault as fault:  # the rollback is made all the same; `verify` tries the mark again
            unmarked = fault.said
        newest = case.bad if case.result("confirm", "scaleToZero") else case.bad + 1
        result = {"from": case.bad, "to": target, "newRevision": newest, "unmarked": unmarked}
        return Outcome("done", result, said)

    def _good(self, case: Case) -> dict[str, Any]:
        return self._template(case, str(case.result("confirm", "targetReplicaSet")))

    def _template(self, case: Case, replica_set: str) -> dict[str, Any]:
        whole = self._cluster.get(paths.replica_sets(case.namespace, replica_set))
        return without_hash(whole["spec"]["template"])


def _overtaken(case: Case, said: str) -> Outcome:
    """Another change stands. Where the schema was taken back before the revert, that may be without what it needs."""
    if taken_back(case):
        said = f"{said}, after its migration had been taken back: what is there now may not go with the schema"
        return Outcome("done", case_outcome="migration-failed", said=said)
    return Outcome("done", case_outcome="overtaken", said=said)


def patch_for(
    case: Case, deployment: dict[str, Any], template: dict[str, Any] | None, *, by_version: bool = False
) -> list[dict[str, Any]]:
    """Make the revert's JSON patch: `test` UID and template, `replace` the template, say who did it and why.

    `template` None scales to 0 instead, where there is no revision to go back to. `by_version` tests the
    resourceVersion in place of the template, which fails on any change, status included.
    """
    tested, expected = "/spec/template", deployment["spec"]["template"]
    if by_version:
        tested, expected = "/metadata/resourceVersion", deployment["metadata"]["resourceVersion"]
    change: dict[str, Any] = {"op": "replace", "path": "/spec/template", "value": template}
    if template is None:
        change = {"op": "add", "path": "/spec/replicas", "value": 0}
    ops: list[dict[str, Any]] = [
        {"op": "test", "path": "/metadata/uid", "value": case.uid},
        {"op": "test", "path": tested, "value": expected},
        change,
    ]
    notes = deployment["metadata"].get("annotations")
    if not notes:
        ops.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    for key, value in _said(case).items():
        ops.append({"op": "add", "path": f"/metadata/annotations/{paths.pointer(key)}", "value": value})
    # `kubectl rollout undo` brings a ReplicaSet's marks to the Deployment, whence they'd cover the next one's.
    for key in MARKS:
        if key in (notes or {}):
            ops.append({"op": "remove", "path": f"/metadata/annotations/{paths.pointer(key)}"})
    return ops


def _said(case: Case) -> dict[str, str]:
    """The annotations that say what was done, and why.

    `revision` is what the Deployment controller will number it: one above the newest, which is the bad one. By it the
    daemon knows its own revert, and doesn't judge it as a rollout. Scaled to 0, the revision stays.
    """
    target = case.result("confirm", "targetRevision")
    note = {
        "case": case.id,
        "uid": case.uid,
        "replicaSet": case.result("confirm", "targetUid"),
        "from": case.bad,
        "to": target,
        "revision": case.bad + 1,
        "reason": case.said,
    }
    cause = f"canary-watch rolled back from revision {case.bad} to {target}: {case.said} (case {case.id})"
    if case.result("confirm", "scaleToZero"):
        note |= {
            "revision": case.bad,
            "replicaSet": case.result("confirm", "badUid"),
            "replicas": case.result("confirm", "replicas"),
        }
        cause = f"canary-watch scaled revision {case.bad} to 0: {case.said} (case {case.id})"
    return {ROLLED_BACK: json.dumps(note, ensure_ascii=False), CHANGE_CAUSE: cause}
