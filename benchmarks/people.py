"""People whom training has not seen: ours beside what people would pick instead, by
cross-validation over subjects or records.

    python -m benchmarks.people ecg           # a line of results/people/ecg.jsonl a training
    python -m benchmarks.people ecg --table   # the tables of results/people/README.md from them

    ecg            the wave segments of the heart's cycle, the paper's file
    ecg-records    the same of raw records, by their names; not the 28 that are for testing
    movement       exercises seen by a watch (srnn data prepare movement; pip install aeon, for
                   MiniROCKET); its lines and tables are in results/movement

Each family tries its trials on all folds with one seed. The one with the best mean over people goes
on: two fresh seeds on the same folds are the result. Where a study names test people, one network
of each family, of a third fresh seed, reads them once.

Every network is as wide as the study's number of parameters allows, and is the average of its
weights at the end of its last epoch, whatever its family: nothing is chosen by those who are held
out but the trial.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from srnn.data.batches import Batch, Sequences
from srnn.data.datasets.base import Split, SplitName
from srnn.data.datasets.splitting import Shares, split_by_group
from srnn.data.spikes import as_dense
from srnn.data.tasks import Task
from srnn.files import append_line, read_json_lines
from srnn.model.checkpoints import read_checkpoint
from srnn.model.trained import Trained
from srnn.nn.losses import Loss
from srnn.progress import Reporter
from srnn.text import markdown_table
from srnn.training.evaluation import evaluate_sequences, run_batches
from srnn.training.loop import train
from srnn.training.optimisation import build_optimizer
from srnn.training.preparing import prepare
from srnn.training.recipes import Recipe, load_recipe
from srnn.training.runs import Run

from .board import step_nj
from .cnn import CausalCNN, cnn_step_nj, of_mixed, size, train_cnn

Settings = Mapping[str, Any]
Trials = Mapping[str, Settings]
Row = dict[str, Any]

LR, NEURON, HIDDEN = "training.optimizer.lr", "network.neuron", "network.hidden"
DROPOUT, DILATIONS = "training.dropout", "dilations"
TEST = ""
"""The place of a fold's name where the recipe's own split is read, and its test people."""
TRIED, FRESH, LAST = 0, (1, 2), 3
"""The seed of the trials, those of the result, and that of the networks that read test people."""


@dataclass(frozen=True)
class Study:
    """A task on which families are compared."""

    recipe: str
    out: Path
    whom: str
    """Who is held out, each once: the title of a column."""
    most: int
    """Parameters that a network may have."""
    parts: int
    """Folds."""
    common: Settings
    """Settings of all trials, in place of the recipe's."""
    trials: Mapping[str, Trials]
    """What each family tries. Hidden layers are named for their number alone: their sizes follow
    from ``most``."""
    apart: Mapping[str, Trials] = field(default_factory=dict)
    """What is trained beside the best trial with the first fresh seed, to see what something is
    worth. It chooses nothing, and is as wide as it says."""
    silent: tuple[str, ...] = ()
    """People who choose nothing: a test elsewhere is of them."""
    tested: tuple[str, ...] = ()
    """Test people, whom one network of each family reads once."""

    @property
    def folds(self) -> list[str]:
        return [f"{part}/{self.parts}" for part in range(1, self.parts + 1)]

    def settings(self, family: str, trial: str) -> dict[str, Any]:
        known = {**self.trials[family], **self.apart.get(family, {})}
        return {**self.common, **known[trial]}


# --- the studies --------------------------------------------------------------------------------

