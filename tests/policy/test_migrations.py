"""A policy's `migrations`, `rollbackTo` and `noEarlierRevision`: what they come to, and their mistakes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.policy.policy_texts import MIGRATIONS, SMOKE, changed, mistakes_of
from watcher.policy.loading import load, missing_files
from watcher.policy.model import SCHEMA_VERSION, Migrations, Policy, SchemaQuery

SHIPPED = Path(__file__).parents[2] / "policies"
DJANGO = ("python", "manage.py", "migrate", "shop", "$version")
LATEST = "SELECT name FROM django_migrations WHERE app = %s ORDER BY id DESC LIMIT 1"
SQL = "{sql: {dsnFile: secrets/dsn, query: SELECT version FROM versions}}"
COMMAND = "      command: [bin/migrate, $app, $version]\n"
PLAN = "      plan: [bin/plan, --for=$app, --to=$version]\n"


def loaded(folder: Path, text: str) -> Policy:
    """Load one sound policy."""
    (folder / "policy.yaml").write_text(text)
    policies, mistakes = load([folder / "policy.yaml"])
    assert mistakes == ()
    return policies[0]


def part(folder: Path, written: str) -> Migrations:
    """Load a policy with this `migrations` part."""
    found = loaded(
        folder, changed(SMOKE, "  watchFor: 30m\n", f"  watchFor: 30m\n  migrations: {written}\n")
    ).migrations
    assert found is not None
    return found


def test_every_key_becomes_a_value(tmp_path: Path) -> None:
    """Everything that the file says is in the Policy: $app filled in, $version left for the case."""
    policy = loaded(tmp_path, MIGRATIONS)
    assert (policy.rollback_to, policy.no_earlier_revision) == (41, "scale-to-zero")
    assert policy.migrations == Migrations(
        version=SchemaQuery(str(tmp_path / "secrets/dsn"), "SELECT version FROM versions"),
        command=("bin/migrate", "shop", "$version"),
        plan=("bin/plan", "--for=shop", "--to=$version"),
        container="web",
        init_containers=("proxy",),
        timeout=300.0,
        order="before",
        irreversible="revert",
    )


def test_a_policy_without_these_keys_does_as_before(tmp_path: Path) -> None:
    """No fixed target, nothing scaled to zero, and no word about migrations."""
    policy = loaded(tmp_path, SMOKE)
    assert (policy.rollback_to, policy.no_earlier_revision, policy.migrations) == (0, "escalate", None)


def test_djangos_way_takes_an_app_and_a_file(tmp_path: Path) -> None:
    """The version is read out of django_migrations, and the runbook's command takes it back after its plan."""
    expected = Migrations(
        version=SchemaQuery("/run/dsn", LATEST, ("shop",), "zero"), command=DJANGO, plan=(*DJANGO, "--plan")
    )
    assert part(tmp_path, "{app: shop, version: {django: {dsnFile: /run/dsn}}}") == expected
    later = part(tmp_path, "{app: shop, version: {django: {dsnFile: /run/dsn}}, down: {timeout: 1m}}")
    assert later == replace(expected, timeout=60.0)


def test_a_table_of_versions_is_schema_migrations_unless_said(tmp_path: Path) -> None:
    """The query is that of the runbook's table; a command of one's own has no plan but one of one's own."""
    found = part(tmp_path, "{version: {sql: {dsnFile: /run/dsn}}, down: {command: [rake, VERSION=$version]}}")
    assert found.version == SchemaQuery("/run/dsn", "SELECT max(version) FROM schema_migrations")
    assert (found.command, found.plan) == (("rake", "VERSION=$version"), ())


def test_an_annotation_alone_needs_no_database(tmp_path: Path) -> None:
    """The pod templates say which version they expect, by the key that the policy names."""
    found = part(tmp_path, "{app: shop, version: {annotation: example.com/schema}}")
    assert (found.version, found.annotation, found.plan) == (None, "example.com/schema", (*DJANGO, "--plan"))
    assert part(tmp_path, "{app: shop, version: {sql: {dsnFile: a}}}").annotation == SCHEMA_VERSION


