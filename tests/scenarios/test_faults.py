"""The fault matrix on the whole daemon: never a rollback out of a fault, nothing lost once the fault is over."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest

from tests.scenarios.conftest import MakeStage
from tests.scenarios.endings import done_once, filed_once, paged_once
from tests.scenarios.gate import Gate
from tests.scenarios.stage import Stage
from tests.scenarios.test_triggers import BAD, GOOD
from watcher.sandbox.stand_in import Mode, Reply, Request, StandIn

MODES: tuple[Mode, ...] = ("refused", "timeout", "hung-halfway", "429", "500", "html", "wrong-shape")


class Doctored(Gate):
    """A real Prometheus's answers, changed on the way: what a fault looks like that is no failure of HTTP."""

    change = "none"

    def answer(self, request: Request) -> Reply:
        """Pass on, and change the answer."""
        reply = super().answer(request)
        if self.change == "none" or reply.status != 200:
            return reply
        body = json.loads(reply.body)
        doctor(body, self.change)
        return Reply(200, json.dumps(body).encode())


def doctor(body: dict[str, Any], change: str) -> None:
    """Make an answer NaN, empty, stale or partial."""
    series = body["data"]["result"]
    if change == "empty":
        series.clear()
    elif change == "partial":
        body["warnings"] = ["a store did not answer"]
    for one in series:
        if change == "nan":
            one["values"] = [[at, "NaN"] for at, _ in one["values"]]
        elif change == "stale":
            one["values"] = one["values"][:-2]


def ship_bad(stage: Stage) -> None:
    """Have a bad release on its way, and a daemon that watches it."""
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("bad:2", BAD)
    stage.ship("good:1")
    stage.start()
    stage.until(lambda: "leading as" in stage.daemons[0].said(), "the daemon leads")
    stage.ship("bad:2")


def ended(stage: Stage) -> None:
    """The bad release came to its end, and everybody has heard of it once."""
    [case] = stage.closed("verified")
    assert case["action"] == "RollBack"
    ended_once(stage, "checkout", "at the end")


def ended_once(stage: Stage, of: str, where: str) -> None:
    """All that a rollback leaves is there, once."""
    done_once(stage, of, where)
    paged_once(stage, of, where)
    filed_once(stage, of, where)


@pytest.mark.timeout(180)
def test_prometheus_fails(make_stage: MakeStage, prometheus_server: Any) -> None:
    """While Prometheus fails, in whatever way, a bad release is Unknown and stays; then it is rolled back."""
    with Doctored(prometheus_server.url) as prometheus:
        stage = make_stage(prometheus=prometheus, watch_for="170s")
        prometheus.inject("500")
        ship_bad(stage)
        for mode in MODES:
            prometheus.recover()
            prometheus.inject(mode, shape={"status": "success", "data": [1]})
            stage.stays(lambda: stage.image() == "bad:2" and not stage.cases(), 4, f"{mode} rolls nothing back")
            assert "(unknown)" in stage.daemons[0].said().splitlines()[-1], mode
        for change in ("nan", "empty", "stale", "partial"):
            prometheus.change = change
            prometheus.recover()
            stage.stays(lambda: stage.image() == "bad:2" and not stage.cases(), 4, f"{change} rolls nothing back")
        prometheus.change = "none"
        ended(stage)


@pytest.mark.timeout(180)
def test_kubernetes_fails(make_stage: MakeStage) -> None:
    """While the API server fails, in whatever way, nothing is done twice or lost; then the case is ended."""
    stage = make_stage(watch_for="170s")
    ship_bad(stage)
    for mode in MODES[:3]:
        api_server_fails(stage, mode)
    stage.until(stage.cases, "a case is opened")
    of_case = ("/case-", "/deployments/checkout")
    stage.gate.inject("429", when=lambda request: any(one in request.path for one in of_case))
    stage.until(lambda: any(has_met(stage.gate, "429", one) for one in of_case), "work on the case meets 429")
    assert [case["closed"] for case in stage.cases()] == [None]
    for mode in MODES[3:]:
        api_server_fails(stage, mode)
    ended(stage)


def api_server_fails(stage: Stage, mode: Mode) -> None:
    """Let the API server fail for a while, shorter than the Lease lasts; the daemon must meet it."""
    stage.gate.inject(mode, shape={"kind": "List", "items": "none"})
    time.sleep(2.5)
    if mode == "refused":
        assert "Connection refused" in stage.daemons[0].said()
    else:
        assert has_met(stage.gate, mode), stage.daemons[0].said()[-4000:]
    stage.gate.recover()
    time.sleep(1.0)


def has_met(system: StandIn, mode: Mode, name: str = "") -> bool:
    """Whether a request that is about `name` has met a failure in this mode."""
    return any(met == mode and about(request, name) for met, request in tuple(system.met))


def about(request: Request, name: str) -> bool:
    """Whether a request speaks of a Deployment of that name, as what changes something does."""
    return name in request.path or name.encode() in request.body


