"""YAML with places: reads what people write and knows the line and column of every key and value.

`validation` turns what pydantic says of a document into mistakes; `policy.loading` and `settings` use both.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

KeyPath = tuple[str | int, ...]

MOST_BYTES = 256 * 1024  # a ConfigMap holds 1 MiB in all; libyaml takes seconds over hostile input of that size
DEEPEST = 50  # libyaml composes recursively: 30,000 levels end the process with a segmentation fault
MOST_VALUES = 20_000  # aliases within aliases grow without end

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_YAML = "tag:yaml.org,2002:"
_SCALARS = {_YAML + name for name in ("null", "bool", "int", "float", "str")}


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """Something in a file that cannot stand: where (line and column from 1), and what would be right."""

    file: str
    line: int
    column: int
    said: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.said}"


@dataclass(frozen=True, slots=True)
class Document:
    """A file's content as plain values (every key is text), with the node of every path to a value or a key."""

    file: str
    lines: tuple[str, ...]
    data: object
    nodes: Mapping[KeyPath, Node]
    keys: Mapping[KeyPath, Node]

    def mistake(self, path: KeyPath, said: str, offset: int = 0) -> Mistake:
        """Place a mistake at the value at `path`, or at the nearest value around it.

        `offset` is a position within the value's text; it is found wherever the file spells that text as it is.
        """
        node = self._nearest(path)
        if offset and isinstance(node, ScalarNode):
            line, column = self._within(node, offset)
        else:
            line, column = node.start_mark.line, node.start_mark.column
        return self._placed(line, column, said)

    def key_mistake(self, path: KeyPath, said: str) -> Mistake:
        """Place a mistake at the key that ends `path`; without such a key, where `mistake` would."""
        key = self.keys.get(path)
        if key is None:
            return self.mistake(path, said)
        return self._placed(key.start_mark.line, key.start_mark.column, said)

    def unquoted(self, path: KeyPath) -> str | None:
        """Return the text of the unquoted scalar at `path` as the file has it; None for anything else."""
        node = self.nodes.get(path)
        plain = isinstance(node, ScalarNode) and not node.style  # None in Python's parser, "" in libyaml's
        return str(node.value) if node is not None and plain else None

    def _nearest(self, path: KeyPath) -> Node:
        while path not in self.nodes:
            path = path[:-1]
        return self.nodes[path]

    def _placed(self, line: int, column: int, said: str) -> Mistake:
        return Mistake(self.file, line + 1, column + 1, said)

    def _within(self, node: ScalarNode, offset: int) -> tuple[int, int]:
        """Find the character at `offset` of a scalar of any style, by counting what is not white space.

        Where that text differs from the value's (escapes in quotes), the answer is the scalar's start.
        """
        start, end = node.start_mark, node.end_mark
        first = (start.line + 1, 0) if node.style in ("|", ">") else (start.line, start.column + bool(node.style))
        last = (end.line, end.column - (1 if node.style in ("'", '"') else 0))
        wanted = [char for char in node.value if not char.isspace()]
        spelled = [
            (char, (line, column))
            for line in range(first[0], min(last[0] + 1, len(self.lines)))
            for column, char in enumerate(self.lines[line])
            if not char.isspace() and first <= (line, column) < last
        ]
        nth = sum(not char.isspace() for char in node.value[:offset])
        if [char for char, _ in spelled] != wanted or nth >= len(spelled):
            return start.line, start.column
        return spelled[nth][1]


def read(path: Path) -> tuple[Document | None, tuple[Mistake, ...]]:
    """Read one YAML file: the document (None if it can't be parsed at all) and the mistakes found on the way."""
    try:
        text = _text(path)
        lines = tuple(_BREAK.split(text))
        root = _root(text, lines)
        builder = _Builder(str(path), {}, {}, [])
        data = builder.value(root, ())
    except _Refused as refused:
        return None, (Mistake(str(path), refused.line + 1, refused.column + 1, refused.said),)
    return Document(str(path), lines, data, builder.nodes, builder.keys), tuple(builder.mistakes)


def file_flaw(file: Path) -> str:
    """Say why a file that a key names is of no use now, or nothing. Never says its path, which may be a secret."""
    if not (file.is_file() and os.access(file, os.R_OK)):
        return "names no file that can be read from here"
    return "" if file.stat().st_size else "names an empty file"


class _Refused(Exception):
    """The file can't be understood from here on; line and column count from 0."""

    def __init__(self, line: int, column: int, said: str) -> None:
        super().__init__(said)
        self.line, self.column, self.said = line, column, said


def _refused(at: Node | yaml.Event, said: str) -> _Refused:
    mark = at.start_mark
    return _Refused(mark.line if mark else 0, mark.column if mark else 0, said)


