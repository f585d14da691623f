"""Chart, impact and baseline of a case, out of what a scripted Prometheus answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.runbook.parts import NOW, POLICY, TARGET, case_of
from watcher.judgement.model import Answer, Grid, Series
from watcher.policy.model import MOST_POINTS, Check, Policy, Ratio, SmokeJob, Threshold, Value
from watcher.runbook.case import Case, StepRecord
from watcher.runbook.chart import Line, draw
from watcher.runbook.evidence import Evidence
from watcher.systems.fault import Fault

STEP = 15.0
STARTED = NOW - 120.0  # of every case here
REVERTED = STARTED + 300
UNTIL = STARTED + 1500

Curve = Callable[[float], float | None]
"""Seconds since the rollout's start to a sample, or to none."""

BAD_RATIO = Ratio('bad{pod=~"$pod"}', 'total{pod=~"$pod"}', per_pod=True, least_total=50, least_bad=2)
RATIO = Check("errors", BAD_RATIO, Threshold(0.01, "1%", "ratio"), 60.0)
WHOLE = replace(RATIO, kind=Ratio("bad{}", "total{}", per_pod=False))
VALUE = Check("errors", Value("p99{}"), Threshold(0.5, "500ms", "seconds", "canary-watch.io/slo-p99"), 60.0)
SMOKE = Check("errors", SmokeJob())
COUNTING = Policy("rates", "rates.yaml", ("shop",), 1800.0, (replace(RATIO, name="rate"),), {"tier": "1"})

HISTORY = [{"revision": number, "replicaSet": f"checkout-{number}"} for number in (2, 1, 0)]


@dataclass
class Scripted:
    """A Prometheus whose series are curves, by metric and pod (empty: the service); anything else has none."""

    series: Mapping[tuple[str, str], Curve] = field(default_factory=dict)
    error: str = ""
    warnings: tuple[str, ...] = ()
    asked: list[tuple[str, Grid]] = field(default_factory=list)

    def range(self, query: str, grid: Grid) -> Answer:
        """Answer."""
        self.asked.append((query, grid))
        metric = query.split("{", maxsplit=1)[0]
        found = tuple(self._series(pod, curve, grid) for (name, pod), curve in self.series.items() if name == metric)
        return Answer(query, grid, () if self.error else found, self.error, self.warnings)

    def _series(self, pod: str, curve: Curve, grid: Grid) -> Series:
        labels = {"namespace": "shop", "deployment": "checkout"} | ({"pod": pod} if pod else {})
        values = ((at, curve(at - STARTED)) for at in grid.times())
        return Series(labels, tuple((at, value) for at, value in values if value is not None))


def during(begin: float, end: float, value: float, otherwise: float | None = None) -> Curve:
    """One value from `begin` to `end` (included), and another before and after."""
    return lambda at: value if begin <= at <= end else otherwise


ALWAYS = 1e9
PODS: Mapping[tuple[str, str], Curve] = {
    ("total", "checkout-2-aaaaa"): during(15, 330, 100.0),
    ("bad", "checkout-2-aaaaa"): during(60, 330, 4.0, 0.0),
    ("total", "checkout-1-bbbbb"): lambda at: None if 60 < at < 300 else 200.0,
    ("bad", "checkout-1-bbbbb"): during(-600, -600, 3.0, 1.0),
}
SLOW: Mapping[tuple[str, str], Curve] = {("p99", ""): during(30, 630, 0.9, 0.2)}


def a_case(**evidence: Any) -> Case:
    """A case that was rolled back five minutes after the rollout's start, and verified five minutes later."""
    confirmed = {**TARGET, "history": HISTORY, "labels": {"tier": "1"}}
    case = case_of().with_step("confirm", StepRecord("done", result=confirmed))
    case = case.with_step("revert", StepRecord("done", result={"to": 1}, finished=REVERTED))
    case = case.with_step("verify", StepRecord("done", finished=REVERTED + 300))
    numbers = {"observed": 0.04, "threshold": 0.01, "since": STARTED + 60, "numbers": {}}
    return replace(case, outcome="verified", rollout_started=STARTED, evidence={**numbers, **evidence})


