"""Jira's stand-in: it refuses what Atlassian's documents refuse, documents that are none of theirs above all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from watcher.sandbox import adf
from watcher.sandbox.jira import Jira

TEXT: dict[str, Any] = {"type": "text", "text": "hello"}
PARAGRAPH: dict[str, Any] = {"type": "paragraph", "content": [TEXT]}
ITEM: dict[str, Any] = {"type": "listItem", "content": [PARAGRAPH]}
BULLETS: dict[str, Any] = {"type": "bulletList", "content": [ITEM]}
LINK: dict[str, Any] = {"type": "link", "attrs": {"href": "https://example.com/a?b=c#d"}}
PANEL: dict[str, Any] = {"type": "panel", "attrs": {"panelType": "info"}}
FIELDS: dict[str, Any] = {"project": {"key": "OPS"}, "issuetype": {"name": "Task"}, "summary": "s"}


def doc(*nodes: Any) -> dict[str, Any]:
    """Return a document of these nodes."""
    return {"version": 1, "type": "doc", "content": list(nodes)}


def marked(*marks: Any) -> dict[str, Any]:
    """Return a document of a text with these marks."""
    return doc({"type": "paragraph", "content": [TEXT | {"marks": list(marks)}]})


def table(*rows: Any) -> dict[str, Any]:
    """Return a document of a table with these rows."""
    return doc({"type": "table", "content": [{"type": "tableRow", "content": row} for row in rows]})


def cell(kind: str = "tableCell", **attrs: object) -> dict[str, Any]:
    """Return a table's cell."""
    return {"type": kind, "attrs": attrs, "content": [PARAGRAPH]}


