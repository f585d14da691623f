"""A revision that was rolled back and is put back: escalated at once, and never fought."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.judgement.made import NEW, OLD, POLICY, ROLLOUT, verdict
from watcher.judgement.decide import Circumstances, Judged, decide
from watcher.judgement.model import Decision, Pause, Rollout

BREACH, HEALTHY = verdict("Breached", "above-threshold"), verdict("Healthy", "below-threshold")
BACK = replace(ROLLOUT, new=replace(NEW, number=4, verdict="condemned"), earlier=(replace(OLD, number=3),))
TAKEN = {(ROLLOUT.uid, NEW.replica_set): ("c-1", 2)}


def decided(*verdicts: Any, rollout: Rollout = BACK, ended: bool = False, **more: Any) -> Decision:
    """What is decided of it."""
    circumstances = Circumstances(**{"taken_back": TAKEN, **more})
    [found] = decide([Judged(rollout, (POLICY,), verdicts, ended)], circumstances)
    return found


@pytest.mark.parametrize("verdicts", [(), (HEALTHY,), (BREACH,), (HEALTHY, BREACH)])
def test_it_is_escalated_whatever_it_does(verdicts: Any) -> None:
    """Nobody waits until it breaches again; where it does, that is the decision's verdict."""
    found = decided(*verdicts)
    assert (found.action, found.reason) == ("Escalate", "put-back")
    assert found.said == "revision 2, which was rolled back, was put back as revision 4 (case c-1)"
    assert found.verdict is (BREACH if BREACH in verdicts else next(iter(verdicts), None))


@pytest.mark.parametrize(
    "about",
    [
        {"rollout": replace(BACK, new=replace(BACK.new, number=2))},
        {"rollout": replace(BACK, new=replace(BACK.new, verdict=""))},
        {"rollout": replace(BACK, new=replace(BACK.new, verdict="proven"))},
        {"rollout": replace(BACK, new=replace(BACK.new, replica_set="checkout-new"))},
        {"rollout": replace(BACK, uid="another")},
        {"acted_on": {BACK.key: "c-2"}},
        {"pauses": {BACK.key: Pause("Deployment shop/checkout")}},
        {"taken_back": {}},
        {"ended": True},
    ],
)
def test_what_else_is_decided_as_ever(about: dict[str, Any]) -> None:
    """The rollback itself in flight, one not marked yet or proven since, another one, one said already, or paused."""
    assert decided(HEALTHY, **about).action == "KeepWatching"


def test_a_rollback_in_flight_is_no_put_back() -> None:
    """Between the patch and its number the bad revision is still the newest, and condemned: that is our own doing."""
    flying = replace(ROLLOUT, new=replace(NEW, verdict="condemned"))
    found = decided(BREACH, rollout=flying, acted_on={flying.key: "c-1"})
    assert (found.action, found.reason) == ("Hold", "already-acted-on")


def test_it_counts_for_no_brake() -> None:
    """An escalation changes nothing, and uses nothing up."""
    other = replace(ROLLOUT, uid="uid-9")
    both = [Judged(BACK, (POLICY,), (BREACH,)), Judged(other, (POLICY,), (BREACH,))]
    found = decide(both, Circumstances(taken_back=TAKEN, recent=("a",) * 9))
    assert [one.action for one in found] == ["Escalate", "RollBack"]