OUT = Path("results/people")
ADLIF = {
    "name": "adlif",
    "tau_mem": "uniform(5, 25)",
    "tau_adp": "uniform(60, 300)",
    "threshold": 1.0,
    "time_constants": "log",
}
TURNED = {"training.augment.rotate": 20}
"""All axes of both sensors together, by up to 20 degrees."""
RATES: Trials = {
    "0.005, turned": {LR: 0.005, **TURNED},
    "0.01, turned": {LR: 0.01, **TURNED},
    "0.002, turned": {LR: 0.002, **TURNED},
    "0.02, turned": {LR: 0.02, **TURNED},
}
"""Of movement's families but ours."""
STRETCHED = {"training.augment.stretch": 0.2}
TWO = {HIDDEN: [1, 1]}
LONG = {"training.epochs": 60, "training.batch_size": 8}
BACK = {DILATIONS: (1, 8, 64)}
"""A CNN looks back by 168 steps of 4 ms."""
CSILIF, STRONGER = {NEURON: "csilif"}, {LR: 0.02, DROPOUT: 0.3}
BEATS = {
    HIDDEN: [1],
    "training.epochs": 24,
    "training.batch_size": 16,
    "training.average": 0.99,
    DROPOUT: 0.1,
    LR: 0.01,
}
"""Of both studies of the heart's beats."""
SHORT: Trials = {
    "0.005": {LR: 0.005},
    "0.01": {},
    "0.02": {LR: 0.02},
    "0.01, dropout 0.3": {DROPOUT: 0.3},
    "0.01, two layers": TWO,
}
"""Of torch's cells in both studies of the heart's beats."""
CELLS: Trials = {
    **SHORT,
    "0.0037, long": {LR: 0.0037, **LONG},
    "0.0074, long": {LR: 0.0074, **LONG},
    "0.0074, long, dropout 0.3": {LR: 0.0074, **LONG, DROPOUT: 0.3},
}
"""Of the LSTM and the GRU on raw records."""
OF_THE_FILE: Mapping[str, Trials] = {
    "srnn": {
        "adlif, 0.02": {NEURON: ADLIF, **STRONGER},
        "csilif": CSILIF,
        "csilif, 0.02, dropout 0.3": {**CSILIF, **STRONGER},
        "silif, 0.02": {NEURON: "silif", LR: 0.02},
        "csilif, two layers": {**CSILIF, **TWO},
        "csilif, stretched": {**CSILIF, **STRETCHED},
        "csilif, stretched, 0.02, dropout 0.3": {**CSILIF, **STRETCHED, **STRONGER},
        "csilif, stretched, delays": {
            **CSILIF,
            **STRETCHED,
            "network.delays": {"recurrent": "uniform(0, 50)"},
        },
    },
    "lstm": {
        **SHORT,
        "0.01, stretched": STRETCHED,
        "0.0074, stretched, long": {LR: 0.0074, **STRETCHED, **LONG},
        "0.0074, stretched, long, dropout 0.3": {LR: 0.0074, **STRETCHED, **LONG, DROPOUT: 0.3},
    },
    "cnn": {
        "0.005": {LR: 0.005, **BACK},
        "0.01": BACK,
        "0.01, stretched": {**BACK, **STRETCHED},
        "0.02, stretched": {LR: 0.02, **BACK, **STRETCHED},
        "0.01, stretched, dropout 0.3": {**BACK, **STRETCHED, DROPOUT: 0.3},
        "0.01, stretched, long": {**BACK, **STRETCHED, **LONG},
        "0.02, stretched, long": {LR: 0.02, **BACK, **STRETCHED, **LONG},
        "0.02, stretched, long, dropout 0.3": {
            LR: 0.02,
            DROPOUT: 0.3,
            **BACK,
            **STRETCHED,
            **LONG,
        },
    },
}
"""The last two of ours and of the LSTM, and the CNN's last five, were decided on when the others had
been seen. Long: smaller and more steps; 0.0074 is the rate that an earlier search found for
LSTMs."""
OF_RECORDS: Mapping[str, Trials] = {
    "srnn": {
        "adlif, 0.02, dropout 0.3": {NEURON: ADLIF, **STRONGER},
        "adlif, 0.02, long, dropout 0.3": {NEURON: ADLIF, **STRONGER, **LONG},
        "adlif, two layers, 0.01, dropout 0.3": {NEURON: ADLIF, **TWO, DROPOUT: 0.3},
        "csilif, 0.02": {**CSILIF, LR: 0.02},
        "csilif, 0.01, dropout 0.3": {**CSILIF, DROPOUT: 0.3},
        "csilif, 0.02, dropout 0.3": {**CSILIF, **STRONGER},
        "csilif, 0.02, long, dropout 0.3": {**CSILIF, **STRONGER, **LONG},
        "csilif, 0.02, long, dropout 0.5": {**CSILIF, **LONG, LR: 0.02, DROPOUT: 0.5},
    },
    "lstm": CELLS,
    "gru": CELLS,
    "cnn": {
        "0.005": {LR: 0.005, **BACK},
        "0.01": BACK,
        "0.02": {LR: 0.02, **BACK},
        "0.01, dropout 0.3": {**BACK, DROPOUT: 0.3},
        "0.005, long": {LR: 0.005, **BACK, **LONG},
        "0.01, long": {**BACK, **LONG},
        "0.02, long": {LR: 0.02, **BACK, **LONG},
        "0.02, long, dropout 0.3": {LR: 0.02, DROPOUT: 0.3, **BACK, **LONG},
    },
}
"""All decided on before any was trained. The recipe's augmentation is everyone's: hearts made faster
and slower, and leads mixed."""

