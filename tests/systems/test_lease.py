"""The lease under slow, lost and half-done requests: never two leaders, and always one again soon."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.systems.lease_world import SHORT, World
from tests.systems.scripted_api import connect
from watcher.systems.kubernetes import Lease

PATIENCE = 5.0


@pytest.fixture
def world() -> Iterator[World]:
    """Make a store that candidates compete for; whatever a test does, no two may lead at once."""
    with ExitStack() as stack:
        made = World(stack)
        yield made
        assert not made.both_led, "two led at once"


def wait_until(condition: Callable[[], object], timeout: float = PATIENCE) -> bool:
    """Wait for a condition that another thread brings about."""
    deadline = time.monotonic() + timeout
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    return bool(condition())


def test_alone(world: World) -> None:
    """A lone candidate creates the Lease, leads at once, and renews without end."""
    lease, api = world.candidate("pod-a")
    assert not lease.leading()
    assert lease.holder == ""
    lease.start()
    assert lease.wait_leading(PATIENCE)
    first = world.store.spec
    assert first["holderIdentity"] == lease.identity == lease.holder
    assert lease.identity.startswith("pod-a_")
    assert first["leaseDurationSeconds"] == 1
    assert first["leaseTransitions"] == 0
    assert wait_until(lambda: world.store.spec["renewTime"] != first["renewTime"])
    assert world.store.spec["acquireTime"] == first["acquireTime"]
    assert [request.method for request in api.requests[:3]] == ["GET", "POST", "PUT"]
    assert lease.last_error == ""


@pytest.mark.parametrize(("duration", "seconds"), [(0.2, 1), (1.0, 1), (1.2, 2), (15.0, 15)])
def test_the_duration_is_rounded_up(world: World, duration: float, seconds: int) -> None:
    """Others wait at least as long as the holder counts on."""
    lease, _ = world.candidate("pod-a", duration)
    lease.start()
    assert lease.wait_leading(PATIENCE)
    assert world.store.spec["leaseDurationSeconds"] == seconds


def test_only_one_of_three_leads(world: World) -> None:
    """Candidates that start together settle on one, also where they bear the same name."""
    candidates = [world.candidate("same-name")[0] for _ in range(3)]
    for lease in candidates:
        lease.start()
    assert wait_until(lambda: any(lease.leading() for lease in candidates))
    time.sleep(1.1 * SHORT)
    assert sum(lease.leading() for lease in candidates) == 1
    assert len({lease.holder for lease in candidates}) == 1
    assert world.store.spec["leaseTransitions"] == 0


def test_a_stopped_holder_hands_over(world: World) -> None:
    """A holder that stops releases the Lease, and the next one leads within a period or two, not a duration."""
    first, _ = world.candidate("pod-a", 5.0)
    second, _ = world.candidate("pod-b", 5.0)
    first.start()
    assert first.wait_leading(PATIENCE)
    second.start()
    assert wait_until(lambda: second.holder == first.identity)
    begun = time.monotonic()
    first.stop()
    assert not first.leading()
    assert time.monotonic() - begun < 1.0
    assert second.wait_leading(3.0)
    assert time.monotonic() - begun < 3.0
    assert world.store.spec["leaseTransitions"] == 1


def test_a_holder_that_is_cut_off(world: World) -> None:
    """A holder that can't reach the API server stops believing before another takes over, and takes its turn later."""
    first, api = world.candidate("pod-a")
    second, _ = world.candidate("pod-b")
    first.start()
    assert first.wait_leading(PATIENCE)
    second.start()
    assert wait_until(lambda: second.holder == first.identity)
    api.inject("timeout")
    begun = time.monotonic()
    assert wait_until(lambda: not first.leading())
    ended = time.monotonic()
    assert ended - begun < SHORT * 2 / 3 + 0.1
    assert second.wait_leading(PATIENCE)
    assert time.monotonic() - ended > 0.1
    assert time.monotonic() - begun < 2 * SHORT + 0.5
    assert first.last_error
    api.recover()
    assert wait_until(lambda: first.holder == second.identity)
    second.stop()
    assert first.wait_leading(PATIENCE)


@pytest.mark.parametrize("mode", ["hung-halfway", "500"])
def test_renewals_without_an_answer_do_not_count(world: World, mode: Any) -> None:
    """A renewal that hangs or fails, carried out or not, never stretches the belief; another leads in the end."""
    first, api = world.candidate("pod-a")
    second, _ = world.candidate("pod-b")
    first.start()
    assert first.wait_leading(PATIENCE)
    second.start()
    assert wait_until(lambda: second.holder == first.identity)
    api.inject(mode)
    assert second.wait_leading(PATIENCE)
    assert not first.leading()


