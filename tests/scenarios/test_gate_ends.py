"""The gate's ends: a watch that either side ends or cuts, an upstream that is gone, a target that is odd."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import requests

from tests.scenarios.gate import Gate
from watcher.sandbox.stand_in import Reply, Request, StandIn, json_reply


@dataclass
class _Pieces:
    """A stream that says one piece and then nothing, until it is cut; `breaks` makes that an error."""

    breaks: bool = False
    over: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    def __iter__(self) -> Iterator[bytes]:
        yield b'{"piece": 1}\n'
        self.over.wait(10)
        if self.breaks:
            raise ConnectionAbortedError

    def cut(self) -> None:
        """End."""
        self.over.set()

    def close(self) -> None:
        """Note it."""
        self.closed.set()


class _Upstream(StandIn):
    """A system with nothing but a watch."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces = _Pieces()

    def answer(self, request: Request) -> Reply:
        """The watch, or the request's own query."""
        if "watch" in request.query:
            return Reply(200, content_type="application/json", stream=self.pieces)
        return json_reply(200, {"target": request.target})


@pytest.fixture
def upstream() -> Iterator[_Upstream]:
    """The system behind the gate."""
    with _Upstream() as upstream:
        yield upstream
    gc.collect()  # a connection that the gate left open warns now, and so fails this test and no other


@pytest.mark.parametrize("end", ["client", "refused", "stop"])
def test_the_upstreams_watch_ends_with_the_clients(upstream: _Upstream, end: str) -> None:
    """Whether the client goes away, is cut or the gate stops: the silent watch behind it is closed at once."""
    with Gate(upstream.url) as gate, requests.get(f"{gate.url}/?watch=1", stream=True, timeout=5) as answer:
        lines = answer.iter_lines(chunk_size=None)
        assert next(lines) == b'{"piece": 1}'
        assert not upstream.pieces.closed.wait(0.1)
        if end == "client":
            answer.close()
        elif end == "refused":
            gate.inject("refused")
        else:
            gate.stop()
        assert upstream.pieces.closed.wait(1)


def test_a_watch_that_the_upstream_cuts_is_cut(upstream: _Upstream) -> None:
    """A client can tell a watch that broke from one that ended."""
    upstream.pieces.breaks = True
    with Gate(upstream.url) as gate, requests.get(f"{gate.url}/?watch=1", stream=True, timeout=5) as answer:
        lines = answer.iter_lines(chunk_size=None)
        next(lines)
        upstream.pieces.cut()
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            next(lines)


def test_a_watch_can_hang_half_way_through_an_event(upstream: _Upstream) -> None:
    """Half of an event comes and nothing more, until the gate recovers; nothing stays open behind it."""
    with Gate(upstream.url) as gate:
        gate.inject("hung-halfway")
        with requests.get(f"{gate.url}/?watch=1", stream=True, timeout=5) as answer:
            assert answer.raw.read1() == b'{"piec'
            assert upstream.pieces.closed.wait(1)
            gate.recover()
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                answer.content  # noqa: B018


def test_the_target_is_passed_on_as_it_was_sent(upstream: _Upstream) -> None:
    """Path and query are neither decoded nor put in another order; an upstream with a path of its own keeps it."""
    with Gate(f"{upstream.url}/base") as gate:
        target = "/a%2Fb?z=1&a=%20+&z=2&empty"
        assert requests.get(f"{gate.url}{target}", timeout=5).json() == {"target": f"/base{target}"}


def test_an_upstream_that_is_gone_is_a_bad_gateway(upstream: _Upstream) -> None:
    """502 tells that the gate works and the system behind it doesn't."""
    upstream.inject("refused")
    with Gate(upstream.url) as gate:
        assert requests.get(gate.url, timeout=5).status_code == 502