STUDIES = {
    "ecg": Study(
        recipe="ecg",
        out=OUT / "ecg.jsonl",
        whom="records",
        most=6270,
        parts=3,
        common=BEATS,
        trials=OF_THE_FILE,
        apart={
            "srnn": {
                "adlif, stretched, 0.02, dropout 0.3": {
                    HIDDEN: [71],
                    NEURON: ADLIF,
                    **STRETCHED,
                    **STRONGER,
                },
                "the recipe's 36 adlif": {HIDDEN: [36], NEURON: ADLIF, LR: 0.02, DROPOUT: 0},
                "the recipe's 36 adlif, stretched": {
                    HIDDEN: [36],
                    NEURON: ADLIF,
                    LR: 0.02,
                    DROPOUT: 0,
                    **STRETCHED,
                },
                "csilif, stretched, 0.02, dropout 0.3, long": {
                    HIDDEN: [71],
                    **CSILIF,
                    **STRETCHED,
                    **STRONGER,
                    **LONG,
                },
            },
        },
    ),
    "ecg-records": Study(
        recipe="ecg-records",
        out=OUT / "ecg-records.jsonl",
        whom="records",
        most=6270,
        parts=3,
        common={**BEATS, "task.options.smoothing": 7, "task.options.mains": []},
        trials=OF_RECORDS,
        silent=("sele0129",),
        apart={
            "srnn": {
                "36 csilif, 0.02, long, dropout 0.1": {
                    HIDDEN: [36],
                    **CSILIF,
                    **LONG,
                    LR: 0.02,
                },
            },
        },
    ),
    "movement": Study(
        recipe="movement",
        out=Path("results/movement/movement.jsonl"),
        whom="subjects 1 to 8",
        most=14_030,
        parts=4,
        common={
            "task.options.stride": 1,
            HIDDEN: [1, 1],
            NEURON: "adlif",
            "loss.name": "ce_mean",
            "training.epochs": 12,
            "training.batch_size": 32,
            "training.augment.rotate": 0,
        },
        trials={
            "srnn": {
                "adlif, turned": {LR: 0.02, **TURNED},
                "csilif, turned": {LR: 0.02, **TURNED, NEURON: "csilif"},
                "silif, turned": {LR: 0.02, **TURNED, NEURON: "silif"},
                "silif, 0.04, turned": {LR: 0.04, **TURNED, NEURON: "silif"},
            },
            "lstm": RATES,
            "gru": RATES,
            "cnn": RATES,
            "minirocket": {"as it is": {"task.options.pool": 1}},
        },
        apart={"srnn": {"silif, 0.04": {LR: 0.04, NEURON: "silif", HIDDEN: [64, 64]}}},
        tested=("subject 9", "subject 10"),
    ),
}


