"""The schema's version that a revision serves with: read once it serves alone, and again when it is proven."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from tests.runbook.migrating import MIGRATIONS, QUERY
from tests.runbook.parts import NOW, until
from tests.test_view import World, replica_set
from tests.test_watch import Figures, value_policy
from tests.test_watch_ends import Shelf
from tests.test_watch_kept import ENDS, LATE, hold, watching
from watcher.judgement.decide import Brakes
from watcher.policy.model import SchemaQuery
from watcher.runbook.cases import Cases
from watcher.runbook.desk import Desk, Place
from watcher.runbook.duty import Duty
from watcher.runbook.lanes import WORKERS, Lanes
from watcher.runbook.marks import Marks
from watcher.runbook.migrations import asked_of
from watcher.runbook.ports import Cluster
from watcher.smoke import SmokeTests
from watcher.watch import Hands, Watch

ALONE = (replica_set(1, NOW - 9000, pods=0), replica_set(2, NOW))


def read(world: World, now: float, figures: float = 0.5, **migrations: Any) -> list[SchemaQuery]:
    """The questions that one acting pass puts to the database."""
    asked: list[SchemaQuery] = []

    def schema(query: SchemaQuery) -> str:
        asked.append(query)
        return "0001"

    lanes, cluster = Lanes(WORKERS), cast(Cluster, Shelf())
    desk = Desk(Cases(cluster, "own", "me"), (), lanes, Duty(lambda: True, lambda: NOW, 60.0), Place("prod", "us"))
    hands = Hands(desk, Marks(cluster, lanes, lambda: True, schema), 15.0, Brakes(), 15.0)
    policies = (value_policy("p", "q"), replace(value_policy("m", "q"), migrations=replace(MIGRATIONS, **migrations)))
    smoke = SmokeTests(lambda url, timeout: 200, lanes)
    Watch(world.view, Figures(figures), smoke, lambda: policies, hands).one_pass(now)
    until(lambda: lanes.busy() == 0, "the lanes are empty")
    return asked


def world(*sets: Any) -> World:
    """A world with these ReplicaSets."""
    made = World()
    made.replica_sets.put(*sets)
    return made


def seen(query: SchemaQuery = QUERY, number: int = 2) -> Any:
    """Revision 2's ReplicaSet with what was seen."""
    return replica_set(2, NOW, schema_seen=f"uid-checkout-2@{number}@{asked_of(query)}@0001")


def test_it_is_read_once_it_serves_alone() -> None:
    """Not while old pods serve, nor before there are new ones: its migration may not be through."""
    assert read(world(*ALONE), NOW + 60) == [QUERY]
    assert read(world(replica_set(1, NOW - 9000), ALONE[1]), NOW + 60) == []
    assert read(world(ALONE[0], replica_set(2, NOW, pods=0)), NOW + 60) == []


def test_it_is_read_once() -> None:
    """What was seen already, with the same question and as this revision, isn't asked again at each pass."""
    assert read(world(ALONE[0], seen()), NOW + 60) == []
    assert read(world(ALONE[0], seen(number=1)), NOW + 60) == [QUERY]
    assert read(world(ALONE[0], seen(replace(QUERY, query="other"))), NOW + 60) == [QUERY]


@pytest.mark.parametrize(("figure", "asked"), [(0.5, [QUERY]), (2.0, [])])
def test_it_is_read_again_when_it_is_proven(figure: float, asked: list[SchemaQuery]) -> None:
    """Some migrate after the code is out: what it has proven itself with is what counts."""
    assert read(world(ALONE[0], seen()), ENDS, figure) == asked


def test_nothing_is_read_where_annotations_tell() -> None:
    """A policy without a question asks no database."""
    assert read(world(*ALONE), NOW + 60, version=None) == []


def test_a_schema_that_could_not_be_read_puts_off_the_end() -> None:
    """That hold may end by itself, in the rollback that it put off; one that can't be taken back won't."""
    assert watching(World(), Figures(2.0), hold("schema-unreadable")).look(LATE).watched
    assert not watching(World(), Figures(2.0), hold("irreversible-migration")).look(LATE).watched
