"""The loop: a pass every interval, and nothing that happens in one ends it."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable

import pytest

from watcher.loop import Rhythm, run


def looping(one_pass: Callable[[float], str], interval: float, stop: threading.Event) -> threading.Thread:
    """The loop in a thread of its own."""
    thread = threading.Thread(target=run, args=(one_pass, Rhythm(interval, time.time, stop)), daemon=True)
    thread.start()
    return thread


def test_an_exception_ends_a_pass_not_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    """A pass that fails is logged, and the next one is made."""
    stop, passes = threading.Event(), list[float]()

    def one_pass(now: float) -> str:
        passes.append(now)
        if len(passes) == 4:
            stop.set()
        if len(passes) < 4:
            raise RuntimeError("unlucky")
        return "all well"

    looping(one_pass, 0.01, stop).join(5)
    assert len(passes) == 4
    assert sum("this pass failed" in record.message for record in caplog.records) == 3


def test_stops_at_once() -> None:
    """Told to stop, the loop ends without waiting for its interval, and makes no further pass."""
    stop, made = threading.Event(), threading.Event()
    passes: list[float] = []

    def one_pass(now: float) -> str:
        passes.append(now)
        made.set()
        return "all well"

    thread = looping(one_pass, 60.0, stop)
    assert made.wait(5)
    begun = time.monotonic()
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert time.monotonic() - begun < 1.0
    assert len(passes) == 1


def test_a_long_pass_delays_and_never_doubles() -> None:
    """A pass that takes longer than the interval is followed by the next one at once, not by those that were missed."""
    stop, begun, ended = threading.Event(), list[float](), list[float]()

    def one_pass(now: float) -> str:
        begun.append(time.monotonic())
        time.sleep(0.35 if len(begun) == 1 else 0.0)
        ended.append(time.monotonic())
        if len(begun) == 4:
            stop.set()
        return "all well"

    looping(one_pass, 0.1, stop).join(5)
    assert begun[1] - ended[0] < 0.08
    assert all(later - earlier > 0.08 for earlier, later in itertools.pairwise(begun[1:]))


def test_the_same_sentence_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """What a pass says is news only when it is not what the last one said."""
    caplog.set_level(logging.DEBUG, "canary-watch")
    stop, sentences = threading.Event(), ["waiting", "waiting", "1 rollouts under watch", "waiting"]

    def one_pass(now: float) -> str:
        sentence = sentences.pop(0)
        if not sentences:
            stop.set()
        return sentence

    looping(one_pass, 0.005, stop).join(5)
    told = [record.message for record in caplog.records if record.levelno == logging.INFO]
    assert told == ["waiting", "1 rollouts under watch", "waiting"]