# --- one training -------------------------------------------------------------------------------


def recipe_of(study: Study, family: str, trial: str, fold: str) -> Recipe:
    """The recipe with a trial's settings; as a baseline where the family is one."""
    settings = study.settings(family, trial)
    settings.pop(DILATIONS, None)
    if fold and has_folds(load_recipe(study.recipe, study.common).create_task()):
        settings["task.options.fold"] = fold
    baseline = family if family in ("lstm", "gru") else None
    if family not in ("srnn", "lstm", "gru") or trial in study.apart.get(family, {}):
        return load_recipe(study.recipe, settings, baseline=baseline)

    def wide(width: int) -> Recipe:
        hidden = {HIDDEN: [width] * len(settings[HIDDEN])}
        return load_recipe(study.recipe, {**settings, **hidden}, baseline=baseline)

    task = load_recipe(study.recipe, settings, baseline=baseline).create_task()

    def weights(width: int) -> int:
        return size(wide(width).build_network(task, 0))

    return wide(widest(weights, study.most))


def widest(weights: Callable[[int], int], most: int) -> int:
    """The largest width, from 8 on, with at most so many weights."""
    width = 8
    while weights(width + 1) <= most:
        width += 1
    return width


def task_of(recipe: Recipe, fold: str) -> Task:
    """The recipe's task with a fold of its people for validation. A task that has folds of its own
    makes them the same way."""
    task = recipe.create_task()
    if not fold or has_folds(task):
        return task
    part, parts = map(int, fold.split("/"))
    everyone = whole(task)
    assert everyone.groups is not None
    split_of = split_by_group(everyone.groups.tolist(), Shares(fold=(part, parts)))
    held_out = np.array([split_of[group] == "test" for group in everyone.groups])

    class Folded(type(task)):
        def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
            assert split != "test"
            return everyone.take(held_out if split == "validation" else ~held_out)

    return Folded(**task.chosen())


def has_folds(task: Task) -> bool:
    return "fold" in {option.name for option in fields(task)}


@lru_cache(maxsize=1)
def whole(task: Task) -> Split:
    """The sequences of training and validation together."""
    both = [task.load("train"), task.load("validation")]
    return Split(
        **{of.name: _joined(*(getattr(one, of.name) for one in both)) for of in fields(Split)}
    )


def _joined(one: Any, other: Any) -> Any:
    if one is None:
        return None
    if isinstance(one, np.ndarray):
        return np.concatenate([one, other])
    return [*one, *other]


def recurrent(
    study: Study, family: str, trial: str, fold: str, seed: int, runs: Path | None
) -> Row:
    """Ours or a baseline, by ``srnn train``."""
    recipe = recipe_of(study, family, trial, fold)
    task = task_of(recipe, fold)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(recipe, run, seed=seed, task=task, examples=False, reporter=Reporter())
        trained = of_last_epoch(Run.open(run))
    if runs is not None:
        trained.save(runs / f"{family}, {trial}, {fold.replace('/', ' of ')}, {seed}.safetensors")
    row: Row = {"parameters": size(trained.network)}
    for split in splits_of(fold):
        sequences = Sequences(task, split)
        found = evaluate_sequences(trained, sequences, split).report["firing_rate"] or {}
        row["rate"] = found.get("mean")
        row["step_nj"] = step_nj(trained.network, found.get("layers"))
        ran = run_batches(trained.network, sequences.batches(128), seed=seed)
        outputs = ((batch, result.output) for batch, result in ran)
        row[split] = by_group(trained.loss, outputs, sequences)
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


