"""Decide over all rollouts at once: verdicts and circumstances in, one decision for each rollout out.

Unknown never rolls back. A breach that is held back says which hold did it, first of those in the order below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from watcher.judgement.model import Decision, Pause, Rollout, Verdict
from watcher.judgement.pauses import say_pause
from watcher.judgement.rollouts import target_of
from watcher.policy.model import Policy

# Reasons that ask nothing of this rollout, and so don't stand in the way of `proven`.
NOT_APPLICABLE = frozenset({"no-data", "no-smoke-test"})

GUARDS: Mapping[str, str] = {
    "older-than-rollout": "the breach is older than the rollout",
    "past-unknown": "it started too long ago to say whether the breach is older",
    "not-worse-than-control": "the new revision is not worse than its control",
    "never-answered-right": "the probe has not answered right since the rollout's start, so it may have failed before",
}

# So large a share of a rollout's passes must have been healthy: one healthy reading proves nothing of a silent watch.
LEAST_HEALTHY = 0.5


@dataclass(frozen=True, slots=True)
class Judged:
    """A rollout under watch, the policies that are its, and the verdicts of their checks.

    `ended`: its watch is over, and only a last judgement is sought; nothing is rolled back any more.
    """

    rollout: Rollout
    policies: tuple[Policy, ...]
    verdicts: tuple[Verdict, ...]
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Brakes:
    """How many rollbacks an hour are made before a person has to look: of one Deployment, and in the cluster."""

    deployment: int = 3
    cluster: int = 10


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What else counts: pauses in force, the revisions that a case has acted on (the case's id by rollout).

    `recent` names the Deployment (by UID) of each rollback of the last hour, `brakes` how many there may be. `barred`
    are rollouts whose case found that they must not be taken back: its reason and its words. `taken_back` are the
    ReplicaSets (by the Deployment's UID and their own name) that were rolled back, with the case and its revision.
    """

    pauses: Mapping[tuple[str, int], Pause] = field(default_factory=dict)
    acted_on: Mapping[tuple[str, int], str] = field(default_factory=dict)
    recent: tuple[str, ...] = ()
    brakes: Brakes = Brakes()
    barred: Mapping[tuple[str, int], tuple[str, str]] = field(default_factory=dict)
    taken_back: Mapping[tuple[str, str], tuple[str, int]] = field(default_factory=dict)


def decide(every: Iterable[Judged], circumstances: Circumstances) -> tuple[Decision, ...]:
    """Give one decision for each rollout, in the order of `every`; each rollback counts for the brakes at once."""
    decisions: list[Decision] = []
    recent = list(circumstances.recent)
    for judged in every:
        decision = _braked(_decide_one(judged, circumstances), recent, circumstances.brakes)
        if decision.action == "RollBack":
            recent.append(decision.rollout.uid)
        decisions.append(decision)
    return tuple(decisions)


def _braked(decision: Decision, recent: Sequence[str], brakes: Brakes) -> Decision:
    """Hold a rollback where there were too many in the last hour: more of the same would not help."""
    if decision.action != "RollBack":
        return decision
    mine = recent.count(decision.rollout.uid)
    if mine >= brakes.deployment:
        said = f"{mine} rollbacks of this Deployment in the last hour are enough (brakes); {decision.said}"
        return replace(decision, action="Hold", reason="brake-deployment", said=said)
    if len(recent) >= brakes.cluster:
        said = f"{len(recent)} rollbacks in this cluster in the last hour are enough (brakes); {decision.said}"
        return replace(decision, action="Hold", reason="brake-cluster", said=said)
    return decision


def _decide_one(judged: Judged, circumstances: Circumstances) -> Decision:
    breached = [v for v in judged.verdicts if v.outcome == "Breached"]
    put_back = _put_back(judged, circumstances)
    if put_back:
        verdict = next(iter(breached or judged.verdicts), None)
        return Decision("Escalate", "put-back", put_back, judged.rollout, verdict, judged.verdicts)
    if not breached:
        return _no_breach(judged)
    if judged.ended:
        said = f"its watch is over; {breached[0].evidence.said}"
        return Decision("KeepWatching", "watch-ended", said, judged.rollout, breached[0], judged.verdicts)
    worst = next((v for v in breached if not v.guard), breached[0])
    action, reason, said = _breach(judged.rollout, worst, circumstances)
    return Decision(action, reason, said, judged.rollout, worst, judged.verdicts)  # type: ignore[arg-type]


