"""The impact: the share of the requests and the time over the threshold, by tables and for any readings at all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.judgement.made import INF, NAN, START, STEP, ratios, values
from watcher.judgement.impact import (
    impact_of_span,
    impact_since,
    say_duration,
    say_share,
    share_of,
    span_over,
    values_of,
)

Pairs = Sequence[tuple[float, float]]


@pytest.mark.parametrize(
    ("revisions", "share"),
    [
        ([[(5.0, 100.0), (15.0, 100.0)]], 0.1),
        ([[(10.0, 100.0)], [(0.0, 300.0)]], 0.025),
        ([[(0.0, 500.0)]], 0.0),
        ([[(5.0, 100.0), (0.0, NAN), (INF, 100.0), (5.0, INF), (-5.0, 100.0), (0.0, 0.0)]], 0.05),
        ([[(160.0, 100.0), (1.0, 100.0)]], 0.01),
        ([[(101.0, 100.0)]], 1.0),
        ([[(0.0, NAN)], []], None),
        ([[(0.0, 0.0)]], None),
        ([], None),
    ],
    ids=["one", "both", "none bad", "flawed", "implausible", "extrapolated", "no data", "no requests", "nothing"],
)
def test_share(revisions: list[Pairs], share: float | None) -> None:
    """It is all bad requests out of all requests, of every revision; what is no count is left out; never above 1."""
    assert share_of(ratios(pairs) for pairs in revisions) == (None if share is None else pytest.approx(share))


def test_share_does_not_depend_on_the_window() -> None:
    """A window four times as long counts each request four times, and changes nothing."""
    short = [(0.0, 30.0), (3.0, 30.0), (6.0, 60.0), (0.0, 30.0)]
    long = [(4 * bad, 4 * total) for bad, total in short]
    assert share_of([ratios(short)]) == share_of([ratios(long)]) == pytest.approx(9 / 150)


def test_span_over() -> None:
    """It reaches from the first to the last instant at which any revision was over, and no gap ends it."""
    ends = START + 600
    new = ratios([(0.0, 100.0), (5.0, 100.0), (0.0, NAN), (5.0, 100.0), (0.0, 100.0), (0.0, 100.0)])
    old = ratios([(0.0, 100.0)] * 4 + [(2.0, 100.0), (1.0, 100.0)])
    assert span_over([new], 0.01) == (ends - 4 * STEP, ends - 2 * STEP)
    assert span_over([new, old], 0.01) == (ends - 4 * STEP, ends - STEP)
    assert span_over([old], 0.02) is None, "at the threshold is not above it"
    assert span_over([values(NAN, 0.6, INF, 0.5)], 0.5) == (ends - 2 * STEP, ends - 2 * STEP)


def test_span_over_counts_what_the_check_counts() -> None:
    """Too few requests, or too few bad ones, are no time over the threshold, as they are no breach."""
    few = ratios([(4.0, 50.0), (4.0, 400.0), (5.0, 400.0)])
    assert span_over([few], 0.005, (100.0, 5.0)) == (START + 600, START + 600)


def test_impact_of_a_span() -> None:
    """The newest reading stands for a step, too; a check that never was over lasted no time."""
    share = 0.024, say_share(0.024, 1500.0)
    impact = impact_of_span(share, "error-rate", (START, START + 735), STEP)
    assert (impact.share, impact.first, impact.last, impact.duration) == (0.024, START, START + 735, 750.0)
    assert impact.said == "2.4 % of the requests in 25 min; error-rate over its threshold for 12 min 30 s"
    never = impact_of_span((None, say_share(None, 0.0)), "latency-p99", None, STEP)
    assert (never.share, never.first, never.last, never.duration) == (None, None, None, 0.0)
    assert never.said == (
        "the share of the requests is not known: Prometheus counted none; latency-p99 never over its threshold"
    )


def test_impact_since() -> None:
    """Without readings it is the time since it began, and never less than none."""
    share = 0.5, say_share(0.5, 90.0)
    assert impact_since(share, (START, "the breach"), START + 90).said == (
        "50 % of the requests in 1 min 30 s; 1 min 30 s since the breach"
    )
    assert impact_since(share, (START, "the breach"), START - 90).duration == 0.0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.44, "0.4 s"),
        (45, "45 s"),
        (60, "1 min"),
        (750, "12 min 30 s"),
        (7530, "2 h 5 min"),
        (3600, "1 h"),
    ],
)
def test_say_duration(seconds: float, said: str) -> None:
    """A duration is said in its two largest units."""
    assert say_duration(seconds) == said


NUMBERS = st.one_of(
    st.sampled_from([0.0, 1.0, 50.0, 500.0, NAN, INF, -INF, -5.0, 1e308, 5e-324]),
    st.floats(allow_nan=True, allow_infinity=True),
)


@settings(max_examples=300, deadline=None)
@given(
    pairs=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=10),
    limit=st.floats(0, 10),
    least=st.tuples(st.floats(0, 200), st.floats(0, 20)),
)
def test_whatever_was_read(pairs: list[tuple[float, float]], limit: float, least: tuple[float, float]) -> None:
    """Nothing raises, a share is between 0 and 1, and a span has a finite reading above the limit at both ends."""
    reading = ratios(pairs)
    share = share_of([reading])
    assert share is None or 0 <= share <= 1
    times = reading.grid.times()
    for one in (reading, values(*(value for value, _ in pairs))):
        span = span_over([one], limit, least)
        found = values_of(one, *least)
        over = [at for at, value in zip(times, found, strict=True) if value > limit]
        assert span == ((over[0], over[-1]) if over else None)
        assert not any(map(math.isinf, found))
        impact = impact_of_span((share, say_share(share, 60.0)), "check", span, STEP)
        assert impact.duration == pytest.approx(over[-1] - over[0] + STEP if over else 0.0)
