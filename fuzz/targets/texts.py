"""Text that people write: recipes and overrides, sweeps, technologies, exit policies."""

from __future__ import annotations

import json
from pathlib import Path

from ..target import Target, write
from .shared import CUT, TINY

YAML = (
    "yaml.composer",
    "yaml.constructor",
    "yaml.parser",
    "yaml.reader",
    "yaml.resolver",
    "yaml.scanner",
)
ELSEWHERE = frozenset(("other files",))
"""A sweep names its recipe's file, a technology its base."""
WORDS = ("&a", "*a", "<<: *a", "!!python/name:os.system", "!!int", "!!binary", "!!set", "!!timestamp", "? ", "- ", ": ", "{a: ",
         "2001-12-14t21:59:43.10-05:00", "1e999", ".nan", "0x", "190:20:30", "|+")  # fmt: skip


def read_recipe(data: bytes, folder: Path) -> object:
    from srnn.training.recipes import dump_recipe, load_recipe

    text, *overrides = data.split(CUT)
    words = [override.decode("utf-8", "surrogateescape") for override in overrides[:8]]
    return dump_recipe(load_recipe(str(write(folder, "a.yaml", text)), words))


def recipe_seeds() -> dict[str, bytes]:
    from srnn.training.recipes import reading

    words = ("--training.epochs", "5", "--network.neuron.tau_mem=uniform(2, 6)")
    digits = Path(reading.__file__).with_name("digits.yaml").read_bytes()
    return {"tiny": CUT.join(word.encode() for word in (TINY, *words)), "digits": digits}


def read_sweep(data: bytes, folder: Path) -> int:
    from srnn.studies.schema import load_sweep

    return len(load_sweep(str(write(folder, "a.yaml", data))).list_trials())


def sweep_seeds() -> dict[str, bytes]:
    grid = (
        "recipe: digits\nset: {training.epochs: 2}\nvariants:\n  - a: {network.surrogate: "
        "linear}\n  - b:\n"
    )
    grid += "parameters: {training.optimizer.lr: [1e-2, 2e-2]}\nseeds: [0, 1]\n"
    search = (
        "recipe: digits\nparameters: {training.optimizer.lr: 'loguniform(1e-3, 1e-1)', "
        "network.surrogate: [linear]}\n"
    )
    search += "sampler: {name: tpe, seed: 1}\ntrials: 4\npruner: median\noptimise: loss\n"
    return {"grid": grid.encode(), "search": search.encode()}


def read_technology(data: bytes, folder: Path) -> object:
    from srnn.measure.energy.operation_energy import load_technology

    return load_technology(write(folder, "a.toml", data))


def technology_seeds() -> dict[str, bytes]:
    from srnn.measure.energy.operation_energy import DEFAULT, FOLDER

    own = f'base = "{DEFAULT}"\nname = "int8"\nword_bits = 8\nmac = {{pj = 0.23, source = "x"}}\n'
    return {"own": own.encode(), "shipped": (FOLDER / f"{DEFAULT}.toml").read_bytes()}


def read_policy(data: bytes, folder: Path) -> object:
    from srnn.model.exit_policy import ExitPolicy

    return ExitPolicy.load(write(folder, "a.json", data))


def policy_seeds() -> dict[str, bytes]:
    return {
        "sure": json.dumps(
            {"loss": "ce_mean", "start": 1, "confidence": 0.9, "margin": 0, "patience": 2}
        ).encode()
    }


TARGETS = (
    Target("recipe", read_recipe, recipe_seeds, parsers=YAML, words=(*WORDS, "\n%%%\n", "--network.neuron.beta=")),
    Target("sweep", read_sweep, sweep_seeds, parsers=YAML, allowed=ELSEWHERE,
           words=(*WORDS, "integer(", "uniform(", "trials: 1000000000")),
    Target("technology", read_technology, technology_seeds, parsers=("tomllib._parser", "tomllib._re"), allowed=ELSEWHERE,
           words=("[[", "]]", "base = ", "1e999", "inf", "1979-05-27T07:32:00Z")),
    Target("policy", read_policy, policy_seeds, words=("1e999", "NaN", "[[[[", "null", "confidence", "earliest", "allowed_loss")),
)  # fmt: skip
