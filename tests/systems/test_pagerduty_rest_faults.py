"""What can go wrong while PagerDuty's REST API is read: the fault matrix, odd shapes, answers without end, secrets."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests.systems.credentials import API_TOKEN, ROUTING_KEY
from tests.systems.fault_matrix import TIMEOUT, Case, every_fault, faulted, strike
from tests.systems.pagerduty_office import CALLS, EVENT, OTHER_KEY, furnish
from watcher.sandbox import pagerduty as stand_in
from watcher.sandbox.stand_in import Reply, json_reply
from watcher.systems.pagerduty import PagerDuty, PagerDutySettings
from watcher.systems.secret_file import SecretFile

SECRETS = (ROUTING_KEY, API_TOKEN)
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@pytest.fixture(autouse=True)
def account(pagerduty_api: stand_in.PagerDuty) -> None:
    """Services, users, turns and an incident, in every test."""
    furnish(pagerduty_api)


@every_fault
@every_call
def test_every_fault_is_a_fault(
    case: Case,
    call: Callable[[PagerDuty], object],
    pagerduty: PagerDuty,
    pagerduty_api: stand_in.PagerDuty,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever PagerDuty does, each call ends soon in one Fault, after one request, and shows no secret."""
    strike(pagerduty_api, case)
    fault = faulted(lambda: call(pagerduty), "PagerDuty", SECRETS, caplog)
    assert fault.retry_after == case.retry_after
    assert not fault.lasting
    assert len(pagerduty_api.requests) == (0 if case.mode == "refused" else 1)
    pagerduty_api.recover()
    assert call(pagerduty)
    assert pagerduty_api.violations == []


@every_fault
def test_every_fault_of_a_second_request_is_a_fault(
    case: Case, pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty, caplog: pytest.LogCaptureFixture
) -> None:
    """The second question of who is on call fails as the first does."""
    if case.mode == "refused":
        pagerduty_api.after = lambda request: pagerduty_api.inject("refused")
    else:
        pagerduty_api.inject(case.mode, prefix="/oncalls", shape=case.shape)
    faulted(lambda: pagerduty.on_call("PSHOP"), "PagerDuty", SECRETS, caplog)


