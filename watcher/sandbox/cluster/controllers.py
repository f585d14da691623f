"""The embedded cluster's controller manager: one thread that follows the store and lets each controller react.

`deployments.py`, `replicasets.py`, `jobs.py` and `garbage.py` hold the controllers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from watcher.sandbox.cluster.api import Api
from watcher.sandbox.cluster.deployments import DeploymentController
from watcher.sandbox.cluster.garbage import collect, finish_namespace
from watcher.sandbox.cluster.jobs import JobController
from watcher.sandbox.cluster.kinds import (
    BY_NAME,
    DEPLOYMENT,
    JOB,
    KINDS,
    NAMESPACE,
    POD,
    REPLICA_SET,
    Key,
    Kind,
    Object,
)
from watcher.sandbox.cluster.refusal import Refusal
from watcher.sandbox.cluster.replicasets import ReplicaSetController
from watcher.sandbox.cluster.store import Change, Forgotten

Task = tuple[str, Key]
"""The name of a kind, and which object of it."""

Reconcile = Callable[[Object], float | None]
"""Brings the world in line with an object; returns after how many seconds to look again even if nothing changes."""

IDLE_SECONDS = 0.5
RETRY_SECONDS = 0.5


class Controllers(threading.Thread):
    """Reconciles each object that changes, and the one that controls it; a reconciliation is one transaction."""

    def __init__(self, api: Api) -> None:
        super().__init__(name="embedded-controllers", daemon=True)
        self._api = api
        self._ended = threading.Event()
        self._later: dict[Task, float] = {}
        self._reconcile: dict[str, tuple[Kind, Reconcile]] = {
            "Deployment": (DEPLOYMENT, DeploymentController(api).reconcile),
            "ReplicaSet": (REPLICA_SET, ReplicaSetController(api).reconcile),
            "Job": (JOB, JobController(api).reconcile),
            "Namespace": (NAMESPACE, lambda namespace: finish_namespace(api, namespace)),
        }

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self.join(timeout=5)

    def run(self) -> None:
        """Follow the store until stopped."""
        store, seen = self._api.store, 0
        while not self._ended.is_set():
            with store.lock:
                before, seen = seen, store.version
                tasks = dict.fromkeys(self._affected(before))  # what this changes is seen the next time
            now = time.monotonic()
            for task in [*tasks, *(task for task, due in self._later.items() if due <= now and task not in tasks)]:
                self._look_at(task)
            pause = min(self._later.values(), default=float("inf")) - time.monotonic()
            store.wait(seen, max(min(pause, IDLE_SECONDS), 0.0))

    def _affected(self, seen: int) -> Iterator[Task]:
        try:
            changes = self._api.store.since(seen)
        except Forgotten:
            changes = [
                Change(0, kind, key, None, item) for kind in KINDS for key, item in self._api.store.all(kind).items()
            ]
        for change in changes:
            yield from self._touched(change)

    def _touched(self, change: Change) -> Iterator[Task]:
        """The objects to look at after a change."""
        namespace, _ = change.key
        if change.after is None and change.before is not None:
            collect(self._api, change.before)
            yield "Namespace", ("", namespace)
        else:
            yield change.kind.name, change.key
        for item in filter(None, (change.before, change.after)):
            yield from _controllers(namespace, item)
        if change.kind is POD and change.after is None and change.before:
            # a Deployment with the strategy Recreate waits for the last old pod to be gone
            for _, key in _controllers(namespace, change.before):
                if replica_set := self._api.store.get(REPLICA_SET, key):
                    yield from _controllers(namespace, replica_set)

    def _look_at(self, task: Task) -> None:
        self._later.pop(task, None)
        name, key = task
        if name not in self._reconcile:
            return
        kind, reconcile = self._reconcile[name]
        with self._api.store.lock:
            item = self._api.store.get(kind, key)
            try:
                again = reconcile(item) if item else None
            except Refusal:  # its namespace is being deleted, or somebody else holds a name: as any client, try again
                again = RETRY_SECONDS
        if again is not None:
            self._later[task] = time.monotonic() + again


def _controllers(namespace: str, item: Object) -> Iterator[Task]:
    for owner in item["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and (owner["apiVersion"], owner["kind"]) in BY_NAME:
            yield owner["kind"], (namespace, owner["name"])