def by_group(
    loss: Loss, outputs: Iterable[tuple[Batch, torch.Tensor]], sequences: Sequences
) -> dict[str, float]:
    """The accuracy of each person, as the recipe's loss counts decisions."""
    counts = []
    for batch, output in outputs:
        for row in range(len(output)):
            lengths = None if batch.lengths is None else batch.lengths[row : row + 1]
            scored = loss(output[row : row + 1], batch.y[row : row + 1], lengths)
            counts.append((scored.correct, scored.counted))
    right, counted = np.array(counts, float).T
    groups = sequences.groups
    assert groups is not None
    return {
        str(group): float(right[groups == group].sum() / counted[groups == group].sum())
        for group in np.unique(groups)
    }


def convolutional(
    study: Study, family: str, trial: str, fold: str, seed: int, runs: Path | None
) -> Row:
    """A causal CNN, with the same batches and epochs, the same augmentation and average."""
    recipe = recipe_of(study, family, trial, fold)
    task, config = task_of(recipe, fold), recipe.training
    ready = prepare(recipe, seed=seed, task=task)
    dilations = study.settings(family, trial).get(DILATIONS, (1, 1, 1))

    def wide(width: int) -> CausalCNN:
        return CausalCNN(task.inputs, width, task.outputs, dilations, config.dropout)

    width = widest(lambda width: size(wide(width)), study.most)
    torch.manual_seed(seed)
    net = wide(width)
    averaging = get_ema_multi_avg_fn(config.average or 0.0)
    average = AveragedModel(net, multi_avg_fn=averaging, use_buffers=True)

    def loss(batch: Batch) -> torch.Tensor:
        output = net.at_each_step(as_dense(batch.x, torch.float32))
        return of_mixed(lambda y: ready.loss(output, y, batch.lengths).loss, batch)

    def update() -> None:
        average.update_parameters(net)

    optimizer = build_optimizer(net, config.optimizer, {})
    train_cnn(net, ready, optimizer, config.optimizer.lr, seed, loss, update)
    row: Row = {"parameters": size(net), "step_nj": cnn_step_nj(net)}
    net.load_state_dict(average.module.state_dict())
    net.eval()
    for split in splits_of(fold):
        sequences = Sequences(task, split)
        row[split] = by_group(ready.loss, cnn_outputs(net, sequences), sequences)
    return row


@torch.no_grad()
def cnn_outputs(net: CausalCNN, sequences: Sequences) -> Iterator[tuple[Batch, torch.Tensor]]:
    for batch in sequences.batches(128):
        yield batch, net.at_each_step(as_dense(batch.x, torch.float32))


def minirocket(
    study: Study, family: str, trial: str, fold: str, seed: int, runs: Path | None
) -> Row:
    """aeon's classifier as it is; it reads whole recordings, and cannot stream."""
    task = task_of(recipe_of(study, family, trial, fold), fold)
    learnt = task.load("train")
    convolutions = import_module("aeon.classification.convolution_based")
    model = convolutions.MiniRocketClassifier(random_state=seed)
    model.fit(np.asarray(learnt.x, float).transpose(0, 2, 1), learnt.y)
    row: Row = {"parameters": 10_000 * task.outputs}
    for split in splits_of(fold):
        held_out = task.load(split)
        found = model.predict(np.asarray(held_out.x, float).transpose(0, 2, 1))
        right, groups = found == held_out.y, held_out.groups
        assert groups is not None
        row[split] = {str(who): float(right[groups == who].mean()) for who in np.unique(groups)}
    return row


WAYS: dict[str, Callable[[Study, str, str, str, int, Path | None], Row]] = {
    "srnn": recurrent,
    "lstm": recurrent,
    "gru": recurrent,
    "cnn": convolutional,
    "minirocket": minirocket,
}


