"""What a pass goes by beside its own readings: what earlier ones saw of a rollout, and the cases there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

import pytest

from tests.runbook.migrating import unread
from tests.runbook.parts import NOW, POLICY, decision, rollout
from tests.test_view import World, deployment, replica_set
from tests.test_watch import LABELS, Figures, value_policy
from watcher.judgement.decide import Brakes
from watcher.judgement.model import Answer, Grid, Series
from watcher.judgement.rollouts import write_time
from watcher.runbook.case import Case, open_case
from watcher.runbook.cases import Cases
from watcher.runbook.desk import Desk, Place
from watcher.runbook.duty import Duty
from watcher.runbook.lanes import Lanes
from watcher.runbook.marks import Marks
from watcher.runbook.ports import Cluster
from watcher.smoke import SmokeTests
from watcher.watch import Hands, Watch

ENDS = NOW + POLICY.watch_for
LATE = NOW + 20 * POLICY.watch_for


class Course(Figures):
    """A Prometheus whose figure for shop/checkout changes in time; None: it is away for whoever asks then."""

    def __init__(self, course: Callable[[float], float | None]) -> None:
        super().__init__(0.0)
        self.course = course

    def range(self, query: str, grid: Grid) -> Answer:
        """Answer."""
        if self.course(grid.end) is None:
            return Answer(query, grid, error="Prometheus is away")
        samples = ((t, value) for t in grid.times() if (value := self.course(t)) is not None)
        return Answer(query, grid, (Series(LABELS, tuple(samples)),))


class Drawer:
    """A cluster that holds cases, to be read and no more."""

    def __init__(self, *cases: Case) -> None:
        self._maps = [{"metadata": {"name": case.name}, "data": {"case": case.write()}} for case in cases]

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Every case."""
        return {"items": self._maps}


def watching(world: World, prometheus: Figures, *cases: Case) -> Watch:
    """A watch that only looks, and knows these cases."""
    lanes, duty = Lanes({"probe": 1}), Duty(lambda: True, lambda: NOW, 60.0)
    desk = Desk(Cases(cast(Cluster, Drawer(*cases)), "own", "me"), (), lanes, duty, Place("prod", "us-east-1"))
    desk.load(NOW, prune=False)
    hands = Hands(desk, Marks(cast(Cluster, None), lanes, lambda: True, unread), 15.0, Brakes(), 15.0)
    policies = (value_policy("p", "q"),)
    return Watch(world.view, prometheus, SmokeTests(lambda url, timeout: 200, lanes), lambda: policies, hands)


def hold(reason: str) -> Case:
    """The open case of revision 2, held."""
    return open_case(decision("Hold", reason, about=rollout(2, uid="u")), ("prod", "us-east-1"), NOW)


def decided(watch: Watch, now: float) -> tuple[str, str]:
    """What a look decides about the one rollout: the action and its reason."""
    [found] = watch.look(now).decisions
    return found.action, found.reason


def dips(moment: float) -> float:
    """Over all the time, but for half a minute."""
    return 0.5 if NOW + 300 <= moment < NOW + 330 else 2.0


def test_a_breach_that_ended_and_came_back_is_rolled_back() -> None:
    """The end of the older breach is remembered by later passes, whose ranges no longer reach it."""
    watch = watching(World(), Course(dips))
    assert decided(watch, NOW + 290) == ("Hold", "older-than-rollout")
    assert decided(watch, NOW + 320) == ("KeepWatching", "healthy")
    assert decided(watch, NOW + 350) == ("KeepWatching", "not-for-long-enough")
    assert decided(watch, NOW + 500) == ("RollBack", "above-threshold")


def test_a_breach_that_ended_before_a_restart_is_not_older() -> None:
    """A new daemon reads in Prometheus's history what it has not seen itself."""
    assert decided(watching(World(), Course(dips)), NOW + 290) == ("Hold", "older-than-rollout")
    assert decided(watching(World(), Course(dips)), NOW + 500) == ("RollBack", "above-threshold")


