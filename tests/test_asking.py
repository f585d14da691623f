"""Queries asked side by side: none waits for another, and none for ever."""

from __future__ import annotations

import threading
import time

from tests.runbook.parts import until
from watcher.asking import FORGET, MOST_AT_ONCE, Asker
from watcher.judgement.model import Answer, Grid
from watcher.judgement.queries import Question

GRID = Grid(1_800_000_000.0, 15.0, 2)


def questions(*texts: str) -> list[Question]:
    """A question for each text."""
    return [Question(text, f"filled {text}", GRID) for text in texts]


class Counting:
    """A Prometheus that answers once as many queries as may run at once are there, and knows how many there were."""

    def __init__(self) -> None:
        self.most = self.now = 0
        self._full = threading.Condition()

    def range(self, query: str, grid: Grid) -> Answer:
        """Wait for the others."""
        with self._full:
            self.now += 1
            self.most = max(self.most, self.now)
            self._full.notify_all()
            self._full.wait_for(lambda: self.most >= MOST_AT_ONCE, 10)
            self.now -= 1
        return Answer(query, grid)


class Hanging:
    """A Prometheus that hangs on some queries until it is let go, and keeps what it was asked."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.asked: list[str] = []

    def range(self, query: str, grid: Grid) -> Answer:
        """Hang, or answer."""
        self.asked.append(query)
        if query.startswith("filled hangs"):
            self.let_go.wait(20)
        return Answer(query, grid)


def test_queries_run_side_by_side_and_not_too_many() -> None:
    """As many as may run at once really do, and no more; each text gets its own answer."""
    prometheus = Counting()
    asked = questions(*(f"text {n}" for n in range(3 * MOST_AT_ONCE)))
    answers = Asker(prometheus, 20.0).ask(asked)
    assert prometheus.most == MOST_AT_ONCE
    assert {text: answer.query for text, answer in answers.items()} == {q.text: q.query for q in asked}


def test_one_that_hangs_is_an_error_and_is_not_asked_again_meanwhile() -> None:
    """A pass goes on without the answer, alone or beside others; the next one doesn't pile a second query upon it."""
    prometheus = Hanging()
    asker = Asker(prometheus, 0.3)
    assert asker.ask(questions("hangs"))["hangs"].error == "Prometheus has not answered in time"
    answers = asker.ask(questions("hangs", "answers"))
    assert answers["hangs"].error
    assert not answers["answers"].error
    assert prometheus.asked == ["filled hangs", "filled answers"]
    prometheus.let_go.set()
    while asker.ask(questions("hangs"))["hangs"].error:
        pass
    assert prometheus.asked.count("filled hangs") == 2


def test_texts_that_hang_take_no_place_from_others() -> None:
    """When as many hang as may run at once, another text is asked and answered all the same."""
    prometheus = Hanging()
    asker = Asker(prometheus, 0.3)
    late = asker.ask(questions(*(f"hangs {n}" for n in range(MOST_AT_ONCE))))
    assert all(answer.error for answer in late.values())
    assert asker.ask(questions("answers"))["answers"].error == ""
    prometheus.let_go.set()


def test_one_that_hangs_is_asked_again_in_the_end() -> None:
    """A connection that hangs for ever doesn't leave its text unknown for ever: later it is asked beside it."""
    prometheus, patience, begun = Hanging(), 0.05, time.monotonic()
    asker = Asker(prometheus, patience)
    asked_again = lambda: bool(asker.ask(questions("hangs"))) and len(prometheus.asked) == 2  # noqa: E731
    until(asked_again, "asked once more")
    assert time.monotonic() - begun >= FORGET * patience
    prometheus.let_go.set()


def test_nothing_to_ask_is_no_work() -> None:
    """Without questions nothing is asked."""
    prometheus = Hanging()
    assert Asker(prometheus, 1.0).ask([]) == {}
    assert prometheus.asked == []
