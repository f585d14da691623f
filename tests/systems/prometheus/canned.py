"""What the tests here ask Prometheus's adapter, and the API that answers it with whatever a test says."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from urllib.parse import parse_qs

import pytest

from tests.systems.fault_matrix import PATIENCE
from watcher.judgement.model import Answer, Grid
from watcher.sandbox.stand_in import Reply, Request, StandIn, json_reply

TOKEN = "prometheus-token-7f3a91"
GRID = Grid(end=1_700_000_030.0, step=15.0, count=3)
SAMPLES = [[1_700_000_000, "1"], [1_700_000_015, "2.5"], [1_700_000_030, "3"]]
LABELS = {"namespace": "shop", "pod": "cart-7d9f-x2x4z"}


def matrix(*series: object, **more: object) -> Reply:
    """Return a success with these series, and with `more` beside them."""
    return json_reply(200, {"status": "success", "data": {"resultType": "matrix", "result": list(series)}, **more})


class Api(StandIn):
    """Prometheus's HTTP API, reduced to giving `reply` to everything."""

    def __init__(self) -> None:
        super().__init__()
        self.reply = matrix({"metric": LABELS, "values": SAMPLES})

    def answer(self, request: Request) -> Reply:
        """Give the canned reply."""
        return self.reply

    def last_form(self) -> dict[str, list[str]]:
        """Return the form in the body of the last request."""
        return parse_qs(self.requests[-1].body.decode())


def failed(ask: Callable[[], Answer], log: pytest.LogCaptureFixture) -> str:
    """Demand that `ask` soon gives an error, in one line and without the token, and nothing else. Return it."""
    log.set_level(logging.DEBUG)
    started = time.monotonic()
    answer = ask()
    assert time.monotonic() - started < PATIENCE
    assert answer.series == ()
    assert answer.error
    assert "\n" not in answer.error
    assert TOKEN[-6:] not in answer.error + log.text
    gc.collect()  # a connection that was left open warns now, and so fails this test and no other
    return answer.error
