"""The moving picture of README and site: a shipped ECG, spikes of the network that reads it, and
its labels, as they come.

    python release/heart.py docs/images/heart.svg

Trace, spikes and labels are what the pretrained network ``ecg-records`` gives for its example.
Covers slide off them at the speed of the signal; the labels' follows as late as the network labels.
It ends after three rounds, and stands still for those who prefer that.
"""

from __future__ import annotations

import sys
from pathlib import Path
from string import Template

import numpy as np
import torch

import srnn
from srnn.measure import style

FIRST, END = 500, 1300
"""The samples that are drawn: 3.2 seconds, after the network's running scale has settled."""
LEFT, WIDTH = 16, 720
"""Where the plot begins, and the picture's width, in pixels."""

BRIGHT = (style.SKY, style.PINK, style.YELLOW)
"""Colours on which black is read better than white."""

PICTURE = Template("""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $width 322" role="img" aria-labelledby="title">
<title id="title">Two leads of an ECG, the spikes of 36 neurons, and the wave that the network finds at each moment</title>
<style>
svg { --paper: #fff; --ink: #1c2024; --faint: #6b7280; font: 13px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --paper: #14171f; --ink: #e6e8ee; --faint: #9aa3b2; } }
.paper, .cover rect { fill: var(--paper); }
.lead { fill: none; stroke: var(--ink); stroke-width: 1.6; stroke-linejoin: round; }
.spikes { fill: none; stroke: var(--ink); stroke-width: 1.5; }
text { fill: var(--ink); }
.faint { fill: var(--faint); }
.wave text { fill: #fff; font-size: 11px; font-weight: 600; text-anchor: middle; }
.wave .black { fill: #1c2024; }
.cursor { stroke: var(--faint); stroke-width: 1; }
.cover { animation: ${seconds}s linear 3 both slide; }
.late { animation-delay: ${late}s; }
@keyframes slide { to { transform: translateX(${width}px); } }
@media (prefers-reduced-motion) { .cover { display: none; } }
@media (max-width: 500px) { text { font-size: 19px; } .wave text, .wide { display: none; } }
</style>
<rect class="paper" width="$width" height="322" rx="8"/>
$legend
$leads
<path class="spikes" d="$spikes"/>
$waves
<g class="cover"><rect x="$left" y="34" width="$width" height="240"/>\
<path class="cursor" d="M$left 34V272"/></g>
<g class="cover late"><rect x="$left" y="273" width="$width" height="25"/></g>
<text class="faint wide" x="$left" y="315">two leads, 36 spiking neurons, and what they say: \
a label for each sample, $milliseconds ms after it</text>
</svg>
""")


def main(out: str) -> None:
    model = srnn.load("ecg-records")
    signal = np.load(srnn.example("ecg-records"))
    steps = torch.from_numpy(model.task.encode("example", signal, "signal"))[None]
    with torch.no_grad():
        fired = model.network.run(steps).layers[0].output[0].numpy() > 0
    late = model.task.lag("signal") * model.task.step_ms / 1000
    colours = dict(zip(model.classes, style.CYCLE, strict=False))
    picture = PICTURE.substitute(
        width=WIDTH,
        left=LEFT,
        seconds=(END - FIRST) * model.task.step_ms / 1000,
        late=late,
        milliseconds=f"{1000 * late:.0f}",
        legend=legend(colours),
        leads="\n".join(lead(signal[:, number], top) for number, top in enumerate((40, 112))),
        spikes=spikes(fired, 188),
        waves=waves(model.predict(signal).segments(), colours, 274),
    )
    Path(out).write_text(picture, encoding="utf-8")


def across(sample: float) -> float:
    return round(LEFT + (sample - FIRST) * (WIDTH - 2 * LEFT) / (END - FIRST), 1)


def legend(colours: dict[str, str]) -> str:
    parts = [
        f'<text class="faint wide" x="{WIDTH - LEFT}" y="21" text-anchor="end">in real time</text>'
    ]
    for number, (wave, colour) in enumerate(colours.items()):
        x = LEFT + 66 * number
        parts.append(f'<rect x="{x}" y="10" width="12" height="12" rx="3" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="21">{wave}</text>')
    return "\n".join(parts)


def lead(signal: np.ndarray, top: int) -> str:
    seen = signal[FIRST:END]
    level = top + 64 * (seen.max() - seen) / np.ptp(seen)
    points = " ".join(f"{across(FIRST + at)},{y:.1f}" for at, y in enumerate(level))
    return f'<polyline class="lead" points="{points}"/>'


def spikes(fired: np.ndarray, top: int) -> str:
    """A row for each neuron, with a dash for each stretch of steps at which it spikes."""
    rows = []
    for neuron, row in enumerate(fired[FIRST:END].T):
        edges = np.flatnonzero(np.diff(row, prepend=False, append=False))
        y = round(top + 2.3 * neuron, 1)
        rows += [
            f"M{across(FIRST + first)} {y}H{across(FIRST + end)}"
            for first, end in edges.reshape(-1, 2)
        ]
    return "".join(rows)


def waves(segments: list[tuple[int, int, str, float]], colours: dict[str, str], top: int) -> str:
    parts = []
    for first, end, wave, _ in segments:
        first, end = max(first, FIRST), min(end, END)
        if first >= end:
            continue
        x, width = across(first), round(across(end) - across(first), 1)
        parts.append(
            f'<rect x="{x}" y="{top}" width="{width}" height="22" fill="{colours[wave]}"/>'
        )
        if width > 9 * len(wave):
            middle = round(x + width / 2, 1)
            ink = ' class="black"' if colours[wave] in BRIGHT else ""
            parts.append(f'<text x="{middle}" y="{top + 15}"{ink}>{wave}</text>')
    return f'<g class="wave">{"".join(parts)}</g>'


if __name__ == "__main__":
    main(*sys.argv[1:])
