"""PromQL checked offline: its syntax and types, the variables it uses, and the labels that its answer will carry.

Used by `rules`. The parser is promql-parser, which knows no newer Prometheus than itself: `promqlCheck: off` beats it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import promql_parser
from promql_parser import AggModifierType, AggregateExpr, BinaryExpr, Call, Expr, ParenExpr, UnaryExpr, ValueType

VARIABLES = ("namespace", "deployment", "pod")
LONGEST = 4000  # characters; the parser is recursive, and 10,000 of them end the process with a segmentation fault
KNOWN = "$namespace, $deployment and $pod"
OVERRIDE = "if your Prometheus accepts it, write promqlCheck: off in this check"

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)|(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)|(?P<variable>\$(?:\{[^}\n]*\}|[A-Za-z_]\w*))""",
    re.DOTALL,
)
_VARIABLE = re.compile(r"\$(?P<brace>\{)?(?P<name>[A-Za-z_]\w*)(?(brace)[^}]*\})")
_METRIC = re.compile(r"[A-Za-z_:][\w:]*")
_KEEPS_SERIES = {"topk", "bottomk", "limitk", "limit_ratio"}
_CHANGES_LABELS = {"label_replace", "label_join", "absent", "absent_over_time", "info"}


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a query, and at which character of it."""

    offset: int
    said: str


@dataclass(frozen=True, slots=True)
class Query:
    """A query of a check: `labels` name the subject in the answer; `per_pod`: told by pod; `parsed`: not `off`."""

    text: str
    labels: tuple[str, ...]
    per_pod: bool
    parsed: bool


def flaws(query: Query) -> list[Flaw]:
    """List everything that is wrong with a query."""
    found, used = _variables(query.text)
    if query.per_pod and "pod" not in used and not found:
        found.append(Flaw(0, 'per: pod, but the query never uses $pod; write pod=~"$pod" into its braces'))
    elif not used and not found:
        said = 'the query would read the whole Prometheus; write namespace=~"$namespace" and deployment=~"$deployment"'
        found.append(Flaw(0, f"{said} into its braces"))
    if query.parsed:
        found.extend(_parsed(query))
    return found


def metric_in_seconds(text: str) -> str | None:
    """Name the first metric that the query reads in seconds (`_seconds`, but not `_seconds_count`), if there is one."""
    return next((name for name in _names(text) if re.search(r"_seconds(?!_count\b)(_|\b)", name)), None)


def metric_in_milliseconds(text: str) -> str | None:
    """Name the first metric that the query reads in milliseconds and does not seem to divide by 1000."""
    if re.search(r"\b(1000|1e3|1e-3)\b|\b0\.001\b", text):
        return None
    return next((name for name in _names(text) if re.search(r"_(milliseconds|ms)(?!_count\b)(_|\b)", name)), None)


def _names(text: str) -> Iterator[str]:
    return (found[0] for found in _METRIC.finditer(_blanked(text)))


def _blanked(text: str) -> str:
    """Put blanks where comments and quoted texts are, so that everything else keeps its place."""
    return _TOKEN.sub(lambda token: token[0] if token["variable"] else " " * len(token[0]), text)


def _variables(text: str) -> tuple[list[Flaw], set[str]]:
    """Find what is wrong with the `$variables` of a query, and which ones choose its series."""
    found: list[Flaw] = []
    used: set[str] = set()
    for token in _TOKEN.finditer(text):
        if token["comment"]:
            continue
        for variable in _VARIABLE.finditer(token[0]):
            operator = _operator(text[: token.start()])
            said = _variable_said(variable, operator, quoted=bool(token["text"]))
            if said:
                found.append(Flaw(token.start() + variable.start(), said))
            elif operator == "=~":
                used.add(variable["name"])
    return found, used


def _operator(before: str) -> str:
    found = re.search(r"(=~|!~|!=|=)\s*$", before)
    return found[1] if found else ""


def _variable_said(variable: re.Match[str], operator: str, *, quoted: bool) -> str:
    name = variable["name"]
    if name not in VARIABLES:
        hint = "; write the range itself, like [1m]" if name.startswith("__") else ""
        return f"{variable[0]} is not known; known are {KNOWN}{hint}"
    if variable["brace"]:
        return f"write ${name} without braces"
    if not quoted:
        return f'${name} must stand in quotes: {name}=~"${name}"'
    if operator in ("=", "!="):
        return f'${name} stands for many names: write =~ instead of {operator}, as in {name}=~"${name}"'
    if not operator:
        return f'${name} can only stand in braces, as in {{{name}=~"${name}"}}'
    return ""


def _parsed(query: Query) -> Iterator[Flaw]:
    """Ask the parser: syntax, types, and the labels that are left in the answer."""
    if len(query.text) > LONGEST:
        yield Flaw(0, f"PromQL of more than {LONGEST} characters isn't checked; {OVERRIDE}")
        return
    try:
        tree = promql_parser.parse(_TOKEN.sub(_filled, query.text))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - `offset inf` panics, and a Rust panic is no Exception
        yield Flaw(_offset(str(error), query.text), f"PromQL: {error}; {OVERRIDE}")
        return
    kind = _kind(tree)
    if kind != "vector":
        hint = "; put it in rate() or increase()" if kind == "range vector" else ""
        yield Flaw(0, f"PromQL: the query gives a {kind} where an instant vector is meant{hint}; {OVERRIDE}")
        return
    lost = _lost(tree, query.labels)
    if lost:
        keep = f"aggregate by ({', '.join(query.labels)}), or name what stands for them under labels"
        yield Flaw(0, f"PromQL: the answer doesn't carry {' and '.join(lost)}; {keep}; {OVERRIDE}")


def _filled(token: re.Match[str]) -> str:
    """Put something harmless in a variable's place, so that the parser sees what it would be sent."""
    if token["text"]:
        return _VARIABLE.sub("x", token[0])
    if token["variable"]:
        before = token.string[: token.start()].rstrip()
        return "1m" if before.endswith(("[", ":", "offset")) else '"x"'
    return token[0]


