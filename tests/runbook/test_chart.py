"""The chart: a picture of the right size in which lines, gaps, threshold and labels are where they belong."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageColor

from watcher.runbook.chart import BAD_COLOUR, BOTTOM, COLOURS, RED, RIGHT, SHADE, Chart, Line, draw
from watcher.runbook.labels import Writing, flags, flow
from watcher.runbook.scales import above, runs, time_scale, value_scale, written

START = 1_800_000_000.0  # 2027-01-15T08:00:00Z
NAN = math.nan
PLOT_TOP = 150  # beneath the legend and the marks' labels of these charts

CHART = Chart("shop/checkout: error-rate", "check error-rate", "ratio", (), 0.01, (), START, START + 600)


def level(*numbers: float) -> tuple[tuple[float, float], ...]:
    """Points 15 s apart from the chart's start."""
    return tuple((START + 15 * i, number) for i, number in enumerate(numbers))


def picture(chart: Chart) -> Image.Image:
    """Draw it and decode the PNG."""
    png = draw(chart)
    assert png.startswith(b"\x89PNG")
    return Image.open(io.BytesIO(png)).convert("RGB")


def places(image: Image.Image, colour: str) -> list[tuple[int, int]]:
    """Every pixel of the plot that has exactly this colour."""
    wanted = bytes(ImageColor.getrgb(colour))
    data = image.crop((0, PLOT_TOP, RIGHT, BOTTOM)).tobytes()
    found = (i // 3 for i in range(0, len(data), 3) if data[i : i + 3] == wanted)
    return [(i % RIGHT, PLOT_TOP + i // RIGHT) for i in found]


def test_lines_threshold_and_the_area_between() -> None:
    """Each revision has its colour, the bad one its own, the threshold is dashed, and what is over it is shaded."""
    lines = Line("revision 41", level(*[0.002] * 41)), Line("revision 42 (bad)", level(*[0.03] * 41))
    image = picture(replace(CHART, lines=lines))
    assert image.size == (1000, 480)
    good, bad, dashes = (places(image, colour) for colour in (COLOURS[0], BAD_COLOUR, RED))
    heights = [sum(y for _, y in found) / len(found) for found in (bad, dashes, good)]
    assert heights == sorted(heights), "from above: the bad revision, the threshold, the good one"
    gaps = set(range(min(x for x, _ in dashes), max(x for x, _ in dashes))) - {x for x, _ in dashes}
    assert len(gaps) > 100, "dashes"
    assert all(heights[0] - 2 <= y <= heights[1] + 2 for _, y in places(image, SHADE))
    assert len(places(image, SHADE)) > 10_000


@pytest.mark.parametrize(
    "points", [level(*[0.03] * 10, *[NAN] * 10, *[0.03] * 21), level(*[0.03] * 41)[:10] + level(*[0.03] * 41)[20:]]
)
def test_a_gap_is_not_bridged(points: tuple[tuple[float, float], ...]) -> None:
    """Neither where a value is NaN nor where an instant is missing is anything drawn: no line, no zero, no shade."""
    image = picture(replace(CHART, lines=(Line("service", points),)))
    columns = {x for colour in (COLOURS[0], SHADE) for x, _ in places(image, colour)}
    left, width = min(columns), max(columns) - min(columns)
    gap = range(left + width * 10 // 40, left + width * 19 // 40)
    assert not columns & set(gap)
    assert len(columns) > 0.7 * width


def test_a_point_that_stands_alone_is_seen() -> None:
    """A single reading is a dot."""
    image = picture(replace(CHART, lines=(Line("service", level(NAN, NAN, 0.03, NAN)),), threshold=None))
    dot = places(image, COLOURS[0])
    assert 10 <= len(dot) <= 60
    assert max(x for x, _ in dot) - min(x for x, _ in dot) < 10


def test_no_data_is_said() -> None:
    """Without a single reading there is a picture all the same, which says so in its middle."""
    middle = 400, PLOT_TOP, 600, BOTTOM - 5
    empty = picture(replace(CHART, lines=(Line("service", level(NAN, NAN)),), threshold=None)).crop(middle)
    some = picture(replace(CHART, lines=(Line("service", level(0.0)),), threshold=None)).crop(middle)

    def ink(image: Image.Image) -> int:
        pixels = image.convert("L").tobytes()
        return sum(1 for pixel in pixels if pixel < 150)

    assert ink(some) == 0
    assert ink(empty) > 100


def test_few_values_far_above_the_others_do_not_hide_them() -> None:
    """The axis shows the others; it shows all again where many are as high, and always the threshold."""
    usual = [0.2] * 60
    assert value_scale([*usual, 1200.0], 0.5, "seconds").high == pytest.approx(1.25)
    assert value_scale([*usual, *[1200.0] * 10], 0.5, "seconds").high >= 1200
    assert value_scale([0.2, 1200.0], 0.5, "seconds").high >= 1200
    assert value_scale(usual, 30.0, "seconds").high >= 30


@pytest.mark.parametrize(
    ("values", "threshold", "unit", "ticks"),
    [
        ([0.031], 0.01, "ratio", ["0 %", "1 %", "2 %", "3 %", "4 %"]),
        ([1.0], 0.01, "ratio", ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]),
        ([1.4], 0.5, "seconds", ["0 ms", "500 ms", "1 s", "1.5 s"]),
        ([0.0], None, "number", ["0", "0.25", "0.5", "0.75", "1", "1.25"]),
        ([-3.0, 6.0], None, "number", ["-4", "-2", "0", "2", "4", "6", "8"]),
    ],
)
def test_ticks_of_values(
    values: list[float], threshold: float | None, unit: Literal["ratio", "seconds", "number"], ticks: list[str]
) -> None:
    """They are round numbers with their unit, from zero up to what has to be shown."""
    assert [label for _, label in value_scale(values, threshold, unit).ticks] == ticks


@pytest.mark.parametrize(
    ("seconds", "first"), [(20, "08:00:00"), (300, "08:00"), (7200, "08:00"), (90_000, "01-15 12:00")]
)
def test_ticks_of_times(seconds: float, first: str) -> None:
    """They are few, and as fine as the chart is short."""
    ticks = [label for _, label in time_scale(START, START + seconds, 8).ticks]
    assert ticks[0] == first
    assert 3 <= len(ticks) <= 9


def test_above() -> None:
    """What lies above a limit begins and ends where the line crosses it."""
    run = [(0.0, 0.0), (10.0, 2.0), (20.0, 2.0), (30.0, 0.0), (40.0, 3.0)]
    assert above(run, 1.0) == [
        [(5.0, 1.0), (10.0, 2.0), (20.0, 2.0), (25.0, 1.0)],
        [(30.0 + 10 / 3, 1.0), (40.0, 3.0)],
    ]
    assert above([(0.0, 2.0)], 1.0) == above([], 1.0) == []


def test_runs() -> None:
    """A line breaks at a NaN and at a missing instant, not at a rounding error."""
    points = [(0.0, 1.0), (15.001, 1.0), (30.0, NAN), (45.0, 1.0), (75.0, 1.0)]
    assert [[at for at, _ in run] for run in runs(points, 15.0)] == [[0.0, 15.001], [45.0], [75.0]]


@given(
    marks=st.lists(st.tuples(st.floats(60, 900), st.floats(0, 240)), max_size=12).map(sorted),
)
def test_labels_do_not_overlap(marks: list[tuple[float, float]]) -> None:
    """However near to each other or to the border the marks are, labels share no pixel and stay in the picture."""
    taken: list[tuple[float, float, int]] = []
    for (x, width), found in zip(marks, flags(marks, 984, 5), strict=True):
        if found is None:
            continue
        begin, row = found
        assert begin + width <= 984 + 1e-6
        assert begin == x + 5 or begin + width == pytest.approx(x - 5)
        assert all(row != other or begin + width < left or right < begin for left, right, other in taken)
        taken.append((begin, begin + width, row))


def test_labels_of_a_usual_case() -> None:
    """Rollout, breach and rollback seconds apart go beneath each other; no line runs through a label."""
    near = flags([(300, 100), (301, 100), (302, 100), (600, 100)], 984, 5)
    assert [found and found[1] for found in near] == [2, 1, 0, 0]
    at_the_border = flags([(890, 100), (895, 100), (900, 100)], 984, 5)
    assert [found and found[1] for found in at_the_border] == [0, 1, 2]


def test_legend_flows_into_rows() -> None:
    """Names go on in the next row, and stop where no row is left."""
    assert flow([60, 60, 30, 70], 100, 2) == [(0.0, 0), (0.0, 1), (60.0, 1)]


def test_texts_are_cut_to_their_room() -> None:
    """A text that is too long ends in an ellipsis; one line, and only what the font knows."""
    writing = Writing()
    cut = writing.fit("a-very-long-name " * 50, 200)
    assert cut.endswith("…")
    assert 150 < writing.width(cut) <= 200
    assert writing.fit("two\nlines µ", 200) == "two lines ?"


FLOATS = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(0, 1),
    st.sampled_from([0.0, 1e308, -1e308, 5e-324, 1e-12, NAN, math.inf]),
)
TIMES = st.one_of(
    st.floats(START - 100, START + 700),
    st.integers(0, 40).map(lambda i: START + 15.0 * i),
    st.floats(allow_nan=True, allow_infinity=True),
)
TEXTS = st.one_of(st.text(max_size=300), st.just("revision 42 (bad)"))
CHARTS = st.builds(
    Chart,
    TEXTS,
    TEXTS,
    st.sampled_from(["ratio", "seconds", "number"]),
    st.lists(st.builds(Line, TEXTS, st.lists(st.tuples(TIMES, FLOATS), max_size=40).map(tuple)), max_size=20).map(
        tuple
    ),
    st.one_of(st.none(), FLOATS),
    st.lists(st.tuples(TIMES, TEXTS), max_size=8).map(tuple),
    TIMES,
    TIMES,
)


@settings(max_examples=40, deadline=None)
@given(chart=CHARTS)
def test_every_chart_can_be_drawn(chart: Chart) -> None:
    """Whatever was measured, however things are named, there is a picture."""
    assert picture(chart).size == (1000, 480)


@settings(max_examples=100, deadline=None)
@given(chart=CHARTS)
def test_every_scale_is_one(chart: Chart) -> None:
    """Both axes have a length, round numbers within it, and room for all but the few that are far above."""
    times = time_scale(chart.start, chart.end, 8)
    assert times.high > times.low
    assert len(times.ticks) <= 9
    finite = [value for line in chart.lines for _, value in line.points if math.isfinite(value)]
    limit = chart.threshold if chart.threshold is not None and math.isfinite(chart.threshold) else None
    scale = value_scale(finite, limit, chart.unit)
    assert math.isfinite(scale.high - scale.low)
    assert scale.high > scale.low
    assert 2 <= len(scale.ticks) <= 12
    top = scale.high + 1e-6 * (scale.high - scale.low)
    assert sum(1 for value in finite if top < value < 1e300) <= 0.05 * len(finite)


def test_a_time_beyond_all_years_is_a_number() -> None:
    """No moment is too far away to be written."""
    assert written(1e18, "%H:%M") == "1e+18"


def test_three_thousand_points_are_drawn() -> None:
    """A long chart is drawn whole, each column of it."""
    points = tuple((START + i * 0.2, 0.005 + 0.002 * math.sin(i / 90)) for i in range(3001))
    columns = sorted({x for x, _ in places(picture(replace(CHART, lines=(Line("service", points),))), COLOURS[0])})
    assert columns[-1] - columns[0] > 800
    assert max(b - a for a, b in pairwise(columns)) < 10
