"""The schema's version that a revision serves with: read when it is proven, until that succeeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from tests.runbook.migrating import MIGRATIONS, QUERY
from tests.runbook.parts import NOW, until
from tests.test_view import World, replica_set
from tests.test_watch import Figures, value_policy
from tests.test_watch_ends import Shelf
from tests.test_watch_kept import ENDS, LATE, hold, watching
from watcher.judgement.decide import Brakes
from watcher.judgement.rollouts import GRACE, REVISION
from watcher.policy.model import SchemaQuery
from watcher.runbook.cases import Cases
from watcher.runbook.desk import Desk, Place
from watcher.runbook.duty import Duty
from watcher.runbook.lanes import WORKERS, Lanes
from watcher.runbook.marks import Marks
from watcher.runbook.migrations import asked_of
from watcher.runbook.ports import Cluster
from watcher.smoke import SmokeTests
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import paths
from watcher.watch import Hands, Watch

ALONE = (replica_set(1, NOW - 9000, pods=0), replica_set(2, NOW))
PROVEN: dict[str, Any] = {"verdict": "proven", "verdict_of": "uid-checkout-2"}


class Serving(Shelf):
    """The cluster in which revision 2 of the Deployment serves alone."""

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The Deployment, or what there is beside it."""
        if path != paths.deployments("shop", "checkout"):
            return super().get(path, query)
        status = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1}
        return {"metadata": {"uid": "u", "generation": 1, "annotations": {REVISION: "2"}}, "status": status}


def read(world: World, *passes: float, figures: float = 0.5, fails: int = 0, **migrations: Any) -> list[SchemaQuery]:
    """The questions that acting passes put to the database, which fails so many times.

    By then the verdict is marked.
    """
    asked: list[SchemaQuery] = []

    def schema(query: SchemaQuery) -> str:
        asked.append(query)
        if len(asked) <= fails:
            world.replica_sets.put(ALONE[0], replica_set(2, NOW, **PROVEN))
            raise Fault("Database", "away")
        return "0001"

    lanes, cluster = Lanes(WORKERS), cast(Cluster, Serving())
    desk = Desk(Cases(cluster, "own", "me"), (), lanes, Duty(lambda: True, lambda: NOW, 60.0), Place("prod", "us"))
    hands = Hands(desk, Marks(cluster, lanes, lambda: True, schema), 15.0, Brakes(), 15.0)
    policies = (value_policy("p", "q"), replace(value_policy("m", "q"), migrations=replace(MIGRATIONS, **migrations)))
    smoke = SmokeTests(lambda url, timeout: 200, lanes)
    watch = Watch(world.view, Figures(figures), smoke, lambda: policies, hands)
    for now in passes:
        watch.one_pass(now)
        until(lambda: lanes.busy() == 0, "the lanes are empty")
    return asked


def world(*sets: Any) -> World:
    """A world with these ReplicaSets."""
    made = World()
    made.replica_sets.put(*sets)
    return made


def again(query: SchemaQuery = QUERY, number: int = 2) -> Any:
    """Revision 2's ReplicaSet, proven once and used again, with what was seen."""
    return replica_set(2, NOW, schema_seen=f"uid-checkout-2@{number}@{asked_of(query)}@0001", **PROVEN)


def test_it_is_read_when_it_is_proven() -> None:
    """Not before: some migrate once the code is out, and what it has proven itself with is what counts."""
    assert read(world(*ALONE), NOW + 60, ENDS - 1) == []
    assert read(world(*ALONE), ENDS) == [QUERY]
    assert read(world(*ALONE), ENDS, figures=2.0) == []
    assert read(world(replica_set(1, NOW - 9000), ALONE[1]), ENDS) == []


def test_it_is_read_until_that_succeeds() -> None:
    """A database that is away for a while costs nothing, though the proven revision's watch has ended meanwhile."""
    assert read(world(*ALONE), ENDS, ENDS, ENDS, ENDS, fails=2) == [QUERY] * 3
    assert read(world(*ALONE), ENDS, ENDS + 2 * GRACE, fails=9) == [QUERY]


def test_one_that_was_proven_before_is_read_at_its_watchs_end() -> None:
    """A ReplicaSet that is used again is proven already, and what was seen with its former number is void."""
    for used in (again(number=1), again(replace(QUERY, query="other"))):
        assert read(world(ALONE[0], used), NOW + 60, ENDS - 1) == []
        assert read(world(ALONE[0], used), NOW + 60, ENDS, ENDS + 15) == [QUERY]


def test_it_is_read_once() -> None:
    """What was seen already, with the same question and as this revision, isn't asked again."""
    assert read(world(ALONE[0], again()), NOW + 60, ENDS) == []


def test_nothing_is_read_where_annotations_tell() -> None:
    """A policy without a question asks no database."""
    assert read(world(*ALONE), ENDS, version=None) == []


def test_a_schema_that_could_not_be_read_puts_off_the_end() -> None:
    """That hold may end by itself, in the rollback that it put off; one that can't be taken back won't."""
    assert watching(World(), Figures(2.0), hold("schema-unreadable")).look(LATE).watched
    assert not watching(World(), Figures(2.0), hold("irreversible-migration")).look(LATE).watched
