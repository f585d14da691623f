"""A rollback that its own case has found it must not make, a fixed target, and none at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.judgement.made import NEW, OLD, POLICY, ROLLOUT, verdict
from watcher.judgement.decide import Circumstances, Judged, decide
from watcher.judgement.model import Decision, Pause, Rollout

BREACH, HEALTHY = verdict("Breached", "above-threshold"), verdict("Healthy", "below-threshold")
BARRED = {ROLLOUT.key: ("irreversible-migration", "it drops a column")}
FIRST = replace(ROLLOUT, new=replace(NEW, number=1), earlier=())


def decided(breach: Any = BREACH, rollout: Rollout = ROLLOUT, **more: Any) -> Decision:
    """What is decided of it."""
    [found] = decide([Judged(rollout, (POLICY,), (breach,))], Circumstances(**more))
    return found


def test_a_barred_rollback_is_held_with_its_own_reason() -> None:
    """As long as the bar stands each pass says the same; it is for this rollout alone."""
    found = decided(barred=BARRED)
    assert (found.action, found.reason) == ("Hold", "irreversible-migration")
    assert found.said == "it drops a column; said above-threshold"
    assert decided(barred=BARRED, rollout=replace(ROLLOUT, new=replace(NEW, number=3))).action == "RollBack"
    assert decided().action == "RollBack"


def test_it_bars_only_a_rollback() -> None:
    """Health ends the hold, and a pause is named before it, as it was there by somebody's will."""
    assert decided(HEALTHY, barred=BARRED).reason == "healthy"
    assert decided(barred=BARRED, pauses={ROLLOUT.key: Pause("Namespace shop")}).reason == "paused"
    assert decided(verdict("Breached", "x", "older-than-rollout"), barred=BARRED).reason == "older-than-rollout"


def fixed(number: int, rollout: Rollout = ROLLOUT) -> Decision:
    """The decision under a policy that demands a revision."""
    policy = replace(POLICY, rollback_to=number)
    return decided(replace(BREACH, policy=policy), rollout)


@pytest.mark.parametrize(
    ("number", "earlier", "action"),
    [
        (1, (OLD,), "RollBack"),
        (5, (OLD,), "Escalate"),
        (2, (OLD,), "Escalate"),
        (1, (replace(OLD, verdict="condemned"),), "Escalate"),
        (1, (replace(OLD, number=3, former=(1,)),), "RollBack"),
        (1, (replace(OLD, number=3, verdict="condemned"), OLD), "RollBack"),
    ],
)
def test_a_demanded_revision_or_none(number: int, earlier: Any, action: str) -> None:
    """Another one than the policy's is never gone back to; that is for a person to decide."""
    found = fixed(number, replace(ROLLOUT, earlier=earlier))
    assert (found.action, found.reason == "fixed-revision-unusable") == (action, action == "Escalate")


@pytest.mark.parametrize(
    ("rollout", "action"),
    [
        (FIRST, "RollBack"),
        (replace(FIRST, spec_paused=True), "Hold"),
        (replace(FIRST, new=NEW), "Escalate"),
        (replace(ROLLOUT, earlier=(replace(OLD, verdict="condemned"),)), "Escalate"),
    ],
)
def test_only_a_first_revision_is_scaled_to_zero(rollout: Rollout, action: str) -> None:
    """Where the history is gone, or all of it is condemned, it isn't a canary's first release."""
    policy = replace(POLICY, no_earlier_revision="scale-to-zero")
    assert decided(replace(BREACH, policy=policy), rollout).action == action
    assert decided(BREACH, FIRST).action == "Escalate"
