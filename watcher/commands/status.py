"""`canary-watch status`: rollouts under watch, their verdicts and holds, and the open cases, as of now.

It looks for itself, as a pass in a dry run does, so that it tells the truth even where no daemon runs, and changes
nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from watcher.daemon import Daemon
from watcher.judgement.model import Decision, Verdict
from watcher.judgement.rollouts import watch_ends, write_time
from watcher.runbook.case import Case, StepRecord
from watcher.systems.fault import Fault
from watcher.watch import Pass

READY = 10.0  # seconds to wait for the cluster's first lists


@dataclass(frozen=True, slots=True)
class Status:
    """What there is to show: a look, the open cases of the daemon's own `namespace`, and the steps in their order."""

    seen: Pass
    cases: tuple[Case, ...]
    namespace: str
    order: tuple[str, ...]

    def steps(self, case: Case) -> list[tuple[str, StepRecord]]:
        """A case's steps as the runbook has them."""
        return [(name, case.steps[name]) for name in self.order if name in case.steps]


def status(daemon: Daemon, output: str, out: TextIO) -> int:
    """Look once and print what was seen. Raises Fault where the cluster can't be read."""
    found = look(daemon)
    if output == "json":
        json.dump(as_json(found), out, indent=2, ensure_ascii=False)
        out.write("\n")
    else:
        out.write(as_text(found))
    return 0


def look(daemon: Daemon) -> Status:
    """Look once. Raises Fault where the cluster can't be read."""
    try:
        daemon.desk.load(time.time(), prune=False)  # first: where the cluster can't be read, that is said at once
        daemon.watch_only()
        missing = daemon.wait_ready(READY)
        if missing:
            raise Fault("Kubernetes", missing)
        seen = daemon.watch.look(time.time())
    finally:
        daemon.end()
    cases = sorted((c for c in daemon.desk.every() if c.is_open), key=lambda c: c.opened)
    return Status(seen, tuple(cases), daemon.connection.namespace, daemon.step_names)


def as_json(found: Status) -> dict[str, Any]:
    """The status as one JSON object: `namespace` (the daemon's own), `rollouts` and `cases`; times are RFC 3339."""
    rollouts = [
        {
            "namespace": d.rollout.namespace,
            "deployment": d.rollout.deployment,
            "revision": d.rollout.new.number,
            "started": write_time(d.rollout.started),
            "watchEnds": write_time(watch_ends(d.rollout, w.policies)),
            "decision": d.action,
            "reason": d.reason,
            "said": d.said,
            "checks": [_check(v) for v in d.verdicts],
        }
        for w, d in zip(found.seen.watched, found.seen.decisions, strict=True)
    ]
    return {
        "namespace": found.namespace,
        "rollouts": rollouts,
        "cases": [_case(case, found.steps(case)) for case in found.cases],
    }


def _check(verdict: Verdict) -> dict[str, Any]:
    return {
        "policy": verdict.policy.name,
        "check": verdict.check.name,
        "verdict": verdict.outcome,
        "reason": verdict.reason,
        "guard": verdict.guard,
        "said": verdict.evidence.said,
        "observed": verdict.evidence.observed,
        "threshold": verdict.evidence.threshold,
    }


def _case(case: Case, steps: Sequence[tuple[str, StepRecord]]) -> dict[str, Any]:
    return {
        "id": case.id,
        "namespace": case.namespace,
        "deployment": case.deployment,
        "revision": case.bad,
        "opened": write_time(case.opened),
        "action": case.action,
        "reason": case.reason,
        "said": case.said,
        "policy": case.policy,
        "check": case.check,
        "steps": [
            {
                "step": name,
                "state": step.state,
                "attempts": step.attempts,
                "error": step.error,
                "missing": _missing(step),
            }
            for name, step in steps
        ],
    }


def as_text(found: Status) -> str:
    """The status as two tables. The namespace is named where it holds no case: another may have been meant."""
    rows = [("ROLLOUT", "REVISION", "WATCHED UNTIL", "DECISION", "WHY")]
    for watched, decision in zip(found.seen.watched, found.seen.decisions, strict=True):
        ends = write_time(watch_ends(watched.rollout, watched.policies))
        rows.append((decision.rollout.name, str(decision.rollout.new.number), ends, _decision(decision), decision.said))
        rows += [("", "", "", f"  {v.outcome} ({v.reason})", f"  {_named(v)}") for v in decision.verdicts]
    text = table(rows) if found.seen.watched else "No rollout is under watch.\n"
    if not found.cases:
        return f"{text}\nNo case is open in Namespace {found.namespace}.\n"
    listed = [("CASE", "OPENED", "ACTION", "STEP", "WHY")]
    for case in found.cases:
        listed.append((case.id, write_time(case.opened), f"{case.action} ({case.reason})", "", case.said))
        listed += [("", "", "", f"{name} {step.state}", _missing(step)) for name, step in found.steps(case)]
    return f"{text}\n{table(listed)}"


def _decision(decision: Decision) -> str:
    return f"{decision.action} ({decision.reason})"


def _named(verdict: Verdict) -> str:
    return f"{verdict.policy.name}/{verdict.check.name}: {verdict.evidence.said}"


def _missing(step: StepRecord) -> str:
    """What keeps a step from being done: its last failure, else what it still waits for."""
    waits = [] if step.over else [str(part["said"]) for part in step.result.get("parts") or [] if not part["holds"]]
    return step.error or "; ".join(waits)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out in columns; the last one is as long as it likes."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lines = ("  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]]) for row in rows)
    return "".join(line.rstrip() + "\n" for line in lines)
