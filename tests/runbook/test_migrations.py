"""What a plan and the versions mean: Django's own words, and everything that isn't known is not taken for good."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management.commands.migrate import Command
from django.db import migrations as django
from django.db import models

from tests.runbook.migrating import MIGRATIONS, NEW, OLD, PLAN, QUERY
from tests.runbook.parts import POLICY, TARGET, case_of
from watcher.policy.model import Policy
from watcher.runbook.case import Case, StepRecord
from watcher.runbook.migrations import (
    Expected,
    asked_of,
    expected_by,
    flaw_in,
    migrations_of,
    needs_database_team,
    settings_of,
    settled,
    settled_by,
)
from watcher.sandbox.postgres import ADMIN, PostgresServer

if not settings.configured:
    settings.configure(USE_I18N=False)

PROJECT = Path(__file__).parents[1] / "django_shop"
FIELD = models.CharField(max_length=20, null=True)
WAYS_BACK: dict[str, tuple[Any, str]] = {
    "add": (django.AddField("product", "sku", FIELD), "reversible"),
    "create": (django.CreateModel("Stock", [("id", models.AutoField(primary_key=True))]), "reversible"),
    "proxy": (django.CreateModel("Stock", [], options={"proxy": True}), "reversible"),
    "rename": (django.RenameField("product", "sku", "code"), "reversible"),
    "alter": (django.AlterField("product", "sku", FIELD), "reversible"),
    "options": (django.AlterModelOptions("product", {"ordering": ["sku"]}), "reversible"),
    "managers": (django.AlterModelManagers("product", []), "reversible"),
    "unique": (django.AlterUniqueTogether("product", {("sku", "name")}), "reversible"),
    "order": (django.AlterOrderWithRespectTo("product", "sku"), "reversible"),
    "index": (django.AddIndex("product", models.Index(fields=["sku"], name="i")), "reversible"),
    "no index": (django.RemoveIndex("product", "i"), "reversible"),
    "rename index": (django.RenameIndex("product", "j", old_name="i"), "reversible"),
    "constraint": (django.RemoveConstraint("product", "c"), "reversible"),
    "python": (django.RunPython(django.RunPython.noop, django.RunPython.noop), "reversible"),
    "drop": (django.RunSQL("CREATE INDEX i", "DROP INDEX i"), "reversible"),
    "remove": (django.RemoveField("product", "sku"), "destructive"),
    "delete": (django.DeleteModel("Stock"), "destructive"),
    "sql dropped": (django.RunSQL("DROP TABLE t", "CREATE TABLE t (id int)"), "destructive"),
    "python one way": (django.RunPython(django.RunPython.noop), "irreversible"),
    "sql one way": (django.RunSQL("DELETE FROM t"), "irreversible"),
    "sql cut": (django.RunSQL("x", "ALTER TABLE shop_product_prices ADD COLUMN note text"), "unknown"),
    "hidden": (django.SeparateDatabaseAndState([django.RemoveField("product", "sku")]), "unknown"),
}


def described(operation: Any, *, backwards: bool = True) -> str:
    """What Django prints of a migration with this operation."""
    line, _ = Command.describe_operation(operation, backwards)
    return f"Planned operations:\nshop.{NEW}\n    {line}\n"


@pytest.mark.parametrize(("operation", "kind"), WAYS_BACK.values(), ids=WAYS_BACK.keys())
def test_each_of_djangos_operations_is_known(operation: Any, kind: str) -> None:
    """Django's own description of each operation's way back is read for what it means."""
    assert settled_by(described(operation), NEW, OLD)[0] == kind


def test_one_bad_operation_decides() -> None:
    """Among many that can be undone, the one that can't be counts, and is what is said."""
    both = PLAN + "shop.0003_more\n    Undo Remove field note from product\n    Undo Add field n to product\n"
    assert settled_by(both, NEW, OLD) == ("destructive", "Undo Remove field note from product")
    assert settled_by(PLAN + "    Raw Python operation -> IRREVERSIBLE\n", NEW, OLD)[0] == "irreversible"
    assert settled_by(PLAN, NEW, OLD) == ("reversible", "1 operations, each of which can be undone")


