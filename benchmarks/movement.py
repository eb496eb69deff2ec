"""Movement: seven exercises by a watch, of people whom training has not seen, beside what people
would pick instead.

    srnn data fetch movement && srnn data prepare movement
    pip install aeon                       # MiniROCKET, here only
    python -m benchmarks.movement          # a line of results/movement/movement.jsonl for each training
    python -m benchmarks.movement --table  # the table of results/movement/README.md from these lines

Each family has three trials, of its learning rate, on the first of four folds over subjects 1 to 8.
The best goes on to the other folds, whose accuracies by subject are the result. Then one network of
each is trained on subjects 1 to 6, and reads the test subjects, 9 and 10, once. MiniROCKET has
nothing to try, and sees all 50 samples of a second where the others see 25.

A network is the one of its best epoch on the subjects that are held out, whatever its family.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from srnn.data.batches import Batch, Sequences
from srnn.data.datasets.base import SplitName
from srnn.data.spikes import as_dense
from srnn.files import append_line, read_json_lines
from srnn.progress import Reporter
from srnn.text import markdown_table
from srnn.training.evaluation import evaluate
from srnn.training.loop import train
from srnn.training.preparing import prepare
from srnn.training.recipes import Recipe, load_recipe
from srnn.training.runs import open_trained

from .board import CausalCNN

OUT = Path("results/movement/movement.jsonl")
RATES: dict[str, tuple[float, ...]] = {
    "srnn": (0.02, 0.01, 0.04),
    "lstm": (0.005, 0.002, 0.01),
    "cnn": (0.005, 0.002, 0.01),
    "minirocket": (0.0,),
}
"""The learning rates that each family tries."""
FOLDS = ("1/4", "2/4", "3/4", "4/4")
TEST = ""
"""The place of a fold's name where the recipe's own split is read: training on 1 to 6, and the test
subjects."""

Row = dict[str, Any]


def recipe_of(family: str, rate: float, fold: str) -> Recipe:
    """The recipe ``movement``, or as a baseline with about as many parameters, with a learning
    rate."""
    settings: dict[str, Any] = {"training.optimizer.lr": rate}
    if fold:
        settings["task.options.fold"] = fold
    ours = load_recipe("movement", settings)
    if family == "srnn":
        return ours
    width = 64
    while True:
        recipe = load_recipe(
            "movement", {**settings, "network.hidden": [width] * 2}, baseline=family
        )
        if weights_of(recipe) <= weights_of(ours):
            return recipe
        width -= 2


def weights_of(recipe: Recipe) -> int:
    return size(recipe.build_network(recipe.create_task(), 0))


def size(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def by_subject(right: Sequence[Any] | np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """The accuracy of each subject."""
    right = np.asarray(right, float)
    return {str(group): float(right[groups == group].mean()) for group in np.unique(groups)}


def recurrent(family: str, rate: float, fold: str, seed: int) -> Row:
    """Ours or a baseline, by ``srnn train``."""
    with tempfile.TemporaryDirectory() as folder:
        train(
            recipe_of(family, rate, fold),
            Path(folder) / "run",
            seed=seed,
            examples=False,
            reporter=Reporter(),
        )
        trained = open_trained(Path(folder) / "run")
    splits: list[SplitName] = ["validation"] if fold else ["validation", "test"]
    row: Row = {"parameters": size(trained.network)}
    for split in splits:
        found = evaluate(trained, split)
        assert found.groups is not None
        row[split] = by_subject(found.counts[:, 0], found.groups)
        row["rate"] = (found.report["firing_rate"] or {}).get("mean")
    return row


def convolutional(family: str, rate: float, fold: str, seed: int) -> Row:
    """A causal CNN with as many parameters, the same batches and epochs, and the same
    augmentation."""
    recipe = load_recipe("movement", {"task.options.fold": fold} if fold else {})
    ready = prepare(recipe, seed=seed)
    task, config = ready.trained.task, recipe.training
    torch.manual_seed(seed)
    width = 8
    while size(CausalCNN(task.inputs, width + 4, task.outputs)) <= size(ready.network):
        width += 4
    net = CausalCNN(task.inputs, width, task.outputs)
    optimizer = torch.optim.Adam(net.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, config.epochs * ready.steps_per_epoch
    )
    order, held_out = np.random.default_rng(seed), Sequences(task, "validation")
    best, weights = -1.0, net.state_dict()
    for epoch in range(config.epochs):
        net.train()
        rows = order.permutation(len(ready.train_set))
        for step in range(ready.steps_per_epoch):
            indices = rows[step * config.batch_size :][: config.batch_size]
            batch = ready.batches.take(indices, slice(None), epoch, step)
            optimizer.zero_grad()
            cnn_loss(net, batch, recipe.loss.label_smoothing).backward()
            optimizer.step()
            schedule.step()
        accuracy = float(cnn_right(net, held_out).mean())
        if accuracy >= best:
            best, weights = (
                accuracy,
                {name: value.clone() for name, value in net.state_dict().items()},
            )
    net.load_state_dict(weights)
    row: Row = {"parameters": size(net)}
    for split in ("validation",) if fold else ("validation", "test"):
        sequences = Sequences(task, split)
        assert sequences.groups is not None
        row[split] = by_subject(cnn_right(net, sequences), sequences.groups)
    return row


def cnn_loss(net: CausalCNN, batch: Batch, smoothing: float) -> torch.Tensor:
    logits = net(as_dense(batch.x, torch.float32), batch.lengths)
    loss = nn.functional.cross_entropy(logits, batch.y, label_smoothing=smoothing)
    if batch.mixed is None:
        return loss
    other, share = batch.mixed
    return share * loss + (1 - share) * nn.functional.cross_entropy(
        logits, other, label_smoothing=smoothing
    )


def cnn_right(net: CausalCNN, sequences: Sequences) -> np.ndarray:
    """Whether each sequence is recognised."""
    net.eval()
    right = []
    with torch.no_grad():
        for batch in sequences.batches(256):
            right.append(net(as_dense(batch.x, torch.float32), batch.lengths).argmax(1) == batch.y)
    return torch.cat(right).numpy()


def minirocket(family: str, rate: float, fold: str, seed: int) -> Row:
    """aeon's classifier as it is, on windows of 100 samples; it reads whole ones, and cannot
    stream."""
    task = load_recipe(
        "movement", {"task.options.pool": 1, "task.options.fold": fold}
    ).create_task()
    learnt = task.load("train")
    convolutions = import_module("aeon.classification.convolution_based")
    model = convolutions.MiniRocketClassifier(random_state=seed)
    model.fit(np.asarray(learnt.x, float).transpose(0, 2, 1), learnt.y)
    row: Row = {"parameters": 10_000 * task.outputs}
    splits: tuple[SplitName, ...] = ("validation",) if fold else ("validation", "test")
    for split in splits:
        held_out = task.load(split)
        assert held_out.groups is not None
        found = model.predict(np.asarray(held_out.x, float).transpose(0, 2, 1))
        row[split] = by_subject(found == held_out.y, held_out.groups)
    return row


WAYS: dict[str, Callable[[str, float, str, int], Row]] = {
    "srnn": recurrent,
    "lstm": recurrent,
    "cnn": convolutional,
    "minirocket": minirocket,
}


def measure(out: Path, family: str, rate: float, fold: str, seed: int = 0) -> Row:
    """One training, unless its line is there."""
    asked = {"family": family, "lr": rate, "fold": fold or "test", "seed": seed}
    for row in read_json_lines(out) if out.is_file() else []:
        if asked.items() <= row.items():
            return row
    began, processor = time.perf_counter(), time.process_time()
    row = asked | WAYS[family](family, rate, fold, seed)
    row |= {
        "seconds": round(time.perf_counter() - began, 1),
        "processor_s": round(time.process_time() - processor, 1),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    append_line(out, json.dumps(row))
    print(
        {key: row[key] for key in ("family", "lr", "fold", "processor_s")},
        mean(row["validation"]),
        flush=True,
    )
    return row


def mean(accuracies: dict[str, float]) -> float:
    return float(np.mean([*accuracies.values()]))


def search(out: Path, family: str) -> None:
    """Three trials on the first fold; the best on the others, and once on the test subjects."""
    trials = [measure(out, family, rate, FOLDS[0]) for rate in RATES[family]]
    best = max(trials, key=lambda row: mean(row["validation"]))["lr"]
    for fold in (*FOLDS[1:], TEST):
        measure(out, family, best, fold)


def table(out: Path) -> str:
    """A line for each family: over subjects 1 to 8, each held out once, and for each of the test
    subjects."""
    columns = (
        "family",
        "parameters",
        "learning rate",
        "subjects 1 to 8",
        "minus srnn",
        "the worst",
        "subject 9",
        "10",
    )
    rows: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in read_json_lines(out):
        rows[row["family"]][f"{row['fold']} {row['lr']}"] = row
    ours, lines = np.zeros(8), []
    for family, of in rows.items():
        tested = next((row for row in of.values() if row["fold"] == "test"), None)
        if tested is None:
            continue
        people: dict[str, float] = {}
        for fold in FOLDS:
            people |= of[f"{fold} {tested['lr']}"]["validation"]
        values = np.array([people[f"subject {number}"] for number in range(1, 9)])
        ours = values if family == "srnn" else ours
        lines.append(
            [
                family,
                f"{tested['parameters']:,}",
                f"{tested['lr']:g}" if tested["lr"] else "-",
                with_interval(values),
                "-" if family == "srnn" else with_interval(values - ours),
                f"{100 * values.min():.1f}",
                *(f"{100 * tested['test'][f'subject {number}']:.1f}" for number in (9, 10)),
            ]
        )
    return "\n".join(markdown_table(columns, lines))


def with_interval(values: np.ndarray) -> str:
    """The mean of eight subjects in percent, with a 95 % interval: Student's t, seven degrees of
    freedom."""
    half = 2.365 * values.std(ddof=1) / np.sqrt(len(values))
    return f"{100 * values.mean():.1f} ± {100 * half:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="+", choices=list(RATES), default=list(RATES))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    given = parser.parse_args()
    if given.table:
        print(table(given.out))
        return
    torch.set_num_threads(1)
    for family in given.families:
        search(given.out, family)


if __name__ == "__main__":
    main()
