"""The daemon put together: caches, Prometheus, desk, lease; and what one turn of the loop is.

The one module that knows all parts; the commands start what it builds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence

from watcher.adapters import PrometheusFigures, read_schema, vendors_of
from watcher.judgement.decide import Brakes
from watcher.judgement.model import Decision
from watcher.judgement.rollouts import trim_deployment, trim_job, trim_namespace, trim_replica_set
from watcher.policy.model import Policy, SmokeJob
from watcher.runbook.announce import Announce
from watcher.runbook.case import Case
from watcher.runbook.cases import LABEL, Cases, trim_case
from watcher.runbook.confirm import Confirm
from watcher.runbook.dashboard import Dashboard
from watcher.runbook.desk import Desk, Place
from watcher.runbook.duty import Duty
from watcher.runbook.evidence import Evidence
from watcher.runbook.follow_up import CommentTicket, FilePostmortem, InviteToReview, Limits, MeasureImpact
from watcher.runbook.lanes import WORKERS, Lanes
from watcher.runbook.marks import Marks
from watcher.runbook.migrate import Migrate
from watcher.runbook.migrations import migrations_of, settings_of
from watcher.runbook.oncall import OnCall
from watcher.runbook.page import Page, PageDatabaseTeam
from watcher.runbook.plan import Plan
from watcher.runbook.recheck import CheckAgain
from watcher.runbook.report import Report
from watcher.runbook.revert import Revert
from watcher.runbook.step import Step
from watcher.runbook.thread import ChartInThread, Thread
from watcher.runbook.verify import Verify
from watcher.settings import Settings
from watcher.smoke import SmokeTests
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import Connection, Lease, Resource, WatchCache, paths
from watcher.systems.probe import probe
from watcher.systems.prometheus import Prometheus, PrometheusSettings
from watcher.systems.secret_file import SecretFile
from watcher.view import Cache, Caches, Joined, View
from watcher.watch import Hands, Pass, Watch

LOG = logging.getLogger("canary-watch")

LEASE = "canary-watch"
FRESH = 60.0  # seconds for which a decision to roll back may be carried out, or four passes if that is longer
SILENT = 300.0  # seconds without a word from the API server after which a watch is said to be broken


def watch_caches(
    connection: Connection, namespaces: Sequence[str], policies: Sequence[Policy], stop: threading.Event
) -> tuple[Caches, list[WatchCache]]:
    """Make the watch caches of the whole cluster, or of `namespaces`; and the list of them, to start and stop."""
    made: list[WatchCache] = []

    def cache(resource: Resource, trim: object) -> WatchCache:
        made.append(WatchCache(connection, resource, trim, stop))  # type: ignore[arg-type]
        return made[-1]

    def joined(parts: list[WatchCache]) -> Cache:
        return parts[0] if len(parts) == 1 else Joined(parts)

    scopes: list[str | None] = list(namespaces) or [None]
    labels = sorted({c.kind.label for p in policies for c in p.checks if isinstance(c.kind, SmokeJob)})
    names = [f"metadata.name={n}" for n in dict.fromkeys((*namespaces, connection.namespace))] if namespaces else [""]
    caches = Caches(
        deployments=joined([cache(Resource(paths.deployments(n), "deployments"), trim_deployment) for n in scopes]),
        replica_sets=joined([cache(Resource(paths.replica_sets(n), "replicasets"), trim_replica_set) for n in scopes]),
        namespaces=joined(
            [cache(Resource(paths.namespaces(), "namespaces", field_selector=f), trim_namespace) for f in names]
        ),
        jobs={
            label: joined([cache(Resource(paths.jobs(n), "jobs", label_selector=label), trim_job) for n in scopes])
            for label in labels
        },
    )
    return caches, made


def prometheus_client(settings: Settings) -> Prometheus:
    """Make the Prometheus client of the config."""
    asked = settings.prometheus
    token = SecretFile(asked.bearer_token_file) if asked.bearer_token_file else None
    ca_file = str(asked.ca_file) if asked.ca_file else None
    return Prometheus(PrometheusSettings(asked.url, asked.timeout, token, ca_file))


def identity() -> str:
    """Name this process: the pod, else the host and the process number."""
    return os.environ.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}"


class Teller:
    """Tells each decision once, when it changes: in the log, and on standard output in a dry run."""

    def __init__(self, *, dry_run: bool) -> None:
        self._dry_run = dry_run
        self._told: dict[tuple[str, int], tuple[str, str]] = {}

    def tell(self, decisions: Sequence[Decision]) -> None:
        """Tell what is new among a pass's decisions."""
        now: dict[tuple[str, int], tuple[str, str]] = {d.rollout.key: (d.action, d.reason) for d in decisions}
        for decision in decisions:
            key = decision.rollout.key
            if self._told.get(key) == now[key]:
                continue
            said = say_decision(decision)
            if self._dry_run:
                with contextlib.suppress(OSError):  # whoever read it has gone; the log has it too
                    sys.stdout.write(f"dry run: {said}\n")
                    sys.stdout.flush()
            LOG.log(logging.INFO if decision.action == "KeepWatching" else logging.WARNING, "%s", said)
        self._told = now


