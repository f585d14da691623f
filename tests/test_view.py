"""The view: what is under watch, since when, and what holds it, read from the caches alone."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.runbook.parts import NOW, POLICY
from watcher.judgement.rollouts import GRACE, write_time
from watcher.policy.model import Policy
from watcher.view import Caches, Joined, View, Watched

Json = dict[str, Any]
LABEL = "canary-watch.io/smoke-test-for"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"


class Kept:
    """A cache that holds what it is given: a `Cache` without a cluster behind it."""

    def __init__(self, *objects: Json) -> None:
        self.synced, self.version, self._objects = True, 1, objects

    def put(self, *objects: Json) -> None:
        """Hold something else."""
        self._objects, self.version = objects, self.version + 1

    def items(self) -> tuple[Json, ...]:
        """Everything."""
        return self._objects

    def get(self, namespace: str, name: str) -> Json | None:
        """One object."""
        found = (o["metadata"] for o in self._objects)
        names = [(meta.get("namespace", ""), meta["name"]) for meta in found]
        return self._objects[names.index((namespace, name))] if (namespace, name) in names else None


def deployment(progress: float | None = None, **notes: str) -> Json:
    """The Deployment shop/checkout; `_` in an annotation's name stands for `-`."""
    named = {f"canary-watch.io/{key.replace('_', '-')}": value for key, value in notes.items()}
    when = [{"type": "Progressing", "lastUpdateTime": write_time(progress)}] if progress else []
    meta = {"name": "checkout", "namespace": "shop", "uid": "u", "annotations": named, "labels": {"tier": "web"}}
    return {"metadata": meta, "spec": {}, "status": {"conditions": when}}


def replica_set(number: int, created: float, *, image: int | None = None, pods: int = 1, **notes: str) -> Json:
    """A ReplicaSet of it; `image` names it where it was made for another revision and is used again."""
    annotations = {REVISION: str(number), **{f"canary-watch.io/{k.replace('_', '-')}": v for k, v in notes.items()}}
    if image is not None:
        annotations[HISTORY] = str(image)
    name = f"checkout-{image or number}"
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "creationTimestamp": write_time(created),
            "annotations": annotations,
            "ownerReferences": [{"uid": "u", "controller": True}],
        },
        "status": {"replicas": pods},
    }


def namespace(name: str, **notes: str) -> Json:
    """A Namespace with annotations of ours."""
    named = {f"canary-watch.io/{key.replace('_', '-')}": value for key, value in notes.items()}
    return {"metadata": {"name": name, "annotations": named}}


class World:
    """A view with its caches: two revisions, the second one made at NOW."""

    def __init__(self) -> None:
        self.deployments = Kept(deployment())
        self.replica_sets = Kept(replica_set(1, NOW - 9000, pods=0), replica_set(2, NOW))
        self.namespaces, self.jobs = Kept(), Kept()
        caches = Caches(self.deployments, self.replica_sets, self.namespaces, {LABEL: self.jobs})
        self.view = View(caches, "own")

    def watched(self, now: float, *policies: Policy) -> tuple[Watched, ...]:
        """What is under watch."""
        return self.view.under_watch(policies or (POLICY,), now)

    def started(self, now: float) -> float:
        """When the one rollout under watch started."""
        (watched,) = self.watched(now)
        return watched.rollout.started


def test_a_rollout_is_watched_from_its_start_to_its_end() -> None:
    """Under watch for watchFor, then for a last judgement, and no longer than the grace after that."""
    world, ends = World(), NOW + POLICY.watch_for
    assert [(w.rollout.new.number, w.ended) for w in world.watched(NOW + 1)] == [(2, False)]
    assert [w.ended for w in world.watched(ends - 1)] == [False]
    assert [w.ended for w in world.watched(ends)] == [True]
    assert [w.ended for w in world.watched(ends + GRACE - 1)] == [True]
    assert world.watched(ends + GRACE) == ()


def test_a_verdict_ends_the_watch_at_its_end() -> None:
    """A revision that has its verdict needs no last judgement."""
    world = World()
    world.replica_sets.put(replica_set(2, NOW, verdict="proven", verdict_of="uid-checkout-2"))
    assert len(world.watched(NOW + POLICY.watch_for - 1)) == 1
    assert world.watched(NOW + POLICY.watch_for) == ()


