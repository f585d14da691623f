"""Lanes: work by outside system, each key once at a time, and threads that outlive what goes wrong in them."""

from __future__ import annotations

import threading
import time

from tests.runbook.parts import until
from watcher.runbook.lanes import Lane, Lanes


def wait(gate: threading.Event) -> None:
    """Work that takes until the gate opens."""
    assert gate.wait(5)


def fail() -> None:
    """Work with a bug."""
    raise ZeroDivisionError


def test_a_key_is_taken_once() -> None:
    """While work for a key is queued or under way, further work for it is refused; afterwards it is taken again."""
    gate, lane, done = threading.Event(), Lane("t", 1), list[int]()
    assert lane.submit("a", lambda: wait(gate))
    assert not lane.submit("a", lambda: done.append(1))
    assert lane.submit("b", lambda: done.append(2))
    assert not lane.submit("b", lambda: done.append(3))
    assert lane.busy() == 2
    gate.set()
    until(lambda: lane.busy() == 0, "the lane is empty")
    assert lane.submit("a", lambda: done.append(4))
    until(lambda: lane.busy() == 0, "the lane is empty")
    assert done == [2, 4]


def test_a_lane_outlives_exceptions() -> None:
    """Work that raises what nobody foresaw ends itself, not the lane, and frees its key."""
    lane, done = Lane("t", 1), list[int]()
    for number in range(3):
        lane.submit(number, fail)
    lane.submit("last", lambda: done.append(1))
    until(lambda: done == [1], "the last one is done")
    assert lane.submit(0, lambda: None)


def test_lanes_do_not_wait_for_each_other() -> None:
    """One lane that hangs leaves the others free."""
    gate, lanes, done = threading.Event(), Lanes({"slow": 1, "quick": 1}), list[int]()
    lanes.submit("slow", 1, lambda: wait(gate))
    lanes.submit("quick", 1, lambda: done.append(1))
    until(lambda: done == [1], "the quick one")
    assert lanes.busy() >= 1
    gate.set()


def test_no_key_runs_beside_itself_under_stress() -> None:
    """With many submitters and workers, work for one key never overlaps."""
    lane, lock = Lane("t", 8), threading.Lock()
    running: set[int] = set()
    beside: list[int] = []

    def work(key: int) -> None:
        with lock:
            if key in running:
                beside.append(key)
            running.add(key)
        time.sleep(0.0005)
        with lock:
            running.discard(key)

    def push() -> None:
        for number in range(400):
            key = number % 5
            lane.submit(key, lambda key=key: work(key))  # type: ignore[misc]

    threads = [threading.Thread(target=push) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: lane.busy() == 0, "the lane is empty")
    assert beside == []
