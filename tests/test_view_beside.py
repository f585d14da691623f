"""What the view knows beside the rollouts: pauses, near and far, and the Jobs that are smoke tests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.runbook.parts import NOW, POLICY
from tests.test_view import LABEL, Json, Kept, World, deployment, namespace, replica_set
from watcher.judgement.model import Pause, Rollout
from watcher.judgement.rollouts import write_time
from watcher.policy.model import Check, SmokeJob
from watcher.view import Caches, View


def paused(world: World, now: float = NOW + 1) -> Pause | None:
    """The pause that holds the rollout."""
    (watched,) = world.watched(now)
    return world.view.pause_for(watched.rollout, now)


def test_no_pause() -> None:
    """Without the annotation nothing holds, and a Namespace that isn't known pauses nothing."""
    assert paused(World()) is None


def test_pauses_from_near_to_far() -> None:
    """The Deployment's pause is named first, then its Namespace's, then the daemon's own, which is everybody's."""
    world = World()
    world.namespaces.put(namespace("shop"), namespace("own", pause="true", pause_reason="migration"))
    assert paused(world) == Pause("the whole cluster (Namespace own)", None, "migration")
    world.namespaces.put(namespace("shop", pause="true"), namespace("own", pause="true"))
    assert paused(world) == Pause("Namespace shop")
    world.deployments.put(deployment(pause="true"))
    assert paused(world) == Pause("Deployment shop/checkout")


def test_a_pause_ends_by_itself() -> None:
    """A pause until a time holds until then."""
    world = World()
    world.deployments.put(deployment(pause=write_time(NOW + 60)))
    assert paused(world, NOW + 59) == Pause("Deployment shop/checkout", NOW + 60)
    assert paused(world, NOW + 60) is None


def test_a_pause_that_cannot_be_read_holds() -> None:
    """Anything else holds too, and says what is wrong with it."""
    world = World()
    world.deployments.put(deployment(pause="tomorrow"))
    pause = paused(world)
    assert pause is not None
    assert "tomorrow" in pause.flaw


def job(name: str, created: float, of: str = "checkout", where: str = "shop") -> Json:
    """A smoke test's Job."""
    meta = {"name": name, "namespace": where, "labels": {LABEL: of}, "creationTimestamp": write_time(created)}
    return {"metadata": meta}


def test_jobs_count_from_the_rollouts_start() -> None:
    """Of the Deployment's own Jobs those made since its rollout began are read, oldest first."""
    world = World()
    world.jobs.put(
        job("late", NOW + 9),
        job("old", NOW - 1),
        job("first", NOW),
        job("other", NOW + 5, of="cart"),
        job("elsewhere", NOW + 5, where="shop2"),
    )
    policy = replace(POLICY, checks=(Check("smoke", SmokeJob()),))
    (watched,) = world.watched(NOW + 10, policy)
    assert [j["metadata"]["name"] for j in world.view.jobs_for(watched.rollout, LABEL)] == ["first", "late"]
    assert world.view.jobs_for(watched.rollout, "another-label") == []


def test_a_smoke_job_made_before_the_pass_that_sees_the_change_counts() -> None:
    """CD starts its smoke test right after an undo, seconds before the next pass: it is of that rollout."""
    world = World()
    world.watched(NOW + 97)
    world.deployments.put(deployment(NOW + 100))
    world.replica_sets.put(replica_set(2, NOW), replica_set(3, NOW - 9000, image=1))
    world.jobs.put(job("smoke", NOW + 103))
    (watched,) = world.watched(NOW + 112)
    assert [j["metadata"]["name"] for j in world.view.jobs_for(watched.rollout, LABEL)] == ["smoke"]


class Counting(Kept):
    """A cache that counts how often it is listed."""

    listed = 0

    def items(self) -> tuple[Json, ...]:
        """Everything."""
        self.listed += 1
        return super().items()


def test_jobs_are_put_in_order_once_for_each_change() -> None:
    """A thousand rollouts under watch don't each go through a thousand Jobs; a change of them is seen at once."""
    jobs = Counting(job("cart", NOW, of="cart"), job("checkout", NOW))
    view = View(Caches(Kept(), Kept(), Kept(), {LABEL: jobs}), "own")
    world = World()
    [watched] = world.watched(NOW + 1)
    cart = replace(watched.rollout, deployment="cart")

    def names(rollout: Rollout) -> list[str]:
        return [str(one["metadata"]["name"]) for one in view.jobs_for(rollout, LABEL)]

    assert [names(one) for one in (watched.rollout, cart, cart)] == [["checkout"], ["cart"], ["cart"]]
    assert jobs.listed == 1
    jobs.put(job("checkout", NOW), job("again", NOW + 5))
    assert [names(one) for one in (watched.rollout, cart)] == [["checkout", "again"], []]
    assert jobs.listed == 2


@pytest.mark.parametrize("flaw", [{"creationTimestamp": None}, {"creationTimestamp": "yesterday"}, {"uid": None}])
def test_one_object_that_cannot_be_read_hides_no_other(flaw: Json, caplog: pytest.LogCaptureFixture) -> None:
    """A ReplicaSet that is none takes its own Deployment out of the watch, is logged once, and nothing else suffers."""
    world = World()
    broken = replica_set(2, NOW)
    broken["metadata"] |= {"name": "billing-2", "ownerReferences": [{"uid": "uid-of-billing", "controller": True}]}
    broken["metadata"] = {key: value for key, value in (broken["metadata"] | flaw).items() if value is not None}
    world.replica_sets.put(*world.replica_sets.items(), broken)
    for second in (1, 2):
        assert [w.rollout.deployment for w in world.watched(NOW + second)] == ["checkout"]
    assert [record.getMessage()[:20] for record in caplog.records] == ["ReplicaSet billing-2"]