def evidence(prometheus: Scripted, check: Check = RATIO, *others: Policy) -> Evidence:
    """Chart, impact and baseline by this check's policy, and by others."""
    return Evidence(prometheus, lambda: (replace(POLICY, checks=(check,)), *others), STEP)


def drawn(line: Line) -> list[float]:
    """Where a line has a value: seconds since the rollout's start."""
    return [at - STARTED for at, value in line.points if not math.isnan(value)]


def test_chart_of_a_ratio_by_revision() -> None:
    """Each revision that served has a line, the bad one last; gaps are NaN; marks and threshold are the case's."""
    scripted = Scripted(PODS)
    chart = evidence(scripted).chart(a_case(threshold=0.02), UNTIL)
    assert chart is not None
    assert [line.name for line in chart.lines] == ["revision 1", "revision 2 (bad)"]
    assert (chart.title, chart.unit, chart.threshold) == ("shop/checkout: errors", "ratio", 0.02)
    assert (chart.start, chart.end) == (STARTED - 600, UNTIL)
    old, bad = chart.lines
    assert len(old.points) == len(bad.points) == 141
    assert (drawn(bad)[0], drawn(bad)[-1]) == (15.0, 330.0)
    assert 75.0 not in drawn(old)
    assert {60.0, 300.0} <= set(drawn(old))
    assert max(value for _, value in bad.points if not math.isnan(value)) == 0.04
    named = [(label, at - STARTED) for at, label in chart.marks]
    assert named == [("rollout", 0), ("breach", 60), ("rollback", 300), ("recovered", 600)]
    assert scripted.asked[0][0] == 'bad{pod=~"(checkout-0-[^-]+|checkout-1-[^-]+|checkout-2-[^-]+)"}'
    assert draw(chart)


def test_chart_marks_only_what_has_happened() -> None:
    """Before the revert there is no rollback, and without a verified outcome no recovery."""
    case = replace(a_case(since=None).with_step("revert", StepRecord()), outcome="")
    chart = evidence(Scripted(PODS)).chart(case, UNTIL)
    assert chart is not None
    assert [label for _, label in chart.marks] == ["rollout"]


def test_chart_of_a_case_without_a_history() -> None:
    """A case that has recorded no history knows the bad revision and the target all the same."""
    case = a_case().with_step("confirm", StepRecord("done", result={**TARGET, "history": ["?", {"replicaSet": 1}]}))
    chart = evidence(Scripted(PODS)).chart(case, UNTIL)
    assert chart is not None
    assert [line.name for line in chart.lines] == ["revision 1", "revision 2 (bad)"]
    unconfirmed = evidence(Scripted(PODS)).chart(case.with_step("confirm", StepRecord()), UNTIL)
    assert unconfirmed is not None
    assert [line.name for line in unconfirmed.lines] == ["revision 2 (bad)"]


def test_chart_of_revisions_whose_pods_are_named_alike() -> None:
    """Where Kubernetes cuts the names of two revisions' pods to the same, both are one line, named after both."""
    long = "checkout-" + "x" * 52
    history = [{"revision": "7", "replicaSet": f"{long}-a"}, {"revision": 6, "replicaSet": f"{long}-b"}]
    case = a_case().with_step("confirm", StepRecord("done", result={"history": history}))
    pod = f"{long}-a"[:58] + "abcde"
    chart = evidence(Scripted({("total", pod): during(0, 60, 100.0)})).chart(case, UNTIL)
    assert chart is not None
    assert [line.name for line in chart.lines] == ["revision 6 and revision 7"]


@pytest.mark.parametrize(("check", "series", "unit"), [(WHOLE, None, "ratio"), (VALUE, SLOW, "seconds")])
def test_chart_of_a_service(check: Check, series: Mapping[tuple[str, str], Curve] | None, unit: str) -> None:
    """A check that knows no pods has one line, over the rollout's start and end alike."""
    whole: Mapping[tuple[str, str], Curve] = {("total", ""): lambda _: 300.0, ("bad", ""): during(60, 330, 4.0)}
    chart = evidence(Scripted(series or whole), check).chart(a_case(), UNTIL)
    assert chart is not None
    assert [(line.name, len(drawn(line))) for line in chart.lines] == [("service", 141)]
    assert chart.unit == unit


