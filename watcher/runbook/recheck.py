"""The breached check, asked again after the rollback: is it back under its threshold?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from watcher.judgement.judge import Question, judge
from watcher.judgement.model import Grid, Revision, Rollout
from watcher.judgement.queries import fill, texts_of
from watcher.judgement.readings import Reading, Subjects, read_ratios, read_values
from watcher.policy.model import Check, Policy, Ratio, SmokeProbe, Threshold, Value
from watcher.runbook.case import Case
from watcher.runbook.ports import Probe, Prometheus
from watcher.systems.fault import Fault


class CheckAgain:
    """Ask the case's check of the revision that was rolled back to, one reading at a time."""

    def __init__(self, prometheus: Prometheus, probe: Probe, policies: Callable[[], tuple[Policy, ...]]) -> None:
        self._prometheus = prometheus
        self._probe = probe
        self._policies = policies

    def __call__(self, case: Case, now: float) -> tuple[bool, str]:
        """Say whether the newest reading is under the threshold that was breached, and its numbers."""
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
        return verdict.outcome == "Healthy" and verdict.reason == "below-threshold", verdict.evidence.said

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
