"""Files that are hardly YAML: each is a mistake with a place, never an exception."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from watcher.documents import read

BROKEN = [
    (b"", "1:1: is empty"),
    (b"# nothing but a comment\n", "1:1: is empty"),
    (
        b"a: [1\nb: 2\n",
        "2:2: YAML: while parsing a flow sequence that begins in line 1: did not find expected ',' or ']'",
    ),
    (b"a:\n\t- 1\n", "2:1: YAML: "),
    (b"a: b: c\n", "1:5: YAML: mapping values are not allowed"),
    (b"a: @b\n", "1:4: YAML: "),
    (b"a: *b\n", "1:4: YAML: found undefined alias"),
    (b"a: 1\n---\nb: 2\n", "2:1: a second document starts here"),
    (b"a: 1\nb: caf\xe9\n", "2:7: the byte 0xe9 is not UTF-8"),
    ("é: caf".encode() + b"\xff\n", "1:7: the byte 0xff is not UTF-8"),
    (b"\xff\xfea\x00", "1:1: the byte 0xff is not UTF-8"),
    (b"a: 1\nb: \x01\n", "2:4: the character U+0001 may not stand in YAML"),
    (b"a: &x [*x]\n", "1:4: grows without end"),
    (b"- " * 60_000, "1:101: is nested more than 50 levels deep"),
    (b"[" * 60_000, "1:51: is nested more than 50 levels deep"),
    (b"a: " + b"x" * 300_000, "1:1: is larger than 256 KiB"),
    (b"a: {b: 1, b: 2, b: 3}\n", "1:11: b is written twice, first in line 1; keep one"),
    (b"on: 1\n", '1:1: on is not text to YAML; write "on" in quotes'),
    (b"? [a]\n: 1\n", "1:3: a key must be text"),
    (b"a: 2024-02-30\n", "1:4: YAML reads 2024-02-30 as timestamp; put it in quotes"),
    (b"a: !!int x\n", "1:4: YAML cannot read x as int"),
    (b"a: !!python/object:os.system x\n", "1:4: "),
    (b"a: !mine {b: 1}\n", "1:4: the tag !mine is not understood"),
    (b"a: &x {b: 1}\nc: {<<: *x}\n", "2:5: merging with << is not understood"),
]


@pytest.mark.parametrize(("content", "said"), BROKEN)
def test_what_is_no_document_is_a_mistake_with_its_place(tmp_path: Path, content: bytes, said: str) -> None:
    """Broken, hostile and surprising YAML gives a mistake at its line and column."""
    file = tmp_path / "a.yaml"
    file.write_bytes(content)
    mistakes = read(file)[1]
    assert str(mistakes[0]).startswith(f"{file}:{said}")


def test_aliases_within_aliases_are_bounded(tmp_path: Path) -> None:
    """Nine levels of nine aliases each would be 400 million values; they are refused instead of made."""
    file = tmp_path / "a.yaml"
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    file.write_text("a0: &a0 x\n" + "\n".join(levels))
    document, mistakes = read(file)
    assert document is None
    assert "grows without end" in mistakes[0].said


def test_every_duplicate_key_is_told_and_the_first_value_stands(tmp_path: Path) -> None:
    """YAML itself would let the last one win in silence."""
    file = tmp_path / "a.yaml"
    file.write_text("a: 1\nb: {c: 1, c: 2}\na: 3\n")
    document, mistakes = read(file)
    assert [(m.line, m.column) for m in mistakes] == [(2, 11), (3, 1)]
    assert document is not None
    assert document.data == {"a": 1, "b": {"c": 1}}


def test_what_cannot_be_opened_is_a_mistake(tmp_path: Path) -> None:
    """A folder, a missing file, a pipe and a name that no file can have are mistakes, and none of them blocks."""
    os.mkfifo(tmp_path / "pipe")
    said = [str(read(path)[1][0].said) for path in (tmp_path, tmp_path / "none", tmp_path / "pipe", Path("a\0b"))]
    assert said[:3] == [
        "is a folder where a file is meant",
        "cannot be read: No such file or directory",
        "is not a regular file",
    ]
    assert said[3].startswith("cannot be read")


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    """Editors on Windows put one in front of UTF-8."""
    file = tmp_path / "a.yaml"
    file.write_bytes("\ufeffa: 1\n".encode())
    document, mistakes = read(file)
    assert mistakes == ()
    assert document is not None
    assert document.data == {"a": 1}
