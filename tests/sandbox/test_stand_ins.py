"""The vendors' stand-ins: they refuse what the vendors' documents refuse, and fail as they are told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from watcher.sandbox.pagerduty import ACCEPT, PagerDuty
from watcher.sandbox.slack import Slack
from watcher.sandbox.stand_in import Dropped, Reply, Request, StandIn, json_reply

KEY = "k" * 32
PAYLOAD: dict[str, Any] = {"summary": "s", "source": "h", "severity": "error"}
EVENT: dict[str, Any] = {"routing_key": KEY, "event_action": "trigger", "dedup_key": "d", "payload": PAYLOAD}


@pytest.fixture
def pagerduty() -> Iterator[PagerDuty]:
    """PagerDuty's stand-in with one token and one user."""
    with PagerDuty("token", ("sre@example.com",)) as api:
        yield api


@pytest.fixture
def slack() -> Iterator[Slack]:
    """Slack's stand-in with #deploy."""
    with Slack("xoxb-1") as api:
        yield api


def _enqueue(api: PagerDuty, event: object) -> requests.Response:
    return requests.post(f"{api.url}/v2/enqueue", json=event, timeout=5)


def _rest(api: PagerDuty, method: str, path: str, headers: dict[str, str], body: object = None) -> requests.Response:
    sent = {"Authorization": "Token token=token", "Accept": ACCEPT, **headers}
    return requests.request(method, f"{api.url}{path}", headers=sent, json=body, timeout=5)


def _slack(api: Slack, method: str, arguments: object) -> Any:
    headers = {"Authorization": "Bearer xoxb-1"}
    return requests.post(f"{api.url}/api/{method}", json=arguments, headers=headers, timeout=5).json()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"routing_key": "short"}, "Length of 'routing_key' is incorrect (should be 32 characters)"),
        ({"routing_key": None}, "Length of 'routing_key' is incorrect (should be 32 characters)"),
        ({"event_action": "open"}, "'event_action' is not one of trigger, acknowledge, resolve"),
        ({"dedup_key": "d" * 256}, "'dedup_key' is longer than 255 characters"),
        ({"event_action": "resolve", "dedup_key": None}, "'dedup_key' is missing; only a trigger can do without"),
        ({"payload": None}, "'payload.summary' is missing or longer than 1024 characters"),
        ({"payload": PAYLOAD | {"summary": "s" * 1025}}, "'payload.summary' is missing or longer than 1024 characters"),
        ({"payload": PAYLOAD | {"source": ""}}, "'payload.source' is missing"),
        (
            {"payload": PAYLOAD | {"severity": "high"}},
            "'payload.severity' is not one of critical, error, warning, info",
        ),
        ({"payload": PAYLOAD | {"custom_details": "text"}}, "'payload.custom_details' is not an object"),
        ({"links": [{"text": "no href"}]}, "'links' is not a list of objects with 'href'"),
    ],
)
def test_pagerduty_refuses_an_invalid_event(pagerduty: PagerDuty, change: dict[str, Any], error: str) -> None:
    """An event that breaks a documented rule is answered 400 with the rule, is noted, and opens nothing."""
    answer = _enqueue(pagerduty, EVENT | change)
    assert answer.status_code == 400
    assert answer.json()["status"] == "invalid event"
    assert error in answer.json()["errors"]
    assert f"event: {error}" in pagerduty.violations
    assert pagerduty.incidents == ()


def test_pagerduty_refuses_what_is_too_large_or_no_json(pagerduty: PagerDuty) -> None:
    """512 KB is the limit of an event; NaN is no JSON; the content type counts."""
    large = EVENT | {"payload": PAYLOAD | {"custom_details": {"log": "x" * 512 * 1024}}}
    assert _enqueue(pagerduty, large).status_code == 400
    for body, kind in (
        ("{", "application/json"),
        ('{"a": NaN}', "application/json"),
        (json.dumps(EVENT), "text/plain"),
    ):
        headers = {"Content-Type": kind}
        sent = requests.post(f"{pagerduty.url}/v2/enqueue", data=body, headers=headers, timeout=5)
        assert sent.status_code == 400
    assert len(pagerduty.violations) == 4


