"""What a release changed: two pod templates compared for people, and the rollout history. Pure readings of raw JSON.

The confirm step records both, and the messages show them. No secret may show (`scrubbing`): what can't be told for
sure is not shown.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from watcher.judgement.rollouts import Object, revision_of
from watcher.runbook.scrubbing import LONGEST_NAME, MASK, argument_texts, command_line, harmless
from watcher.runbook.templates import images_of, without_hash

CHANGE_CAUSE = "kubernetes.io/change-cause"
MOST_LINES, MOST_REVISIONS = 20, 20
LONGEST_IMAGE, LONGEST_LIST, LONGEST_CAUSE = 120, 160, 200
HIDDEN = "(value not shown)"

# Fields whose strings are names out of a known few, or of other objects.
_NAMES = frozenset(
    {"serviceAccountName", "priorityClassName", "runtimeClassName", "schedulerName", "dnsPolicy", "restartPolicy"}
    | {"imagePullPolicy", "workingDir", "path", "port", "scheme", "type"}
)
_Line = tuple[str, str]  # what, and how it changed; the container's name goes between


def changes_between(bad: Mapping[str, Any], good: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what `bad` brought against `good`, both pod templates, in at most MOST_LINES lines; none where they agree.

    "image of `shop`: shop:1 → shop:2": from what ran before to what the release brought. Not escaped for any markup.
    """
    was, now = good.get("spec") or {}, bad.get("spec") or {}
    lines = [*_containers("container", was.get("containers"), now.get("containers"))]
    lines += _containers("init container", was.get("initContainers"), now.get("initContainers"))
    for name, old, new in _differing(_by_name(was.get("volumes")), _by_name(now.get("volumes"))):
        lines.append(f"volume {_quoted(name)}{_bare(old, new)}")
    for field, old, new in _differing(was, now):
        # `serviceAccount` is serviceAccountName under its old name: the API server keeps them equal.
        if field not in ("containers", "initContainers", "volumes", "serviceAccount"):
            lines += [what + how for what, how in _leaves(f"spec.{field}", old, new)]
    metas = [without_hash(dict(template))["metadata"] for template in (good, bad)]
    for part, word in (("labels", "label"), ("annotations", "annotation")):
        for name, old, new in _differing(*(meta.get(part) or {} for meta in metas)):
            lines.append(f"{word} {_quoted(name)}{_literals(name, old, new)}")
    more = len(lines) - MOST_LINES + 1
    return tuple(lines) if more <= 1 else (*lines[: MOST_LINES - 1], f"and {more} more")


def history_of(replica_sets: Iterable[Object]) -> list[dict[str, Any]]:
    """List a Deployment's revisions out of its ReplicaSets, the newest first and no more than MOST_REVISIONS.

    As `kubectl rollout history` does, with images, times (as Kubernetes writes them) and our verdicts.
    """
    read = [(revision, rs) for rs in replica_sets if (revision := revision_of(rs)) is not None]
    read.sort(key=lambda pair: pair[0].number, reverse=True)
    return [
        {
            "revision": revision.number,
            "replicaSet": revision.replica_set,
            "images": _cut(images_of(rs["spec"]["template"]), 2 * LONGEST_IMAGE),
            "changeCause": _cause(rs),
            "created": str(rs["metadata"].get("creationTimestamp") or ""),
            "verdict": revision.verdict,
        }
        for revision, rs in read[:MOST_REVISIONS]
    ]


def _containers(word: str, was: Any, now: Any) -> Iterator[str]:
    old, new = _by_name(was), _by_name(now)
    for name, before, after in _differing(old, new):
        if before is None or after is None:
            image = f": {_image(after['image'])}" if after and after.get("image") else ""
            yield f"{word} {_quoted(name)}{_bare(before, after)}{image}"
            continue
        for field, *pair in sorted(_differing(before, after), key=lambda change: change[0] != "image"):
            read = _READERS.get(field)
            for what, how in list(read(*pair) if read else _leaves(field, *pair)) or [(field, " changed")]:
                yield f"{what} of {_quoted(name)}{how}"
    if set(old) == set(new) and list(old) != list(new):
        yield f"order of the {word}s changed"


def _image(image: Any) -> str | None:
    return _cut(str(image), LONGEST_IMAGE) if image else None


def _env_lines(was: Any, now: Any) -> Iterator[_Line]:
    """A literal is shown beside another literal alone: one that moves into a Secret was a secret before."""
    for name, *entries in _differing(_by_name(was), _by_name(now)):
        literals = [None if entry is None else str(entry.get("value") or "") for entry in entries]
        sources = [_source(entry["valueFrom"]) if entry and entry.get("valueFrom") else "" for entry in entries]
        if not any(sources):
            yield f"env {_quoted(name)}", _literals(name, *literals)
        else:
            shown = [source or (HIDDEN if entry else None) for source, entry in zip(sources, entries, strict=True)]
            yield f"env {_quoted(name)}", _how(*shown)


