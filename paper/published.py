"""The numbers that the paper prints, from published.toml. Each is kept as printed; ``number`` reads
it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from srnn.training.recipes import Recipe, load_recipe

TASKS = {
    "ECG": "ecg",
    "S-MNIST": "smnist",
    "PS-MNIST": "psmnist",
    "SHD": "shd",
    "SSC": "ssc",
    "SoLi": "soli",
    "GSC": "gsc",
    "TIMIT": "timit",
}
"""The paper's names of the tasks, in its order, and the names of tasks here. Table 1's SoLi is
``soli_sequence``."""


@dataclass(frozen=True)
class PublishedRow:
    """A row of one of the paper's tables; what it does not print is None."""

    task: str
    """The paper's name."""
    method: str
    network: str | None = None
    accuracy: str | None = None
    """Percent."""
    mac: str | None = None
    ac: str | None = None
    """Additions times firing rate."""
    energy: str | None = None
    """pJ per step."""
    ratio: str | None = None
    """Energy relative to the paper's SRNN."""
    error_ratio: str | None = None
    efficiency: str | None = None
    recipe: str | None = None
    """The shipped recipe of this network; None: there is none."""
    baseline: str | None = None
    """With ``recipe``: that recipe as this baseline."""
    printed: str | None = None
    """With ``recipe``: the shipped recipe of this network as Table S1 prints it, if the row's
    numbers belong to another one."""
    own: bool = False
    """The paper's SRNN, to which the task's other rows are compared."""
    remark: str | None = None

    @property
    def command(self) -> str | None:
        """The command that trains this network; None: no recipe has it."""
        if self.recipe is None:
            return None
        return f"srnn train {self.recipe}" + (
            f" --baseline {self.baseline}" if self.baseline else ""
        )

    def load_recipe(self) -> Recipe | None:
        """The recipe of this network; None: there is none."""
        return None if self.recipe is None else _recipe(self.recipe, self.baseline)

    def recipes(self) -> dict[str, Recipe]:
        """All shipped recipes of this network by name, first the one to which the row's numbers
        belong; may be empty."""
        return {
            name: _recipe(name, self.baseline)
            for name in (self.recipe, self.printed)
            if name is not None
        }


@cache
def _content() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "published.toml").read_text(encoding="utf-8"))


@cache
def _recipe(name: str, baseline: str | None) -> Recipe:
    return load_recipe(name, [], baseline)


def source() -> str:
    """Whose numbers these are."""
    return _content()["source"]


def claims() -> dict[str, Any]:
    """What the paper says in its text."""
    return _content()["claims"]


def published_rows(table: str) -> list[PublishedRow]:
    """The rows of table1, table2 or tableS2, in the paper's order."""
    return [
        PublishedRow(task=block["task"], **row)
        for block in _content()[table]
        for row in block["rows"]
    ]


def published_settings() -> dict[str, Any]:
    """Table S1: ``tasks``, ``recipes``, and ``rows`` of ``name`` and ``values``."""
    return _content()["tableS1"]


def number(printed: str) -> float:
    """A printed number, with the paper's K and M: "181.8K" -> 181800."""
    factor = {"K": 1e3, "M": 1e6}.get(printed[-1], 1.0)
    return float(printed.rstrip("KM")) * factor
