"""Database migrations, taken back: the down Job runs once, and the schema is read again. `plan` has settled it before.

"You must also revert the migration" (runbook, Database Migrations). A Job that failed is said and paged, and never
repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from watcher.policy.model import Migrations, Policy
from watcher.runbook.case import Case
from watcher.runbook.confirm import held_by, newest_revision
from watcher.runbook.duty import Duty
from watcher.runbook.jobs import failure_of, job_for, run_once, state_of
from watcher.runbook.migrations import before_revert, carried, migrations_of
from watcher.runbook.ports import Cluster, Schema
from watcher.runbook.step import Outcome
from watcher.runbook.verify import changed_again
from watcher.systems.kubernetes import paths
from watcher.systems.kubernetes.faults import NotFound


class Migrate:
    """Take the migration back, after the revert or before it, as the policy says."""

    name = "migrate"
    lane = "migrations"
    write_ahead = False

    def __init__(
        self, cluster: Cluster, schema: Schema, policies: Callable[[], tuple[Policy, ...]], duty: Duty
    ) -> None:
        self._cluster = cluster
        self._schema = schema
        self._policies = policies
        self._duty = duty

    def due(self, case: Case) -> bool:
        """Where there is something to take back; a Job that was begun is seen through, however late it is."""
        if case.action != "RollBack" or not carried(case) or case.step("migrate").over:
            return False
        if before_revert(case) and not case.rolled_back:
            return not case.outcome
        return case.rolled_back and case.outcome in ("", "not-verified")

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Run the Job, wait for it, and read the schema's version back."""
        migrations = migrations_of(case, self._policies())
        if migrations is None:
            return self._failed(case, "no policy speaks of migrations for it any more")
        job = self._job(case, migrations, now)
        if isinstance(job, Outcome):
            return job
        name = job["metadata"]["name"]
        state, why = state_of(job)
        if state == "active":
            return Outcome("later", {"job": name}, f"waiting for Job {name}")
        if state == "failed":
            return self._failed(case, failure_of(self._cluster, case, job, why), name)
        wanted = str(case.result("plan", "to"))
        if migrations.version is None:
            said = f"Job {name} took the schema back to {wanted}; nothing says how to read that back"
            return Outcome("done", {"job": name, "matches": True, "said": said}, said)
        current = self._schema(migrations.version)
        if current != wanted:
            return self._failed(case, f"Job {name} is complete, and yet the schema is at {current}, not {wanted}", name)
        said = f"Job {name} took the schema back from {case.result('plan', 'from')} to {wanted}, as was read back"
        return Outcome("done", {"job": name, "matches": True, "said": said}, said)

    def _job(self, case: Case, migrations: Migrations, now: float) -> dict[str, Any] | Outcome:
        """The Job, made now or before; or why there can be none. What was begun isn't asked about once more."""
        begun = case.result("migrate", "job")
        if begun:
            return self._cluster.get(paths.jobs(case.namespace, str(begun)))
        hindered = self._hindered(case, now)
        if hindered:
            return hindered
        bad = self._cluster.get(paths.replica_sets(case.namespace, case.bad_replica_set))
        try:
            body = job_for(case, "down", bad["spec"]["template"], migrations, str(case.result("plan", "to")))
        except ValueError as flaw:
            return self._failed(case, f"no Job can be made: {flaw}")
        if not case.rolled_back:
            self._duty.demand(case)  # it is a change like the revert, and comes first
        return run_once(self._cluster, case, body)

    def _hindered(self, case: Case, now: float) -> Outcome | None:
        """A release that came meanwhile may need the schema as it is; a pause holds what comes before the revert."""
        said = "the Deployment was changed again before its migration was taken back; the schema was left as it is"
        changed = Outcome("done", {"said": said}, said, case_outcome="overtaken")
        try:
            deployment = self._cluster.get(paths.deployments(case.namespace, case.deployment))
        except NotFound:
            return changed
        if case.rolled_back:
            return changed if changed_again(case, deployment) else None
        if newest_revision(deployment) != case.bad:
            return changed
        held = held_by(self._cluster, deployment, case.result("confirm", "pausingNamespaces") or (), now)
        return Outcome("later", hold=held) if held else None

    def _failed(self, case: Case, why: str, job: str = "") -> Outcome:
        """Before the revert, the Deployment is held; after it, the case ends badly. Either calls the database team."""
        said = f"the migration could not be taken back: {why}"
        result = {"job": job, "failed": True, "said": said}
        if not case.rolled_back:
            return Outcome("later", result, said, hold=said, reason="down-job-failed")
        return Outcome("done", result, said, case_outcome="migration-failed")