def _source(reference: Mapping[str, Any]) -> str:
    """Name where an env value comes from, and nothing of what is there."""
    for field, word in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if reference.get(field):
            return f"{word} {_quoted(reference[field].get('name', ''))} key {_quoted(reference[field].get('key', ''))}"
    path = (reference.get("fieldRef") or {}).get("fieldPath") or (reference.get("resourceFieldRef") or {}).get(
        "resource"
    )
    return f"field {_quoted(path)}" if path else "another source"


def _resource_lines(was: Any, now: Any) -> Iterator[_Line]:
    for part in ("limits", "requests"):
        for name, *amounts in _differing(*((side or {}).get(part) or {} for side in (was, now))):
            yield f"{part}.{_name(name)}", _literals("", *amounts)


def _list_reader(field: str, texts: Callable[[Sequence[Any]], Iterable[str]]) -> Callable[[Any, Any], Iterator[_Line]]:
    """Compare two lists by what is in them; `texts` gives what may be shown of each item, in place."""

    def read(was: Any, now: Any) -> Iterator[_Line]:
        sides = []
        for items in (was or [], now or []):
            raw = [json.dumps(item, sort_keys=True) for item in items]
            sides.append(Counter(zip(raw, texts(items), strict=True)))
        gone, come = sides[0] - sides[1], sides[1] - sides[0]
        if gone or come:
            shown = (_cut(", ".join(text for _, text in s.elements()), LONGEST_LIST, end=False) for s in (gone, come))
            yield field, _how(*(text or None for text in shown))

    return read


def _env_from_texts(items: Sequence[Any]) -> Iterator[str]:
    for item in items:
        word, field = ("Secret", "secretRef") if item.get("secretRef") else ("ConfigMap", "configMapRef")
        prefix = f" as {_quoted(item['prefix'])}" if item.get("prefix") else ""
        yield f"{word} {_quoted((item.get(field) or {}).get('name', ''))}{prefix}"


def _port_texts(items: Sequence[Any]) -> Iterator[str]:
    for item in items:
        yield _name(f"{item.get('name') or ''} {item.get('containerPort')}/{item.get('protocol') or 'TCP'}")


def _mount_texts(items: Sequence[Any]) -> Iterator[str]:
    for item in items:
        path = str(item.get("mountPath", ""))
        yield f"{_quoted(item.get('name', ''))} at {path if harmless('', path) else MASK}"


_READERS: dict[str, Callable[[Any, Any], Iterator[_Line]]] = {
    "image": lambda was, now: iter([("image", _how(_image(was), _image(now)))]),
    "command": _list_reader("command", argument_texts),
    "args": _list_reader("args", argument_texts),
    "env": _env_lines,
    "envFrom": _list_reader("envFrom", _env_from_texts),
    "resources": _resource_lines,
    "ports": _list_reader("ports", _port_texts),
    "volumeMounts": _list_reader("volume mounts", _mount_texts),
}


def _leaves(path: str, was: Any, now: Any) -> Iterator[_Line]:
    """Find what differs within a field: numbers and well-known names are shown, all else only said to have changed."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key, old, new in _differing(was, now):
            yield from _leaves(f"{path}.{_name(key)}", old, new)
        return
    known = path.rpartition(".")[2] in _NAMES
    values = [value for value in (was, now) if value is not None]
    if all(isinstance(v, bool | int) or (known and isinstance(v, str) and harmless("", v)) for v in values):
        yield path, _how(*(v if v is None or isinstance(v, str) else json.dumps(v) for v in (was, now)))
    else:
        yield path, _bare(was, now)


def _differing(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield each key whose value differs, with both values; None where it is missing."""
    for key in dict.fromkeys((*now, *was)):
        if was.get(key) != now.get(key):
            yield key, was.get(key), now.get(key)


def _by_name(items: Any) -> dict[str, Any]:
    return {str(item.get("name", "")): item for item in items or []}


def _bare(was: Any, now: Any) -> str:
    return " added" if was is None else " removed" if now is None else " changed"


def _how(was: str | None, now: str | None) -> str:
    """Put a change into words; `was` and `now` are fit to be shown, HIDDEN, or None where there is nothing."""
    if HIDDEN in (was, now):
        if {was, now} <= {HIDDEN, None}:
            return f"{_bare(was, now)} {HIDDEN}"
    elif was is None or now is None:
        return f" added: {now}" if was is None else f" removed (was {was})"
    return f": {was} → {now}"


def _literals(name: str, was: Any, now: Any) -> str:
    texts = [None if value is None else str(value) for value in (was, now)]
    shown = all(harmless(name, text) for text in texts if text is not None)
    return _how(*(text if text is None else (text or "(empty)") if shown else HIDDEN for text in texts))


def _cause(replica_set: Object) -> str:
    text = str((replica_set["metadata"].get("annotations") or {}).get(CHANGE_CAUSE, ""))
    return _cut(command_line(text[: 20 * LONGEST_CAUSE]), LONGEST_CAUSE, end=False)


def _name(text: object) -> str:
    return _cut(str(text).replace("`", "'"), LONGEST_NAME, end=False)


def _quoted(text: object) -> str:
    return f"`{_name(text)}`"


def _cut(text: str, most: int, *, end: bool = True) -> str:
    """Put `text` on one line of at most `most` characters; `end` keeps its end, where an image has its tag."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    return "…" + line[1 - most :] if end else line[: most - 1] + "…"
