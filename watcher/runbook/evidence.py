"""What a case draws from Prometheus after its rollback, and for it: the chart, the impact and the baseline.

Made of ranges, as the judgement was; `measures` asks for them. The steps that tell people and verify use it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from watcher.judgement.impact import Impact, impact_of_span, impact_since, say_share, share_of, span_over, values_of
from watcher.judgement.model import Grid
from watcher.judgement.readings import RatioReading
from watcher.policy.model import Check, Policy, Ratio, Value
from watcher.runbook.case import BY_HAND, Case
from watcher.runbook.chart import Chart, Line
from watcher.runbook.measures import Measures, Side
from watcher.runbook.ports import Prometheus
from watcher.systems.fault import Fault

# Seconds. How much of the time before the rollout a chart shows: a share of what follows, within limits.
LEAD, LEAST_LEAD, MOST_LEAD = 0.3, 600.0, 3600.0
# Seconds before a person's order that are looked at: the rollout may be weeks old.
BEFORE_ORDER = 3600.0
# Seconds before the rollout from which the baseline is taken.
BASELINE = 1800.0


class Evidence:
    """Asks Prometheus for what a case shows and decides by. Moments are epoch seconds.

    Every method raises Fault where Prometheus has an error, a partial answer or (but for the baseline) nothing at all
    of the breached check, and a lasting one where that check is no longer in the policies. `interval`: seconds.
    """

    def __init__(self, prometheus: Prometheus, policies: Callable[[], tuple[Policy, ...]], interval: float) -> None:
        self._measures = Measures(prometheus, interval)
        self._policies = policies

    def chart(self, case: Case, until: float) -> Chart | None:
        """Draw up the breached check, from some time before the rollout `until` then.

        Where that has no series (a smoke test, a rollback by hand) the Deployment's first ratio check instead; None
        where it has none, or nothing was counted.
        """
        asked, limit = self._breached(case), _number(case.evidence.get("threshold"))
        found = asked or self._counting(case)
        if found is None:
            return None
        policy, check = found
        if asked is None:  # what an annotation would say, the case doesn't know
            limit = check.threshold.value if check.threshold and not check.threshold.annotation else None
        begun = _begun(case)
        lead = min(MOST_LEAD, max(LEAST_LEAD, LEAD * (until - begun)))
        grid = self._measures.grid(begun - lead, until)
        sides = self._measures.sides(case, check, grid)
        if asked is None and not any(side.has_series for side in sides):
            return None
        return Chart(
            title=f"{case.subject}: {check.name}",
            subtitle=f"check {check.name} of policy {policy.name} · {case.place}",
            unit=check.threshold.unit if check.threshold else "number",
            lines=tuple(_line(side) for side in _some(sides, check, grid)),
            threshold=limit,
            marks=_marks(case),
            start=grid.start,
            end=max(grid.end, until),  # the grid ends at a whole millisecond, before the mark of that very moment
        )

    def impact(self, case: Case, until: float) -> Impact:
        """Measure the impact from the rollout's start `until` then; the runbook's postmortem depends on it.

        The share of requests is the breached check's if it counts them, else that of the Deployment's first ratio
        check. The duration is the time over the threshold; where no series tell, the time since the rollout's start.
        """
        start = _begun(case)
        grid = self._measures.grid(start, until)
        period = max(0.0, until - start)
        asked, limit = self._breached(case), _number(case.evidence.get("threshold"))
        if asked is None or limit is None:
            since = _number(case.evidence.get("since"))
            otherwise = (case.ordered, "the order") if case.reason == BY_HAND else (start, "the rollout's start")
            begun = otherwise if since is None else (since, "the breach")
            return impact_since(self._share(case, grid, period), begun, until)
        _, check = asked
        readings = [s.reading for s in _some(self._measures.sides(case, check, grid), check, grid)]
        if isinstance(check.kind, Ratio):
            number = share_of(reading for reading in readings if isinstance(reading, RatioReading))
            share = number, say_share(number, period)
        else:
            share = self._share(case, grid, period)
        return impact_of_span(share, check.name, span_over(readings, limit, _least(check)), grid.step)

    def baseline(self, case: Case) -> float | None:
        """Give the highest reading of the breached check in the half hour before the rollout, of what served then.

        In the check's own unit. Readings of fewer requests than the check judges by are no measure. None where nothing
        was measured then, and where the breached check has no series.
        """
        asked = self._breached(case)
        if asked is None:
            return None
        _, check = asked
        grid = self._measures.grid(case.rollout_started - BASELINE, case.rollout_started)
        reading = self._measures.beside(case, check, grid)
        if reading is None:
            return None
        return max((v for v in values_of(reading, _least(check)[0]) if not math.isnan(v)), default=None)

    def _breached(self, case: Case) -> tuple[Policy, Check] | None:
        """Find the breached check; None where it has no series: a smoke test, or no check at all but a person."""
        if not case.check:
            return None
        found = ((p, c) for p in self._policies() if p.name == case.policy for c in p.checks if c.name == case.check)
        first = next(found, None)
        if first is None:
            said = f"can't be asked: check {case.policy}/{case.check} is no longer in the policies"
            raise Fault("Prometheus", said, lasting=True)
        return first if isinstance(first[1].kind, Ratio | Value) else None

    def _counting(self, case: Case) -> tuple[Policy, Check] | None:
        """Find the first ratio check of the Deployment's policies, the case's own before the others."""
        labels = case.result("confirm", "labels")
        known: Mapping[str, Any] = labels if isinstance(labels, dict) else {}
        own = [p for p in self._policies() if p.name == case.policy]
        others = [p for p in self._policies() if p.name != case.policy and p.matches(case.namespace, known)]
        return next(((p, c) for p in (*own, *others) for c in p.checks if isinstance(c.kind, Ratio)), None)

    def _share(self, case: Case, grid: Grid, period: float) -> tuple[float | None, str]:
        """Take the share of requests from another check than the breached one, and name it."""
        found = self._counting(case)
        if found is None:
            return None, say_share(None, period, "no check of its policies counts them")
        policy, check = found
        readings = [side.reading for side in self._measures.sides(case, check, grid)]
        number = share_of(reading for reading in readings if isinstance(reading, RatioReading))
        return number, f"{say_share(number, period)} (by check {policy.name}/{check.name})"


def _begun(case: Case) -> float:
    """When what a case is about began: with the rollout; where a person ordered it, an hour before that at most."""
    ordered = case.ordered - BEFORE_ORDER if case.reason == BY_HAND else case.rollout_started
    return max(case.rollout_started, ordered)


def _some(sides: tuple[Side, ...], check: Check, grid: Grid) -> tuple[Side, ...]:
    """The sides that Prometheus has anything of; Fault where there are none: missing data is no good news."""
    found = tuple(side for side in sides if side.has_series)
    if not found:
        raise Fault("Prometheus", f"nothing of check {check.name} in the {grid.end - grid.start:.0f} s asked for")
    return found


def _line(side: Side) -> Line:
    """One line of the chart, with NaN for each instant that has no number, so that nothing bridges it."""
    return Line(side.name, tuple(zip(side.reading.grid.times(), values_of(side.reading), strict=True)))


def _marks(case: Case) -> tuple[tuple[float, str], ...]:
    """The moments of the case that have come."""
    moments = (
        (case.rollout_started, "rollout"),
        (_number(case.evidence.get("since")), "breach"),
        (case.step("revert").finished if case.rolled_back else None, "rollback"),
        (case.step("verify").finished if case.outcome == "verified" else None, "recovered"),
    )
    return tuple((at, label) for at, label in moments if at is not None)


def _least(check: Check) -> tuple[float, float]:
    return (check.kind.least_total, check.kind.least_bad) if isinstance(check.kind, Ratio) else (0.0, 0.0)


def _number(value: object) -> float | None:
    """Read a number out of the case's record, which people can edit."""
    sound = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if sound and isinstance(value, int | float) else None
