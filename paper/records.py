"""Results kept in lists: test splits that were read once, and the authors' weights run here.

    results/test-splits.json   [{"trained": "srnn train smnist --seed 0", "task", "split", "accuracy", "parameters"}, ...]
    results/published.json     [{"published", "command", "task", "split", "data", "comparable", "seeds", "accuracy"}, ...]

Either file may be absent. ``docs/reproduce.md`` says what else an entry may hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srnn.errors import SrnnError
from srnn.files import read_json, reading
from srnn.files.conversion import finite

_NOT_THE_RECIPE = ("--seed", "--data-dir", "--out", "--device")
"""Options of 'srnn train' that do not change what is trained."""


@dataclass(frozen=True)
class TestedSplit:
    """One training's accuracy on a split that training did not see."""

    recipe: tuple[str, ...]
    """The words of the command that trained it, without those that do not change the recipe."""
    seed: int
    task: str
    split: str
    accuracy: float
    parameters: int


@dataclass(frozen=True)
class PublishedRun:
    """The authors' weights, run by this project."""

    published: str
    """The network, as ``srnn import published`` names it."""
    command: str
    task: str
    split: str
    data: str
    """For people: which sequences."""
    comparable: bool
    """Whether the paper's number is for these sequences."""
    seeds: list[int]
    """Seeds of the initial states; empty if nothing is drawn."""
    accuracy: list[float]
    """Fractions of 1, one per seed."""


def command_words(command: str) -> tuple[tuple[str, ...], int | None]:
    """(words that name the recipe, seed) of a 'srnn train' command; SEED in place of the seed is no seed."""
    words = [part for word in command.split() for part in (word.split("=", 1) if word.startswith("--") else [word])]
    kept, seed = [], None
    rest = iter(words)
    for word in rest:
        if word not in _NOT_THE_RECIPE:
            kept.append(word)
            continue
        value = next(rest, "")
        if word == "--seed" and value.isdigit():
            seed = int(value)
    return tuple(kept), seed


def read_tested(folder: Path) -> list[TestedSplit]:
    """Read test-splits.json. SrnnError if it is not as expected."""
    path, splits = folder / "test-splits.json", []
    with reading(path, "what 'srnn evaluate --split test' writes"):
        for entry in _read(path):
            words, seed = command_words(entry["trained"])
            if seed is None:
                raise ValueError(f"no seed in '{entry['trained']}'")
            task, split = str(entry["task"]), str(entry["split"])
            (accuracy,) = finite([entry["accuracy"]])
            splits.append(TestedSplit(words, seed, task, split, accuracy, int(entry["parameters"])))
    return splits


def read_published(folder: Path) -> list[PublishedRun]:
    """Read published.json. SrnnError if it is not as expected."""
    path = folder / "published.json"
    with reading(path, "a list of results of the published networks"):
        return [
            PublishedRun(
                *(str(entry[key]) for key in ("published", "command", "task", "split", "data")),
                comparable=entry["comparable"] is True,
                seeds=[int(seed) for seed in entry["seeds"]],
                accuracy=finite(entry["accuracy"] or [None]),
            )
            for entry in _read(path)
        ]


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    content = read_json(path, "a list of results")
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise SrnnError(f"{path} does not contain a list of JSON objects; repair or remove it.")
    return content