def test_pagerduty_accepts_and_deduplicates(pagerduty: PagerDuty) -> None:
    """202 with the key; one incident while it is open, another once it is resolved, none for a stray resolve."""
    accepted = _enqueue(pagerduty, EVENT)
    assert accepted.status_code == 202
    assert accepted.json() == {"status": "success", "message": "Event processed", "dedup_key": "d"}
    _enqueue(pagerduty, EVENT)
    _enqueue(pagerduty, {"routing_key": KEY, "event_action": "acknowledge", "dedup_key": "d"})
    _enqueue(pagerduty, EVENT)
    _enqueue(pagerduty, {"routing_key": "o" * 32, "event_action": "resolve", "dedup_key": "d"})
    assert [incident.status for incident in pagerduty.incidents] == ["acknowledged"]
    _enqueue(pagerduty, {"routing_key": KEY, "event_action": "resolve", "dedup_key": "d"})
    _enqueue(pagerduty, EVENT)
    _enqueue(pagerduty, {"routing_key": KEY, "event_action": "resolve", "dedup_key": "never-triggered"})
    assert [incident.status for incident in pagerduty.incidents] == ["resolved", "triggered"]
    assert pagerduty.violations == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer token"}, 401),
        ({"Authorization": "Token token=other"}, 401),
        ({"Accept": "application/json"}, 400),
    ],
)
def test_pagerduty_checks_token_and_version(pagerduty: PagerDuty, headers: dict[str, str], status: int) -> None:
    """The REST API wants `Token token=` and its version in Accept."""
    answer = _rest(pagerduty, "GET", "/incidents", headers)
    assert answer.status_code == status
    assert set(answer.json()["error"]) >= {"message", "code"}


def test_pagerduty_refuses_a_note_without_a_sender(pagerduty: PagerDuty) -> None:
    """A note needs From with a user's address, and content."""
    _enqueue(pagerduty, EVENT)
    path = f"/incidents/{pagerduty.incidents[0].id}/notes"
    note = {"note": {"content": "text"}}
    assert _rest(pagerduty, "POST", path, {}, note).json()["error"]["code"] == 1008
    assert _rest(pagerduty, "POST", path, {"From": "nobody@example.com"}, note).status_code == 400
    assert _rest(pagerduty, "POST", path, {"From": "sre@example.com"}, {"note": {}}).status_code == 400
    assert _rest(pagerduty, "POST", "/incidents/none/notes", {"From": "sre@example.com"}, note).status_code == 404
    assert len(pagerduty.violations) == 4
    assert _rest(pagerduty, "POST", path, {"From": "sre@example.com"}, note).status_code == 200
    assert pagerduty.incidents[0].notes == ("text",)


def test_pagerduty_refuses_unknown_parameters(pagerduty: PagerDuty) -> None:
    """Listing incidents takes the documented parameters, and at most 100 a page."""
    for query in ("dedup_key=d", "limit=101", "limit=many"):
        assert _rest(pagerduty, "GET", f"/incidents?{query}", {}).status_code == 400
    assert len(pagerduty.violations) == 3


@pytest.mark.parametrize(
    ("method", "arguments", "error"),
    [
        ("chat.postMessage", {"channel": "#deploy"}, "no_text"),
        ("chat.postMessage", {"channel": "#deploy", "text": " "}, "no_text"),
        ("chat.postMessage", {"channel": "#nowhere", "text": "t"}, "channel_not_found"),
        ("chat.postMessage", {"channel": "deploy", "text": "t", "metadata": "m"}, "invalid_metadata_format"),
        (
            "chat.postMessage",
            {"channel": "deploy", "text": "t", "metadata": {"event_type": "a b", "event_payload": {}}},
            "invalid_metadata_format",
        ),
        ("chat.update", {"channel": "C0DEPLOY01", "ts": "1.1", "text": "t"}, "message_not_found"),
        ("chat.update", {"channel": "#deploy", "ts": "1.1", "text": "t"}, "channel_not_found"),
        ("chat.update", {"channel": "C0DEPLOY01", "ts": "1.1", "text": "t" * 4001}, "msg_too_long"),
        ("conversations.history", {"channel": "#deploy"}, "channel_not_found"),
        ("conversations.history", {"channel": "C0DEPLOY01", "oldest": "yesterday"}, "invalid_ts_oldest"),
        ("conversations.history", {"channel": "C0DEPLOY01", "limit": 1000}, "invalid_limit"),
        ("users.conversations", {"cursor": "nonsense"}, "invalid_cursor"),
        ("chat.shout", {}, "unknown_method"),
    ],
)
def test_slack_refuses_an_invalid_call(slack: Slack, method: str, arguments: object, error: str) -> None:
    """A call that breaks a documented rule is answered `ok: false` with the documented error, and does nothing."""
    assert _slack(slack, method, arguments) == {"ok": False, "error": error}
    assert slack.messages == ()


def test_slack_checks_token_type_and_charset(slack: Slack) -> None:
    """A call needs a bearer token, a documented content type and a documented charset."""
    arguments = {"channel": "#deploy", "text": "t"}
    url = f"{slack.url}/api/chat.postMessage"
    for authorization, error in (("Bearer other", "invalid_auth"), ("Token xoxb-1", "not_authed"), ("", "not_authed")):
        headers = {"Authorization": authorization}
        assert requests.post(url, json=arguments, headers=headers, timeout=5).json()["error"] == error
    for kind, error in (
        ("application/xml", "invalid_post_type"),
        ("application/json; charset=utf-16", "invalid_charset"),
        ("application/json; charset=utf-8", ""),
        ("application/json", ""),
    ):
        headers = {"Authorization": "Bearer xoxb-1", "Content-Type": kind}
        answer = requests.post(url, data=json.dumps(arguments), headers=headers, timeout=5).json()
        assert answer.get("error", "") == error
    form = requests.post(url, data=arguments, headers={"Authorization": "Bearer xoxb-1"}, timeout=5).json()
    assert form["ok"]
    assert len(slack.messages) == 3


