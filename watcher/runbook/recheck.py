"""The breached check, asked again after the rollback: is it back to its baseline from before the rollout?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from watcher.judgement.judge import Question, judge
from watcher.judgement.model import Grid, Revision, Rollout, Verdict
from watcher.judgement.queries import fill, texts_of
from watcher.judgement.readings import Reading, Subjects, read_ratios, read_values
from watcher.judgement.thresholds import show
from watcher.policy.model import Check, Policy, Ratio, SmokeProbe, Threshold, Value
from watcher.runbook.case import Case
from watcher.runbook.ports import Probe, Prometheus
from watcher.systems.fault import Fault

# Back to the baseline: at most so many times the highest reading of before, or this share of the threshold. Few
# requests make single readings jump, and a service without errors has a baseline of 0.
AS_BEFORE = 1.5
OF_THRESHOLD = 0.5


class CheckAgain:
    """Ask the case's check of the revision that was rolled back to, one reading at a time.

    `baseline` gives the highest reading of the half hour before the rollout, None where nothing was measured then.
    """

    def __init__(
        self,
        prometheus: Prometheus,
        probe: Probe,
        policies: Callable[[], tuple[Policy, ...]],
        baseline: Callable[[Case], float | None],
    ) -> None:
        self._prometheus = prometheus
        self._probe = probe
        self._policies = policies
        self._baseline = baseline

    def __call__(self, case: Case, now: float) -> tuple[bool, str]:
        """Say whether the newest reading is under the threshold, and back to what it was before; and its numbers."""
        if not case.policy:
            return True, "check: none was breached, the rollback was ordered by hand"
        found = next(
            ((p, c) for p in self._policies() if p.name == case.policy for c in p.checks if c.name == case.check), None
        )
        if found is None:
            return False, f"check {case.policy}/{case.check} is no longer in the policies"
        policy, check = found
        if isinstance(check.kind, SmokeProbe):
            return self._ask_probe(check.kind, case)
        if not isinstance(check.kind, Ratio | Value):
            return True, f"{check.name}: the Job judged the revision that is gone; it is not run again"
        check = _as_breached(check, case)
        rollout = _rolled_back(case)
        reading = self._read(check, rollout, now)
        verdict = judge(Question(rollout, policy, check), reading, None)
        if verdict.outcome != "Healthy" or verdict.reason != "below-threshold":
            return False, verdict.evidence.said
        return self._against_baseline(case, verdict)

    def _against_baseline(self, case: Case, verdict: Verdict) -> tuple[bool, str]:
        said, observed, threshold = verdict.evidence.said, verdict.evidence.observed, verdict.check.threshold
        before = self._baseline(case)
        if before is None or observed is None or threshold is None:
            return True, f"{said}; nothing was measured before the rollout"
        highest = f"at most {show(before, threshold.unit)} before the rollout"
        if observed > max(AS_BEFORE * before, OF_THRESHOLD * (threshold.value or 0.0)):
            return False, f"{said}, and not back to its baseline: {highest}"
        return True, f"{said}; {highest}"

    def _read(self, check: Check, rollout: Rollout, now: float) -> Reading:
        grid = Grid(math.floor(now * 1000) / 1000, 1.0, 1)
        answers = [self._prometheus.range(fill(text, [rollout]), grid) for text in texts_of(check)]
        subjects = Subjects([rollout])
        if isinstance(check.kind, Value):
            return read_values(check.kind, subjects, answers[0])[rollout.key]
        return read_ratios(cast(Ratio, check.kind), subjects, answers[0], answers[1])[rollout.key]

    def _ask_probe(self, kind: SmokeProbe, case: Case) -> tuple[bool, str]:
        url = kind.address(case.namespace, case.deployment)
        try:
            status = self._probe(url, kind.timeout)
        except Fault as fault:
            return False, f"{url}: {fault.said}"
        return status == kind.status, f"{url} answers {status}"


def _as_breached(check: Check, case: Case) -> Check:
    """The check with the threshold that was breached, for one reading, however few its requests."""
    limit, old = case.evidence.get("threshold"), check.threshold
    threshold = Threshold(limit, old.written if old else "", old.unit if old else "number")
    kind = replace(check.kind, least_total=0.0, least_bad=0.0) if isinstance(check.kind, Ratio) else check.kind
    return replace(check, kind=kind, threshold=threshold, hold_for=0.0, control="none")


def _rolled_back(case: Case) -> Rollout:
    """The rollback as a rollout: to the target's ReplicaSet, from the moment of the patch."""
    target = Revision(
        case.bad + 1, str(case.result("confirm", "targetReplicaSet")), str(case.result("confirm", "targetUid"))
    )
    started = case.step("revert").finished or case.opened
    return Rollout(case.namespace, case.deployment, case.uid, target, (), started)
