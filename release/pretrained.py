"""Makes a pretrained network of finished runs, one of each seed: the model, its card, its example,
and what tests compare.

    python release/pretrained.py NAME RUN RUN RUN     the run that is the median on validation is shipped
    python release/pretrained.py                      writes the table in docs/pretrained.md again
    python release/pretrained.py --again              writes the models' files again, in the present version of the format:
                                                      the parameters stay, and only the file's size changes in the card

The first needs the data (SRNN_DATA): accuracy and energy are measured on validation, the test split
is read once, of the shipped network. The texts of the card are in release/pretrained.yaml. The runs
must be of that recipe; settings that differ are in the card.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import yaml

import srnn
from srnn.data.batches import Sequences
from srnn.data.datasets import resolve_data_dir
from srnn.data.datasets.catalogue import find_data_set
from srnn.data.recordings import read_signal
from srnn.deploy.predicting import predict
from srnn.deploy.streaming import Decoder, SpottingRule
from srnn.deploy.streaming.spotting_evaluation import concatenated, evaluate_spotting, score_windows
from srnn.files import read_object
from srnn.files.yaml_reading import read_yaml
from srnn.measure.energy import evaluate_activity
from srnn.measure.energy.estimate import energy_report
from srnn.measure.energy.operation_energy import DEFAULT, load_technology
from srnn.model.checkpoints import read_checkpoint
from srnn.model.pretrained import FOLDER, Card, example, pretrained_names, read_card
from srnn.nn.network import Layer
from srnn.text import digits, markdown_table
from srnn.training.compression.evaluation import evaluate_int8
from srnn.training.evaluation import evaluate
from srnn.training.examples import keep_examples, kept_examples
from srnn.training.recipes import Recipe, load_recipe
from srnn.training.runs import Run

ROOT = Path(__file__).parents[1]
TEXTS = ROOT / "release" / "pretrained.yaml"
GOLDEN = ROOT / "tests" / "fixtures" / "pretrained"
PAGE = ROOT / "docs" / "pretrained.md"
INT8 = 1000
"""Sequences of validation, from its first, that the integer model is measured on: it takes a
hundred times as long."""
BEGIN, END = "<!-- table: python release/pretrained.py -->", "<!-- end of table -->"


def main(words: list[str]) -> None:
    if words == ["--again"]:
        for name in pretrained_names():
            write_again(name)
    elif words:
        ship(words[0], [Path(word) for word in words[1:]])
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table()}{END}{rest.partition(END)[2]}", encoding="utf-8")


def ship(name: str, folders: list[Path]) -> None:
    """Write all that belongs to the pretrained network of that name."""
    text = read_yaml(TEXTS)[name]
    runs = [Run.open(folder) for folder in folders]
    results = [read_object(run.path / "result.json") for run in runs]
    metric = runs[0].recipe.training.early_stopping.metric
    ranked = sorted(range(len(runs)), key=lambda at: (results[at][metric], -results[at]["loss"]))
    run = runs[ranked[(len(runs) - 1) // 2]]
    settings, sample = overrides(run.recipe, text.pop("recipe", name)), text.pop("example", None)
    if any(replace(other.recipe, note="") != replace(run.recipe, note="") for other in runs):
        raise SystemExit("The runs are of several recipes.")
    found, data = run.trained(), find_data_set(text["data"])
    found.save(FOLDER / f"{name}.safetensors")
    model = srnn.load(FOLDER / f"{name}.safetensors")
    sequences = Sequences(model.task, "validation")
    write_example(name, model, sequences, sample)
    evaluation, activity = evaluate_activity(model, sequences, "validation")
    costs = energy_report(
        model.network,
        activity,
        load_technology(DEFAULT),
        analog_in_paper=model.task.analog_in_paper,
    )
    period = "step" if model.task.kind == "per_step" else "sequence"
    sizes, integer = {"file": (FOLDER / f"{name}.safetensors").stat().st_size}, None
    with TemporaryDirectory() as place:
        try:
            sizes["float32"] = model.export(f"{place}/c")["flash_bytes"]
            sizes["int8"] = model.export(f"{place}/int8", "int8")["flash_bytes"]
            integer = evaluate_int8(model, inputs_as=model.inputs_as, most=INT8).report[metric]
        except srnn.SrnnError as error:
            print(f"no C, or no int8: {error}")
    try:
        test = evaluate(model, "test").report[metric]
    except srnn.SrnnError as error:
        print(f"no test: {error}")
        test = None
    live = None if model.spotting is None else spotted(model)
    path = model.task.live() if model.task.live().rate is not None else model.task.signal()
    card = Card(
        **{**text, "data": data.title},
        licence=data.licence,
        attribution=f"{data.citation}. {data.homepage}",
        rate=path.rate,
        selected_by=(
            "validation chose settings, the epoch of each seed, and the seed whose result is the "
            "median"
            if len(runs) > 1
            else "validation chose settings and epoch; there is one seed"
        ),
        seeds={str(one.seed): result[metric] for one, result in zip(runs, results, strict=True)},
        seed=run.seed,
        metric=metric.replace("_", ", "),
        validation=evaluation.report[metric],
        validation_int8=integer,
        test=test,
        parameters=costs["parameters"],
        bytes=sizes,
        energy_nj={
            model: {
                "step": cost["energy_pj"]["step"] / 1e3,
                "decision": cost["energy_pj"][period] / 1e3,
            }
            for model, cost in costs["models"].items()
        },
        made_by=[
            *(shlex.join(["srnn", "train", *settings, "--seed", str(one.seed)]) for one in runs),
            *(
                [
                    "srnn evaluate RUN --live --false-accepts "
                    f"{model.spotting['false_accepts']:g}, for each"
                ]
                if model.spotting is not None
                else []
            ),
            f"python release/pretrained.py {name} {' '.join(['RUN'] * len(runs))}",
        ],
        live=live,
    )
    write_card(name, card)
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / f"{name}.json").write_text(json.dumps(golden(name)) + "\n", encoding="utf-8")


def write_example(
    name: str, model: srnn.Model, sequences: Sequences, sample: dict[str, Any] | None
) -> None:
    """A sequence of validation; or, where the texts name a table of the data, some rows of it. One
    that is there stays, since pages print what the network says of it."""
    if (FOLDER / f"{name}.npy").is_file():
        return
    if sample is not None:
        titles, *rows = (
            (resolve_data_dir() / sample["file"]).read_text(encoding="utf-8").splitlines()
        )
        chosen = rows[sample["first"] :][: sample["rows"]]
        (FOLDER / f"{name}.csv").write_text("\n".join([titles, *chosen]) + "\n", encoding="utf-8")
        return
    with TemporaryDirectory() as place:
        keep_examples(Path(place), model.task, sequences)
        recordings = kept_examples(Path(place))
        right = (path for path in recordings if predict(model, path).label in path.stem)
        content = np.load(next(right, recordings[0]))
        np.save(
            FOLDER / f"{name}.npy",
            content if isinstance(content, np.ndarray) else content["signal"],
        )


def write_again(name: str) -> None:
    """Write a model's file again, and its size in the card."""
    path, card = FOLDER / f"{name}.safetensors", read_card(name)
    before = read_checkpoint(path)
    srnn.load(path).save(path)
    after = read_checkpoint(path)
    assert all(torch.equal(tensor, after.tensors[key]) for key, tensor in before.tensors.items())
    write_card(name, replace(card, bytes={**card.bytes, "file": path.stat().st_size}))


