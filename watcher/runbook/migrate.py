"""Database migrations, taken back: the down Job runs once, and the schema is read again. `plan` has settled it before.

"You must also revert the migration" (runbook, Database Migrations). A Job that failed is said and paged, and never
repeated: there is one down Job for a case, whatever becomes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from watcher.policy.model import Migrations, Policy
from watcher.runbook.case import Case
from watcher.runbook.confirm import held_by, newest_revision
from watcher.runbook.duty import Duty, stale_order
from watcher.runbook.jobs import failure_of, job_for, job_name, made_before, never_began, run_once, state_of
from watcher.runbook.migrations import before_revert, carried, migrations_of, settings_of, taken_back
from watcher.runbook.ports import Cluster, Schema
from watcher.runbook.step import Outcome
from watcher.runbook.templates import same_template
from watcher.runbook.verify import changed_again, observed
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import paths
from watcher.systems.kubernetes.faults import NotFound

READ_BACK_WITHIN = 60.0  # seconds after the Job's end in which a replica of the database may still give the old version
WAIT_FOR_PODS = 0.5  # of `verify_within`: so long are the bad revision's pods waited for


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
        record = case.step("migrate")
        through = record.state == "failed" or (record.over and (case.rolled_back or taken_back(case)))
        if case.action != "RollBack" or not carried(case) or through:
            return False
        if before_revert(case) and not case.rolled_back:
            return not case.outcome
        begun = bool(record.result.get("job"))
        return case.rolled_back and (begun or case.outcome in ("", "not-verified"))

    def carry_out(self, case: Case, now: float) -> Outcome:
        """Run the Job, wait for it, and read the schema's version back."""
        try:
            return self._work(case, now)
        except Fault as fault:
            if not fault.lasting or case.result("migrate", "job"):
                raise
            return _failed(case, fault.said)

    def _work(self, case: Case, now: float) -> Outcome:
        found = migrations_of(case, self._policies())
        migrations = found if found and settings_of(found) == case.result("plan", "settings") else None
        job = made_before(self._cluster, case, job_name(case, "down"))
        if job is not None:
            return self._followed(case, job, migrations, now)
        if case.result("migrate", "job"):
            return _failed(case, f"Job {case.result('migrate', 'job')} is gone, and nobody knows how it ended")
        if migrations is None:
            return _failed(case, "the policy no longer says what it said when this was settled")
        return self._hindered(case, now) or self._begun(case, migrations, now)

    def _begun(self, case: Case, migrations: Migrations, now: float) -> Outcome:
        """Make the Job, unless the schema is no longer what it was when that was settled."""
        try:
            bad = self._cluster.get(paths.replica_sets(case.namespace, case.bad_replica_set))
        except NotFound:
            return _failed(case, "the bad revision's ReplicaSet is gone, and with it what the Job is made from")
        pods = int((bad.get("status") or {}).get("replicas") or 0)
        waited = now - (case.step("revert").finished or now)
        # The bad code needs its schema, and an init container of a new pod of it may migrate forward again. A target
        # that doesn't come up may be waiting for its own.
        if case.rolled_back and pods and waited < WAIT_FOR_PODS * case.verify_within:
            return Outcome("later", said=f"waiting for {pods} pods of revision {case.bad} to go")
        before, wanted = str(case.result("plan", "from")), str(case.result("plan", "to"))
        current = self._schema(migrations.version) if migrations.version else before
        if current == wanted:
            return _done(case, f"the schema is back at {wanted} already; no Job was needed")
        if current != before:
            return _failed(case, f"the schema is at {current} by now, which is neither {before} nor {wanted}")
        try:
            body = job_for(case, "down", bad["spec"]["template"], migrations, wanted)
        except ValueError as flaw:
            return _failed(case, f"no Job can be made: {flaw}")
        stale = "" if case.rolled_back else stale_order(case, now)
        if stale:
            return Outcome("later", escalate=stale)
        if not case.rolled_back:
            self._duty.demand(case)  # it is a change like the revert, and comes first
        elif not self._duty.leading():
            raise Fault("canary-watch", "this daemon no longer leads; the one that does goes on")
        return self._followed(case, run_once(self._cluster, case, body), migrations, now)

    def _followed(self, case: Case, job: dict[str, Any], migrations: Migrations | None, now: float) -> Outcome:
        """Wait for the Job; then read the version back, for a while where a replica may be behind."""
        name, wanted = job["metadata"]["name"], str(case.result("plan", "to"))
        state, why = state_of(job)
        since = float(case.result("migrate", "since") or now)
        if state == "active" and never_began(job, since, now):
            return _failed(case, f"Job {name} is not through in its time: is it suspended?", name)
        if state == "active":
            return Outcome("later", {"job": name, "since": since}, f"waiting for Job {name}")
        if state == "failed":
            return self._lost(case, failure_of(self._cluster, case, job, why), migrations, name)
        if migrations is None:
            return _failed(case, f"Job {name} is complete, but the policy no longer says how to read that back", name)
        if migrations.version is None:
            return _done(case, f"Job {name} took the schema back to {wanted}; nothing says how to read that back", name)
        current = self._schema(migrations.version)
        if current == wanted:
            said = f"Job {name} took the schema back from {case.result('plan', 'from')} to {wanted}, as was read back"
            return _done(case, said, name)
        complete = float(case.result("migrate", "complete") or now)
        if 0 <= now - complete < READ_BACK_WITHIN:
            said = f"Job {name} is complete; the schema is still read as {current}"
            return Outcome("later", {"job": name, "complete": complete}, said)
        why = f"Job {name} is complete, and yet the schema is at {current}, not {wanted}"
        return self._hindered(case, now) or _failed(case, why, name)

    def _lost(self, case: Case, why: str, migrations: Migrations | None, name: str) -> Outcome:
        """A Job may be called failed though it did its work: a sidecar that didn't end, a node that was lost."""
        wanted = case.result("plan", "to")
        try:
            current = self._schema(migrations.version) if migrations and migrations.version else ""
        except Fault:
            current = ""
        if current == wanted:
            return _done(case, f"the schema is back at {wanted}, as was read back, though {why}", name)
        return _failed(case, f"{why}; the schema is at {current}" if current else why, name)

    def _hindered(self, case: Case, now: float) -> Outcome | None:
        """A release that came meanwhile may need the schema as it is; a pause holds what comes before the revert."""
        said = "the Deployment was changed again before its migration was taken back; the schema was left to that"
        changed = Outcome("done", {"said": said}, said, case_outcome="overtaken")
        try:
            deployment = self._cluster.get(paths.deployments(case.namespace, case.deployment))
            if deployment["metadata"].get("uid") != case.uid or self._changed(case, deployment):
                return changed
        except NotFound:
            return changed
        if not case.rolled_back:
            held = held_by(self._cluster, deployment, case.result("confirm", "pausingNamespaces") or (), now)
            if held:
                return Outcome("later", hold=held)
        if not observed(deployment):
            return Outcome("later", case.step("migrate").result, "waiting for the Deployment controller")
        return None

    def _changed(self, case: Case, deployment: dict[str, Any]) -> bool:
        """Whether it has another template than the case has left it with; its number comes a moment later."""
        name = str(case.result("confirm", "targetReplicaSet")) if case.rolled_back else case.bad_replica_set
        ours = self._cluster.get(paths.replica_sets(case.namespace, name))
        if not same_template(deployment["spec"]["template"], ours["spec"]["template"]):
            return True
        return changed_again(case, deployment) if case.rolled_back else newest_revision(deployment) != case.bad


def _done(case: Case, said: str, job: str = "") -> Outcome:
    return Outcome("done", {"job": job, "matches": True, "to": case.result("plan", "to"), "said": said}, said)


def _failed(case: Case, why: str, job: str = "") -> Outcome:
    """Before the revert, the Deployment is held; after it, the case ends badly. Either calls the database team."""
    said = f"the migration could not be taken back: {why}"
    result = {"job": job, "failed": True, "said": said}
    if not case.rolled_back:
        return Outcome("later", result, said, hold=said, reason="down-job-failed")
    return Outcome("done", result, said, case_outcome="migration-failed")