def measure(
    study: Study, family: str, trial: str, fold: str, seed: int, runs: Path | None = None
) -> Row:
    """One training, unless its line is there."""
    asked = {"family": family, "trial": trial, "fold": fold or "test", "seed": seed}
    for row in rows_of(study):
        if asked.items() <= row.items():
            return row
    began, processor = time.perf_counter(), time.process_time()
    row = asked | WAYS[family](study, family, trial, fold, seed, runs)
    row |= {
        "seconds": round(time.perf_counter() - began, 1),
        "processor_s": round(time.process_time() - processor, 1),
    }
    study.out.parent.mkdir(parents=True, exist_ok=True)
    append_line(study.out, json.dumps(row))
    mean = float(np.mean([*row["validation"].values()]))
    print(*asked.values(), row["parameters"], row["processor_s"], round(mean, 4), flush=True)
    return row


def rows_of(study: Study) -> list[Row]:
    return read_json_lines(study.out) if study.out.is_file() else []


# --- what is trained ----------------------------------------------------------------------------


def search(study: Study, families: Sequence[str]) -> None:
    """Every trial on every fold: the first trials of all families first."""
    for rank in range(max(len(study.trials[family]) for family in families)):
        for family in families:
            for trial in [*study.trials[family]][rank : rank + 1]:
                for fold in study.folds:
                    measure(study, family, trial, fold, TRIED)


def confirm(study: Study, family: str, runs: Path | None = None) -> None:
    """The family's best trial with fresh seeds, once on the test people, and what is beside it."""
    trial = best_trial(study, rows_of(study), family)
    for seed in seeds_of(study, family):
        for fold in study.folds:
            measure(study, family, trial, fold, seed, runs)
    if study.tested:
        measure(study, family, trial, TEST, LAST)
    for other in study.apart.get(family, {}):
        for fold in study.folds:
            measure(study, family, other, fold, FRESH[0])


def seeds_of(study: Study, family: str) -> tuple[int, ...]:
    """Those of the result: fresh ones, where the first has chosen something."""
    return FRESH if len(study.trials[family]) > 1 else (TRIED,)


def best_trial(study: Study, rows: Iterable[Row], family: str) -> str:
    """The one with the best mean over people."""
    found = [without(study.silent, row) for row in rows]

    def mean(trial: str) -> float:
        values = people(found, family, trial, (TRIED,))
        assert not np.isnan(values).any(), f"{family}, {trial}: not everyone was held out"
        return float(values.mean())

    return max(study.trials[family], key=mean)


def without(silent: Sequence[str], row: Row) -> Row:
    held_out = {who: of for who, of in row["validation"].items() if who not in silent}
    return {**row, "validation": held_out}


def people(rows: Iterable[Row], family: str, trial: str, seeds: Sequence[int]) -> np.ndarray:
    """The accuracy of each person who is held out in any row, in the order of their names, the mean
    of these seeds; NaN where one is missing."""
    found = [row for row in rows if row["fold"] != "test"]
    names = sorted({name for row in found for name in row["validation"]})
    values = np.full((len(seeds), len(names)), np.nan)
    for row in found:
        if (row["family"], row["trial"]) == (family, trial) and row["seed"] in seeds:
            for name, accuracy in row["validation"].items():
                values[seeds.index(row["seed"]), names.index(name)] = accuracy
    return values.mean(0)


# --- tables -------------------------------------------------------------------------------------


def trials_table(study: Study, rows: Sequence[Row]) -> str:
    """A line for each trial, over all people, with the seed of the trials."""
    lines = []
    for family, trials in study.trials.items():
        for trial in trials:
            values = people(rows, family, trial, (TRIED,))
            if np.isnan(values).any():
                continue
            tried = [row for row in rows if (row["family"], row["trial"]) == (family, trial)]
            seconds = np.mean([row["processor_s"] for row in tried])
            worst = f"{100 * values.min():.1f}"
            lines.append([family, trial, with_interval(values), worst, f"{seconds:.0f}"])
    titles = ("family", "trial", study.whom, "the worst", "seconds")
    return "\n".join(markdown_table(titles, lines))


