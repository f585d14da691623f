"""The daemon is killed with SIGKILL at each step's boundary and started again: one revert, incident and message."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.scenarios.conftest import MakeStage
from tests.scenarios.stage import Stage
from tests.scenarios.test_triggers import BAD, GOOD
from watcher.sandbox.stand_in import Dropped, Request, StandIn

GROUPS = 7  # of boundaries, which are played one after the other on a stage


@dataclass(frozen=True)
class Boundary:
    """Where to kill: at the first request to `system` that `matches`.

    `when` is "before" or "after" it is carried out; one that a kill comes before never is.
    """

    name: str
    system: str
    matches: Callable[[Request], bool]
    when: str


def _writes(kind: str, method: str) -> Callable[[Request], bool]:
    return lambda request: request.method == method and f"/{kind}" in request.path


def _step(name: str, state: str) -> Callable[[Request], bool]:
    """A write of the case's ConfigMap with which a step gets into `state`, as the case's own JSON has it."""

    def matches(request: Request) -> bool:
        if request.method != "PUT" or "/configmaps/" not in request.path:
            return False
        case = json_of_case(request)
        return bool(case["steps"].get(name, {}).get("state") == state)

    return matches


def json_of_case(request: Request) -> dict[str, dict[str, dict[str, object]]]:
    """The case that a request writes."""
    case: dict[str, dict[str, dict[str, object]]] = json.loads(json.loads(request.body)["data"]["case"])
    return case


PATCH = _writes("deployments/", "PATCH")
OPEN = _writes("configmaps", "POST")
TRIGGER = lambda request: b'"trigger"' in request.body  # noqa: E731 - one of a row of predicates
RESOLVE = lambda request: b'"resolve"' in request.body  # noqa: E731 - likewise
POST = lambda request: request.path.endswith("chat.postMessage")  # noqa: E731 - likewise
NOTE = lambda request: request.method == "POST" and request.path.endswith("/notes")  # noqa: E731 - likewise
UPDATE = lambda request: request.path.endswith("chat.update")  # noqa: E731 - likewise

BEFORE_THE_PATCH = Boundary("before the patch", "gate", PATCH, "before")
BOUNDARIES = [
    Boundary("before the case is opened", "gate", OPEN, "before"),
    Boundary("when the case is opened", "gate", OPEN, "after"),
    Boundary("before confirm is recorded", "gate", _step("confirm", "done"), "before"),
    Boundary("when confirm is recorded", "gate", _step("confirm", "done"), "after"),
    BEFORE_THE_PATCH,
    Boundary("after the patch", "gate", PATCH, "after"),
    Boundary("before condemning", "gate", _writes("replicasets/", "PATCH"), "before"),
    Boundary("before revert is recorded", "gate", _step("revert", "done"), "before"),
    Boundary("when revert is recorded", "gate", _step("revert", "done"), "after"),
    Boundary("before the page", "pagerduty", TRIGGER, "before"),
    Boundary("after the page", "pagerduty", TRIGGER, "after"),
    Boundary("when page is recorded", "gate", _step("page", "done"), "after"),
    Boundary("when announce is about to be tried", "gate", _step("announce", "trying"), "after"),
    Boundary("before the message", "slack", POST, "before"),
    Boundary("after the message", "slack", POST, "after"),
    Boundary("when announce is recorded", "gate", _step("announce", "done"), "after"),
    Boundary("when verify is recorded", "gate", _step("verify", "done"), "after"),
    Boundary("after the note", "pagerduty", NOTE, "after"),
    Boundary("after the resolve", "pagerduty", RESOLVE, "after"),
    Boundary("after the edit", "slack", UPDATE, "after"),
    Boundary("when report is recorded", "gate", _step("report", "done"), "after"),
]


@pytest.mark.parametrize("group", range(GROUPS))
@pytest.mark.timeout(180)
def test_killed_at_every_boundary(make_stage: MakeStage, group: int) -> None:
    """Whatever the daemon was doing when it was killed, the next one ends the case, and nothing is done twice."""
    stage = make_stage(settings={"lease": {"duration": "3s"}})
    for boundary in BOUNDARIES[group::GROUPS]:
        play(stage, boundary)


def play(stage: Stage, boundary: Boundary) -> None:
    """Ship a bad release of a Deployment of its own, kill the daemon at the boundary, start another, see it through."""
    index = BOUNDARIES.index(boundary)
    name, before = f"shop-{index}", (len(stage.posted()), len(stage.pagerduty.incidents))
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("bad:2", BAD)
    stage.ship("good:1", name)
    patches = count_requests(stage.gate, lambda r: PATCH(r) and r.path.endswith(name))
    killed = kill_at(stage, boundary)
    stage.start()
    stage.ship("bad:2", name)
    stage.until(killed.is_set, f"the daemon is killed {boundary.name}")
    stage.start()
    stage.until(lambda: ended(stage, name), f"the case is closed after a kill {boundary.name}")
    assert stage.image(name) == "good:1", boundary.name
    deployment = stage.deployment(name)["metadata"]["annotations"]
    assert deployment["deployment.kubernetes.io/revision"] == "3", f"{boundary.name}: one revert"
    assert len(stage.posted()) == before[0] + 1, f"{boundary.name}: one message"
    assert "Verified" in stage.posted()[-1].text, boundary.name
    incidents = stage.pagerduty.incidents[before[1] :]
    assert [i.status for i in incidents] == ["resolved"], f"{boundary.name}: one incident, resolved"
    assert len(incidents[0].notes) == 1, f"{boundary.name}: one note"
    sent = 2 if boundary == BEFORE_THE_PATCH else 1
    assert len(patches()) == sent, f"{boundary.name}: a patch is sent again only where it was lost on its way"
    code, _ = stage.daemons[-1].end()
    assert code == 0


def ended(stage: Stage, name: str) -> bool:
    """Whether the Deployment's only case is closed, verified."""
    cases = [case for case in stage.cases() if case["deployment"] == name]
    return [case["outcome"] for case in cases if case["closed"]] == ["verified"]


def kill_at(stage: Stage, boundary: Boundary) -> threading.Event:
    """Have the newest daemon killed, once, at the boundary; the event is set when it is dead."""
    killed, found = threading.Event(), threading.Lock()
    system: StandIn = getattr(stage, boundary.system)

    def hook(request: Request) -> None:
        if boundary.matches(request) and found.acquire(blocking=False):
            stage.daemons[-1].kill()
            killed.set()
            if boundary.when == "before":
                raise Dropped

    setattr(system, boundary.when, hook)
    return killed


def count_requests(system: StandIn, matches: Callable[[Request], bool]) -> Callable[[], list[Request]]:
    """Count what comes to a system from now on."""
    begun = len(system.requests)
    return lambda: [request for request in system.requests[begun:] if matches(request)]