@pytest.mark.parametrize(
    "plan",
    [
        "",
        "Traceback (most recent call last):\n    raise ValueError\n",
        "Planned operations:\n",
        f"Planned operations:\nshop.{NEW}\n",
        described(django.AddField("product", "sku", FIELD), backwards=False),
        described(django.RunPython(django.RunPython.noop), backwards=False).replace(NEW, OLD),
        PLAN.replace(NEW, "0007_other"),
        PLAN + f"shop.{OLD}\n    Undo Add field x to product\n",
        PLAN + "    {'level': 'info'}\n",
    ],
)
def test_what_is_not_a_way_back_from_here_is_unknown(plan: str) -> None:
    """No plan, one that goes forward, that starts elsewhere or goes too far, and strange lines prove nothing."""
    assert settled_by(plan, NEW, OLD)[0] == "unknown"


def test_other_apps_may_have_migrations_of_the_same_name() -> None:
    """A dependent app's 0001_initial that is undone as well is not this app's."""
    assert settled_by(f"{PLAN}cart.{OLD}\n    Undo Create model Line\n", NEW, OLD)[0] == "reversible"


def test_lines_beside_the_plan_are_not_read() -> None:
    """What an app logs before, between or after doesn't count, as long as it isn't written like an operation."""
    assert settled_by(f"connected\n{PLAN}INFO closed: 3.2 s\n", NEW, OLD)[0] == "reversible"


def test_djangos_own_command(postgres: PostgresServer) -> None:
    """`manage.py migrate shop <version> --plan` on a real database is read for what each migration of it does."""
    postgres.create_database("plans")
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_HOST": postgres.host,
        "DATABASE_PORT": str(postgres.port),
        "DATABASE_NAME": "plans",
        "DATABASE_USER": ADMIN,
        "DATABASE_PASSWORD": postgres.passwords[ADMIN],
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def manage(*words: str) -> str:
        command = [sys.executable, "manage.py", "migrate", "shop", *words]
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60)  # noqa: PLW1510
        assert done.returncode == 0, done.stderr
        return done.stdout

    names = ["0001_initial", "0002_add_sku", "0003_remove_legacy_note", "0004_load_prices"]
    manage(names[0])
    assert settled_by(manage(names[1], "--plan"), names[0], names[1])[0] == "unknown", "that way is forward"
    assert settled_by(manage(names[0], "--plan"), names[0], names[0])[0] == "nothing"
    for at, kind in ((1, "reversible"), (2, "destructive"), (3, "irreversible")):
        manage(names[at])
        assert settled_by(manage(names[at - 1], "--plan"), names[at], names[at - 1])[0] == kind


@pytest.mark.parametrize(
    ("expected", "current", "flaw"),
    [
        (Expected("", OLD, ""), NEW, ""),
        (Expected(NEW, OLD, ""), NEW, ""),
        (Expected("", OLD, ""), OLD, ""),
        (Expected(NEW, OLD, ""), OLD, ""),
        (Expected(NEW, OLD, ""), None, ""),
        (Expected(OLD, OLD, ""), None, ""),
        (Expected("3f2a77", "12ab99", ""), "3f2a77", ""),
        (Expected("", "9_a", ""), "10_b", ""),
        (Expected("0002", "zero", "", seen=False), "0002", ""),
        (Expected(NEW, "", ""), NEW, "which schema version the target expects"),
        (Expected("", OLD, ""), None, "bad revision's pod template doesn't say"),
        (Expected(NEW, OLD, ""), "0003_c", "neither"),
        (Expected(OLD, OLD, ""), NEW, "neither"),
        (Expected("", NEW, ""), OLD, "older than"),
        (Expected("", NEW, ""), "zero", "older than"),
        (Expected("", "20250101", ""), "20241231", "older than"),
        (Expected("0002", "zero", "", seen=True), "0002", "without any migration"),
        (Expected("--fake", OLD, ""), NEW, "none that could be gone back to"),
        (Expected("", "--fake", ""), NEW, "none that could be gone back to"),
        (Expected("", "1 --fake", ""), NEW, "none that could be gone back to"),
        (Expected("", OLD, ""), "-1", "none that could be gone back to"),
        (Expected("", "1\n", ""), NEW, "none that could be gone back to"),
        (Expected("", "1" * 201, ""), NEW, "none that could be gone back to"),
    ],
)
def test_what_can_not_be_told_of_the_versions(expected: Expected, current: str | None, flaw: str) -> None:
    """A version is gone back to only where it is known what is expected, what is there, and that it is the way back."""
    assert (flaw in flaw_in(expected, current, "zero")) if flaw else flaw_in(expected, current, "zero") == ""


