"""The daemon's marks on ReplicaSets: `verdict` (proven, condemned), when a reused one's rollout started, its schema."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from watcher.judgement.model import Revision, Rollout
from watcher.judgement.rollouts import DOUBTED, MARKS, SCHEMA_SEEN, STARTED, VERDICT, VERDICT_OF, write_time
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

    def record_schema(self, rollout: Rollout, query: SchemaQuery) -> None:
        """Record which version of its database's schema a revision was seen with, while it alone serves.

        A later revision's migration is taken back to it, where no pod template says what is expected.
        """
        what = f"{rollout.name} revision {rollout.new.number}"

        def mark() -> None:
            try:
                version = self._schema(query)
            except Fault as fault:
                LOG.warning("the schema version that %s serves with can't be read: %s", what, fault)
                return
            seen = _seen(rollout.new, asked_of(query), version)
            self._set(rollout, seen, f"serves with schema version {version}")

        self._lanes.submit("migrations", (rollout.uid, SCHEMA_SEEN), mark)

    def _set(self, rollout: Rollout, notes: dict[str, str], said: str) -> None:
        what = f"{rollout.name} revision {rollout.new.number} {said}"

        def mark() -> None:
            if not self._leading():
                return
            try:
                _sweep(self._cluster, rollout)
                _mark(self._cluster, rollout.namespace, rollout.new, notes)
                LOG.info("%s", what)
            except Fault as fault:
                LOG.warning("can't mark that %s: %s", what, fault)

        self._lanes.submit("marks", (rollout.uid, *notes), mark)


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
