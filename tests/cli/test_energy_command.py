"""srnn energy: runs and recipes beside baselines, as tables and as JSON; one line for every
mistake."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from srnn import SrnnError
from srnn.cli.main import main
from srnn.measure.energy import MODELS
from srnn.measure.energy.compared import compare_energy
from srnn.measure.energy.page import section, short_names
from srnn.measure.sections import ENERGY, Spread, Table, written
from srnn.training.recipes import dump_recipe, load_recipe
from srnn.training.runs import Run
from support.commands import fails, parse
from support.refusing import refuses
from support.runs import few_digits

Capture = pytest.CaptureFixture[str]

QUICK = ["--training.epochs=1", "--network.hidden=[8,6]", "--json"]
REFERENCE = "--network.backend=reference"  # nothing has to be compiled


pytestmark = pytest.mark.usefixtures("few_digits")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An SRNN of digits, and two baselines, trained for an epoch; only read by what is tested."""
    folder = tmp_path_factory.mktemp("runs")
    kinds = {
        "srnn": [REFERENCE],
        "lstm": ["--baseline", "lstm"],
        "lif": ["--baseline", "lif", REFERENCE],
    }
    with pytest.MonkeyPatch.context() as patch:
        few_digits(patch)
        for name, kind in kinds.items():
            assert main(["train", "digits", *QUICK, *kind, "--out", str(folder / name)]) == 0
    return {name: folder / name for name in kinds}


