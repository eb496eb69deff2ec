"""The picture of results/README.md: accuracy on the paper's ECG test file, as read by people who
tuned nothing, by number of parameters. ``python -m release.results_table`` writes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from statistics import fmean

from .results_table import LABELS_COME, RESULTS, ROOT, bare, baselines, read, trainings

PATH = ROOT / "docs" / "images" / "results.svg"
MEASURE = "accuracy_labelled"
COLOURS = {"76 ms": "#0072B2", "276 ms": "#D55E00", "376 ms": "#D55E00", "at the": "#009E73"}
"""By the first words of when a network decides."""
LEGEND = (
    ("76 ms", "76 ms after the sample"),
    ("276 ms", "276 or 376 ms after it"),
    ("at the", "at the recording's end"),
)
WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 58, 20, 50, 48
PARAMETERS = (900, 30_000)
ACCURACIES = (85.5, 90.0)
NAMES = {
    "ecg": ("36 SE-adLIF", "below"),
    "ecg/gru": ("GRU", "left"),
    "ecg/lstm": ("LSTM", "right"),
    "ecg-large": ("128 SE-adLIF", "below"),
    "ecg-alif-lookahead": ("36 ALIF, delays", "right"),
    "ecg-lookahead-large": ("64 SE-adLIF, delays", "above"),
    "ecg-bidirectional": ("18 SE-adLIF in each direction", "right"),
    "ecg-bidirectional/lstm": ("LSTM, 18 in each direction", "right"),
    "ecg-bidirectional-large": ("36 SE-adLIF in each direction", "above"),
}
"""What is written at a point, and on which side of it."""
SIDES = {
    "above": (0, -11, "middle"),
    "below": (0, 21, "middle"),
    "left": (-11, 4, "end"),
    "right": (11, 4, "start"),
}
STYLE = """\
svg { --paper: #fff; --ink: #1c2024; --faint: #6b7280; --line: #d9dce1; font: 13px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --paper: #14171f; --ink: #e6e8ee; --faint: #9aa3b2; --line: #333a48; } }
.paper { fill: var(--paper); }
text { fill: var(--ink); }
.faint { fill: var(--faint); }
.grid { stroke: var(--line); }
"""


@dataclass(frozen=True)
class Point:
    name: str
    come: str
    parameters: int
    accuracies: tuple[float, ...]
    """In percent: of each new training, or of the pretrained network alone."""


def points() -> list[Point]:
    """Every network of the table of the paper's file that others have read."""
    found = []
    for name, come in LABELS_COME.items():
        tests = [one for one in read(RESULTS / name / "test.json") if "read_by" in one]
        summary = read(RESULTS / name / "summary.json")
        for folder, told in [(name, summary), *baselines(name)]:
            of = trainings(tests, bare(told["command"]))
            if not of and folder == name:
                of = [one for one in tests if "model" in one]
            if of:
                values = tuple(100 * one[MEASURE] for one in of)
                found.append(Point(folder, come, told["parameters"], values))
    return found


def across(parameters: float) -> float:
    least, most = map(math.log, PARAMETERS)
    share = (math.log(parameters) - least) / (most - least)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def up(accuracy: float) -> float:
    least, most = ACCURACIES
    return HEIGHT - BOTTOM - (accuracy - least) / (most - least) * (HEIGHT - TOP - BOTTOM)


def text(x: float, y: float, words: str, anchor: str = "start", faint: bool = False) -> str:
    kind = ' class="faint"' if faint else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(words)}</text>'


def mark(point: Point) -> list[str]:
    """A disc for a spiking network, a square for another; a line from the lowest seed to the
    highest."""
    colour = next(colour for come, colour in COLOURS.items() if point.come.startswith(come))
    x, y = across(point.parameters), up(fmean(point.accuracies))
    low, high = up(min(point.accuracies)), up(max(point.accuracies))
    line = f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{colour}" stroke-width="2"/>'
    shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{colour}"/>'
    if "/" in point.name:
        shape = (
            f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10" class="paper" '
            f'stroke="{colour}" stroke-width="2.5"/>'
        )
    words, side = NAMES[point.name]
    right, down, anchor = SIDES[side]
    if side == "above":
        y = min(y, high + 6)
    if side == "below":
        y = max(y, low - 6)
    return [line, shape, text(x + right, y + down, words, anchor)]


def axes() -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    lines = []
    for accuracy in range(math.ceil(ACCURACIES[0]), math.floor(ACCURACIES[1]) + 1):
        y = up(accuracy)
        lines.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>')
        lines.append(text(LEFT - 8, y + 4, f"{accuracy} %", "end", faint=True))
    for parameters in (1000, 2000, 5000, 10_000, 20_000):
        lines.append(text(across(parameters), bottom + 18, f"{parameters:,}", "middle", faint=True))
    lines.append(text(right, bottom + 38, "parameters", "end", faint=True))
    lines.append(
        text(LEFT, bottom + 38, "labelled steps of the test file, read by others", faint=True)
    )
    return lines


def legend() -> list[str]:
    lines, x = [], float(LEFT)
    for come, words in LEGEND:
        lines.append(f'<circle cx="{x + 6:.1f}" cy="22" r="6" fill="{COLOURS[come]}"/>')
        lines.append(text(x + 18, 26, words))
        x += 175
    lines.append(
        f'<rect x="{x:.1f}" y="17" width="10" height="10" class="paper" stroke="#6b7280"/>'
    )
    lines.append(text(x + 18, 26, "not spiking"))
    return lines


def picture() -> str:
    title = "Accuracy of labelled steps on the paper's ECG test file, by number of parameters"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-labelledby="title">',
        f'<title id="title">{escape(title)}</title>',
        f"<style>\n{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="8"/>',
        *legend(),
        *axes(),
        *(line for point in points() for line in mark(point)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
