"""What the demo shows: a line for each thing that happens, and the error rate moving against its threshold."""

from __future__ import annotations

import sys
import textwrap
import time

BAR = 30  # characters of a full bar, which is FULL times the threshold
FULL = 25.0
WIDTH = 100

_COLOURS = {
    "plain": "",
    "phase": "\033[1;36m",
    "good": "\033[32m",
    "bad": "\033[31m",
    "sent": "\033[33m",
    "dim": "\033[2m",
}


class Screen:
    """Writes to the terminal; colours only where there is one."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._waiting = 0  # the revision of which it was said that nothing is measured yet
        self._colours = sys.stdout.isatty()

    def phase(self, said: str) -> None:
        """A new part of the story."""
        self._write(f"\n{self._clock()}  ━━ {said}", "phase")

    def line(self, said: str, colour: str = "plain") -> None:
        """Something happened."""
        self._write(f"{self._clock()}  {said}", colour)

    def quote(self, who: str, text: str) -> None:
        """Something was sent, word for word."""
        self._write(f"{self._clock()}  {who}", "sent")
        for paragraph in text.splitlines():
            for row in textwrap.wrap(paragraph, WIDTH - 13) or [""]:
                self._write(f"           │ {row}", "sent")

    def rate(self, revision: int, share: float | None, threshold: float) -> None:
        """The error rate of a revision's pods, as a bar with the threshold marked."""
        if share is None:
            if self._waiting != revision:
                self._write(
                    f"{self._clock()}  revision {revision}: Prometheus needs a few seconds to see its pods", "dim"
                )
            self._waiting = revision
            return
        filled = min(BAR, round(share / threshold / FULL * BAR))
        mark = round(BAR / FULL)
        bar = "".join("█" if i < filled else "│" if i == mark else "·" for i in range(BAR))
        over = share > threshold
        said = (
            f"revision {revision}: errors {share * 100:5.1f} %  {bar}  {'ABOVE' if over else 'below'} {threshold:.0%}"
        )
        self._write(f"{self._clock()}  {said}", "bad" if over else "good")

    def _clock(self) -> str:
        return f"{time.monotonic() - self._begun:6.1f} s"

    def _write(self, text: str, colour: str) -> None:
        code = _COLOURS[colour] if self._colours else ""
        sys.stdout.write(f"{code}{text}\033[0m\n" if code else f"{text}\n")
        sys.stdout.flush()
