"""What takes several keys of a policy to judge: which keys go together, thresholds and their units, PromQL.

Works on the document as it was written, beside pydantic, so that a mistake in one key doesn't hide those in others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from watcher import quantities
from watcher.documents import Document, KeyPath, Mistake
from watcher.policy import promql

_KINDS = ("ratio", "value", "smokeTest")
_PROBES = ("job", "http")
_VERSIONS = ("sql", "django", "annotation")
_WRITES = re.compile(r"\s*(alter|call|copy|create|delete|do|drop|grant|insert|merge|truncate|update)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Written:
    """A check as the file has it, and where."""

    document: Document
    path: KeyPath
    keys: Mapping[str, object]

    def mistake(self, said: str, *path: str, offset: int = 0) -> Mistake:
        return self.document.mistake((*self.path, *path), said, offset)

    def key_mistake(self, said: str, *path: str) -> Mistake:
        return self.document.key_mistake((*self.path, *path), said)


def mistakes(document: Document) -> Iterator[Mistake]:
    """Give every mistake of a policy file that `document.SHAPE` can't see."""
    spec = _mapping(document.data, "spec")
    written = spec.get("checks")
    checks = [
        _Written(document, ("spec", "checks", index), check)
        for index, check in enumerate(written if isinstance(written, list) else ())
        if isinstance(check, dict)
    ]
    names: set[object] = set()
    for check in checks:
        name = check.keys.get("name")
        if isinstance(name, str) and name in names:
            yield check.mistake(f"name: {name} is taken by a check above; names are unique in a policy", "name")
        names.add(name if isinstance(name, str) else None)
        yield from _of_check(check)
        yield from _watch_mistakes(check, spec.get("watchFor"))
    yield from _revision_mistakes(document, spec)
    migrations = spec.get("migrations")
    if isinstance(migrations, dict):
        yield from _migrations_mistakes(_Written(document, ("spec", "migrations"), migrations))


def _of_check(check: _Written) -> Iterator[Mistake]:
    kinds = [key for key in check.keys if key in _KINDS]
    if not kinds:
        yield check.mistake("the check has no question; write one of ratio, value and smokeTest")
    for extra in kinds[1:]:
        yield check.key_mistake(
            f"{extra}: the check has a {kinds[0]} already; give the {extra} a check of its own", extra
        )
    if kinds[:1] == ["smokeTest"]:
        yield from _smoke_mistakes(check)
    elif kinds:
        yield from _kind_mistakes(check, kinds[0])
        yield from _threshold_mistakes(check, kinds[0])
        yield from _query_mistakes(check, kinds[0])


def _smoke_mistakes(check: _Written) -> Iterator[Mistake]:
    for key in ("above", "for", "atLeast", "control", "labels", "promqlCheck"):
        if key in check.keys:
            yield check.key_mistake(f"{key}: means nothing for a smokeTest; leave it out", key)
    smoke_test = check.keys["smokeTest"]
    if isinstance(smoke_test, dict):
        probes = [key for key in smoke_test if key in _PROBES]
        if len(probes) != 1:
            yield check.mistake("smokeTest: write exactly one of job and http", "smokeTest")


def _kind_mistakes(check: _Written, kind: str) -> Iterator[Mistake]:
    ratio = _mapping(check.keys, "ratio")
    if kind == "value" and "atLeast" in check.keys:
        yield check.key_mistake("atLeast: counts belong to a ratio; leave it out, or ask for a ratio", "atLeast")
    if check.keys.get("control") == "previous-revision" and ratio.get("per") != "pod":
        right = "write per: pod in the ratio" if kind == "ratio" else "leave it out, or ask for a ratio with per: pod"
        yield check.mistake(f"control: old and new pods are told apart by pod only; {right}", "control")
    if "labels" in check.keys and "labels" in ratio:
        yield check.key_mistake("labels: the ratio names its labels already; keep one of the two", "labels")


def _threshold_mistakes(check: _Written, kind: str) -> Iterator[Mistake]:
    above = check.keys.get("above")
    if "above" not in check.keys:
        example = "1%" if kind == "ratio" else "500ms"
        yield check.mistake(f"above is missing; write the threshold, for example above: {example}")
    path = ("above", "default") if isinstance(above, dict) else ("above",)
    written = above.get("default") if isinstance(above, dict) else above
    try:
        value, unit = quantities.quantity(written)
    except ValueError:
        return
    said = _ratio_said(value, unit) if kind == "ratio" else _value_said(value, unit, _text(check.keys, "value"))
    if said:
        yield check.mistake(f"{path[-1]}: {said.replace('{written}', str(written))}", *path)


