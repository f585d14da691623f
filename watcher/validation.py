"""What pydantic says of a `documents.Document`, as mistakes: each at its place, saying what would be right."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from watcher.documents import Document, KeyPath, Mistake

T = TypeVar("T")

_MEANT = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "model_type": "a mapping",
    "dataclass_type": "a mapping",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
}
_BOUNDS = {
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be more than {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "finite_number": "must be a finite number",
    "string_too_short": "is empty",
    "too_short": "is empty; at least one is needed",
    "int_from_float": "must be a whole number",
}


def validated(
    document: Document, shape: TypeAdapter[T], context: Mapping[str, object] | None = None
) -> tuple[T | None, tuple[Mistake, ...]]:
    """Fit a document to a shape: the value, or every mistake that keeps it from fitting."""
    try:
        return shape.validate_python(document.data, context=dict(context or {})), ()
    except ValidationError as error:
        schema = shape.json_schema(by_alias=True)
        return None, tuple(_mistake(document, schema, path, detail) for path, detail in _flat(error, ()))


def split_url(written: str) -> SplitResult | None:
    """Take an http or https URL apart; None where it is none."""
    try:
        parts = urlsplit(written)
        fit = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if fit and not re.search(r"\s", written) else None


def _unknown_key(key: str, known: Mapping[str, object]) -> str:
    """Say that a key is unknown, and which one was probably meant, or which there are."""
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    folded = [name for name in known if name.lower() == key.lower().replace("_", "").replace("-", "")]
    if folded or close:
        return f"{key} is not a key here; did you mean {(folded or close)[0]}?"
    return f"{key} is not a key here; there are {', '.join(known)}"


def _flat(error: ValidationError, prefix: KeyPath) -> Iterator[tuple[KeyPath, ErrorDetails]]:
    """Give every error with its whole path, those of a validator within a validator included."""
    for detail in error.errors(include_url=False):
        path = prefix + detail["loc"]
        inner = detail.get("ctx", {}).get("error")
        if isinstance(inner, ValidationError):
            yield from _flat(inner, path)
        else:
            yield path, detail


def _mistake(document: Document, schema: dict[str, Any], path: KeyPath, detail: ErrorDetails) -> Mistake:
    kind = detail["type"]
    if kind == "missing":
        return document.mistake(path[:-1], _missing(schema, path))
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return document.key_mistake(path, _unknown_key(str(path[-1]), _properties(schema, path[:-1])))
    if path and path[-1] == "[key]":  # pydantic's mark for a mapping's key
        return document.key_mistake(path[:-1], _reason(detail))
    said = _named(path, _trap(document, path, detail))
    hint = _example(schema, path) if _MEANT.get(kind) in ("a mapping", "a list") else ""
    return document.mistake(path, said + hint)


def _missing(schema: dict[str, Any], path: KeyPath) -> str:
    return f"{path[-1]} is missing{_example(schema, path)}"


def _example(schema: dict[str, Any], path: KeyPath) -> str:
    """Give the example that the JSON Schema has for a key, as it could be written."""
    if not path or isinstance(path[-1], int):
        return ""
    around = _schema_at(schema, path[:-1])
    examples = (around.get("properties", {}).get(path[-1]) or around.get("additionalProperties") or {}).get("examples")
    if not examples:
        return ""
    shown = examples[0] if isinstance(examples[0], str) else json.dumps(examples[0])
    return f"; write for example {path[-1]}: {shown}"


def _reason(detail: ErrorDetails) -> str:
    """Put one of pydantic's errors into words; our own validators' words are kept as they are."""
    kind, context, given = detail["type"], detail.get("ctx", {}), detail["input"]
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        shown = f'"{given}"' if isinstance(given, str) else _given(given)
        return f"{shown} is not understood; write {context['expected']}"
    if kind in _MEANT:
        return f"is {_given(given)} where {_MEANT[kind]} is meant"
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**context)
    return detail["msg"]


def _trap(document: Document, path: KeyPath, detail: ErrorDetails) -> str:
    """Add to the reason what YAML made of an unquoted scalar: `on` is true, `12:30` is 750, `1.10` is 1.1."""
    said, written, given = _reason(detail), document.unquoted(path), detail["input"]
    if written is None or isinstance(given, str) or given is None:
        return said
    if detail["type"] == "string_type":
        return f'{written} is {_given(given)} to YAML; write "{written}" in quotes'
    read = str(given).lower()
    return said if written.lower() == read else f"{said} (YAML reads {written} as {read})"


def _given(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    words = {type(None): "empty", int: "a number", float: "a number", str: "text", list: "a list", dict: "a mapping"}
    return words.get(type(value), type(value).__name__)


def _named(path: KeyPath, said: str) -> str:
    """Put the last key in front, with the indexes that follow it."""
    last = next((index for index in range(len(path) - 1, -1, -1) if isinstance(path[index], str)), None)
    if last is None:
        return said
    name = f"{path[last]}" + "".join(f"[{index}]" for index in path[last + 1 :])
    return f"{name} {said}" if said.startswith(("is ", "must ")) else f"{name}: {said}"


def _properties(schema: dict[str, Any], path: KeyPath) -> dict[str, dict[str, Any]]:
    """Find the keys that the JSON Schema knows in the mapping at `path`."""
    found: dict[str, dict[str, Any]] = _schema_at(schema, path).get("properties", {})
    return found


def _schema_at(schema: dict[str, Any], path: KeyPath) -> dict[str, Any]:
    """Walk down the JSON Schema to the part that is for the value at `path`."""
    here = _resolved(schema, schema)
    for part in path:
        inner = here.get("items") if isinstance(part, int) else here.get("properties", {}).get(part)
        here = _resolved(schema, inner or here.get("additionalProperties") or {})
    return here


def _resolved(schema: dict[str, Any], here: dict[str, Any]) -> dict[str, Any]:
    for option in here.get("anyOf", ()):
        if "$ref" in option or "properties" in option:
            return _resolved(schema, option)
    if "$ref" in here:
        found: dict[str, Any] = schema["$defs"][here["$ref"].rsplit("/", 1)[1]]
        return found
    return here
