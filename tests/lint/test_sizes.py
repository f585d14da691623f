"""The sizes check has to be able to fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("sizes.py")


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the check on `folder` as `make lint` does."""
    command = [sys.executable, str(SCRIPT), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def function(lines: int, docstring: int = 0) -> str:
    """Write a function of that many lines, its `def` included, and a docstring of so many lines on top."""
    text = ['    """Said', *["    more"] * (docstring - 2), '    at length."""'] if docstring else []
    return "\n".join(["@property", "def measured(self):", *text, *["    x = 1"] * (lines - 1)]) + "\n"


@pytest.mark.parametrize(("lines", "docstring"), [(39, 0), (39, 20), (2, 2)])
def test_a_function_under_the_limit_passes(tmp_path: Path, lines: int, docstring: int) -> None:
    """39 lines are allowed, however long the docstring, and a decorator is not counted."""
    (tmp_path / "short.py").write_text(function(lines, docstring))
    assert (run(tmp_path).returncode, run(tmp_path).stdout) == (0, "")


@pytest.mark.parametrize("docstring", [0, 20])
def test_a_function_at_the_limit_is_named(tmp_path: Path, docstring: int) -> None:
    """A function of 40 lines fails the check, which names its place and its length."""
    (tmp_path / "long.py").write_text(function(40, docstring))
    answer = run(tmp_path)
    assert answer.returncode == 1
    assert answer.stdout == f"{tmp_path}/long.py:2: measured has 40 lines; stay under 40\n"


def test_a_file_at_the_limit_is_named(tmp_path: Path) -> None:
    """A file of 299 lines passes, one of 300 fails the check, which names it and its length."""
    (tmp_path / "fits.py").write_text("x = 1\n" * 299)
    (tmp_path / "long.py").write_text("x = 1\n" * 300)
    answer = run(tmp_path)
    assert answer.returncode == 1
    assert answer.stdout == f"{tmp_path}/long.py:300: the file has 300 lines; stay under 300\n"


def test_nothing_to_check_is_an_error(tmp_path: Path) -> None:
    """A misspelt folder does not pass for a clean one."""
    assert run(tmp_path / "no-such-folder").returncode == 1
