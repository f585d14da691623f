"""A case with a database migration, one step after the other: the schema is a value, its Jobs end as they are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.runbook.conftest import Shop
from tests.runbook.parts import NOW, OWN, POLICY, Line, on_duty, until
from watcher.policy.model import Migrations, Policy, SchemaQuery
from watcher.runbook.case import Case
from watcher.runbook.confirm import Confirm
from watcher.runbook.migrate import Migrate
from watcher.runbook.migrations import asked_of
from watcher.runbook.plan import Plan
from watcher.runbook.progress import record_outcome, record_try
from watcher.runbook.revert import Revert
from watcher.runbook.step import Outcome, Step
from watcher.systems.fault import Fault
from watcher.systems.kubernetes import paths

Json = dict[str, Any]
OLD, NEW = "0001_initial", "0002_add_sku"
QUERY = SchemaQuery("/dsn", "SELECT name FROM django_migrations", ("shop",), "zero")
DOWN = ("python", "manage.py", "migrate", "shop", "$version")
MIGRATIONS = Migrations(QUERY, DOWN, (*DOWN, "--plan"))
PLAN = f"Planned operations:\nshop.{NEW}\n    Undo Add field sku to product\n"


@dataclass
class Versions:
    """A `Schema` that gives `at`, or fails where that is a Fault."""

    at: str | Fault = NEW
    asked: list[SchemaQuery] = field(default_factory=list)

    def __call__(self, query: SchemaQuery) -> str:
        """The version."""
        self.asked.append(query)
        if isinstance(self.at, Fault):
            raise self.at
        return self.at


def unread(query: SchemaQuery) -> str:
    """A `Schema` that nobody asks."""
    raise AssertionError(query)


@dataclass
class Read(Line):
    """A line that can read logs: `log` is what every pod wrote."""

    log: Callable[[], str] = lambda: PLAN

    def pod_log(self, namespace: str, pod: str, container: str = "") -> str:
        """The log."""
        self.calls.append(("pod_log", pod))
        return self.log()


@dataclass
class Bench:
    """A shop whose revision 2 is bad, and the steps that a case of it goes through, each by hand."""

    shop: Shop
    migrations: Migrations | None = MIGRATIONS
    schema: Versions = field(default_factory=Versions)
    policies: list[Policy] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.line = Read(self.shop.connection)
        self.policies = self.policies or [replace(POLICY, migrations=self.migrations)]

    def steps(self, case: Case) -> dict[str, Step]:
        """The steps."""
        duty, policies = on_duty(case), lambda: tuple(self.policies)
        return {
            "confirm": Confirm(self.line, OWN),
            "plan": Plan(self.line, self.schema, policies),
            "migrate": Migrate(self.line, self.schema, policies, duty),
            "revert": Revert(self.line, duty),
        }

    def due(self, case: Case) -> list[str]:
        """The steps that are due."""
        return [name for name, step in self.steps(case).items() if step.due(case)]

    def go(self, case: Case, *names: str, now: float = NOW) -> Case:
        """Carry steps out as the desk does, and record what came of each."""
        for name in names:
            step = self.steps(case)[name]
            assert step.due(case), f"{name} is not due"
            case = record_try(case, name, now)
            try:
                outcome: Outcome | Fault = step.carry_out(case, now)
            except Fault as fault:
                outcome = fault
            case = record_outcome(case, name, outcome, now)
        return case

    def seen(self, version: str = OLD, query: SchemaQuery = QUERY, number: int = 1) -> None:
        """Mark revision 1 as seen with this version."""
        meta = self.shop.revisions()[1]["metadata"]
        mark = f"{meta['uid']}@{number}@{asked_of(query)}@{version}"
        self.shop.annotate(paths.replica_sets(self.shop.namespace, meta["name"]), schema_seen=mark)

    def confirmed(self) -> Case:
        """The case, confirmed."""
        return self.go(self.shop.case(), "confirm")

    def jobs(self) -> list[Json]:
        """The Jobs, the oldest first."""
        return sorted(
            self.shop.connection.get(paths.jobs(self.shop.namespace))["items"],
            key=lambda job: int(job["metadata"]["resourceVersion"]),
        )

    def ends(self, what: str, kind: str = "Complete") -> None:
        """Let the newest Job whose name ends so come to an end."""
        job = [job for job in self.jobs() if job["metadata"]["name"].endswith(what)][-1]
        path = paths.jobs(self.shop.namespace, job["metadata"]["name"])
        until(lambda: bool(self._pods(job)), "the Job's pod")
        status = {"conditions": [{"type": kind, "status": "True", "message": "as told"}]}
        self.shop.connection.merge_patch(f"{path}/status", {"status": status})

    def _pods(self, job: Json) -> list[Json]:
        query = {"labelSelector": f"job-name={job['metadata']['name']}"}
        found: list[Json] = self.shop.connection.get(paths.pods(self.shop.namespace), query)["items"]
        return found

    def planned(self, now: float = NOW) -> Case:
        """The case with its plan settled: a migration that can be taken back."""
        self.seen()
        case = self.go(self.confirmed(), "plan", now=now)
        self.ends("plan")
        return self.go(case, "plan", now=now)
