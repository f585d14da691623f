"""Lanes: a few daemon threads for each outside system, so that a slow one delays neither a pass nor another system."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Hashable, Mapping

LOG = logging.getLogger("canary-watch.runbook")

# Threads by lane. Verifying asks pods, which may be slow: that must not keep another case's revert waiting; nor must
# a database, a lookup of who is on call, or a chart's queries that hang. What is read beside the cases (`schema`)
# doesn't keep a case waiting either.
WORKERS: Mapping[str, int] = {
    "kubernetes": 8,
    "verify": 4,
    "marks": 2,
    "pagerduty": 4,
    "slack": 4,
    "directory": 2,
    "migrations": 4,
    "schema": 2,
    "charts": 2,
    "jira": 2,
    "grafana": 2,
    "probe": 8,
    "desk": 2,
}


class Lane:
    """Work for one outside system. A key is taken once: while its work is queued or under way, it isn't taken again.

    The threads are daemons: at SIGTERM a hung call is left behind, which is harmless, for every step can be repeated.
    """

    def __init__(self, name: str, workers: int) -> None:
        self._work: queue.SimpleQueue[tuple[Hashable, Callable[[], None]]] = queue.SimpleQueue()
        self._taken: set[Hashable] = set()
        self._lock = threading.Lock()
        for number in range(workers):
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True).start()

    def submit(self, key: Hashable, work: Callable[[], None]) -> bool:
        """Queue `work`; False where work for `key` is still under way."""
        with self._lock:
            if key in self._taken:
                return False
            self._taken.add(key)
        self._work.put((key, work))
        return True

    def busy(self) -> int:
        """How many pieces of work are queued or under way."""
        with self._lock:
            return len(self._taken)

    def _run(self) -> None:
        while True:
            key, work = self._work.get()
            try:
                work()
            except Exception:
                LOG.exception("work for %s failed in a way that was not foreseen; the lane goes on", key)
            finally:
                with self._lock:
                    self._taken.discard(key)


class Lanes:
    """The lanes by name."""

    def __init__(self, workers: Mapping[str, int]) -> None:
        self._lanes = {name: Lane(name, count) for name, count in workers.items()}

    def submit(self, lane: str, key: Hashable, work: Callable[[], None]) -> bool:
        """Queue `work` in the lane of that name."""
        return self._lanes[lane].submit(key, work)

    def busy(self) -> int:
        """How much work is queued or under way in all lanes."""
        return sum(lane.busy() for lane in self._lanes.values())
