"""Movement: seven exercises by a watch, of people whom training has not seen, beside what people
would pick instead.

    srnn data fetch movement && srnn data prepare movement
    pip install aeon                       # MiniROCKET, here only
    python -m benchmarks.movement          # a line of results/movement/movement.jsonl for each training
    python -m benchmarks.movement --table  # the tables of results/movement/README.md from these lines

Each family has four trials on four folds over subjects 1 to 8. The one with the best mean over these
subjects goes on: two fresh seeds on the same folds are the result. Then one network of each family,
of a third fresh seed, is trained on subjects 1 to 6 and reads the test subjects, 9 and 10, once.
MiniROCKET has one trial and one seed, and sees all 50 samples of a second where the others see 25.

A network is the average of its weights at the end of its last epoch, whatever its family, so that
nothing is chosen by the subjects who are held out but the trial.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from srnn.data.batches import Batch, Sequences
from srnn.data.datasets.base import SplitName
from srnn.data.spikes import as_dense
from srnn.files import append_line, read_json_lines
from srnn.progress import Reporter
from srnn.text import markdown_table
from srnn.training.checkpoints import read_checkpoint
from srnn.training.evaluation import evaluate
from srnn.training.loop import train
from srnn.training.preparing import prepare
from srnn.training.recipes import Recipe, load_recipe
from srnn.training.runs import Run
from srnn.training.trained import Trained

from .board import CausalCNN

OUT = Path("results/movement/movement.jsonl")
COMMON: dict[str, Any] = {
    "task.options.stride": 1,
    "network.hidden": [64, 64],
    "network.neuron": "adlif",
    "loss.name": "ce_mean",
    "training.epochs": 12,
    "training.batch_size": 32,
    "training.augment.rotate": 0,
}
"""Settings of all trials, in place of the recipe's: windows of two seconds begin each second, for
all families."""
LR, TURNED = "training.optimizer.lr", {"training.augment.rotate": 20}
OTHERS: dict[str, dict[str, Any]] = {
    "0.005, turned": {LR: 0.005, **TURNED},
    "0.01, turned": {LR: 0.01, **TURNED},
    "0.002, turned": {LR: 0.002, **TURNED},
    "0.02, turned": {LR: 0.02, **TURNED},
}
SILIF = {"network.neuron": "silif"}
TRIALS: dict[str, dict[str, dict[str, Any]]] = {
    "srnn": {
        "adlif, turned": {LR: 0.02, **TURNED},
        "csilif, turned": {LR: 0.02, **TURNED, "network.neuron": "csilif"},
        "silif, turned": {LR: 0.02, **TURNED, **SILIF},
        "silif, 0.04, turned": {LR: 0.04, **TURNED, **SILIF},
    },
    "lstm": OTHERS,
    "gru": OTHERS,
    "cnn": OTHERS,
    "minirocket": {"as it is": {}},
}
"""What each family tries: learning rates; ours three neurons first (at 0.02). Turned: all axes
together by up to 20 degrees. The last one was decided on when the first three had been seen."""
FOLDS = ("1/4", "2/4", "3/4", "4/4")
TEST = ""
"""The place of a fold's name where the recipe's own split is read: training on 1 to 6, and the test
subjects."""
TRIED, FRESH, LAST = 0, (1, 2), 3
"""The seed of the trials, those of the result, and that of the networks that read the test
subjects."""

Row = dict[str, Any]


def recipe_of(family: str, trial: str, fold: str) -> Recipe:
    """The recipe ``movement`` with a trial's settings; as a baseline with about as many
    parameters."""
    settings = {**COMMON, **settings_of(family, trial)}
    if fold:
        settings["task.options.fold"] = fold
    if family in ("srnn", "cnn"):
        return load_recipe("movement", settings)
    most = weights_of(load_recipe("movement", COMMON))
    width = COMMON["network.hidden"][0]
    while True:
        settings["network.hidden"] = [width] * 2
        recipe = load_recipe("movement", settings, baseline=family)
        if weights_of(recipe) <= most:
            return recipe
        width -= 1


def settings_of(family: str, trial: str) -> dict[str, Any]:
    """Those of a trial, or of a trial that is not turned."""
    turned = TRIALS[family].get(f"{trial}, turned", {})
    return TRIALS[family].get(trial, {**turned, "training.augment.rotate": 0})


def weights_of(recipe: Recipe) -> int:
    return size(recipe.build_network(recipe.create_task(), 0))


def size(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def by_subject(right: Sequence[Any] | np.ndarray, groups: np.ndarray) -> dict[str, float]:
    """The accuracy of each subject."""
    right = np.asarray(right, float)
    return {str(group): float(right[groups == group].mean()) for group in np.unique(groups)}


def recurrent(family: str, trial: str, fold: str, seed: int, runs: Path | None) -> Row:
    """Ours or a baseline, by ``srnn train``."""
    with tempfile.TemporaryDirectory() as folder:
        train(
            recipe_of(family, trial, fold),
            Path(folder) / "run",
            seed=seed,
            examples=False,
            reporter=Reporter(),
        )
        trained = of_last_epoch(Run.open(Path(folder) / "run"))
    if runs is not None:
        trained.save(runs / f"{family}, {trial}, {fold.replace('/', ' of ')}, {seed}.safetensors")
    row: Row = {"parameters": size(trained.network)}
    for split in splits_of(fold):
        found = evaluate(trained, split)
        assert found.groups is not None
        row[split] = by_subject(found.counts[:, 0], found.groups)
        row["rate"] = (found.report["firing_rate"] or {}).get("mean")
    return row


def of_last_epoch(run: Run) -> Trained:
    """A run with the average of its weights at its end, in the place of its best epoch's."""
    trained, last = run.trained(), read_checkpoint(run.last)
    averaged = {
        name.removeprefix("average."): tensor
        for name, tensor in last.tensors.items()
        if name.startswith("average.")
    }
    trained.network.load_state_dict(averaged)
    return trained


