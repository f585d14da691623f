"""The faults that every outside system is put through, and what every one of them must come to.

A test takes `@every_fault`, calls `strike(stand_in, case)` and then `faulted(...)` on each call of its adapter.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from watcher.sandbox.stand_in import RETRY_AFTER, Mode, StandIn
from watcher.systems.fault import Fault

TIMEOUT = 0.6
"""Seconds; what tests give adapters for a timeout."""
PATIENCE = 2.0
"""Seconds within which a call must have failed: no retries, no sleeps."""


@dataclass(frozen=True, slots=True)
class Case:
    """One way to fail. `shape` is the JSON that a wrong-shape answer holds, `retry_after` what the Fault must say."""

    name: str
    mode: Mode
    shape: object = None
    retry_after: float | None = None


CASES = (
    Case("refused", "refused"),
    Case("timeout", "timeout"),
    Case("hung-halfway", "hung-halfway"),
    Case("429", "429", retry_after=RETRY_AFTER),
    Case("500", "500"),
    Case("html", "html"),
    Case("wrong-shape-object", "wrong-shape", {"unexpected": True}),
    Case("wrong-shape-list", "wrong-shape", [1, 2, 3]),
    Case("wrong-shape-string", "wrong-shape", "unexpected"),
    Case("wrong-shape-null", "wrong-shape", None),
)

every_fault = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def strike(stand_in: StandIn, case: Case) -> None:
    """Make `stand_in` fail as `case` says, until it recovers."""
    stand_in.inject(case.mode, shape=case.shape)


def faulted(call: Callable[[], object], system: str, secrets: tuple[str, ...], log: pytest.LogCaptureFixture) -> Fault:
    """Demand that `call` raises a Fault of `system`, soon, and that no secret shows anywhere. Return it."""
    log.set_level(logging.DEBUG)
    started = time.monotonic()
    with pytest.raises(Fault) as raised:
        call()
    fault = raised.value
    assert time.monotonic() - started < PATIENCE
    assert fault.system == system
    assert fault.said
    assert "\n" not in fault.said
    shown = "".join([str(fault), repr(fault), *traceback.format_exception(fault), log.text])
    for secret in secrets:
        assert secret not in shown
        assert secret[-4:] not in shown, "not even the end of a secret is shown"
    return fault
