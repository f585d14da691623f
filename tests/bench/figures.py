"""The figures that the benchmarks measure, and the Markdown table that README shows of them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `met` says whether what was measured keeps the goal."""

    name: str
    goal: str
    measured: str
    how: str
    met: bool

    @property
    def row(self) -> str:
        """The line in Markdown; a figure over its goal is bold."""
        measured = self.measured if self.met else f"**{self.measured}**"
        return f"| {self.name} | {self.goal} | {measured} | {self.how} |"


@dataclass
class Table:
    """Collects figures; a benchmark notes all of its own before it fails, so that the table is complete."""

    figures: list[Figure] = field(default_factory=list)

    def note(self, *figures: Figure) -> None:
        """Take figures in, and fail naming those that are over their goals."""
        self.figures.extend(figures)
        over = [f"{f.name}: {f.measured}, goal {f.goal}" for f in figures if not f.met]
        assert not over, "over its goal: " + "; ".join(over)

    @property
    def markdown(self) -> str:
        """The whole table."""
        head = ["| figure | goal | measured | how |", "| --- | --- | --- | --- |"]
        return "\n".join(head + [figure.row for figure in self.figures])