def write_card(name: str, card: Card) -> None:
    content = json.loads(json.dumps(asdict(card)))  # numpy's numbers are plain ones then
    content = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
    (FOLDER / f"{name}.yaml").write_text(content, encoding="utf-8")
    assert read_card(name) == card


def spotted(model: srnn.Model) -> dict[str, dict[str, float]]:
    """``Card.live``: words of a long signal by the model's own rule, with several levels of
    noise."""
    decoder, found = Decoder.of(model), {}
    rule = SpottingRule.of(model)
    for name in ("validation", "test"):
        split = model.task.load(name)
        for noise in (None, 20.0, 10.0):
            signal, clips = concatenated(split, decoder.signal.rate or 1.0, model.seed, noise)
            row = evaluate_spotting(decoder, score_windows(decoder, signal), clips, rule).to_dict()
            found[f"{name}, no noise" if noise is None else f"{name}, {noise:g} dB of noise"] = {
                "understood": row["understood"] / row["words"],
                "false_accepts": row["false_accepts_an_hour"],
                "without_a_word": row["without_a_word_an_hour"],
                "delay": row["delay_seconds"]["p50"],
            }
    return found


def overrides(recipe: Recipe, base: str) -> list[str]:
    """The words after ``srnn train`` that make the recipe: the base's name, and the settings in
    which it differs."""

    def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in values.items():
            inner = isinstance(value, Mapping) and before + key not in (
                "task.options",
                "training.lr_scale",
            )
            found |= flat(value, f"{before}{key}.") if inner else {before + key: value}
        return found

    ours, theirs = flat(recipe.to_dict()), flat(load_recipe(base).to_dict())
    words: list[str] = []
    for key, value in ours.items():
        if key != "note" and theirs.get(key) != value:
            words += [f"--{key}", value if isinstance(value, str) else json.dumps(value)]
    if replace(load_recipe(base, words), note="") != replace(recipe, note=""):
        raise SystemExit(f"{base} with {words} is not the recipe of the run.")
    return [base, *words]


def golden(name: str) -> dict[str, Any]:
    """What a pretrained network does with its example, in float64 by the reference backend, where
    every spike is reproducible."""
    model = srnn.load(name)
    network = model.spiking("tested").double()
    for layer in network.modules():
        if isinstance(layer, Layer):
            layer.backend = "reference"
    path = model.task.whole_path()
    steps = model.task.encode(name, read_signal(example(name), path).samples)
    with torch.no_grad():
        first = torch.Generator().manual_seed(model.seed)
        result = network.run(torch.from_numpy(steps).double()[None], generator=first)
    return {
        "label": predict(model, example(name)).label,
        "spikes": [layer.output[0].sum(0).int().tolist() for layer in result.layers[:-1]],
        "outputs": result.output[0, -1].tolist(),
    }


def table() -> str:
    """The table of docs/pretrained.md: a row of numbers for each network, of its card; below, what
    they hear, those that hear the same together."""
    columns = ("name", "input", "val", "int8", "test", "parameters", "C, kB", "nJ a decision")
    rows: list[list[str]] = []
    heard: dict[str, list[str]] = {}
    for name in pretrained_names():
        card = read_card(name)
        accuracies = (card.validation, card.validation_int8, card.test)
        percents = ("-" if value is None else f"{100 * value:.1f}" for value in accuracies)
        rows.append([
            f"`{name}`", "-" if card.rate is None else f"{card.rate:,g} "
                                                       "Hz", *percents, f"{card.parameters:,}",
            " / ".join(f"{card.bytes[kind] / 1000:.0f}" for kind in ("float32", "int8") if kind in card.bytes) or "-",
            " / ".join(digits(card.energy_nj[kind]["decision"]) for kind in ("fp32", "memory")),
        ])  # fmt: skip
        heard.setdefault(f"{card.hears} ({card.licence})", []).append(f"`{name}`")
    lines = [f"- {', '.join(names)}: {text}" for text, names in heard.items()]
    return "\n".join([*markdown_table(columns, rows), "", *lines]) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