@pytest.mark.parametrize(("lasting", "lead"), [(60, 600), (4000, 1200), (90_000, 3600)])
def test_chart_begins_before_the_rollout(lasting: float, lead: float) -> None:
    """It shows 30 % of what follows, at least ten minutes and at most an hour, in no more points than are answered."""
    scripted = Scripted(PODS)
    chart = evidence(scripted).chart(a_case(), STARTED + lasting)
    assert chart is not None
    assert chart.end == STARTED + lasting
    [_, (_, grid)] = scripted.asked
    assert STARTED - lead <= grid.start < STARTED - lead + grid.step
    assert grid.count <= MOST_POINTS
    assert grid.step == STEP or grid.count > 1900
    assert grid.step * 1000 == pytest.approx(round(grid.step * 1000)), "Prometheus knows milliseconds"


def test_chart_after_a_smoke_test() -> None:
    """It shows the error rate instead, by its own threshold; there is none where no policy counts requests."""
    prometheus = Scripted(PODS)
    chart = evidence(prometheus, SMOKE, COUNTING).chart(a_case(threshold=None, since=None), UNTIL)
    assert chart is not None
    assert (chart.title, chart.threshold, len(chart.lines)) == ("shop/checkout: rate", 0.01, 2)
    assert evidence(prometheus, SMOKE).chart(a_case(), UNTIL) is None
    assert evidence(Scripted(), SMOKE, COUNTING).chart(a_case(), UNTIL) is None
    elsewhere = replace(COUNTING, namespaces=("other",)), replace(COUNTING, labels={"tier": "2"})
    assert evidence(prometheus, SMOKE, *elsewhere).chart(a_case(), UNTIL) is None


def test_a_rollback_by_hand_has_no_breached_check() -> None:
    """What a person ordered is shown by the error rate, measured from the rollout's start, and has no baseline."""
    case = replace(a_case(threshold=None, since=None), policy="", check="")
    drawing = evidence(Scripted(PODS), SMOKE, COUNTING)
    chart = drawing.chart(case, UNTIL)
    assert chart is not None
    assert chart.title == "shop/checkout: rate"
    assert drawing.impact(case, UNTIL).said.endswith("25 min since the rollout's start")
    assert drawing.baseline(case) is None


@pytest.mark.parametrize(
    ("prometheus", "said"),
    [
        (Scripted(PODS, error="HTTP 503"), "HTTP 503"),
        (Scripted(PODS, warnings=("one store is gone",)), "the answer is partial: one store is gone"),
        (Scripted(), "nothing of check errors in the 2100 s asked for"),
    ],
)
def test_missing_data_is_a_fault(prometheus: Scripted, said: str) -> None:
    """Neither a chart nor an impact is made of an error, a partial answer or nothing; it is tried again."""
    for ask in (evidence(prometheus).chart, evidence(prometheus).impact):
        with pytest.raises(Fault) as caught:
            ask(a_case(), UNTIL)
        assert caught.value.system == "Prometheus"
        assert caught.value.said.startswith(said[:25])
        assert not caught.value.lasting


def test_a_check_that_is_gone_is_a_lasting_fault() -> None:
    """A check that was taken out of the policies can't be asked; that is said."""
    gone = evidence(Scripted(PODS), replace(RATIO, name="other"))
    for ask in (
        lambda: gone.chart(a_case(), UNTIL),
        lambda: gone.impact(a_case(), UNTIL),
        lambda: gone.baseline(a_case()),
    ):
        with pytest.raises(Fault, match="check error-rate/errors is no longer in the policies") as caught:
            ask()
        assert caught.value.lasting


