"""Asks a pass's queries side by side, each in a thread of its own, and never waits longer than it was told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from watcher.judgement.model import Answer
from watcher.judgement.queries import Question
from watcher.runbook.ports import Prometheus

MOST_AT_ONCE = 8
FORGET = 10  # times the patience, after which a text that still hangs is asked again beside it


class Asker:
    """Keeps the threads whose answer is still to come: a text that hangs isn't asked again until it has ended.

    The client bounds each query by itself, but no client bounds everything: a server may drip its headers for ever.
    """

    def __init__(self, prometheus: Prometheus, patience: float) -> None:
        self._prometheus = prometheus
        self._patience = patience
        self._hanging: dict[str, tuple[threading.Thread, float]] = {}

    def ask(self, questions: Sequence[Question]) -> dict[str, Answer]:
        """Ask each question, and give the answers by the policy's text; one that is late is an error like any other."""
        begun = time.monotonic()
        forgotten = begun - FORGET * self._patience
        self._hanging = {t: (h, at) for t, (h, at) in self._hanging.items() if h.is_alive() and at > forgotten}
        places = threading.Semaphore(MOST_AT_ONCE)
        answers: dict[str, Answer] = {}
        threads: dict[str, threading.Thread] = {}
        for question in questions:
            if question.text not in self._hanging:
                thread = threading.Thread(target=self._ask, args=(question, answers, places), name="query", daemon=True)
                threads[question.text] = thread
                thread.start()
        for thread in threads.values():
            thread.join(max(0.0, begun + self._patience - time.monotonic()))
        self._hanging.update({text: (thread, begun) for text, thread in threads.items() if thread.is_alive()})
        late = {q.text: Answer(q.query, q.grid, error="Prometheus has not answered in time") for q in questions}
        return {**late, **answers}

    def _ask(self, question: Question, answers: dict[str, Answer], places: threading.Semaphore) -> None:
        with places:
            answers[question.text] = self._prometheus.range(question.query, question.grid)
