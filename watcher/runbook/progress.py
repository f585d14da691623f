"""How a case moves from state to state: pure functions from a case and what happened to the next case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from watcher.judgement.model import Decision
from watcher.runbook.case import BY_HAND, Case, StepRecord, grounds
from watcher.runbook.step import Outcome, Step
from watcher.systems.fault import Fault

FIRST_WAIT = 1.0  # seconds after the first failure of a step; doubled by each further one
LONGEST_WAIT = 60.0
LONGEST_ASKED = 3600.0  # seconds that a system may ask us to wait (Retry-After)
GIVE_UP_AFTER = 24 * 3600.0
# A step that will look again is left for the next pass: other steps' ends set it off no sooner than this many seconds.
LOOK_AGAIN = 0.5
# Without these the case's work can't go on; one that could only not be said goes on all the same.
WORK = ("confirm", "plan", "revert", "verify", "migrate")
# What a case that turns over keeps as it is, and what is done anew with what was found or posted before in view.
# Who is on call is looked up again, for a hold may last for days.
KEPT = ("thread", "dashboard", "database-team")
ANEW = ("confirm", "page", "announce")
LOOK_AGAIN_HELD = 20.0  # seconds between two looks at what holds a rollback and may end by itself


def record_try(case: Case, step: str, now: float) -> Case:
    """Record that an attempt at a step begins."""
    record = case.step(step)
    first = record.first_try if record.first_try is not None else now
    return case.with_step(step, replace(record, state="trying", attempts=record.attempts + 1, first_try=first))


def record_outcome(case: Case, step: str, outcome: Outcome | Fault | str, now: float) -> Case:
    """Record what an attempt came to: an Outcome, a Fault, or the words of an unforeseen error."""
    record = case.step(step)
    if not isinstance(outcome, Outcome):
        return case.with_step(step, _failed(record, outcome, now))
    if outcome.hold:
        return held(case, step, outcome, now)
    if outcome.escalate:
        return escalated(case, outcome.escalate, outcome.reason)
    if outcome.again:
        case = case.with_step(outcome.again, StepRecord(attempts=case.step(outcome.again).attempts))
    sound = replace(record, error="", failures=0, first_try=None)
    if outcome.state == "later":
        again = replace(sound, state="waiting", next_try=now + LOOK_AGAIN, result=outcome.result)
        return case.with_step(step, again)
    done = replace(sound, state=outcome.state, finished=now, result=outcome.result or record.result)
    return _ended(case.with_step(step, done), outcome)


def _ended(case: Case, outcome: Outcome) -> Case:
    """End a case where a step's outcome is its end. What verifying under way comes to counts no longer.

    An end stays as it is, but for a migration that failed: that is told even where the case was over already.
    """
    new = outcome.case_outcome
    if not new or (case.outcome and new != "migration-failed"):
        return case
    if case.step("verify").state == "trying":
        case = case.with_step("verify", _anew(case.step("verify")))
    if case.outcome and case.step("report").over:
        case = case.with_step("report", _anew(case.step("report")))  # whoever was told of the other end is told of this
    return replace(case, outcome=new, ending=outcome.said, closed=None)


def _failed(record: StepRecord, fault: Fault | str, now: float) -> StepRecord:
    said = fault.said if isinstance(fault, Fault) else fault
    asked = fault.retry_after if isinstance(fault, Fault) else None
    wait = max(min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(record.failures, 10)), min(asked or 0.0, LONGEST_ASKED))
    begun = record.first_try if record.first_try is not None else now
    failed = replace(record, error=said, failures=record.failures + 1, first_try=begun)
    if now - begun >= GIVE_UP_AFTER:
        return replace(failed, state="failed", finished=now)
    return replace(failed, state="waiting", next_try=now + wait)


def held(case: Case, step: str, outcome: Outcome, now: float) -> Case:
    """Turn a rollback that had not happened yet into a hold. What the step found out is kept with it."""
    record, steps, reason = case.step(step), _without_work(case), outcome.reason or "paused"
    if outcome.result:
        found = {**outcome.result, "barred": outcome.hold, "barredFor": reason}
        looking = replace(record, state="waiting", error="", failures=0, first_try=None, next_try=now + LOOK_AGAIN_HELD)
        steps[step] = replace(looking, result=found)
    said = f"{outcome.hold}; {case.said}" if case.action == "RollBack" else case.said
    if case.reason == BY_HAND:
        said += "; order it again once that is over"
    same = (case.action, case.reason) == ("Hold", reason)
    turn = case.turn if same else case.turn + 1
    return replace(case, action="Hold", reason=reason, said=said, steps=steps, turn=turn)


def barred(case: Case) -> tuple[str, str] | None:
    """Say why a case's rollback must not be made, where a step found that out: the reason's name and its words.

    The case's own reason may be another one meanwhile: a pause, say.
    """
    step = next((case.step(name) for name in ("plan", "migrate") if case.result(name, "barred")), None)
    if step is None or case.action != "Hold" or case.outcome:
        return None
    return str(step.result.get("barredFor") or case.reason), str(step.result["barred"])


def escalated(case: Case, why: str, named: str = "") -> Case:
    """Turn a rollback that can't happen into an escalation; `named` is its reason."""
    said = f"{why}; {case.said}"
    reason = BY_HAND if case.reason == BY_HAND else named or "no-earlier-revision"
    return replace(case, action="Escalate", reason=reason, said=said, steps=_without_work(case), turn=case.turn + 1)


