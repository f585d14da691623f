"""What Slack's adapter keeps off the wire and out of memory: where the token goes, redirects, answers without end."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.systems.credentials import SLACK_TOKEN
from tests.systems.fault_matrix import faulted
from watcher.sandbox import slack as stand_in
from watcher.sandbox.stand_in import Reply, Request
from watcher.systems.fault import Fault
from watcher.systems.slack import Posted, Slack, SlackSettings

SECRETS = (SLACK_TOKEN,)
THREAD = Posted("C0DEPLOY01", "1.1")
ANNOUNCE, SEND = "/api/files.getUploadURLExternal", "/upload/v1/"
CALLS: dict[str, Callable[[Slack], object]] = {
    "post": lambda slack: slack.post("hello", "k"),
    "find": lambda slack: slack.find("k", time.time()),
    "keys_in": lambda slack: slack.keys_in(THREAD),
    "upload": lambda slack: slack.upload(THREAD, "chart.png", b"PNG", "Chart"),
    "user_by_email": lambda slack: slack.user_by_email("maria.chen@example.com"),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


class _Other(stand_in.Slack):
    """A Slack whose paths that begin with `prefix` are answered with `reply`."""

    def __init__(self, prefix: str, reply: Reply) -> None:
        super().__init__(SLACK_TOKEN)
        self._prefix, self._other = prefix, reply

    def answer(self, request: Request) -> Reply:
        """Answer as Slack does, but for those paths."""
        return self._other if request.path.startswith(self._prefix) else super().answer(request)


def _connected(settings: SlackSettings, api: stand_in.Slack) -> Slack:
    return Slack(dataclasses.replace(settings, api_url=f"{api.url}/api/"))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@every_call
def test_a_redirect_does_not_take_the_token_elsewhere(
    status: int, call: Callable[[Slack], object], slack_settings: SlackSettings, slack_api: stand_in.Slack
) -> None:
    """No redirect is followed: the other host is never asked."""
    reply = Reply(status, headers={"Location": f"{slack_api.url}/api/elsewhere"})
    with _Other("/api/", reply) as api, pytest.raises(Fault, match=f"answered HTTP {status}"):
        call(_connected(slack_settings, api))
    assert slack_api.requests == []


def test_a_redirect_does_not_take_the_file_elsewhere(slack_settings: SlackSettings, slack_api: stand_in.Slack) -> None:
    """The bytes go where Slack's own answer says, and nowhere else."""
    with _Other(SEND, Reply(302, headers={"Location": f"{slack_api.url}/elsewhere"})) as api:
        with pytest.raises(Fault, match="answered HTTP 302 to the upload"):
            CALLS["upload"](_connected(slack_settings, api))
        assert [request.path for request in api.requests][1:] == [api.requests[1].path]
    assert slack_api.requests == []


def test_the_token_stays_out_of_the_upload(slack: Slack, slack_api: stand_in.Slack) -> None:
    """The URL for the bytes says enough by itself."""
    slack.upload(slack.post("hello", "k"), "chart.png", b"PNG", "Chart")
    [sent] = [request for request in slack_api.requests if request.path.startswith(SEND)]
    assert SLACK_TOKEN not in str(sent.headers)
    assert (sent.method, sent.body) == ("POST", b"PNG")
    assert slack_api.violations == []


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example.com/upload/v1/x",
        "http://127.0.0.1:1/upload/v1/x",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "//127.0.0.1/x",
        "https:///x",
        "",
    ],
)
def test_a_file_is_sent_to_https_alone(url: str, slack: Slack, slack_api: stand_in.Slack) -> None:
    """An address that others can listen in to, or that is none, gets nothing."""
    slack_api.inject("wrong-shape", prefix=ANNOUNCE, shape={"ok": True, "upload_url": url, "file_id": "F1"})
    with pytest.raises(Fault, match="gave an address for the upload that is not https"):
        CALLS["upload"](slack)
    assert [request.path for request in slack_api.requests] == [ANNOUNCE]


@pytest.mark.parametrize("url", ["https://[::1/x", "https://localhost:port/x", "https://localhost/a b", "https://x\n/"])
def test_an_address_that_cannot_be_read_is_a_fault(url: str, slack: Slack, slack_api: stand_in.Slack) -> None:
    """Nonsense for a URL is an answer that Slack doesn't document, or an address that can't be reached."""
    slack_api.inject("wrong-shape", prefix=ANNOUNCE, shape={"ok": True, "upload_url": url, "file_id": "F1"})
    with pytest.raises(Fault, match=r"doesn't document|can't be reached"):
        CALLS["upload"](slack)


def test_https_is_spoken_where_slack_says_so(slack: Slack, slack_api: stand_in.Slack) -> None:
    """Another host is fine with https; the stand-in speaks none, which is what fails here."""
    url = f"https://localhost:{slack_api.port}/x"
    slack_api.inject("wrong-shape", prefix=ANNOUNCE, shape={"ok": True, "upload_url": url, "file_id": "F1"})
    with pytest.raises(Fault, match=r"can't be reached \(SSLError\)"):
        CALLS["upload"](slack)


class _Drip:
    """A body that goes on for ever, a space at a time; JSON allows it."""

    def __init__(self) -> None:
        self._cut = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        while not self._cut.wait(0.1):
            yield b" "

    def cut(self) -> None:
        """End it."""
        self._cut.set()

    close = cut


@pytest.mark.parametrize("prefix", ["/api/", SEND])
def test_an_answer_that_drips_does_not_hold_a_call(
    prefix: str, slack_settings: SlackSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that sends a byte now and then is given up after twice the timeout."""
    with _Other(prefix, Reply(200, stream=_Drip())) as api:
        fault = faulted(lambda: CALLS["upload"](_connected(slack_settings, api)), "Slack", SECRETS, caplog)
    assert fault.said == "did not answer within 0.6 s"


@pytest.mark.parametrize("call", [CALLS["post"], CALLS["keys_in"], CALLS["find"]], ids=["post", "keys_in", "find"])
def test_an_answer_without_end_is_a_fault(call: Callable[[Slack], object], slack_settings: SlackSettings) -> None:
    """More than a page can hold isn't kept in memory, sound though it may be."""
    answer = (
        b'{"ok": true, "channel": "C0DEPLOY01", "ts": "1.1", "messages": [], "channels": []' + b" " * (16 << 20) + b"}"
    )
    with _Other("/api/", Reply(200, answer)) as api:
        slack = _connected(dataclasses.replace(slack_settings, channel="C0DEPLOY01", timeout=5.0), api)
        with pytest.raises(Fault, match="doesn't document"):
            call(slack)


def test_an_answer_that_breaks_off_is_said_to(slack_settings: SlackSettings) -> None:
    """A connection that ends before the answer does is no answer, even if what came can be read."""
    broken = Reply(200, b'{"ok": true, "messages": []}', headers={"Content-Length": "99", "Connection": "close"})
    with _Other("/api/", broken) as api, pytest.raises(Fault, match=r"can't be reached \(IncompleteRead\)"):
        CALLS["keys_in"](_connected(slack_settings, api))
