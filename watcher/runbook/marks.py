"""The daemon's marks on ReplicaSets: `verdict` (proven, condemned), when a reused one's rollout started, its schema."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from watcher.judgement.model import Revision, Rollout
from watcher.judgement.rollouts import (
    DOUBTED,
    GRACE,
    MARKS,
    REVISION,
    SCHEMA_SEEN,
    STARTED,
    VERDICT,
    VERDICT_OF,
    write_time,
)
from watcher.policy.model import SchemaQuery
from watcher.runbook.case import Case
from watcher.runbook.lanes import Lanes
from watcher.runbook.migrations import asked_of
from watcher.runbook.ports import Cluster, Schema
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import paths
from watcher.systems.kubernetes.faults import Invalid, NotFound

LOG = logging.getLogger("canary-watch.runbook")


def condemn(cluster: Cluster, case: Case) -> None:
    """Mark the case's bad revision `condemned`. A ReplicaSet that is gone needs no mark. Raises Fault."""
    path = paths.replica_sets(case.namespace, case.bad_replica_set)
    try:
        replica_set = cluster.get(path)
        _annotate(cluster, path, replica_set, _verdict("condemned", str(replica_set["metadata"]["uid"])))
    except NotFound:
        return


def mark_schema(cluster: Cluster, case: Case, asked: str, version: str) -> None:
    """Note which schema version the revision that a case went back to serves with. Raises Fault."""
    number, uid = int(case.result("revert", "newRevision")), str(case.result("confirm", "targetUid"))
    revision = Revision(number, str(case.result("confirm", "targetReplicaSet")), uid)
    with suppress(NotFound):
        _mark(cluster, case.namespace, revision, _seen(revision, asked, version))


class Marks:
    """Sets marks in a lane of their own. One that fails is logged, and found missing by the next pass."""

    def __init__(self, cluster: Cluster, lanes: Lanes, leading: Callable[[], bool], schema: Schema) -> None:
        self._cluster = cluster
        self._lanes = lanes
        self._leading = leading
        self._schema = schema
        self._unread: dict[tuple[str, int], tuple[Rollout, SchemaQuery, float]] = {}

    def prove(self, rollout: Rollout) -> None:
        """Mark a rollout's revision `proven`: it came through its whole watch healthy."""
        self._set(rollout, _verdict("proven", rollout.new.uid), "is proven")

    def doubt(self, rollout: Rollout) -> None:
        """Mark a rollout's revision `doubted`: it was replaced while it was not healthy."""
        self._set(
            rollout,
            {DOUBTED: f"{rollout.new.uid}@{rollout.new.number}"},
            "is doubted: it was replaced while it was not healthy",
        )

    def record_start(self, rollout: Rollout) -> None:
        """Record when a rollout to a reused ReplicaSet started, so that a restart doesn't move it."""
        started = write_time(rollout.started)
        self._set(rollout, {STARTED: f"{rollout.new.number}@{started}"}, f"started at {started}")

    def await_schema(self, rollout: Rollout, query: SchemaQuery, after: float) -> None:
        """Have the schema's version recorded that a proven revision serves with, from `after` on (epoch seconds).

        Not before its watch ends: some migrate once the code is out, and what is taken for the schema that a revision
        needs, while it is older, would be gone back to.
        """
        self._unread[rollout.key] = rollout, query, after

    def record_schemas(self, now: float, newest: Callable[[str], int | None]) -> None:
        """Read what is awaited, at each pass until it is recorded; given up when it was replaced, or GRACE after proof.

        `newest` gives the number of a Deployment's newest revision. What is never read holds a later migration's case.
        """
        for key, (rollout, query, after) in list(self._unread.items()):
            if now >= after + 2 * GRACE or newest(rollout.uid) != rollout.new.number:
                self._unread.pop(key, None)
            elif now >= after:
                self.record_schema(rollout, query)

    def record_schema(self, rollout: Rollout, query: SchemaQuery) -> None:
        """Record which version of its database's schema a revision was seen with, while it alone serves.

        A later revision's migration is taken back to it, where no pod template says what is expected.
        """
        what = f"{rollout.name} revision {rollout.new.number}"

        def mark() -> None:
            try:
                version = self._schema(query)
                alone = _serves_alone(self._cluster, rollout)
            except Fault as fault:
                LOG.warning("the schema version that %s serves with can't be read: %s", what, fault)
                return
            seen = _seen(rollout.new, asked_of(query), version)
            if alone and self._write(rollout, seen, f"{what} serves with schema version {version}"):
                self._unread.pop(rollout.key, None)

        self._lanes.submit("schema", (rollout.uid, SCHEMA_SEEN), mark)

    def _set(self, rollout: Rollout, notes: dict[str, str], said: str) -> None:
        def mark() -> None:
            self._write(rollout, notes, f"{rollout.name} revision {rollout.new.number} {said}")

        self._lanes.submit("marks", (rollout.uid, *notes), mark)

    def _write(self, rollout: Rollout, notes: dict[str, str], what: str) -> bool:
        """Set the annotations, where this daemon leads; whether that was done."""
        if not self._leading():
            return False
        try:
            _sweep(self._cluster, rollout)
            _mark(self._cluster, rollout.namespace, rollout.new, notes)
        except Fault as fault:
            LOG.warning("can't mark that %s: %s", what, fault)
            return False
        LOG.info("%s", what)
        return True


