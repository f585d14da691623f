"""What is asked, and what becomes of a sound answer."""

from __future__ import annotations

import json
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.systems.fault_matrix import PATIENCE, TIMEOUT
from tests.systems.prometheus.canned import GRID, LABELS, SAMPLES, TOKEN, Api, matrix
from watcher.judgement.model import Answer, Grid, Series
from watcher.sandbox.stand_in import Request
from watcher.systems.prometheus import Prometheus, PrometheusSettings
from watcher.systems.secret_file import SecretFile


def test_an_answer_is_its_series_on_the_grid(prometheus: Prometheus) -> None:
    """Labels and samples arrive whole, the values as numbers."""
    samples = ((1_700_000_000.0, 1.0), (1_700_000_015.0, 2.5), (1_700_000_030.0, 3.0))
    assert prometheus.range("up", GRID) == Answer("up", GRID, (Series(LABELS, samples),))


def test_not_a_number_stays_that(api: Api, prometheus: Prometheus) -> None:
    """NaN and the infinities are handed on as they are: what they mean is for the judgement to say."""
    api.reply = matrix(
        {"metric": {}, "values": [[t, v] for (t, _), v in zip(SAMPLES, ("NaN", "+Inf", "-Inf"), strict=True)]}
    )
    [series] = prometheus.range("0/0", GRID).series
    values = [value for _, value in series.samples]
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf]


def test_an_empty_answer_is_no_error(api: Api, prometheus: Prometheus) -> None:
    """No series is an answer, too."""
    api.reply = matrix()
    assert prometheus.range("nothing", GRID) == Answer("nothing", GRID)


def test_a_stale_series_is_not_filled_up(api: Api, prometheus: Prometheus) -> None:
    """A series that ends before the grid does has just the samples that were sent."""
    api.reply = matrix({"metric": LABELS, "values": SAMPLES[:1]}, {"metric": {}, "values": []})
    stale, empty = prometheus.range("up", GRID).series
    assert stale.samples == ((1_700_000_000.0, 1.0),)
    assert empty.samples == ()


def test_warnings_are_handed_on(api: Api, prometheus: Prometheus) -> None:
    """A partial answer says so; Prometheus's infos, which mean nothing is missing, are not warnings."""
    api.reply = matrix({"metric": LABELS, "values": SAMPLES}, warnings=["store b\nis down"], infos=["not a counter"])
    answer = prometheus.range("up", GRID)
    assert answer.warnings == ("store b is down",)
    assert len(answer.series) == 1
    api.reply = matrix()
    assert prometheus.range("up", GRID).warnings == ()


def test_the_query_travels_in_the_body(api: Api, prometheus: Prometheus) -> None:
    """A query too long for any URL is sent as a form, none of it in the URL, with a limit for Prometheus itself."""
    query = "sum(up{pod=~'" + "|".join(f"cart-{n}-[^-]+" for n in range(5000)) + "'})"
    assert prometheus.range(query, GRID).error == ""
    [request] = api.requests
    assert (request.method, request.path, request.query) == ("POST", "/api/v1/query_range", {})
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    form = api.last_form()
    assert form.pop("query") == [query]
    assert form == {
        "start": ["1700000000.000"],
        "end": ["1700000030.000"],
        "step": ["15"],
        "timeout": [f"{TIMEOUT * 0.8:g}"],
    }


def test_a_fractional_step_keeps_its_grid(api: Api, prometheus: Prometheus) -> None:
    """The start is not rounded to a second, and the sample times are exactly those of the grid."""
    grid = Grid(end=1_700_000_000.0, step=1.3, count=4)
    times = ["1699999996.1", "1699999997.4", "1699999998.7", "1700000000"]
    api.reply = matrix({"metric": {}, "values": [[json.loads(t), "1"] for t in times]})
    [series] = prometheus.range("up", grid).series
    assert api.last_form()["start"] == ["1699999996.100"]
    assert api.last_form()["step"] == ["1.3"]
    assert [t for t, _ in series.samples] == grid.times()


def test_labels_may_have_any_name(api: Api, prometheus: Prometheus) -> None:
    """Labels that are called as parts of the answer are labels all the same."""
    labels = {"metric": "a", "values": "b", "status": "c"}
    api.reply = matrix({"metric": labels, "values": SAMPLES})
    [series] = prometheus.range("up", GRID).series
    assert series.labels == labels


def test_the_token_is_read_for_each_request(api: Api, prometheus: Prometheus, token: SecretFile) -> None:
    """A rotated token is used at once."""
    prometheus.range("up", GRID)
    token.path.write_text("rotated")
    prometheus.range("up", GRID)
    assert [r.headers["Authorization"] for r in api.requests] == [f"Bearer {TOKEN}", "Bearer rotated"]


def test_without_a_token_none_is_sent(api: Api) -> None:
    """No token, no Authorization header."""
    assert Prometheus(PrometheusSettings(api.url + "/", TIMEOUT)).range("up", GRID).error == ""
    assert "Authorization" not in api.requests[-1].headers


def test_the_environment_s_proxy_is_not_used(api: Api, prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prometheus is asked directly, whatever proxy the environment names."""
    with Api() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert prometheus.range("up", GRID).error == ""
        assert proxy.requests == []
    assert len(api.requests) == 1


def test_several_threads_may_ask_at_once(api: Api, prometheus: Prometheus) -> None:
    """Each gets its own answer, warnings included."""
    together = threading.Barrier(4)

    def meet(request: Request) -> None:
        together.wait(PATIENCE)

    api.before = meet
    api.reply = matrix({"metric": LABELS, "values": SAMPLES}, warnings=["partial"])
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: prometheus.range(f"up{n}", GRID), range(4)))
    assert [a.query for a in answers] == ["up0", "up1", "up2", "up3"]
    assert all(a.warnings == ("partial",) and len(a.series) == 1 and not a.error for a in answers)
