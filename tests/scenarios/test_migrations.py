"""Database migrations: a real Django project on a real PostgreSQL, its Jobs run by the node as processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.conftest import MakeStage
from tests.scenarios.shop_database import INITIAL, NOTE, PRICES, SKU, ShopDatabase
from tests.scenarios.stage import Stage
from tests.scenarios.test_triggers import BAD, GOOD
from watcher.sandbox.postgres import PostgresServer

EXPECTS = "canary-watch.io/schema-version"
REVERSIBLE = "canary-watch.io/schema-reversible"
DATABASE_TEAM = "<!subteam^S0456EFGH>"


@pytest.fixture
def database(postgres: PostgresServer) -> ShopDatabase:
    """The shop's database."""
    return ShopDatabase(postgres)


@pytest.fixture
def make_shop(make_stage: MakeStage, database: ShopDatabase, tmp_path: Path) -> Callable[..., Stage]:
    """Make a stage whose policy speaks of migrations, and whose pods have the project's code and its database."""

    def make(more: str = "", **wishes: Any) -> Stage:
        part = database.migrations(tmp_path / "dsn", more)
        stage = make_stage(
            policies=("error-rate",), spec={"migrations": part}, container=database.container(), **wishes
        )
        stage.traffic.set_behaviour("good:1", GOOD)
        stage.traffic.set_behaviour("bad:2", BAD)
        return stage

    return make


def jobs(stage: Stage) -> dict[str, dict[str, Any]]:
    """The Jobs that were made for migrations: `plan` and `down`."""
    listed = stage.http.get(f"/apis/batch/v1/namespaces/{stage.namespace}/jobs")["items"]
    return {str(job["metadata"]["name"]).rpartition("-")[2]: job for job in listed}


def ship(stage: Stage, database: ShopDatabase, before: str, after: str) -> None:
    """A good release at one version of the schema, then a bad one whose migration was run before it was shipped."""
    database.migrate(before)
    stage.ship("good:1", notes={EXPECTS: before})
    stage.start()
    stage.until(lambda: "leading as" in stage.daemons[0].said(), "the daemon leads")
    database.migrate(after)
    stage.set_image("bad:2", notes={EXPECTS: after})


def held(stage: Stage, reason: str) -> dict[str, Any]:
    """Wait for a hold for this reason; the database team must have been tagged and paged at once."""
    found = stage.until(lambda: [c for c in stage.cases() if (c["action"], c["reason"]) == ("Hold", reason)], reason)
    stage.until(lambda: len(stage.pagerduty.incidents) == 2, "on-call and the database team are paged")
    [message] = stage.until(stage.posted, "the message is posted")
    assert stage.image() == "bad:2"
    stage.until(lambda: DATABASE_TEAM in stage.posted()[0].text, "the database team is tagged")
    assert message.text.startswith("✋ Not rolling back")
    assert {i.routing_key[0] for i in stage.pagerduty.incidents} == {"r", "d"}
    return found[0]


def test_a_reversible_migration_is_taken_back(make_shop: Callable[..., Stage], database: ShopDatabase) -> None:
    """The plan says that it can be undone: the Deployment is reverted, the down Job runs once, the schema matches."""
    stage = make_shop()
    ship(stage, database, INITIAL, SKU)
    [case] = stage.closed("verified")
    assert stage.image() == "good:1"
    assert database.version() == INITIAL
    assert database.applied() == 2
    assert set(jobs(stage)) == {"plan", "down"}
    assert case["steps"]["revert"]["finished"] < case["steps"]["migrate"]["finished"], "after the revert, by default"
    [message] = stage.posted()
    assert f"schema at {INITIAL}, as the code that is back expects" in message.text
    template = jobs(stage)["down"]["spec"]["template"]
    assert "app" not in template["metadata"]["labels"], "no Service takes the Job's pod for one of the shop's"
    assert "readinessProbe" not in template["spec"]["containers"][0]
    assert stage.slack.violations == stage.pagerduty.violations == stage.jira.violations == []


def test_before_the_revert_where_the_policy_wants_that(make_shop: Callable[..., Stage], database: ShopDatabase) -> None:
    """`order: before`: the schema goes first, then the code."""
    stage = make_shop("order: before")
    ship(stage, database, INITIAL, SKU)
    [case] = stage.closed("verified")
    assert case["steps"]["migrate"]["finished"] < case["steps"]["revert"]["finished"]
    assert (stage.image(), database.version()) == ("good:1", INITIAL)


@pytest.mark.parametrize(
    "row",
    [
        (NOTE, PRICES, "irreversible-migration", "IRREVERSIBLE"),
        (SKU, NOTE, "destructive-migration", "Undo Remove field legacy_note"),
    ],
    ids=lambda row: row[2],
)
def test_what_can_not_be_taken_back_holds(
    make_shop: Callable[..., Stage], database: ShopDatabase, row: tuple[str, str, str, str]
) -> None:
    """An irreversible or a destructive migration: nothing is reverted, the database team is tagged and paged."""
    before, after, reason, said = row
    stage = make_shop()
    ship(stage, database, before, after)
    case = held(stage, reason)
    assert said in case["said"]
    assert said in stage.posted()[0].text
    stage.stays(lambda: (stage.image(), database.version()) == ("bad:2", after), 4, "nothing is changed")
    assert set(jobs(stage)) == {"plan"}
    assert len(stage.posted()) == 1


