"""The marks on ReplicaSets: written once, where they belong, by the leader alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.runbook.conftest import Shop, template
from tests.runbook.hands import patches
from tests.runbook.migrating import QUERY, Versions, unread
from tests.runbook.parts import NOW, until
from watcher.judgement.model import Rollout
from watcher.judgement.rollouts import GRACE, write_time
from watcher.policy.model import SchemaQuery
from watcher.runbook.lanes import Lanes
from watcher.runbook.marks import Marks
from watcher.runbook.migrations import asked_of
from watcher.runbook.ports import Schema
from watcher.sandbox.cluster.client import Client
from watcher.sandbox.cluster.node import Node
from watcher.sandbox.cluster.runners import Switches
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import Connection


def test_marks_proven_and_start(shop: Shop) -> None:
    """A proven revision and a reused one's start are written on the ReplicaSet, once each, beside what is there."""
    lanes = Lanes({"marks": 1})
    marks = Marks(shop.line, lanes, lambda: True, unread)
    rollout = shop.rollout()
    for _ in range(2):
        marks.prove(rollout)
        marks.record_start(rollout)
        until(lambda: lanes.busy() == 0, "marks")
    notes = shop.revisions()[2]["metadata"]["annotations"]
    assert (notes["canary-watch.io/verdict"], notes["canary-watch.io/verdict-of"]) == ("proven", rollout.new.uid)
    assert notes["canary-watch.io/rollout-started"] == f"2@{write_time(rollout.started)}"
    assert notes["deployment.kubernetes.io/revision"] == "2"
    assert patches(shop) == ["replicasets", "replicasets"]


def test_marks_nothing_without_the_lease(shop: Shop) -> None:
    """A daemon that does not lead marks nothing."""
    lanes = Lanes({"marks": 1})
    Marks(shop.line, lanes, lambda: False, unread).prove(shop.rollout())
    until(lambda: lanes.busy() == 0, "marks")
    assert shop.line.calls == []


def test_marks_only_the_replica_set_that_was_judged(shop: Shop) -> None:
    """A ReplicaSet of the same name but another UID is another one."""
    lanes = Lanes({"marks": 1})
    rollout = shop.rollout()
    Marks(shop.line, lanes, lambda: True, unread).prove(replace(rollout, new=replace(rollout.new, uid="another")))
    until(lambda: lanes.busy() == 0, "marks")
    assert shop.line.changes() == []


@pytest.fixture
def node(shop: Shop, cluster: Connection, switches: Switches) -> Iterator[None]:
    """The shop's pods run, and are ready."""
    with Node(Client(cluster.server, "t"), switches.run, shop.namespace):
        until(lambda: readiness(shop) == (2, 2, 2), "revision 2 serves alone")
        yield


def readiness(shop: Shop) -> tuple[int, ...]:
    """How many pods there are, of the newest revision, and ready."""
    status = shop.deployment()["status"]
    return tuple(int(status.get(key) or 0) for key in ("replicas", "updatedReplicas", "readyReplicas"))


def read(shop: Shop, schema: Schema, rollout: Rollout, *, leads: bool = True) -> Marks:
    """Have the schema read once, and its mark set where it may be."""
    lanes = Lanes({"schema": 1})
    marks = Marks(shop.line, lanes, lambda: leads, schema)
    marks.record_schema(rollout, QUERY)
    until(lambda: lanes.busy() == 0, "the schema is read")
    return marks


@pytest.mark.usefixtures("node")
def test_the_schema_seen_is_read_and_marked(shop: Shop) -> None:
    """What the database says while a revision serves is kept with it, once; a later reading takes its place."""
    versions = Versions("0001_initial")
    for _ in range(2):
        read(shop, versions, shop.rollout())
    assert patches(shop) == ["replicasets"]
    new = shop.rollout().new
    assert (new.number, new.schema, new.schema_by) == (2, "0001_initial", asked_of(QUERY))
    versions.at = "0002_add_sku"
    read(shop, versions, shop.rollout())
    assert shop.rollout().new.schema == "0002_add_sku"


