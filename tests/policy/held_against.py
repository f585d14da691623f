"""A value held against a JSON Schema: the part of draft 2020-12 that ours uses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_KINDS: dict[str, Any] = {"object": dict, "array": list, "string": str, "number": (int, float), "integer": int}
_UNDERSTOOD = {
    *("$ref", "anyOf", "oneOf", "type", "enum", "const", "pattern", "minLength", "minItems", "minimum", "maximum"),
    *("contains", "items", "properties", "patternProperties", "additionalProperties", "required", "dependentRequired"),
    *("title", "description", "default", "examples", "$schema", "$defs"),
}


def refusals(schema: dict[str, Any], value: object) -> Iterator[str]:
    """Give each path in `value` that the schema refuses, and why."""
    return _refusals(schema, schema, value, "")


def _refusals(root: dict[str, Any], here: dict[str, Any], value: object, path: str) -> Iterator[str]:
    assert here.keys() <= _UNDERSTOOD, here.keys() - _UNDERSTOOD
    if "$ref" in here:
        yield from _refusals(root, root["$defs"][here["$ref"].rsplit("/", 1)[1]], value, path)
    if "anyOf" in here and all(list(_refusals(root, option, value, path)) for option in here["anyOf"]):
        yield f"{path}: fits none"
    if "oneOf" in here and sum(not list(_refusals(root, option, value, path)) for option in here["oneOf"]) != 1:
        yield f"{path}: not one of"
    if "type" in here and (isinstance(value, bool) or not isinstance(value, _KINDS[here["type"]])):
        yield f"{path}: not {here['type']}"
    if value not in here.get("enum", [value]) or value != here.get("const", value):
        yield f"{path}: {value}"
    if isinstance(value, int | float) and not here.get("minimum", value) <= value <= here.get("maximum", value):
        yield f"{path}: below {here.get('minimum')}" if value < here.get("minimum", value) else f"{path}: too large"
    if isinstance(value, str):
        yield from _of_text(here, value, path)
    if isinstance(value, dict):
        yield from _of_mapping(root, here, value, path)
    if isinstance(value, list):
        yield from _of_list(root, here, value, path)


def _of_text(here: dict[str, Any], value: str, path: str) -> Iterator[str]:
    if not re.search(here.get("pattern", ""), value):
        yield f"{path}: pattern"
    if len(value) < here.get("minLength", 0):
        yield f"{path}: too short"


def _of_mapping(root: dict[str, Any], here: dict[str, Any], value: dict[str, Any], path: str) -> Iterator[str]:
    yield from (f"{path}: no {key}" for key in here.get("required", ()) if key not in value)
    for key, needed in here.get("dependentRequired", {}).items():
        yield from (f"{path}: {key} without {one}" for one in needed if key in value and one not in value)
    for key, inner in value.items():
        patterns = (inside for pattern, inside in here.get("patternProperties", {}).items() if re.search(pattern, key))
        others = next(patterns, here.get("additionalProperties", {}))
        known = here.get("properties", {}).get(key, others)
        if known is False:
            yield f"{path}/{key}: unknown"
        else:
            yield from _refusals(root, known or {}, inner, f"{path}/{key}")


def _of_list(root: dict[str, Any], here: dict[str, Any], value: list[Any], path: str) -> Iterator[str]:
    if len(value) < here.get("minItems", 0):
        yield f"{path}: too few"
    for index, inner in enumerate(value):
        yield from _refusals(root, here.get("items", {}), inner, f"{path}/{index}")
    if "contains" in here and all(list(_refusals(root, here["contains"], one, path)) for one in value):
        yield f"{path}: contains none"
