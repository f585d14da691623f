"""Label and field selectors, as they are written in a URL and in a Deployment's `spec.selector`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from watcher.sandbox.cluster.kinds import Kind, Object
from watcher.sandbox.cluster.refusal import bad_request

Test = Callable[[Object], bool]
Labels = Mapping[str, str]
Requirement = Callable[[Labels], bool]

_SET = re.compile(r"^(\S+)\s+(in|notin)\s*\(([^()]*)\)$")
_EQUALITY = re.compile(r"^([^=!\s]+)\s*(==|=|!=)\s*([^=!]*)$")
_EXISTENCE = re.compile(r"^(!?)\s*([^=!\s()]+)$")
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^(]*\))")


def label_test(text: str) -> Test:
    """The test that a `labelSelector` parameter makes of an object; raises a 400 for one that can't be read."""
    requirements = [_requirement(part.strip()) for part in _COMMA_OUTSIDE_PARENTHESES.split(text) if part.strip()]

    def test(item: Object) -> bool:
        labels: Labels = item["metadata"].get("labels") or {}
        return all(requirement(labels) for requirement in requirements)

    return test


def field_test(kind: Kind, text: str) -> Test:
    """The test that a `fieldSelector` parameter makes of an object; raises a 400 for a field without selector."""
    known = ("metadata.name", "metadata.namespace", *kind.fields)
    tests: list[Callable[[Object], bool]] = []
    for part in filter(None, text.split(",")):
        found = _EQUALITY.match(part.strip())
        if not found:
            raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
        field, operator, value = found.groups()
        if field not in known:
            only = ", ".join(f'"{name}"' for name in known)
            raise bad_request(f'"{field}" is not a known field selector: only {only}')
        tests.append(_field_equals(field.split("."), value.strip(), operator != "!="))
    return lambda item: all(test(item) for test in tests)


def matches(selector: Object, labels: Labels) -> bool:
    """Whether labels are selected by a `spec.selector` with `matchLabels` and `matchExpressions`."""
    wanted: Labels = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    operators: dict[str, Callable[[str, list[str]], bool]] = {
        "In": lambda key, values: labels.get(key) in values,
        "NotIn": lambda key, values: labels.get(key) not in values,
        "Exists": lambda key, _: key in labels,
        "DoesNotExist": lambda key, _: key not in labels,
    }
    expressions: list[dict[str, Any]] = selector.get("matchExpressions") or []
    return all(operators[one["operator"]](one["key"], one.get("values") or []) for one in expressions)


def _field_equals(path: list[str], value: str, wanted: bool) -> Test:
    def test(item: Object) -> bool:
        found: Any = item
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return (str(found or "") == value) is wanted

    return test


def _requirement(text: str) -> Requirement:
    if found := _SET.match(text):
        key, operator, listed = found.groups()
        values = {value.strip() for value in listed.split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUALITY.match(text):
        key, operator, value = found.group(1), found.group(2), found.group(3).strip()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTENCE.match(text):
        absent, key = bool(found.group(1)), found.group(2)
        return lambda labels: (key in labels) is not absent
    raise bad_request(f"unable to parse requirement: {text!r}")