def splits_of(fold: str) -> tuple[SplitName, ...]:
    return ("validation",) if fold else ("validation", "test")


def convolutional(family: str, trial: str, fold: str, seed: int, runs: Path | None) -> Row:
    """A causal CNN with as many parameters, the same batches and epochs, the same augmentation and
    average."""
    recipe = recipe_of(family, trial, fold)
    ready = prepare(recipe, seed=seed)
    task, config = ready.trained.task, recipe.training
    torch.manual_seed(seed)
    width = 8
    while size(CausalCNN(task.inputs, width + 1, task.outputs)) <= size(ready.network):
        width += 1
    net = CausalCNN(task.inputs, width, task.outputs)
    averaging = get_ema_multi_avg_fn(config.average or 0.0)
    average = AveragedModel(net, multi_avg_fn=averaging, use_buffers=True)
    optimizer = torch.optim.Adam(net.parameters(), config.optimizer.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.optimizer.lr, config.epochs * ready.steps_per_epoch
    )
    order = np.random.default_rng(seed)
    net.train()
    for epoch in range(config.epochs):
        rows = order.permutation(len(ready.train_set))
        for step in range(ready.steps_per_epoch):
            indices = rows[step * config.batch_size :][: config.batch_size]
            batch = ready.batches.take(indices, slice(None), epoch, step)
            optimizer.zero_grad()
            cnn_loss(net, batch, recipe.loss.label_smoothing).backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(net)
    row: Row = {"parameters": size(net)}
    for split in splits_of(fold):
        sequences = Sequences(task, split)
        assert sequences.groups is not None
        row[split] = by_subject(cnn_right(average, sequences), sequences.groups)
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


def cnn_right(net: nn.Module, sequences: Sequences) -> np.ndarray:
    """Whether each sequence is recognised."""
    net.eval()
    right = []
    with torch.no_grad():
        for batch in sequences.batches(256):
            right.append(net(as_dense(batch.x, torch.float32), batch.lengths).argmax(1) == batch.y)
    return torch.cat(right).numpy()


def minirocket(family: str, trial: str, fold: str, seed: int, runs: Path | None) -> Row:
    """aeon's classifier as it is, on windows of 100 samples; it reads whole ones, and cannot
    stream."""
    settings = {"task.options.pool": 1, "task.options.stride": 1, "task.options.fold": fold}
    task = load_recipe("movement", settings).create_task()
    learnt = task.load("train")
    convolutions = import_module("aeon.classification.convolution_based")
    model = convolutions.MiniRocketClassifier(random_state=seed)
    model.fit(np.asarray(learnt.x, float).transpose(0, 2, 1), learnt.y)
    row: Row = {"parameters": 10_000 * task.outputs}
    for split in splits_of(fold):
        held_out = task.load(split)
        assert held_out.groups is not None
        found = model.predict(np.asarray(held_out.x, float).transpose(0, 2, 1))
        row[split] = by_subject(found == held_out.y, held_out.groups)
    return row


WAYS: dict[str, Callable[[str, str, str, int, Path | None], Row]] = {
    "srnn": recurrent,
    "lstm": recurrent,
    "gru": recurrent,
    "cnn": convolutional,
    "minirocket": minirocket,
}