def test_only_the_variable_itself_is_filled_in(tmp_path: Path) -> None:
    """A shell's own variable whose name begins alike is left to the shell."""
    found = part(tmp_path, "{app: shop, version: {sql: {dsnFile: a}}, down: {command: [$apps, $app-$app.x, $version]}}")
    assert found.command == ("$apps", "shop-shop.x", "$version")


def test_an_example_in_a_shipped_policy_is_right(tmp_path: Path) -> None:
    """Taken out of its comment, each example that a shipped policy holds loads."""
    text = (SHIPPED / "error-rate.yaml").read_text()
    head, spec, rest = text.partition("  watchFor: 30m\n")
    lines = rest.splitlines()
    lines = [line.replace("  # ", "  ", 1) if line.startswith("  # ") else line for line in lines[1:]]
    policy = loaded(tmp_path, head + spec + "\n".join(lines))
    assert (policy.rollback_to, policy.no_earlier_revision) == (41, "scale-to-zero")
    assert policy.migrations is not None
    assert policy.migrations.command == DJANGO


# What is replaced in MIGRATIONS by what; where the mistake begins, and words of it.
MISTAKES = [
    ("rollbackTo: {revision: 41}", "rollbackTo: 41", "7:15: rollbackTo is a number", "rollbackTo: {revision: 41}"),
    ("rollbackTo: {revision: 41}", "rollbackTo: {}", "7:15: revision is missing", "revision: 41"),
    ("revision: 41", "revision: 0", "7:26: revision must be at least 1", ""),
    ("revision: 41", 'revision: "41"', "7:26: revision is text", "a whole number is meant"),
    ("revision: 41", "revision: 041", "7:26: revision: YAML reads 041 as 33", "digits alone"),
    ("revision: 41", "revison: 41", "7:16: revison is not a key here", "did you mean revision?"),
    ("scale-to-zero", "scaleToZero", '8:22: noEarlierRevision: "scaleToZero"', "'escalate' or 'scale-to-zero'"),
    ("noEarlierRevision: scale-to-zero", "noEarlierRevision:", "8:21: noEarlierRevision is empty", "leave the key out"),
    ("app: shop", "app: sh-op", "10:10: app: ", "letters, digits and underscores"),
    ("app: shop", "app: --fake", "10:10: app: ", "letters, digits and underscores"),
    ("    app: shop\n", "", "12:16: command: $app is used, and app is missing", "app: shop"),
    (f"    version: {SQL}\n", "", "10:5: version is missing", "{django: {dsnFile: "),
    (SQL, "{}", "11:14: version: write exactly one of", "sql, django and annotation"),
    (SQL, "{annotation: a/b, django: {dsnFile: a}}", "11:14: version: write exactly one of", ""),
    (SQL, "secrets/dsn", "11:14: version is text where a mapping is meant", "{django: {dsnFile: "),
    (SQL, "{sql: secrets/dsn}", "11:20: sql is text where a mapping is meant", "sql: {dsnFile: "),
    (SQL, "{dsnFile: a}", "11:15: dsnFile is not a key here", "sql, django, annotation"),
    (SQL, "{annotation: a b}", "11:27: annotation: ", "not a Kubernetes key"),
    ("{dsnFile: secrets/dsn, ", "{", "11:20: dsnFile is missing", "/var/run/secrets/canary-watch/"),
    ("secrets/dsn", "''", "11:30: dsnFile is empty", ""),
    ("SELECT version FROM versions", "DROP TABLE versions", "11:50: query: is there to read", "a SELECT"),
    ("[bin/migrate, $app, $version]", "bin/migrate", "13:16: command is text where a list is meant", '["python", '),
    ("[bin/migrate, $app, $version]", "[]", "13:16: command is empty", "at least one"),
    ("[bin/migrate, $app, $version]", "[a, 7]", "13:20: command[1]: 7 is a number to YAML", 'write "7" in quotes'),
    ("$app, $version]", "$app, '${version}']", "13:16: command: names no $version", ""),
    ("$app, $version]", "$app, $versions]", "13:16: command: names no $version", ""),
    ("--to=$version", "--to=it", "14:13: plan: names no $version", "the one to go back to"),
    (COMMAND, "", "13:7: plan: belongs to a command", "leave both out"),
    ("container: web", "container: Web", "15:18: container: ", "a-z, 0-9 and dashes"),
    ("[proxy]", "proxy", "16:23: initContainers is text where a list is meant", '["database-proxy"]'),
    ("timeout: 5m", "timeout: 300", "17:16: timeout: 300 has no unit", "write 300s"),
    ("timeout: 5m", "timeout: 500ms", "17:16: timeout: 500ms is too short", "at least 1s"),
    ("order: before", "order: first", '18:12: order: "first"', "'before' or 'after'"),
    ("irreversible: revert", "irreversible: on", "19:19: irreversible: true", "'hold' or 'revert'"),
    ("irreversible: revert", "ireversible: revert", "19:5: ireversible", "did you mean irreversible?"),
]


