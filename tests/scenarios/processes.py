"""What runs on a stage: the daemon as a process, and the pods that serve the shop's traffic."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.scenarios.traffic import Traffic


@dataclass
class Daemon:
    """One daemon as a process, its output in a file."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """SIGKILL, as an out-of-memory kill or a lost node would be."""
        self.process.kill()
        self.process.wait(10)

    def end(self) -> tuple[int, float]:
        """SIGTERM; the exit code, and the seconds that it took."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(10)
        return code, time.monotonic() - begun

    def said(self) -> str:
        """All of its output so far."""
        return self.log.read_text(errors="replace")

    def passes(self) -> int:
        """How many passes it has made as the leader."""
        return self.said().count(" the pass took ")


class Served:
    """A pod that is ready at once and serves traffic until it is stopped."""

    def __init__(self, traffic: Traffic, pod: dict[str, Any]) -> None:
        meta = pod["metadata"]
        self._traffic, self._namespace, self._name = traffic, meta["namespace"], meta["name"]
        traffic.pod_ready(self._namespace, meta["labels"]["app"], self._name, pod["spec"]["containers"][0]["image"])

    def ready(self) -> bool:
        """It is."""
        return True

    def exit_code(self) -> int | None:
        """It runs until it is stopped."""
        return None

    def stop(self) -> None:
        """Its series end."""
        self._traffic.pod_gone(self._namespace, self._name)
