"""Candidates for one Lease, each with an API server of its own over a common store, and a witness of who leads."""

from __future__ import annotations

import copy
import json
import threading
from contextlib import ExitStack
from typing import Any

from tests.systems.scripted_api import connect
from watcher.sandbox.stand_in import Reply, Request, StandIn, json_reply
from watcher.systems.kubernetes import Lease

SHORT = 1.0  # seconds: renewed every 0.2, believed for 0.67, taken over after 1


class Store:
    """The one Lease that several API servers serve, as etcd's clients do."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.record: dict[str, Any] | None = None
        self._version = 0

    def write(self, body: dict[str, Any]) -> dict[str, Any]:
        """Keep `body` under the next resourceVersion; the lock is held."""
        self._version += 1
        self.record = copy.deepcopy(body)
        self.record["metadata"]["resourceVersion"] = str(self._version)
        return copy.deepcopy(self.record)

    def plant(self, holder: str, **spec: object) -> None:
        """Put a Lease of somebody else there."""
        with self.lock:
            whole = {"holderIdentity": holder, "leaseDurationSeconds": 1, "leaseTransitions": 4, **spec}
            self.write({"metadata": {"name": "canary-watch", "labels": {"a": "b"}}, "spec": whole})

    @property
    def spec(self) -> dict[str, Any]:
        """What the Lease says now."""
        assert self.record is not None
        return dict(self.record["spec"])


class LeaseApi(StandIn):
    """An API server that knows GET, POST and PUT of one Lease, and checks resourceVersions."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def answer(self, request: Request) -> Reply:
        """Carry out one request."""
        with self.store.lock:
            record = self.store.record
            if request.method == "POST":
                return self._refusal(409, "AlreadyExists") if record else self._written(201, request)
            if record is None:
                return self._refusal(404, "NotFound")
            if request.method == "GET":
                return json_reply(200, record)
            sent = json.loads(request.body)["metadata"]["resourceVersion"]
            if sent != record["metadata"]["resourceVersion"]:
                return self._refusal(409, "Conflict")
            return self._written(200, request)

    def _written(self, status: int, request: Request) -> Reply:
        return json_reply(status, self.store.write(json.loads(request.body)))

    def _refusal(self, code: int, reason: str) -> Reply:
        return json_reply(code, {"kind": "Status", "metadata": {}, "code": code, "reason": reason})


class World:
    """Candidates, each with an API server of its own over the same store, and a witness of who leads when."""

    def __init__(self, stack: ExitStack) -> None:
        self.store = Store()
        self._stack = stack
        self.candidates: list[Lease] = []
        self.both_led = False
        self._over = threading.Event()
        witness = threading.Thread(target=self._watch, daemon=True)
        witness.start()
        stack.callback(witness.join, 5.0)
        stack.callback(self._over.set)

    def candidate(self, identity: str, duration: float = SHORT) -> tuple[Lease, LeaseApi]:
        """Make a candidate, not started yet, and the server that it alone talks to."""
        api = self._stack.enter_context(LeaseApi(self.store))
        lease = Lease(connect(api.url), "canary-watch", identity, duration)
        self._stack.callback(lease.stop, release=False)
        self.candidates.append(lease)
        return lease, api

    def _watch(self) -> None:
        while not self._over.wait(0.001):
            self.both_led |= sum(lease.leading() for lease in list(self.candidates)) > 1
