"""Whatever people write, loading ends in policies or in mistakes whose places are inside the file."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.policy.policy_texts import RATIO, SMOKE, VALUE
from watcher.policy.loading import load

PIECES = [
    *(
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- ",
        "\n",
        "\n  ",
        '"',
        "'",
        "|",
        ">",
        "&a ",
        "*a",
        "#",
        "!!int ",
        "!x ",
        "<<: ",
        "---\n",
    ),
    *(
        "null",
        "on",
        "~",
        "1.10",
        "12:30",
        ".nan",
        ".inf",
        "-1",
        "1e999",
        "0x_",
        "é",
        "\t",
        "\u2028",
        "\x85",
        "\x00",
        "\ufeff",
    ),
    *("$pod", "$x", "${pod}", "sum(", ")", "[1m]", "=~", "per: pod", "above: ", "smokeTest: ", "annotation", "9" * 400),
]

Edit = tuple[float, int, str]
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(PIECES) | st.text(max_size=4)),
    min_size=1,
    max_size=6,
)


def edited(text: str, edits: list[Edit]) -> str:
    """Cut some characters out at each place, and put a piece in."""
    for place, cut, piece in edits:
        at = int(place * len(text))
        text = text[:at] + piece + text[at + cut :]
    return text


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([RATIO, VALUE, SMOKE]), EDITS)
def test_a_mutated_policy_never_crashes_the_loader(text: str, edits: list[Edit]) -> None:
    """A mutated policy gives one Policy and no mistake, or mistakes inside the file and no Policy."""
    content = edited(text, edits).encode("utf-8", errors="surrogatepass")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.yaml"
        file.write_bytes(content)
        policies, mistakes = load([file])
    assert len(policies) == (0 if mistakes else 1)
    lines = re.split("\r\n|[\n\r\x85\u2028\u2029]", content.decode("utf-8-sig", errors="replace"))
    for mistake in mistakes:
        assert 1 <= mistake.line <= len(lines)
        assert 1 <= mistake.column <= len(lines[mistake.line - 1]) + 1
        assert mistake.said
        assert "\n" not in mistake.said
