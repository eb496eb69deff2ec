"""Table S1: initial time constants and training settings, the paper's and those of our recipes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from srnn.data.datasets.mnist import PIXELS
from srnn.data.datasets.qtdb import STEPS
from srnn.nn.neurons import Init
from srnn.training.recipes import Recipe, load_recipe

from .published import published_settings, source
from .table import Table


def settings_table() -> Table:
    """Each setting twice: as published, and as in the shipped recipe; "*" where they differ."""
    content = published_settings()
    tasks = content["tasks"]
    recipes = [load_recipe(name) for name in content["recipes"]]
    table = Table(
        "tableS1",
        "Table S1: settings of initialisation and training",
        {"setting": "setting", "whose": "whose", **{task: task for task in tasks}},
    )
    for row in content["rows"]:
        theirs: list[str] = row["values"]
        ours = [_setting(recipe, row["name"]) for recipe in recipes]
        marked = [
            own if _same(own, their) else f"{own} *"
            for own, their in zip(ours, theirs, strict=True)
        ]
        table.add(
            {"setting": row["name"], "whose": "published", **dict(zip(tasks, theirs, strict=True))}
        )
        table.add(
            {"setting": row["name"], "whose": "ours", **dict(zip(tasks, marked, strict=True))}
        )
    table.notes = [
        f"Published: as {source()} prints it. Ours: the shipped recipes (srnn recipes show NAME), "
        "whose comments say why they"
        f" differ ('*'): {', '.join(content['recipes'])}.",
        "Time constants in steps, as mean; standard deviation; numbered as layers, the output "
        "last. TIMIT's first two are the two"
        " directions of its one layer, which share their distributions in our recipe. An output "
        "that integrates has no tau_adp.",
    ]
    return table


def _setting(recipe: Recipe, name: str) -> str:
    training = recipe.training
    schedule = training.schedule
    if name.startswith("tau_"):
        quantity, _, layer = name.partition(" ")
        return _time_constant(
            recipe, {"tau_m": "tau_mem", "tau_adp": "tau_adp"}[quantity], int(layer) - 1
        )
    step = schedule.name == "step"
    return {
        "sequence length": lambda: _length(recipe),
        "learning rate": lambda: f"{training.optimizer.lr:g}",
        "loss": lambda: (
            "NLL" if recipe.loss.name == "nll" else f"CE ({recipe.loss.name.removeprefix('ce_')})"
        ),
        "minibatch size": lambda: str(training.batch_size),
        "epochs": lambda: str(training.epochs),
        "learning rate decay": lambda: f"{schedule.factor:g} per {schedule.every}" if step else "-",
        "decay type": lambda: schedule.name,
    }[name]()


def _length(recipe: Recipe) -> str:
    """Steps of a sequence, if the task's options or the layout of its data determine them."""
    task = recipe.create_task()
    fixed = {"ecg": STEPS, "smnist": PIXELS, "psmnist": PIXELS}.get(
        task.name, getattr(task, "steps", None)
    )
    return "as the clip" if fixed is None else str(fixed)


def _time_constant(recipe: Recipe, quantity: str, layer: int) -> str:
    """ "20; 5" for a hidden layer or, after the last one, for the readout."""
    network = recipe.network
    hidden = [spec for spec in network.each("neuron") for _ in range(1 + network.bidirectional)]
    readout = network.readout.get("neuron", {}) if isinstance(network.readout, Mapping) else {}
    specs = [*hidden, readout]
    value = (
        specs[layer].get(quantity)
        if layer < len(specs) and isinstance(specs[layer], Mapping)
        else None
    )
    if value is None:
        return "-"
    start = Init.parse(value)
    return f"{start.a:g}; {start.b:g}" if start.distribution == "normal" else str(value)


def _same(ours: str, theirs: str) -> bool:
    """Equal as text or number by number: "0.5 per 50" is ".5 per 50"."""
    numbers = [re.findall(r"[\d.]+(?:e-?\d+)?", text) for text in (ours, theirs)]
    words = [
        re.sub(r"[\d.]+(?:e-?\d+)?", "#", re.sub(r" \(.*\)$", "", text)) for text in (ours, theirs)
    ]
    return words[0] == words[1] and [float(n) for n in numbers[0]] == [float(n) for n in numbers[1]]
