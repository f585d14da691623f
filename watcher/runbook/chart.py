"""The chart of a breached check as a PNG: before, threshold, rollout, breach, rollback, recovery. Pure.

`evidence` makes charts out of Prometheus's answers; the picture goes into the case's thread.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.judgement.thresholds import show
from watcher.runbook.labels import GREY, INK, Text, Writing, flags, flow
from watcher.runbook.scales import Unit, above, dates, measured, runs, step_of, time_scale, value_scale, written

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

WIDTH, HEIGHT = 1000, 480
BAD = " (bad)"
"""What the bad revision's name ends in: its line has a colour of its own, and lies above the others."""

# Okabe and Ito's colours, which the colour-blind can tell apart: https://jfly.uni-koeln.de/color/
BAD_COLOUR = "#D55E00"
COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
RED, SHADE, PALE, MARK = "#C1121F", "#FBE3DF", "#E4E7EB", "#57606A"

FINE = 3  # shapes are drawn so many times as large and then reduced, which smooths their edges
BOTTOM, RIGHT, EDGE = HEIGHT - 34, WIDTH - 96, 16  # of the plot; of the page
BIG = 19  # font size
ROW = 19  # the height of a row of the legend, and of the marks' labels
LEGEND_ROWS, FLAG_ROWS = 3, 5
MOST_TIMES = 8
DENSE = 500  # points of a line that is drawn thinner


