"""The recheck: the breached check asked again of what serves now, and nothing taken for well unseen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.runbook.parts import NOW, POLICY, TARGET, case_of, fails
from watcher.judgement.model import Answer, Grid, Series
from watcher.policy.model import Check, Policy, Ratio, SmokeJob, SmokeProbe, Threshold, Value
from watcher.runbook.case import Case, StepRecord
from watcher.runbook.ports import Probe
from watcher.runbook.recheck import CheckAgain
from watcher.systems.fault import Fault

Json = dict[str, Any]


class Figures:
    """A Prometheus that answers each query with the figures given for it, at the instant asked."""

    def __init__(self, **figures: float | None) -> None:
        self.figures, self.asked = figures, list[str]()

    def range(self, query: str, grid: Grid) -> Answer:
        """Answer."""
        self.asked.append(query)
        value = self.figures.get(query.split("{", maxsplit=1)[0])
        labels = {"namespace": "shop", "deployment": "checkout", "pod": "checkout-1-abcde"}
        return Answer(query, grid, () if value is None else (Series(labels, ((grid.end, value),)),))


RATIO = Check(
    "errors", Ratio('bad{pod=~"$pod"}', "total{}", per_pod=True, least_total=100), Threshold(0.5, "50%", "ratio")
)
VALUE = Check("errors", Value("value{}"), Threshold(9.0, "9", "number"))


def recheck(
    check: Check, figures: Figures, ask: Probe = lambda url, timeout: 200, before: float | None = None
) -> tuple[bool, str]:
    """Ask the check again of a case that breached 1 %, two minutes after the revert."""
    case = case_of().with_step("confirm", StepRecord("done", result=TARGET))
    case = case.with_step("revert", StepRecord("done", result={"to": 1}, finished=NOW - 120))
    again = CheckAgain(figures, ask, lambda: (replace(POLICY, checks=(check,)),), lambda case: before)
    return again(case, NOW)


def test_recheck_of_a_ratio() -> None:
    """The target's own pods are asked, against the threshold that was breached, however few their requests."""
    figures = Figures(bad=0.0, total=8.0)
    assert recheck(RATIO, figures)[0]
    assert figures.asked[0] == 'bad{pod=~"checkout-1-[^-]+"}'
    assert not recheck(RATIO, Figures(bad=1.0, total=8.0))[0], (
        "0.125 is over the 1 % of the case, not over today's 50 %"
    )


@pytest.mark.parametrize(("value", "holds"), [(0.001, True), (0.02, False), (None, False), (float("nan"), False)])
def test_recheck_of_a_value(value: float | None, holds: bool) -> None:
    """Under the threshold it holds; over it, without data, or with NaN it does not."""
    assert recheck(VALUE, Figures(value=value))[0] is holds


def test_recheck_of_a_silent_service_does_not_hold() -> None:
    """No requests since the rollback prove nothing."""
    assert not recheck(RATIO, Figures(bad=0.0, total=0.0))[0]


def test_recheck_of_a_probe() -> None:
    """A probe is made again, at the address of the Deployment; an answer of another kind, or none, does not hold."""
    asked: list[str] = []

    def answers(code: int) -> Probe:
        def ask(url: str, timeout: float) -> int:
            asked.append(url)
            return code

        return ask

    check = Check("errors", SmokeProbe("http://$deployment.$namespace/up", 3, 200, 1.0))
    assert recheck(check, Figures(), answers(200)) == (True, "http://checkout.shop/up answers 200")
    assert recheck(check, Figures(), answers(500)) == (False, "http://checkout.shop/up answers 500")

    def silent(url: str, timeout: float) -> int:
        fails("no answer within 1 s")()
        return 0

    assert recheck(check, Figures(), silent) == (False, "http://checkout.shop/up: no answer within 1 s")
    assert asked[0] == "http://checkout.shop/up"


def test_recheck_of_a_job_is_not_repeated() -> None:
    """A smoke test's Job judged the revision that is gone; that is said, and does not stand in the way."""
    holds, said = recheck(Check("errors", SmokeJob()), Figures())
    assert holds
    assert "not run again" in said


def test_recheck_without_its_policy_does_not_hold() -> None:
    """A check that was taken out of the policies meanwhile can't be seen to be well."""
    none: tuple[Policy, ...] = ()
    holds, said = CheckAgain(Figures(), lambda url, timeout: 200, lambda: none, lambda case: None)(case_of(), NOW)
    assert (holds, said) == (False, "check error-rate/errors is no longer in the policies")


@pytest.mark.parametrize(
    ("value", "before", "holds"),
    [
        (0.004, 0.003, True),
        (0.005, 0.0, True),
        (0.006, 0.0, False),
        (0.006, 0.003, False),
        (0.006, 0.004, True),
        (0.009, None, True),
        (0.02, 0.5, False),
    ],
)
def test_back_to_its_baseline(value: float, before: float | None, holds: bool) -> None:
    """Under the threshold isn't enough: it has to be near what it was before, or under half of the threshold."""
    found, said = recheck(VALUE, Figures(value=value), before=before)
    assert found is holds
    assert ("not back to its baseline" in said) is (not holds and value < 0.01)


def test_a_baseline_that_can_not_be_read_is_a_fault() -> None:
    """Which the verification says, and looks again."""

    def away(case: Case) -> float | None:
        raise Fault("Prometheus", "did not answer")

    again = CheckAgain(
        Figures(value=0.001), lambda url, timeout: 200, lambda: (replace(POLICY, checks=(VALUE,)),), away
    )
    case = case_of().with_step("confirm", StepRecord("done", result=TARGET))
    case = case.with_step("revert", StepRecord("done", result={"to": 1}, finished=NOW - 120))
    with pytest.raises(Fault, match="did not answer"):
        again(case, NOW)


def test_a_rollback_by_hand_has_no_check() -> None:
    """Nothing was breached, so nothing is asked again."""
    case = replace(case_of(), policy="", check="")
    holds, said = CheckAgain(Figures(), lambda url, timeout: 200, lambda: (POLICY,), lambda case: None)(case, NOW)
    assert (holds, "by hand" in said) == (True, True)
