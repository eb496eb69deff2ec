"""Pictures of sweeps: what is drawn how often, and what the axes say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from srnn.measure import style
from srnn.studies import plots
from srnn.studies.schema import Sweep, load_sweep
from srnn.studies.summary import spread

SIDE_LOBES = """
title: h and s
recipe: paper/ecg-code
seeds: [0, 1, 2]
parameters: {network.surrogate.h: [0.0, 0.15], network.surrogate.s: [1.5, 6.0, 12.0]}
"""
NEURONS = """
title: Neurons
recipe: paper/ecg-code
seeds: [0]
variants: [{alif: {network.neuron: alif}}, {relu: {network.neuron: relu}}]
"""


def made(
    folder: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[Sweep, list[dict[str, Any]], list[Figure]]:
    """A sweep, results of all its points (at h = 0 those of one training), and the figures that
    will be drawn."""
    (folder / "swept.yaml").write_text(text)
    sweep = load_sweep(str(folder / "swept.yaml"))
    points = []
    for number, (name, settings) in enumerate(sweep.grid_points().items()):
        base = 0 if settings.get("network.surrogate.h") == 0 else 0.1 * number
        values = spread([base + 0.01 * seed for seed in range(len(sweep.seeds))])
        variant = name if sweep.variants else None
        points.append(
            {
                "point": name,
                "settings": settings,
                "variant": variant,
                "spiking": name != "relu",
                sweep.optimise: values,
                "firing_rate": values,
            }
        )
    figures: list[Figure] = []
    rendered = style.rendered
    monkeypatch.setattr(
        style, "rendered", lambda figure, form: (figures.append(figure), rendered(figure, form))[1]
    )
    return sweep, points, figures


def dots(figure: Figure) -> list[tuple[float, float]]:
    """Of the first panel: every seed."""
    lines = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    return sorted((x, round(y, 6)) for line in lines for x, y in zip(*line.get_data(), strict=True))


@pytest.mark.slow
def test_without_side_lobes_their_width_is_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, points, figures = made(tmp_path, SIDE_LOBES, monkeypatch)
    pictures = plots.draw(sweep, points)
    by_name = dict(zip(pictures, figures, strict=True))
    height, width, both = (by_name[name] for name in ("h.svg", "s.svg", "h-s.svg"))
    assert len([x for x, _ in dots(height) if x == 0]) == 3  # three trainings, not nine
    assert len([x for x, _ in dots(height) if x == 1]) == 9
    assert len(dots(width)) == 9 and min(y for _, y in dots(width)) > 20  # none of h = 0
    assert width.axes[0].get_xlabel().endswith("(without h = 0)")
    texts = [text.get_text() for text in both.axes[0].texts]
    assert len(texts) == 4 and [text for text in texts if "whatever s" in text] == [
        "1.0, whatever s"
    ]
    assert pictures == plots.draw(sweep, points)  # the same bytes again


def test_axes_say_what_fires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep, points, figures = made(tmp_path, NEURONS, monkeypatch)
    plots.draw(sweep, points)
    assert figures[0].axes[1].get_xlabel() == "spikes or outputs not 0 per neuron and step"
    plots.draw(sweep, points[:1])
    assert figures[1].axes[1].get_xlabel() == "spikes per neuron and step"
    assert figures[0].get_figwidth() == style.WIDTH


def test_balanced_accuracy_is_drawn_in_percent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SIDE_LOBES + "optimise: balanced_accuracy\nset: {training.class_weights: balanced}"
    sweep, points, figures = made(tmp_path, text, monkeypatch)
    both = dict(zip(plots.draw(sweep, points), figures, strict=True))["h-s.svg"]
    assert both.axes[0].texts[0].get_text() == "1.0, whatever s"
