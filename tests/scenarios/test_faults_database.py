"""The fault matrix on the whole daemon, of a service's database: what a release did to its schema is never guessed."""

from __future__ import annotations

import pytest

from tests.scenarios.conftest import MakeStage
from tests.scenarios.endings import incidents_of
from tests.scenarios.kills import Shipped, killed_stage, ship_bad, ship_good
from tests.scenarios.shop_database import INITIAL, SKU
from tests.scenarios.shops import migrated, write_policy
from tests.scenarios.stage import Stage
from tests.scenarios.test_faults import case_of
from tests.scenarios.test_migrations import DATABASE_TEAM, EXPECTS
from tests.systems.database_peers import Peer, silent
from watcher.sandbox.postgres import READER, PostgresServer

NAMES = ("stopped", "silent", "refusing")
PATIENCE = 80.0  # seconds; what holds a rollback is looked at again every 20 s


@pytest.mark.timeout(300)
def test_a_database_fails(make_stage: MakeStage, postgres: PostgresServer) -> None:
    """Stopped, silent or refusing the password: the Deployment is held and people are called, until it is back."""
    stage = killed_stage(make_stage, jira=False, policies=())
    databases = migrated(postgres, NAMES)
    files = {name: write_policy(stage, name, database) for name, database in databases.items()}
    right = {name: file.read_text() for name, file in files.items()}
    containers = {name: database.container() for name, database in databases.items()}
    shipped = Shipped({EXPECTS: INITIAL}, {name: {EXPECTS: SKU} for name in NAMES}, containers)
    ship_good(stage, NAMES, shipped)
    with Peer(silent) as peer:
        files["silent"].write_text(right["silent"].replace(f":{postgres.port}/", f":{peer.port}/"))
        files["refusing"].write_text(right["refusing"].replace(postgres.passwords[READER], "changed"))
        postgres.stop()
        try:
            stage.start()
            ship_bad(stage, NAMES, shipped)
            for name in NAMES:
                held(stage, name)
        finally:
            postgres.start()
        stage.until(lambda: stage.image("stopped") == "good:1", "back with its server", PATIENCE)
        stage.until(lambda: "password authentication failed" in why(stage, "refusing"), "it is refused", PATIENCE)
        for name in ("silent", "refusing"):
            held(stage, name)
    for name in NAMES:
        files[name].write_text(right[name])
    for name in NAMES:
        stage.until(lambda name=name: case_of(stage, name)["closed"], f"the case of {name} is closed", PATIENCE)  # type: ignore[misc]
        assert (case_of(stage, name)["outcome"], case_of(stage, name)["turn"]) == ("verified", 2), name
        assert (stage.image(name), databases[name].version(), databases[name].applied()) == ("good:1", INITIAL, 2), name
        assert sorted(i.status for i in incidents_of(stage, name)) == ["resolved", "resolved"], name
        assert stage.patches(name) == 1, name
    assert len(stage.posted()) == len(NAMES)
    assert stage.vendors.violations == []


def held(stage: Stage, name: str) -> None:
    """Wait until a Deployment is held for its schema: nothing is changed, on-call and the database team are called."""
    stage.until(lambda: case_of(stage, name).get("reason") == "schema-unreadable", f"{name} is held")
    stage.until(lambda: {i.routing_key[0] for i in incidents_of(stage, name)} == {"r", "d"}, f"{name} is paged")
    tagged = lambda: [m.text for m in stage.posted() if f"`{name}`" in m.text and DATABASE_TEAM in m.text]  # noqa: E731 - named
    [text] = stage.until(tagged, f"the database team is tagged for {name}")
    assert text.startswith("✋ Not rolling back"), name
    assert (stage.image(name), stage.patches(name)) == ("bad:2", 0), name


def why(stage: Stage, name: str) -> str:
    """What bars a Deployment's rollback now."""
    return str(case_of(stage, name)["steps"].get("plan", {}).get("result", {}).get("barred", ""))
