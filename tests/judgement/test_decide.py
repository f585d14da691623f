"""Decisions: over all verdicts at once, with the holds in their order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.judgement.made import NEW, OLD, POLICY, ROLLOUT, verdict
from watcher.judgement.decide import GUARDS, Circumstances, Judged, came_through, decide, say_counts
from watcher.judgement.judge import REASONS
from watcher.judgement.model import Decision, Pause, Rollout, Verdict

BREACH = verdict("Breached", "above-threshold")
SMOKE = verdict("Breached", "smoke-test-failed")
OLDER = verdict("Breached", "above-threshold", "older-than-rollout")
ALIKE = verdict("Breached", "above-threshold", "not-worse-than-control")
UNPROBED = verdict("Breached", "smoke-test-failed", "never-answered-right")
HEALTHY = verdict("Healthy", "below-threshold")
PENDING = verdict("Healthy", "not-for-long-enough")
NO_DATA = verdict("Unknown", "no-data")
SILENT = verdict("Unknown", "new-pods-silent")
ERROR = verdict("Unknown", "prometheus-error")
UNKNOWN = [verdict(outcome, reason) for reason, outcome in REASONS.items() if outcome == "Unknown"]

ACTED_ON = {ROLLOUT.key: "c-1"}
PAUSED = {ROLLOUT.key: Pause("Namespace shop", None, "load test")}
SPEC_PAUSED = replace(ROLLOUT, spec_paused=True)
CREATED = replace(ROLLOUT, earlier=())
CONDEMNED = replace(ROLLOUT, earlier=(replace(OLD, verdict="condemned"), replace(OLD, number=0, verdict="condemned")))


def decided(*verdicts: Verdict, rollout: Rollout = ROLLOUT, ended: bool = False, **circumstances: Any) -> Decision:
    """The decision about one rollout."""
    [decision] = decide([Judged(rollout, (POLICY,), verdicts, ended)], Circumstances(**circumstances))
    return decision


@pytest.mark.parametrize("breach", [BREACH, SMOKE])
def test_a_breach_rolls_back(breach: Verdict) -> None:
    """One breached check is enough, whatever the others say, and the decision carries its reason and evidence."""
    for others in ([], [HEALTHY], [ERROR, PENDING, NO_DATA]):
        decision = decided(*others, breach)
        assert (decision.action, decision.reason) == ("RollBack", breach.reason)
        assert decision.said == breach.evidence.said
        assert decision.verdict is breach
        assert decision.verdicts == (*others, breach)


@pytest.mark.parametrize(
    ("case", "action", "reason", "said"),
    [
        ({"acted_on": ACTED_ON, "pauses": PAUSED, "rollout": SPEC_PAUSED}, "Hold", "already-acted-on", "in case c-1"),
        (
            {"pauses": PAUSED, "rollout": SPEC_PAUSED},
            "Hold",
            "paused",
            "Namespace shop until the annotation is removed",
        ),
        ({"rollout": SPEC_PAUSED}, "Hold", "spec-paused", "spec.paused"),
        ({"rollout": replace(CREATED, spec_paused=True)}, "Hold", "spec-paused", "spec.paused"),
        ({"rollout": CREATED}, "Escalate", "no-earlier-revision", "no earlier revision"),
        ({"rollout": CONDEMNED}, "Escalate", "every-earlier-revision-condemned", "every earlier revision"),
        ({"rollout": CREATED, "pauses": PAUSED}, "Hold", "paused", "(load test)"),
        ({"rollout": CREATED, "acted_on": ACTED_ON}, "Hold", "already-acted-on", "revision 2"),
    ],
)
def test_holds_come_in_their_order(case: dict[str, Any], action: str, reason: str, said: str) -> None:
    """Acted on, paused, spec.paused, then what there is to go back to: the first that applies is named."""
    decision = decided(BREACH, **case)
    assert (decision.action, decision.reason) == (action, reason)
    assert said in decision.said
    assert "said above-threshold" in decision.said


@pytest.mark.parametrize("guarded", [OLDER, ALIKE, UNPROBED])
def test_a_guarded_breach_is_a_hold(guarded: Verdict) -> None:
    """What isn't the rollout's fault is held and said, with revisions to go back to and without."""
    for rollout in (ROLLOUT, CREATED, CONDEMNED):
        decision = decided(HEALTHY, guarded, rollout=rollout)
        assert (decision.action, decision.reason) == ("Hold", guarded.guard)
        assert decision.said == f"{GUARDS[guarded.guard]}; said {guarded.reason}"
    assert decided(guarded, rollout=SPEC_PAUSED).reason == "spec-paused"


def test_a_guard_holds_its_own_breach_only() -> None:
    """A second check that breaches without a guard rolls back, in whichever order they stand."""
    for verdicts in ([OLDER, ALIKE, SMOKE], [SMOKE, OLDER]):
        decision = decided(*verdicts)
        assert (decision.action, decision.reason) == ("RollBack", "smoke-test-failed")
        assert decision.verdict is SMOKE


@pytest.mark.parametrize("unknown", UNKNOWN, ids=lambda v: str(v.reason))
def test_unknown_never_rolls_back(unknown: Verdict) -> None:
    """Whatever is missing, alone or with others, the rollout is kept watching."""
    for others in ([], [HEALTHY], [PENDING], UNKNOWN):
        for rollout in (ROLLOUT, CREATED, CONDEMNED, SPEC_PAUSED):
            assert decided(unknown, *others, rollout=rollout).action == "KeepWatching"


@pytest.mark.parametrize(
    ("verdicts", "reason"),
    [
        ([HEALTHY, HEALTHY], "healthy"),
        ([HEALTHY, NO_DATA], "healthy"),
        ([verdict("Unknown", "no-smoke-test"), HEALTHY], "healthy"),
        ([HEALTHY, ERROR], "unknown"),
        ([HEALTHY, SILENT], "unknown"),
        ([ERROR, HEALTHY, PENDING], "not-for-long-enough"),
        ([NO_DATA], "unknown"),
        ([], "unknown"),
    ],
)
def test_without_a_breach_the_watch_goes_on(verdicts: list[Verdict], reason: str) -> None:
    """A breach that is building up is told before what is unknown, and that before health."""
    decision = decided(*verdicts)
    assert (decision.action, decision.reason) == ("KeepWatching", reason)


def test_a_rollout_without_checks_says_so() -> None:
    """Between a policy's removal and the next pass there may be nothing to judge by."""
    assert decided().said == "no check applies"
    assert decided(NO_DATA).said == "said no-data"