@dataclass(frozen=True, slots=True)
class Line:
    """One line: (epoch seconds, value) points. NaN or a missing instant is a gap, never drawn as zero or bridged."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """What a chart shows from `start` to `end` (epoch seconds): values in the unit of a check's threshold.

    `marks` are moments with a label: rollout, breach, rollback, recovered. What lies beside start and end is left out.
    """

    title: str
    subtitle: str
    unit: Unit
    lines: tuple[Line, ...]
    threshold: float | None
    marks: tuple[tuple[float, str], ...]
    start: float
    end: float


def draw(chart: Chart) -> bytes:
    """Draw the chart: a PNG of 1000 x 480 pixels, times in UTC. Never raises for what a chart holds."""
    from PIL import Image, ImageDraw  # noqa: PLC0415 - costly, when first needed

    image = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE), "white")
    page = _Page(chart, ImageDraw.Draw(image))
    page.draw()
    small = image.reduce(FINE)
    page.write(ImageDraw.Draw(small))
    made = io.BytesIO()
    small.save(made, "PNG", optimize=True)
    return made.getvalue()


class _Page:
    """One chart on its way to a picture: the scales first, then from top to bottom, the texts kept for the end."""

    def __init__(self, chart: Chart, fine: ImageDraw) -> None:
        self._chart, self._fine = chart, fine
        self._writing, self._texts = Writing(), list[Text]()
        limit = chart.threshold
        self._limit = limit if limit is not None and math.isfinite(limit) else None
        self._times = time_scale(chart.start, chart.end, MOST_TIMES)
        points = [measured(line.points, self._times.low, self._times.high) for line in chart.lines]
        step = step_of(points)
        self._runs = [runs(one, step) for one in points]
        values = (value for one in points for _, value in one if not math.isnan(value))
        self._values = value_scale(values, self._limit, chart.unit)
        self._left = EDGE + 8 + max(self._writing.width(label) for _, label in self._values.ticks)
        self._top = 0.0

    def draw(self) -> None:
        """Draw all shapes, from the back to the front."""
        colours = _colours(self._chart.lines)
        self._heading()
        marks = self._marks(self._legend(colours))
        for pieces in self._runs:
            for run in pieces:
                self._shade(run)
        self._axes()
        for x, y in marks:
            self._stroke([(x, y), (x, BOTTOM)], MARK, 1.2)
        self._threshold()
        for colour, pieces in sorted(zip(colours, self._runs, strict=True), key=lambda one: one[0] == BAD_COLOUR):
            for run in pieces:
                self._run(run, colour)
        if not any(self._runs):
            x, y = (self._left + RIGHT) / 2, (self._top + BOTTOM) / 2
            self._area([(x - 48, y - 16), (x + 48, y - 16), (x + 48, y + 16), (x - 48, y + 16)], "white")
            self._texts.append(Text(x, y, "no data", anchor="mm", size=BIG))

    def write(self, target: ImageDraw) -> None:
        """Write all texts, at the picture's own size."""
        for one in self._texts:
            self._writing.write(target, one)

    def _x(self, at: float) -> float:
        return self._left + self._times.place(at) * (RIGHT - self._left)

    def _y(self, value: float) -> float:
        return BOTTOM - self._values.place(value) * (BOTTOM - self._top)

    def _stroke(self, points: Sequence[tuple[float, float]], colour: str, width: float = 1.0) -> None:
        fine = [(x * FINE, y * FINE) for x, y in points]
        self._fine.line(fine, fill=colour, width=round(width * FINE), joint="curve")

    def _area(self, corners: Sequence[tuple[float, float]], colour: str) -> None:
        self._fine.polygon([(x * FINE, y * FINE) for x, y in corners], fill=colour)

    def _heading(self) -> None:
        room, days = WIDTH - 2 * EDGE, dates(self._times)
        title = self._writing.fit(self._chart.title, room, BIG)
        subtitle = self._writing.fit(self._chart.subtitle, room - self._writing.width(days) - 20)
        self._texts += [Text(EDGE, 22, title, INK, size=BIG), Text(EDGE, 47, subtitle)]
        self._texts.append(Text(WIDTH - EDGE, 47, days, anchor="rm"))

    def _legend(self, colours: Sequence[str]) -> float:
        """Name the lines beneath the heading, each with its highest value; say where the legend ends."""
        names = []
        for line, pieces in zip(self._chart.lines, self._runs, strict=True):
            highest = max((value for run in pieces for _, value in run), default=None)
            said = "no data" if highest is None else f"highest {show(highest, self._chart.unit)}"
            names.append(f"{self._writing.fit(line.name, WIDTH / 3)}: {said}")
        placed = flow([self._writing.width(name) + 56 for name in names], WIDTH - 2 * EDGE - 70, LEGEND_ROWS)
        for (x, row), name, colour in zip(placed, names, colours, strict=False):
            y = 75 + row * ROW
            self._stroke([(EDGE + x, y), (EDGE + x + 22, y)], colour, 4)
            self._texts.append(Text(EDGE + x + 29, y, name, INK))
        last = max((row for _, row in placed), default=-1)
        if len(placed) < len(names):
            left_out = f"and {len(names) - len(placed)} more"
            self._texts.append(Text(WIDTH - EDGE, 75 + last * ROW, left_out, anchor="rm"))
        return 67 + (last + 1) * ROW

    def _marks(self, below: float) -> list[tuple[float, float]]:
        """Label the marks above the plot, which begins beneath; say where each mark's line begins."""
        within = sorted(m for m in self._chart.marks if self._times.low <= m[0] <= self._times.high)
        names = [self._writing.fit(f"{label} {written(at, '%H:%M:%S')}", WIDTH / 4) for at, label in within]
        places = [(self._x(at), self._writing.width(name)) for (at, _), name in zip(within, names, strict=True)]
        placed = flags(places, WIDTH - EDGE, FLAG_ROWS)
        rows = max((found[1] + 1 for found in placed if found), default=0)
        self._top = below + rows * ROW + 8
        begins = []
        for (x, _), name, found in zip(places, names, placed, strict=True):
            y = self._top - 4 - (found[1] + 0.5) * ROW if found else self._top
            begins.append((x, y - 7 if found else y))
            if found:
                self._texts.append(Text(found[0], y, name, INK))
        return begins

    def _axes(self) -> None:
        for value, label in self._values.ticks:
            y = self._y(value)
            self._stroke([(self._left, y), (RIGHT, y)], PALE)
            self._texts.append(Text(self._left - 8, y, label, anchor="rm"))
        for at, label in self._times.ticks:
            x = self._x(at)
            self._stroke([(x, BOTTOM), (x, BOTTOM + 5)], GREY)
            self._texts.append(Text(x, BOTTOM + 17, label, anchor="mm"))
        self._stroke([(self._left, BOTTOM), (RIGHT, BOTTOM)], GREY)

    def _threshold(self) -> None:
        if self._limit is None:
            return
        y, x = self._y(self._limit), self._left
        while x < RIGHT:
            self._stroke([(x, y), (min(x + 8, RIGHT), y)], RED, 1.6)
            x += 13
        middle = min(max(y, self._top + 8), BOTTOM - 24)
        for below, text in ((0, "threshold"), (16, show(self._limit, self._chart.unit))):
            self._texts.append(Text(RIGHT + 8, middle + below, self._writing.fit(text, WIDTH - RIGHT - 12), RED))

    def _shade(self, run: Sequence[tuple[float, float]]) -> None:
        """Colour the area between a line and the threshold beneath it."""
        limit = self._limit if self._limit is not None else math.inf
        for piece in above(run, limit):
            around = [*piece, (piece[-1][0], limit), (piece[0][0], limit)]
            self._area([(self._x(at), self._y(value)) for at, value in around], SHADE)

    def _run(self, run: Sequence[tuple[float, float]], colour: str) -> None:
        """Draw a line without a gap; a point that stands alone as a dot, one above the picture as an arrow."""
        points = [(self._x(at), self._y(value)) for at, value in run]
        if len(points) > 1:
            self._stroke(points, colour, 2.2 if len(points) < DENSE else 1.4)
        else:
            [(x, y)] = points
            self._fine.ellipse([(x - 3) * FINE, (y - 3) * FINE, (x + 3) * FINE, (y + 3) * FINE], fill=colour)
        for (x, y), (_, value) in zip(points, run, strict=True):
            if value > self._values.high:
                self._area([(x, y - 1), (x - 5, y + 9), (x + 5, y + 9)], colour)


def _colours(lines: Sequence[Line]) -> list[str]:
    others = [line.name for line in lines if not line.name.endswith(BAD)]
    return [
        BAD_COLOUR if line.name.endswith(BAD) else COLOURS[others.index(line.name) % len(COLOURS)] for line in lines
    ]
