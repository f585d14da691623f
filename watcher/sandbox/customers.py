"""The shop's customers: a steady load on the pods that are ready, so that error rates come out as configured."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

PATIENCE = 5.0
WORKERS = 16


class Customers:
    """Orders at `rate` a second, from `start` to `stop` or for `lasting` seconds, one pod after the other.

    `pods` gives the addresses (`host:port`) of the pods that are ready now; it is called for each order, from several
    threads. Orders are not made up for: while no pod is ready, or all WORKERS wait for slow ones, fewer are sent.
    """

    def __init__(self, pods: Callable[[], Sequence[str]], rate: float, lasting: float) -> None:
        self._pods = pods
        self._pause = 1 / rate
        self._lasting = lasting
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._answers: Counter[int] = Counter()
        self._idle: dict[str, list[http.client.HTTPConnection]] = {}
        self._number = 0
        self._due = self._last = 0.0
        self._workers = [threading.Thread(target=self._work, name="customer", daemon=True) for _ in range(WORKERS)]

    def answers(self) -> dict[int, int]:
        """Count the orders sent so far by the status that came back, 0 where none did."""
        with self._lock:
            return dict(self._answers)

    def start(self) -> Self:
        """Begin, and return self."""
        self._due = time.monotonic()
        self._last = self._due + self._lasting
        for worker in self._workers:
            worker.start()
        return self

    def stop(self) -> None:
        """End, once the orders under way are answered."""
        self._ended.set()
        for worker in self._workers:
            worker.join()
        self._forget_all_but(())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _work(self) -> None:
        while True:
            number, wait = self._next_order()
            if wait is None or self._ended.wait(wait):
                return
            pods = self._pods()
            if pods:
                self._order(pods[number % len(pods)])
            self._forget_all_but(pods)

    def _next_order(self) -> tuple[int, float | None]:
        """Take the next order: its number and the seconds until it is due, None once the time is over."""
        with self._lock:
            now = time.monotonic()
            self._due = max(self._due + self._pause, now)
            self._number += 1
            return self._number, None if self._due > self._last else self._due - now

    def _order(self, pod: str) -> None:
        with self._lock:
            idle = self._idle.setdefault(pod, [])
            connection = idle.pop() if idle else http.client.HTTPConnection(pod, timeout=PATIENCE)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
            status = answer.status
        except (OSError, http.client.HTTPException):
            connection.close()  # and opened again by the next order
            status = 0
        with self._lock:
            self._answers[status] += 1
            self._idle.setdefault(pod, []).append(connection)

    def _forget_all_but(self, pods: Sequence[str]) -> None:
        """Close the idle connections to pods that are gone."""
        with self._lock:
            for gone in self._idle.keys() - set(pods):
                for connection in self._idle.pop(gone):
                    connection.close()
