"""Whether a local process, such as a container's, is still there."""

from __future__ import annotations

from pathlib import Path


def runs(process: int) -> bool:
    """Whether a process runs; one that has ended and isn't reaped yet doesn't."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
