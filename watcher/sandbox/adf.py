"""The Atlassian Document Format as Jira Cloud documents it: which nodes, where, with which attributes and marks.

`jira` beside it checks descriptions and comments with it. Pages (structure, nodes/<name>, marks/<name>) are below
https://developer.atlassian.com/cloud/jira/platform/apis/document/. What they don't list is refused here: Atlassian's
JSON schema knows more, but those "may not be valid in this implementation. Refer to this documentation" (structure).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
LENGTH_LIMIT = 32_767
"""Characters (https://jira.atlassian.com/browse/JRACLOUD-68949). Of what, isn't said; here of all the JSON."""
DEEPEST = 100
"""Levels, so that a document that contains itself many times over ends in a problem and not in a crash."""


@dataclass(frozen=True, slots=True)
class _Value:
    """What an attribute may be: `what` is right, and `holds` tells."""

    what: str
    holds: Callable[[object], bool]
    needed: bool = False


def _needed(value: _Value) -> _Value:
    return _Value(value.what, value.holds, needed=True)


def _one_of(*values: str) -> _Value:
    return _Value(f"one of {', '.join(values)}", lambda given: isinstance(given, str) and given in values)


def _whole(least: int, most: int = 2**31) -> _Value:
    def holds(given: object) -> bool:
        return isinstance(given, int) and not isinstance(given, bool) and least <= given <= most

    return _Value(f"a whole number from {least}" + (f" to {most}" if most < 2**31 else ""), holds)


def _is_uri(given: object) -> bool:
    try:
        return isinstance(given, str) and not re.search(r"\s", given) and bool(urlsplit(given).scheme)
    except ValueError:
        return False


def _are_widths(given: object) -> bool:
    return isinstance(given, list) and bool(given) and all(_whole(0).holds(width) for width in given)


def _is_share(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given <= 100


TEXT = _Value("a string", lambda given: isinstance(given, str))
SOME_TEXT = _Value("a string that isn't empty", lambda given: isinstance(given, str) and bool(given))
URI = _Value("a URI", _is_uri)
DATA = _Value("an object", lambda given: isinstance(given, dict))
FLAG = _Value("true or false", lambda given: isinstance(given, bool))
HEX = _Value("a colour such as #daa520", lambda given: isinstance(given, str) and bool(COLOUR.fullmatch(given)))
MILLISECONDS = _Value(
    "milliseconds since 1970, in a string", lambda given: isinstance(given, str) and given.isdecimal()
)
WIDTHS = _Value("a list of whole numbers from 0", _are_widths)
SHARE = _Value("a number from 0 to 100", _is_share)


@dataclass(frozen=True, slots=True)
class _Node:
    """A node: the types that its content may have (none: it has no content), how many at least and at most."""

    content: frozenset[str] = frozenset()
    least: int = 0
    most: int | None = None
    attrs: Mapping[str, _Value] | None = None
    marks: frozenset[str] = frozenset()


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


INLINE = _names("date emoji hardBreak inlineCard mention status text mediaInline")
TOP = _names(
    "blockquote bulletList codeBlock expand heading mediaGroup mediaSingle orderedList panel paragraph rule table"
)
CELL = _names("blockquote bulletList codeBlock heading mediaGroup nestedExpand orderedList panel paragraph rule")
LISTS = _names("bulletList orderedList")
TEXT_MARKS = _names("backgroundColor code em link strike strong subsup textColor underline")
LOCAL_ID = {"localId": TEXT}
MEDIA = {"id": _needed(SOME_TEXT), "type": _needed(_one_of("file", "link")), "collection": _needed(TEXT)}
MEDIA |= {"width": _whole(1), "height": _whole(1), "occurrenceKey": SOME_TEXT, "alt": TEXT}
LAYOUTS = _one_of("wrap-left", "center", "wrap-right", "wide", "full-width", "align-start", "align-end")
SPANS = {"background": SOME_TEXT, "colspan": _whole(1), "rowspan": _whole(1), "colwidth": WIDTHS}

NODES: dict[str, _Node] = {
    "blockquote": _Node(_names("paragraph bulletList orderedList codeBlock mediaGroup mediaSingle"), 1),
    "bulletList": _Node(_names("listItem"), 1),
    "codeBlock": _Node(_names("text"), attrs={"language": TEXT}),
    "date": _Node(attrs={"timestamp": _needed(MILLISECONDS)}),
    "doc": _Node(TOP),
    "emoji": _Node(attrs={"id": TEXT, "shortName": _needed(TEXT), "text": TEXT}),
    "expand": _Node(TOP - {"expand"} | {"nestedExpand"}, 1, attrs={"title": TEXT}),
    "hardBreak": _Node(attrs={"text": _Value("a line break", lambda given: given == "\n")}),
    "heading": _Node(INLINE, attrs={"level": _needed(_whole(1, 6)), **LOCAL_ID}),
    "inlineCard": _Node(attrs={"url": URI, "data": DATA}),
    "listItem": _Node(_names("bulletList codeBlock mediaSingle orderedList paragraph"), 1),
    "media": _Node(attrs=MEDIA, marks=_names("border link")),
    "mediaGroup": _Node(_names("media"), 1),
    "mediaInline": _Node(attrs=MEDIA | {"type": _one_of("file", "link")}),
    "mediaSingle": _Node(
        _names("media"), 1, 1, {"layout": _needed(LAYOUTS), "width": SHARE, "widthType": _one_of("pixel", "percentage")}
    ),
    "mention": _Node(
        attrs={
            "id": _needed(TEXT),
            "text": TEXT,
            "userType": _one_of("DEFAULT", "SPECIAL", "APP"),
            "accessLevel": _one_of("NONE", "SITE", "APPLICATION", "CONTAINER"),
        }
    ),
    "nestedExpand": _Node(_names("paragraph heading mediaGroup mediaSingle"), 1, attrs={"title": TEXT}),
    "orderedList": _Node(_names("listItem"), 1, attrs={"order": _whole(0)}),
    "panel": _Node(
        _names("bulletList heading orderedList paragraph"),
        1,
        attrs={"panelType": _needed(_one_of("info", "note", "warning", "success", "error"))},
    ),
    "paragraph": _Node(INLINE, attrs=LOCAL_ID),
    "rule": _Node(),
    "status": _Node(
        attrs={
            "text": _needed(SOME_TEXT),
            "color": _needed(_one_of("neutral", "purple", "blue", "red", "yellow", "green")),
            **LOCAL_ID,
        }
    ),
    "table": _Node(
        _names("tableRow"),
        1,
        attrs={
            "isNumberColumnEnabled": FLAG,
            "width": _whole(1),
            "layout": _one_of("center", "align-start", "default", "wide", "full-width"),
            "displayMode": _one_of("default", "fixed"),
            **LOCAL_ID,
        },
    ),
    "tableCell": _Node(CELL, 1, attrs=SPANS),
    "tableHeader": _Node(CELL, 1, attrs=SPANS),
    "tableRow": _Node(_names("tableCell tableHeader"), 1),
    "text": _Node(marks=TEXT_MARKS),
}
ATTRS_REQUIRED = _names("expand nestedExpand inlineCard")
"""Nodes whose pages demand `attrs` though no attribute by itself."""

MARKS: dict[str, Mapping[str, _Value]] = {
    "backgroundColor": {"color": _needed(HEX)},
    "border": {"size": _needed(_whole(1, 3)), "color": _needed(SOME_TEXT)},
    "code": {},
    "em": {},
    "link": {"href": _needed(URI), "title": TEXT, "id": TEXT, "collection": TEXT, "occurrenceKey": TEXT},
    "strike": {},
    "strong": {},
    "subsup": {"type": _needed(_one_of("sub", "sup"))},
    "textColor": {"color": _needed(HEX)},
    "underline": {},
}


def problems(document: object) -> tuple[str, ...]:
    """Return what is wrong with a document, JSON as it was sent: one line for each mistake, none if it is right."""
    if not isinstance(document, dict) or document.get("type") != "doc":
        return ("the document is not an object of type doc",)
    version = document.get("version")
    wrong = () if version == 1 and not isinstance(version, bool) else ("version is not 1",)
    return (*wrong, *_node({name: value for name, value in document.items() if name != "version"}, "doc", 0))


def refusal(document: object) -> str:
    """Say in one line why Jira would not take `document` for a description or a comment; '' if it would."""
    if wrong := problems(document):
        return f"not a valid Atlassian document: {'; '.join(wrong)}"
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return "The entered text is too long." if len(text) > LENGTH_LIMIT else ""


def text_of(document: object) -> str:
    """Return the text of a document: its blocks a line each."""
    if not isinstance(document, dict):
        return ""
    if document.get("type") == "text":
        return str(document.get("text", ""))
    inner = [text_of(child) for child in document.get("content", [])]
    return ("" if document.get("type") in ("paragraph", "heading", "codeBlock") else "\n").join(inner)


def _node(node: Mapping[str, object], at: str, depth: int) -> Iterator[str]:
    kind = str(node["type"])
    rule = NODES[kind]
    allowed = {"type"} | ({"content"} if rule.content else set()) | ({"attrs"} if rule.attrs is not None else set())
    allowed |= ({"marks"} if rule.marks else set()) | ({"text"} if kind == "text" else set())
    yield from (f"{at}: {name} is no property of {kind}" for name in sorted(node.keys() - allowed))
    if depth > DEEPEST:
        yield f"{at}: nodes are nested more than {DEEPEST} deep"
        return
    if kind == "text" and not SOME_TEXT.holds(node.get("text")):
        yield f"{at}: text is not {SOME_TEXT.what}"
    if rule.attrs is not None:
        yield from _attrs(node, rule.attrs, at)
    if rule.marks and "marks" in node:
        yield from _marks(node["marks"], rule.marks, at)
    if rule.content:
        yield from _content(node, rule, at, depth)
    yield from _whole_node(kind, node, at)


def _content(node: Mapping[str, object], rule: _Node, at: str, depth: int) -> Iterator[str]:
    kind = str(node["type"])
    content = node.get("content", None if rule.least or kind == "doc" else [])
    if not isinstance(content, list):
        yield f"{at}: content is not a list of nodes"
        return
    if len(content) < rule.least or (rule.most is not None and len(content) > rule.most):
        yield f"{at}: {kind} has {len(content)} nodes, and not {'one' if rule.most else 'one or more'}"
    for position, child in enumerate(content):
        name = child.get("type") if isinstance(child, dict) else None
        where = f"{at}.content[{position}]"
        if not isinstance(name, str) or name not in rule.content:
            yield f"{where}: {kind} can't contain {name if isinstance(name, str) else 'what is no node'}"
            continue
        yield from _node(child, f"{where} {name}", depth + 1)


def _attrs(holder: Mapping[str, object], rules: Mapping[str, _Value], at: str) -> Iterator[str]:
    required = holder.get("type") in ATTRS_REQUIRED or any(rule.needed for rule in rules.values())
    attrs = holder.get("attrs", None if required else {})
    if not isinstance(attrs, dict):
        yield f"{at}: attrs is not an object"
        return
    for name in sorted(attrs.keys() - rules.keys()):
        yield f"{at}: {name} is no attribute of {holder.get('type')}"
    for name, rule in rules.items():
        if name in attrs and not rule.holds(attrs[name]):
            yield f"{at}: attrs.{name} is not {rule.what}"
        if name not in attrs and rule.needed:
            yield f"{at}: attrs.{name} is missing"


def _marks(marks: object, allowed: frozenset[str], at: str) -> Iterator[str]:
    """Check each mark, and which go together (marks/code, marks/textColor, marks/backgroundColor)."""
    if not isinstance(marks, list) or not all(isinstance(mark, dict) for mark in marks):
        yield f"{at}: marks is not a list of objects"
        return
    kinds = [str(mark.get("type")) for mark in marks]
    for kind, mark in zip(kinds, marks, strict=True):
        if kind not in allowed:
            yield f"{at}: {kind} is no mark for this node"
            continue
        rules = MARKS[kind]
        yield from (
            f"{at}: {name} is no property of the mark {kind}" for name in sorted(mark.keys() - {"type", "attrs"})
        )
        if not rules and "attrs" in mark:
            yield f"{at}: the mark {kind} has no attrs"
        yield from _attrs(mark, rules, f"{at} {kind}") if rules else ()
    if "code" in kinds and set(kinds) - {"code", "link"}:
        yield f"{at}: code can only be combined with link"
    if {"textColor", "link"} <= set(kinds):
        yield f"{at}: textColor can't be combined with link"
    yield from (f"{at}: the mark {kind} is there twice" for kind in sorted(set(kinds)) if kinds.count(kind) > 1)


def _whole_node(kind: str, node: Mapping[str, object], at: str) -> Iterator[str]:
    """Check what concerns several parts of a node at once."""
    attrs, content = node.get("attrs"), node.get("content")
    first = content[0] if isinstance(content, list) and content and isinstance(content[0], dict) else {}
    if kind == "listItem" and first.get("type") in LISTS:
        # https://developer.atlassian.com/platform/framework/adf-builder/reference/nodes/listItem/
        yield f"{at}: a list can't be the first node of a listItem"
    if kind == "codeBlock" and isinstance(content, list):
        yield from (
            f"{at}: text in a codeBlock has no marks" for c in content if isinstance(c, dict) and c.get("marks")
        )
    if not isinstance(attrs, dict):
        return
    if kind == "inlineCard" and ("url" in attrs) == ("data" in attrs):
        yield f"{at}: either url or data must be given, and not both"
    widths = attrs.get("colwidth")
    if isinstance(widths, list) and len(widths) != attrs.get("colspan", 1):
        yield f"{at}: colwidth has {len(widths)} numbers for {attrs.get('colspan', 1)} columns"
