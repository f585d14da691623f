"""A document in a few kinds of blocks, and its two forms: Markdown for a file, Atlassian's format for Jira. Pure.

Whatever the texts hold (names, reasons, errors), they can't change a document's structure, nor add links or HTML.
`postmortem` writes such documents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any
from urllib.parse import quote, urlsplit

Json = dict[str, Any]

LONGEST_ADDRESS = 2000  # characters; a longer one is shown as text without its link

# What `fitted` tries in turn: characters of one text, and rows or items of one block. A case's id has 255 at most, and
# is never cut.
CUTS = ((2000, 50), (600, 20), (300, 8))


@dataclass(frozen=True, slots=True)
class Link:
    """Text that leads to an http or https address; with any other address it is plain text."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Code:
    """Text shown as code within a line."""

    text: str


@dataclass(frozen=True, slots=True)
class Strong:
    """Text in bold."""

    text: str


Span = str | Link | Code | Strong
Spans = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; level 1 is the highest, 6 the lowest."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph. Line breaks in its texts become spaces."""

    spans: Spans


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list; each item is one line. Empty items are left out."""

    items: tuple[Spans, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table with one header row. Rows that are too short are filled up."""

    header: tuple[str, ...]
    rows: tuple[tuple[Spans, ...], ...]


Block = Heading | Paragraph | Bullets | Table

CUT = Paragraph(("Cut: the whole text is too long to be shown here.",))


def readable(text: str) -> str:
    """Put U+FFFD for control characters and lone surrogates, which JSON, XML or iCalendar refuse; keep line breaks."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", lines)


def plain(text: str, most: int) -> str:
    """Put a text on one line of at most `most` characters."""
    line = _line(text).strip()
    return line if len(line) <= most else f"{line[: max(0, most - 1)].rstrip()}…"[:most]


def web_address(url: str) -> str:
    """Give the address back where it can be linked: http or https, with a host, and short enough; else nothing."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    sound = parts.scheme in ("http", "https") and parts.netloc and url == readable(url) and not re.search(r"\s", url)
    return url if sound and len(url) <= LONGEST_ADDRESS else ""


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", readable(text))


def _filled(table: Table) -> list[tuple[Spans, ...]]:
    """All rows, the header first, each as wide as the widest; none where there is nothing to show."""
    rows: list[tuple[Spans, ...]] = [tuple((title,) for title in table.header), *table.rows]
    width = max(len(row) for row in rows)
    return [(*row, *((),) * (width - len(row))) for row in rows] if width else []


def markdown(blocks: Iterable[Block]) -> str:
    """Write CommonMark with GitHub's tables (https://github.github.com/gfm/), ending in a line break."""
    return "\n\n".join(text for text in map(_md_block, blocks) if text) + "\n"


def _md_block(block: Block) -> str:
    if isinstance(block, Heading):
        text = _md_line((block.text,))
        return f"{'#' * _level(block)} {text}" if text else ""
    if isinstance(block, Paragraph):
        return _md_line(block.spans)
    if isinstance(block, Bullets):
        return "\n".join(f"- {line}" for line in map(_md_line, block.items) if line)
    rows = [" | ".join(_md_line(cell, in_table=True) for cell in row) for row in _filled(block)]
    rule = " | ".join("---" for _ in _filled(block)[0]) if rows else ""
    return "\n".join(f"| {row} |" for row in (*rows[:1], rule, *rows[1:])) if rows else ""


def _level(heading: Heading) -> int:
    return min(6, max(1, heading.level))


def _text(span: Span) -> str:
    return _line(span if isinstance(span, str) else span.text)


def _md_line(spans: Spans, *, in_table: bool = False) -> str:
    """One line's spans. What begins a list, a rule or a heading at a line's start is escaped there."""
    line, texts = "", [_text(span) for span in spans]
    for number, span in enumerate(spans):
        after = "".join(texts[number + 1 :])[:1]
        apart = (not line or line.endswith(" ")) and after in ("", *" .,:;")
        piece = _md_span(span, apart=apart, in_table=in_table)
        joint = " " if line.endswith("`") and piece.startswith("`") else ""  # else two pieces of code become one
        line += joint + piece
    return re.sub(r"^(\d{1,9}(?=[.)](?: |$))|(?=[-+=]))", r"\1\\", re.sub(" +", " ", line).strip())


def _md_span(span: Span, *, apart: bool, in_table: bool) -> str:
    text = _text(span)
    inner = text.strip()
    if isinstance(span, Link) and web_address(span.url):
        return f"[{_escaped(inner or span.url)}](<{_md_address(span.url)}>)"
    # A backslash before a pipe can't be told from an escaped pipe in a table's code.
    if isinstance(span, Code) and inner and not (in_table and "|" in inner):
        ticks = "`" * (_longest_run(inner) + 1)
        pad = " " if "`" in (inner[0], inner[-1]) else ""
        return f"{ticks}{pad}{inner}{pad}{ticks}"
    # Within a word, or beside some signs, the asterisks would stand there as such.
    return f"**{_escaped(inner)}**" if isinstance(span, Strong) and inner and apart else _escaped(text)


