"""The fault matrix on the whole daemon: never a rollback out of a fault, nothing lost once the fault is over."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.scenarios.conftest import MakeStage
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


def done_once(stage: Stage) -> None:
    """The bad release came to its end: one revert, one incident, one message."""
    [case] = stage.closed("verified")
    assert case["action"] == "RollBack"
    assert stage.deployment()["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert [i.status for i in stage.pagerduty.incidents] == ["resolved"]
    assert [("Rolled back" in m.text, "Verified" in m.text) for m in stage.posted()] == [(True, True)]


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
        done_once(stage)


@pytest.mark.timeout(180)
def test_kubernetes_fails(make_stage: MakeStage) -> None:
    """While the API server fails, in whatever way, nothing is done twice or lost; then the case is ended."""
    stage = make_stage(watch_for="170s")
    ship_bad(stage)
    for mode in MODES:
        stage.gate.inject(mode, shape={"kind": "List", "items": "none"})
        time.sleep(2.5)
        stage.gate.recover()
        time.sleep(1.0)
    done_once(stage)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ["pagerduty", "slack"])
def test_a_vendor_fails(make_stage: MakeStage, name: str) -> None:
    """While PagerDuty or Slack fails, the rollback goes on, and the other one is told; later it gets what it missed."""
    stage = make_stage(watch_for="170s")
    vendor: StandIn = getattr(stage, name)
    vendor.inject("refused")
    ship_bad(stage)
    stage.until(lambda: stage.image() == "good:1", "the bad release is rolled back all the same")
    told = {"pagerduty": lambda: bool(stage.posted()), "slack": lambda: bool(stage.pagerduty.incidents)}
    stage.until(told[name], "the other one is told")
    stage.until(lambda: stage.cases()[0]["outcome"] == "verified", "the rollback is verified all the same")
    for mode in MODES[1:]:
        vendor.recover()
        vendor.inject(mode, shape={"ok": "yes", "incidents": 7})
        time.sleep(2.5)
    vendor.recover()
    done_once(stage)
    assert len(stage.slack.messages) == 1