def test_a_condemned_revision_that_is_shipped_again_gets_its_last_judgement() -> None:
    """Only a revision that is proven needs none: a condemned one may come through this time."""
    world, ends = World(), NOW + POLICY.watch_for
    world.replica_sets.put(replica_set(2, NOW, verdict="condemned", verdict_of="uid-checkout-2"))
    assert [w.ended for w in world.watched(ends)] == [True]
    assert world.watched(ends + GRACE) == ()


def test_a_hold_that_ends_keeps_its_rollout_under_watch() -> None:
    """However long it is paused, what is held is asked by all its policies; other rollouts' watches end."""
    world, brief = World(), replace(POLICY, name="brief", watch_for=60.0)
    late = NOW + 10 * POLICY.watch_for
    [held] = world.view.under_watch((POLICY, brief), late, frozenset({("u", 2)}))
    assert (held.ended, held.asks(POLICY, late), held.asks(brief, late)) == (False, True, True)
    [early] = world.view.under_watch((POLICY, brief), NOW + 90, frozenset({("u", 2)}))
    assert early.asks(brief, NOW + 90)
    for other in (frozenset({("u", 1)}), frozenset({("v", 2)})):
        assert world.view.under_watch((POLICY, brief), late, other) == ()
    assert world.view.under_watch((), late, frozenset({("u", 2)})) == ()


def test_the_longest_watch_of_its_policies_counts() -> None:
    """A policy's checks are asked during its own watchFor, and all once more for the last judgement."""
    world, brief = World(), replace(POLICY, name="brief", watch_for=60.0)
    (early,) = world.watched(NOW + 30, POLICY, brief)
    assert early.asks(brief, NOW + 30)
    (late,) = world.watched(NOW + 90, POLICY, brief)
    assert (late.asks(brief, NOW + 90), late.asks(POLICY, NOW + 90)) == (False, True)
    (last,) = world.watched(NOW + POLICY.watch_for, POLICY, brief)
    assert last.asks(brief, NOW + POLICY.watch_for)


def test_what_no_policy_matches_is_not_watched() -> None:
    """Policies choose by namespace and labels."""
    world = World()
    assert world.watched(NOW + 1, replace(POLICY, namespaces=("other",))) == ()
    assert world.watched(NOW + 1, replace(POLICY, labels={"tier": "db"})) == ()
    assert len(world.watched(NOW + 1, replace(POLICY, labels={"tier": "web"}))) == 1


def test_its_own_revert_is_not_watched() -> None:
    """The revision that the daemon rolled back to is no rollout; the one that follows it is."""
    world = World()
    note = json.dumps({"case": "c", "uid": "u", "revision": 2, "replicaSet": "uid-checkout-2"})
    world.deployments.put(deployment(rolled_back=note))
    assert world.watched(NOW + 1) == ()
    world.replica_sets.put(replica_set(2, NOW), replica_set(3, NOW + 5))
    assert [w.rollout.new.number for w in world.watched(NOW + 6)] == [3]


def test_a_persons_revision_with_the_number_foretold_is_watched() -> None:
    """Where a person's change came before the controller saw ours, theirs bears our number, and is watched."""
    world = World()
    note = json.dumps({"case": "c", "uid": "u", "revision": 3, "replicaSet": "uid-checkout-1"})
    world.deployments.put(deployment(rolled_back=note))
    world.replica_sets.put(replica_set(1, NOW - 9000, pods=0), replica_set(2, NOW), replica_set(3, NOW + 60))
    assert [w.rollout.new.number for w in world.watched(NOW + 75)] == [3]
    world.replica_sets.put(replica_set(2, NOW), replica_set(3, NOW - 9000, image=1))
    assert world.watched(NOW + 90) == ()


def test_a_reused_replica_set_seen_live_starts_when_it_was_seen() -> None:
    """Going back to an old ReplicaSet starts a rollout at the moment that the change was first seen."""
    world = World()
    world.watched(NOW + 1)
    world.replica_sets.put(replica_set(2, NOW), replica_set(3, NOW - 9000, image=1))
    assert world.started(NOW + 50) == NOW + 50
    world.deployments.put(deployment(NOW + 55))
    (again,) = world.watched(NOW + 70)
    assert (again.rollout.started, again.unrecorded) == (NOW + 50, True)


