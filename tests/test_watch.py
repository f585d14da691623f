"""The pass's own part: questions put once, side by side, and bounded in time. Whole passes are in scenarios/."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from tests.runbook.migrating import unread
from tests.runbook.parts import NOW, POLICY
from tests.test_view import World, replica_set
from watcher.judgement.decide import Brakes
from watcher.judgement.model import Answer, Grid, Series
from watcher.policy.model import Check, Policy, Threshold, Value
from watcher.runbook.cases import Cases
from watcher.runbook.desk import Desk, Place
from watcher.runbook.duty import Duty
from watcher.runbook.lanes import Lanes
from watcher.runbook.marks import Marks
from watcher.runbook.ports import Cluster
from watcher.smoke import SmokeTests
from watcher.watch import Hands, Watch

LABELS = {"namespace": "shop", "deployment": "checkout"}


class Figures:
    """A Prometheus that has `value` for shop/checkout at every instant, and keeps what it was asked."""

    def __init__(self, value: float) -> None:
        self.value, self.asked = value, list[tuple[str, Grid]]()

    def range(self, query: str, grid: Grid) -> Answer:
        """Answer."""
        self.asked.append((query, grid))
        return Answer(query, grid, (Series(LABELS, tuple((t, self.value) for t in grid.times())),))


def value_policy(name: str, query: str, namespaces: tuple[str, ...] = ("*",)) -> Policy:
    """A policy of one value check above 1 for a minute."""
    check = Check("check", Value(query), Threshold(1.0, "1", "number"), 60.0)
    return replace(POLICY, name=name, namespaces=namespaces, checks=(check,))


def watch(world: World, prometheus: Figures, *policies: Policy) -> Watch:
    """A watch that only looks."""
    lanes = Lanes({"probe": 1})
    place, duty = Place("prod", "us-east-1"), Duty(lambda: True, lambda: NOW, 60.0)
    desk = Desk(Cases(cast(Cluster, None), "own", "me"), (), lanes, duty, place)
    hands = Hands(desk, Marks(cast(Cluster, None), lanes, lambda: True, unread), 15.0, Brakes(), 15.0)
    return Watch(world.view, prometheus, SmokeTests(lambda url, timeout: 200, lanes), lambda: policies, hands)


def test_nothing_under_watch_asks_nothing() -> None:
    """Without a rollout under watch no query is sent."""
    figures = Figures(2.0)
    seen = watch(World(), figures, value_policy("p", "q")).look(NOW + 99999)
    assert (figures.asked, seen.queries) == ([], 0)
    assert seen.said.startswith("0 rollouts under watch, 0 queries")


def test_a_text_is_asked_once_and_the_past_once() -> None:
    """Two policies with the same text ask it once; the time before the rollout is asked in the first pass alone."""
    figures, world = Figures(2.0), World()
    watching = watch(world, figures, value_policy("here", "q"), value_policy("elsewhere", "q", ("other",)))
    for later in (300.0, 315.0):
        watching.look(NOW + later)
    assert [query for query, _ in figures.asked] == ["q", "q"]
    first, second = (grid for _, grid in figures.asked)
    assert first.start < NOW - 60
    assert second.start == second.end - 60


def test_a_breach_older_than_the_rollout_is_known_though_the_past_is_asked_once() -> None:
    """What was read of the past in the first pass still counts in the later ones."""
    watching = watch(World(), Figures(2.0), value_policy("p", "q"))
    for later in (300.0, 315.0):
        decisions = watching.look(NOW + later).decisions
        assert [(d.action, d.reason) for d in decisions] == [("Hold", "older-than-rollout")]


def test_a_healthy_watch_is_proven_once() -> None:
    """At the end of a healthy watch the rollout is named as proven; with its verdict it is no longer looked at."""
    world = World()
    watching = watch(world, Figures(0.5), value_policy("p", "q"))
    assert watching.look(NOW + POLICY.watch_for - 1).proven == ()
    (proven,) = watching.look(NOW + POLICY.watch_for).proven
    assert proven.new.number == 2
    world.replica_sets.put(replica_set(2, NOW, verdict="proven", verdict_of="uid-checkout-2"))
    assert watching.look(NOW + POLICY.watch_for + 1).watched == ()
