"""Smoke tests: what a labelled Job, or a run of HTTP probes, says of a rollout.

Probes are made in a lane of their own, one for each pass; a pass reads what the last ones came to.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from watcher.judgement.model import Rollout, SmokeResult
from watcher.policy.model import Check, SmokeProbe
from watcher.runbook.lanes import Lanes
from watcher.runbook.ports import Probe
from watcher.systems.fault import Fault

# The rollout's key, the policy's and the check's name: two policies may call a check the same.
Place = tuple[tuple[str, int], str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """What the probes so far came to: failures in a row, the last answer, and why there was none since (`silent`).

    `right`: one was answered right. It is kept in memory alone: after a restart a right answer is waited for again.
    """

    failures: int = 0
    said: str = ""
    silent: str = ""
    right: bool = False


class SmokeTests:
    """Reads smoke tests' Jobs, and makes probes."""

    def __init__(self, probe: Probe, lanes: Lanes) -> None:
        self._probe = probe
        self._lanes = lanes
        self._runs: dict[Place, Run] = {}
        self._lock = threading.Lock()

    def result(self, policy: str, rollout: Rollout, check: Check, jobs: Iterable[dict[str, Any]]) -> SmokeResult:
        """Say what the check's smoke test says of the rollout now, and set the next probe off."""
        if isinstance(check.kind, SmokeProbe):
            return self._probed((rollout.key, policy, check.name), rollout, check.kind)
        return job_result(check, rollout, list(jobs))

    def forget_all_but(self, keys: frozenset[tuple[str, int]]) -> None:
        """Drop the runs of rollouts that are no longer under watch."""
        with self._lock:
            self._runs = {place: run for place, run in self._runs.items() if place[0] in keys}

    def _probed(self, place: Place, rollout: Rollout, kind: SmokeProbe) -> SmokeResult:
        name = place[2]
        url = kind.address(rollout.namespace, rollout.deployment)
        with self._lock:
            run = self._runs.get(place, Run())
        self._lanes.submit("probe", place, lambda: self._ask(place, url, kind))
        if run.failures >= kind.failures:
            # Nobody probed before the rollout: only a right answer since tells that the failure isn't older.
            guard = "" if run.right else "never-answered-right"
            return SmokeResult("failed", f"{name}: {run.said}, {run.failures} times running", guard)
        if run.silent:
            return SmokeResult("unanswered", f"{name}: {run.silent}")
        if not run.said:
            return SmokeResult("pending", f"{name}: {url} not asked yet")
        passed = run.failures == 0
        said = run.said if passed else f"{run.said}, {run.failures} of {kind.failures} times running"
        return SmokeResult("passed" if passed else "pending", f"{name}: {said}")

    def _ask(self, place: Place, url: str, kind: SmokeProbe) -> None:
        try:
            status = self._probe(url, kind.timeout)
        except Fault as fault:
            with self._lock:
                run = self._runs.get(place, Run())
                self._runs[place] = replace(run, silent=f"{url}: {fault.said}")
            return
        with self._lock:
            run = self._runs.get(place, Run())
            right = status == kind.status
            failures = 0 if right else run.failures + 1
            self._runs[place] = Run(failures, f"{url} answers {status}", right=right or run.right)


def job_result(check: Check, rollout: Rollout, jobs: list[dict[str, Any]]) -> SmokeResult:
    """Read the newest Job that has ended: it failed, or it is complete. A Job that still runs says nothing yet."""
    for job in reversed(jobs):
        name = job["metadata"]["name"]
        for condition in (job.get("status") or {}).get("conditions") or []:
            if condition.get("status") != "True":
                continue
            if condition.get("type") == "Failed":
                why = condition.get("message") or condition.get("reason") or "no reason given"
                return SmokeResult("failed", f"{check.name}: Job {name} failed: {why}")
            if condition.get("type") == "Complete":
                return SmokeResult("passed", f"{check.name}: Job {name} is complete")
    if jobs:
        return SmokeResult("pending", f"{check.name}: Job {jobs[-1]['metadata']['name']} still runs")
    return SmokeResult("none", f"{check.name}: no Job tests {rollout.name} yet")
