"""Smoke tests: what a labelled Job, or a run of HTTP probes, says of a rollout.

Probes are made in a lane of their own, one for each pass; a pass reads what the last ones came to.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from watcher.judgement.model import Rollout, SmokeResult
from watcher.policy.model import Check, SmokeJob, SmokeProbe
from watcher.runbook.lanes import Lanes
from watcher.runbook.ports import Probe
from watcher.runbook.recheck import probe_url
from watcher.systems.fault import Fault


@dataclass(frozen=True, slots=True)
class Run:
    """What the probes so far came to: failures in a row, and what the last one said."""

    failures: int = 0
    said: str = ""
    answered: bool = False


class SmokeTests:
    """Reads smoke tests' Jobs, and makes probes."""

    def __init__(self, probe: Probe, lanes: Lanes) -> None:
        self._probe = probe
        self._lanes = lanes
        self._runs: dict[tuple[tuple[str, int], str], Run] = {}
        self._lock = threading.Lock()

    def result(self, rollout: Rollout, check: Check, jobs: Iterable[dict[str, Any]]) -> SmokeResult:
        """Say what the check's smoke test says of the rollout now, and set the next probe off."""
        if isinstance(check.kind, SmokeProbe):
            return self._probed(rollout, check, check.kind)
        assert isinstance(check.kind, SmokeJob)
        return job_result(check, rollout, list(jobs))

    def forget_all_but(self, keys: frozenset[tuple[str, int]]) -> None:
        """Drop the runs of rollouts that are no longer under watch."""
        with self._lock:
            self._runs = {place: run for place, run in self._runs.items() if place[0] in keys}

    def _probed(self, rollout: Rollout, check: Check, kind: SmokeProbe) -> SmokeResult:
        place = (rollout.key, check.name)
        url = probe_url(kind, rollout.namespace, rollout.deployment)
        with self._lock:
            run = self._runs.get(place, Run())
        self._lanes.submit("probe", place, lambda: self._ask(place, url, kind))
        if run.failures >= kind.failures:
            return SmokeResult("failed", f"{check.name}: {run.said}, {run.failures} times running")
        if not run.said:
            return SmokeResult("waiting", f"{check.name}: {url} not asked yet")
        if not run.answered:
            return SmokeResult("unanswered", f"{check.name}: {run.said}")
        passed = run.failures == 0
        said = run.said if passed else f"{run.said}, {run.failures} of {kind.failures} times running"
        return SmokeResult("passed" if passed else "waiting", f"{check.name}: {said}")

    def _ask(self, place: tuple[tuple[str, int], str], url: str, kind: SmokeProbe) -> None:
        try:
            status = self._probe(url, kind.timeout)
        except Fault as fault:
            with self._lock:
                run = self._runs.get(place, Run())
                self._runs[place] = Run(run.failures, f"{url}: {fault.said}", answered=False)
            return
        with self._lock:
            run = self._runs.get(place, Run())
            failures = 0 if status == kind.status else run.failures + 1
            self._runs[place] = Run(failures, f"{url} answers {status}", answered=True)


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
    said = f"Job {jobs[-1]['metadata']['name']} still runs" if jobs else f"no Job tests {rollout.name} yet"
    return SmokeResult("waiting", f"{check.name}: {said}")
