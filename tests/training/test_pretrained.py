"""Pretrained networks: what each file is, that it computes what it computed when it was made, and
that names work like paths."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import fields, replace
from pathlib import Path
from statistics import median_low
from typing import Any

import numpy as np
import pytest
import torch
from release import pretrained as releasing

import srnn
from srnn import SrnnError
from srnn.cli import models
from srnn.cli.main import main
from srnn.cli.serve import load_models
from srnn.data.batches import Sequences
from srnn.measure.energy.compared import compare_energy
from srnn.model.pretrained import FOLDER, Card, example, pretrained_names, read_card
from srnn.training.evaluation import Tally
from srnn.training.recipes import load_recipe

NAMES = pretrained_names()
SMALL = "ecg"
LONG = (
    "ecg-records-large",
    "psmnist-delays",
    "ecg-alif-lookahead",
    "ecg-bidirectional",
    "movement",
)
"""Networks whose example takes the reference backend a second."""


def test_each_has_its_files_and_all_are_small() -> None:
    there = {path.name for path in FOLDER.iterdir() if path.suffix not in (".py", "")}
    models = {f"{name}.{ending}" for name in NAMES for ending in ("safetensors", "yaml")}
    assert there == models | {example(name).name for name in NAMES}
    assert {path.stem for path in releasing.GOLDEN.glob("*.json")} == set(NAMES)
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) < 5e6
    assert {"digits", "ecg", "ecg-records", "speech-commands-mini"} <= set(NAMES)


def test_energies_are_written_without_exponents(capsys: pytest.CaptureFixture[str]) -> None:
    """999.7 nJ was 1e+03 nJ."""
    card = read_card(SMALL)
    models.show_card(SMALL, replace(card, energy_nj={"fp32": {"step": 999.7, "decision": 1234.5}}))
    assert "fp32 1,000 and 1,234\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in LONG else ()) for name in NAMES],
)
def test_it_computes_for_ever_what_it_did(name: str) -> None:
    """In float64 and by the reference backend: every neuron's spikes, and the outputs."""
    kept = json.loads((releasing.GOLDEN / f"{name}.json").read_text())
    now = releasing.golden(name)
    assert now["spikes"] == kept["spikes"] and now["label"] == kept["label"]
    assert all(sum(layer) > 0 for layer in now["spikes"])
    np.testing.assert_allclose(now["outputs"], kept["outputs"], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_its_card_is_complete_and_of_this_network(name: str) -> None:
    card, model = read_card(name), srnn.load(name)
    empty = [item.name for item in fields(Card) if getattr(card, item.name) in ("", {}, [])]
    assert not empty, empty
    assert card.parameters == sum(p.numel() for p in model.network.parameters() if p.requires_grad)
    assert card.bytes["file"] == (FOLDER / f"{name}.safetensors").stat().st_size
    if "float32" in card.bytes:
        assert card.bytes.get("int8", 0) < card.bytes["float32"] < 1.1 * card.bytes["file"]
    assert ("float32" in card.bytes) == (not model.recipe.network.bidirectional)
    assert ("int8" in card.bytes) == (card.validation_int8 is not None)
    assert model.seed == card.seed and card.seeds[str(card.seed)] == median_low(card.seeds.values())
    metric = card.metric.replace(", ", "_")
    assert (
        model.about["result"][metric]
        == card.seeds[str(card.seed)]
        == pytest.approx(card.validation, abs=2e-3)
    )
    assert set(card.energy_nj) == {"paper", "fp32", "neurobench", "memory"}
    assert len(card.made_by) == len(card.seeds) + 1 + (card.live is not None)
    assert (card.live is None) == (model.spotting is None)
    for live in (card.live or {}).values():
        assert 0 < live["understood"] <= 1 and 0 <= live["without_a_word"] <= live["false_accepts"]
    (command,) = (line for line in card.made_by if line.endswith(f"--seed {card.seed}"))
    recipe = load_recipe(
        shlex.split(command)[2], shlex.split(command)[3:-2]
    )  # srnn train RECIPE ... --seed SEED
    assert replace(recipe, note="") == replace(model.recipe, note="")
    assert ("not a medical device" in card.not_for.lower()) == name.startswith("ecg")
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert not any(word in text for word in ("/tmp", "/work", "/root"))


def test_the_page_shows_the_cards() -> None:
    page = releasing.PAGE.read_text(encoding="utf-8")
    assert (
        page.partition(releasing.BEGIN)[2].partition(releasing.END)[0].strip()
        == releasing.table().strip()
    )


def test_a_name_is_a_model() -> None:
    assert srnn.load(SMALL).name == SMALL
    with pytest.raises(SrnnError) as error:
        srnn.load("no-such-network")
    assert "\n" not in str(error.value) and "srnn models" in str(error.value)
    with pytest.raises(SrnnError, match=f"Did you mean '{SMALL}'"):
        srnn.load(f"{SMALL}s")
    with pytest.raises(SrnnError, match="There is no pretrained network"):
        srnn.example("../ecg-large")


def test_commands_take_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert list(listed) == NAMES and listed[SMALL]["validation"] == read_card(SMALL).validation
    assert (
        main(["models", SMALL, "--example", "x.npy"]) == 0
        and read_card(SMALL).licence in capsys.readouterr().out
    )
    assert (tmp_path / "x.npy").read_bytes() == example(SMALL).read_bytes()
    for name, says in (
        ("ecg", "% on validation, in int8 "),
        ("ecg-bidirectional", "% on validation\n"),
    ):
        assert main(["models", name]) == 0
        shown = capsys.readouterr().out
        assert says in shown and "on test" not in shown  # nothing of what was not measured
    assert main(["models"]) == 0
    table = " ".join(capsys.readouterr().out.split())
    assert SMALL in table and all(
        line in table for name in NAMES for line in read_card(name).live_in_words[:1]
    )
    for wrong in (
        ["models", "ecg-larg"],
        ["models", "--example", "x.npy"],
        ["models", SMALL, "--example", "x.csv"],
    ):
        assert main(wrong) == 2 and capsys.readouterr().err.count("\n") == 1
    assert main(["export", "c", SMALL, "--out", "c", "--format", "int8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flash_bytes"] == read_card(SMALL).bytes["int8"]
    models, recordings, notes = load_models([SMALL])
    assert list(models) == [SMALL] and [one.name for one in recordings] == [SMALL] and not notes


def test_a_name_in_energy_is_the_network_and_with_rates_the_recipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (report,) = compare_energy(["ecg-large"], rates=[0.1])["networks"]
    assert report["accuracy"] is None and report["note"] == "rates as given"
    monkeypatch.setattr("srnn.data.batches.Sequences", lambda *_: None)
    taken: list[Any] = []

    def stop(trained: Any, *_: Any) -> None:
        taken.append(trained)
        raise SrnnError("enough")

    monkeypatch.setattr("srnn.measure.energy.compared.measure_input", lambda _: None)
    monkeypatch.setattr("srnn.measure.energy.compared.evaluate_activity", stop)
    with pytest.raises(SrnnError, match="enough"):
        compare_energy(["ecg-large"])
    assert taken[0].name == "ecg-large" and taken[0].about["result"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_is_as_accurate_as_its_card_says(name: str, data_dir: Path) -> None:
    """On validation, or on 512 sequences from all over it: then within three standard errors."""
    card, model = read_card(name), srnn.load(name)
    try:
        sequences, tally = Sequences(model.task, "validation", data_dir), Tally(model)
    except SrnnError as error:
        if not re.search("was not found; make it|were not found under .*: get them", str(error)):
            raise
        pytest.skip(str(error))
    count = min(len(sequences), 512)
    places = np.arange(count) * len(sequences) // count
    for start in range(0, count, 128):
        batch = sequences.take(places[start : start + 128])
        with torch.no_grad():
            tally.add(batch, model.network.run(batch.x, lengths=batch.lengths))
    measured = tally.evaluation("validation", count).report[card.metric.replace(", ", "_")]
    error = 3 * (card.validation * (1 - card.validation) / count) ** 0.5
    assert measured == pytest.approx(card.validation, abs=error if count < len(sequences) else 3e-3)