def _offset(said: str, text: str) -> int:
    """Find what the parser complains of: the bracket left open, or the word that it quotes if there is only one."""
    if "unclosed" in said or "end of input inside" in said:
        opened: list[int] = []
        for place, char in enumerate(_blanked(text)):
            if char in "([{":
                opened.append(place)
            elif char in ")]}" and opened:
                opened.pop()
        return opened[-1] if opened else 0
    quoted = re.search(r"'(.+?)'", said)
    if quoted:
        word = rf"\b{re.escape(quoted[1])}\b" if re.fullmatch(r"\w+", quoted[1]) else re.escape(quoted[1])
        places = [found.start() for found in re.finditer(word, text)]
        if len(places) == 1:
            return places[0]
    return 0


def _kind(tree: Expr) -> str:
    """Name the type of a query's answer."""
    waiting: list[Expr] = [tree]
    kinds = {"NumberLiteral": "scalar", "StringLiteral": "string"}
    kinds |= {"MatrixSelector": "range vector", "SubqueryExpr": "range vector"}
    kind = "scalar"
    while waiting and kind != "vector":
        part = waiting.pop()
        if isinstance(part, ParenExpr | UnaryExpr):
            waiting.append(part.expr)
        elif isinstance(part, BinaryExpr):
            waiting += [part.lhs, part.rhs]
        elif isinstance(part, Call):
            kind = "vector" if part.func.return_type == ValueType.Vector else "scalar"
        else:
            kind = kinds.get(type(part).__name__, "vector")
    return kind


def _lost(tree: Expr, labels: tuple[str, ...]) -> list[str]:
    """List the labels of the subject that an outer aggregation takes away; none where it can't be seen cheaply."""
    part: Expr | None = tree
    while part is not None:
        if isinstance(part, AggregateExpr) and str(part.op) not in _KEEPS_SERIES:
            return _aggregated(part, labels)
        part = _inner(part)
    return []


def _aggregated(part: AggregateExpr, labels: tuple[str, ...]) -> list[str]:
    if part.modifier is None:
        return list(labels)
    named = set(part.modifier.labels)
    by = part.modifier.type == AggModifierType.By
    return [label for label in labels if (label not in named) == by]


def _inner(part: Expr) -> Expr | None:
    """Give the part of an expression whose labels its answer has, or None where that isn't plain."""
    if isinstance(part, ParenExpr | UnaryExpr | AggregateExpr):
        return part.expr
    if isinstance(part, Call) and part.func.name not in _CHANGES_LABELS:
        return next((arg for arg in part.args if isinstance(arg, Expr) and _kind(arg) == "vector"), None)
    if isinstance(part, BinaryExpr) and not (part.modifier and (part.modifier.matching or part.modifier.group_labels)):
        return part.lhs if _kind(part.lhs) == "vector" else part.rhs
    return None