def template(**notes: str) -> dict[str, Any]:
    """A pod template with annotations of ours."""
    return {"metadata": {"annotations": {f"canary-watch.io/{k.replace('_', '-')}": v for k, v in notes.items()}}}


def test_what_is_said_goes_before_what_was_seen() -> None:
    """The target's pod template knows best; what it was seen with counts only as an answer to the same question."""
    confirm = {**TARGET, "targetSchema": OLD, "targetSchemaBy": asked_of(QUERY)}
    case = case_of().with_step("confirm", StepRecord("done", result=confirm))
    bad = template(schema_version=" 0002 ", schema_reversible="true")
    assert expected_by(case, bad, template(schema_version="0001"), MIGRATIONS) == Expected("0002", "0001", "true")
    assert expected_by(case, {}, {}, MIGRATIONS) == Expected("", OLD, "", seen=True)
    for other in (replace(QUERY, parameters=("cart",)), replace(QUERY, dsn_file="/other"), None):
        assert expected_by(case, {}, {}, replace(MIGRATIONS, version=other)).good == ""


def test_the_breached_policy_speaks_first() -> None:
    """Its own `migrations` part counts, else that of another policy that matches the Deployment's labels."""
    mine, other = replace(POLICY, migrations=MIGRATIONS), replace(MIGRATIONS, timeout=5.0)
    case = case_of().with_step("confirm", StepRecord("done", result={"labels": {"tier": "web"}}))
    web = Policy("schema", "s", ("shop",), 60.0, (), labels={"tier": "web"}, migrations=other)
    assert migrations_of(case, (web, mine)) is MIGRATIONS
    assert migrations_of(case, (POLICY, web)) is other
    assert migrations_of(case, (POLICY, replace(web, labels={"tier": "db"}))) is None
    assert migrations_of(case, (POLICY, replace(web, namespaces=("other",)))) is None


def test_an_edited_policy_is_noticed() -> None:
    """Another command, container or question is another way down; a longer timeout isn't."""
    for edited in ({"command": ("x",)}, {"container": "c"}, {"version": None}, {"init_containers": ("i",)}):
        assert settings_of(replace(MIGRATIONS, **edited)) != settings_of(MIGRATIONS)
    assert settings_of(replace(MIGRATIONS, timeout=1.0)) == settings_of(MIGRATIONS)


def test_a_plan_for_another_target_settles_nothing() -> None:
    """Where another revision has to be gone back to, its schema is another one."""
    case = case_of().with_step("confirm", StepRecord("done", result=TARGET))
    plan = StepRecord("done", result={"carried": False, "target": TARGET["targetUid"]})
    assert settled(case.with_step("plan", plan))
    assert not settled(case.with_step("plan", replace(plan, result={**plan.result, "target": "rs-0"})))
    assert settled(case.with_step("plan", StepRecord("skipped")))
    assert not settled(case.with_step("plan", replace(plan, state="failed")))


def in_state(**changes: Any) -> Callable[[], Case]:
    """A case with these fields."""
    return lambda: replace(case_of(), **changes)


@pytest.mark.parametrize(
    ("case", "needed"),
    [
        (in_state(action="Hold", reason="irreversible-migration"), True),
        (in_state(action="Hold", reason="schema-unreadable"), True),
        (in_state(action="Hold", reason="down-job-failed"), True),
        (in_state(action="Hold", reason="down-job-failed", outcome="recovered"), False),
        (in_state(action="Hold", reason="paused"), False),
        (in_state(outcome="migration-failed"), True),
        (in_state(), False),
    ],
)
def test_when_the_database_team_is_called(case: Callable[[], Case], needed: bool) -> None:
    """What is left of a migration is theirs, and nothing else is."""
    assert needs_database_team(case()) is needed
