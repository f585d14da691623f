"""What is known of a case's database migration: which policy speaks of it, what a plan says, what the schema expects.

Pure; `plan` finds out before the revert, `migrate` takes it back, `jobs` makes the Jobs that they run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from watcher.policy.model import SCHEMA_REVERSIBLE, Migrations, Policy, SchemaQuery
from watcher.runbook.case import MIGRATION_HOLDS, Case

# A version goes into a command line, as a word of its own: nothing that could be taken for an option.
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")

# What `manage.py migrate --plan` prints: django/core/management/commands/migrate.py, `handle` and `describe_operation`.
_HEAD = "Planned operations:"
_NOTHING = "No planned migration operations."
_MIGRATION = re.compile(r"(\w+)\.(\w+)")
_IRREVERSIBLE = re.compile(r"\bIRREVERSIBLE\b")
# Undoing these makes the field or table again, and not what was in it.
_DROPPED = re.compile(r"\bUndo (Remove field|Delete model)\b|-> .*\b(CREATE TABLE|ADD COLUMN)\b", re.IGNORECASE)
# What is known to lose nothing that was there before: Django's own operations, less those that hide others
# (SeparateDatabaseAndState). Raw ones have a reverse of their author's; Django shows 40 characters of SQL.
_KNOWN = re.compile(
    r"Undo (Creates?|Add|Rename|Alter|Change|Set|Remove (index|constraint|collation)|Concurrently|Validate) .*"
    r"|Raw Python operation( -> .*)?|Raw SQL operation( -> .*(?<!…)(?<!\.\.\.))?"
)
# The number that a version begins with, where it is one: 0002_add_sku, 20240101120000; not a hash like 3f2a.
_NUMBER = re.compile(r"([0-9]+)(?![A-Za-z0-9])")

Kind = Literal["reversible", "irreversible", "destructive", "nothing", "unknown"]


def migrations_of(case: Case, policies: Sequence[Policy]) -> Migrations | None:
    """Find the `migrations` part for a case's Deployment: the breached policy's, else another one's that matches it."""
    labels = case.result("confirm", "labels") or {}
    mine = [p for p in policies if p.migrations and (p.name == case.policy or p.matches(case.namespace, labels))]
    mine.sort(key=lambda policy: policy.name != case.policy)
    return mine[0].migrations if mine else None


def settled_by(plan: str, start: str, goal: str) -> tuple[Kind, str]:
    """Say what a plan's output means for going back from `start` to `goal`, and the lines that say so.

    Only what is known counts as reversible: an output that isn't Django's, or that names another way than this one, is
    unknown. A plan that goes forward reads nearly the same.
    """
    if _NOTHING in plan:
        return "nothing", _NOTHING
    if _HEAD not in plan:
        return "unknown", "the plan doesn't read like Django's"
    lines = plan.partition(_HEAD)[2].splitlines()
    named = [(found[1], found[2]) for line in lines if (found := _MIGRATION.fullmatch(line.rstrip()))]
    apps = {app for app, name in named if name.startswith(start)}
    operations = [line.strip() for line in lines if line.startswith("    ")]
    if not apps:
        return "unknown", f"the plan doesn't take back {start}"
    if any(name.startswith(goal) for app, name in named if app in apps):
        return "unknown", f"the plan doesn't go back to {goal}, but moves it"
    signs: tuple[tuple[Kind, re.Pattern[str]], ...] = (("irreversible", _IRREVERSIBLE), ("destructive", _DROPPED))
    for kind, pattern in signs:
        telling = [operation for operation in operations if pattern.search(operation)]
        if telling:
            return kind, "; ".join(telling[:5])
    strange = [operation for operation in operations if not _KNOWN.fullmatch(operation)]
    if strange or not operations:
        return (
            "unknown",
            f"it can't be told what undoing this does: {strange[0]}" if strange else "it names no operation",
        )
    return "reversible", f"{len(operations)} operations, each of which can be undone"


@dataclass(frozen=True, slots=True)
class Expected:
    """The schema versions that the two revisions were made for ("" where not known), and the annotation's word.

    `reversible` is the bad revision's own: "true", "false", or "" where it says nothing. `seen`: the good one's was
    seen while it served, not said.
    """

    bad: str
    good: str
    reversible: str
    seen: bool = False