def _ratio_said(value: float, unit: quantities.Unit) -> str:
    if unit == "number":
        return f"{quantities.show(value)} has no unit; write {quantities.as_percentage(value)}"
    if unit == "seconds":
        return "{written} is a time; a ratio's threshold is a percentage, like 1%"
    return "no ratio is above {written}; write less than 100%" if value >= 1 else ""


def _value_said(value: float, unit: quantities.Unit, query: str) -> str:
    in_seconds, in_milliseconds = promql.metric_in_seconds(query), promql.metric_in_milliseconds(query)
    if unit == "number" and in_seconds:
        right = quantities.as_duration(value)
        return f"{quantities.show(value)} has no unit, and the query reads {in_seconds}; write {right}"
    if unit == "seconds" and in_milliseconds:
        said = f"{{written}} is compared as {quantities.show(value)} seconds, and the query reads {in_milliseconds}"
        return f"{said}; divide the query by 1000"
    return ""


def _query_mistakes(check: _Written, kind: str) -> Iterator[Mistake]:
    ratio = _mapping(check.keys, "ratio")
    per_pod = ratio.get("per") == "pod"
    names = _mapping(ratio, "labels") or _mapping(check.keys, "labels")
    wanted = ("namespace", "pod") if per_pod else ("namespace", "deployment")
    labels = tuple(_text(names, name) or name for name in wanted)
    parsed = check.keys.get("promqlCheck", "on") not in ("off", False)
    for path in (("ratio", "bad"), ("ratio", "total")) if kind == "ratio" else (("value",),):
        text = _text(ratio if kind == "ratio" else check.keys, path[-1])
        if not text:
            continue
        for flaw in promql.flaws(promql.Query(text, labels, per_pod, parsed)):
            yield check.mistake(f"{path[-1]}: {flaw.said}", *path, offset=flaw.offset)


def _watch_mistakes(check: _Written, watch_for: object) -> Iterator[Mistake]:
    try:
        held, watched = quantities.seconds(check.keys.get("for")), quantities.seconds(watch_for)
    except ValueError:
        return
    if held >= watched:
        yield check.mistake(f"for: {check.keys['for']} never ends within watchFor: {watch_for}; write less", "for")


def _revision_mistakes(document: Document, spec: Mapping[str, object]) -> Iterator[Mistake]:
    """YAML takes 041 for an octal number: 33."""
    path = ("spec", "rollbackTo", "revision")
    written, number = document.unquoted(path), _mapping(spec, "rollbackTo").get("revision")
    if isinstance(number, int) and not isinstance(number, bool) and written not in (None, str(number)):
        yield document.mistake(path, f"revision: YAML reads {written} as {number}; write the number's digits alone")


def _migrations_mistakes(written: _Written) -> Iterator[Mistake]:
    version, down = _mapping(written.keys, "version"), _mapping(written.keys, "down")
    sources = [key for key in version if key in _VERSIONS]
    if isinstance(written.keys.get("version"), dict) and len(sources) != 1:
        yield written.mistake("version: write exactly one of sql, django and annotation", "version")
    if _WRITES.match(_text(_mapping(version, "sql"), "query")):
        yield written.mistake(
            "query: is there to read; write a SELECT that gives the version", "version", "sql", "query"
        )
    if "django" in version and "app" not in written.keys:
        yield written.mistake("app is missing: django_migrations is read for one app; write for example app: shop")
    elif "app" not in written.keys and "command" not in down:
        yield written.mistake("down.command is missing; only with app, a Django app's label, is Django's own taken")
    yield from _down_mistakes(written, down)


def _down_mistakes(written: _Written, down: Mapping[str, object]) -> Iterator[Mistake]:
    if "plan" in down and "command" not in down:
        said = "plan: belongs to a command; write that too, or leave both out for Django's"
        yield written.key_mistake(said, "down", "plan")
    for key in ("command", "plan"):
        words = [word for word in _list(down.get(key)) if isinstance(word, str)]
        if words and not _used("version", words):
            yield written.mistake(f"{key}: names no $version, the one to go back to; write it as a word", "down", key)
        if "app" not in written.keys and _used("app", words):
            yield written.mistake(f"{key}: $app is used, and app is missing; write for example app: shop", "down", key)


def _used(variable: str, words: list[str]) -> bool:
    return any(re.search(rf"\${variable}(?!\w)", word) for word in words)


def _list(written: object) -> list[object]:
    return written if isinstance(written, list) else []


def _mapping(holder: object, key: str) -> Mapping[str, object]:
    value = holder.get(key) if isinstance(holder, dict | Mapping) else None
    return value if isinstance(value, dict) else {}


def _text(holder: Mapping[str, object], key: str) -> str:
    value = holder.get(key)
    return value if isinstance(value, str) else ""
