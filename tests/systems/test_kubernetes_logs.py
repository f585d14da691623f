"""A pod's log through the API server: what is asked, what counts as a whole log, and what each failure becomes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.systems.canned_api import CannedApi
from tests.systems.fault_matrix import TIMEOUT, Case, every_fault, faulted, strike
from tests.systems.scripted_api import TOKEN, connect
from watcher.sandbox.stand_in import HTML, Reply, json_reply
from watcher.systems import kubernetes as k8s
from watcher.systems.kubernetes import paths

PATH = "/api/v1/namespaces/shop/pods/plan-1/log"


@pytest.fixture
def api() -> Iterator[CannedApi]:
    """Start an API server whose pods have all written the same."""
    with CannedApi() as canned:
        canned.reply = Reply(200, b"1 change\nnothing else\n", "text/plain")
        yield canned


@every_fault
def test_every_fault_is_unavailable(api: CannedApi, case: Case, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the network or a proxy does to a call, it ends soon, as Unavailable, and never as a log."""
    strike(api, case)
    fault = faulted(lambda: connect(api.url, TIMEOUT).pod_log("shop", "plan-1"), "Kubernetes", (TOKEN,), caplog)
    assert isinstance(fault, k8s.Unavailable)
    assert fault.retry_after == case.retry_after
    assert not fault.lasting
    assert len(api.requests) <= 1, "nothing is retried"


def test_what_is_asked(api: CannedApi) -> None:
    """The log of a pod's only container is asked for without its name, one byte longer than it may be."""
    assert connect(api.url).pod_log("shop", "plan-1", most=100) == "1 change\nnothing else\n"
    connect(api.url).pod_log("shop", "plan-1", "main & co")
    first, second = api.requests
    assert (first.method, first.path, first.query) == ("GET", PATH, {"limitBytes": ["101"]})
    assert second.query == {"limitBytes": ["65537"], "container": ["main & co"]}


def test_the_path_is_quoted() -> None:
    """A pod's name can't climb out of its path, nor be empty."""
    assert paths.pod_log("shop", "a/b?c") == "/api/v1/namespaces/shop/pods/a%2Fb%3Fc/log"
    with pytest.raises(ValueError, match="name"):
        paths.pod_log("shop", "")


@pytest.mark.parametrize("more", [1, 200_000])
def test_a_log_that_is_too_long_is_no_log(api: CannedApi, more: int) -> None:
    """A log of just as many bytes as wanted is whole; a longer one is refused, whether the server cut it or not."""
    api.reply = Reply(200, "ü".encode() * 50, "text/plain")
    assert connect(api.url).pod_log("shop", "plan-1", most=100) == "ü" * 50
    api.reply = Reply(200, b"x" * (100 + more), "text/plain")
    with pytest.raises(k8s.Malformed, match="the log is longer than 100 bytes") as raised:
        connect(api.url).pod_log("shop", "plan-1", most=100)
    assert raised.value.lasting


def test_an_empty_log_is_a_log(api: CannedApi) -> None:
    """A container that wrote nothing has an empty log."""
    api.reply = Reply(200, b"", "text/plain")
    assert connect(api.url).pod_log("shop", "plan-1") == ""


def test_a_pod_without_a_node_has_no_log(api: CannedApi) -> None:
    """The API server's 204 for a pod that was never started isn't taken for an empty log."""
    api.reply = Reply(204)
    with pytest.raises(k8s.Unavailable, match="not been given a node"):
        connect(api.url).pod_log("shop", "plan-1")


def test_bytes_that_are_no_text(api: CannedApi) -> None:
    """What is not UTF-8 is replaced, and the rest still read."""
    api.reply = Reply(200, b"a\xff\xfeb\n", "text/plain; charset=utf-8")
    assert connect(api.url).pod_log("shop", "plan-1") == "a��b\n"


@pytest.mark.parametrize("reply", [Reply(200, HTML, "text/html"), json_reply(200, {"kind": "Pod"})])
def test_another_document_is_no_log(api: CannedApi, reply: Reply) -> None:
    """A proxy's sign-in page and another object are not what a container wrote."""
    api.reply = reply
    with pytest.raises(k8s.Malformed, match="not a log"):
        connect(api.url).pod_log("shop", "plan-1")


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (400, "BadRequest", k8s.Invalid),
        (401, "Unauthorized", k8s.Forbidden),
        (403, "Forbidden", k8s.Forbidden),
        (404, "NotFound", k8s.NotFound),
        (422, "Invalid", k8s.Invalid),
        (500, "InternalError", k8s.Unavailable),
        (503, "ServiceUnavailable", k8s.Unavailable),
    ],
)
def test_refusals(api: CannedApi, code: int, reason: str, expected: type[k8s.KubernetesFault]) -> None:
    """The API server's refusal is the same fault as everywhere else, in its own words, though the limit be a byte."""
    api.refuse(code, reason, "container wrong is not valid for pod plan-1")
    with pytest.raises(expected, match="container wrong is not valid") as raised:
        connect(api.url).pod_log("shop", "plan-1", "wrong", most=1)
    assert raised.value.status == code


class _Endless:
    """A body that comes drop by drop, or breaks off after its first piece."""

    def __init__(self, breaks_off: bool) -> None:
        self._breaks_off = breaks_off
        self._cut = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        """Write another line every moment."""
        yield b"1 change\n"
        while not self._breaks_off and not self._cut.wait(0.02):
            yield b"1 change\n"
        raise ConnectionAbortedError

    def cut(self) -> None:
        """End it."""
        self._cut.set()

    def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("breaks_off", [True, False])
def test_a_log_that_does_not_end_is_no_log(api: CannedApi, breaks_off: bool) -> None:
    """An answer that breaks off, or comes drop by drop for longer than the timeout, is a fault and no shorter log."""
    api.reply = Reply(200, content_type="text/plain", stream=_Endless(breaks_off))
    begun = time.monotonic()
    with pytest.raises(k8s.Unavailable, match=r"was cut|did not end in time"):
        connect(api.url, 0.3).pod_log("shop", "plan-1")
    assert time.monotonic() - begun < 2.0
