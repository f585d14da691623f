"""Documents: whatever the texts hold, both forms keep the structure, and nothing in them is obeyed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from watcher.runbook.document import (
    CUT,
    Block,
    Bullets,
    Code,
    Heading,
    Link,
    Paragraph,
    Span,
    Spans,
    Strong,
    Table,
    adf,
    fitted,
    markdown,
    plain,
    readable,
    size,
    web_address,
)
from watcher.sandbox.adf import problems

SIGNS = "|*_`<>#[]()!\\~&@$-+=.:;/1 a\n\r\t\"'"
NASTY = (
    "a | b",
    *("# heading", "- item", "1. item", "==="),
    "---",
    "<script>alert(1)</script>",
    "[x](http://evil.example) ![x](http://evil.example/x.png)",
    "<http://evil.example>",
    "&lt;b&gt; ```\ncode",
    "line\n\n# second\r\nthird",
    "\\|",
    *("a\\", "**"),
    "\x00\x07\ud800",
    "🚨",
)
texts = st.text(st.sampled_from(SIGNS) | st.characters(), max_size=12) | st.sampled_from(NASTY)
addresses = st.sampled_from(
    (
        "https://pd.example/Q1?a=1&copy=2",
        "http://[::1]:3000/d/x?var=a|b(c)*<`",
        "javascript:alert(1)",
        "ftp://x.example",
        "https://x.example/a b",
        "https://",
        "http://[",
        "",
    )
)
spans: st.SearchStrategy[Spans] = st.lists(
    texts | st.builds(Link, texts, addresses) | st.builds(Code, texts) | st.builds(Strong, texts), max_size=4
).map(tuple)
blocks: st.SearchStrategy[tuple[Block, ...]] = st.lists(
    st.builds(Heading, texts, st.integers(-1, 9))
    | st.builds(Paragraph, spans)
    | st.builds(Bullets, st.lists(spans, max_size=3).map(tuple))
    | st.builds(Table, st.lists(texts, max_size=3).map(tuple), st.lists(st.lists(spans).map(tuple)).map(tuple)),
    max_size=5,
).map(tuple)


def words(line: Spans) -> str:
    """A line's own text without blanks, as a reader should see it."""
    return "".join("".join(_said(span) for span in line).split())


def _said(span: Span) -> str:
    text = readable(span if isinstance(span, str) else span.text)
    linked = isinstance(span, Link) and not text.strip() and web_address(span.url)
    return linked or text


def shape(block: Block) -> list[tuple[str, Any]]:
    """What a block should be once it is rendered: its kind, and its texts without blanks. Nothing where it is empty."""
    if isinstance(block, Heading):
        text = words((block.text,))
        return [(f"h{min(6, max(1, block.level))}", text)] if text else []
    if isinstance(block, Paragraph):
        return [("p", words(block.spans))] if words(block.spans) else []
    if isinstance(block, Bullets):
        items = [words(item) for item in block.items if words(item)]
        return [("ul", items)] if items else []
    rows: list[tuple[Spans, ...]] = [tuple((title,) for title in block.header), *block.rows]
    width = max(len(row) for row in rows)
    filled = [[words(cell) for cell in row] + [""] * (width - len(row)) for row in rows]
    return [("table", filled)] if width else []


def links(document: tuple[Block, ...]) -> list[str]:
    """The addresses that the document's own links lead to."""
    found: list[str] = []
    for block in document:
        lines: list[Spans] = []
        if isinstance(block, Paragraph):
            lines = [block.spans]
        elif isinstance(block, Bullets):
            lines = list(block.items)
        elif isinstance(block, Table):
            lines = [cell for row in block.rows for cell in row]
        found += [s.url for line in lines for s in line if isinstance(s, Link) and web_address(s.url)]
    return found


PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def parsed(text: str) -> tuple[list[tuple[str, Any]], int]:
    """What a CommonMark parser with tables makes of a text: its blocks as `shape` says them, and how many links."""
    made: list[tuple[str, Any]] = []
    count = 0
    row: list[list[str]] = []
    for token in PARSER.parse(text):
        assert token.type not in ("html_block", "hr", "code_block", "blockquote_open", "ordered_list_open"), token
        if token.type in ("heading_open", "bullet_list_open", "table_open"):
            row = []
            made.append((token.tag, row))
        elif token.type == "paragraph_open" and token.level == 0:
            row = []
            made.append(("p", row))
        elif token.type == "fence":
            made.append(("code", "".join(token.content.split())))
        elif token.type == "tr_open":
            row.append([])
        elif token.type == "inline":
            line, linked = inline(token)
            count += linked
            (row[-1] if made[-1][0] == "table" else row).append(line)  # type: ignore[arg-type]
    return [(kind, "".join(said) if kind[0] in "hp" else said) for kind, said in made], count


def inline(token: Token) -> tuple[str, int]:
    """An inline token's text without blanks, and how many links are in it."""
    inner = token.children or []
    assert not {child.type for child in inner} & {"html_inline", "image", "em_open", "s_open", "hardbreak", "softbreak"}
    text = "".join(child.content for child in inner if child.type in ("text", "code_inline"))
    return "".join(text.split()), sum(child.type == "link_open" for child in inner)


