"""The sweep file: which trainings make up a sweep.

    title: Surrogate gradients on ECG
    recipe: paper/ecg                 # a shipped recipe, or a file in the same folder
    set: {training.epochs: 100}       # for every training
    variants:                         # an ablation: named settings
      - multi-gaussian: {network.surrogate: multi_gaussian}
      - linear: {network.surrogate: linear}
    parameters:                       # a grid: every combination; or, with a sampler, a search
      network.surrogate.h: [0.0, 0.15, 0.3]
    seeds: [0, 1, 2]

A setting is a recipe's dotted key; in ``set`` and in variants also ``recipe`` and ``baseline``. A
trial is what one worker trains at a time: in a grid or an ablation one grid point with one seed; in
a search one sampled point with all seeds.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from ..errors import SrnnError, naming, nearest, require
from ..files.bounds import Between, Count, CountFrom0, Items, Positive, ReadBy
from ..files.conversion import read_section
from ..files.yaml_reading import read_yaml
from ..model.recipe import Metric
from ..registry import is_name
from ..training.recipes import Recipe, shipped_recipes
from ..training.recipes.reading import make_recipe, recipe_content

_HERE = Path(__file__).parent / "files"
_RANGE = re.compile(r"(uniform|loguniform|integer)\(([^,()]+),([^,()]+)\)")
_LONGEST_NAME = 200
"""Max bytes of a grid point's name, which is also the name of a folder."""
MOST_TRAININGS = 100_000
"""Of a sweep: its grid points, or a search's trials, times its seeds."""
Seed = Annotated[int, Between(0, 2**63 - 1)]


@dataclass(frozen=True)
class Range:
    """The range of a search: uniform(low, high), loguniform(low, high) or integer(low, high), ends
    included."""

    kind: Literal["uniform", "loguniform", "integer"]
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.kind}({self.low:g}, {self.high:g})"


def _variants(listed: Any) -> dict[str, dict[str, Any]]:
    """The settings by the variants' names. ValueError for anything but a list of single ones."""
    rule = "a list of - name: {key: value}"
    if not isinstance(listed, list):
        raise ValueError(rule)
    variants: dict[str, dict[str, Any]] = {}
    for entry in listed:
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise ValueError(rule)
        name, settings = next(iter(entry.items()))
        if settings is None:
            settings = {}
        if not isinstance(name, str) or not isinstance(settings, Mapping):
            raise ValueError(rule)
        if re.fullmatch(r"(?!\.+$)[\w.+-]+", name) is None or name in variants:
            raise ValueError(f"{rule}, each with a unique name of letters, digits and . _ + -")
        variants[name] = dict(settings)
    return variants


def _axis(values: Any) -> list[Any] | Range:
    """A parameter's values, or its range. ValueError for anything else."""
    if isinstance(values, list) and values and len(set(map(json.dumps, values))) == len(values):
        return values
    match = None
    if isinstance(values, str):
        match = _RANGE.fullmatch(values.strip())
    if match is None:
        ranges = "uniform(a, b), loguniform(a, b) or integer(a, b)"
        raise ValueError(f"a list of distinct values, or {ranges}")
    kind: Any = match[1]
    try:
        low, high = float(match[2]), float(match[3])
    except ValueError as error:
        raise ValueError("a range between numbers") from error
    if not (low < high and math.isfinite(high - low)) or (kind == "loguniform" and low <= 0):
        raise ValueError("an ascending range, which starts above 0 if it is loguniform")
    whole = low.is_integer() and high.is_integer() and max(-low, high) <= 2**53
    if kind == "integer" and not whole:
        raise ValueError("a range between integers, at most 2^53")
    return Range(kind, low, high)


@dataclass(frozen=True)
class Sampler:
    """How points are chosen: grid (all), random, or tpe (near those that were good)."""

    name: Literal["grid", "random", "tpe"]
    seed: Seed = 0


