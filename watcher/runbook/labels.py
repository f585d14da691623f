"""The texts of a picture: how wide they are, and where they go without overlapping. `chart` draws with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

INK, GREY = "#1F2328", "#656D76"
SMALL = 13  # font size

# The font that Pillow brings knows ASCII and a few more; anything else would be an empty box.
_MORE = "…·"


class Text(NamedTuple):
    """A text at a place; `anchor` as Pillow's: l, m or r, then m for the middle of its height."""

    x: float
    y: float
    text: str
    colour: str = GREY
    anchor: str = "lm"
    size: int = SMALL


class Writing:
    """Measures texts, and writes them in the font that Pillow brings."""

    def __init__(self) -> None:
        self._fonts: dict[int, FreeTypeFont | ImageFont] = {}

    def width(self, text: str, size: int = SMALL) -> float:
        """Say how many pixels wide a text is."""
        return self._font(size).getlength(_plain(text))

    def fit(self, text: str, room: float, size: int = SMALL) -> str:
        """Cut a text so that it is at most `room` pixels wide."""
        line = _plain(text)
        if self.width(line, size) <= room:
            return line
        low, high = 0, len(line)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.width(line[:middle] + "…", size) <= room else (low, middle - 1)
        return line[:low].rstrip() + "…"

    def write(self, target: ImageDraw, one: Text) -> None:
        """Write a text; at whole pixels, where the font is sharpest."""
        place = round(one.x), round(one.y)
        target.text(place, _plain(one.text), fill=one.colour, font=self._font(one.size), anchor=one.anchor)

    def _font(self, size: int) -> FreeTypeFont | ImageFont:
        from PIL import ImageFont  # noqa: PLC0415 - costly, when first needed

        return self._fonts.get(size) or self._fonts.setdefault(size, ImageFont.load_default(size))


def _plain(text: str) -> str:
    """Put a text on one line, with a question mark for what the font doesn't know."""
    return " ".join("".join(c if " " <= c <= "~" or c in _MORE else "?" for c in " ".join(text.split())).split())


def flow(widths: Sequence[float], room: float, rows: int) -> list[tuple[float, int]]:
    """Put texts side by side in rows: where each begins, and in which row; fewer than given if `rows` are full."""
    placed: list[tuple[float, int]] = []
    x, row = 0.0, 0
    for width in widths:
        if x > 0 and x + width > room:
            x, row = 0.0, row + 1
        if row == rows:
            break
        placed.append((x, row))
        x += width
    return placed


def flags(places: Sequence[tuple[float, float]], right: float, rows: int) -> list[tuple[float, int] | None]:
    """Give each mark's label its place: where it begins, and in which row, 0 being the lowest; None if `rows` are full.

    `places`: where each mark is, in their order, and how wide its label. A label flies to the right of its mark, or to
    the left where that is beyond `right`. None overlaps another or, if that can be helped, another mark's line.
    """
    placed: list[tuple[float, int] | None] = [None] * len(places)
    at_border = [i for i, (x, width) in enumerate(places) if x + 5 + width > right]
    others = [i for i in range(len(places)) if i not in at_border]
    # Whoever is nearer to where the labels fly goes lower: its line ends beneath the labels that pass over it.
    for index in [*at_border, *reversed(others)]:
        x, width = places[index]
        begin = x - 5 - width if index in at_border else x + 5
        taken = [(places[i], found) for i, found in enumerate(placed) if found is not None]
        free = [r for r in range(rows) if not any(_touch(begin, width, one, r) for one in taken)]
        uncrossed = [r for r in free if not any(_cross((x, begin, width), one, r) for one in taken)]
        if free:
            placed[index] = begin, (uncrossed or free)[0]
    return placed


_Flag = tuple[tuple[float, float], tuple[float, int]]


def _touch(begin: float, width: float, other: _Flag, row: int) -> bool:
    (_, others_width), (others_begin, others_row) = other
    return row == others_row and begin < others_begin + others_width + 6 and others_begin < begin + width + 6


def _cross(mine: tuple[float, float, float], other: _Flag, row: int) -> bool:
    """Whether one of two marks' lines, which reach up to their labels' rows, runs through the other's label."""
    x, begin, width = mine
    (others_x, others_width), (others_begin, others_row) = other
    through_mine = others_row >= row and begin - 3 < others_x < begin + width + 3
    through_other = row >= others_row and others_begin - 3 < x < others_begin + others_width + 3
    return through_mine or through_other
