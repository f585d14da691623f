"""Grafana's adapter against its stand-in."""

from __future__ import annotations

import dataclasses
import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from tests.systems.fault_matrix import TIMEOUT, Case, every_fault, faulted, strike
from watcher.sandbox import grafana as stand_in
from watcher.sandbox.stand_in import Dropped, Reply, Request, json_reply
from watcher.systems.fault import Fault
from watcher.systems.grafana import Annotation, Grafana, GrafanaSettings
from watcher.systems.secret_file import SecretFile

TOKEN = "glsa_gr4f4naT0kenMLKJ"
SECRETS = (TOKEN,)
AT = 1_700_000_000.0
ROLLBACK = Annotation("Rolled back `cart`", ("canary-watch", "case:shopwave/shop/cart/r5"), AT)
CALLS: dict[str, Callable[[Grafana], object]] = {
    "annotate": lambda grafana: grafana.annotate(ROLLBACK),
    "annotated": lambda grafana: grafana.annotated(ROLLBACK.tags, AT - 60, AT + 60),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@pytest.fixture
def api() -> Iterator[stand_in.Grafana]:
    """Grafana's stand-in, listening."""
    with stand_in.Grafana(TOKEN) as api:
        yield api
    gc.collect()  # a connection that the adapter left open warns now, and so fails this test and no other


@pytest.fixture
def settings(api: stand_in.Grafana, secret: Callable[[str, str], SecretFile]) -> GrafanaSettings:
    """Settings that lead to the stand-in."""
    return GrafanaSettings(api.url, secret("grafana-token", TOKEN), TIMEOUT)


@pytest.fixture
def grafana(settings: GrafanaSettings) -> Grafana:
    """The adapter, connected to the stand-in."""
    return Grafana(settings)


def test_an_annotation_is_written_and_found(grafana: Grafana, api: stand_in.Grafana) -> None:
    """A moment is marked in milliseconds, for every dashboard, and found by its tags."""
    assert not grafana.annotated(ROLLBACK.tags, AT - 60, AT + 60)
    grafana.annotate(ROLLBACK)
    assert grafana.annotated(ROLLBACK.tags, AT - 60, AT + 60)
    moment = 1_700_000_000_000
    assert api.annotations == (stand_in.Annotation(1, ROLLBACK.text, ROLLBACK.tags, moment, moment, ""),)
    assert api.violations == []


def test_another_annotation_is_not_taken_for_it(grafana: Grafana) -> None:
    """All tags must be there, and the time must fit."""
    grafana.annotate(ROLLBACK)
    assert not grafana.annotated(("canary-watch", "case:another"), AT - 60, AT + 60)
    assert not grafana.annotated(ROLLBACK.tags, AT + 1, AT + 60)
    assert not grafana.annotated(ROLLBACK.tags, AT - 60, AT - 1)


@pytest.mark.parametrize(
    "tag",
    ["case:" + "shopwave/shop/cart/" * 10, "shopwave/shop/cart/" * 10, "case:a:b:c", " case : spaced\nout "],
    ids=["long value", "long key", "colons", "spaces"],
)
def test_a_tag_that_grafana_would_cut_is_found_again(tag: str, grafana: Grafana, api: stand_in.Grafana) -> None:
    """Grafana loses what follows a second colon or the 100th character; the adapter leaves nothing to lose."""
    grafana.annotate(dataclasses.replace(ROLLBACK, tags=("canary-watch", tag)))
    assert grafana.annotated(("canary-watch", tag), AT - 60, AT + 60)
    assert not grafana.annotated(("canary-watch", f"{tag}2"), AT - 60, AT + 60)
    assert api.violations == []


def test_an_answer_with_other_tags_is_not_taken_for_it(grafana: Grafana, api: stand_in.Grafana) -> None:
    """A server that doesn't filter, or sends annotations without tags, does not make us believe it is marked."""
    api.inject("wrong-shape", shape=[{"id": 1, "tags": ["canary-watch"]}, {"id": 2, "tags": None}, {"id": 3}])
    assert not grafana.annotated(ROLLBACK.tags, AT - 60, AT + 60)


@every_fault
@every_call
def test_every_fault_is_a_fault(
    case: Case,
    call: Callable[[Grafana], object],
    grafana: Grafana,
    api: stand_in.Grafana,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever Grafana does, each call ends soon in one Fault, after one request, and shows no secret."""
    strike(api, case)
    fault = faulted(lambda: call(grafana), "Grafana", SECRETS, caplog)
    assert fault.retry_after == case.retry_after
    assert not fault.lasting
    assert len(api.requests) == (0 if case.mode == "refused" else 1)
    api.recover()
    call(grafana)
    assert api.violations == []


@pytest.mark.parametrize(
    "shape", [{"id": "1"}, {"id": True}, [{"tags": "canary-watch"}], [[]], [list(SECRETS)]], ids=str
)
@every_call
def test_an_undocumented_answer_is_a_fault(
    shape: object,
    call: Callable[[Grafana], object],
    grafana: Grafana,
    api: stand_in.Grafana,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An answer that lacks what it must hold is no success, and is not shown."""
    api.inject("wrong-shape", shape=shape)
    fault = faulted(lambda: call(grafana), "Grafana", SECRETS, caplog)
    assert fault.said == "answered with something that its API doesn't document"


@every_call
def test_a_revoked_token_is_a_lasting_fault(
    call: Callable[[Grafana], object], grafana: Grafana, api: stand_in.Grafana, caplog: pytest.LogCaptureFixture
) -> None:
    """A 401 is lasting, in Grafana's own words, and shows nothing of the token."""
    api.token = "another"
    fault = faulted(lambda: call(grafana), "Grafana", SECRETS, caplog)
    assert fault.lasting
    assert fault.said == "answered HTTP 401: Invalid API key"


class _Answering(stand_in.Grafana):
    """A server that gives every request the same answer."""

    def __init__(self, reply: Callable[[Request], Reply]) -> None:
        super().__init__(TOKEN)
        self.reply = reply

    def answer(self, request: Request) -> Reply:
        """Give the answer."""
        return self.reply(request)


@every_call
def test_a_redirect_is_not_followed(
    call: Callable[[Grafana], object], settings: GrafanaSettings, api: stand_in.Grafana
) -> None:
    """The token is not carried anywhere else: a redirect is a mistake in the URL, and said."""
    with _Answering(lambda request: Reply(302, headers={"Location": f"{api.url}{request.target}"})) as moved:
        with pytest.raises(Fault, match="answered HTTP 302, a redirect: the URL must be Grafana's own") as raised:
            call(Grafana(dataclasses.replace(settings, url=moved.url)))
        assert raised.value.lasting
    assert api.requests == []


@pytest.mark.parametrize("part", [TOKEN, TOKEN[-6:], TOKEN[:6]], ids=["whole", "end", "start"])
@every_call
def test_an_answer_that_repeats_the_token_does_not_spread_it(
    part: str, call: Callable[[Grafana], object], settings: GrafanaSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal that quotes the token, even a part of it, is not shown."""
    with _Answering(lambda request: json_reply(403, {"message": f"no right for {part}"})) as echo:
        grafana = Grafana(dataclasses.replace(settings, url=echo.url))
        fault = faulted(lambda: call(grafana), "Grafana", SECRETS, caplog)
    assert fault.said == "answered HTTP 403"


@every_call
def test_an_endless_answer_is_a_fault(call: Callable[[Grafana], object], settings: GrafanaSettings) -> None:
    """An answer of more than a megabyte is not read to its end."""
    with (
        _Answering(lambda request: Reply(200, b"[" + b" " * 3_000_000 + b"]")) as endless,
        pytest.raises(Fault, match="the answer is larger than 1 MB"),
    ):
        call(Grafana(dataclasses.replace(settings, url=endless.url)))


class _Drip:
    """A body that comes byte by byte, each in time, and never ends."""

    def __init__(self) -> None:
        self._over = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        while not self._over.wait(0.05):
            yield b" "

    def cut(self) -> None:
        """End it."""
        self._over.set()

    close = cut


@every_call
def test_a_server_that_drips_is_a_fault(call: Callable[[Grafana], object], settings: GrafanaSettings) -> None:
    """An endless answer does not hold the caller for longer than the timeout."""
    started = time.monotonic()
    with (
        _Answering(lambda request: Reply(200, stream=_Drip())) as api,
        pytest.raises(Fault, match=r"had not finished its answer after 0\.6 s"),
    ):
        call(Grafana(dataclasses.replace(settings, url=api.url)))
    assert time.monotonic() - started < 5


def _hang_up(request: Request) -> None:
    raise Dropped


@every_call
def test_a_dropped_answer_is_a_fault_and_nothing_is_sent_again(
    call: Callable[[Grafana], object], grafana: Grafana, api: stand_in.Grafana
) -> None:
    """A connection cut after the request was carried out is not tried again here; a lost annotation can be found."""
    api.after = _hang_up
    with pytest.raises(Fault, match="can't be reached"):
        call(grafana)
    assert len(api.requests) == 1
    api.after = lambda request: None
    assert CALLS["annotated"](grafana) is (len(api.annotations) == 1)


def test_a_changed_token_counts_at_once(
    grafana: Grafana, api: stand_in.Grafana, secret: Callable[[str, str], SecretFile]
) -> None:
    """A token that was revoked and replaced works without a restart."""
    api.token = "glsa_new"
    with pytest.raises(Fault, match="HTTP 401"):
        grafana.annotate(ROLLBACK)
    secret("grafana-token", "glsa_new")
    grafana.annotate(ROLLBACK)
    assert len(api.annotations) == 1


def test_grafana_below_a_sub_path(settings: GrafanaSettings) -> None:
    """A Grafana that is served below a path is asked there."""
    with _Answering(lambda request: json_reply(200, {"id": 1})) as below:
        Grafana(dataclasses.replace(settings, url=f"{below.url}/grafana/")).annotate(ROLLBACK)
    assert [request.path for request in below.requests] == ["/grafana/api/annotations"]


def test_no_proxy_or_netrc_of_the_environment_is_used(
    grafana: Grafana, api: stand_in.Grafana, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the process inherits leads no request elsewhere."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    grafana.annotate(ROLLBACK)
    assert len(api.annotations) == 1


MS = 1_700_000_000_000
SOUND = {"text": "x", "time": MS}


@pytest.mark.parametrize(
    ("method", "what", "rule"),
    [
        ("POST", {"json": {"time": MS}}, "text field should not be empty"),
        ("POST", {"json": {**SOUND, "time": MS // 1000}}, "time is not an epoch number in milliseconds"),
        ("POST", {"json": {**SOUND, "timeEnd": "now"}}, "timeEnd is not an epoch number in milliseconds"),
        ("POST", {"json": {**SOUND, "tags": "a"}}, "tags is not a list of strings"),
        ("POST", {"json": {**SOUND, "tags": ["a:b:c"]}}, "more than one colon"),
        ("POST", {"json": {**SOUND, "tags": ["a" * 101]}}, "more than 100 characters"),
        ("POST", {"json": {**SOUND, "tags": [f"{n}{'a' * 90}" for n in range(6)]}}, "tags length exceeds"),
        ("POST", {"json": {**SOUND, "dashboard": "uid"}}, "unknown field dashboard"),
        ("POST", {"data": "text=x"}, "the body is not a JSON object"),
        ("GET", {"params": {"from": MS // 1000, "to": MS}}, "from is not a time in milliseconds"),
        ("GET", {"params": {"from": MS, "to": MS, "tag": "a"}}, "unknown parameter tag"),
        ("GET", {"params": {"from": MS, "to": MS, "type": "note"}}, "type is neither alert nor annotation"),
        ("GET", {"params": {"from": MS, "to": MS}, "headers": {"Authorization": TOKEN}}, "Authorization is not"),
    ],
    ids=str,
)
def test_the_stand_in_notes_what_breaks_the_documented_rules(
    method: str, what: dict[str, Any], rule: str, api: stand_in.Grafana
) -> None:
    """A request that Grafana wouldn't take as it was meant is refused and kept as a violation."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = requests.request(method, f"{api.url}/api/annotations", timeout=TIMEOUT, **{"headers": headers, **what})
    assert answer.status_code in (400, 401)
    assert any(rule in violation for violation in api.violations)
    assert api.annotations == ()