def _escaped(text: str) -> str:
    """Take its meaning from every sign of Markdown, and from what GitHub links by itself."""
    marked = re.sub(r"[\\`*_\[\]<>|~&#!$]", r"\\\g<0>", text)
    return re.sub(r"(?i)(?:https?|ftp|mailto|xmpp):|www\.|@", lambda m: f"{m[0][:-1]}\\{m[0][-1]}", marked)


def _md_address(url: str) -> str:
    return quote(url, safe=":/?#[]@!$&'()+,;=%-._~").replace("&", "&amp;")


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def adf(blocks: Iterable[Block]) -> Json:
    """Write an Atlassian document, version 1.

    https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/; there are no empty text nodes,
    and a text has one mark at most: code goes with none but a link.
    """
    return {"version": 1, "type": "doc", "content": [node for node in map(_adf_block, blocks) if node]}


def _adf_block(block: Block) -> Json | None:
    if isinstance(block, Heading):
        texts = _adf_texts((block.text,))
        return {"type": "heading", "attrs": {"level": _level(block)}, "content": texts} if texts else None
    if isinstance(block, Paragraph):
        return _adf_paragraph(block.spans) if _adf_texts(block.spans) else None
    if isinstance(block, Bullets):
        items = [{"type": "listItem", "content": [_adf_paragraph(item)]} for item in block.items if _adf_texts(item)]
        return {"type": "bulletList", "content": items} if items else None
    rows = [
        {"type": "tableRow", "content": [_adf_cell("tableCell" if number else "tableHeader", cell) for cell in row]}
        for number, row in enumerate(_filled(block))
    ]
    return {"type": "table", "content": rows} if rows else None


def _adf_cell(kind: str, spans: Spans) -> Json:
    return {"type": kind, "content": [_adf_paragraph(spans)]}


def _adf_paragraph(spans: Spans) -> Json:
    return {"type": "paragraph", "content": _adf_texts(spans)}


def _adf_texts(spans: Spans) -> list[Json]:
    """The text nodes of one line; none where there is nothing but blanks."""
    nodes = [node for node in map(_adf_text, spans) if node["text"]]
    return nodes if any(node["text"].strip() for node in nodes) else []


def _adf_text(span: Span) -> Json:
    text = _text(span)
    if isinstance(span, Link) and web_address(span.url):
        mark: Json = {"type": "link", "attrs": {"href": span.url}}
        return {"type": "text", "text": text if text.strip() else span.url, "marks": [mark]}
    if isinstance(span, Code | Strong):
        return {"type": "text", "text": text, "marks": [{"type": "code" if isinstance(span, Code) else "strong"}]}
    return {"type": "text", "text": text}


def size(blocks: Iterable[Block]) -> int:
    """Count what a document takes in Jira: its JSON, in UTF-16 units as Java counts them.

    Jira takes 32,767 characters and doesn't say of which form; the JSON is far longer than the text.
    """
    text = json.dumps(adf(blocks), ensure_ascii=False, separators=(",", ":"))
    return len(text.encode("utf-16-le")) // 2


def fitted(blocks: Sequence[Block], most: int) -> tuple[Block, ...]:
    """Cut a document so that its `size` is at most `most`, and say so in it; one that fits stays as it is.

    Long texts, tables and lists are shortened first; then blocks are left out from the end. The last block stays so
    long as there is room for it: it says what the document is about.
    """
    whole = tuple(blocks)
    if size(whole) <= most or not whole:
        return whole
    short = whole
    for longest, rows in CUTS:
        short = tuple(_cut(block, longest, rows) for block in whole)
        if size((*short, CUT)) <= most:
            return (*short[:-1], CUT, short[-1])
    end = next((end for end in ((CUT, short[-1]), (CUT,)) if size(end) <= most), ())
    taken = accumulate((size((block,)) - size(()) + 1 for block in short[:-1]), initial=size(end))  # + 1: its comma
    kept = sum(1 for so_far in taken if so_far <= most) - 1
    return (*short[: max(0, kept)], *end)


def _cut(block: Block, longest: int, rows: int) -> Block:
    def spans(long: Spans) -> Spans:
        return tuple(
            _short(s, longest) if isinstance(s, str) else replace(s, text=_short(s.text, longest)) for s in long
        )

    if isinstance(block, Paragraph):
        return Paragraph(spans(block.spans))
    if isinstance(block, Bullets):
        return Bullets(tuple(spans(item) for item in block.items[:rows]))
    if isinstance(block, Table):
        header = tuple(_short(title, longest) for title in block.header)
        return Table(header, tuple(tuple(spans(cell) for cell in row) for row in block.rows[:rows]))
    return replace(block, text=_short(block.text, longest))


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