def say_decision(decision: Decision) -> str:
    """A decision in one line: what, about which revision, its reason's name, and the numbers behind it."""
    rollout = decision.rollout
    check = f"{decision.verdict.policy.name}/{decision.verdict.check.name}: " if decision.verdict else ""
    about = f"{rollout.name} revision {rollout.new.number}"
    return f"{decision.action} {about} ({decision.reason}): {check}{decision.said}"


class Daemon:
    """All parts of one running daemon. `dry_run`: it decides and reports everything, and changes only its Lease."""

    def __init__(
        self, settings: Settings, policies: tuple[Policy, ...], connection: Connection, *, dry_run: bool
    ) -> None:
        self.settings, self.policies, self.connection, self.dry_run = settings, policies, connection, dry_run
        self.stop = threading.Event()
        caches, self._watches = watch_caches(connection, settings.namespaces, policies, self.stop)
        own = paths.config_maps(connection.namespace)
        self._cases = WatchCache(connection, Resource(own, "cases", label_selector=LABEL), trim_case, self.stop)
        self._watches.append(self._cases)
        self.view = View(caches, connection.namespace)
        self.lanes = Lanes(WORKERS)
        self.lease_name = f"{LEASE}-dry-run" if dry_run else LEASE
        self.lease = Lease(connection, self.lease_name, identity(), settings.lease.duration)
        self._loaded_in = 0  # the Lease's term in which the cases were read
        self._teller = Teller(dry_run=dry_run)
        prometheus = prometheus_client(settings)
        place = Place(settings.cluster.name, settings.cluster.region)
        duty = Duty(self.lease.leading, time.time, max(FRESH, 4 * settings.interval))
        cases = Cases(connection, connection.namespace, self.lease.identity)
        self._vendors = vendors_of(settings)
        steps = (*self._work(prometheus, duty), *self._telling(prometheus))
        self.step_names = tuple(step.name for step in steps)
        self.desk = Desk(cases, steps, self.lanes, duty, place)
        patience = 2 * settings.prometheus.timeout + 3
        brakes = Brakes(settings.brakes.per_deployment, settings.brakes.per_cluster)
        marks = Marks(connection, self.lanes, self.lease.leading, read_schema)
        hands = Hands(self.desk, marks, settings.interval, brakes, patience)
        self.watch = Watch(self.view, prometheus, SmokeTests(probe, self.lanes), lambda: self.policies, hands)

    def _work(self, prometheus: Prometheus, duty: Duty) -> tuple[Step, ...]:
        """The runbook's steps in the cluster, in its order."""
        cluster, policies = self.connection, lambda: self.policies
        evidence = Evidence(prometheus, policies, self.settings.interval)
        recheck = CheckAgain(prometheus, probe, policies, evidence.baseline)
        return (
            Confirm(cluster, cluster.namespace),
            Plan(cluster, read_schema, policies),
            Revert(cluster, duty),
            Verify(cluster, recheck, probe, self._schema_now),
            Migrate(cluster, read_schema, policies, duty),
        )

    def _schema_now(self, case: Case) -> str | None:
        """The schema's version of a case's database, None where no policy says how to read it. Raises Fault."""
        found = migrations_of(case, self.policies)
        same = found is not None and settings_of(found) == case.result("plan", "settings")
        return read_schema(found.version) if found and found.version and same else None

    def _telling(self, prometheus: Prometheus) -> tuple[Step, ...]:
        """The runbook's steps at the vendors: who is told, and what is written afterwards."""
        to, asked = self._vendors, self.settings.postmortem
        contacts = {role: contact.slack for role, contact in self.settings.contacts.items() if contact.slack}
        figures = PrometheusFigures(Evidence(prometheus, lambda: self.policies, self.settings.interval))
        limits = Limits(asked.longer_than, asked.more_than, asked.review_within, asked.time_zone)
        return (
            OnCall(to.directory),
            Page(to.pager),
            PageDatabaseTeam(to.pager),
            Announce(to.announcer, contacts),
            Thread(to.announcer, contacts),
            Dashboard(to.dashboards),
            ChartInThread(to.announcer, figures),
            Report(to.pager),
            MeasureImpact(figures, limits),
            FilePostmortem(to.tracker, to.announcer, figures, contacts),
            CommentTicket(to.tracker, contacts),
            InviteToReview(to.announcer),
        )

    def start(self) -> None:
        """Begin to watch the cluster and to try for the Lease."""
        for part in self._vendors.missing():
            LOG.warning("%s is not configured: it is left out of every case", part)
        self.watch_only()
        self.lease.start()

    def watch_only(self) -> None:
        """Begin to watch the cluster, to look at it and no more."""
        for watch in self._watches:
            watch.start()

    def wait_ready(self, timeout: float) -> str:
        """Wait at most `timeout` seconds for the caches' first lists; say what is missing, or nothing."""
        latest = time.monotonic() + timeout
        for watch in self._watches:
            if not watch.wait_synced(max(0.0, latest - time.monotonic())):
                return watch.last_error or "the API server has not answered yet"
        return ""

    def turn(self, now: float) -> str:
        """One turn of the loop: a pass where this daemon leads and knows the cluster; one sentence either way."""
        if not self.view.ready():
            return f"waiting for the cluster: {self.wait_ready(0.0)}"
        if not self.lease.leading():
            why = f" ({self.lease.last_error})" if self.lease.last_error else ""
            return f"standing by: {self.lease.holder or 'nobody'} holds the Lease {self.lease_name}{why}"
        try:
            seen = self.one_pass(now)
        except Fault as fault:
            return f"the cases can't be read, so nothing is decided: {fault}"
        LOG.debug("the pass took %.2f s: %s", seen.seconds, seen.said)
        return seen.said + self._blind()

    def _blind(self) -> str:
        """Say which watches the API server hasn't served for long: what happens there now is not seen."""
        now = time.monotonic()
        names = [f"{w.name} ({w.last_error})" for w in self._watches if w.silent_for(now) > SILENT]
        return f"; changes are NOT SEEN any more of {', '.join(names)}" if names else ""

    def one_pass(self, now: float) -> Pass:
        """Make a pass; in a dry run only look. Raises Fault where the cases can't be read."""
        self._load(now)
        self.desk.notice(self._cases.items())
        seen = self.watch.look(now) if self.dry_run else self.watch.one_pass(now)
        self._teller.tell(seen.decisions)
        return seen

    def _load(self, now: float) -> None:
        term = self.lease.term
        if self._loaded_in != term or not term:
            count = self.desk.load(now, prune=not self.dry_run)
            LOG.info("leading as %s; open cases: %d", self.lease.identity, count)
            self._loaded_in = term

    def end(self) -> None:
        """Stop at once: end the watches, give the Lease back. What is under way is left: each step can be repeated."""
        self.stop.set()
        self.lease.stop(release=True)
        for watch in self._watches:
            watch.stop()
