"""What ends without a verdict: a hold of which nothing is known any more, a past out of reach, an old reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from tests.runbook.migrating import unread
from tests.runbook.parts import NOW, until
from tests.test_view import World, deployment, replica_set
from tests.test_watch import Figures, value_policy
from tests.test_watch_kept import ENDS, LATE, Course, Drawer, decided, hold, watching
from watcher.judgement.decide import Brakes
from watcher.judgement.rollouts import GRACE
from watcher.runbook.case import Case
from watcher.runbook.cases import Cases
from watcher.runbook.desk import Desk, Place
from watcher.runbook.duty import Duty
from watcher.runbook.lanes import WORKERS, Lanes
from watcher.runbook.marks import Marks
from watcher.runbook.ports import Cluster
from watcher.smoke import SmokeTests
from watcher.systems.kubernetes import paths
from watcher.watch import Hands, Watch

DAY = 86400.0
INTERVAL = 15.0
SECOND = paths.replica_sets("shop", "checkout-2")


class Shelf(Drawer):
    """A cluster that holds cases and revision 2's ReplicaSet, takes what is written, and keeps what was patched."""

    def __init__(self, *cases: Case) -> None:
        super().__init__(*cases)
        self.patched: list[str] = []

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The ReplicaSet, or every case."""
        return {"metadata": {"uid": "uid-checkout-2"}} if path == SECOND else super().get(path, query)

    def replace(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Take it."""
        return body

    def json_patch(self, path: str, ops: list[dict[str, Any]]) -> dict[str, Any]:
        """Keep its path."""
        self.patched.append(path)
        return {}


class Acting:
    """A watch that acts: passes one after the other, each with all that it set off."""

    def __init__(self, world: World, prometheus: Figures, *cases: Case) -> None:
        self.shelf, self._lanes = Shelf(*cases), Lanes(WORKERS)
        cluster, duty = cast(Cluster, self.shelf), Duty(lambda: True, lambda: NOW, 60.0)
        self.desk = Desk(Cases(cluster, "own", "me"), (), self._lanes, duty, Place("prod", "us-east-1"))
        self.desk.load(NOW, prune=False)
        hands = Hands(self.desk, Marks(cluster, self._lanes, lambda: True, unread), INTERVAL, Brakes(), 15.0)
        policies = (value_policy("p", "q"),)
        self._watch = Watch(
            world.view, prometheus, SmokeTests(lambda url, timeout: 200, self._lanes), lambda: policies, hands
        )

    def one_pass(self, now: float) -> str:
        """Make one; the first case's outcome after it."""
        self._watch.one_pass(now)
        until(lambda: self._lanes.busy() == 0, "the lanes are empty")
        return next((case.outcome for case in self.desk.every()), "")


def silent(moment: float) -> float | None:
    """A breach of which nothing is heard a minute after the start."""
    return 2.0 if moment <= NOW + 60 else None


def test_a_hold_of_which_nothing_is_known_ends_at_last() -> None:
    """With the pause gone and the watch's time over, a hold waits for the grace to hear something, then it ends."""
    acting = Acting(World(), Course(silent), hold("paused"))
    assert [acting.one_pass(LATE + later) for later in (0, GRACE - 15, GRACE)] == ["", "", ""]
    assert acting.one_pass(LATE + GRACE + 15) == "watch-ended"


def test_a_hold_does_not_end_before_its_watch() -> None:
    """However long nothing is known, it may still be heard of until the watch's end."""
    acting = Acting(World(), Course(silent), hold("paused"))
    assert [acting.one_pass(now) for now in (NOW + 90, NOW + 90 + 2 * GRACE, ENDS - 1)] == ["", "", ""]
    assert acting.one_pass(ENDS + 1) == "watch-ended"


def test_what_is_heard_of_in_between_is_waited_for_anew() -> None:
    """The grace counts from when nothing was known last: a breach seen in between starts it again."""
    heard, away = LATE + 400, LATE + GRACE + 15
    acting = Acting(World(), Course(lambda moment: 2.0 if heard - 120 <= moment <= heard else None), hold("paused"))
    assert [acting.one_pass(now) for now in (LATE, heard, away, away + GRACE)] == [""] * 4
    assert acting.one_pass(away + GRACE + 15) == "watch-ended"


@pytest.mark.parametrize("how", ["annotation", "spec.paused"])
def test_a_hold_stays_while_its_pause_is_on(how: str) -> None:
    """Who has paused a rollout finds it held, though Prometheus was away meanwhile."""
    world = World()
    paused = deployment(pause="true") if how == "annotation" else deployment()
    paused["spec"]["paused"] = how == "spec.paused"
    world.deployments.put(paused)
    acting = Acting(world, Course(silent), hold("paused" if how == "annotation" else "spec-paused"))
    assert [acting.one_pass(LATE + later) for later in (0, GRACE + 15, DAY)] == ["", "", ""]


def bad_after(moment: float) -> float:
    """A breach that the rollout has brought, a minute after its start."""
    return 2.0 if moment > NOW + 60 else 0.5


@pytest.mark.parametrize(
    ("after", "action", "reason"), [(DAY, "RollBack", "above-threshold"), (2 * DAY, "Hold", "past-unknown")]
)
def test_a_breach_whose_past_is_out_of_reach_is_held(after: float, action: str, reason: str) -> None:
    """A daemon that comes to a hold later than Prometheus's 11,000 points reach can't tell whose breach it is."""
    assert decided(watching(World(), Course(bad_after), hold("paused")), NOW + after) == (action, reason)


def test_a_past_that_was_learnt_in_time_is_not_out_of_reach() -> None:
    """A daemon that has seen the rollout's start rolls it back however late its pause ends."""
    world = World()
    world.deployments.put(deployment(pause="true"))
    watch = watching(world, Course(bad_after), hold("paused"))
    assert decided(watch, NOW + 300) == ("Hold", "paused")
    world.deployments.put(deployment())
    assert decided(watch, NOW + 2 * DAY) == ("RollBack", "above-threshold")


@pytest.mark.parametrize(("later", "doubted"), [(4 * INTERVAL, [SECOND]), (4 * INTERVAL + 1, [])])
def test_an_old_reading_sets_no_doubt(later: float, doubted: list[str]) -> None:
    """What this daemon saw before another led tells nothing of how the revision was when it was replaced."""
    world = World()
    acting = Acting(world, Course(lambda moment: None if moment <= NOW + 30 else 0.5))
    acting.one_pass(NOW + 30)
    world.replica_sets.put(replica_set(1, NOW - 9000, pods=0), replica_set(2, NOW), replica_set(3, NOW + 40))
    acting.one_pass(NOW + 30 + later)
    assert acting.shelf.patched == doubted