def merged(found: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Lists that follow each other are one list in Markdown."""
    made: list[tuple[str, Any]] = []
    for kind, said in found:
        if kind == "ul" and made and made[-1][0] == "ul":
            made[-1] = ("ul", made[-1][1] + said)
        else:
            made.append((kind, said))
    return made


@given(blocks)
@settings(deadline=None)
def test_markdown_keeps_structure_and_words(document: tuple[Block, ...]) -> None:
    """A parser finds exactly our blocks, our words and our links in the Markdown, whatever the texts hold."""
    found, count = parsed(markdown(document))
    assert found == merged([one for block in document for one in shape(block)])
    assert count == len(links(document))


def adf_shape(node: dict[str, Any]) -> tuple[str, Any]:
    """What a top node is, as `shape` says it."""

    def text(of: dict[str, Any]) -> str:
        return "".join("".join([of.get("text", ""), *map(text, of.get("content", []))]).split())

    kind = node["type"]
    if kind == "bulletList":
        return "ul", [text(item) for item in node["content"]]
    if kind == "table":
        return "table", [[text(cell) for cell in row["content"]] for row in node["content"]]
    level = f"h{node['attrs']['level']}" if kind == "heading" else ""
    return level or {"paragraph": "p", "codeBlock": "code"}[kind], text(node)


def hrefs(node: dict[str, Any]) -> list[str]:
    """Every address that a node links to."""
    own = [mark["attrs"]["href"] for mark in node.get("marks", []) if mark["type"] == "link"]
    return own + [href for child in node.get("content", []) for href in hrefs(child)]


@given(blocks)
@settings(deadline=None)
def test_adf_is_valid_and_keeps_the_words(document: tuple[Block, ...]) -> None:
    """The Atlassian document is one by Atlassian's rules, and holds our blocks, our words and our links."""
    made = adf(document)
    assert problems(made) == ()
    assert [adf_shape(node) for node in made["content"]] == [one for block in document for one in shape(block)]
    assert hrefs(made) == links(document)


LINES = {
    ("1.5 % at 2027-01-15, a/b_c",): "1.5 % at 2027-01-15, a/b\\_c",
    (
        "see ",
        Link("the incident", "https://pd.example/Q?a&b"),
        ".",
    ): "see [the incident](<https://pd.example/Q?a&amp;b>).",
    ("see ", Link("this", "javascript:alert(1)")): "see this",
    ("run ", Code("a|b `c`")): "run `` a|b `c` ``",
    (Strong("Reason:"), " it broke"): "**Reason:** it broke",
    ("within", Strong("a"), "word"): "withinaword",
    ("- no list",): "\\- no list",
    ("12) no list",): "12\\) no list",
    ("see www.evil.example or http://evil.example",): "see www\\.evil.example or http\\://evil.example",
}


@pytest.mark.parametrize(("line", "text"), LINES.items())
def test_lines_in_markdown(line: Spans, text: str) -> None:
    """Text stays readable in the file itself: only what would be obeyed is escaped."""
    assert markdown((Paragraph(line),)) == f"{text}\n"


def test_a_whole_document_in_markdown() -> None:
    """Headings, lists and tables look like Markdown that people write."""
    document = (
        Heading("What changed"),
        Bullets((("image ", Code("shop:2")), (), ("two\nlines",))),
        Table(("Time", "What"), ((("08:00",), ("a | b",)), (("08:01",),))),
    )
    assert markdown(document) == (
        "## What changed\n\n- image `shop:2`\n- two lines\n\n"
        "| Time | What |\n| --- | --- |\n| 08:00 | a \\| b |\n| 08:01 |  |\n"
    )


def test_nothing_is_left_of_empty_blocks() -> None:
    """Empty blocks, which Jira refuses and Markdown shows as leftovers, are left out of both forms."""
    document = (Heading(" "), Paragraph(("", Strong(""))), Bullets(((),)), Table((), ()))
    assert markdown(document) == "\n"
    assert adf(document)["content"] == []


@given(blocks, st.integers(0, 3000))
@settings(deadline=None)
def test_fits_into_what_it_is_given(document: tuple[Block, ...], most: int) -> None:
    """A cut document is never larger than asked for, and one that fits isn't touched."""
    cut = fitted(document, most)
    assert size(cut) <= max(most, size(()))
    assert cut == document if size(document) <= most else CUT in cut or most < size((CUT,))


def test_long_texts_are_cut_first_and_the_last_block_stays() -> None:
    """Of a document with a huge table the headings stay, and the line that names its case; that it is cut is said."""
    row = (("x" * 5000,), (Code("y" * 5000),))
    document = (Heading("Evidence"), Table(("a", "b"), (row,) * 200), Heading("Root cause"), Paragraph(("Case 1",)))
    cut = fitted(document, 32_767)
    assert size(cut) <= 32_767
    assert [type(block) for block in cut] == [Heading, Table, Heading, Paragraph, Paragraph]
    assert cut[-2:] == (CUT, document[-1])


def test_blocks_are_left_out_when_cutting_texts_is_not_enough() -> None:
    """Of a document of very many blocks the first ones stay, and the last one."""
    document = (*(Paragraph((f"number {n}",)) for n in range(1000)), Paragraph(("Case 1",)))
    cut = fitted(document, 5000)
    assert size(cut) <= 5000
    assert cut[0] == document[0]
    assert cut[-2:] == (CUT, document[-1])
    assert len(cut) > 20


def test_size_counts_as_java_does() -> None:
    """A sign beyond the first 65,536 counts twice, as it does in Jira."""
    assert size((Paragraph(("🚨",)),)) == size((Paragraph(("xx",)),))


@given(texts | st.text(), st.integers(0, 20))
def test_plain_is_one_short_line(text: str, most: int) -> None:
    """Titles are one line of at most so many characters."""
    line = plain(text, most)
    assert len(line) <= most
    assert len(line.splitlines()) <= 1


@pytest.mark.parametrize(
    "url", ["https://x.example/" + "a" * 2000, "https://x.example/\n", "//x.example", "x", "data:,x"]
)
def test_no_address_of_another_kind_is_linked(url: str) -> None:
    """Only http and https, with a host, of a sane length, and without blanks."""
    assert web_address(url) == ""