@every_call
def test_a_revoked_token_is_a_lasting_fault(
    call: Callable[[PagerDuty], object],
    pagerduty: PagerDuty,
    pagerduty_api: stand_in.PagerDuty,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A 401 is lasting, in PagerDuty's own words."""
    pagerduty_api.api_token = "another"
    fault = faulted(lambda: call(pagerduty), "PagerDuty", SECRETS, caplog)
    assert fault.lasting
    assert fault.said == "answered HTTP 401: Authentication failed"


@every_call
def test_without_a_token_nothing_is_known_and_nothing_asked(
    call: Callable[[PagerDuty], object], pagerduty_settings: PagerDutySettings, pagerduty_api: stand_in.PagerDuty
) -> None:
    """Without a REST token each answer is empty, and no request is made."""
    assert call(PagerDuty(dataclasses.replace(pagerduty_settings, api_token=None))) == ()
    assert pagerduty_api.requests == []


@pytest.mark.parametrize(
    "spoiled",
    [
        ("on_call", "/services", {"service": {"escalation_policy": None}}),
        ("on_call", "/services", {"service": {"escalation_policy": {"id": 7}}}),
        ("on_call", "/oncalls", {"oncalls": []}),
        ("on_call", "/oncalls", {"oncalls": [1], "more": False}),
        ("on_call", "/oncalls", {"oncalls": [{"escalation_level": 1, "user": None}], "more": False}),
        ("on_call", "/oncalls", {"oncalls": [{"escalation_level": 1, "user": {"id": "P1"}}], "more": False}),
        ("on_call_schedule", "/oncalls", {"oncalls": [{"escalation_level": "1", "user": {}}], "more": False}),
        ("open_incidents", "/incidents", {"incidents": [list(SECRETS)], "more": False}),
        ("texts_of", "/incidents", {"alerts": [], "more": "no"}),
        ("texts_of", "/incidents", {"alerts": [list(SECRETS)], "more": False}),
        ("texts_of", "/incidents", {"alerts": {}, "more": False}),
    ],
)
def test_an_undocumented_answer_is_a_fault(
    pagerduty: PagerDuty,
    pagerduty_api: stand_in.PagerDuty,
    caplog: pytest.LogCaptureFixture,
    spoiled: tuple[str, str, object],
) -> None:
    """A field that is missing or of another kind is never an exception of Python's, and nothing of it is shown."""
    call, path, answer = spoiled
    pagerduty_api.inject("wrong-shape", prefix=path, shape=answer)
    fault = faulted(lambda: CALLS[call](pagerduty), "PagerDuty", SECRETS, caplog)
    assert fault.said == "answered with something that its API doesn't document"


class _Pieces:
    """A body that comes in pieces, each when it is asked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def cut(self) -> None:
        """Nothing to wake."""

    def close(self) -> None:
        """Nothing to give back."""


def _dripping() -> Iterator[bytes]:
    yield b'{"incidents": ['
    while True:
        time.sleep(TIMEOUT / 10)
        yield b" "


def _endless() -> Iterator[bytes]:
    yield b'{"incidents": ['
    while True:
        yield b" " * (1 << 20)


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    "endless",
    [(_dripping, "had not finished its answer after 0.6 s"), (_endless, "the answer is larger than 16 MB")],
)
def test_an_answer_without_end_is_a_fault(
    pagerduty: PagerDuty,
    pagerduty_api: stand_in.PagerDuty,
    caplog: pytest.LogCaptureFixture,
    endless: tuple[Callable[[], Iterator[bytes]], str],
    status: int,
) -> None:
    """A server that drips, or that sends without end, doesn't hold the call or fill the memory; nor does its error."""
    pieces, said = endless
    reply = Reply(status, stream=_Pieces(pieces()))
    pagerduty_api.answer = lambda request: reply  # type: ignore[method-assign]
    assert faulted(lambda: pagerduty.open_incidents(None, time.time()), "PagerDuty", SECRETS, caplog).said == said


def test_a_redirect_is_not_followed(
    pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that sends us on doesn't get us, or the token, to another place."""
    moved = Reply(302, json.dumps({}).encode(), headers={"Location": f"{pagerduty_api.url}/elsewhere"})
    pagerduty_api.answer = lambda request: moved  # type: ignore[method-assign]
    assert faulted(lambda: pagerduty.on_call("PSHOP"), "PagerDuty", SECRETS, caplog).said == "answered HTTP 302"
    assert len(pagerduty_api.requests) == 1


def test_details_nested_without_end_are_read_to_a_depth(
    pagerduty: PagerDuty, pagerduty_api: stand_in.PagerDuty, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that nests deeper than Python can read is a fault like any other, one that it can is cut."""
    body = b'{"alerts": [{"summary": "s", "body": {"details": %s}}], "more": false}'
    for depth, texts in ((500, ("s",)), (100_000, None)):
        nested = b"[" * depth + b"1" + b"]" * depth
        pagerduty_api.answer = lambda request, nested=nested: Reply(200, body % nested)  # type: ignore[method-assign, misc]
        if texts is None:
            faulted(lambda: pagerduty.texts_of("Q1"), "PagerDuty", SECRETS, caplog)
        else:
            assert pagerduty.texts_of("Q1") == texts


@pytest.mark.parametrize("verb", ["trigger", "resolve"])
def test_another_teams_key_is_as_secret(
    pagerduty: PagerDuty,
    pagerduty_api: stand_in.PagerDuty,
    secret: Callable[[str, str], SecretFile],
    caplog: pytest.LogCaptureFixture,
    verb: str,
) -> None:
    """An answer that repeats the key that was given doesn't spread it."""
    key = secret("database-key", OTHER_KEY)
    refusal = json_reply(400, {"message": f"no integration {OTHER_KEY}"})
    pagerduty_api.answer = lambda request: refusal  # type: ignore[method-assign]
    calls = {"trigger": lambda: pagerduty.trigger(EVENT, key), "resolve": lambda: pagerduty.resolve("case-1", key)}
    fault = faulted(calls[verb], "PagerDuty", (*SECRETS, OTHER_KEY), caplog)
    assert fault.said == "answered HTTP 400: no integration (secret)"
