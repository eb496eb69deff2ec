"""A figure under construction: its panels, and the state of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from srnn.measure import style
from srnn.text import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

State = Literal["made", "missing", "drawing"]
"""made: made here; missing: a run or data are missing; drawing: in the paper a drawing without
numbers, not made again."""


class MissingError(Exception):
    """A panel cannot be made: what is missing, and the command that would make it."""

    def __init__(self, why: str, command: str | None = None) -> None:
        super().__init__(why)
        self.why, self.command = why, command


@dataclass(frozen=True)
class Made:
    """What a panel shows."""

    source: str
    """Where its numbers are from."""
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """What is drawn, for programs; NaN becomes None in the panel."""
    title: str | None = None
    """The panel's title, if it depends on what is shown."""


@dataclass(frozen=True)
class Panel:
    """What became of a panel."""

    letter: str
    title: str
    state: State
    text: str
    """Where its numbers are from, or what is missing."""
    command: str | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)


class Sheet:
    """A figure with lettered panels.

    Args:
        layout: as in matplotlib's ``subplot_mosaic``; a space leaves a place empty.
        height: in inches.
        by_row: lay out each row by itself; a letter is repeated for a wider panel: "aab". Otherwise
            the room that names need in one row is lost in the others, too.
        heights: ratios of the rows.
    """

    def __init__(
        self,
        name: str,
        title: str,
        layout: Sequence[str],
        height: float,
        by_row: bool = False,
        heights: Sequence[float] | None = None,
    ) -> None:
        from matplotlib.figure import Figure

        self.name, self.title = name, title
        self.figure: Figure = Figure(figsize=(style.WIDTH, height), layout="constrained")
        self.figure.get_layout_engine().set(w_pad=0.06, h_pad=0.07, hspace=0.04, wspace=0.03)  # type: ignore[union-attr]
        self.axes: dict[str, Axes] = {}
        if by_row:
            rows = self.figure.subfigures(len(layout), 1, height_ratios=heights, squeeze=False)[
                :, 0
            ]
            for row, letters in zip(rows, layout, strict=True):
                each = dict.fromkeys(letters)
                grid = row.subplots(
                    1, len(each), width_ratios=[letters.count(one) for one in each], squeeze=False
                )
                self.axes |= dict(zip(each, grid[0], strict=True))
        else:
            self.axes |= self.figure.subplot_mosaic(
                [list(row) for row in layout], empty_sentinel=" ", height_ratios=heights
            )
        self.panels: list[Panel] = []
        self._notes: list[tuple[Axes, MissingError]] = []

    def panel(self, letter: str, title: str, draw: Callable[[Axes], Made]) -> None:
        """Draw a panel, or the note that says why it cannot be drawn."""
        axes = self.axes[letter]
        style.label(axes, letter, title)
        try:
            made = draw(axes)
        except MissingError as missing:
            style.frame(axes)
            self._notes.append((axes, missing))
            self.panels.append(Panel(letter, title, "missing", missing.why, missing.command))
        else:
            told = made.title or title
            style.title(axes, told)
            self.panels.append(
                Panel(letter, told, "made", made.source, numbers=plain(dict(made.numbers)))
            )

    def drawing(self, letter: str, title: str) -> None:
        """Name a panel of the paper that is a drawing."""
        self.panels.append(
            Panel(
                letter, title, "drawing", "in the paper a drawing without numbers; not made again"
            )
        )

    def finish(self) -> Sheet:
        """Write the notes of what is missing, broken into lines now that the widths of their panels
        are known."""
        if self._notes:
            self.figure.draw_without_rendering()
        for axes, missing in self._notes:
            style.note(axes, missing.why, missing.command)
        self._notes.clear()
        return self

    def to_dict(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "panels": [
                {
                    "panel": p.letter,
                    "title": p.title,
                    "state": p.state,
                    "text": p.text,
                    "command": p.command,
                    "numbers": dict(p.numbers),
                }
                for p in self.panels
            ],
        }
