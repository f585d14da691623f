"""`validate` and `schema`, as people and editors use them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.policy.held_against import refusals
from tests.policy.policy_texts import MIGRATIONS, RATIO, VALUE, changed, mistakes_of
from watcher.commands.policies import schema, validate
from watcher.policy.document import json_schema

SHIPPED = Path(__file__).parents[2] / "policies"
CONFIG = 'cluster: {name: c, region: r}\npolicies: .\nprometheus: {url: "http://prometheus:9090"}\n'


def test_validate_ends_in_one_line_where_all_is_well() -> None:
    """Sound policies give exit code 0 and the counts."""
    out = io.StringIO()
    assert validate([SHIPPED], None, "text", out) == 0
    assert out.getvalue() == "3 files, 3 policies, 3 checks: no mistakes\n"


def test_validate_prints_every_mistake_with_its_place(tmp_path: Path) -> None:
    """Each mistake is a line that editors and CI can follow, and the exit code is 1."""
    file = tmp_path / "a.yaml"
    file.write_text(changed(changed(RATIO, "above: 1%", "above: 0.01"), "30m", "30"))
    out = io.StringIO()
    assert validate([file], None, "text", out) == 1
    assert out.getvalue().splitlines() == [
        f"{file}:6:13: watchFor: 30 has no unit; write 30s, 30m or 30h",
        f"{file}:13:12: above: 0.01 has no unit; write 1%",
        "1 file, 0 policies, 0 checks: 2 mistakes",
    ]


def test_validate_compares_policies_with_the_config(tmp_path: Path) -> None:
    """With a config, its own mistakes and a `for` shorter than its interval are told too."""
    (tmp_path / "a.yaml").write_text(changed(VALUE, "for: 5m", "for: 5s"))
    config = tmp_path / "config.yaml.txt"
    config.write_text(CONFIG)
    out = io.StringIO()
    assert validate([tmp_path / "a.yaml"], None, "text", out) == 0
    assert validate([tmp_path / "a.yaml"], config, "text", out) == 1
    said = f"{tmp_path / 'a.yaml'}:11:10: for: 5s is shorter than the config's interval; write at least 15s\n"
    assert said in out.getvalue()
    config.write_text(CONFIG + "intervall: 5s\n")
    assert validate([tmp_path / "a.yaml"], config, "text", out) == 1
    assert f"{config}:4:1: intervall is not a key here; did you mean interval?\n" in out.getvalue()


def test_validate_speaks_json(tmp_path: Path) -> None:
    """JSON holds the files, the mistakes with their places, and the policies."""
    (tmp_path / "a.yaml").write_text(changed(RATIO, "above: 1%", "above: 0.01"))
    (tmp_path / "b.yaml").write_text(VALUE)
    out = io.StringIO()
    assert validate([tmp_path], None, "json", out) == 1
    a, b = str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")
    assert json.loads(out.getvalue()) == {
        "files": [a, b],
        "mistakes": [{"file": a, "line": 13, "column": 12, "said": "above: 0.01 has no unit; write 1%"}],
        "policies": [{"name": "latency", "file": b, "checks": ["latency"]}],
    }


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_schema_accepts_the_shipped_policies(file: Path) -> None:
    """An editor with the schema underlines nothing in them."""
    assert list(refusals(json_schema(), yaml.safe_load(file.read_text()))) == []


REFUSED = [
    (RATIO, "watchFor: 30m", "watchFor: 30", "/spec/watchFor: not string"),
    (RATIO, "kind: RollbackPolicy", "kind: Rollback", "/kind: Rollback"),
    (RATIO, "above: 1%", "abvoe: 1%", "/spec/checks/0/abvoe: unknown"),
    (RATIO, "above: 1%", "above:", "/spec/checks/0/above: fits none"),
    (RATIO, "    above: 1%", "    value: up\n    above: 1%", "/spec/checks/0: not one of"),
    (MIGRATIONS, "revision: 41", "revision: 0", "/spec/rollbackTo/revision: below 1"),
    (MIGRATIONS, "{revision: 41}", "41", "/spec/rollbackTo: not object"),
    (MIGRATIONS, "scale-to-zero", "scaleToZero", "/spec/noEarlierRevision: scaleToZero"),
    (MIGRATIONS, "{sql: {", "{annotation: a/b, sql: {", "/spec/migrations/version: not one of"),
    (MIGRATIONS, "secrets/dsn", "'postgresql://u:p@h/d'", "/spec/migrations/version/sql/dsnFile: pattern"),
    (MIGRATIONS, "app: shop", "app: sh-op", "/spec/migrations/app: pattern"),
    (MIGRATIONS, "    app: shop\n", "", "/spec/migrations: fits none"),
    (MIGRATIONS, "$app, $version]", "$app]", "/spec/migrations/down/command: contains none"),
    (MIGRATIONS, "      command: [bin/migrate, $app, $version]\n", "", "/spec/migrations/down: plan without command"),
    (MIGRATIONS, "order: before", "order: first", "/spec/migrations/order: first"),
]


@pytest.mark.parametrize(("text", "old", "new", "refused"), REFUSED, ids=lambda given: str(given)[:40])
def test_the_schema_refuses_what_the_loader_refuses(
    tmp_path: Path, text: str, old: str, new: str, refused: str
) -> None:
    """An editor underlines units left out, unknown and empty keys, and keys that don't go together."""
    broken = changed(text, old, new)
    assert mistakes_of(tmp_path, broken) != []
    assert refused in list(refusals(json_schema(), yaml.safe_load(broken)))


def described(schema: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Give each key that the schema knows, and whether it is described."""
    for section in (schema, *schema["$defs"].values()):
        for key, inner in section["properties"].items():
            yield key, bool(inner.get("description"))


def test_every_key_of_the_schema_is_described() -> None:
    """The schema is printed as JSON, and each of its keys tells an editor what it is for."""
    out = io.StringIO()
    assert schema(out) == 0
    keys = dict(described(json.loads(out.getvalue())))
    new = {"rollbackTo", "revision", "noEarlierRevision", "migrations", "app", "version", "sql", "django", "dsnFile"}
    new |= {"query", "annotation", "down", "command", "plan", "container", "initContainers", "order", "irreversible"}
    assert {"watchFor", "ratio", "for", "promqlCheck", "timeout"} | new <= keys.keys()
    assert [key for key, has_one in keys.items() if not has_one] == []
    assert "null" not in out.getvalue(), "an empty key is a mistake"