def table(study: Study, rows: Sequence[Row]) -> str:
    """A line for each family: its best trial with fresh seeds over people, each held out once, and
    for each of the test people."""
    titles = ["family", "parameters", "trial", study.whom, "minus srnn", "the worst"]
    with_energy = all("step_nj" in row for row in rows)
    if with_energy:
        titles.append("nJ a step")
    ours, lines = np.zeros(0), []
    for family in study.trials:
        trial, seeds = best_trial(study, rows, family), seeds_of(study, family)
        values = people(rows, family, trial, seeds)
        chosen = [
            row
            for row in rows
            if (row["family"], row["trial"]) == (family, trial) and row["seed"] in seeds
        ]
        difference = "-"
        if family == "srnn":
            ours = values
        else:
            difference = with_interval(values - ours)
        parameters, worst = chosen[0]["parameters"], f"{100 * values.min():.1f}"
        line = [family, f"{parameters:,}", trial, with_interval(values), difference, worst]
        if with_energy:
            line.append(f"{np.mean([row['step_nj'] for row in chosen]):.0f}")
        lines.append([*line, *_tested(study, rows, family)])
    return "\n".join(markdown_table([*titles, *study.tested], lines))


def _tested(study: Study, rows: Sequence[Row], family: str) -> list[str]:
    if not study.tested:
        return []
    (tested,) = (row for row in rows if row["family"] == family and row["fold"] == "test")
    return [f"{100 * tested['test'][who]:.1f}" for who in study.tested]


def folds_table(study: Study, rows: Sequence[Row]) -> str:
    """The difference from ours fold by fold, means over people and fresh seeds, in points."""
    lines = []
    for family in study.trials:
        if family == "srnn":
            continue
        difference = [
            _of_fold(study, rows, family, fold) - _of_fold(study, rows, "srnn", fold)
            for fold in study.folds
        ]
        lines.append([family, *(f"{100 * one:+.1f}" for one in difference)])
    return "\n".join(markdown_table(["minus srnn", *study.folds], lines))


def _of_fold(study: Study, rows: Sequence[Row], family: str, fold: str) -> float:
    trial, seeds = best_trial(study, rows, family), seeds_of(study, family)
    mine = [
        np.mean([*row["validation"].values()])
        for row in rows
        if (row["family"], row["trial"], row["fold"]) == (family, trial, fold)
        and row["seed"] in seeds
    ]
    return float(np.mean(mine))


def apart_table(study: Study, rows: Sequence[Row]) -> str:
    """The best trials beside what differs from them, with the same seed."""
    lines = []
    for family, others in study.apart.items():
        best = people(rows, family, best_trial(study, rows, family), FRESH[:1])
        for name in others:
            values = people(rows, family, name, FRESH[:1])
            lines.append([family, name, *map(with_interval, (values, best, best - values))])
    titles = ("family", "apart", study.whom, "the best trial", "difference")
    return "\n".join(markdown_table(titles, lines))


def tables(study: Study) -> list[str]:
    """All that the study's page shows."""
    rows = rows_of(study)
    return [show(study, rows) for show in (table, folds_table, trials_table, apart_table)]


def with_interval(values: np.ndarray) -> str:
    """The mean over people in percent, with a 95 % interval by Student's t."""
    quantile = student.ppf(0.975, len(values) - 1)
    half = quantile * values.std(ddof=1) / np.sqrt(len(values))
    return f"{100 * values.mean():.1f} ± {100 * half:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", choices=list(STUDIES))
    parser.add_argument("--families", nargs="+", choices=list(WAYS))
    parser.add_argument("--runs", type=Path, help="keep the networks of fresh seeds here")
    parser.add_argument("--table", action="store_true", help="print the tables of what is there")
    given = parser.parse_args()
    study = STUDIES[given.study]
    if given.table:
        print(*tables(study), sep="\n\n")
        return
    if given.runs is not None:
        given.runs.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    families = given.families or list(study.trials)
    search(study, families)
    for family in families:
        confirm(study, family, given.runs)


if __name__ == "__main__":
    main()
