"""srnn.plot: the numbers of a result or a report are those that its axes show."""

from __future__ import annotations

from itertools import pairwise

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import srnn
from srnn.measure.analysis import Anytime, ClassReport, TimeConstants
from srnn.measure.style import BLACK
from srnn.nn.loss_config import LossConfig
from srnn.nn.losses import Loss

NET = srnn.SRNN(
    3, [5, 4], 2, neuron={"name": "alif", "initial": {"u": 0.05}}, backend="reference", substeps=2,
    generator=torch.Generator().manual_seed(1), norm="none"
)  # fmt: skip
RESULT = NET.run(
    3 * torch.rand(2, 20, 3, generator=torch.Generator().manual_seed(2)), record=("u", "v")
)


@pytest.fixture
def axes() -> Axes:
    return Figure().subplots()


def test_raster_shows_every_spike_in_its_place(axes: Axes) -> None:
    assert srnn.plot.raster(RESULT, axes, sequence=1, step_ms=4.0) is axes
    base = 0
    rows = [line for line in axes.lines if line.get_marker() == "|"]
    for line, layer in zip(rows, RESULT.layers[:-1], strict=True):
        at, neurons = np.nonzero(layer.output[1].detach().numpy())
        assert len(at)
        np.testing.assert_array_equal(line.get_xdata(), at * 2.0)  # two substeps a step
        np.testing.assert_array_equal(line.get_ydata(), base + neurons)
        base += layer.output.shape[-1]
    assert axes.get_xlabel() == "time, ms"
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "layer 0\n5 neurons",
        "layer 1\n4 neurons",
    ]


def test_membranes_cross_their_moving_thresholds_where_spikes_are(axes: Axes) -> None:
    u, v, s = (
        RESULT.layers[0].traces["u"], RESULT.layers[0].traces["v"], RESULT.layers[0].output
    )  # fmt: skip
    neuron = int(s[0].sum(0).argmax())
    srnn.plot.membranes(RESULT, axes, neurons=[neuron])
    potential, threshold = (np.asarray(line.get_ydata()) for line in axes.lines)
    np.testing.assert_array_equal(potential > threshold + 1e-6, (v[0, :, neuron] > 1e-6).numpy())
    span = np.ptp(torch.stack([u, u - v])[:, 0, :, neuron].detach().numpy())
    np.testing.assert_allclose(
        np.ptp(potential) * span / 0.8, np.ptp(u[0, :, neuron].detach().numpy()), rtol=1e-5
    )
    spikes = [path.vertices[0, 0] for path in axes.collections[0].get_paths()]  # type: ignore[index]
    np.testing.assert_array_equal(spikes, np.flatnonzero(s[0, :, neuron].detach().numpy()) / 2)


def test_time_constants_before_and_after(axes: Axes) -> None:
    values = np.array([2.0, 5.0, 5.0, np.inf, -1.0])
    given = {"layers.0.tau_mem": 3, "layers.1.tau_adp": 50, "readout.tau_mem": 1e6}
    before = {"layers.0.tau_mem": values}
    of = [
        TimeConstants(name, True, by * values, before.get(name), None) for name, by in given.items()
    ]
    srnn.plot.time_constants(of, axes)
    counts = {patch.get_label(): patch.get_data().values.sum() for patch in axes.patches}  # type: ignore[attr-defined]
    assert counts == {"τ$_m$ after": 3, "τ$_m$ before": 3, "τ$_{adp}$ after": -3}
    srnn.plot.time_constants(NET, Figure().subplots())


def test_anytime_and_confusion(axes: Axes) -> None:
    curve = Anytime(Loss(LossConfig("ce_mean"), per_step=False), 3)
    curve.right[:], curve.counted[:] = (1, 3, 4), 4
    srnn.plot.anytime({"ours": curve, "theirs": [None, 0.5]}, axes, relative=True)
    ours, theirs = axes.lines
    np.testing.assert_array_equal(ours.get_xydata(), [[0, 25], [50, 75], [100, 100]])  # type: ignore[arg-type]
    np.testing.assert_array_equal(theirs.get_ydata(), [np.nan, 50])
    axes = Figure().subplots()
    srnn.plot.confusion(
        ClassReport(("$a$", "b", "c"), np.array([[3, 1, 0], [0, 0, 0], [0, 0, 5]]), False), axes
    )
    assert {(*text.get_position(), text.get_text()) for text in axes.texts} == {
        (0, 0, "3"),
        (1, 0, "1"),
        (2, 2, "5"),
    }
    np.testing.assert_array_equal(
        axes.images[0].get_array(), [[0.75, 0.25, 0], [0, 0, 0], [0, 0, 1]]
    )
    axes.figure.savefig("/dev/null", format="svg")  # a class's name is text, not mathematics


@pytest.mark.parametrize(
    "name", ["a class that somebody has named by a whole sentence {}", "class {}"]
)
@pytest.mark.parametrize("count", [8, pytest.param(40, marks=pytest.mark.slow)])
def test_names_in_a_confusion_stay_in_the_picture_and_apart(name: str, count: int) -> None:
    from matplotlib import pyplot

    names = tuple(name.format(i) for i in range(count))
    counts = 9 * np.eye(count, dtype=int)
    counts[0, :2] = 6, 4
    axes = srnn.plot.confusion(ClassReport(names, counts, False))
    figure = axes.figure
    figure.canvas.draw()
    labels = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert len(labels) == count and all(box.x0 >= 0 for box in labels)
    assert all(upper.y0 >= lower.y1 for upper, lower in pairwise(labels))
    assert all(label.get_window_extent().y0 >= 0 for label in axes.get_xticklabels())
    colours = {text.get_text(): text.get_color() for text in axes.texts}
    # By how bright the field is.
    assert colours == ({"4": "white", "6": BLACK, "9": BLACK} if count == 8 else {})
    assert len(figure.axes) == (1 if count == 8 else 2)  # without counts, a scale
    pyplot.close(figure)  # type: ignore[arg-type]


def test_new_axes_are_pyplots_and_settings_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import pyplot

    monkeypatch.setitem(matplotlib.rcParams, "font.size", 33.0)
    axes = srnn.plot.raster(RESULT)
    assert pyplot.fignum_exists(axes.figure.number) and matplotlib.rcParams["font.size"] == 33  # type: ignore[union-attr]
    pyplot.close(axes.figure)  # type: ignore[arg-type]
