"""The patch formats of the Kubernetes API, on plain JSON: JSON patch, merge patch, strategic merge patch."""

from __future__ import annotations

import copy
from typing import Any

from watcher.sandbox.cluster.kinds import Object
from watcher.sandbox.cluster.refusal import bad_request, patch_failed

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"

_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
    "conditions": "type",
    "ownerReferences": "uid",
    "podIPs": "ip",
}
"""The lists that a strategic merge patch merges by an element's key; all others it replaces."""


class _Inapplicable(Exception):
    """A JSON patch that can't be applied."""


def json_patch(document: Object, operations: Any) -> Object:
    """The document after RFC 6902 operations; raises a 422 if one of them, a `test` for one, can't be carried out."""
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    patched: Any = copy.deepcopy(document)
    try:
        for operation in operations:
            patched = _apply(patched, operation)
    except (_Inapplicable, KeyError, IndexError, ValueError, TypeError) as error:
        raise patch_failed() from error
    if not isinstance(patched, dict):
        raise patch_failed()
    return patched


def merge_patch(document: Any, patch: Any) -> Any:
    """The document after an RFC 7386 merge patch."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def strategic_merge_patch(document: Any, patch: Any) -> Any:
    """The document after a strategic merge patch: as a merge patch, but lists with a known key are merged by it."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    merged = dict(document) if isinstance(document, dict) else {}
    if "$retainKeys" in patch:
        merged = {key: value for key, value in merged.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, list) and key in _MERGE_KEYS:
            merged[key] = _merge_lists(merged.get(key) or [], value, _MERGE_KEYS[key])
        else:
            merged[key] = strategic_merge_patch(merged.get(key), value)
    return merged


def _merge_lists(present: list[Any], changes: list[Any], key: str) -> list[Any]:
    merged = list(present)
    for change in changes:
        at = next((index for index, item in enumerate(merged) if item.get(key) == change.get(key)), None)
        if change.get("$patch") == "delete":
            merged = [item for item in merged if item.get(key) != change.get(key)]
        elif at is None:
            merged.append(strategic_merge_patch({}, change))
        else:
            merged[at] = strategic_merge_patch(merged[at], change)
    return merged


def _apply(document: Any, operation: Object) -> Any:
    name, path = operation["op"], _pointer(operation["path"])
    if name == "test":
        _test(document, path, operation.get("value"))
        return document
    if name == "remove":
        return _remove(document, path)
    if name == "replace":
        _find(document, path)
        return _add(_remove(document, path), path, operation["value"])
    if name == "add":
        return _add(document, path, operation["value"])
    if name in {"move", "copy"}:
        origin = _pointer(operation["from"])
        value = copy.deepcopy(_find(document, origin))
        return _add(_remove(document, origin) if name == "move" else document, path, value)
    raise _Inapplicable


def _test(document: Any, path: list[str], value: Any) -> None:
    container = _find(document, path[:-1])
    absent = path and isinstance(container, dict) and path[-1] not in container
    # a real API server takes an absent member for null, but not an absent parent
    found = None if absent else _find(document, path)
    if not _same(found, value):
        raise _Inapplicable


def _same(one: Any, other: Any) -> bool:
    """Equality in JSON, where true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise _Inapplicable
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _step(container: Any, token: str) -> Any:
    return container[_index(container, token)] if isinstance(container, list) else container[token]


def _index(container: list[Any], token: str) -> int:
    if not token.isdigit() or int(token) >= len(container):
        raise _Inapplicable
    return int(token)


def _find(document: Any, path: list[str]) -> Any:
    for token in path:
        document = _step(document, token)
    return document


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        return None
    container = _find(document, path[:-1])
    del container[_index(container, path[-1]) if isinstance(container, list) else path[-1]]
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    value = copy.deepcopy(value)
    if not path:
        return value
    container = _find(document, path[:-1])
    if isinstance(container, dict):
        container[path[-1]] = value
    elif path[-1] == "-":
        container.append(value)
    else:
        at = len(container) if path[-1] == str(len(container)) else _index(container, path[-1])
        container.insert(at, value)
    return document
