"""Database migrations, before the revert: did the bad revision carry one, and can it be taken back?

What can't be told is never guessed: the Deployment is held, and the database team called. `migrate` takes it back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from watcher.policy.model import Migrations, Policy
from watcher.runbook.case import UNSETTLED_SCHEMA, Case
from watcher.runbook.jobs import failure_of, job_for, never_began, run_once, state_of, whole_output_of
from watcher.runbook.migrations import (
    Kind,
    asked_of,
    expected_by,
    flaw_in,
    migrations_of,
    settings_of,
    settled,
    settled_by,
)
from watcher.runbook.ports import Cluster, Schema
from watcher.runbook.step import Outcome
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import paths
from watcher.systems.kubernetes.faults import NotFound

ATTEMPTS = 5  # at what fails, before the Deployment is held for it; it is looked at again from then on
MOST_JOBS = 5  # that a plan is asked of in a row, where each fails
_HOLDS: dict[Kind, str] = {"irreversible": "irreversible-migration", "destructive": "destructive-migration"}


class Plan:
    """Settle, once the target is confirmed, whether the bad revision's migration can be taken back."""

    name = "plan"
    lane = "migrations"
    write_ahead = False

    def __init__(self, cluster: Cluster, schema: Schema, policies: Callable[[], tuple[Policy, ...]]) -> None:
        self._cluster = cluster
        self._schema = schema
        self._policies = policies

    def due(self, case: Case) -> bool:
        """It follows the confirmation; and goes on under the hold that it has brought about itself."""
        looking = case.action == "RollBack" or (case.action == "Hold" and case.reason == UNSETTLED_SCHEMA)
        confirmed = case.step("confirm").state == "done" and case.result("confirm", "targetRevision") is not None
        over = case.step("plan").over if case.action == "Hold" else settled(case) or case.step("plan").state == "failed"
        return looking and confirmed and not case.rolled_back and not case.outcome and not over

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Find out, wait for the plan's Job, or hold the case."""
        migrations = migrations_of(case, self._policies())
        if migrations is None or case.result("confirm", "scaleToZero"):
            return Outcome("skipped", said="no policy speaks of migrations for it")
        try:
            return self._settle(case, migrations, now)
        except Fault as fault:
            if fault.lasting or case.action == "Hold" or case.step("plan").failures >= ATTEMPTS - 1:
                return _unsettled(f"what the release did to the schema can't be found out: {fault}")
            raise

    def _settle(self, case: Case, migrations: Migrations, now: float) -> Outcome:
        try:
            bad = self._template(case, case.bad_replica_set)
            good = self._template(case, str(case.result("confirm", "targetReplicaSet")))
        except NotFound:
            said = "a revision's ReplicaSet is gone; choosing again"
            # What holds the case falls with it: the next pass decides, and then another target is confirmed.
            held = Outcome("done", {"gone": True}, said)
            return held if case.action == "Hold" else Outcome("later", said=said, again="confirm")
        query = migrations.version
        expected = expected_by(case, bad, good, migrations)
        current = self._schema(query) if query else None
        flaw = flaw_in(expected, current, query.empty if query else "")
        if flaw:
            return _unsettled(flaw)
        at = current or expected.bad
        facts = {
            "from": at,
            "to": expected.good,
            "target": case.result("confirm", "targetUid"),
            "order": migrations.order,
            "asked": asked_of(query) if query else "",
            "settings": settings_of(migrations),
        }
        if at == expected.good:
            return Outcome("done", {**facts, "carried": False}, f"it carried no migration: the schema is at {at}")
        if expected.reversible in ("true", "false"):
            kind: Kind = "reversible" if expected.reversible == "true" else "irreversible"
            return _settled(facts, migrations, kind, f'its pod template says reversible: "{expected.reversible}"')
        job = self._job(case, migrations, bad, facts)
        return job if isinstance(job, Outcome) else self._heard(case, migrations, job, facts, now)

    def _job(
        self, case: Case, migrations: Migrations, bad: dict[str, Any], facts: dict[str, Any]
    ) -> dict[str, Any] | Outcome:
        """The plan's Job, made now or before; or why there is none."""
        number = int(case.result("plan", "jobs") or 0)
        if number >= MOST_JOBS:
            said = f"whether migration {facts['from']} can be taken back isn't known: {number} plans have failed"
            return _unsettled(said, number)
        if not migrations.plan:
            said = "whether it can be taken back isn't known: there is no plan to ask, and its pod template doesn't say"
            return _unsettled(f"the release carried migration {facts['from']}; {said}")
        try:
            body = job_for(case, f"{number}-plan", bad, migrations, facts["to"])
        except ValueError as flaw:
            return _unsettled(f"no Job can be made: {flaw}")
        job = run_once(self._cluster, case, body)
        if _words(job) != _words(body):
            return _unsettled(f"Job {job['metadata']['name']} asked as the policy no longer does", number + 1)
        return job

    def _heard(
        self, case: Case, migrations: Migrations, job: dict[str, Any], facts: dict[str, Any], now: float
    ) -> Outcome:
        """What the plan says, once its Job is through."""
        state, why = state_of(job)
        so_far = case.step("plan").result
        since = float(so_far.get("since") or now)
        if state == "active" and never_began(job, since, now):
            said = f"Job {job['metadata']['name']}, the plan, is not through in its time: is it suspended?"
            return _unsettled(said, int(so_far.get("jobs") or 0))
        if state == "active":
            return Outcome("later", {**so_far, "since": since}, f"waiting for Job {job['metadata']['name']}")
        if state == "failed":
            said = f"the plan can't be read: {failure_of(self._cluster, case, job, why)}"
            return _unsettled(said, int(so_far.get("jobs") or 0) + 1)
        kind, said = settled_by(whole_output_of(self._cluster, case, job), facts["from"], facts["to"])
        if kind == "unknown":
            return _unsettled(f"whether migration {facts['from']} can be taken back isn't known: {said}")
        if kind == "nothing" and migrations.version:
            return _unsettled(f"the schema is at {facts['from']}, and yet the plan back says: {said}")
        if kind == "nothing":
            return Outcome("done", {**facts, "carried": False}, f"nothing is to be taken back: {said}")
        return _settled(facts, migrations, kind, said)

    def _template(self, case: Case, replica_set: str) -> dict[str, Any]:
        whole = self._cluster.get(paths.replica_sets(case.namespace, replica_set))
        template: dict[str, Any] = whole["spec"]["template"]
        return template


def _settled(facts: dict[str, Any], migrations: Migrations, kind: Kind, said: str) -> Outcome:
    """What the policy says of a migration of this kind."""
    result = {**facts, "carried": True, "reversible": kind, "said": said}
    moved = f"migration {facts['from']} (back to {facts['to']})"
    if kind == "reversible":
        return Outcome("done", result, f"it carried {moved}, which can be taken back: {said}")
    what = f"it carried {moved}, which is {kind}: {said}"
    if migrations.irreversible == "revert":
        return Outcome("done", {**result, "left": True}, f"{what}; the policy has the schema left as it is")
    return Outcome("later", result, what, hold=what, reason=_HOLDS[kind])


def _words(job: dict[str, Any]) -> object:
    return job["spec"]["template"]["spec"]["containers"][0].get("command")


def _unsettled(why: str, jobs: int = 0) -> Outcome:
    """Hold, and look again; `jobs` counts the plans' Jobs that were of no use, so that another one is asked."""
    return Outcome("later", {"unsettled": True, "jobs": jobs}, why, hold=why, reason=UNSETTLED_SCHEMA)