@pytest.mark.parametrize(
    "document",
    [
        doc(),
        doc(PARAGRAPH, {"type": "paragraph"}, {"type": "rule"}),
        doc({"type": "heading", "attrs": {"level": 2}, "content": [TEXT, {"type": "hardBreak"}, TEXT]}),
        doc({"type": "orderedList", "attrs": {"order": 3}, "content": [ITEM]}),
        doc({"type": "bulletList", "content": [{"type": "listItem", "content": [PARAGRAPH, BULLETS]}]}),
        doc(PANEL | {"content": [PARAGRAPH, BULLETS]}),
        doc({"type": "codeBlock", "attrs": {"language": "text"}, "content": [TEXT]}),
        doc({"type": "expand", "attrs": {"title": "Evidence"}, "content": [PARAGRAPH]}),
        doc({"type": "blockquote", "content": [PARAGRAPH]}),
        doc({"type": "paragraph", "content": [{"type": "status", "attrs": {"text": "DONE", "color": "green"}}]}),
        doc({"type": "paragraph", "content": [{"type": "date", "attrs": {"timestamp": "1764000000000"}}]}),
        doc({"type": "paragraph", "content": [{"type": "inlineCard", "attrs": {"url": "https://example.com"}}]}),
        marked({"type": "code"}, LINK),
        marked({"type": "strong"}, {"type": "em"}, LINK),
        marked({"type": "textColor", "attrs": {"color": "#DAA520"}}),
        table([cell("tableHeader"), cell("tableHeader")], [cell(colspan=2, colwidth=[120, 0])]),
    ],
    ids=str,
)
def test_a_documented_document_is_valid(document: dict[str, Any]) -> None:
    """What Atlassian's pages show is right."""
    assert adf.problems(document) == ()


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("plain text", "the document is not an object of type doc"),
        ({"type": "doc", "content": []}, "version is not 1"),
        ({"version": 1, "type": "doc"}, "doc: content is not a list of nodes"),
        (doc() | {"attrs": {}}, "doc: attrs is no property of doc"),
        (doc(TEXT), "doc.content[0]: doc can't contain text"),
        (doc("x"), "doc.content[0]: doc can't contain what is no node"),
        (doc({"type": "taskList", "content": []}), "doc.content[0]: doc can't contain taskList"),
        (
            doc({"type": "paragraph", "content": [{"type": "text", "text": ""}]}),
            "text is not a string that isn't empty",
        ),
        (doc({"type": "paragraph", "content": [PARAGRAPH]}), "paragraph can't contain paragraph"),
        (doc(PARAGRAPH | {"text": "x"}), "text is no property of paragraph"),
        (doc({"type": "heading", "content": [TEXT]}), "attrs is not an object"),
        (doc({"type": "heading", "attrs": {"level": 7}}), "attrs.level is not a whole number from 1 to 6"),
        (doc({"type": "heading", "attrs": {"level": "2"}}), "attrs.level is not a whole number from 1 to 6"),
        (doc({"type": "heading", "attrs": {}}), "attrs.level is missing"),
        (doc({"type": "bulletList", "content": []}), "bulletList has 0 nodes, and not one or more"),
        (doc({"type": "bulletList", "content": [PARAGRAPH]}), "bulletList can't contain paragraph"),
        (doc({"type": "bulletList", "content": [{"type": "listItem", "content": [TEXT]}]}), "can't contain text"),
        (
            doc({"type": "bulletList", "content": [{"type": "listItem", "content": [BULLETS]}]}),
            "a list can't be the first node of a listItem",
        ),
        (doc(PANEL | {"content": [table([cell()])["content"][0]]}), "panel can't contain table"),
        (doc(PANEL | {"content": [PARAGRAPH], "attrs": {"panelType": "red"}}), "attrs.panelType is not one of info"),
        (
            doc({"type": "codeBlock", "content": [TEXT | {"marks": [{"type": "em"}]}]}),
            "text in a codeBlock has no marks",
        ),
        (doc({"type": "expand", "content": [PARAGRAPH]}), "attrs is not an object"),
        (doc({"type": "paragraph", "content": [{"type": "inlineCard", "attrs": {}}]}), "either url or data"),
        (doc({"type": "rule", "content": []}), "content is no property of rule"),
        (marked({"type": "bold"}), "bold is no mark for this node"),
        (marked({"type": "code"}, {"type": "strong"}), "code can only be combined with link"),
        (marked({"type": "textColor", "attrs": {"color": "#daa520"}}, LINK), "textColor can't be combined with link"),
        (marked({"type": "textColor", "attrs": {"color": "red"}}), "attrs.color is not a colour"),
        (marked({"type": "strong"}, {"type": "strong"}), "the mark strong is there twice"),
        (marked({"type": "strong", "attrs": {}}), "the mark strong has no attrs"),
        (marked({"type": "link", "attrs": {"href": "no address"}}), "attrs.href is not a URI"),
        (marked({"type": "link"}), "attrs is not an object"),
        (marked("strong"), "marks is not a list of objects"),
        (table(), "table has 0 nodes, and not one or more"),
        (table([]), "tableRow has 0 nodes, and not one or more"),
        (table([PARAGRAPH]), "tableRow can't contain paragraph"),
        (table([{"type": "tableCell", "content": []}]), "tableCell has 0 nodes"),
        (table([{"type": "tableCell", "content": [TEXT]}]), "tableCell can't contain text"),
        (table([cell(colspan=0)]), "attrs.colspan is not a whole number from 1"),
        (table([cell(colwidth=[1, 2])]), "colwidth has 2 numbers for 1 columns"),
        (table([cell(align="left")]), "align is no attribute of tableCell"),
    ],
    ids=str,
)
def test_an_undocumented_document_is_not(document: object, problem: str) -> None:
    """Each mistake is found, alone, and told with its place."""
    [found] = adf.problems(document)
    assert problem in found


def test_a_bottomless_document_is_a_problem_and_no_crash() -> None:
    """Lists in lists without end are refused."""
    node: dict[str, Any] = BULLETS
    for _ in range(120):
        node = {"type": "bulletList", "content": [{"type": "listItem", "content": [PARAGRAPH, node]}]}
    assert any("nested more than 100 deep" in problem for problem in adf.problems(doc(node)))


@pytest.fixture
def jira() -> Iterator[Jira]:
    """Jira's stand-in with OPS-1."""
    with Jira("token", "sre@example.com") as api:
        api.add("OPS", "Deploy cart")
        yield api