def test_reverted_all_the_same_where_the_policy_says_so(
    make_shop: Callable[..., Stage], database: ShopDatabase
) -> None:
    """`irreversible: revert`: the code goes back, the schema stays, and the database team is called."""
    stage = make_shop("irreversible: revert")
    ship(stage, database, SKU, NOTE)
    stage.closed("verified")
    assert (stage.image(), database.version()) == ("good:1", NOTE)
    assert set(jobs(stage)) == {"plan"}
    assert "LEFT at 0003_remove_legacy_note" in stage.posted()[0].text
    assert DATABASE_TEAM in stage.posted()[0].text
    assert sorted(i.status for i in stage.pagerduty.incidents) == ["resolved", "triggered"]


def test_the_annotation_goes_before_a_plan(make_shop: Callable[..., Stage], database: ShopDatabase) -> None:
    """`schema-reversible: "false"` on the pod template holds without any Job."""
    stage = make_shop()
    database.migrate(INITIAL)
    stage.ship("good:1", notes={EXPECTS: INITIAL})
    stage.start()
    database.migrate(SKU)
    stage.set_image("bad:2", notes={EXPECTS: SKU, REVERSIBLE: "false"})
    held(stage, "irreversible-migration")
    assert jobs(stage) == {}


def test_a_release_without_a_migration_waits_for_no_plan(
    make_shop: Callable[..., Stage], database: ShopDatabase
) -> None:
    """Where the schema is what the good release expects, nothing is asked and no Job is made."""
    stage = make_shop()
    ship(stage, database, SKU, SKU)
    stage.closed("verified")
    assert jobs(stage) == {}
    assert database.version() == SKU


@pytest.mark.timeout(240)
def test_known_from_what_was_seen_where_no_template_says(
    make_shop: Callable[..., Stage], database: ShopDatabase
) -> None:
    """Without annotations, the version that the good release has proven itself with is what is gone back to."""
    stage = make_shop()
    database.migrate(INITIAL)
    stage.start()
    stage.ship("good:1")
    seen = "serves with schema version 0001_initial"
    stage.until(lambda: seen in stage.daemons[0].said(), "the version is recorded", 120)
    database.migrate(SKU)
    stage.ship("bad:2")
    stage.closed("verified")
    assert (stage.image(), database.version()) == ("good:1", INITIAL)


def test_a_version_that_is_not_known_is_never_guessed(make_shop: Callable[..., Stage], database: ShopDatabase) -> None:
    """No template says, and nothing was seen: hold, and call the database team."""
    stage = make_shop()
    database.migrate(INITIAL)
    stage.ship("good:1")
    database.migrate(SKU)
    stage.ship("bad:2")
    stage.start()
    case = held(stage, "schema-unreadable")
    assert "it isn't known which schema version the target expects" in case["said"]
    assert jobs(stage) == {}


@pytest.mark.timeout(180)
def test_a_database_that_is_away_holds_until_it_is_back(
    make_shop: Callable[..., Stage], database: ShopDatabase, tmp_path: Path
) -> None:
    """The version can't be read: hold and escalate; once it can, the rollback goes on under the same incident."""
    stage = make_shop(watch_for="170s")
    right = (tmp_path / "dsn").read_text()
    (tmp_path / "dsn").write_text(right.replace(database.name, "nowhere"))
    ship(stage, database, INITIAL, SKU)
    held(stage, "schema-unreadable")
    (tmp_path / "dsn").write_text(right)
    [case] = stage.until(lambda: stage.closed("verified") if stage.image() == "good:1" else [], "rolled back", 100)
    assert case["turn"] == 2
    assert database.version() == INITIAL
    assert sorted(i.status for i in stage.pagerduty.incidents) == ["resolved", "resolved"]
    assert len(stage.posted()) == 1


def test_a_down_job_that_fails_is_said_and_never_repeated(
    make_shop: Callable[..., Stage], database: ShopDatabase
) -> None:
    """After the revert the Job fails: everybody is told with the Job's own words, and it ran once."""
    stage = make_shop('down: {command: [sh, -c, "echo no such column; exit 3", "$version"], plan: [echo, "$version"]}')
    database.migrate(INITIAL)
    stage.ship("good:1", notes={EXPECTS: INITIAL})
    stage.start()
    database.migrate(SKU)
    stage.set_image("bad:2", notes={EXPECTS: SKU, REVERSIBLE: "true"})
    stage.closed("migration-failed")
    assert (stage.image(), database.version()) == ("good:1", SKU)
    assert set(jobs(stage)) == {"down"}
    alarms = [m for m in stage.slack.messages if m.broadcast]
    assert len(alarms) == 1
    assert DATABASE_TEAM in alarms[0].text
    assert "no such column" in alarms[0].text
    assert [i.status for i in stage.pagerduty.incidents] == ["triggered", "triggered"]


def test_a_down_job_that_fails_first_holds_the_deployment(
    make_shop: Callable[..., Stage], database: ShopDatabase
) -> None:
    """`order: before`: where the schema can't go back, the code stays as well."""
    stage = make_shop('order: before, down: {command: ["false", "$version"], plan: [echo, "$version"]}')
    database.migrate(INITIAL)
    stage.ship("good:1", notes={EXPECTS: INITIAL})
    stage.start()
    database.migrate(SKU)
    stage.set_image("bad:2", notes={EXPECTS: SKU, REVERSIBLE: "true"})
    held(stage, "down-job-failed")
    stage.stays(lambda: stage.image() == "bad:2" and len(jobs(stage)) == 1, 4, "nothing more is done")