def asked_of(query: SchemaQuery) -> str:
    """Name a question for a version by a few characters: what was seen with another question is no answer to it."""
    asked = repr((query.dsn_file, query.query, query.parameters, query.empty))
    return hashlib.sha256(asked.encode()).hexdigest()[:8]


def settings_of(migrations: Migrations) -> str:
    """Name by a few characters what is done about a migration, to notice that a policy was edited meanwhile."""
    query = asked_of(migrations.version) if migrations.version else ""
    done = repr((query, migrations.command, migrations.container, migrations.init_containers))
    return hashlib.sha256(done.encode()).hexdigest()[:8]


def expected_by(case: Case, bad: dict[str, Any], good: dict[str, Any], migrations: Migrations) -> Expected:
    """Read what two pod templates say of the schema; else what the target was seen with while it served."""
    said = [_notes(template).get(migrations.annotation, "").strip() for template in (bad, good)]
    same = migrations.version and case.result("confirm", "targetSchemaBy") == asked_of(migrations.version)
    recorded = str(case.result("confirm", "targetSchema") or "") if same else ""
    reversible = _notes(bad).get(SCHEMA_REVERSIBLE, "").strip()
    return Expected(said[0], said[1] or recorded, reversible, seen=not said[1])


def _notes(template: dict[str, Any]) -> dict[str, str]:
    return (template.get("metadata") or {}).get("annotations") or {}


def flaw_in(expected: Expected, current: str | None, empty: str = "") -> str:
    """Say why it can't be told what the bad revision did to the schema; empty where it can.

    `current` is the version in the database, None where the annotations alone are to tell; `empty` the version of a
    database that nothing was migrated in.
    """
    for version in (expected.bad, expected.good, current or ""):
        if version and not VERSION.fullmatch(version):
            return f"the schema version {version[:60]!r} is none that could be gone back to"
    if not expected.good:
        return "it isn't known which schema version the target expects: its pod template doesn't say, nor was it seen"
    at = expected.bad if current is None else current
    if not at:
        return "the bad revision's pod template doesn't say which schema version it expects"
    if at == expected.good:
        return ""
    if expected.bad not in ("", at):
        return f"the schema is at {at}, which is neither {expected.bad} nor {expected.good}, as expected"
    if at == empty or _older(at, expected.good):
        return f"the schema is at {at}, which is older than {expected.good}, as the target expects"
    if expected.seen and expected.good == empty:
        return "the target was seen without any migration; all tables are dropped only where its pod template says so"
    return ""


def _older(one: str, other: str) -> bool:
    """Say whether a version is older than another one, as far as numbers tell."""
    numbers = [_NUMBER.match(version) for version in (one, other)]
    return all(numbers) and int(numbers[0][1]) < int(numbers[1][1])  # type: ignore[index]


def settled(case: Case) -> bool:
    """Say whether the plan is through, for the target that the case goes back to: another one has another schema."""
    plan = case.step("plan")
    same = plan.result.get("target") in (None, case.result("confirm", "targetUid"))
    return plan.state == "skipped" or (plan.state == "done" and same)


def carried(case: Case) -> bool:
    """Say whether the bad revision's migration is to be taken back: there is one, and it isn't left as it is."""
    plan = case.step("plan")
    return settled(case) and bool(plan.result.get("carried")) and not plan.result.get("left")


def patience_of(case: Case) -> float:
    """How long verifying may take, in seconds: twice as long where a migration has to be taken back as well."""
    return case.verify_within * (2 if carried(case) else 1)


def taken_back(case: Case) -> bool:
    """Say whether the migration has been taken back, to the version that the case's target expects."""
    migrate = case.step("migrate")
    same = migrate.result.get("to") in (None, case.result("plan", "to"))
    return migrate.state == "done" and bool(migrate.result.get("matches")) and same


def before_revert(case: Case) -> bool:
    """Say whether the policy wants the migration taken back before the Deployment."""
    return bool(case.result("plan", "order") == "before")


def needs_database_team(case: Case) -> bool:
    """Say whether the database team is to be called: what is left of the migration is theirs (runbook, Migrations)."""
    held = case.action == "Hold" and case.reason in MIGRATION_HOLDS and case.outcome != "recovered"
    left = case.rolled_back and bool(case.result("plan", "left"))
    return held or left or case.outcome == "migration-failed"
