"""The house rule on sizes: a function stays under 40 lines and a file under 300.

`make lint` runs it: `sizes.py FOLDER...` prints file:line, the figure and the limit of each offender, and exits 1 if
there is one. The third limit, five parameters, is ruff's PLR0913.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FUNCTION_LIMIT = 40
FILE_LIMIT = 300


def function_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, functions inside included, less the docstring: explaining more is no offence.

    Decorators stand above `def` and don't count either.
    """
    count = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        count -= (first.end_lineno or first.lineno) - first.lineno + 1
    return count


def offences(path: Path) -> Iterator[str]:
    """One line for each limit that `path` does not keep, as file:line: what. Raises SyntaxError if it is no Python."""
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    if lines >= FILE_LIMIT:
        yield f"{path}:{lines}: the file has {lines} lines; stay under {FILE_LIMIT}"
    for node in ast.walk(ast.parse(text, str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and function_lines(node) >= FUNCTION_LIMIT:
            yield f"{path}:{node.lineno}: {node.name} has {function_lines(node)} lines; stay under {FUNCTION_LIMIT}"


def main(folders: list[str]) -> int:
    """Check every Python file below `folders`; return the exit code. No file at all is a mistake, not a success."""
    files = sorted(path for folder in folders for path in Path(folder).rglob("*.py"))
    found = [offence for path in files for offence in offences(path)]
    print(*found, sep="\n", end="\n" if found else "")
    if not files:
        print(f"no Python file in {folders}")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
