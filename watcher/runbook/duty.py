"""Whether work may be done: this daemon leads; and for a change to a Deployment, a pass has decided it of late.

A case may be older than its evidence is good for: the API server was away for hours, or the daemon was. What a rollback
rests on is the newest pass, not the case.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from watcher.systems.fault import Fault


class Duty:
    """`leading` is asked before every change, `clock` gives epoch seconds.

    A decision to roll back permits the change for `fresh_for` seconds; each pass that decides so again renews it.
    """

    def __init__(self, leading: Callable[[], bool], clock: Callable[[], float], fresh_for: float) -> None:
        self.leading = leading
        self.clock = clock
        self._fresh_for = fresh_for
        self._decided: dict[str, float] = {}
        self._lock = threading.Lock()

    def decided(self, case_name: str) -> None:
        """A pass has just decided to roll back."""
        with self._lock:
            self._decided[case_name] = self.clock()

    def withdraw(self, case_name: str) -> None:
        """A pass has just decided otherwise."""
        with self._lock:
            self._decided.pop(case_name, None)

    def demand(self, case_name: str) -> None:
        """Raise Fault unless the rollback of this case may be made now."""
        if not self.leading():
            raise Fault("canary-watch", "this daemon no longer leads; the one that does goes on")
        with self._lock:
            decided = self._decided.get(case_name)
        if decided is None or self.clock() - decided > self._fresh_for:
            raise Fault("canary-watch", f"no pass has decided this rollback again in the last {self._fresh_for:.0f} s")
