"""The marks on ReplicaSets: written once, where they belong, by the leader alone."""

from __future__ import annotations

from dataclasses import replace

from tests.runbook.conftest import Shop
from tests.runbook.hands import patches
from tests.runbook.migrating import QUERY, Versions, unread
from tests.runbook.parts import until
from watcher.judgement.rollouts import write_time
from watcher.runbook.lanes import Lanes
from watcher.runbook.marks import Marks
from watcher.runbook.migrations import asked_of
from watcher.systems.fault import Fault


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


def test_the_schema_seen_is_read_and_marked(shop: Shop) -> None:
    """What the database says while a revision serves is kept with it, once; a later reading takes its place."""
    lanes, versions = Lanes({"marks": 1, "migrations": 1}), Versions("0001_initial")
    marks = Marks(shop.line, lanes, lambda: True, versions)
    for _ in range(2):
        marks.record_schema(shop.rollout(), QUERY)
        until(lambda: lanes.busy() == 0, "marks")
    assert patches(shop) == ["replicasets"]
    new = shop.rollout().new
    assert (new.number, new.schema, new.schema_by) == (2, "0001_initial", asked_of(QUERY))
    versions.at = "0002_add_sku"
    marks.record_schema(shop.rollout(), QUERY)
    until(lambda: shop.rollout().new.schema == "0002_add_sku", "the newer one")


def test_a_schema_that_can_not_be_read_is_not_marked(shop: Shop) -> None:
    """Nothing is known then, and a later pass tries again."""
    lanes = Lanes({"marks": 1, "migrations": 1})
    Marks(shop.line, lanes, lambda: True, Versions(Fault("Database", "away"))).record_schema(shop.rollout(), QUERY)
    until(lambda: lanes.busy() == 0, "marks")
    assert shop.line.changes() == []


def test_the_mark_is_worth_nothing_once_the_replica_set_is_used_again(shop: Shop) -> None:
    """With another number it serves another time, maybe with another schema."""
    lanes = Lanes({"marks": 1, "migrations": 1})
    Marks(shop.line, lanes, lambda: True, Versions("0002")).record_schema(shop.rollout(), QUERY)
    until(lambda: shop.rollout().new.schema == "0002", "the mark")
    shop.ship("shop:1")
    shop.ship("shop:2")
    assert (shop.rollout().new.number, shop.rollout().new.schema) == (4, "")