def _json(capsys: Capture, *words: str | Path) -> dict:
    assert main(["energy", *[str(word) for word in words], "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "" and printed.out.count("\n") == 1
    return json.loads(printed.out)


def with_rate(capsys: Capture, recipe: str, rate: float, *words: str) -> dict:
    """One firing rate for neurons and input."""
    return _json(capsys, recipe, "--rates", str(rate), "--input-rate", str(rate), *words)


def per_step(network: dict) -> float:
    """What a step costs by the paper's count, in pJ."""
    return round(network["models"]["paper"]["energy_pj"]["step"], 1)


def _table(comparison: dict, title: str) -> list[dict]:
    """The rows of a table of the page, by the names of its columns."""
    parts = section(comparison, seeds_together=True).parts
    (table,) = (part for part in parts if isinstance(part, Table) and part.title.startswith(title))
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_runs_beside_each_other(runs: dict[str, Path], capsys: Capture) -> None:
    found = _json(capsys, runs["srnn"], runs["lstm"], runs["lif"], "--baselines", "rnn,relu,lif")
    networks = found["networks"]
    names = [Path(network["name"]).name for network in networks]
    assert names == ["srnn", "lstm", "lif", "rnn", "relu", "lif"]
    result = json.loads((runs["srnn"] / "result.json").read_text())
    first = networks[0]
    assert all(first[key] == result[key] for key in ("accuracy", "parameters"))
    for key in ("layers", "mean"):
        assert first["firing_rate"][key] == pytest.approx(result["firing_rate"][key])
    assert first["note"] == "" and "untrained" in networks[3]["note"]
    assert found["input"]["spikes"] is False and found["input"]["steps_per_sequence"] == 16
    lstm, unmeasured = found["compared_with_first"][1], networks[5]
    assert all(lstm["energy"][name] > 1 for name in MODELS)
    assert lstm["efficiency"]["paper"] == pytest.approx(lstm["energy"]["paper"] * lstm["error"])
    assert unmeasured["models"] == dict.fromkeys(MODELS)
    assert "rates not measured" in unmeasured["note"]
    # Of ReLU units the zeros are not known.
    assert networks[4]["models"]["neurobench"] is None
    # The LSTM costs what a spiking network of that rate would.
    limits = found["break_even"]
    for model, rate in limits["lstm"].items():
        assert (rate > first["firing_rate"]["mean"]) == (lstm["energy"][model] > 1), model
    assert limits["relu"]["memory"] < limits["lstm"]["memory"]
    assert _json(capsys, runs["lstm"])["break_even"] == {}  # it does not spike


def test_a_wrong_name_does_not_wait_for_torch() -> None:
    code = """if True:
        import sys; from srnn.cli.main import main
        print(main(['energy', 'nothing']), 'torch' in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "2 False\n" and "There is no recipe 'nothing'" in done.stderr


def test_tables_for_people(runs: dict[str, Path], capsys: Capture) -> None:
    assert main(["energy", str(runs["srnn"]), str(runs["lif"]), "--baselines", "gru", "--all"]) == 0
    printed = capsys.readouterr()
    for what in ("Operations per step", "Energy per sequence", "Efficiency", "gru: untrained"):
        assert what in printed.out, what
    assert "Energy per second" not in printed.out  # the steps of digits are not in time
    assert printed.err == "" and max(map(len, printed.out.splitlines())) <= 90


def test_one_table_for_a_first_look(runs: dict[str, Path], capsys: Capture) -> None:
    words = [str(runs["srnn"]), str(runs["lstm"]), "--baselines", "lif"]
    found = _json(capsys, *words)
    assert main(["energy", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if "with memory" in line]
    rows = {line.split()[1]: line for line in lines if line.startswith("│")}
    assert len(heads) == 1 and {*rows} == {"srnn", "lstm", "lif"} and len(lines) <= 20
    for report in found["networks"][:2]:
        row = rows[Path(report["name"]).name]
        for model in ("paper", "memory"):
            assert written(report["models"][model]["energy_pj"]["step"], ENERGY) in row
        assert f"{report['footprint_bytes']:,}" in row
    assert rows["lif"].count(" - ") == 5 and "--all" in lines[-1]  # its rates were not measured


def test_seeds_of_one_recipe_are_one_row(
    runs: dict[str, Path], capsys: Capture, tmp_path: Path
) -> None:
    again, out = tmp_path / "srnn-s1", tmp_path / "energy"
    assert main(["train", "digits", *QUICK, REFERENCE, "--seed", "1", "--out", str(again)]) == 0
    capsys.readouterr()
    found = _json(capsys, runs["srnn"], again, runs["lstm"], "--out", out)
    assert json.loads((out / "energy.json").read_text()) == found
    assert [report["group"] for report in found["networks"]] == [0, 0, 2]
    titles = ("Networks", "Energy ratio", "Efficiency")
    networks, ratios, efficiencies = (_table(found, title) for title in titles)
    own, lstm = networks
    accuracies = [report["accuracy"] for report in found["networks"][:2]]
    expected = accuracies[0]
    if len(set(accuracies)) > 1:
        expected = Spread(statistics.fmean(accuracies), statistics.stdev(accuracies))
    assert own["seeds"] == "0, 1" and own["accuracy"] == expected
    costs = [report["models"]["memory"]["energy_pj"]["step"] for report in found["networks"]]
    assert ratios[1]["memory"] == pytest.approx(2 * costs[2] / (costs[0] + costs[1]))
    assert efficiencies[1]["paper"] == pytest.approx(ratios[1]["paper"] * lstm["error ratio"])
    page = (out / "energy.md").read_text()
    (row,) = re.findall(r"^\| srnn \| 0, 1 \|.*", page, re.M)
    (limits,) = re.findall(r"^\| relu \|(.*)\|", page, re.M)
    shown = [float(limit) for limit in limits.split("|")]
    assert shown == pytest.approx(list(found["break_even"]["relu"].values()), rel=5e-3)
    assert "±" in row and "Made by `srnn energy srnn srnn-s1 lstm`" in page
    assert str(tmp_path) not in page and str(runs["srnn"].parent) not in page


def test_the_page_names_its_command(runs: dict[str, Path], capsys: Capture, tmp_path: Path) -> None:
    """With runs of a sweep by their points, as their folders are called by the seed alone; a recipe in
    full; recordings; and words quoted: ``--technology my prices.toml`` named two files."""
    points = [tmp_path / f"of={name}" / "s0" for name in ("srnn", "lstm")]
    for name, point in zip(("srnn", "lstm"), points, strict=True):
        shutil.copytree(runs[name], point)
    prices, mine = tmp_path / "my prices.toml", tmp_path / "mine.npz"
    prices.write_text('base = "horowitz-45nm"\nname = "mine"\n')
    kept = Run.open(runs["srnn"]).trained().task.load("validation")
    names, splits = np.arange(10).astype(str), np.full(len(kept.y), "validation")
    y = np.arange(len(kept.y)) % 10  # each class occurs
    np.savez(mine, x=kept.x, y=y, class_names=names, split=splits)
    shd = ["paper/shd", "--rates", "0.1", "--technology", prices, "--baselines", "rnn, gru"]
    for words, command in (
        (points, "of=srnn/s0 of=lstm/s0"),
        (shd, "paper/shd --rates 0.1 --baselines 'rnn, gru' --technology 'my prices.toml'"),
        ([runs["srnn"], "--data", mine], "srnn --data mine.npz"),
    ):
        found = _json(capsys, *words, "--out", tmp_path / "energy")
        page = (tmp_path / "energy" / "energy.md").read_text()
        assert f"Made by `srnn energy {command}`" in page and str(tmp_path) not in page
        if words == points:
            assert [row["network"] for row in _table(found, "Networks")] == ["of=srnn", "of=lstm"]


def test_a_file_is_no_folder_to_write_before_anything_is_measured(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("kept")
    measured = "srnn.measure.energy.compared.compare_energy"
    monkeypatch.setattr(measured, lambda *_, **__: pytest.fail("it was measured"))
    assert "it is a file" in fails(capsys, "energy", "digits", "--out", tmp_path / "file")


def test_an_untrained_recipe(capsys: Capture, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"  # the name "digits" is a pretrained network's, too
    recipe.write_text(dump_recipe(load_recipe("digits")))
    network = _json(capsys, recipe)["networks"][0]
    assert network["accuracy"] is None and "untrained" in network["note"]
    assert 0 <= network["firing_rate"]["mean"] <= 1


def test_given_rates_need_no_data(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's SHD network at the rate that its table implies: 788 MACs, 10,729 ACs, 3,515.7
    pJ."""
    monkeypatch.delenv("SRNN_DATA", raising=False)
    rate = 10729 / 141312
    found = with_rate(capsys, "paper/shd", rate, "--baselines", "relu,lstm")
    first, relu, _ = found["networks"]
    counts, energy = first["counts"], first["models"]["paper"]["energy_pj"]
    assert (counts["paper_macs"], round(counts["paper_acs"], 6)) == (788, 10729)
    assert (per_step(first), per_step(relu)) == (3515.7, 442097.2)
    assert energy["second"] == pytest.approx(250 * energy["step"])
    assert energy["sequence"] is None and found["split"] is None
    analog = _json(capsys, "paper/shd", "--rates", str(rate))["input"]
    # Of its values none is taken to be 0.
    assert (analog["spikes"], analog["density"]) == (False, 1.0)


def test_the_paper_s_ecg_recipes(capsys: Capture) -> None:
    found = with_rate(capsys, "paper/ecg-code", 467 / 1656, "--baselines", "rnn,gru,lstm")
    assert [*map(per_step, found["networks"])] == [325.7, 9597.6, 15400.8, 20422.8]
    (lif,) = with_rate(capsys, "paper/ecg-lif", 497 / 1656)["networks"]
    assert lif["counts"]["paper_macs"] == 42 and per_step(lif) == 179.9


def test_another_technology(tmp_path: Path, capsys: Capture) -> None:
    words = ["paper/ecg-code", "--rates", "0.3", "--input-rate", "0.1"]
    mine = tmp_path / "mine.toml"
    mine.write_text('base = "horowitz-45nm"\nname = "mine"\nac = {pj = 0.0, source = "a test"}\n')
    usual, other = _json(capsys, *words), _json(capsys, *words, "--technology", mine)
    technology = other["technology"]
    assert technology["name"] == "mine" and technology["sources"]["ac"] == "a test"
    a, b = (found["networks"][0]["models"] for found in (usual, other))
    assert b["memory"]["parts_pj"]["synaptic_acs"] == 0 < a["memory"]["parts_pj"]["synaptic_acs"]
    assert a["fp32"] == b["fp32"] and a["paper"] == b["paper"]


def test_runs_are_refused(tmp_path: Path, runs: dict[str, Path]) -> None:
    for words in ([runs["srnn"]], ["digits", runs["srnn"]]):
        with refuses("rates", "conflict"):
            parse(["energy", *map(str, words), "--rates", "0.1"]).run()
    begun = shutil.copytree(runs["srnn"], tmp_path / "begun")
    (begun / "model.safetensors").unlink()
    with refuses(begun / "model.safetensors", "missing"):
        parse(["energy", str(begun)]).run()
    with pytest.raises(SrnnError):
        parse(["energy", "paper/shd", "--data-dir", str(tmp_path)]).run()
    with pytest.raises(SrnnError, match="at least one"):
        compare_energy([])


def test_names_are_cut_only_where_they_differ() -> None:
    assert short_names(["runs/a", "x/b", "lstm"]) == ["a", "b", "lstm"]
    assert short_names(["runs/a", "x/a"]) == ["runs/a", "x/a"]
