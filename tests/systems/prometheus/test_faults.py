"""Whatever goes wrong with Prometheus becomes an error in one line, soon, and never a series."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from tests.systems.fault_matrix import PATIENCE, TIMEOUT, Case, every_fault, strike
from tests.systems.prometheus.canned import GRID, LABELS, SAMPLES, TOKEN, Api, failed, matrix
from watcher.judgement.model import Grid
from watcher.sandbox.stand_in import Reply, json_reply
from watcher.systems.prometheus import ANSWER_LIMIT, Prometheus, PrometheusSettings
from watcher.systems.secret_file import SecretFile


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([[1_700_000_001, "1"]], id="between two instants"),
        pytest.param([[1_699_999_985, "1"]], id="before the first"),
        pytest.param([[1_700_000_045, "1"]], id="after the last"),
        pytest.param(SAMPLES[::-1], id="backwards"),
        pytest.param([SAMPLES[0], SAMPLES[0]], id="twice"),
    ],
)
def test_samples_off_the_grid_are_an_error(
    api: Api, prometheus: Prometheus, values: list[object], caplog: pytest.LogCaptureFixture
) -> None:
    """An answer to another question than the one asked is none."""
    api.reply = matrix({"metric": LABELS, "values": SAMPLES}, {"metric": {}, "values": values})
    assert failed(lambda: prometheus.range("up", GRID), caplog).startswith("the answer has a s")


@every_fault
def test_every_fault_is_an_error_and_passes(
    api: Api, prometheus: Prometheus, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    """Each way to fail ends soon, after one request, in one line; once it is over, the same object answers again."""
    strike(api, case)
    failed(lambda: prometheus.range("up", GRID), caplog)
    assert len(api.requests) <= 1
    api.recover()
    assert prometheus.range("up", GRID).error == ""


SAID = {
    "refused": "no connection to {}: Connection refused",
    "timeout": "no answer from {} within 0.6 s",
    "hung-halfway": "the answer of {} stopped half-way for 0.6 s",
    "429": "HTTP 429 (Too Many Requests), without a message of Prometheus's own",
    "500": "HTTP 500 (Internal Server Error), without a message of Prometheus's own",
    "html": "the answer is not JSON (text/html; charset=utf-8)",
}


@every_fault
def test_an_error_says_what_happened(
    api: Api, prometheus: Prometheus, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    """The line tells the faults apart."""
    strike(api, case)
    said = failed(lambda: prometheus.range("up", GRID), caplog)
    wrong = "the answer has the wrong shape at "
    assert said.startswith(SAID.get(case.name, wrong).format(f"127.0.0.1:{api.port}"))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "bad_data: 1:5: parse error: unclosed left parenthesis"),
        (422, "execution: found duplicate series for the match group"),
        (503, "timeout: query timed out in expression evaluation"),
        (200, "internal: a proxy that answers 200 to everything"),
    ],
)
def test_prometheus_s_own_message_is_passed_on(
    api: Api, prometheus: Prometheus, status: int, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where Prometheus says why, its words are the error."""
    kind, _, message = words.partition(": ")
    api.reply = json_reply(status, {"status": "error", "errorType": kind, "error": message})
    assert failed(lambda: prometheus.range("sum(", GRID), caplog).endswith(words)


def test_a_long_message_is_cut_to_one_line(api: Api, prometheus: Prometheus, caplog: pytest.LogCaptureFixture) -> None:
    """An error fits into a log line and a chat message, whatever was sent."""
    api.reply = json_reply(400, {"status": "error", "errorType": "bad_data", "error": "line\n" * 500})
    assert len(failed(lambda: prometheus.range("up", GRID), caplog)) == 500