@pytest.mark.timeout(180)
def test_the_reverts_patch_fails(make_stage: MakeStage) -> None:
    """In whatever way a revert's patch fails, on-call is told meanwhile; it is carried out once, and the case ended."""
    stage = make_stage()
    start_with_good(stage, MODES[1:])
    for mode in MODES[1:]:
        path = stage.path(deployment_for(mode))
        stage.gate.inject(mode, when=lambda r, path=path: r.method == "PATCH" and r.path == path, shape=[1])  # type: ignore[misc]
        stage.set_image("bad:2", deployment_for(mode))
    for mode in MODES[1:]:
        of = deployment_for(mode)
        stage.until(lambda of=of: told(stage, of) == (1, 1), f"everyone is told while {of} fails")  # type: ignore[misc]
        assert has_met(stage.gate, mode, of)
        assert stage.image(of) == ("good:1" if mode == "hung-halfway" else "bad:2")
    recovered(stage, stage.gate, MODES[1:])
    for mode in MODES[1:]:
        sent = [r for r in stage.gate.requests if r.method == "PATCH" and r.path == stage.path(deployment_for(mode))]
        failed = [r for met, r in stage.gate.met if met == mode]
        assert (len(failed) if mode == "hung-halfway" else len(sent) - len(failed)) == 1, f"{mode}: carried out once"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ["pagerduty", "slack"])
def test_a_vendor_fails(make_stage: MakeStage, name: str) -> None:
    """However PagerDuty or Slack fails, rollbacks go on, and the other one is told; later it gets what it missed.

    First it is gone altogether; then it fails six Deployments' cases at once, each in a mode of its own.
    """
    stage = make_stage()
    start_with_good(stage, MODES)
    for modes in (MODES[:1], MODES[1:]):
        for mode in modes:
            vendor_fails(stage, name, mode)
        for mode in modes:
            goes_on(stage, name, mode)
        recovered(stage, getattr(stage, name), modes)


def deployment_for(mode: Mode) -> str:
    """The Deployment whose case meets a mode."""
    return f"meets-{mode}"


def start_with_good(stage: Stage, modes: Sequence[Mode]) -> None:
    """Have a good release of a Deployment for each mode, and a daemon that leads."""
    stage.traffic.set_behaviour("good:1", GOOD)
    stage.traffic.set_behaviour("bad:2", BAD)
    for mode in modes:
        stage.ship("good:1", deployment_for(mode))
    stage.start()
    stage.until(lambda: "leading as" in stage.daemons[0].said(), "the daemon leads")


def vendor_fails(stage: Stage, name: str, mode: Mode) -> None:
    """Let a vendor fail the case of a mode's Deployment, whose bad release is on its way."""
    vendor: StandIn = getattr(stage, name)
    of = deployment_for(mode)
    vendor.inject(mode, when=lambda request: about(request, of), shape={"ok": "yes", "incidents": 7})
    stage.set_image("bad:2", of)


def goes_on(stage: Stage, name: str, mode: Mode) -> None:
    """While its vendor fails, the case meets just that, and comes as far as it can without."""
    of = deployment_for(mode)
    stage.until(lambda: stage.image(of) == "good:1", f"{of} is rolled back all the same")
    step, other = {"pagerduty": ("page", 0), "slack": ("announce", 1)}[name]
    stage.until(lambda: error_of(stage, of, step), f"the {step} step of {of} fails")
    assert mode == "refused" or has_met(getattr(stage, name), mode, of)
    stage.until(lambda: told(stage, of)[other] == 1, f"the other one is told of {of}")
    stage.until(lambda: case_of(stage, of)["outcome"] == "verified", f"{of} is verified all the same")
    assert case_of(stage, of)["closed"] is None


def recovered(stage: Stage, system: StandIn, modes: Sequence[Mode]) -> None:
    """The failures are over, and each case is ended: all that was missing is delivered, and nothing twice."""
    system.recover()
    for of in map(deployment_for, modes):
        stage.until(lambda of=of: case_of(stage, of)["closed"], f"the case of {of} is closed")  # type: ignore[misc]
        assert case_of(stage, of)["outcome"] == "verified", of
        ended_once(stage, of, of)
    assert len(stage.posted()) == len(stage.pagerduty.incidents) == len(stage.cases())
    assert stage.vendors.violations == []


def case_of(stage: Stage, deployment: str) -> dict[str, Any]:
    """The Deployment's only case; empty steps and an open end before it is opened."""
    found = [case for case in stage.cases() if case["deployment"] == deployment]
    assert len(found) <= 1, found
    return found[0] if found else {"steps": {}, "outcome": "", "closed": None}


def error_of(stage: Stage, deployment: str, step: str) -> str:
    """How the last attempt at a step of the Deployment's case failed."""
    return str(case_of(stage, deployment)["steps"].get(step, {}).get("error", ""))


def told(stage: Stage, deployment: str) -> tuple[int, int]:
    """How many messages and incidents there are about a Deployment."""
    messages = [m for m in stage.posted() if f"`{deployment}`" in m.text]
    return len(messages), len([i for i in stage.pagerduty.incidents if about_case(i.dedup_key, deployment)])


def about_case(case: str, deployment: str) -> bool:
    """Whether a case's id is of a Deployment's case."""
    return f"/{deployment}/" in case
