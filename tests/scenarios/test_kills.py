"""The daemon is killed with SIGKILL at each boundary up to the verification: one revert, incident and message."""

from __future__ import annotations

import pytest

from tests.scenarios.conftest import MakeStage
from tests.scenarios.endings import done_once, filed_once, incidents_of, paged_once
from tests.scenarios.kills import (
    Boundary,
    Shipped,
    calls,
    case_with,
    deployments_of,
    killed_stage,
    play,
    step,
    writes,
)
from watcher.sandbox.stand_in import Request

GROUPS = 3  # of boundaries, each on a stage of its own

PATCH = writes("deployments/", "PATCH")
OPEN = writes("configmaps", "POST")
TRIGGER = calls("POST", "/v2/enqueue", '"trigger"')
NOTE = calls("POST", "/notes")
POST = calls("POST", "chat.postMessage")
MARK = calls("POST", "/api/annotations")
TEAM = calls("POST", "/v2/enqueue", '"trigger"', "d" * 32)


def reply(request: Request) -> bool:
    """A reply in a thread is posted."""
    return POST(request) and b"thread_ts" in request.body


def marked(what: str) -> Boundary:
    """Recorded that an annotation was written."""
    holds = case_with(lambda case: what in case["steps"].get("dashboard", {}).get("result", {}).get("marked", ()))
    return Boundary(f"when the {what}'s mark is recorded", "gate", holds, "after")


BEFORE_THE_PATCH = Boundary("before the patch", "gate", PATCH, "before")
BOUNDARIES = [
    Boundary("before the case is opened", "gate", OPEN, "before"),
    Boundary("when the case is opened", "gate", OPEN, "after"),
    Boundary("when it is asked who is on call", "pagerduty", calls("GET", "/oncalls"), "after", of_all=True),
    Boundary("before somebody is looked up", "slack", calls("POST", "users.lookupByEmail"), "before", of_all=True),
    Boundary("when oncall is recorded", "gate", step("oncall", "done"), "after"),
    Boundary("before confirm is recorded", "gate", step("confirm", "done"), "before"),
    Boundary("when confirm is recorded", "gate", step("confirm", "done"), "after"),
    Boundary("before plan is recorded", "gate", step("plan", "skipped"), "before"),
    Boundary("when plan is recorded", "gate", step("plan", "skipped"), "after"),
    BEFORE_THE_PATCH,
    Boundary("after the patch", "gate", PATCH, "after"),
    Boundary("before condemning", "gate", writes("replicasets/", "PATCH"), "before"),
    Boundary("before revert is recorded", "gate", step("revert", "done"), "before"),
    Boundary("when revert is recorded", "gate", step("revert", "done"), "after"),
    Boundary("before the page", "pagerduty", TRIGGER, "before"),
    Boundary("after the page", "pagerduty", TRIGGER, "after"),
    Boundary("when page is recorded", "gate", step("page", "done"), "after"),
    Boundary("when announce is about to be tried", "gate", step("announce", "trying"), "after"),
    Boundary("before the message", "slack", POST, "before"),
    Boundary("after the message", "slack", POST, "after"),
    Boundary("when announce is recorded", "gate", step("announce", "done"), "after"),
    Boundary("when thread is about to be tried", "gate", step("thread", "trying"), "after"),
    Boundary("before a reply", "slack", reply, "before"),
    Boundary("after a reply", "slack", reply, "after"),
    Boundary("when thread is recorded", "gate", step("thread", "done"), "after"),
    Boundary("before the rollout's mark", "grafana", MARK, "before"),
    Boundary("after the rollout's mark", "grafana", MARK, "after"),
    marked("rollout"),
    Boundary("before the rollback's mark", "grafana", calls("POST", "/api/annotations", '"rollback"'), "before"),
    Boundary("after the rollback's mark", "grafana", calls("POST", "/api/annotations", '"rollback"'), "after"),
    marked("rollback"),
]


@pytest.mark.parametrize("group", range(GROUPS))
@pytest.mark.timeout(400)
def test_killed_at_every_boundary(make_stage: MakeStage, group: int) -> None:
    """Whatever the daemon was doing when it was killed, the next one ends the case, and nothing is done twice."""
    stage = killed_stage(make_stage)
    boundaries = deployments_of(BOUNDARIES[group::GROUPS])
    play(stage, boundaries)
    for name, boundary in boundaries.items():
        where = boundary.name
        done_once(stage, name, where, ("ticket",))
        filed_once(stage, name, where)
        paged_once(stage, name, where)
        sent = 2 if boundary == BEFORE_THE_PATCH else 1
        assert stage.patches(name) == sent, f"{where}: a patch is sent again only where it was lost on its way"
    assert len(stage.posted()) == len(stage.pagerduty.incidents) == len(boundaries)
    assert stage.vendors.violations == []


ALERTS = [
    Boundary("before the alert's incident is noted on", "pagerduty", NOTE, "before"),
    Boundary("after the alert's incident was noted on", "pagerduty", NOTE, "after"),
    Boundary("when page is recorded", "gate", step("page", "done"), "after"),
]
TEAMS = [
    Boundary("before the database team's page", "pagerduty", TEAM, "before"),
    Boundary("after the database team's page", "pagerduty", TEAM, "after"),
    Boundary("when the database team's page is recorded", "gate", step("database-team", "done"), "after"),
    Boundary("when plan is recorded", "gate", step("plan", "done"), "after"),
]


@pytest.mark.timeout(400)
def test_killed_while_others_are_told(make_stage: MakeStage) -> None:
    """An incident that the alert has opened gets each note once; the database team is paged once."""
    expects, reversible = "canary-watch.io/schema-version", "canary-watch.io/schema-reversible"
    part = f"{{version: {{annotation: {expects}}}, down: {{command: [migrate, $version]}}, irreversible: revert}}"
    stage = killed_stage(make_stage, spec={"migrations": part})
    boundaries = deployments_of([*ALERTS, *TEAMS])
    alerts, teams = list(boundaries)[: len(ALERTS)], list(boundaries)[len(ALERTS) :]
    bad = {name: {expects: "1"} if name in alerts else {expects: "2", reversible: "false"} for name in boundaries}
    for name in alerts:
        said = {"namespace": stage.namespace, "deployment": name, "cluster": "test-cluster"}
        stage.pagerduty.open_elsewhere(f"svc-error-rate {name}", "PSERVICE", said)
    play(stage, boundaries, Shipped({expects: "1"}, bad))
    for name, boundary in boundaries.items():
        done_once(stage, name, boundary.name, ("plan", "ticket", *(["database-team"] if name in teams else [])))
        filed_once(stage, name, boundary.name)
    for name in alerts:
        [alert] = [i for i in stage.pagerduty.incidents if i.summary.endswith(name)]
        assert (len(alert.notes), alert.status) == (2, "triggered"), boundaries[name].name
        assert incidents_of(stage, name) == []
    for name in teams:
        found = {i.routing_key[0]: i for i in incidents_of(stage, name)}
        assert {key: i.status for key, i in found.items()} == {"r": "resolved", "d": "triggered"}, boundaries[name].name
    assert len(stage.pagerduty.incidents) == len(alerts) + 2 * len(teams)
    assert stage.vendors.violations == []