def test_series_that_cannot_be_told_apart_are_a_lasting_fault() -> None:
    """Two series where one is meant stay two until somebody changes the query."""
    two = Scripted({("p99", ""): lambda _: 0.1, ("p99", "checkout-1-bbbbb"): lambda _: 0.2})
    with pytest.raises(Fault, match="2 series for shop/checkout where one is meant") as caught:
        evidence(two, VALUE).chart(a_case(), UNTIL)
    assert caught.value.lasting


def test_impact_of_a_ratio() -> None:
    """The share is of all requests, good pods' and bad pods'; the duration is the time over the case's threshold."""
    impact = evidence(Scripted(PODS)).impact(a_case(), UNTIL)
    old, new, over = 5 + 81, 22, 19  # instants with samples
    assert impact.share == pytest.approx((over * 4 + old * 1) / (old * 200 + new * 100))
    assert (impact.first, impact.last) == (STARTED + 60, STARTED + 330)
    assert impact.duration == 285.0
    assert impact.said == "0.835 % of the requests in 25 min; errors over its threshold for 4 min 45 s"


def test_impact_of_a_value() -> None:
    """The share comes from the first check that counts requests, which is named; without one it isn't known."""
    known = evidence(Scripted({**SLOW, **PODS}), VALUE, COUNTING).impact(a_case(threshold=0.5), UNTIL)
    assert (known.first, known.last, known.duration) == (STARTED + 30, STARTED + 630, 615.0)
    assert known.said == (
        "0.835 % of the requests in 25 min (by check rates/rate); errors over its threshold for 10 min 15 s"
    )
    alone = evidence(Scripted(SLOW), VALUE).impact(a_case(threshold=0.5), UNTIL)
    assert (alone.share, alone.duration) == (None, 615.0)
    assert alone.said.startswith("the share of the requests is not known: no check of its policies counts them;")
    silent = evidence(Scripted(SLOW), VALUE, COUNTING).impact(a_case(threshold=0.5), UNTIL)
    assert silent.share is None
    assert "Prometheus counted none (by check rates/rate)" in silent.said


def test_impact_of_a_smoke_test() -> None:
    """It lasted from its breach, else from the rollout's start."""
    drawing = evidence(Scripted(PODS), SMOKE, COUNTING)
    assert drawing.impact(a_case(threshold=None), UNTIL).duration == 1440.0
    impact = drawing.impact(a_case(threshold=None, since=None), UNTIL)
    assert (impact.first, impact.last, impact.duration) == (None, None, 1500.0)
    assert impact.share == pytest.approx(162 / 19400)


def test_baseline() -> None:
    """It is the highest reading of the half hour before the rollout, of all pods but the bad revision's."""
    early: Mapping[tuple[str, str], Curve] = {
        ("total", "checkout-2-aaaaa"): lambda _: 100.0,
        ("bad", "checkout-2-aaaaa"): lambda _: 90.0,
        ("total", "checkout-0-ccccc"): during(-600, -600, 100.0),
        ("bad", "checkout-0-ccccc"): during(-600, -600, 6.0),
        ("total", "checkout-1-bbbbb"): lambda at: 20.0 if at == -300 else 200.0,
        ("bad", "checkout-1-bbbbb"): lambda at: 20.0 if at in (-300, 15, -1815) else 1.0,
    }
    scripted = Scripted(early)
    assert evidence(scripted).baseline(a_case()) == pytest.approx(7 / 300), "the 20 of 20 are too few to judge by"
    assert (scripted.asked[0][1].start, scripted.asked[0][1].end) == (STARTED - 1800, STARTED)
    assert evidence(Scripted(SLOW), VALUE).baseline(a_case()) == 0.2
    assert evidence(Scripted({("p99", ""): during(0, ALWAYS, math.nan)}), VALUE).baseline(a_case()) is None
    assert evidence(Scripted()).baseline(a_case()) is None
    assert evidence(Scripted(PODS), SMOKE).baseline(a_case()) is None
    with pytest.raises(Fault, match="HTTP 503"):
        evidence(Scripted(error="HTTP 503")).baseline(a_case())
