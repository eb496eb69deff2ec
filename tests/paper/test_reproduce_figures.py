"""python -m paper reproduce, the figures: each panel made, or said to be missing and why; nothing
invented."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from paper.costs import layer_energy
from paper.figure1 import response
from paper.make import MAKERS, reproduce
from paper.sheet import Sheet
from srnn.errors import SrnnError
from support.reproducing import evaluation, figure, write_summary, write_sweep
from support.runs import ECG, few_sequences, make_run

pytestmark = pytest.mark.usefixtures("no_data")


class TestFigures:
    def test_nothing_there(self, results: Path, tmp_path: Path) -> None:
        """Every panel is drawn, or said to be missing, in each figure."""
        made = reproduce(
            [name for name in MAKERS if name.startswith("fig")],
            tmp_path / "out",
            results,
            formats=["svg"],
        )
        for name, sheet in made.items():
            assert isinstance(sheet, Sheet)
            for panel in sheet.panels:
                assert panel.state in ("made", "missing", "drawing") and panel.text
                pure = name in ("fig1", "fig2", "figS2")
                assert panel.state != ("missing" if pure else "made"), (name, panel)
            letters = "".join(panel.letter for panel in sheet.panels)
            assert letters == {"fig1": "abcde", "fig2": "abcd", "fig3": "abcdefghij", "fig4": "abcdefghij", "figS1": "abc",
                               "figS2": "abc"}[name]  # fmt: skip

    @pytest.mark.slow
    def test_sweeps(self, results: Path, tmp_path: Path) -> None:
        grid = {
            f"h={h},s={s}": {"network.surrogate.h": h, "network.surrogate.s": s}
            for h in (0, 0.15)
            for s in (3.0, 6.0)
        }
        write_sweep(results / "ecg-h-s", grid)
        for name in ("surrogates", "time-constants", "neurons", "layers", "initialisation"):
            write_sweep(results / f"ecg-{name}", {"one": {}, "two": {}})
        made = reproduce(["fig3", "fig4", "figS1"], tmp_path / "out", results, formats=["svg"])
        panels = {
            name: {p.letter: p for p in sheet.panels}
            for name, sheet in made.items()
            if isinstance(sheet, Sheet)
        }
        assert [panels["fig3"][letter].state for letter in "dehi"] == ["made"] * 4
        assert panels["fig4"]["a"].numbers["accuracy"][0][0] == pytest.approx(
            100 * (0.51 + 0.6) / 2
        )
        assert panels["fig4"]["b"].state == "made"
        assert (
            panels["figS1"]["a"].text
            == "ecg-initialisation has no curves: its run folders, or curves.json, are needed."
        )

    @pytest.mark.slow
    def test_more_sweeps_and_points_than_colours_and_letters(self, results: Path) -> None:
        names = [f"point-{number}" for number in range(8)]
        for number in range(9):
            folder = write_sweep(
                results / f"{number}-initialisation", {name: {} for name in names if number == 8}
            )
        training = {"seed": 0, "accuracy": [0.1, 0.2], "loss": [1, 2], "firing_rate": [0.1, 0.2]}
        (folder / "curves.json").write_text(
            json.dumps({"points": {name: [training] for name in names}})
        )
        sheet = figure("figS1", results)
        assert (
            len({one.letter for one in sheet.panels}) == 27
            and "curves.json" in sheet.panels[-1].text
        )
        lines = sheet.axes["A"].get_lines()
        assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == len(lines) == 8

    def test_a_block_of_rows_for_each_of_many_sweeps(self, results: Path) -> None:
        for number in range(8):
            write_sweep(results / f"{number}-surrogates", {"one": {}})
        panels = {one.letter: one for one in figure("fig3", results).panels}
        assert len(panels["d"].numbers) == 8

    def test_curves_of_a_sweeps_runs(self, results: Path) -> None:
        trainings = [{"point": "one", "state": "done", "run": f"runs/{seed}"} for seed in (0, 1)]
        folder = write_sweep(results / "ecg-initialisation", {"one": {}}, trainings=trainings)
        for seed in (0, 1):
            (folder / "runs" / str(seed)).mkdir(parents=True)
            report = {"accuracy": 0.2 + 0.2 * seed, "loss": 1.0, "firing_rate": {"mean": 0.1}}
            (folder / "runs" / str(seed) / "metrics.jsonl").write_text(
                json.dumps({"epoch": 1, "train": report}) + "\n"
            )
        assert figure("figS1", results).panels[0].numbers["one"] == [pytest.approx(30)]
        (folder / "runs" / "1" / "metrics.jsonl").write_text("{\n")
        with pytest.raises(SrnnError, match=r"metrics\.jsonl, line 1, cannot be read"):
            figure("figS1", results)

    @pytest.mark.parametrize(
        "settings_", [{}, {"network.surrogate.h": "x", "network.surrogate.s": 1}]
    )
    def test_a_grid_that_is_none(self, results: Path, settings_: dict) -> None:
        write_sweep(results / "ecg-h-s", {"one": settings_})
        assert figure("fig4", results).panels[0].state == "missing"

    def test_a_run_of_ecg(
        self, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        few_sequences(monkeypatch)
        run = make_run(tmp_path / "run", *ECG)
        (run / "evaluation-validation.json").write_text(evaluation())
        panels = {panel.letter: panel for panel in figure("fig4", results, (run,)).panels}
        assert panels["c"].state == panels["d"].state == panels["j"].state == "made"
        assert (
            panels["c"].numbers["tau_mem"]["before"] == panels["c"].numbers["tau_mem"]["after"]
        )  # never trained
        probabilities = panels["d"].numbers["probabilities"]
        assert all(sum(row) == pytest.approx(1, abs=1e-3) for row in probabilities)
        assert panels["j"].numbers["run"] == [None, 20.0, 80.0] and panels["e"].state == "missing"
        numbers = {panel.letter: panel.numbers for panel in figure("fig3", results, (run,)).panels}
        # The paper's SOP: spikes, and not what they reach.
        assert numbers["g"]["run"] == pytest.approx({"per_sequence": 100.0, "per_step": 1.0})

    def test_rates_implied_by_published_energy(self, results: Path) -> None:
        write_summary(results / "mine")
        panel = next(panel for panel in figure("fig3", results).panels if panel.letter == "f")
        implied = panel.numbers["implied by published energy"]
        assert (
            implied["ECG"] == pytest.approx(467 / (4 * 36 + 36 * 36 + 36 * 6))
            and "GSC" not in implied
        )
        assert panel.numbers["ours"]["ECG"]["mean"] == pytest.approx(0.3)

    def test_only_the_papers_data_stand_beside_its_accuracies(self, results: Path) -> None:
        write_summary(results / "mini", "speech-commands-mini")
        write_summary(results / "mine")
        numbers = figure("fig2", results).panels[-1].numbers
        assert [one["run"] for one in numbers["ours"]] == ["mine"] and len(
            numbers["published"]
        ) == 24

    def test_adaptation_spares_spikes(self) -> None:
        lif, alif = response(0.0), response(1.8)
        assert (
            0 < sum(alif["s"]) < sum(lif["s"])
            and set(lif["threshold"]) == {0.3}
            and max(alif["threshold"]) > 0.4
        )

    def test_energy_of_a_layer(self) -> None:
        assert layer_energy("LSTM", 36, 0.0) == pytest.approx(3.1 * (4 * 2 * 36**2 + 17 * 36))
        assert layer_energy("ALIF", 36, 0.5) == pytest.approx(3.1 * 3 * 36 + 0.1 * 0.5 * 2 * 36**2)

    @pytest.mark.slow
    def test_formats_and_same_bytes(self, results: Path, tmp_path: Path) -> None:
        for folder in ("one", "two"):
            reproduce(["figS2"], tmp_path / folder, results)
        files = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
        assert set(files) == {"figS2.svg", "figS2.pdf", "figS2.png", "figS2.json"}
        assert files == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}
        assert (
            files["figS2.pdf"].startswith(b"%PDF")
            and files["figS2.png"].startswith(b"\x89PNG")
            and b"<svg" in files["figS2.svg"]
        )


@pytest.mark.slow
def test_examples_from_real_data(results: Path, data_dir: Path) -> None:
    """A lead with its labels, a spoken digit as spikes, pixels; SoLi is nowhere to be had."""
    pytest.importorskip("wfdb")
    states = {panel.letter: panel for panel in figure("fig3", results, data_dir=data_dir).panels}
    assert states["a"].state == states["b"].state == states["j"].state == "made"
    assert (
        set(states["a"].numbers["labels"]) <= {-1, 0, 1, 2, 3, 4, 5}
        and states["b"].numbers["spikes"] > 100
    )


REAL = os.environ.get("SRNN_DATA")


@pytest.fixture
def data_dir() -> Path:
    """The real data sets, whatever ``no_data`` makes of the variable."""
    if not REAL:
        pytest.skip("SRNN_DATA is not set: this test needs the real data sets")
    return Path(REAL)