def _serves_alone(cluster: Cluster, rollout: Rollout) -> bool:
    """Say whether the revision is the newest still, has ready pods, and no other one has any. Raises Fault.

    Asked after the schema was read: what was read while another one came may be that one's. A template that the
    Deployment controller hasn't seen yet has no revision. The init containers of a ready pod, which may migrate, are
    through.
    """
    deployment = cluster.get(paths.deployments(rollout.namespace, rollout.deployment))
    meta, status = deployment["metadata"], deployment.get("status") or {}
    number = str((meta.get("annotations") or {}).get(REVISION, ""))
    observed = status.get("observedGeneration") == meta.get("generation")
    same = meta.get("uid") == rollout.uid and observed and number == str(rollout.new.number)
    alone = status.get("updatedReplicas") == status.get("replicas")
    return same and alone and int(status.get("readyReplicas") or 0) > 0


def _sweep(cluster: Cluster, rollout: Rollout) -> None:
    """Take marks off the Deployment, where `kubectl rollout undo` has copied them from a ReplicaSet.

    The Deployment controller would copy them on, over the marks of the ReplicaSet that serves now.
    """
    strays = [key for key in MARKS if key in rollout.annotations]
    if strays:
        ops: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/uid", "value": rollout.uid}]
        ops += [{"op": "remove", "path": f"/metadata/annotations/{paths.pointer(key)}"} for key in strays]
        with suppress(Invalid):  # they are gone already, and the cache doesn't know yet
            cluster.json_patch(paths.deployments(rollout.namespace, rollout.deployment), ops)


def _seen(revision: Revision, asked: str, version: str) -> dict[str, str]:
    """The mark names the revision, as ReplicaSets are used again, and the question, as policies are edited."""
    return {SCHEMA_SEEN: f"{revision.uid}@{revision.number}@{asked}@{version}"}


def _verdict(verdict: str, uid: str) -> dict[str, str]:
    return {VERDICT: verdict, VERDICT_OF: uid}


def _mark(cluster: Cluster, namespace: str, revision: Revision, notes: dict[str, str]) -> None:
    path = paths.replica_sets(namespace, revision.replica_set)
    replica_set = cluster.get(path)
    if replica_set["metadata"].get("uid") == revision.uid:
        _annotate(cluster, path, replica_set, notes)


def _annotate(cluster: Cluster, path: str, replica_set: dict[str, Any], notes: dict[str, str]) -> None:
    """Set annotations, each by its own key, so that nobody else's are touched; nothing is sent where they are set."""
    present = replica_set["metadata"].get("annotations")
    missing = {k: v for k, v in notes.items() if (present or {}).get(k) != v}
    if not missing:
        return
    ops: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/uid", "value": replica_set["metadata"]["uid"]}]
    if not present:
        ops.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    for key, value in missing.items():
        ops.append({"op": "add", "path": f"/metadata/annotations/{paths.pointer(key)}", "value": value})
    cluster.json_patch(path, ops)
