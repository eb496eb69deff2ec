"""The live view of ``srnn stream`` in a terminal: what the network predicts now, below the
decisions, which stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..terminal import open_console
from ..text import filled, places

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..deploy.streaming.running import Decision

WIDTH = 40
"""The most characters of a bar, for probability 1."""
MOST = 16
"""The most classes that are shown: the likeliest ones."""


class LiveView:
    """``with LiveView(title, classes) as view: view.show(decisions, chosen)``; redraws itself ten
    times a second.

    The chosen decisions are printed above it, one line each, and stay when it ends; the view itself
    is then removed.
    """

    def __init__(self, title: str, classes: tuple[str, ...]) -> None:
        from rich.live import Live

        self._title, self._classes = title, classes
        self._now: Decision | None = None
        self._console = open_console()
        self._live = Live(
            console=self._console,
            refresh_per_second=10,
            get_renderable=self.picture,
            transient=True,
        )

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, decisions: list[Decision], chosen: list[Decision]) -> None:
        """Draw new decisions.

        Args:
            decisions: all of them; the last one is shown.
            chosen: those that get a line above.
        """
        if decisions:
            self._now = decisions[-1]
        if chosen:
            self._console.print("\n".join(map(decision_line, chosen)), soft_wrap=True)

    def picture(self) -> RenderableType:
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 1))
        if self._now is None:
            table.add_row(Text("waiting for the first step ..."))
        else:
            predicted = self._now.probabilities
            # Four lines are for the frame, and for a decision above.
            most = max(1, min(MOST, self._console.height - 4))
            # All classes in their order if there are few; otherwise the likeliest.
            order = [*range(len(predicted))]
            if len(predicted) > most:
                order = [*predicted.argsort()[::-1][:most]]
            # Besides the names: the frame, two gaps, and the number.
            longest = max(places(self._classes[number]) for number in order)
            room = self._console.width - 10 - min(20, longest)
            table.add_column(max_width=20, no_wrap=True, overflow="ellipsis")
            for number in order:
                style = ""
                if number == self._now.number:
                    style = "bold green"
                bar = "█" * round(float(predicted[number]) * min(WIDTH, room))
                row = [Text(self._classes[number], style), Text(f"{predicted[number]:4.0%}", style)]
                table.add_row(*row, *[Text(bar.ljust(min(WIDTH, room)), style)] * (room >= 5))
        title = self._title
        if self._now is not None and self._now.number < 0:
            title += f": {self._now.label}"  # in place of the classes' probabilities
            table = Table.grid()
        return Panel(
            table, title=Text(title), title_align="left", subtitle="Ctrl-C stops", expand=False
        )


def decision_line(decision: Decision) -> str:
    if decision.seconds is None:
        seconds = f"step {decision.step}"
    else:
        seconds = f"{decision.seconds:.3f} s"
    if decision.delay is None:
        known = ""
    else:
        known = f"  {1000 * decision.delay:5.0f} ms later"
    if decision.values is not None:
        return f"{seconds:>12}  {decision.label}{known}{'  (final)' * decision.final}"
    if decision.number < 0:
        probability = ""
    else:
        probability = f"{decision.probability:.1%}"
    return (
        f"{seconds:>12}  {filled(decision.label, 12)} "
        f"{probability:>6}{known}{'  (final)' * decision.final}"
    )