def _text(path: Path) -> str:
    if path.is_dir():
        raise _Refused(0, 0, "is a folder where a file is meant")
    if path.exists() and not path.is_file():
        raise _Refused(0, 0, "is not a regular file")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _Refused(0, 0, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > MOST_BYTES:
        raise _Refused(0, 0, f"is larger than {MOST_BYTES // 1024} KiB")
    try:
        content = content.removeprefix(codecs.BOM_UTF8)
        text = content.decode()
    except UnicodeDecodeError as error:
        before = _BREAK.split(content[: error.start].decode(errors="replace"))
        said = f"the byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise _Refused(len(before) - 1, len(before[-1]), said) from error
    odd = _UNPRINTABLE.search(text)
    if odd:
        before = _BREAK.split(text[: odd.start()])
        raise _Refused(len(before) - 1, len(before[-1]), f"the character U+{ord(odd[0]):04X} may not stand in YAML")
    return text


def _root(text: str, lines: tuple[str, ...]) -> Node:
    """Compose the only document of a text, once its events have shown that it is not too deep to compose."""
    depth = documents = 0
    try:
        for event in yaml.parse(text, _LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            documents += isinstance(event, yaml.DocumentStartEvent)
            if depth > DEEPEST:
                raise _refused(event, f"is nested more than {DEEPEST} levels deep")
            if documents > 1:
                raise _refused(event, "a second document starts here; give it a file of its own")
        root = yaml.compose(text, _LOADER)
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, lines) from error
    if root is None:
        raise _Refused(0, 0, "is empty")
    return root


def _syntax(error: yaml.MarkedYAMLError, lines: tuple[str, ...]) -> _Refused:
    """Say where YAML's rules are broken, what the parser expected, and the usual cause where it is known."""
    mark = error.problem_mark or error.context_mark
    line, column = (min(mark.line, len(lines) - 1), mark.column) if mark else (0, 0)
    column = min(column, len(lines[line]))
    char = lines[line][column : column + 1]
    context = f"{error.context}" if error.context else ""
    if error.context and error.context_mark and error.context_mark.line != line:
        context += f" that begins in line {error.context_mark.line + 1}"
    said = "YAML: " + ": ".join(part for part in (context, error.problem) if part)
    if char == "\t":
        said += "; a tab: indent with spaces"
    elif char and char in "@`%":
        said += f"; put a value that begins with {char} in quotes"
    elif "alias" in said:
        said += '; put a * in quotes, as ["*"]'
    elif "block mapping" in said:
        said += "; check the indentation of this line and of the one before it"
    elif "mapping values" in said:
        said += '; put a value that holds ": " in quotes, or check the indentation'
    return _Refused(line, column, said)


@dataclass(slots=True)
class _Builder:
    """Makes plain values of nodes, keeps every path's node, and notes what YAML allows and a document must not have."""

    file: str
    nodes: dict[KeyPath, Node]
    keys: dict[KeyPath, Node]
    mistakes: list[Mistake]
    scalars: SafeConstructor = field(default_factory=SafeConstructor)

    def value(self, node: Node, path: KeyPath) -> object:
        self.nodes[path] = node
        if len(path) > DEEPEST or len(self.nodes) > MOST_VALUES:
            raise _refused(node, "grows without end: an alias is used within its own anchor, or too often")
        if isinstance(node, MappingNode) and node.tag == _YAML + "map":
            return self._mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == _YAML + "seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        self._say(node, f"the tag {node.tag} is not understood; leave it out")
        return None

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, object]:
        made: dict[str, object] = {}
        for key, value in node.value:
            name = self._key(key)
            if name is None:
                continue
            if name in made:
                first = self.keys[*path, name].start_mark.line + 1
                self._say(key, f"{name} is written twice, first in line {first}; keep one")
                continue
            self.keys[*path, name] = key
            made[name] = self.value(value, (*path, name))
        return made

    def _key(self, node: Node) -> str | None:
        if not isinstance(node, ScalarNode):
            self._say(node, "a key must be text; put the value in quotes if braces or brackets belong to it")
            return None
        if node.tag == _YAML + "merge":
            self._say(node, "merging with << is not understood; write the keys out")
            return None
        if node.tag != _YAML + "str":
            self._say(node, f'{node.value} is not text to YAML; write "{node.value}" in quotes')
            return None
        return str(node.value)

    def _scalar(self, node: ScalarNode) -> object:
        if node.tag in _SCALARS:
            try:
                made: object = self.scalars.construct_object(node)
            except (ValueError, KeyError):
                self._say(node, f"YAML cannot read {node.value} as {node.tag.removeprefix(_YAML)}; put it in quotes")
                return node.value
            return made
        if node.tag.startswith(_YAML):
            self._say(node, f"YAML reads {node.value} as {node.tag.removeprefix(_YAML)}; put it in quotes")
        else:
            self._say(node, f"the tag {node.tag} is not understood; leave it out")
        return node.value

    def _say(self, node: Node, said: str) -> None:
        self.mistakes.append(Mistake(self.file, node.start_mark.line + 1, node.start_mark.column + 1, said))