@pytest.mark.parametrize(
    ("progress", "start"),
    [(NOW + 100, NOW + 100), (NOW + 97, NOW + 97), (NOW + 96, NOW + 112), (NOW + 113, NOW + 112), (None, NOW + 112)],
)
def test_a_change_is_dated_by_its_progress_since_the_last_look(progress: float | None, start: float) -> None:
    """The Deployment's progress tells when it changed, unless it is of before the last look, or yet to come."""
    world = World()
    world.watched(NOW + 97.5)
    world.deployments.put(deployment(progress))
    world.replica_sets.put(replica_set(2, NOW), replica_set(3, NOW - 9000, image=1))
    assert world.started(NOW + 112) == start


def test_the_last_look_counts_though_nothing_had_changed() -> None:
    """Looks that found the caches as they were move on what is taken for the time of a change."""
    world = World()
    world.watched(NOW + 1)
    world.watched(NOW + 97.5)
    world.deployments.put(deployment(NOW + 50))
    world.replica_sets.put(replica_set(2, NOW), replica_set(3, NOW - 9000, image=1))
    assert world.started(NOW + 112) == NOW + 112


def test_a_reused_replica_set_found_at_start_goes_by_its_progress() -> None:
    """A daemon that comes later takes the Deployment's last progress for the start, not its own."""
    world = World()
    world.deployments.put(deployment(NOW + 20))
    world.replica_sets.put(replica_set(2, NOW), replica_set(3, NOW - 9000, image=1))
    assert world.started(NOW + 300) == NOW + 20


def test_a_recorded_start_counts_after_a_restart() -> None:
    """The start that was written on the ReplicaSet is taken, and needs no writing again; another revision's is not."""
    world = World()
    record = f"3@{write_time(NOW + 50)}"
    world.replica_sets.put(replica_set(2, NOW), replica_set(3, NOW - 9000, image=1, rollout_started=record))
    (watched,) = world.watched(NOW + 300)
    assert (watched.rollout.started, watched.unrecorded) == (NOW + 50, False)
    world.deployments.put(deployment(NOW + 250))
    world.replica_sets.put(replica_set(2, NOW), replica_set(5, NOW - 9000, image=1, rollout_started=record))
    (other,) = World.watched(world, NOW + 300)
    assert (other.rollout.started, other.unrecorded) == (NOW + 300, True)


def test_a_new_replica_sets_creation_is_the_start() -> None:
    """A ReplicaSet that is new started when it was made, seen live or not."""
    world = World()
    assert world.started(NOW + 300) == NOW
    (watched,) = world.watched(NOW + 300)
    assert not watched.unrecorded


def test_the_newest_revision_tells_what_superseded_a_hold() -> None:
    """The view knows each Deployment's newest revision, and that one is gone."""
    world = World()
    world.watched(NOW + 1)
    assert world.view.newest_revision("u") == 2
    world.replica_sets.put(replica_set(3, NOW + 1))
    world.watched(NOW + 2)
    assert world.view.newest_revision("u") == 3
    world.deployments.put()
    world.watched(NOW + 3)
    assert world.view.newest_revision("u") is None


@pytest.mark.parametrize("synced", [True, False])
def test_ready_once_every_cache_is_filled(synced: bool) -> None:
    """One cache that is not filled yet is enough to wait."""
    world = World()
    world.jobs.synced = synced
    assert world.view.ready() is synced


def test_several_namespaces_are_one() -> None:
    """Caches of single namespaces are joined: found in any, ready with all, changed with each."""
    one, other = Kept(namespace("a")), Kept(namespace("b"))
    joined = Joined([one, other])
    before = joined.version
    other.put(namespace("b"), namespace("c"))
    assert joined.version != before
    assert joined.get("", "c") == namespace("c")
    assert joined.get("", "d") is None
    assert len(joined.items()) == 3
    other.synced = False
    assert not joined.synced
