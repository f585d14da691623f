"""The marks on ReplicaSets: written once, where they belong, by the leader alone."""

from __future__ import annotations

from dataclasses import replace

from tests.runbook.conftest import Shop
from tests.runbook.hands import patches
from tests.runbook.parts import until
from watcher.judgement.rollouts import write_time
from watcher.runbook.lanes import Lanes
from watcher.runbook.marks import Marks


def test_marks_proven_and_start(shop: Shop) -> None:
    """A proven revision and a reused one's start are written on the ReplicaSet, once each, beside what is there."""
    lanes = Lanes({"marks": 1})
    marks = Marks(shop.line, lanes, lambda: True)
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
    Marks(shop.line, lanes, lambda: False).prove(shop.rollout())
    until(lambda: lanes.busy() == 0, "marks")
    assert shop.line.calls == []


def test_marks_only_the_replica_set_that_was_judged(shop: Shop) -> None:
    """A ReplicaSet of the same name but another UID is another one."""
    lanes = Lanes({"marks": 1})
    rollout = shop.rollout()
    Marks(shop.line, lanes, lambda: True).prove(replace(rollout, new=replace(rollout.new, uid="another")))
    until(lambda: lanes.busy() == 0, "marks")
    assert shop.line.changes() == []
