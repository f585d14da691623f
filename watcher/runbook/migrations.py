"""What is known of a case's database migration: which policy speaks of it, what a plan says, what the schema expects.

Pure; `plan` finds out before the revert, `migrate` takes it back, `jobs` makes the Jobs that they run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from watcher.policy.model import SCHEMA_REVERSIBLE, Migrations, Policy
from watcher.runbook.case import MIGRATION_HOLDS, Case

# A version goes into a command line, as a word of its own: nothing that could be taken for an option.
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")

# What `manage.py migrate --plan` prints: django/core/management/commands/migrate.py, describe_operation.
_HEAD = "Planned operations:"
_NOTHING = "No planned migration operations."
_IRREVERSIBLE = re.compile(r"\bIRREVERSIBLE\b")
# Undoing these makes the field or table again, and not what was in it.
_DROPPED = re.compile(r"\bUndo (Remove field|Delete model)\b|-> .*\b(CREATE TABLE|ADD COLUMN)\b", re.IGNORECASE)

Kind = Literal["reversible", "irreversible", "destructive", "nothing", "unknown"]


def migrations_of(case: Case, policies: Sequence[Policy]) -> Migrations | None:
    """Find the `migrations` part for a case's Deployment: the breached policy's, else another one's that matches it."""
    labels = case.result("confirm", "labels") or {}
    mine = [p for p in policies if p.migrations and (p.name == case.policy or p.matches(case.namespace, labels))]
    mine.sort(key=lambda policy: policy.name != case.policy)
    return mine[0].migrations if mine else None


def settled_by(plan: str) -> tuple[Kind, str]:
    """Say what a plan's output means for going back, and the lines that say so.

    Only what is known counts as reversible: an output that isn't Django's is unknown.
    """
    if _NOTHING in plan:
        return "nothing", _NOTHING
    if _HEAD not in plan:
        return "unknown", "the plan doesn't read like Django's"
    operations = [line.strip() for line in plan.partition(_HEAD)[2].splitlines() if line.startswith("    ")]
    signs: tuple[tuple[Kind, re.Pattern[str]], ...] = (("irreversible", _IRREVERSIBLE), ("destructive", _DROPPED))
    for kind, pattern in signs:
        telling = [operation for operation in operations if pattern.search(operation)]
        if telling:
            return kind, "; ".join(telling[:5])
    if not operations:
        return "unknown", "the plan names no operation"
    return "reversible", f"{len(operations)} operations, each of which can be undone"


@dataclass(frozen=True, slots=True)
class Expected:
    """The schema versions that the two revisions were made for ("" where not known), and the annotation's word.

    `reversible` is the bad revision's own: "true", "false", or "" where it says nothing.
    """

    bad: str
    good: str
    reversible: str


def expected_by(case: Case, bad: dict[str, Any], good: dict[str, Any], annotation: str) -> Expected:
    """Read what two pod templates say of the schema; else what the target was seen with while it served."""
    said = [_notes(template).get(annotation, "").strip() for template in (bad, good)]
    recorded = str(case.result("confirm", "targetSchema") or "")
    return Expected(said[0], said[1] or recorded, _notes(bad).get(SCHEMA_REVERSIBLE, "").strip())


def _notes(template: dict[str, Any]) -> dict[str, str]:
    return (template.get("metadata") or {}).get("annotations") or {}


def flaw_in(expected: Expected, current: str | None) -> str:
    """Say why it can't be told what the bad revision did to the schema; empty where it can.

    `current` is the version in the database, None where the annotations alone are to tell.
    """
    for version in (expected.bad, expected.good, current or ""):
        if version and not VERSION.fullmatch(version):
            return f"the schema version {version[:60]!r} is none that could be gone back to"
    if not expected.good:
        return "it isn't known which schema version the target expects: its pod template doesn't say, nor was it seen"
    if current is None:
        return "" if expected.bad else "the bad revision's pod template doesn't say which schema version it expects"
    if current != expected.good and expected.bad not in ("", current):
        return f"the schema is at {current}, which is neither {expected.bad} nor {expected.good}, as expected"
    return ""


def carried(case: Case) -> bool:
    """Say whether the bad revision's migration is to be taken back: there is one, and it isn't left as it is."""
    plan = case.step("plan")
    return plan.state == "done" and bool(plan.result.get("carried")) and not plan.result.get("left")


def before_revert(case: Case) -> bool:
    """Say whether the policy wants the migration taken back before the Deployment."""
    return bool(case.result("plan", "order") == "before")


def needs_database_team(case: Case) -> bool:
    """Say whether the database team is to be called: what is left of the migration is theirs (runbook, Migrations)."""
    held = case.action == "Hold" and case.reason in MIGRATION_HOLDS and case.outcome != "recovered"
    left = case.rolled_back and bool(case.result("plan", "left"))
    return held or left or case.outcome == "migration-failed"