def series_with(values: object) -> Reply:
    """Return a success with one series that has these values."""
    return matrix({"metric": LABELS, "values": values})


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(json_reply(200, {"status": "success"}), id="no data"),
        pytest.param(json_reply(200, {"data": {"resultType": "matrix", "result": []}}), id="no status"),
        pytest.param(
            json_reply(200, {"status": "success", "data": {"resultType": "vector", "result": []}}), id="vector"
        ),
        pytest.param(
            json_reply(200, {"status": "success", "data": {"resultType": "matrix", "result": {}}}), id="object"
        ),
        pytest.param(json_reply(200, {"status": "success", "data": {"resultType": "matrix"}}), id="no result"),
        pytest.param(matrix("up"), id="a string for a series"),
        pytest.param(matrix({"metric": LABELS}), id="no values"),
        pytest.param(matrix({"metric": LABELS, "histograms": []}), id="native histograms"),
        pytest.param(matrix({"values": SAMPLES}), id="no labels"),
        pytest.param(matrix({"metric": {"pod": 1}, "values": SAMPLES}), id="a number for a label"),
        pytest.param(matrix({"metric": [], "values": SAMPLES}), id="a list for labels"),
        pytest.param(series_with([[1_700_000_000, 1]]), id="a number for a value"),
        pytest.param(series_with([[1_700_000_000, "many"]]), id="a word for a value"),
        pytest.param(series_with([[1_700_000_000, None]]), id="null for a value"),
        pytest.param(series_with([["1700000000", "1"]]), id="a string for a time"),
        pytest.param(series_with([[[], "1"]]), id="a list for a time"),
        pytest.param(series_with([[True, "1"]]), id="true for a time"),
        pytest.param(series_with([[1_700_000_000]]), id="a time alone"),
        pytest.param(series_with([[1_700_000_000, "1", "2"]]), id="two values"),
        pytest.param(series_with([1_700_000_000]), id="a bare time"),
        pytest.param(matrix(warnings="partial"), id="a string for warnings"),
        pytest.param(Reply(200, b'{"status": "success", "data": {"resu'), id="half a document"),
        pytest.param(Reply(200, b"[" * 100_000), id="too deep"),
        pytest.param(Reply(200, b"\xff\xfe\xfa"), id="not text"),
        pytest.param(Reply(200, b""), id="nothing"),
    ],
)
def test_any_other_shape_is_an_error(
    api: Api, prometheus: Prometheus, reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    """A 200 that isn't exactly a matrix of samples is no answer, and says where it is wrong."""
    api.reply = reply
    assert failed(lambda: prometheus.range("up", GRID), caplog).startswith("the answer ")


def test_a_token_that_can_t_be_read_is_an_error(
    api: Api, prometheus: Prometheus, token: SecretFile, caplog: pytest.LogCaptureFixture
) -> None:
    """The error names the file, and nothing is sent."""
    token.path.unlink()
    assert str(token.path) in failed(lambda: prometheus.range("up", GRID), caplog)
    assert api.requests == []


@pytest.mark.parametrize("status", [200, 401])
def test_an_echoed_token_is_not_shown(
    api: Api, prometheus: Prometheus, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy that repeats the request's headers in its message doesn't bring the token into an error."""
    api.reply = json_reply(status, {"status": "error", "error": f"bad header Authorization: Bearer {TOKEN}"})
    assert "Bearer ***" in failed(lambda: prometheus.range("up", GRID), caplog)
    api.reply = matrix(warnings=[f"asked with {TOKEN}"])
    assert prometheus.range("up", GRID).warnings == ("asked with ***",)


def test_a_redirect_is_not_followed(api: Api, prometheus: Prometheus, caplog: pytest.LogCaptureFixture) -> None:
    """The token goes to the configured address alone."""
    with Api() as elsewhere:
        api.reply = Reply(307, headers={"Location": f"{elsewhere.url}/api/v1/query_range"})
        assert failed(lambda: prometheus.range("up", GRID), caplog).startswith("HTTP 307")
        assert elsewhere.requests == []


def test_a_huge_answer_is_refused(api: Api, token: SecretFile, caplog: pytest.LogCaptureFixture) -> None:
    """What would not fit into the daemon's memory is not read to its end."""
    api.reply = Reply(200, b" " * (ANSWER_LIMIT + 1))
    patient = Prometheus(PrometheusSettings(api.url, PATIENCE, token))
    assert failed(lambda: patient.range("up", GRID), caplog) == "the answer is larger than 64 MB"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://prometheus.invalid:9090", "no connection to prometheus.invalid:9090: "),
        ("http://user:prometheus-token-7f3a91@localhost:1", "no connection to localhost:1: "),
        ("prometheus:9090", "no connection to "),
    ],
)
def test_a_wrong_address_is_an_error(url: str, said: str, caplog: pytest.LogCaptureFixture) -> None:
    """An address that leads nowhere is named, without the password that may be in it."""
    assert failed(lambda: Prometheus(PrometheusSettings(url, TIMEOUT)).range("up", GRID), caplog).startswith(said)


def test_a_missing_ca_file_is_an_error(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """Where the trusted certificates can't be read, nothing is trusted instead."""
    settings = PrometheusSettings(api.url.replace("http:", "https:"), TIMEOUT, ca_file="/nonexistent/ca.pem")
    failed(lambda: Prometheus(settings).range("up", GRID), caplog)
    assert api.requests == []


def test_a_grid_out_of_time_is_an_error(prometheus: Prometheus, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing that is asked makes it raise."""
    said = failed(lambda: prometheus.range("up", Grid(math.nan, 1.0, 2)), caplog)
    assert said == "could not be asked: ValueError"


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def test_a_dripping_answer_is_given_up(talk: Callable[[bytes, bytes], str], caplog: pytest.LogCaptureFixture) -> None:
    """A server that never falls silent doesn't hold the pass up for longer than one that does."""
    url = talk(HEAD + b"Content-Length: 100000\r\n\r\n", b" " * 30)
    said = failed(lambda: Prometheus(PrometheusSettings(url, TIMEOUT)).range("up", GRID), caplog)
    assert said.endswith("had not finished its answer after 0.6 s")


@pytest.mark.parametrize("framing", [b"Content-Length: 1000\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n400\r\n{}"])
def test_a_broken_connection_is_an_error(
    talk: Callable[[bytes, bytes], str], framing: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that ends before its length is not taken for a whole one."""
    url = talk(HEAD + framing, b"")
    said = failed(lambda: Prometheus(PrometheusSettings(url, TIMEOUT)).range("up", GRID), caplog)
    assert said.endswith("broke off half-way")


def test_a_server_that_is_no_web_server_is_an_error(
    talk: Callable[[bytes, bytes], str], caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes that are no HTTP are an error like any other."""
    failed(lambda: Prometheus(PrometheusSettings(talk(b"220 mail ready\r\n", b""), TIMEOUT)).range("up", GRID), caplog)