@pytest.mark.parametrize("row", MISTAKES, ids=lambda row: row[2])
def test_a_mistake_is_placed_and_says_what_would_be_right(tmp_path: Path, row: tuple[str, str, str, str]) -> None:
    """Each broken key gives a mistake at its own line and column, with the words that put it right."""
    old, new, place, words = row
    found = mistakes_of(tmp_path, changed(MIGRATIONS, old, new))
    assert [said for said in found if said.startswith(place) and words in said], found


def test_an_app_is_needed_where_django_is_meant(tmp_path: Path) -> None:
    """Its table holds every app's migrations, and its command names one; without Django, there must be a command."""
    django = changed(changed(MIGRATIONS, "    app: shop\n", ""), SQL, "{django: {dsnFile: a}}")
    assert any(said.startswith("10:5: app is missing: django_migrations") for said in mistakes_of(tmp_path, django))
    text = changed(changed(changed(MIGRATIONS, "    app: shop\n", ""), COMMAND, ""), PLAN, "")
    said = "10:5: down.command is missing; only with app, a Django app's label, is Django's own taken"
    assert mistakes_of(tmp_path, text) == [said]


@pytest.mark.parametrize(
    "secret",
    ["'postgresql://u:hunter2@h/d'", "host=h password=hunter2", '"password = hunter2\\nhost=h"', "u:hunter2@h"],
)
def test_a_connection_string_in_the_files_place_is_told_and_not_shown(tmp_path: Path, secret: str) -> None:
    """What stands where a path should be is taken for what it is, and no message repeats it."""
    found = mistakes_of(tmp_path, changed(MIGRATIONS, "secrets/dsn", secret))
    assert [said.split(": ")[0] for said in found] == ["11:30"]
    assert "put it into a file of a Secret" in found[0]
    assert "hunter2" not in found[0]


@pytest.mark.parametrize("kind", ["sql", "django"])
def test_dsn_files_that_are_not_there_are_named_by_their_key(tmp_path: Path, kind: str) -> None:
    """A file that isn't there, or is empty, is a mistake at its key, in the policy; the path isn't repeated."""
    policy = loaded(tmp_path, changed(MIGRATIONS, SQL, f"{{{kind}: {{dsnFile: hunter2}}}}"))
    shown = [str(mistake) for mistake in missing_files([policy])]
    column = 25 + len(kind) + 2
    assert shown == [f"{tmp_path}/policy.yaml:11:{column}: dsnFile: names no file that can be read from here"]
    (tmp_path / "hunter2").touch()
    assert [mistake.said for mistake in missing_files([policy])] == ["dsnFile: names an empty file"]
    (tmp_path / "hunter2").write_text("postgresql://h/d")
    assert missing_files([policy]) == ()


def test_a_policy_without_a_dsn_file_misses_none(tmp_path: Path) -> None:
    """Neither a policy without migrations nor one that goes by annotations needs a file."""
    annotated = loaded(tmp_path, changed(MIGRATIONS, SQL, "{annotation: a/b}"))
    assert missing_files([annotated, replace(annotated, migrations=None)]) == ()


def test_a_policy_that_is_gone_meanwhile_still_misses_its_file(tmp_path: Path) -> None:
    """Where the policy can't be read again for the place, the mistake is placed at its beginning."""
    policy = loaded(tmp_path, MIGRATIONS)
    (tmp_path / "policy.yaml").unlink()
    assert [str(one).removeprefix(f"{tmp_path}/") for one in missing_files([policy])] == [
        "policy.yaml:1:1: dsnFile: names no file that can be read from here"
    ]
