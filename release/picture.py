"""The picture of the README: a network that reads a digit, drawn by srnn.plot.

srnn train digits --out runs/digits && python release/picture.py runs/digits docs/images/digits.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import srnn
from srnn.measure import style
from srnn.measure.analysis import analyse


def main(run: str, out: str) -> None:
    model = srnn.load(run)
    x = torch.from_numpy(model.task.load("validation").x[:1])
    with torch.no_grad():
        result = model.network.run(x, record=("u", "v"))
    busy = result.layers[1].output[0].sum(0).argsort(descending=True)
    analysis = analyse(model, "validation")
    with style.context():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 2.9), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=[1.5, 1.1, 1])
        srnn.plot.raster(result, left)
        srnn.plot.membranes(result, middle, layer=1, neurons=busy[[30, 15, 3]].tolist())
        srnn.plot.anytime(analysis, right)
        style.title(left, "every neuron's spikes while a digit is read")
        style.title(middle, "membranes, thresholds, spikes")
        style.title(right, "accuracy over time, validation")
        Path(out).write_bytes(style.rendered(figure, "png"))


if __name__ == "__main__":
    main(*sys.argv[1:])
