"""What the runbook's tests are made from: cases, decisions, a clock set by hand, and a line to a cluster, to be cut."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from watcher.judgement.model import Action, Decision, Evidence, Revision, Rollout, Verdict
from watcher.policy.model import Check, Policy, Ratio, Threshold
from watcher.runbook.case import Case, open_case
from watcher.runbook.duty import Duty
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import Connection, Unavailable

Json = dict[str, Any]

OWN = "canary-watch"
"""The daemon's own namespace."""
NOW = 1_800_000_000.0
REASON = "errors 4.00% (40 of 1000 requests), above 1.00%"
NEVER = Ratio("bad", "total", per_pod=True)
CHECK = Check("errors", NEVER, Threshold(0.01, "1%", "ratio"), 60.0)
POLICY = Policy("error-rate", "error-rate.yaml", ("*",), 1800.0, (CHECK,), verify_within=600.0)
TARGET = {"targetRevision": 1, "targetReplicaSet": "checkout-1", "targetUid": "rs-1", "targetImage": "shop:1"}


def verdict(said: str = REASON, policy: Policy = POLICY) -> Verdict:
    """A breach of the policy's first check."""
    evidence = Evidence(said, 0.04, 0.01, NOW - 60.0, {"bad": 40.0, "total": 1000.0})
    return Verdict("Breached", "above-threshold", evidence, policy, policy.checks[0])


def rollout(bad: int = 2, uid: str = "uid-of-checkout", replica_set: str = "checkout-2") -> Rollout:
    """The rollout of shop/checkout to revision `bad`."""
    new = Revision(bad, replica_set, f"rs-{bad}")
    return Rollout("shop", "checkout", uid, new, (Revision(1, "checkout-1", "rs-1"),), NOW - 120.0)


def decision(
    action: Action = "RollBack", reason: str = "above-threshold", said: str = REASON, about: Rollout | None = None
) -> Decision:
    """A decision about revision 2 of shop/checkout, or about another rollout."""
    return Decision(action, reason, said, about or rollout(), verdict())


def case_of(action: Action = "RollBack", said: str = REASON) -> Case:
    """A case, just opened."""
    return open_case(decision(action, said=said), ("prod", "us-east-1"), NOW)


def on_duty(case: Case) -> Duty:
    """The duty of a daemon that leads and has just decided to roll this case back."""
    duty = Duty(lambda: True, lambda: NOW, 60.0)
    duty.decided(case.name)
    return duty


@dataclass
class Clock:
    """A clock that stands still until it is set."""

    now: float = NOW

    def __call__(self) -> float:
        """Epoch seconds."""
        return self.now


def until(true: Callable[[], bool], what: str, seconds: float = 8.0) -> None:
    """Wait for something that threads bring about; fail naming it."""
    latest = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < latest, f"not in time: {what}"
        time.sleep(0.005)


@dataclass
class Line:
    """The connection to a cluster, which can be listened to and cut: a `Cluster` for the steps.

    `before` and `after` are called with the method and the path; what they raise the caller gets, and after `after` has
    raised, the change has been made but its answer is lost.
    """

    inner: Connection
    before: Callable[[str, str], None] = lambda method, path: None
    after: Callable[[str, str], None] = lambda method, path: None
    calls: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def _passed(self, method: str, path: str, call: Callable[[], Json]) -> Json:
        with self.lock:
            self.calls.append((method, path))
        self.before(method, path)
        answer = call()
        self.after(method, path)
        return answer

    def changes(self) -> list[tuple[str, str]]:
        """Every call that could have changed something."""
        return [(method, path) for method, path in self.calls if method != "get"]

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Read."""
        return self._passed("get", path, lambda: self.inner.get(path, query))

    def create(self, path: str, body: Mapping[str, Any]) -> Json:
        """Create."""
        return self._passed("create", path, lambda: self.inner.create(path, dict(body)))

    def replace(self, path: str, body: Mapping[str, Any]) -> Json:
        """Replace."""
        return self._passed("replace", path, lambda: self.inner.replace(path, dict(body)))

    def delete(self, path: str) -> Json:
        """Delete."""
        return self._passed("delete", path, lambda: self.inner.delete(path))

    def json_patch(self, path: str, ops: Sequence[Mapping[str, Any]]) -> Json:
        """Patch."""
        return self._passed("json_patch", path, lambda: self.inner.json_patch(path, [dict(op) for op in ops]))

    def pod_log(self, namespace: str, pod: str, container: str = "") -> str:
        """Read a pod's log."""
        self.calls.append(("pod_log", f"{namespace}/{pod}/{container}"))
        return self.inner.pod_log(namespace, pod, container)

    def pod_get(self, namespace: str, pod: str, port: int, path: str, scheme: str = "http") -> int:
        """Ask a pod."""
        self.calls.append(("pod_get", f"{scheme}://{pod}:{port}{path}"))
        return self.inner.pod_get(namespace, pod, port, path, "https" if scheme == "https" else "http")


class Once:
    """Does something at the first call whose method is `method` and whose path holds `part`; later ones pass."""

    def __init__(self, method: str, part: str, deed: Callable[[], object]) -> None:
        self._wanted, self._deed, self.done = (method, part), deed, False

    def __call__(self, method: str, path: str) -> None:
        """Take note of a call."""
        if not self.done and method == self._wanted[0] and self._wanted[1] in path:
            self.done = True
            self._deed()


def cut() -> None:
    """The API server can't be reached."""
    raise Unavailable("GET /: can't connect")


def fails(said: str = "answered HTTP 500") -> Callable[[], None]:
    """A vendor that answers with an error."""

    def fail() -> None:
        raise Fault("vendor", said)

    return fail
