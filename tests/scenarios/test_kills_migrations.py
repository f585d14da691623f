"""The daemon is killed with SIGKILL while it takes a migration back, on a real PostgreSQL: each Job is run once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.scenarios.conftest import MakeStage
from tests.scenarios.endings import done_once, paged_once
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
from tests.scenarios.shop_database import INITIAL, SKU
from tests.scenarios.shops import migrated, write_policy
from tests.scenarios.stage import Stage
from tests.scenarios.test_migrations import EXPECTS
from watcher.sandbox.postgres import PostgresServer

PLAN_JOB, DOWN_JOB = calls("POST", "/jobs", '-plan"'), calls("POST", "/jobs", '-down"')
RUNNING = case_with(lambda case: "job" in case["steps"].get("migrate", {}).get("result", {}))
PATCH = writes("deployments/", "PATCH")
PLANNED = [
    Boundary("before the plan Job is created", "gate", PLAN_JOB, "before"),
    Boundary("after the plan Job is created", "gate", PLAN_JOB, "after"),
    Boundary("before plan is recorded", "gate", step("plan", "done"), "before"),
    Boundary("when plan is recorded", "gate", step("plan", "done"), "after"),
]
TAKEN_BACK = [
    Boundary("before the down Job is created", "gate", DOWN_JOB, "before"),
    Boundary("after the down Job is created", "gate", DOWN_JOB, "after"),
    Boundary("while the down Job runs", "gate", RUNNING, "after"),
    Boundary("before migrate is recorded", "gate", step("migrate", "done"), "before"),
    Boundary("when migrate is recorded", "gate", step("migrate", "done"), "after"),
]
REVERTED = [
    Boundary("before the patch", "gate", PATCH, "before"),
    Boundary("after the patch", "gate", PATCH, "after"),
]
ORDERS: Mapping[str, Sequence[Boundary]] = {"after": [*PLANNED, *TAKEN_BACK], "before": [*TAKEN_BACK, *REVERTED]}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.timeout(400)
def test_killed_while_a_migration_is_taken_back(make_stage: MakeStage, postgres: PostgresServer, order: str) -> None:
    """Each plan and each way down is run by one Job, and the schema matches the code that is back."""
    boundaries = deployments_of(ORDERS[order])
    databases = migrated(postgres, boundaries)
    stage = killed_stage(make_stage, jira=False, policies=())
    for name, database in databases.items():
        write_policy(stage, name, database, f"order: {order}")
    containers = {name: database.container() for name, database in databases.items()}
    bad = {name: {EXPECTS: SKU} for name in boundaries}
    play(stage, boundaries, Shipped({EXPECTS: INITIAL}, bad, containers))
    for name, boundary in boundaries.items():
        where = f"{order}: {boundary.name}"
        assert (databases[name].version(), databases[name].applied()) == (INITIAL, 2), where
        column = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'sku'"
        assert postgres.execute(databases[name].name, column) == ["0"], f"{where}: the column is gone"
        assert jobs_of(stage, name) == {"plan": 1, "down": 1}, f"{where}: each Job ran once"
        done_once(stage, name, where, ("plan", "migrate"))
        paged_once(stage, name, where)
        assert stage.patches(name) == (2 if boundary.name == "before the patch" else 1), where
        [steps] = [case["steps"] for case in stage.cases(name)]
        first = "revert" if order == "after" else "migrate"
        assert min(("revert", "migrate"), key=lambda one: steps[one]["finished"]) == first, where
    assert stage.vendors.violations == []


def jobs_of(stage: Stage, name: str) -> dict[str, int]:
    """How many pods each of a case's Jobs has brought to a good end, by what it is for."""
    [case] = stage.cases(name)
    listed: list[dict[str, Any]] = stage.http.get(f"/apis/batch/v1/namespaces/{stage.namespace}/jobs")["items"]
    mine = [job for job in listed if job["metadata"]["annotations"]["canary-watch.io/case"] == case["id"]]
    kinds = [str(job["metadata"]["name"]).rpartition("-")[2] for job in mine]
    assert sorted(kinds) == ["down", "plan"], f"{name}: {kinds}"
    return {kind: job["status"]["succeeded"] for kind, job in zip(kinds, mine, strict=True)}
