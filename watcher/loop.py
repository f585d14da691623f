"""A pass every interval until told to stop. An exception ends a pass, never the loop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

LOG = logging.getLogger("canary-watch")


class OnePass(Protocol):
    """A whole pass, its cases included; says what it saw and did."""

    def __call__(self, now: float) -> str:
        """Make one pass at `now`, epoch seconds."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often, by which clock, and until when: `interval` seconds, `clock` epoch seconds, `stop` set at the end."""

    interval: float
    clock: Callable[[], float]
    stop: threading.Event


def run(one_pass: OnePass, rhythm: Rhythm) -> None:
    """Make passes until `rhythm.stop` is set. One that outlasts the interval delays the next one, never doubles it.

    Runs in a daemon thread: at SIGTERM a pass that waits for an answer is left behind, which harms nothing.
    """
    following = time.monotonic()
    said = ""
    while not rhythm.stop.is_set():
        try:
            sentence = one_pass(rhythm.clock())
            LOG.log(logging.DEBUG if sentence == said else logging.INFO, "%s", sentence)
            said = sentence
        except Exception:
            LOG.exception("this pass failed; the next one looks at everything again")
        following = max(following + rhythm.interval, time.monotonic())
        rhythm.stop.wait(following - time.monotonic())
