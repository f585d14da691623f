"""Asks a pass's queries side by side, each in a thread of its own, and never waits longer than it was told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from watcher.judgement.model import Answer
from watcher.judgement.queries import Question
from watcher.runbook.ports import Prometheus

MOST_AT_ONCE = 8


class Asker:
    """Keeps the threads whose answer is still to come: a text that hangs isn't asked again until it has ended.

    The client bounds each query by itself, but no client bounds everything: a server may drip its headers for ever.
    """

    def __init__(self, prometheus: Prometheus, patience: float) -> None:
        self._prometheus = prometheus
        self._patience = patience
        self._places = threading.Semaphore(MOST_AT_ONCE)
        self._hanging: dict[str, threading.Thread] = {}

    def ask(self, questions: Sequence[Question]) -> dict[str, Answer]:
        """Ask each question, and give the answers by the policy's text; one that is late is an error like any other."""
        self._hanging = {text: thread for text, thread in self._hanging.items() if thread.is_alive()}
        answers: dict[str, Answer] = {}
        threads: dict[str, threading.Thread] = {}
        for question in questions:
            if question.text not in self._hanging:
                thread = threading.Thread(target=self._ask, args=(question, answers), name="query", daemon=True)
                threads[question.text] = thread
                thread.start()
        latest = time.monotonic() + self._patience
        for thread in threads.values():
            thread.join(max(0.0, latest - time.monotonic()))
        self._hanging.update({text: thread for text, thread in threads.items() if thread.is_alive()})
        late = {q.text: Answer(q.query, q.grid, error="Prometheus has not answered in time") for q in questions}
        return {**late, **answers}

    def _ask(self, question: Question, answers: dict[str, Answer]) -> None:
        with self._places:
            answers[question.text] = self._prometheus.range(question.query, question.grid)
