"""`validate` and `schema`, as people and editors use them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.policy.policy_texts import RATIO, VALUE, changed
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


def refusals(root: dict[str, Any], here: dict[str, Any], value: object, path: str = "") -> Iterator[str]:
    """Hold a value against the part of JSON Schema that ours uses; give each path that it refuses, and why."""
    if "$ref" in here:
        yield from refusals(root, root["$defs"][here["$ref"].rsplit("/", 1)[1]], value, path)
    if "anyOf" in here and all(list(refusals(root, option, value)) for option in here["anyOf"]):
        yield f"{path}: fits none"
    if "oneOf" in here and sum(not list(refusals(root, option, value)) for option in here["oneOf"]) != 1:
        yield f"{path}: not one of"
    kinds: dict[str, Any] = {"object": dict, "array": list, "string": str, "number": (int, float), "integer": int}
    if "type" in here and not isinstance(value, kinds[here["type"]]):
        yield f"{path}: not {here['type']}"
    if value not in here.get("enum", [value]) or value != here.get("const", value):
        yield f"{path}: {value}"
    if isinstance(value, str) and not re.search(here.get("pattern", ""), value):
        yield f"{path}: pattern"
    if isinstance(value, dict):
        yield from (f"{path}: no {key}" for key in here.get("required", ()) if key not in value)
        for key, inner in value.items():
            known = here.get("properties", {}).get(key, here.get("additionalProperties", {}))
            if known is False:
                yield f"{path}/{key}: unknown"
            else:
                yield from refusals(root, known or {}, inner, f"{path}/{key}")
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from refusals(root, here.get("items", {}), inner, f"{path}/{index}")


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_schema_accepts_the_shipped_policies(file: Path) -> None:
    """An editor with the schema underlines nothing in them."""
    assert list(refusals(json_schema(), json_schema(), yaml.safe_load(file.read_text()))) == []


@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [
        ("watchFor: 30m", "watchFor: 30", "/spec/watchFor: not string"),
        ("kind: RollbackPolicy", "kind: Rollback", "/kind: Rollback"),
        ("above: 1%", "abvoe: 1%", "/spec/checks/0/abvoe: unknown"),
        ("above: 1%", "above:", "/spec/checks/0/above: fits none"),
        ("    above: 1%", "    value: up\n    above: 1%", "/spec/checks/0: not one of"),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(old: str, new: str, refused: str) -> None:
    """An editor underlines units left out, unknown and empty keys, and two questions in one check."""
    written = yaml.safe_load(changed(RATIO, old, new))
    assert refused in list(refusals(json_schema(), json_schema(), written))


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
    assert {"watchFor", "ratio", "for", "promqlCheck", "timeout"} <= keys.keys()
    assert [key for key, has_one in keys.items() if not has_one] == []
    assert "null" not in out.getvalue(), "an empty key is a mistake"
