"""What training refuses: settings, data of one's own, networks that a rule cannot train."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import srnn
from srnn import SRNN, Adaptation
from srnn.data.augment_config import AugmentConfig
from srnn.model.network import NetworkConfig
from srnn.model.opening import open_trained
from srnn.training.compression import magnitude_masks
from srnn.training.compression.masks import apply_masks
from srnn.training.compression.neurons import smaller_recipe, to_drop
from srnn.training.loop import train
from srnn.training.recipes import load_recipe, parse_recipe
from srnn.training.recipes.baselines import as_baseline
from srnn.training.rules import DRTRL, EProp, Learner
from srnn.training.runs import Run
from support.refusing import Refusal, refusals
from support.tiny import TinyTask, tiny_recipe

Y = np.arange(24) % 2
X = np.random.default_rng(0).normal(size=(24, 6, 2)) + Y[:, None, None]
PAIRS = torch.utils.data.TensorDataset(torch.zeros(4, 3, 2))


def net(**options: Any) -> Any:
    return SRNN.paper(3, [4], 2, **options)


def adaptation(**options: Any) -> Any:
    return lambda: Adaptation(**options)


def digits(*words: str) -> Any:
    return lambda: load_recipe("digits", words)


def fit(**given: Any) -> Any:
    return lambda folder: srnn.fit(**{"x": X, "y": Y, "out": folder / "run", "epochs": 1, **given})


def learn(**options: Any) -> Any:
    return lambda: Learner(net(**options), DRTRL(), 1)


ADAPTING = [
    Refusal("lr", "value", adaptation(lr=0.0)),
    Refusal("lr", "value", adaptation(lr=1e300)),
    Refusal("lr", "value", adaptation(lr="fast")),
    Refusal("bound", "value", adaptation(bound=-1.0)),
    Refusal("feedback", "value", adaptation(feedback="x")),
    Refusal("window", "value", adaptation(window=4.5)),
    Refusal("window", "value", adaptation(window=0)),
    Refusal("train", "value", adaptation(train="hidden")),
    Refusal("rule", "value", adaptation(rule="tbptt")),
    Refusal("optimizer", "value", adaptation(optimizer="adamw")),
]

RULES = [
    Refusal("rule", "value", lambda: Learner(net(), EProp, 1)),  # type: ignore[arg-type]
    Refusal("network", "value", lambda: Learner(torch.nn.LSTM(2, 3), EProp(), 1)),  # type: ignore[arg-type]
    Refusal("batch", "value", lambda: Learner(net(), EProp(), "1")),  # type: ignore[arg-type]
    Refusal("feedback", "value", lambda: EProp("learned")),  # type: ignore[arg-type]
    Refusal("network", "unsupported", learn(bidirectional=True), "is bidirectional"),
    Refusal("network", "unsupported", learn(substeps=2), "takes substeps"),
    Refusal("network", "unsupported", learn(norm="batch"), "has batch norm"),
    Refusal("network", "unsupported", learn(encoder="learned_ternary"), "has a trained encoder"),
    Refusal("network", "unsupported", learn(delays={"input": 2}), "has delays"),
]

SHARES = [
    *(
        Refusal("sparsity", "value", partial(magnitude_masks, net(), share))  # type: ignore[arg-type]
        for share in (1.0, -0.1, float("nan"), "0.5", True)
    ),
    Refusal("share", "value", lambda: to_drop([3], 1.0)),
    Refusal("scope", "value", lambda: magnitude_masks(net(), 0.5, "neuron")),  # type: ignore[arg-type]
    Refusal(
        "layers.0.weight_in",
        "data",
        lambda: apply_masks(net(), {"layers.0.weight_in": torch.ones(2, 2, dtype=torch.bool)}),
    ),
    Refusal(
        "removed",
        "value",
        lambda: smaller_recipe(tiny_recipe(), [torch.ones(8, dtype=torch.bool)]),
    ),
]

EPOCHS, RATE = "training.epochs", "training.optimizer.lr"
RECIPES = [
    Refusal("training.epohcs", "name", digits("--training.epohcs", "5"), f"mean '{EPOCHS}'"),
    Refusal("epochs", "name", digits("--epochs", "5"), f"mean '{EPOCHS}'"),
    Refusal(f"{RATE}r", "name", digits(f"--{RATE}r", "5"), f"mean '{RATE}'"),
    Refusal("netwrok", "name", digits("--netwrok.hidden", "[3]"), "mean 'network'"),
    *(Refusal(EPOCHS, "value", digits("--training.epochs", one)) for one in ("many", "2.5", "0")),
    *(Refusal(RATE, "value", digits(f"--{RATE}", one)) for one in ("-1", ".nan", "1e300")),
    Refusal(
        "training.optimizer.weight_decay",
        "value",
        digits("--training.optimizer.weight_decay", "1e9"),
    ),
    Refusal("training.lr_scale.*", "value", digits("--training.lr_scale", "{'*': 1e9}")),
    Refusal("training.optimizer.name", "value", digits("--training.optimizer.name", "sgd")),
    Refusal("network.hidden", "value", digits("--network.hidden", "[]")),
    Refusal("network.hidden", "value", digits("--network.hidden", "[8, a]")),
    Refusal("training", "value", digits("--training", "5")),
    Refusal(EPOCHS, "missing", digits("--training.epochs")),
    Refusal("settings", "value", digits("epochs")),
    Refusal("settings", "value", lambda: load_recipe("digits", "training.epochs=3")),
    Refusal("training.epochs.more", "name", digits("--training.epochs.more", "1")),
    *(
        Refusal("training.class_weights", "value", digits(f"--training.class_weights={one}"))
        for one in ("equal", "[1, 2]")
    ),
    *(
        Refusal("training.class_weights.b", "value", digits(f"--training.class_weights={one}"))
        for one in ("{b: 0}", "{b: -1}", "{b: .nan}", "{b: 2e6}")
    ),
    *(
        Refusal("training.average", "value", digits(f"--training.average={decay}"))
        for decay in (0.0, 1.0, -1.0)
    ),
    Refusal("training.augment.mix", "value", lambda: AugmentConfig(mix=-0.1)),
    Refusal(
        "baseline",
        "conflict",
        lambda: as_baseline(parse_recipe("task: {name: digits}\nnetwork: {model: rnn}"), "lif"),
    ),
    Refusal("baseline", "name", lambda: load_recipe("digits", baseline="lsmt"), "mean 'lstm'"),
    Refusal("recipe", "name", lambda: load_recipe("digit"), "mean 'digits'"),
    Refusal("nowhere.yaml", "missing", lambda: load_recipe("nowhere.yaml")),
    Refusal("the recipe", "file", lambda: parse_recipe("[1]")),
]


def spikeless(text: str) -> None:
    recipe = parse_recipe(text, ["--task.name", "digits", "--network.model", "lstm"])
    recipe.build_network(recipe.create_task(), 0)


NETWORKS = [
    Refusal("loss.name", "conflict", lambda: spikeless("loss: {name: ce_spike_count}")),
    Refusal("loss.rate", "conflict", lambda: spikeless("loss: {rate: {weight: 1, upper: 0.1}}")),
    Refusal("network.backend", "conflict", lambda: NetworkConfig("gru", backend="x")),
]


def trained(folder: Path, *words: str, **options: Any) -> None:
    train(tiny_recipe(*words), folder / "run", task=TinyTask(), **options)


RUNS = [
    Refusal("{}", "missing", lambda folder: Run.open(folder)),
    Refusal("seed", "value", lambda folder: trained(folder, seed=-1)),
    Refusal("resume", "conflict", lambda folder: trained(folder, resume=True, overwrite=True)),
    Refusal("logger", "name", lambda folder: trained(folder, logger="tensorbord"), "'tensorboard'"),
    Refusal(
        "training.lr_scale", "name", lambda folder: trained(folder, "--training.lr_scale={x: 1}")
    ),
    Refusal("nowhere", "missing", lambda: open_trained("nowhere")),
    Refusal("name", "name", lambda: srnn.model.pretrained.read_card("egg"), "ecg"),
]

DATA = [
    Refusal("y", "missing", fit(y=None)),
    Refusal("y", "data", fit(y=Y[:-1]), "y has 23 labels"),
    Refusal("y", "data", fit(y=Y * 1j)),
    Refusal("y", "data", fit(y=3), "a class for each of 24 sequences"),
    Refusal("y", "data", fit(y=[None, "a"] * 12)),
    Refusal("y", "data", fit(y=["a", 1] * 12), "not both"),
    Refusal("y", "data", fit(y=[[0, 1], 1] * 12), "a list for the steps of each"),
    Refusal("classes", "data", fit(y=Y * 0), "only one class, 0"),
    Refusal("x", "data", fit(x=np.full(X.shape, "a")), "not <U1"),
    Refusal("x", "data", fit(x=X.astype(object)), "not object"),
    Refusal("x", "data", fit(x=X[0, 0]), r"not float64 \(2,\)"),
    Refusal("x", "data", fit(x={"a": X}), "not a dict"),
    Refusal("x", "data", fit(x=pd.DataFrame(X[0])), "one recording: give a list"),
    Refusal("x", "data", fit(x=[], y=[]), "is empty"),
    Refusal("x", "data", fit(x=X[:0], y=Y[:0]), "is empty"),
    Refusal("x[23]", "data", fit(x=[*X[1:], X[:1]]), r"not float64 \(1, 6, 2\)"),
    Refusal("x[23]", "data", fit(x=[*X[1:], "a.csv"]), "not 'a.csv'"),
    Refusal("channels", "value", fit(channels=[0, 1]), "by text and not by 0"),
    Refusal("lengths", "conflict", fit(x=list(X), lengths=[6] * 24)),
    Refusal("lengths", "value", fit(lengths=[7] * 24, validation=(X, Y)), "from 1 to 6, not 7"),
    Refusal("rate", "value", fit(rate=0)),
    Refusal("validation", "value", fit(validation=X)),
    Refusal("groups", "conflict", fit(validation=(X, Y), groups=Y)),
    Refusal("y of validation", "data", fit(validation=(X, Y.astype(str)))),
    Refusal("y of validation", "data", fit(validation=(X, Y[:3])), "has 3 labels"),
    Refusal("x", "data", fit(x=PAIRS, y=None), "item 0"),
    Refusal("y", "conflict", fit(x="nowhere.npz"), "which is for arrays"),
]


@refusals([*ADAPTING, *RULES, *SHARES, *RECIPES, *NETWORKS, *RUNS, *DATA])
def test_refusals(refusal: Refusal, tmp_path: Path) -> None:
    refusal.check(tmp_path)
    assert not (tmp_path / "run").exists()