def test_slack_shows_metadata_only_when_asked(slack: Slack) -> None:
    """History holds metadata with include_all_metadata alone, newest first; an update without it retains it."""
    metadata = {"event_type": "kind", "event_payload": {"key": "k"}}
    first = _slack(slack, "chat.postMessage", {"channel": "#deploy", "text": "one", "metadata": metadata})
    _slack(slack, "chat.postMessage", {"channel": "#deploy", "text": "two"})
    _slack(slack, "chat.update", {"channel": first["channel"], "ts": first["ts"], "text": "changed"})
    plain = _slack(slack, "conversations.history", {"channel": "C0DEPLOY01"})
    assert [message["text"] for message in plain["messages"]] == ["two", "changed"]
    assert all("metadata" not in message for message in plain["messages"])
    shown = _slack(slack, "conversations.history", {"channel": "C0DEPLOY01", "include_all_metadata": True})
    assert shown["messages"][1]["metadata"] == metadata
    since = _slack(slack, "conversations.history", {"channel": "C0DEPLOY01", "oldest": first["ts"]})
    assert [message["text"] for message in since["messages"]] == ["two"]


def test_slack_notes_a_text_that_it_would_split(slack: Slack) -> None:
    """A post over the recommended 4,000 characters is taken and noted."""
    assert _slack(slack, "chat.postMessage", {"channel": "#deploy", "text": "t" * 4001})["ok"]
    assert len(slack.violations) == 1


class _Echo(StandIn):
    """Answers every request with its path."""

    def answer(self, request: Request) -> Reply:
        """Return the path."""
        return json_reply(200, {"path": request.path})


@pytest.fixture
def echo() -> Iterator[_Echo]:
    """A stand-in of nobody in particular."""
    with _Echo() as server:
        yield server


def test_refused_closes_the_port_and_opens_it_again(echo: _Echo) -> None:
    """Connections that are open are cut, new ones refused, and the port is the same afterwards."""
    with requests.Session() as session:
        assert session.get(echo.url, timeout=5).ok
        echo.inject("refused")
        for client in (session, requests):
            with pytest.raises(requests.ConnectionError):
                client.get(echo.url, timeout=5)
        echo.recover()
        assert session.get(echo.url, timeout=5).ok


def test_a_failure_takes_its_paths_and_its_number_of_requests(echo: _Echo) -> None:
    """A failure for one path leaves the others alone, and ends by itself after its number of requests."""
    echo.inject("500", prefix="/a", times=2)
    statuses = [requests.get(f"{echo.url}{path}", timeout=5).status_code for path in ("/b", "/a/1", "/a", "/a")]
    assert statuses == [200, 500, 500, 200]
    assert [(mode, request.path) for mode, request in echo.met] == [("500", "/a/1"), ("500", "/a")]


@pytest.mark.parametrize("mode", ["timeout", "hung-halfway"])
def test_hung_connections_end_with_the_stand_in(mode: Any) -> None:
    """A client that waits for ever is let go when the stand-in recovers, and when it stops."""
    for release in (StandIn.recover, StandIn.stop):
        server = _Echo().start()
        server.inject(mode)
        failed = threading.Event()

        def wait(url: str = server.url, failed: threading.Event = failed) -> None:
            try:
                requests.get(url, timeout=20)
            except requests.RequestException:
                failed.set()

        client = threading.Thread(target=wait)
        handled = threading.Event()
        server.after = lambda request, handled=handled: handled.set()  # type: ignore[misc]
        client.start()
        while not server.requests:
            failed.wait(0.01)
        assert not failed.wait(0.1)
        release(server)
        client.join(5)
        assert failed.is_set()
        assert handled.is_set() is (mode == "hung-halfway")
        server.stop()


def test_hooks_run_round_the_handling(echo: _Echo) -> None:
    """`before` sees a request that isn't carried out yet, `after` one that is and isn't answered yet."""
    seen: list[str] = []
    echo.before = lambda request: seen.append(f"before {request.path}")
    echo.after = lambda request: seen.append(f"after {request.path}")
    requests.get(f"{echo.url}/x", timeout=5)
    assert seen == ["before /x", "after /x"]


@pytest.mark.parametrize(("hook", "posted"), [("before", 0), ("after", 1)])
def test_a_hook_can_drop_a_request(slack: Slack, hook: str, posted: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A request that a hook drops gets no answer, and from `before` isn't carried out; nothing is said of it."""

    def drop(request: Request) -> None:
        raise Dropped

    setattr(slack, hook, drop)
    with pytest.raises(requests.ConnectionError):
        _slack(slack, "chat.postMessage", {"channel": "#deploy", "text": "t"})
    assert (len(slack.messages), capsys.readouterr().err) == (posted, "")