def _without_work(case: Case) -> dict[str, StepRecord]:
    """The steps less the rollback's. What was confirmed stays known; where it wasn't, it is recorded anew."""
    steps = {name: record for name, record in case.steps.items() if name not in WORK}
    confirm, migrate = case.steps.get("confirm"), case.steps.get("migrate")
    if confirm is not None:
        steps["confirm"] = confirm if confirm.over else _anew(confirm)
    if migrate is not None and migrate.state == "done":
        steps["migrate"] = migrate  # the schema is back already, whatever holds the code
    return steps


def unsettled(case: Case) -> bool:
    """Say whether a pass still decides about this case: a hold, or a rollback that hasn't been made.

    One that was no longer called for is decided again when the breach comes back. What a person ordered is theirs to
    decide; and once the schema is being taken back, the code has to follow, whatever the check says meanwhile.
    """
    if case.reason == BY_HAND:
        return case.outcome == "escalated"  # an order that came to nothing leaves the next decision to the passes
    if case.action == "RollBack" and case.result("migrate", "job"):
        return False
    undone = not case.rolled_back and ((case.is_open and not case.outcome) or case.outcome == "recovered")
    return case.action == "Hold" or (case.action == "RollBack" and undone)


def may_recover(case: Case) -> bool:
    """Say whether a check that is well again ends the case: there was a breach, and nothing is half-way."""
    ordered = bool(case.ordered) and not case.policy
    return not ordered and case.step("migrate").state != "done"


def busy(case: Case) -> bool:
    """Say whether a step is under way whose end decides what becomes of the case."""
    return any(case.step(name).state == "trying" for name in ("confirm", "plan", "migrate", "revert", "report"))


def converted(case: Case, decision: Decision) -> Case:
    """Turn a case over to what is decided now; paged under the same key, said in the same thread."""
    if decision.action == "KeepWatching" or (decision.verdict is None and decision.action != "Escalate"):
        raise ValueError("a case is converted only to something to do")
    turned = turned_over(case)
    return replace(
        turned,
        action=decision.action,
        reason=decision.reason,
        said=decision.said,
        scale_to_zero=decision.action == "RollBack" and not decision.rollout.earlier,
        **(grounds(decision.verdict) if decision.verdict else {}),
    )


def turned_over(case: Case) -> Case:
    """Open a case once more, with what is known and was posted; its other steps are done anew."""
    steps = {name: _anew(r) if r.state == "failed" else r for name, r in case.steps.items() if name in KEPT}
    steps |= {name: _anew(record) for name, record in case.steps.items() if name in ANEW}
    if "page" in steps:
        steps["page"] = replace(steps["page"], result=_incidents_left(case))
    if _resolved(case):
        steps.pop("database-team", None)
    return replace(case, steps=steps, outcome="", ending="", closed=None, turn=case.turn + 1)


def _incidents_left(case: Case) -> dict[str, Any]:
    """What of a case's incidents is still open when it turns over, as far as is known.

    A resolved one is followed by another one. Whatever was tried may have opened one of our own; then it is gone on
    with, and not left behind for an alert's. An alert's incident, and what ended long ago, is looked up again.
    """
    record = case.step("page")
    if _resolved(case):
        return {}
    kept: tuple[str, ...] = () if record.result.get("linked") else ("dedupKey",)
    if not case.outcome and not record.result.get("linked"):
        kept += ("url",)
    left = {key: value for key, value in record.result.items() if key in kept}
    if record.attempts and not record.result.get("linked"):
        left["dedupKey"] = case.incident_key
    return left


def _resolved(case: Case) -> bool:
    return case.outcome == "recovered" and case.step("report").over


def _anew(record: StepRecord) -> StepRecord:
    """The step to be done once more. Its attempts stay: what one of them may have posted is looked for."""
    return StepRecord(attempts=record.attempts, result=record.result)


def startable(case: Case, steps: Iterable[Step], now: float) -> list[Step]:
    """Choose the steps that can be tried now: due, and past their backoff."""
    return [s for s in steps if s.due(case) and _ready(case.step(s.name), now)]


def _ready(record: StepRecord, now: float) -> bool:
    """Past its backoff; one that lies further ahead than any backoff was written by a clock that was wrong."""
    return record.state != "failed" and not now < record.next_try <= now + LONGEST_ASKED


def same_again(before: StepRecord, after: StepRecord) -> bool:
    """A step looked again and saw the same: nothing that is worth writing down."""
    waits = after.state == "waiting" and not after.error and not before.error
    return waits and after.result == before.result


def closed_if_over(case: Case, steps: Sequence[Step], now: float) -> Case:
    """Close a case for which nothing is left to do; an escalation's outcome is that it was said."""
    if case.action == "RollBack" and any(case.step(name).state == "failed" for name in WORK) and not case.outcome:
        case = replace(case, outcome="gave-up")
    if case.action == "Escalate" and not case.outcome and case.step("page").over and case.step("announce").over:
        case = replace(case, outcome="escalated")
    if not case.outcome or case.closed is not None:
        return case
    left = [s for s in steps if s.due(case) and case.step(s.name).state != "failed"]
    return case if left else replace(case, closed=now)
