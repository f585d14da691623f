"""Whether work may be done: this daemon leads; and for a change to a Deployment, a pass has decided it of late.

A case may be older than its evidence is good for: the API server was away for hours, or the daemon was. What a rollback
rests on is the newest pass, not the case.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from watcher.runbook.case import BY_HAND, Case
from watcher.systems.fault import Fault

ORDER_STANDS = 600.0
"""Seconds for which a person's order to roll back may be carried out: what they saw may be over by then."""


class Duty:
    """`leading` is asked before every change, `clock` gives epoch seconds.

    A decision to roll back permits the change for `fresh_for` seconds; each pass that decides so again renews it. A
    person's order needs no pass.
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

    def demand(self, case: Case) -> None:
        """Raise Fault unless the rollback of this case may be made now."""
        if not self.leading():
            raise Fault("canary-watch", "this daemon no longer leads; the one that does goes on")
        if case.reason == BY_HAND:
            return
        with self._lock:
            decided = self._decided.get(case.name)
        if decided is None or self.clock() - decided > self._fresh_for:
            raise Fault("canary-watch", f"no pass has decided this rollback again in the last {self._fresh_for:.0f} s")


def stale_order(case: Case, now: float) -> str:
    """Say so where a person's order has waited for too long to be carried out; empty where it hasn't."""
    if case.reason != BY_HAND or now - case.ordered <= ORDER_STANDS:
        return ""
    return f"the order to roll back could not be carried out within {ORDER_STANDS / 60:.0f} minutes; give it again"