@pytest.mark.parametrize("rollout", [ROLLOUT, CREATED, CONDEMNED, SPEC_PAUSED])
def test_an_ended_watch_never_rolls_back(rollout: Rollout) -> None:
    """The last judgement only proves, or doesn't: whatever breaches after the watch is left to people."""
    for breach in (BREACH, SMOKE, OLDER):
        decision = decided(breach, rollout=rollout, ended=True)
        assert (decision.action, decision.reason) == ("KeepWatching", "watch-ended")
        assert not came_through(Judged(rollout, (POLICY,), (breach,), True), decision, 1.0)


@pytest.mark.parametrize(
    ("verdicts", "through"),
    [
        ([HEALTHY], True),
        ([HEALTHY, NO_DATA, verdict("Unknown", "no-smoke-test")], True),
        ([HEALTHY, ERROR], False),
        ([HEALTHY, SILENT], False),
        ([HEALTHY, PENDING], False),
        ([NO_DATA], False),
        ([], False),
        ([HEALTHY, BREACH], False),
    ],
)
def test_what_came_through_is_healthy_and_nothing_else(verdicts: list[Verdict], through: bool) -> None:
    """Proven needs a Healthy check at the watch's end, and none that could not be judged or is about to breach."""
    alone = replace(ROLLOUT, earlier=(replace(OLD, replicas=0),))
    for ended in (True, False):
        judged = Judged(alone, (POLICY,), tuple(verdicts), ended)
        [decision] = decide([judged], Circumstances())
        assert came_through(judged, decision, 1.0) is (through and ended)


@pytest.mark.parametrize(("share", "through"), [(1.0, True), (0.5, True), (0.49, False), (1 / 121, False)])
def test_what_was_unknown_for_most_of_its_watch_is_not_proven(share: float, through: bool) -> None:
    """In half of the passes at least it must have been seen to be healthy: the last reading alone proves nothing."""
    alone = replace(ROLLOUT, earlier=(replace(OLD, replicas=0),))
    judged = Judged(alone, (POLICY,), (HEALTHY,), True)
    assert came_through(judged, decided(HEALTHY, rollout=alone, ended=True), share) is through


def test_nothing_is_proven_while_old_pods_serve() -> None:
    """Pods that never get ready leave the old ones serving, whose health proves nothing of the new revision."""
    judged = Judged(ROLLOUT, (POLICY,), (HEALTHY,), True)
    assert OLD.replicas
    assert not came_through(judged, decided(HEALTHY, ended=True), 1.0)


def test_each_rollout_gets_its_own_decision() -> None:
    """Pauses and cases hold their own rollout, not its neighbour, nor the same Deployment's next revision."""
    neighbour = replace(ROLLOUT, uid="uid-2", deployment="cart")
    following = replace(ROLLOUT, new=replace(NEW, number=3))
    every = [Judged(one, (POLICY,), (BREACH,)) for one in (ROLLOUT, neighbour, following)]
    for circumstances in (Circumstances(pauses=PAUSED), Circumstances(acted_on=ACTED_ON)):
        decisions = decide(every, circumstances)
        assert [d.action for d in decisions] == ["Hold", "RollBack", "RollBack"]
        assert [d.rollout for d in decisions] == [ROLLOUT, neighbour, following]


def test_a_pass_is_summed_up() -> None:
    """The counts of a pass say every action with its reason, in a fixed order."""
    assert say_counts([]) == "nothing under watch"
    some = [decided(HEALTHY), decided(HEALTHY), decided(BREACH, pauses=PAUSED), decided(BREACH)]
    assert say_counts(some) == "1 Hold (paused), 2 KeepWatching, 1 RollBack (above-threshold)"
