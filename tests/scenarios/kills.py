"""Killing the daemon at a boundary: SIGKILL just before a request is carried out, or when it was and isn't answered.

Each boundary has a Deployment of its own, and all of them share a stage: each kill hits every case, wherever it is.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.scenarios.conftest import MakeStage
from tests.scenarios.stage import Stage
from tests.scenarios.test_triggers import BAD, GOOD
from tests.scenarios.vendors import Vendors
from watcher.sandbox.pagerduty import Account, OnCall, User
from watcher.sandbox.stand_in import Dropped, Request, StandIn

Matches = Callable[[Request], bool]

TICKET = "canary-watch.io/ticket"
ANN = "ann@example.com"
ACCOUNT = Account(users=(User("PUSER01", "Ann", ANN),), on_calls=(OnCall("PUSER01", "PPOLICY"),))
PATIENCE = 300.0  # seconds for all of a stage's kills, and for Jira's search, which is waited for


@dataclass(frozen=True)
class Boundary:
    """Where to kill: at the first request to `system` about the boundary's Deployment that `matches`.

    `when` is "before" or "after" it is carried out; one that a kill comes before never is. `of_all`: the request says
    nothing of a Deployment.
    """

    name: str
    system: str
    matches: Matches
    when: Literal["before", "after"]
    of_all: bool = False


def writes(kind: str, method: str) -> Matches:
    """A request that writes an object of this kind, at Kubernetes."""
    return lambda request: request.method == method and f"/{kind}" in request.path


def calls(method: str, path: str, *words: str) -> Matches:
    """A request to a vendor whose path ends so, and whose body has these words."""

    def matches(request: Request) -> bool:
        said = all(word.encode() in request.body for word in words)
        return said and request.method == method and request.path.endswith(path)

    return matches


def step(name: str, state: str) -> Matches:
    """A write of the case's ConfigMap with which a step gets into `state`."""
    return case_with(lambda case: case["steps"].get(name, {}).get("state") == state)


def case_with(holds: Callable[[dict[str, Any]], bool]) -> Matches:
    """A write of the case's ConfigMap that holds so, as the case's own JSON has it."""
    return lambda request: (
        request.method == "PUT" and "/configmaps/" in request.path and bool(holds(case_written(request)))
    )


def case_written(request: Request) -> dict[str, Any]:
    """The case that a request writes."""
    case: dict[str, Any] = json.loads(json.loads(request.body)["data"]["case"])
    return case


class Killer:
    """Kills a stage's newest daemon, once at each boundary: `boundaries` by Deployment, `left` those to come."""

    def __init__(self, stage: Stage, boundaries: Mapping[str, Boundary]) -> None:
        self.left = dict(boundaries)
        self._stage = stage
        self._lock = threading.Lock()
        for system in {boundary.system for boundary in boundaries.values()}:
            stand_in: StandIn = getattr(stage, system)
            stand_in.before = self._hook(system, "before")
            stand_in.after = self._hook(system, "after")

    def _hook(self, system: str, when: str) -> Callable[[Request], None]:
        def hook(request: Request) -> None:
            met = [name for name, one in tuple(self.left.items()) if (one.system, one.when) == (system, when)]
            for name in met:
                if self._comes_to(name, request):
                    self._stage.daemons[-1].kill()
                    if when == "before":
                        raise Dropped

        return hook

    def _comes_to(self, name: str, request: Request) -> bool:
        """Whether the request is the one that a boundary waits for, which is then passed."""
        with self._lock:
            boundary = self.left.get(name)
            if boundary is None or not boundary.matches(request):
                return False
            if not boundary.of_all and not about(self._stage, request, name):
                return False
            del self.left[name]
            return True


def about(stage: Stage, request: Request, name: str) -> bool:
    """Whether a request speaks of a Deployment: itself, or by the message or incident that it hangs on."""
    parents = [m.text for m in stage.slack.top if m.ts.encode() in request.body]
    parents += [incident.dedup_key for incident in stage.pagerduty.incidents if incident.id in request.path]
    return name.encode() in request.body or any(name in text for text in (request.path, *parents))


