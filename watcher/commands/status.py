"""`canary-watch status`: rollouts under watch, their verdicts and holds, and the open cases, as of now.

It looks for itself, as a pass in a dry run does, so that it tells the truth even where no daemon runs, and changes
nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TextIO

from watcher.daemon import Daemon
from watcher.judgement.model import Decision, Verdict
from watcher.judgement.rollouts import watch_ends, write_time
from watcher.runbook.case import Case
from watcher.systems.fault import Fault
from watcher.watch import Pass

READY = 10.0  # seconds to wait for the cluster's first lists


def status(daemon: Daemon, output: str, out: TextIO) -> int:
    """Look once and print what was seen. Raises Fault where the cluster can't be read."""
    try:
        daemon.desk.load(time.time(), prune=False)  # first: where the cluster can't be read, that is said at once
        daemon.watch_only()
        missing = daemon.wait_ready(READY)
        if missing:
            raise Fault("Kubernetes", missing)
        now = time.time()
        seen = daemon.watch.look(now, daemon.desk.acted_on())
        cases = sorted((c for c in daemon.desk.every() if c.is_open), key=lambda c: c.opened)
    finally:
        daemon.end()
    if output == "json":
        json.dump(as_json(seen, cases), out, indent=2, ensure_ascii=False)
        out.write("\n")
    else:
        out.write(as_text(seen, cases, daemon.connection.namespace))
    return 0


def as_json(seen: Pass, cases: Sequence[Case]) -> dict[str, Any]:
    """The status as one JSON object: `rollouts` and `cases`."""
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
        for w, d in zip(seen.watched, seen.decisions, strict=True)
    ]
    return {"rollouts": rollouts, "cases": [asdict(case) for case in cases]}


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


def as_text(seen: Pass, cases: Sequence[Case], own_namespace: str) -> str:
    """The status as two tables. The namespace is named where it holds no case: another may have been meant."""
    rows = [("ROLLOUT", "REVISION", "WATCHED UNTIL", "DECISION", "WHY")]
    for watched, decision in zip(seen.watched, seen.decisions, strict=True):
        ends = write_time(watch_ends(watched.rollout, watched.policies))
        rows.append((decision.rollout.name, str(decision.rollout.new.number), ends, _decision(decision), decision.said))
        rows += [("", "", "", f"  {v.outcome} ({v.reason})", f"  {v.evidence.said}") for v in decision.verdicts]
    text = table(rows) if seen.watched else "No rollout is under watch.\n"
    if not cases:
        return f"{text}\nNo case is open in Namespace {own_namespace}.\n"
    listed = [("CASE", "OPENED", "ACTION", "STEPS", "WHY")]
    listed += [(c.id, write_time(c.opened), f"{c.action} ({c.reason})", _steps(c), c.said) for c in cases]
    return f"{text}\n{table(listed)}"


def _decision(decision: Decision) -> str:
    return f"{decision.action} ({decision.reason})"


def _steps(case: Case) -> str:
    shown = (
        f"{name} {record.state}{f' ({record.error})' if record.error else ''}" for name, record in case.steps.items()
    )
    return ", ".join(shown) or "none yet"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Lay rows out in columns; the last one is as long as it likes."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    lines = ("  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]]) for row in rows)
    return "".join(line.rstrip() + "\n" for line in lines)