def _put_back(judged: Judged, circumstances: Circumstances) -> str:
    """Say so where somebody put a revision back that was rolled back; it is not rolled back again, nor waited for.

    Whoever does it under a pause knows what they do.
    """
    rollout = judged.rollout
    case, former = circumstances.taken_back.get((rollout.uid, rollout.new.replica_set), ("", 0))
    settled = not case or former == rollout.new.number or rollout.new.verdict != "condemned" or judged.ended
    if settled or rollout.key in circumstances.acted_on or rollout.key in circumstances.pauses:
        return ""
    return f"revision {former}, which was rolled back, was put back as revision {rollout.new.number} (case {case})"


def _breach(rollout: Rollout, verdict: Verdict, circumstances: Circumstances) -> tuple[str, str, str]:
    """Decide about a breach: the action, the reason's name, and the sentence."""
    said = verdict.evidence.said
    case = circumstances.acted_on.get(rollout.key)
    if case:
        return "Hold", "already-acted-on", f"revision {rollout.new.number} was already acted on in case {case}; {said}"
    pause = circumstances.pauses.get(rollout.key)
    if pause:
        return "Hold", "paused", f"{say_pause(pause)}; {said}"
    if rollout.spec_paused:
        return "Hold", "spec-paused", f"the Deployment's spec.paused is set; {said}"
    if verdict.guard:
        return "Hold", verdict.guard, f"{GUARDS[verdict.guard]}; {said}"
    if rollout.key in circumstances.barred:
        reason, why = circumstances.barred[rollout.key]
        return "Hold", reason, f"{why}; {said}"
    if not rollout.earlier:
        # A later number had earlier ones, which are gone: with revisionHistoryLimit 0 that is every release.
        if verdict.policy.no_earlier_revision == "scale-to-zero" and rollout.new.number == 1:
            return "RollBack", verdict.reason, said
        return "Escalate", "no-earlier-revision", f"there is no earlier revision to roll back to; {said}"
    if verdict.policy.rollback_to and target_of(rollout, verdict.policy.rollback_to) is None:
        fixed = (
            f"revision {verdict.policy.rollback_to}, which the policy demands, is gone, was rolled back or is bad now"
        )
        return "Escalate", "fixed-revision-unusable", f"{fixed}; {said}"
    if target_of(rollout) is None:
        return "Escalate", "every-earlier-revision-condemned", f"every earlier revision was rolled back itself; {said}"
    return "RollBack", verdict.reason, said


def _no_breach(judged: Judged) -> Decision:
    rollout, verdicts = judged.rollout, judged.verdicts
    pending = [v for v in verdicts if v.reason == "not-for-long-enough"]
    unknown = [v for v in verdicts if v.outcome == "Unknown" and v.reason not in NOT_APPLICABLE]
    healthy = [v for v in verdicts if v.outcome == "Healthy"]
    for found, reason in ((pending, "not-for-long-enough"), (unknown, "unknown"), (healthy, "healthy")):
        if found:
            return Decision("KeepWatching", reason, found[0].evidence.said, rollout, found[0], verdicts)
    first = next(iter(verdicts), None)
    said = first.evidence.said if first else "no check applies"
    return Decision("KeepWatching", "unknown", said, rollout, first, verdicts)


def came_through(judged: Judged, decision: Decision, healthy_share: float) -> bool:
    """Say whether the rollout has come through its whole watch healthy, and so is proven.

    At the watch's end at least one check must be Healthy, and none Unknown that could have been asked; and so it was
    in `healthy_share` of the passes made for it, this one included (0 to 1). While pods of an earlier revision are
    left, it may be them that are healthy: new ones that never get ready don't serve.
    """
    alone = not any(earlier.replicas for earlier in judged.rollout.earlier)
    healthy = decision.action == "KeepWatching" and decision.reason == "healthy" and healthy_share >= LEAST_HEALTHY
    return alone and judged.ended and healthy


def say_counts(decisions: Sequence[Decision]) -> str:
    """Sum a pass's decisions up: `2 KeepWatching, 1 Hold (paused)`; `nothing under watch` where there are none."""
    counts: dict[str, int] = {}
    for decision in decisions:
        name = decision.action if decision.reason == "healthy" else f"{decision.action} ({decision.reason})"
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{n} {name}" for name, n in sorted(counts.items())) or "nothing under watch"
