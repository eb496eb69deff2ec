"""python -m paper reproduce, the figures as pictures: panels wide enough to be read, and no words
over others."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.legend import Legend

from paper.evidence import RESULTS, Evidence, gather
from paper.make import MAKERS
from paper.sheet import Sheet
from srnn.measure import style
from support.reproducing import evaluation, time_constants, write_summary, write_sweep

pytestmark = pytest.mark.usefixtures("no_data")
NARROWEST = 0.15
"""Of the figure's width; it was 0.11 where legends took their room from the panels."""


def write_much(results: Path) -> None:
    """As many results as the project has, with names as long."""
    for name in (
        "digits",
        "spoken-digits-spikes",
        "speech-commands-mini",
        "phones",
        "smnist",
        "ecg",
        "ecg-large",
        "ecg-lif",
    ):
        folder = write_summary(results / name, "paper/ecg-lif" if name == "ecg-lif" else name)
        (folder / "evaluation-validation.json").write_text(
            evaluation(time_constants=time_constants())
        )
    for i in range(8):
        write_summary(results / f"speech-commands-mini-{i}", "speech-commands-mini")
    ablations = {
        "surrogates": ("multi-gaussian", "gaussian", "linear", "slayer"),
        "time-constants": ("none", "tau_mem", "tau_adp", "both"),
        "neurons": ("lif-trained", "lif-fixed", "alif", "adlif", "relu"),
        "layers": ("one-256", "two-192-64", "two-128-128", "two-24-12"),
        "initialisation": ("constant", "uniform", "normal-0.5", "wide"),
    }
    grid = {
        f"h={h},s={s}": {"network.surrogate.h": h, "network.surrogate.s": s}
        for h in (0, 0.15, 0.3)
        for s in (3, 6, 12)
    }
    relu = {"network.neuron": {"name": "relu"}}
    for task in ("ecg", "spoken-digits"):
        recipe: dict[str, Any] = {"recipe": {"task": {"name": task}}}
        write_sweep(results / f"{task}-h-s", grid, **recipe)
        for ending, names in ablations.items():
            write_sweep(
                results / f"{task}-{ending}",
                {name: relu if name == "relu" else {} for name in names},
                **recipe,
            )
    write_sweep(
        results / "ecg-size",
        {f"hidden=[{n}]": {"network.hidden": [n]} for n in (9, 18, 36, 72, 144)},
    )


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evidence]:
    """Nothing, much, and what the project has: read once, for reading recipes takes longer than
    drawing."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("nothing", "much")}
    write_much(folders["much"])
    return {name: gather(folder) for name, folder in {**folders, "ours": RESULTS}.items()}


def drawn(name: str, evidence: Evidence) -> tuple[Sheet, Any]:
    """The figure as it is saved, and what measures it."""
    with style.context():
        sheet = MAKERS[name](evidence)
        assert isinstance(sheet, Sheet)
        sheet.finish()
        canvas = FigureCanvasAgg(sheet.figure)
        canvas.draw()
    return sheet, canvas.get_renderer()


def words(sheet: Sheet) -> list[Any]:
    """Every text that is to be read: letters, titles, names and numbers of axes, legends, notes."""
    found = []
    for axes in sheet.axes.values():
        found += [axes.get_title(loc="left") and axes._left_title, *axes.texts]  # type: ignore[attr-defined]
        legends = [one for one in (axes.get_legend(), *axes.artists) if isinstance(one, Legend)]
        found += [text for legend in legends for text in (*legend.get_texts(), legend.get_title())]
        if axes.axison:
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                found += [
                    axis.label,
                    *(
                        tick.label1
                        for tick in axis.get_major_ticks()
                        if low <= tick.get_loc() <= high
                    ),
                ]
    return [text for text in found if text and text.get_visible() and text.get_text().strip()]


def overlaps(sheet: Sheet, renderer: Any) -> list[str]:
    """Texts that lie over each other, and those that the figure's edge cuts off."""
    width, height = sheet.figure.bbox.width, sheet.figure.bbox.height
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in words(sheet)]
    found = [
        text for text, box in boxes
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1
    ]  # fmt: skip
    for (one, a), (other, b) in combinations(boxes, 2):
        room = 1.0  # pixels; boxes are a little larger than their letters
        apart = a.x1 - room < b.x0 or b.x1 - room < a.x0 or a.y1 - room < b.y0 or b.y1 - room < a.y0
        if not apart:
            found.append(f"{one} / {other}")
    return found


@pytest.mark.parametrize(
    ("which", "name"),
    [
        ("nothing", "fig1"),
        ("much", "fig2"),
        *(
            pytest.param("nothing", name, marks=pytest.mark.slow)
            for name in ("figS2", "fig3", "fig4")
        ),
        pytest.param("ours", "fig3", marks=pytest.mark.slow),
        *(pytest.param("much", name, marks=pytest.mark.slow) for name in ("fig3", "fig4", "figS1")),
        *(pytest.param("ours", name, marks=pytest.mark.slow) for name in ("fig2", "fig4", "figS1")),
    ],
)
def test_figures_can_be_read(name: str, which: str, evidence: dict[str, Evidence]) -> None:
    """Panels have width, and no text lies over another or is cut off at the figure's edge."""
    sheet, renderer = drawn(name, evidence[which])
    for letter, axes in sheet.axes.items():
        assert axes.get_window_extent(renderer).width > NARROWEST * sheet.figure.bbox.width, letter
    assert overlaps(sheet, renderer) == []


def test_the_measure_finds_a_title_that_is_too_long(evidence: dict[str, Evidence]) -> None:
    sheet, renderer = drawn("fig1", evidence["nothing"])
    assert len(words(sheet)) > 20 and overlaps(sheet, renderer) == []
    with style.context():
        style.title(sheet.axes["a"], "a long title " * 8)
    assert any(found.endswith("/ c") for found in overlaps(sheet, renderer))
