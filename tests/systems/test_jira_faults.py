"""What can go wrong with Jira: the fault matrix, refusals, odd shapes, answers without end, secrets."""

from __future__ import annotations

import base64
import dataclasses
import time
from collections.abc import Callable, Iterator

import pytest

from tests.systems.fault_matrix import PATIENCE, Case, every_fault, faulted, strike
from tests.systems.jira_site import EMAIL, LABEL, NEW, PAIR, SECRETS, TOKEN, Site, document, every_call, open_site
from watcher.sandbox import jira as stand_in
from watcher.sandbox.stand_in import Dropped, Reply, Request, json_reply
from watcher.systems import jira as adapter
from watcher.systems.fault import Fault
from watcher.systems.jira import Jira
from watcher.systems.secret_file import SecretFile


@pytest.fixture
def site(secret: Callable[[str, str], SecretFile]) -> Iterator[Site]:
    """A site with the ticket OPS-1."""
    with open_site(secret) as site:
        yield site


@every_fault
@every_call
def test_every_fault_is_a_fault(
    case: Case, call: Callable[[Jira, str], object], site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever Jira does, each call ends soon in one Fault, after one request, and shows no secret."""
    strike(site.api, case)
    fault = faulted(lambda: call(site.jira, site.ticket), "Jira", SECRETS, caplog)
    assert fault.retry_after == case.retry_after
    assert not fault.lasting
    assert len(site.api.requests) == (0 if case.mode == "refused" else 1)
    site.api.recover()
    call(site.jira, site.ticket)
    assert site.api.violations == []


@pytest.mark.parametrize(
    "shape",
    [
        {"issues": "none", "key": 5, "comments": {}, "id": 7, "fields": []},
        {"issues": [5], "key": "nonsense", "comments": [], "total": "many", "fields": {}},
        {"issues": [{"id": "1"}], "comments": [], "fields": {"attachment": [{"name": "x"}]}},
        [{"name": "x"}],
    ],
    ids=str,
)
@every_call
def test_an_undocumented_answer_is_a_fault(
    shape: object, call: Callable[[Jira, str], object], site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that looks like Jira's but lacks what it must hold is no success."""
    site.api.inject("wrong-shape", shape=shape)
    fault = faulted(lambda: call(site.jira, site.ticket), "Jira", SECRETS, caplog)
    assert fault.said == "answered with something that its API doesn't document"


def test_a_due_date_that_the_project_does_not_know_is_explained(site: Site) -> None:
    """Jira names the field, and we what to do about it."""
    site.api.without_due.add("OPS")
    with pytest.raises(Fault) as raised:
        site.jira.create(NEW)
    assert raised.value.said == (
        "answered HTTP 400: duedate: Field 'duedate' cannot be set. It is not on the appropriate screen, or unknown.; "
        "put Due date on the project's create screen and let the account schedule issues"
    )
    assert raised.value.lasting
    assert site.api.violations == []


REFUSALS: dict[str, Callable[[Jira], object]] = {
    "400: project: Specify a valid project ID or key": (
        lambda jira: jira.create(dataclasses.replace(NEW, project="NOPE"))
    ),
    "400: issuetype: Specify a valid issue type": lambda jira: jira.create(dataclasses.replace(NEW, issue_type="Epic")),
    "400: The value 'NOPE' does not exist for the field 'project'.": lambda jira: jira.find("NOPE", LABEL),
    "404: Issue does not exist or you do not have permission to see it.": (
        lambda jira: jira.comment("OPS-99", document("x"))
    ),
    "413: The file is larger than 1000 bytes.; the attachment is larger than this Jira takes": (
        lambda jira: jira.attach("OPS-1", "core.bin", b"x" * 2000, "application/octet-stream")
    ),
}


@pytest.mark.parametrize(("said", "call"), REFUSALS.items())
def test_what_jira_refuses_is_told_in_its_words(said: str, call: Callable[[Jira], object], site: Site) -> None:
    """What somebody configured wrongly, or removed, is said in Jira's words and lasts until it is changed."""
    site.api.attachment_limit = 1000
    with pytest.raises(Fault) as raised:
        call(site.jira)
    assert raised.value.said == f"answered HTTP {said}"
    assert raised.value.lasting
    assert site.api.violations == []


@every_call
def test_a_revoked_token_is_a_lasting_fault(call: Callable[[Jira, str], object], site: Site) -> None:
    """A token that Jira doesn't know says so and what to check."""
    site.api.token = "another"
    with pytest.raises(Fault) as raised:
        call(site.jira, site.ticket)
    assert raised.value.said == (
        "answered HTTP 401: Client must be authenticated to access this resource.; check the e-mail and the API token"
    )
    assert raised.value.lasting


def test_a_strangers_empty_search_is_no_answer(site: Site) -> None:
    """Jira may answer an expired token with 200 and nothing: that a ticket isn't there is then not known."""
    site.api.token, site.api.anonymous = "another", True
    with pytest.raises(Fault, match="did not accept the credentials: check the e-mail and the API token") as raised:
        site.jira.find("OPS", LABEL)
    assert raised.value.lasting


class _Canned(stand_in.Jira):
    """Answers every request as it is told, whatever it asks."""

    def __init__(self, reply: Callable[[Request], Reply]) -> None:
        super().__init__(TOKEN, EMAIL)
        self.reply = reply

    def answer(self, request: Request) -> Reply:
        """Answer as told."""
        return self.reply(request)


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 405, 413, 500, 502, 503])
def test_only_what_somebody_must_change_lasts(status: int, site: Site) -> None:
    """A refusal lasts, Jira's own trouble and a proxy's detour pass; a page of HTML is never quoted."""
    page = Reply(status, b"<html>Oops</html>", "text/html", {"Location": "http://127.0.0.1:1/", "Retry-After": "3"})
    with _Canned(lambda request: page) as api:
        with pytest.raises(Fault, match=rf"answered HTTP {status}(: [^<]*)?$") as raised:
            site.at(api.url).find("OPS", LABEL)
        assert len(api.requests) == 1
    assert raised.value.lasting is (status in (301, 400, 401, 403, 404, 405, 413))
    assert raised.value.retry_after == 3


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b'{"issues": []}'], ids=["html", "json"])
@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "text/plain", ""])
def test_a_page_instead_of_an_answer_is_a_fault(kind: str, body: bytes, site: Site) -> None:
    """A sign-in page with status 200 is no success, whatever is in it, and says where to look."""
    with (
        _Canned(lambda request: Reply(200, body, kind)) as api,
        pytest.raises(Fault, match="answered with a page that isn't JSON: check the address"),
    ):
        site.at(api.url).find("OPS", LABEL)