@pytest.mark.usefixtures("node")
def test_a_schema_that_can_not_be_read_is_not_marked(shop: Shop) -> None:
    """Nothing is known then, and a later pass tries again; nor does a daemon that doesn't lead mark."""
    read(shop, Versions(Fault("Database", "away")), shop.rollout())
    read(shop, Versions("0001"), shop.rollout(), leads=False)
    assert shop.line.changes() == []


@pytest.mark.usefixtures("node")
def test_the_schema_of_pods_that_are_not_ready_is_not_marked(shop: Shop, switches: Switches) -> None:
    """Created is not enough: their init containers may be migrating."""
    switches.set_ready("shop:2", False)
    until(lambda: readiness(shop) == (2, 2, 0), "no pod is ready")
    read(shop, Versions("0001"), shop.rollout())
    assert shop.line.changes() == []


@pytest.mark.usefixtures("node")
def test_the_schema_is_not_marked_beside_older_pods(shop: Shop, switches: Switches) -> None:
    """While the new pods don't get ready, the old ones serve, too."""
    switches.set_ready("shop:3", False)
    shop.ship("shop:3")
    until(lambda: readiness(shop)[0] > 2 and readiness(shop)[2] == 2, "old pods beside new ones")
    read(shop, Versions("0003"), shop.rollout())
    assert shop.line.changes() == []


@pytest.mark.usefixtures("node")
def test_what_was_read_while_another_revision_came_is_not_marked(shop: Shop) -> None:
    """It may be what that one has migrated to: neither after it has a number nor before."""
    for ship in (lambda: shop.ship("shop:3"), lambda: unseen(shop)):
        rollout = shop.rollout()

        def schema(query: SchemaQuery, ship: Callable[[], object] = ship) -> str:
            ship()
            return "0003"

        read(shop, schema, rollout)
        assert shop.line.changes() == []


def unseen(shop: Shop) -> None:
    """Have another template in the Deployment, which its controller hasn't seen when it is read next."""
    until(lambda: readiness(shop) == (2, 2, 2), "it serves alone")

    def change(method: str, path: str) -> None:
        if path == shop.path:
            shop.line.before = lambda method, path: None
            shop.connection.merge_patch(path, {"spec": {"template": template("shop:4")}})

    shop.line.before = change


@pytest.mark.usefixtures("node")
def test_the_mark_is_worth_nothing_once_the_replica_set_is_used_again(shop: Shop) -> None:
    """With another number it serves another time, maybe with another schema."""
    read(shop, Versions("0002"), shop.rollout())
    assert shop.rollout().new.schema == "0002"
    shop.ship("shop:1")
    shop.ship("shop:2")
    assert (shop.rollout().new.number, shop.rollout().new.schema) == (4, "")


@pytest.mark.usefixtures("node")
def test_what_is_awaited_is_read_until_it_is_marked(shop: Shop) -> None:
    """Not before its time, then at each pass until it succeeds, and never again."""
    lanes, versions, rollout = Lanes({"schema": 1}), Versions(Fault("Database", "away")), shop.rollout()
    marks = Marks(shop.line, lanes, lambda: True, versions)
    marks.await_schema(rollout, QUERY, NOW)

    def one_pass(now: float, newest: int = 2) -> int:
        marks.record_schemas(now, lambda uid: newest)
        until(lambda: lanes.busy() == 0, "the schema is read")
        return len(versions.asked)

    assert [one_pass(NOW + later) for later in (-1, 0, 15)] == [0, 1, 2]
    versions.at = "0002"
    assert [one_pass(NOW + later) for later in (30, 45)] == [3, 3]
    assert shop.rollout().new.schema == "0002"
    for now, newest in ((NOW, 3), (NOW + 2 * GRACE, 2)):
        marks.await_schema(rollout, QUERY, NOW)
        assert [one_pass(now, newest), one_pass(NOW)] == [3, 3], "it is given up"