def test_one_lost_answer_is_survived(world: World) -> None:
    """A renewal that was carried out and whose answer got lost is recognised as our own; the holder leads on."""
    lease, api = world.candidate("pod-a", 3.0)
    lease.start()
    assert lease.wait_leading(PATIENCE)
    api.inject("hung-halfway", times=1)
    before = len(api.requests)
    assert wait_until(lambda: [r.method for r in api.requests[before:]][:4] == ["PUT", "PUT", "GET", "PUT"])
    assert wait_until(lambda: lease.last_error == "")
    assert lease.leading()
    assert world.store.spec["leaseTransitions"] == 0


def test_a_create_whose_answer_got_lost(world: World) -> None:
    """The first write of all may be carried out unheard as well; the candidate finds itself in the record."""
    lease, api = world.candidate("pod-a")
    api.after = lambda request: time.sleep(0.3 if request.method == "POST" else 0)
    lease.start()
    assert lease.wait_leading(PATIENCE)
    assert world.store.spec["leaseTransitions"] == 0


@pytest.mark.parametrize(
    ("renewed", "seconds"), [("1970-01-01T00:00:00.000000Z", 2), ("2999-01-01T00:00:00.000000Z", 1)]
)
def test_wall_clocks_are_not_compared(world: World, renewed: str, seconds: int) -> None:
    """However old or new a record says it is, it stands for its own duration from when it was first seen."""
    world.store.plant("someone", renewTime=renewed, leaseDurationSeconds=seconds)
    lease, _ = world.candidate("pod-a", 0.5)
    begun = time.monotonic()
    lease.start()
    assert lease.wait_leading(PATIENCE)
    assert seconds <= time.monotonic() - begun < seconds + 1.0
    assert world.store.spec["leaseTransitions"] == 5
    assert world.store.record is not None
    assert world.store.record["metadata"]["labels"] == {"a": "b"}, "what others wrote is kept"


@pytest.mark.parametrize("holder", ["", None])
def test_a_released_lease_is_taken_at_once(world: World, holder: Any) -> None:
    """An empty holder keeps nobody waiting."""
    world.store.plant(holder, leaseDurationSeconds=60)
    lease, _ = world.candidate("pod-a")
    lease.start()
    assert lease.wait_leading(1.0)


def test_a_lease_deleted_under_its_holder(world: World) -> None:
    """Where the Lease is deleted, the holder has it again soon; another that saw it held waits its time."""
    first, _ = world.candidate("pod-a")
    second, _ = world.candidate("pod-b")
    first.start()
    assert first.wait_leading(PATIENCE)
    second.start()
    assert wait_until(lambda: second.holder == first.identity)
    with world.store.lock:
        world.store.record = None
    assert wait_until(lambda: world.store.record is not None)
    assert world.store.spec["holderIdentity"] == first.identity
    assert first.wait_leading(PATIENCE)


def test_a_holder_that_is_overruled(world: World) -> None:
    """A person who writes another holder into the Lease ends our leading with the next renewal."""
    lease, _ = world.candidate("pod-a", 3.0)
    lease.start()
    assert lease.wait_leading(PATIENCE)
    world.store.plant("a-person", leaseDurationSeconds=60)
    assert wait_until(lambda: not lease.leading(), 1.5)
    assert lease.holder == "a-person"


def test_stop_is_bounded(world: World) -> None:
    """Stopping takes a second at most, while a request hangs or the release does, and leading ends with it for good."""
    lease, api = world.candidate("pod-a", 30.0)
    lease.start()
    assert lease.wait_leading(PATIENCE)
    before = len(api.requests)
    hung = Lease(connect(api.url), "canary-watch", "pod-b", 30.0)
    api.inject("timeout")
    hung.start()
    assert wait_until(lambda: len(api.requests) > before)
    begun = time.monotonic()
    hung.stop()
    lease.stop()
    assert time.monotonic() - begun < 2.3
    assert not lease.leading()
    assert not hung.leading()


def test_an_unreachable_server(world: World) -> None:
    """Without a server nobody leads and the reason is told; once it is there somebody does."""
    lease, api = world.candidate("pod-a")
    api.inject("refused")
    lease.start()
    assert wait_until(lambda: "can't connect" in lease.last_error)
    assert not lease.wait_leading(0.3)
    api.recover()
    assert lease.wait_leading(PATIENCE)
    assert wait_until(lambda: lease.last_error == "")