@pytest.mark.parametrize("wait", ["soon", "-1", "inf", "Mon, 23 Nov 2026 07:00:00 GMT"])
def test_a_wait_that_is_no_number_of_seconds_is_none(wait: str, site: Site) -> None:
    """A strange Retry-After leaves the wait to us."""
    with (
        _Canned(lambda request: json_reply(429, {}, {"Retry-After": wait})) as api,
        pytest.raises(Fault, match=r"answered HTTP 429$") as raised,
    ):
        site.at(api.url).find("OPS", LABEL)
    assert raised.value.retry_after is None


def _echo(status: int) -> Callable[[Request], Reply]:
    def reply(request: Request) -> Reply:
        seen = request.headers["Authorization"]
        plain = base64.b64decode(seen.partition(" ")[2]).decode()
        errors = {"header": f"{seen[:30]} \n of {plain}", seen: "is the name of a field"}
        return json_reply(status, {"errorMessages": [seen * 20, 5], "errors": errors, "message": TOKEN})

    return reply


@pytest.mark.parametrize("status", [200, 400, 500])
@every_call
def test_an_answer_that_repeats_the_credentials_does_not_spread_them(
    call: Callable[[Jira, str], object], status: int, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that echoes the request, or half of its header, doesn't make us show a secret."""
    with _Canned(_echo(status)) as api:
        fault = faulted(lambda: call(site.at(api.url), "OPS-1"), "Jira", (*SECRETS, PAIR[:20]), caplog)
    assert len(fault.said) <= 500


def test_an_endless_answer_is_a_fault(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than could be an answer isn't read to its end."""
    monkeypatch.setattr(adapter, "ANSWER_LIMIT", 1 << 20)
    with (
        _Canned(lambda request: Reply(200, b" " * (4 << 20))) as api,
        pytest.raises(Fault, match="the answer is larger than 1 MB"),
    ):
        site.at(api.url).find("OPS", LABEL)


class _Drip:
    """A body that comes byte by byte, each before a timeout would notice."""

    def __init__(self) -> None:
        self.left = 200

    def __iter__(self) -> Iterator[bytes]:
        while self.left > 0:
            self.left -= 1
            time.sleep(0.1)
            yield b" "

    def cut(self) -> None:
        self.left = 0

    def close(self) -> None:
        self.left = 0


def test_a_dripping_answer_is_a_fault(site: Site) -> None:
    """A server that keeps sending a little doesn't hold the call for longer than two timeouts."""
    with _Canned(lambda request: Reply(200, stream=_Drip())) as api:
        started = time.monotonic()
        with pytest.raises(Fault, match=r"had not finished its answer after 1\.2 s"):
            site.at(api.url).find("OPS", LABEL)
        assert time.monotonic() - started < PATIENCE + 1


def test_an_answer_of_nested_lists_is_a_fault(site: Site) -> None:
    """JSON too deep to read is no answer, and no crash."""
    with (
        _Canned(lambda request: Reply(200, b"[" * 100_000, "application/json")) as api,
        pytest.raises(Fault, match="something that its API doesn't document"),
    ):
        site.at(api.url).find("OPS", LABEL)


def _drop(request: Request) -> None:
    raise Dropped


@every_call
def test_a_dropped_answer_is_a_fault_and_nothing_is_sent_again(call: Callable[[Jira, str], object], site: Site) -> None:
    """A connection cut after the request was carried out is not tried again here: no second ticket or comment."""
    site.api.after = _drop
    with pytest.raises(Fault, match="can't be reached"):
        call(site.jira, site.ticket)
    assert len(site.api.requests) == 1
