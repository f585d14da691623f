"""The connection to the API server: what is sent, and what each failure becomes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import pytest
from kubernetes.client import Configuration

from tests.systems.canned_api import CannedApi
from tests.systems.fault_matrix import TIMEOUT, Case, every_fault, faulted, strike
from tests.systems.scripted_api import TOKEN, ScriptedApi, Watch, config_map, connect
from watcher.sandbox.stand_in import Reply, Request, json_reply
from watcher.systems import kubernetes as k8s
from watcher.systems.kubernetes import Connection

CONFIG_MAP = k8s.config_maps("shop", "a")


@pytest.fixture
def api() -> Iterator[CannedApi]:
    """Start an API server with canned answers."""
    with CannedApi() as canned:
        yield canned


CALLS: Mapping[str, Callable[[Connection], object]] = {
    "get": lambda c: c.get(CONFIG_MAP),
    "create": lambda c: c.create(k8s.config_maps("shop"), {"data": {}}),
    "replace": lambda c: c.replace(CONFIG_MAP, {"data": {}}),
    "delete": lambda c: c.delete(CONFIG_MAP),
    "json_patch": lambda c: c.json_patch(CONFIG_MAP, [{"op": "remove", "path": "/data"}]),
    "merge_patch": lambda c: c.merge_patch(CONFIG_MAP, {"data": None}),
    "pages": lambda c: list(c.pages(k8s.config_maps())),
    "stream": lambda c: list(c.stream(k8s.config_maps(), None, TIMEOUT)),
}


@every_fault
@pytest.mark.parametrize("call", CALLS)
def test_every_fault_is_unavailable(api: CannedApi, case: Case, call: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever the network or a proxy does to a call, it ends soon, as Unavailable, with no secret shown."""
    strike(api, case)
    fault = faulted(lambda: CALLS[call](connect(api.url, TIMEOUT)), "Kubernetes", (TOKEN,), caplog)
    assert isinstance(fault, k8s.Unavailable)
    assert fault.retry_after == case.retry_after
    assert not fault.lasting
    assert len(api.requests) <= 1, "nothing is retried"


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (401, "Unauthorized", k8s.Forbidden),
        (403, "Forbidden", k8s.Forbidden),
        (404, "NotFound", k8s.NotFound),
        (409, "AlreadyExists", k8s.AlreadyExists),
        (409, "Conflict", k8s.Conflict),
        (410, "Expired", k8s.Gone),
        (422, "Invalid", k8s.Invalid),
        (400, "BadRequest", k8s.Invalid),
        (413, "RequestEntityTooLarge", k8s.Invalid),
        (429, "TooManyRequests", k8s.Unavailable),
        (500, "InternalError", k8s.Unavailable),
        (503, "ServiceUnavailable", k8s.Unavailable),
        (504, "Timeout", k8s.Unavailable),
    ],
)
def test_statuses(api: CannedApi, code: int, reason: str, expected: type[k8s.KubernetesFault]) -> None:
    """Each refusal of the API server has its own exception, which carries the server's words."""
    api.refuse(code, reason, 'deployments.apps "a" can\'t be had')
    with pytest.raises(k8s.KubernetesFault) as raised:
        connect(api.url).get(CONFIG_MAP)
    assert type(raised.value) is expected
    assert 'deployments.apps "a" can\'t be had' in raised.value.said
    assert raised.value.status == code
    assert raised.value.lasting is (code in {401, 403})


@pytest.mark.parametrize("code", [404, 409, 410, 422])
def test_a_proxys_404_says_nothing_about_the_object(api: CannedApi, code: int) -> None:
    """Only the API's own Status object may say that something is not there, or was changed."""
    api.reply = Reply(code, b"404 page not found", "text/plain")
    with pytest.raises(k8s.Unavailable):
        connect(api.url).get(CONFIG_MAP)


def test_the_servers_wish_to_wait(api: CannedApi) -> None:
    """The wait asked for in a Status object's details is handed on."""
    api.refuse(429, "TooManyRequests", details={"retryAfterSeconds": 3})
    with pytest.raises(k8s.Unavailable) as raised:
        connect(api.url).get(CONFIG_MAP)
    assert raised.value.retry_after == 3.0