@dataclass(frozen=True)
class Pruner:
    """Whether a poor training is ended early: none, or median (worse than half of the others at the
    same epoch)."""

    name: Literal["none", "median"]
    startup: CountFrom0 = 5
    """Finished trials before anything is pruned."""
    warmup: CountFrom0 = 10
    """Epochs before anything is pruned."""


@dataclass(frozen=True)
class Trial:
    """What one worker trains at a time."""

    name: str
    """A path below the sweep's folder ``runs``: the point, and for a single training its seed."""
    point: str
    """The name of the grid point, or of a search's sampled point."""
    settings: Mapping[str, Any]
    """Recipe settings of the point; empty in a search, whose sampler chooses them."""
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Sweep:
    """A checked sweep file. ``recipe_for`` makes a point's recipe, ``list_trials`` the work."""

    path: Path
    """The file. Its folder is where a recipe's file is looked up first."""
    recipe: str = field(metadata={"missing": ": the name or the file of a recipe"})
    """The recipe of all trainings, by its name or file."""
    title: str = ""
    note: str = ""
    set: dict[str, Any] = field(default_factory=dict)
    """Recipe settings of every training."""
    seeds: Annotated[tuple[Seed, ...], Items(distinct=True)] = (0,)
    variants: Annotated[dict[str, dict[str, Any]], ReadBy(_variants)] = field(default_factory=dict)
    """An ablation: the settings of each variant, by its name."""
    parameters: dict[str, Annotated[list[Any] | Range, ReadBy(_axis)]] = field(default_factory=dict)
    """What is varied: the values, or the range, of each setting."""
    sampler: Sampler = Sampler("grid")
    trials: Count | None = None
    """The number of trials of a search."""
    budget_minutes: Positive | None = None
    """Minutes of training, of all workers together, after which nothing new is begun; null: no
    limit."""
    pruner: Pruner = Pruner("none")
    optimise: Metric = "accuracy"
    """The metric of the validation split by which trainings are compared."""
    _read: dict[str, tuple[str, Any]] = field(default_factory=dict, compare=False, repr=False)
    """Recipes as they were when they were first read: editing a file does not change a running
    sweep."""

    def __post_init__(self) -> None:
        sampler, trials = self.sampler.name, self.trials
        if self.is_search:
            wanted = f"the number of trials for the sampler '{sampler}'"
            require(trials is not None, "trials", wanted, trials)
            found = bool(self.parameters)
            require(found, "parameters", "what the sampler searches", self.parameters)
            rule = "left out of a search; make them a parameter, or use the sampler 'grid'"
            require(not self.variants, "variants", rule, self.variants)
        else:
            rule = "left out of a grid, which has its own number of points"
            require(trials is None, "trials", rule, trials)
        for key, values in self.parameters.items():
            for variant, settings in self.variants.items():
                if key in settings:
                    twice = f"is set by the variant '{variant}' and among the parameters"
                    raise SrnnError(f"'{key}' {twice}; name it in one place.", "conflict", key)
            if isinstance(values, Range) and not self.is_search:
                advice = "a grid needs a list (or sampler: random, or tpe)"
                problem = f"parameters.{key} is a range; {advice}."
                raise SrnnError(problem, "conflict", f"parameters.{key}")
        if self.size > MOST_TRAININGS:  # before the grid points are made
            bound = f"at most {MOST_TRAININGS:,} trainings, not {self.size:,}"
            problem = f"a sweep may have {bound}; remove grid points or seeds."
            raise SrnnError(problem, "value", "parameters")

    @property
    def name(self) -> str:
        """The file's name, without its suffix."""
        return self.path.stem

    @property
    def is_search(self) -> bool:
        """Whether a sampler chooses the points."""
        return self.sampler.name != "grid"

    @property
    def size(self) -> int:
        """Number of trainings: grid points, or a search's trials, times seeds."""
        axes = [len(values) for values in self.parameters.values() if isinstance(values, list)]
        if self.is_search:
            points = self.trials or 0
        else:
            points = math.prod(axes) * max(1, len(self.variants))
        return points * len(self.seeds)

    @property
    def maximise(self) -> bool:
        """Whether a larger metric is better."""
        return self.optimise != "loss"

    def list_trials(self) -> list[Trial]:
        """All trials, in the order in which they are started: every grid point with its first seed,
        then with the second, ..."""
        if self.is_search:
            return [
                Trial(f"p{i:04d}", f"p{i:04d}", {}, self.seeds) for i in range(self.trials or 0)
            ]
        points = self.grid_points()
        return [
            Trial(f"{point}/s{seed}", point, settings, (seed,))
            for seed in self.seeds
            for point, settings in points.items()
        ]

    def grid_points(self) -> dict[str, dict[str, Any]]:
        """The settings of a grid's or an ablation's points, by name: every variant with every
        combination of the parameters."""
        points: dict[str, dict[str, Any]] = {}
        short = {
            key: re.sub(r"[^\w.+*-]+", "-", word)
            for key, word in short_names(self.parameters).items()
        }
        axes = [values for values in self.parameters.values() if isinstance(values, list)]
        for variant, settings in (self.variants or {"": {}}).items():
            for combination in itertools.product(*axes):
                if variant:
                    words = [variant]
                else:
                    words = []
                words += [
                    f"{short[key]}={_text(value)}"
                    for key, value in zip(self.parameters, combination, strict=True)
                ]
                name = ",".join(words) or "base"
                if name in points:
                    problem = f"two grid points have the name '{name}'; remove one of them."
                    raise SrnnError(problem, "conflict", "parameters")
                if len(name.encode()) > _LONGEST_NAME:
                    advice = "sweep fewer parameters, or use shorter values"
                    problem = f"a grid point's name is too long: '{name[:80]}...'; {advice}."
                    raise SrnnError(problem, "value", "parameters")
                points[name] = {**settings, **dict(zip(self.parameters, combination, strict=True))}
        return points

    def recipe_for(self, settings: Mapping[str, Any]) -> Recipe:
        """The recipe with these settings. SrnnError, which names the key, when they are not
        valid."""
        overrides = {**self.set, **settings}
        name, baseline = str(overrides.pop("recipe", self.recipe)), overrides.pop("baseline", None)
        if name not in self._read:
            beside = self.path.parent / name
            if beside.is_file() and name not in shipped_recipes():
                source = str(beside)
            else:
                source = name
            self._read[name] = source, recipe_content(source)
        source, content = self._read[name]
        return make_recipe(content, source, overrides, baseline)

    def check(self) -> None:
        """Build every point's recipe and network once (for a search: both ends of each range, and
        every value of a list), so that mistakes surface before anything is trained. SrnnError,
        which names the point, for a mistake."""
        from ..nn.losses import Loss
        from ..training.optimisation import build_optimizer

        for point, settings in (self._choices() if self.is_search else self.grid_points()).items():
            with naming(f"{self.name}, {point}"):
                recipe = self.recipe_for(settings)
                task = recipe.create_task()
                Loss.for_task(recipe.loss, task)
                network = recipe.build_network(task, 0)
                build_optimizer(network, recipe.training.optimizer, recipe.training.lr_scale)
                if self.maximise and task.targets is not None:
                    given = f"optimise is '{self.optimise}', but the task has values"
                    raise SrnnError(f"{given}; use 'loss'.", "conflict", "optimise")
                if self.optimise == "accuracy_labelled" and task.unlabelled_class is None:
                    given = "optimise is 'accuracy_labelled', but the task labels every step"
                    raise SrnnError(f"{given}; use 'accuracy'.", "conflict", "optimise")
                if self.optimise == "balanced_accuracy" and not recipe.training.balances:
                    asked = "training.class_weights or training.early_stopping.metric"
                    rule = f"which trainings only report if 'set' has {asked}: balanced_accuracy"
                    problem = f"optimise is 'balanced_accuracy', {rule}."
                    raise SrnnError(problem, "conflict", "optimise")

    def _choices(self) -> dict[str, dict[str, Any]]:
        """Points of a search that cover both ends of every range, and every value of every list."""

        def value(values: list[Any] | Range, number: int) -> Any:
            if isinstance(values, list):
                return values[min(number, len(values) - 1)]
            if number:
                end = values.high
            else:
                end = values.low
            if values.kind != "integer":
                return end
            return int(end)

        listed = [values for values in self.parameters.values() if isinstance(values, list)]
        longest = max([2, *map(len, listed)])
        between = [f"choice {number}" for number in range(2, longest)]
        names = ["the lower ends", *between, "the upper ends"]
        return {
            name: {key: value(values, number) for key, values in self.parameters.items()}
            for number, name in enumerate(names)
        }

    def identity(self) -> dict[str, Any]:
        """What must stay the same when a sweep is resumed. Seeds, grid points, trials and minutes
        may be added: they are not included, except for the recipes that points name, each as
        "recipe NAME"."""
        plain: dict[str, Any] = {
            "base": self.recipe_for({}).to_dict(),
            "sampler": self.sampler.name,
            "sampler_seed": self.sampler.seed,
            "pruner": [self.pruner.name, self.pruner.startup, self.pruner.warmup],
            "optimise": self.optimise,
        }
        if self.is_search:
            plain["parameters"] = {key: str(values) for key, values in self.parameters.items()}
            plain["seeds"] = list(self.seeds)
        axis = self.parameters.get("recipe", [])
        named = [point["recipe"] for point in self.variants.values() if "recipe" in point]
        for name in [*named, *(axis if isinstance(axis, list) else [])]:
            plain[f"recipe {name}"] = replace(self, set={}).recipe_for({"recipe": name}).to_dict()
        return plain