def _send(jira: Jira, method: str, path: str, **content: Any) -> requests.Response:
    return requests.request(
        method, f"{jira.url}/rest/api/3/{path}", auth=("sre@example.com", "token"), timeout=5, **content
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"summary": ""}, "summary"),
        ({"summary": "s" * 256}, "summary"),
        ({"summary": "two\nlines"}, "summary"),
        ({"labels": ["with space"]}, "labels"),
        ({"labels": "label"}, "labels"),
        ({"duedate": "25.11.2026"}, "duedate"),
        ({"duedate": "2026-02-30"}, "duedate"),
        ({"description": "text"}, "description"),
        ({"description": doc(TEXT)}, "description"),
        ({"description": doc(PARAGRAPH | {"content": [{"type": "text", "text": "x" * 33_000}]})}, "description"),
        ({"status": "Done"}, "status"),
    ],
    ids=str,
)
def test_a_field_that_breaks_a_rule_is_named(jira: Jira, change: dict[str, Any], field: str) -> None:
    """400 with a message for the field, a violation, and no issue."""
    answer = _send(jira, "POST", "issue", json={"fields": FIELDS | change})
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]
    assert len(jira.violations) == 1
    assert len(jira.issues) == 1


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "search", {}, 410),
        ("POST", "search/jql", {"json": {"jql": "ORDER BY created"}}, 400),
        ("POST", "search/jql", {"json": {}}, 400),
        ("POST", "search/jql", {"data": "{}"}, 400),
        ("POST", "issue", {"json": {"summary": "s"}}, 400),
        ("POST", "issue/OPS-1/comment", {"json": {"body": doc({"type": "paragraph"})}}, 400),
        ("POST", "issue/OPS-1/comment", {"json": {"body": "text"}}, 400),
        ("GET", "issue/OPS-1/comment?orderBy=age", {}, 400),
        ("POST", "issue/OPS-1/attachments", {"files": {"file": ("a.txt", b"a")}}, 403),
        (
            "POST",
            "issue/OPS-1/attachments",
            {"files": {"attachment": ("a.txt", b"a")}, "headers": {"X-Atlassian-Token": "no-check"}},
            400,
        ),
        ("POST", "issue/OPS-1/attachments", {"data": b"a", "headers": {"X-Atlassian-Token": "no-check"}}, 400),
        ("DELETE", "issue/OPS-1", {}, 404),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused(
    jira: Jira, method: str, path: str, content: dict[str, Any], status: int
) -> None:
    """Each is answered as Jira answers it, noted, and changes nothing."""
    before = jira.issues
    assert _send(jira, method, path, **content).status_code == status
    assert len(jira.violations) == 1
    assert jira.issues == before


def test_search_gives_keys_to_those_who_ask(jira: Jira) -> None:
    """Search returns IDs alone by default, and what is asked for besides."""
    jira.add("OPS", "found", ("x",))
    jql = 'project = "OPS" AND labels = "x" ORDER BY created ASC, key ASC'
    assert _send(jira, "POST", "search/jql", json={"jql": jql}).json()["issues"] == [{"id": "OPS-2"}]
    found = _send(jira, "POST", "search/jql", json={"jql": jql, "fields": ["key"]}).json()
    assert found == {"issues": [{"id": "OPS-2", "key": "OPS-2"}], "isLast": True}


def test_files_of_one_name_stand_beside_each_other(jira: Jira) -> None:
    """Jira replaces nothing: who attaches twice has two files."""
    for content in (b"one", b"two\r\n--two"):
        sent = {"files": {"file": ("a.txt", content)}, "headers": {"X-Atlassian-Token": "no-check"}}
        assert _send(jira, "POST", "issue/OPS-1/attachments", **sent).status_code == 200
    assert jira.issues[0].files == (("a.txt", b"one"), ("a.txt", b"two\r\n--two"))
    assert jira.issues[0].attachments == {"a.txt": b"two\r\n--two"}
    shown = _send(jira, "GET", "issue/OPS-1?fields=attachment").json()["fields"]
    assert [file["filename"] for file in shown["attachment"]] == ["a.txt", "a.txt"]
    assert jira.violations == []