def test_a_token_that_is_quoted_back_is_blotted_out(api: CannedApi) -> None:
    """A server that quotes our credentials in its message doesn't get them into our logs."""
    api.refuse(403, "Forbidden", f"no user for Bearer {TOKEN}")
    with pytest.raises(k8s.Forbidden) as raised:
        connect(api.url).get(CONFIG_MAP)
    assert TOKEN not in str(raised.value)


def test_a_redirect_is_not_followed(api: CannedApi) -> None:
    """The token goes to no other host than the one configured."""
    api.reply = Reply(302, headers={"Location": api.url + "/elsewhere"})
    with pytest.raises(k8s.Unavailable):
        connect(api.url).get(CONFIG_MAP)
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    ("call", "method", "content_type", "body"),
    [
        ("create", "POST", "application/json", {"data": {}}),
        ("replace", "PUT", "application/json", {"data": {}}),
        ("json_patch", "PATCH", "application/json-patch+json", [{"op": "remove", "path": "/data"}]),
        ("merge_patch", "PATCH", "application/merge-patch+json", {"data": None}),
    ],
)
def test_what_is_sent(api: CannedApi, call: str, method: str, content_type: str, body: object) -> None:
    """Bodies go out as they are given, nulls included, under the content type that gives them their meaning."""
    assert CALLS[call](connect(api.url)) == config_map("a", "1")
    (request,) = api.requests
    assert (request.method, json.loads(request.body)) == (method, body)
    assert request.headers["Content-Type"] == content_type
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert request.headers["User-Agent"].startswith("canary-watch/")


def test_an_empty_json_patch_stays_a_json_patch(api: CannedApi) -> None:
    """No body is turned into another kind of patch, not even an empty one."""
    connect(api.url).json_patch(CONFIG_MAP, [])
    assert api.requests[0].body == b"[]"
    assert api.requests[0].headers["Content-Type"] == "application/json-patch+json"


def paged(request: Request) -> Reply:
    """Answer with two pages of one object each."""
    if "continue" not in request.query:
        return json_reply(
            200, {"metadata": {"continue": "more", "resourceVersion": "7"}, "items": [config_map("a", "1")]}
        )
    return json_reply(200, {"metadata": {"resourceVersion": "7"}, "items": [config_map("b", "2")]})


def test_pages(api: CannedApi) -> None:
    """A list is read page by page, the query kept on each."""
    api.reply = paged
    pages = list(connect(api.url).pages(k8s.config_maps(), {"labelSelector": "a=b"}, limit=1))
    assert [page["items"][0]["metadata"]["name"] for page in pages] == ["a", "b"]
    assert [request.query["limit"] for request in api.requests] == [["1"], ["1"]]
    assert [request.query["labelSelector"] for request in api.requests] == [["a=b"], ["a=b"]]


@pytest.mark.parametrize(("expiries", "requests"), [(1, 4), (2, 6)])
def test_a_listing_that_expires_starts_over(api: CannedApi, expiries: int, requests: int) -> None:
    """A 410 between pages starts the list over, without what the abandoned one had read."""
    left = [expiries]

    def expiring(request: Request) -> Reply:
        if "continue" in request.query and left[0]:
            left[0] -= 1
            return json_reply(410, {"kind": "Status", "code": 410, "reason": "Expired"})
        return paged(request)

    api.reply = expiring
    names, version = connect(api.url).listing(k8s.config_maps(), None, lambda item: item["metadata"]["name"])
    assert (names, version) == (["a", "b"], "7")
    assert len(api.requests) == requests


def test_a_listing_that_always_expires_gives_up(api: CannedApi) -> None:
    """A server on which every continuation is too old is not listed for ever."""
    api.reply = lambda request: (
        json_reply(410, {"kind": "Status", "code": 410}) if "continue" in request.query else paged(request)
    )
    with pytest.raises(k8s.Gone):
        connect(api.url).listing(k8s.config_maps(), None, lambda item: item)
    assert len(api.requests) == 6