@pytest.mark.parametrize(("back", "proven"), [(900.0, True), (960.0, False), (1795.0, False)])
def test_a_watch_that_was_mostly_unknown_proves_nothing(back: float, proven: bool) -> None:
    """With Prometheus away for most of the watch, health at its end is no proof; for half of it, it is."""
    watch = watching(World(), Course(lambda moment: 0.5 if moment >= NOW + back else None))
    looks = [watch.look(NOW + later) for later in range(15, int(POLICY.watch_for) + 15, 15)]
    assert {found.reason for seen in looks for found in seen.decisions} == {"unknown", "healthy"}
    assert bool(looks[-1].proven) is proven


def test_a_daemon_that_comes_for_the_end_goes_by_what_it_sees() -> None:
    """Passes count from the first that this daemon made for the rollout."""
    assert watching(World(), Figures(0.5)).look(ENDS).proven


def test_what_left_the_watch_is_counted_anew() -> None:
    """Nothing is kept of a rollout that is no longer under watch."""
    world = World()
    watch = watching(world, Course(lambda moment: 0.5 if moment >= ENDS else None))
    for later in (15, 30, 45):
        watch.look(NOW + later)
    world.deployments.put()
    assert watch.look(NOW + 60).watched == ()
    world.deployments.put(deployment())
    assert watch.look(ENDS).proven


def test_a_condemned_revision_that_comes_through_is_proven() -> None:
    """A revision that was rolled back once, and is healthy when it is shipped again, may be gone back to."""
    world = World()
    started = f"4@{write_time(NOW)}"
    again = replica_set(
        4, NOW - 5000, image=2, verdict="condemned", verdict_of="uid-checkout-2", rollout_started=started
    )
    world.replica_sets.put(replica_set(1, NOW - 9000, pods=0), again)
    [proven] = watching(world, Figures(0.5)).look(ENDS).proven
    assert (proven.new.number, proven.new.verdict) == (4, "condemned")


@pytest.mark.parametrize("closed", [None, NOW + 60])
def test_what_has_a_case_is_not_proven_and_not_said_to_be(closed: float | None) -> None:
    """A rollout that was held once has its case; the pass doesn't name as proven what is not marked so."""
    case = replace(hold("older-than-rollout"), outcome="recovered", closed=closed)
    seen = watching(World(), Figures(0.5), case).look(ENDS)
    assert (seen.proven, "proven" in seen.said) == ((), False)
    other = watching(World(), Figures(0.5), replace(case, bad=1)).look(ENDS)
    assert "proven: shop/checkout revision 2" in other.said


def test_a_pause_longer_than_the_watch_ends_in_the_rollback() -> None:
    """What is held by a pause stays under watch: said as held for as long as it lasts, rolled back when it ends."""
    world = World()
    world.deployments.put(deployment(pause="true"))
    watch = watching(world, Course(lambda moment: 2.0 if moment > NOW + 60 else 0.5), hold("paused"))
    for now in (ENDS - 1, ENDS + 1, LATE):
        assert decided(watch, now) == ("Hold", "paused")
    world.deployments.put(deployment())
    assert decided(watch, LATE + 15) == ("RollBack", "above-threshold")


@pytest.mark.parametrize(
    ("reason", "stays"),
    [
        ("paused", True),
        ("spec-paused", True),
        ("brake-deployment", True),
        ("brake-cluster", True),
        ("older-than-rollout", False),
        ("not-worse-than-control", False),
        ("never-answered-right", False),
    ],
)
def test_only_a_hold_that_ends_puts_off_the_end_of_the_watch(reason: str, stays: bool) -> None:
    """Pauses and brakes end, and then the rollback is due; a breach that isn't the rollout's fault stays what it is."""
    assert bool(watching(World(), Figures(2.0), hold(reason)).look(LATE).watched) is stays


def test_a_hold_that_is_over_puts_off_nothing() -> None:
    """With its outcome, or closed, or turned into something else, a case keeps nothing under watch."""
    for over in (
        replace(hold("paused"), outcome="recovered"),
        replace(hold("paused"), outcome="recovered", closed=NOW),
        replace(hold("paused"), action="Escalate"),
        replace(hold("paused"), bad=1),
    ):
        assert watching(World(), Figures(2.0), over).look(LATE).watched == ()
