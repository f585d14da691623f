"""Brakes: beyond so many rollbacks an hour, of a Deployment or in the cluster, a breach is held."""

from __future__ import annotations

from dataclasses import replace

from tests.judgement.made import POLICY, RATIO_CHECK, ROLLOUT
from watcher.judgement.decide import Brakes, Circumstances, Judged, decide
from watcher.judgement.model import Evidence, Verdict

BREACH = Verdict("Breached", "above-threshold", Evidence("error-rate 20 %"), POLICY, RATIO_CHECK)


def breached(uid: str) -> Judged:
    """A rollout of the Deployment with this UID that breaches."""
    return Judged(replace(ROLLOUT, uid=uid), (POLICY,), (BREACH,))


def decisions(*uids: str, recent: tuple[str, ...], brakes: Brakes) -> list[tuple[str, str]]:
    """What is decided about breaching rollouts, by action and reason."""
    circumstances = Circumstances(recent=recent, brakes=brakes)
    return [(d.action, d.reason) for d in decide([breached(uid) for uid in uids], circumstances)]


def test_a_deployment_is_rolled_back_so_often_and_no_more() -> None:
    """The fourth rollback of a Deployment within an hour is held; another Deployment's is not."""
    brakes = Brakes(deployment=3, cluster=10)
    found = decisions("uid-1", "uid-2", recent=("uid-1",) * 3, brakes=brakes)
    assert found == [("Hold", "brake-deployment"), ("RollBack", "above-threshold")]


def test_the_cluster_has_a_brake_of_its_own() -> None:
    """Rollbacks that are decided in the same pass count: whatever is wrong with everything is no rollout's fault."""
    found = decisions("a", "b", "c", "d", recent=("x", "y"), brakes=Brakes(deployment=3, cluster=4))
    assert found == [("RollBack", "above-threshold")] * 2 + [("Hold", "brake-cluster")] * 2


def test_holds_do_not_count() -> None:
    """What isn't rolled back uses nothing up."""
    guarded = replace(breached("a"), verdicts=(replace(BREACH, guard="older-than-rollout"),))
    circumstances = Circumstances(brakes=Brakes(deployment=3, cluster=1))
    assert [d.action for d in decide([guarded, breached("b")], circumstances)] == ["Hold", "RollBack"]
