"""The daemon as a process of its own, as the benchmarks look at it: its log, its CPU time and its memory.

Linux tells both in /proc; nothing is measured from inside the daemon.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 60.0
LOOK = 0.01  # seconds between looks: what a moment read from the log is uncertain by
PASS = re.compile(
    r"the pass took (?P<seconds>[\d.]+) s: (?P<watched>\d+) rollouts under watch, "
    r"(?P<queries>\d+) queries: (?P<counts>.*)"
)


@dataclass(frozen=True, slots=True)
class Seen:
    """One pass as the log tells it, and the daemon's CPU seconds and the wall clock (monotonic) at its end."""

    watched: int
    queries: int
    seconds: float
    counts: str
    cpu: float
    at: float


class Running:
    """A running daemon; `begun` is the monotonic time at which its process was started."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, begun: float) -> None:
        self._process = process
        self._log = log
        self.begun = begun
        self._read = 0

    @property
    def cpu(self) -> float:
        """User and system seconds that all of its threads have used so far; proc(5): fields 14 and 15 of stat."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, field: str) -> float:
        """VmRSS (now) or VmHWM (the most so far), in MB of 10^6 bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
        assert found, status
        return int(found[1]) * 1024 / 1e6

    def passes(self, count: int) -> list[Seen]:
        """Wait for the next `count` passes, and tell of each."""
        seen: list[Seen] = []
        deadline = time.monotonic() + PATIENCE
        while len(seen) < count:
            for line in self._new_lines():
                if found := PASS.search(line):
                    numbers = int(found["watched"]), int(found["queries"]), float(found["seconds"])
                    seen.append(Seen(*numbers, found["counts"], self.cpu, time.monotonic()))
                    deadline = time.monotonic() + PATIENCE
            self._wait(deadline)
        return seen[:count]

    def until(self, look: Callable[[], bool]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not look():
            self._wait(deadline)

    def said(self) -> str:
        """The end of its log, for an error message."""
        return self._log.read_text(errors="replace")[-4000:]

    def _wait(self, deadline: float) -> None:
        assert self._process.poll() is None, f"the daemon has ended\n{self.said()}"
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s\n{self.said()}"
        time.sleep(LOOK)

    def _new_lines(self) -> list[str]:
        text = self._log.read_text(errors="replace")
        fresh, self._read = text[self._read : text.rfind("\n") + 1], text.rfind("\n") + 1
        return fresh.splitlines()


@contextmanager
def running(folder: Path, config: dict[str, object]) -> Iterator[Running]:
    """Run the daemon with `config` and the kubeconfig in `folder`; it is killed at the end."""
    (folder / "config.yaml").write_text(json.dumps(config, indent=1))
    log = folder / "daemon.log"
    command = [sys.executable, "-m", "watcher", "run", "--config", str(folder / "config.yaml"), "--verbose"]
    with log.open("wb") as output:
        begun = time.monotonic()
        process = subprocess.Popen(
            [*command, "--kubeconfig", str(folder / "kubeconfig")], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield Running(process, log, begun)
    finally:
        process.kill()
        process.wait(10)