def deployments_of(boundaries: Sequence[Boundary]) -> dict[str, Boundary]:
    """Name a Deployment for each boundary."""
    return {f"boundary-{number:02d}": boundary for number, boundary in enumerate(boundaries)}


def killed_stage(make_stage: MakeStage, *, jira: bool = True, **wishes: Any) -> Stage:
    """A stage on which a case may take its time, with somebody on call; its brake doesn't hold so many rollbacks."""
    settings: dict[str, Any] = {"pagerduty": {"serviceId": "PSERVICE"}, "brakes": {"perCluster": 100}}
    settings["lease"] = {"duration": "15s"}  # given back after each kill, so that it may as well be kept for long
    if not jira:
        settings["jira"] = {"url": None}
    usual = {"policies": ("error-rate",), "watch_for": "400s", "verify_within": "300s", "settings": settings}
    stage = make_stage(**{**usual, "vendors": Vendors(ACCOUNT), **wishes})
    stage.slack.users[ANN] = "U0ANN"
    return stage


@dataclass(frozen=True)
class Shipped:
    """How a stage's releases differ from the usual: the annotations of good and of bad pod templates.

    `bad` is by Deployment, and so are `containers`: further keys of the Deployments' container.
    """

    good: Mapping[str, str] = field(default_factory=dict)
    bad: Mapping[str, dict[str, str]] = field(default_factory=dict)
    containers: Mapping[str, dict[str, Any]] = field(default_factory=dict)


def play(stage: Stage, boundaries: Mapping[str, Boundary], shipped: Shipped | None = None) -> None:
    """Ship bad releases, kill the daemon at each boundary, start another each time, and see every case through."""
    shipped = shipped or Shipped()
    ship_good(stage, boundaries, shipped)
    killer = Killer(stage, boundaries)
    stage.start()
    ship_bad(stage, boundaries, shipped)
    see_through(stage, killer, boundaries)


def ship_good(stage: Stage, names: Collection[str], shipped: Shipped) -> None:
    """Have a good release of each Deployment, which names its deployment ticket."""
    stage.traffic.set_behaviour("good:1", GOOD)
    for name in names:
        body = stage.manifest("good:1", name, {TICKET: stage.jira.add("OPS", f"Ship {name}").key})
        template = body["spec"]["template"]
        template["metadata"]["annotations"] = dict(shipped.good)
        template["spec"]["containers"][0] |= shipped.containers.get(name, {})
        stage.http.create(f"/apis/apps/v1/namespaces/{stage.namespace}/deployments", body)
    for name in names:
        stage.until(lambda name=name: stage.rolled_out(name, "good:1"), f"{name} rolled out")  # type: ignore[misc]


def ship_bad(stage: Stage, names: Collection[str], shipped: Shipped) -> None:
    """Have a bad release of each Deployment on its way."""
    stage.traffic.set_behaviour("bad:2", BAD)
    for name in names:
        stage.set_image("bad:2", name, shipped.bad.get(name))


def see_through(stage: Stage, killer: Killer, names: Collection[str]) -> None:
    """Start another daemon whenever one was killed, until every case is closed, verified.

    The Lease is given back for it, who is surely dead: others would wait until its time is up.
    """

    def over() -> bool:
        if stage.daemons[-1].process.poll() is not None:
            lease = f"/apis/coordination.k8s.io/v1/namespaces/{stage.home}/leases/canary-watch"
            stage.http.change(lease, {"spec": {"holderIdentity": ""}})
            stage.start()
        closed = [case["deployment"] for case in stage.cases() if case["closed"] and case["outcome"] == "verified"]
        return sorted(closed) == sorted(names) and stage.daemons[-1].process.poll() is None

    stage.until(over, f"every case is closed; boundaries left: {killer.left}", PATIENCE)
    assert not killer.left, "the daemon was killed at each boundary"
    stage.until(lambda: stage.daemons[-1].passes() > 1, "the last daemon has looked at them")
    code, _ = stage.daemons[-1].end()
    assert code == 0