def shipped_sweeps() -> list[str]:
    """Names of the sweeps in the package, sorted."""
    return sorted(path.stem for path in _HERE.glob("*.yaml"))


def load_sweep(name: str) -> Sweep:
    """Load a sweep by its name in the package or by its file's path. SrnnError, which names file
    and key."""
    if is_name(name, shipped_sweeps(), "sweep"):
        path = _HERE / f"{name}.yaml"
    else:
        path = Path(name)
    if not path.is_file():
        near = nearest(name, shipped_sweeps(), "srnn sweep list")
        raise SrnnError(f"There is no sweep '{name}', and no file.{near}", "name", name)
    return parse_sweep(read_yaml(path, "a sweep"), path)


def parse_sweep(content: Any, path: Path) -> Sweep:
    """Make a sweep.

    Args:
        content: of its YAML file, as a reader returns it.
        path: the file.

    Returns:
        The sweep.

    Raises:
        SrnnError: a wrong key or value; the message begins with the file.
    """
    if isinstance(content, Mapping):
        content = {"title": path.stem, **content}
        for key in ("sampler", "pruner"):
            if isinstance(content.get(key), str):
                content[key] = {"name": content[key]}
    with naming(path):
        sweep = read_section(Sweep, content, path=path)
        if not sweep.is_search:
            sweep.grid_points()  # names are unique
    return sweep


def short_names(keys: Mapping[str, Any]) -> dict[str, str]:
    """Each dotted key's last word, or the full key where another key has the same last word."""
    last = {key: key.rpartition(".")[2] for key in keys}
    count = Counter(last.values())
    return {key: word if count[word] == 1 else key for key, word in last.items()}


def _text(value: Any) -> str:
    """A setting's value as part of a file name."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        text = value
    else:
        text = json.dumps(value)
    return re.sub(r"[^\w.+-]+", "-", text).strip("-") or "empty"