@pytest.mark.parametrize("items", [None, {}, [1], [{"metadata": None}]])
def test_a_list_of_the_wrong_shape(api: CannedApi, items: object) -> None:
    """A list whose items are no objects is no list, and never an empty one."""
    api.reply = json_reply(200, {"metadata": {"resourceVersion": "1"}, "items": items})
    with pytest.raises(k8s.Malformed):
        list(connect(api.url).pages(k8s.config_maps()))


def test_a_body_handed_out_drop_by_drop_ends_in_time() -> None:
    """A server that always sends a little more can't hold a call for longer than twice its timeout."""
    with ScriptedApi() as server:

        def drip(watch: Watch) -> None:
            while True:
                watch.send(b" ")
                time.sleep(0.02)

        server.on_watch = drip
        begun = time.monotonic()
        with pytest.raises(k8s.Unavailable, match="did not end in time"):
            connect(server.url, 0.3).get(k8s.config_maps(), {"watch": "true"})
        assert time.monotonic() - begun < 1.0


def test_twenty_threads(api: CannedApi) -> None:
    """Twenty threads share a connection, each with its own answer."""
    api.reply = lambda request: json_reply(200, config_map(request.path.rpartition("/")[2], "1"))
    connection = connect(api.url, 5.0)
    wrong: list[str] = []

    def ask(number: int) -> None:
        for turn in range(10):
            name = f"n-{number}-{turn}"
            if connection.get(k8s.config_maps("shop", name))["metadata"]["name"] != name:
                wrong.append(name)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not wrong
    assert len(api.requests) == 200


@pytest.mark.parametrize("code", [200, 302, 404, 500, 503])
def test_a_pods_own_status(api: CannedApi, code: int) -> None:
    """What the pod itself answers comes back as a number."""
    api.reply = Reply(code, b"not ready", "text/plain")
    assert connect(api.url).pod_get("shop", "web-1", 8080, "/readyz?full=1") == code
    (request,) = api.requests
    assert request.path == "/api/v1/namespaces/shop/pods/web-1:8080/proxy/readyz"
    assert request.query == {"full": ["1"]}


@pytest.mark.parametrize(
    ("code", "expected"),
    [(503, k8s.Unavailable), (500, k8s.Unavailable), (400, k8s.Unavailable), (404, k8s.NotFound), (403, k8s.Forbidden)],
)
def test_a_pod_that_could_not_be_asked(api: CannedApi, code: int, expected: type[k8s.KubernetesFault]) -> None:
    """What the API server says about the pod is never taken for the pod's answer."""
    api.refuse(code, "Whatever", "error trying to reach service: connection refused")
    with pytest.raises(expected, match="error trying to reach"):
        connect(api.url).pod_get("shop", "web-1", 8443, "/readyz", "https")
    assert api.requests[0].path == "/api/v1/namespaces/shop/pods/https:web-1:8443/proxy/readyz"


def test_paths_are_quoted() -> None:
    """A name can't climb out of its path, nor be empty, which would mean all of them."""
    assert k8s.deployments() == "/apis/apps/v1/deployments"
    assert k8s.replica_sets("shop") == "/apis/apps/v1/namespaces/shop/replicasets"
    assert k8s.jobs("shop", "a/../b?c") == "/apis/batch/v1/namespaces/shop/jobs/a%2F..%2Fb%3Fc"
    assert k8s.leases("n", "l") == "/apis/coordination.k8s.io/v1/namespaces/n/leases/l"
    assert (k8s.namespaces(), k8s.namespaces("n")) == ("/api/v1/namespaces", "/api/v1/namespaces/n")
    for wrong in ("", ".", ".."):
        with pytest.raises(ValueError, match="name"):
            k8s.pods("shop", wrong)
    with pytest.raises(ValueError, match="namespace"):
        k8s.config_maps(None, "a")


def test_a_token_that_no_header_can_carry(api: CannedApi) -> None:
    """A token with a line break inside is reported without being shown."""
    configuration = Configuration(host=api.url)
    configuration.api_key["BearerToken"] = "Bearer half\nother-half"
    with pytest.raises(k8s.Unavailable) as raised:
        Connection(configuration, "n").get(CONFIG_MAP)
    assert "half" not in str(raised.value)
