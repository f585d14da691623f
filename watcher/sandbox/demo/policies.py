"""The shipped policies with their times shortened, so that half an hour's watch fits into a demo."""

from __future__ import annotations

import re
from pathlib import Path

SHIPPED = Path(__file__).resolve().parents[3] / "policies"

# What is written in policies/ and what the demo makes of it. Thresholds and PromQL stay as they are, windows apart.
SHORTENED = (
    (r"\bwatchFor: 30m", "watchFor: 20s"),
    (r"\bfor: 1m", "for: 4s"),
    (r"\bfor: 5m", "for: 8s"),
    (r"\[1m\]", "[5s]"),
    (r"\batLeast: \{total: 100, bad: 5\}", "atLeast: {total: 20, bad: 2}"),
)
SAID = "watchFor 30m → 20s, for 1m → 4s and 5m → 8s, windows 1m → 5s, counts to match"


def shortened(folder: Path) -> list[str]:
    """Write the shipped policies, shortened, into `folder`; their file names.

    Raises ValueError if they have changed so that a time would be left as it is.
    """
    written = []
    folder.mkdir()
    for source in sorted(SHIPPED.glob("*.yaml")):
        text = source.read_text()
        for pattern, short in SHORTENED:
            text = re.sub(pattern, short, text)
        if re.search(r"(watchFor|for): \d+m|\[\d+m\]", text):
            raise ValueError(f"{source} has a time that the demo doesn't know how to shorten: see {__file__}")
        (folder / source.name).write_text(text)
        written.append(source.name)
    return written
