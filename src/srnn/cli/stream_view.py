"""The live view of ``srnn stream`` in a terminal: what the network believes now, and what it decided last."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..deploy.streaming.running import Decision

WIDTH = 40
"""Characters of a bar of probability 1."""
MOST = 16
"""Classes that are shown, the likeliest ones."""


class LiveView:
    """``with LiveView(title, classes) as view: view.show(decisions)``; redraws itself ten times a second."""

    def __init__(self, title: str, classes: tuple[str, ...]) -> None:
        from rich.live import Live

        from ..terminal import open_console

        self._title, self._classes = title, classes
        self._now: Decision | None = None
        self._changes: deque[Decision] = deque(maxlen=8)
        self._live = Live(console=open_console(), refresh_per_second=10, get_renderable=self.picture, transient=True)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, decisions: list[Decision], chosen: list[Decision]) -> None:
        """All new decisions, and those among them that are worth a line."""
        if decisions:
            self._now = decisions[-1]
        self._changes.extend(chosen)

    def picture(self) -> RenderableType:
        """What is drawn now."""
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1))
        if self._now is None:
            table.add_row(Text("waiting for the first step ..."))
        else:
            believed = self._now.probabilities
            # All classes in their order where there are few; else the likeliest.
            order = range(len(believed)) if len(believed) <= MOST else believed.argsort()[::-1][:MOST]
            for number in order:
                style = "bold green" if number == self._now.number else ""
                bar = "█" * round(float(believed[number]) * WIDTH)
                table.add_row(
                    Text(self._classes[number], style),
                    Text(f"{believed[number]:4.0%}", style),
                    Text(bar.ljust(WIDTH), style),
                )
            table.add_row()
            for decision in self._changes:
                table.add_row(Text(when(decision)), Text(f"{decision.probability:4.0%}"), Text(decision.label))
        return Panel(table, title=Text(self._title), title_align="left", subtitle="Ctrl-C ends", expand=False)


def when(decision: Decision) -> str:
    """The time of a decision, for people."""
    return f"step {decision.step}" if decision.seconds is None else f"{decision.seconds:.3f} s"