def measure(
    out: Path, family: str, trial: str, fold: str, seed: int, runs: Path | None = None
) -> Row:
    """One training, unless its line is there."""
    asked = {"family": family, "trial": trial, "fold": fold or "test", "seed": seed}
    for row in read_json_lines(out) if out.is_file() else []:
        if asked.items() <= row.items():
            return row
    began, processor = time.perf_counter(), time.process_time()
    row = asked | WAYS[family](family, trial, fold, seed, runs)
    row |= {
        "seconds": round(time.perf_counter() - began, 1),
        "processor_s": round(time.process_time() - processor, 1),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    append_line(out, json.dumps(row))
    print(*asked.values(), row["processor_s"], mean(row["validation"]), flush=True)
    return row


def mean(accuracies: dict[str, float]) -> float:
    return float(np.mean([*accuracies.values()]))


def search(out: Path, families: Sequence[str]) -> None:
    """Every trial on every fold: the first trials of all families first."""
    for rank in range(max(len(TRIALS[family]) for family in families)):
        for family in families:
            for trial in [*TRIALS[family]][rank : rank + 1]:
                for fold in FOLDS:
                    measure(out, family, trial, fold, TRIED)


def confirm(out: Path, family: str, runs: Path | None = None) -> None:
    """The family's best trial with fresh seeds, and once on the test subjects."""
    trial = best_trial(read_json_lines(out), family)
    for seed in seeds_of(family):
        for fold in FOLDS:
            measure(out, family, trial, fold, seed, runs)
    measure(out, family, trial, TEST, LAST)


def seeds_of(family: str) -> tuple[int, ...]:
    """Those of the result: fresh ones, where the first has chosen something."""
    return FRESH if len(TRIALS[family]) > 1 else (TRIED,)


def leave_out_turning(out: Path, family: str) -> None:
    """The best trial as it is without its rotations: what these are worth. It chooses nothing."""
    trial = best_trial(read_json_lines(out), family).removesuffix(", turned")
    for fold in FOLDS:
        measure(out, family, trial, fold, FRESH[0])


def best_trial(rows: Iterable[Row], family: str) -> str:
    """The one with the best mean over subjects 1 to 8."""
    found = [*rows]
    return max(TRIALS[family], key=lambda trial: people(found, family, trial, (TRIED,)).mean())


def people(rows: Iterable[Row], family: str, trial: str, seeds: Sequence[int]) -> np.ndarray:
    """The accuracy of each of subjects 1 to 8, the mean of these seeds; NaN where one is missing."""
    found = np.full((len(seeds), 8), np.nan)
    for row in rows:
        if (row["family"], row["trial"]) != (family, trial) or row["fold"] == "test":
            continue
        if row["seed"] in seeds:
            for subject, accuracy in row["validation"].items():
                number = int(subject.removeprefix("subject "))
                found[seeds.index(row["seed"]), number - 1] = accuracy
    return found.mean(0)


def trials_table(rows: Sequence[Row]) -> str:
    """A line for each trial, over subjects 1 to 8, seed 0."""
    lines = []
    for family, trials in TRIALS.items():
        for trial in trials:
            values = people(rows, family, trial, (TRIED,))
            folds = [row for row in rows if (row["family"], row["trial"]) == (family, trial)]
            seconds = np.mean([row["processor_s"] for row in folds])
            lines.append(
                [
                    family,
                    trial,
                    with_interval(values),
                    f"{100 * values.min():.1f}",
                    f"{seconds:.0f}",
                ]
            )
    return "\n".join(
        markdown_table(("family", "trial", "subjects 1 to 8", "the worst", "seconds"), lines)
    )


def table(rows: Sequence[Row]) -> str:
    """A line for each family: its best trial with fresh seeds over subjects 1 to 8, each held out
    once, and for each of the test subjects."""
    columns = (
        "family",
        "parameters",
        "trial",
        "subjects 1 to 8",
        "minus srnn",
        "the worst",
        "subject 9",
        "10",
    )
    ours, lines = np.zeros(8), []
    for family in TRIALS:
        trial = best_trial(rows, family)
        values = people(rows, family, trial, seeds_of(family))
        ours = values if family == "srnn" else ours
        (tested,) = (row for row in rows if row["family"] == family and row["fold"] == "test")
        difference = "-" if family == "srnn" else with_interval(values - ours)
        lines.append(
            [
                family,
                f"{tested['parameters']:,}",
                trial,
                with_interval(values),
                difference,
                f"{100 * values.min():.1f}",
                *(f"{100 * tested['test'][f'subject {number}']:.1f}" for number in (9, 10)),
            ]
        )
    return "\n".join(markdown_table(columns, lines))


def turning_table(rows: Sequence[Row]) -> str:
    """What rotations are worth over subjects 1 to 8, for each family that was also trained without
    them."""
    lines = []
    for family in TRIALS:
        trial = best_trial(rows, family)
        turned = people(rows, family, trial, FRESH[:1])
        plain = people(rows, family, trial.removesuffix(", turned"), FRESH[:1])
        if family != "minirocket" and not np.isnan(plain).any():
            lines.append([family, *map(with_interval, (turned, plain, turned - plain))])
    return "\n".join(markdown_table(("family", "turned", "not turned", "difference"), lines))


def with_interval(values: np.ndarray) -> str:
    """The mean of eight subjects in percent, with a 95 % interval: Student's t, seven degrees of
    freedom."""
    half = 2.365 * values.std(ddof=1) / np.sqrt(len(values))
    return f"{100 * values.mean():.1f} ± {100 * half:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="+", choices=list(TRIALS), default=list(TRIALS))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--runs", type=Path, help="keep the networks of fresh seeds here")
    parser.add_argument("--table", action="store_true", help="print the tables of what is there")
    given = parser.parse_args()
    if given.table:
        rows = read_json_lines(given.out)
        print(table(rows), trials_table(rows), turning_table(rows), sep="\n\n")
        return
    torch.set_num_threads(1)
    search(given.out, given.families)
    for family in given.families:
        confirm(given.out, family, given.runs)
    for family in given.families:
        if family != "minirocket":
            leave_out_turning(given.out, family)


if __name__ == "__main__":
    main()
