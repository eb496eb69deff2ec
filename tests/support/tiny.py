"""A tiny synthetic task and recipe, for tests of what happens around training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from srnn.data.datasets import Split
from srnn.data.datasets.base import check_split
from srnn.data.tasks import Task, register
from srnn.training.recipes import Recipe, parse_recipe


@register
@dataclass(frozen=True)
class TinyTask(Task):
    """Which of three channels spikes most? 60/30/30 sequences of up to 12 steps, padded if
    ``padded``."""

    name: ClassVar[str] = "tiny"
    kind: ClassVar = "per_sequence"
    class_names: ClassVar[tuple[str, ...]] = ("a", "b", "c")

    padded: bool = False
    poison: float | None = None
    """A value for one input of the training split."""

    @property
    def inputs(self) -> int:
        return 3

    def load(self, split, data_dir: Path | None = None) -> Split:
        check_split(split)
        rng = np.random.default_rng(["train", "validation", "test"].index(split))
        count = 60 if split == "train" else 30
        y = rng.integers(0, 3, count)
        rates = np.full((count, 3), 0.2)
        rates[np.arange(count), y] = 0.7
        x = (rng.random((count, 12, 3)) < rates[:, None, :]).astype(np.float32)
        lengths = None
        if self.padded:
            lengths = rng.integers(4, 13, count)
            x[np.arange(12)[None, :] >= lengths[:, None]] = 0
        if self.poison is not None and split == "train":
            x[7, 3, 1] = self.poison
        return Split(x, y.astype(np.int64), lengths)


@register
@dataclass(frozen=True)
class TinyStepTask(TinyTask):
    """The same with a label at every step, some of them missing."""

    name: ClassVar[str] = "tiny_steps"
    kind: ClassVar = "per_step"
    unlabelled_class: ClassVar[int | None] = 0

    def load(self, split, data_dir: Path | None = None) -> Split:
        data = super().load(split, data_dir)
        y = np.repeat(data.y[:, None], 12, 1)
        y[::3, :3] = -1
        return Split(data.x, y, data.lengths)


TINY = """
task: {name: digits}  # unless another one is named, or given to `train`
network:
  hidden: [8]
  neuron: {name: alif, tau_mem: "uniform(2, 6)", tau_adp: 20, initial: {u: "uniform(0, 0.1)"}}
  norm: none
  readout: {name: integrator, neuron: {name: integrator, tau_mem: 3}}
  backend: reference  # what is tested with it is not the kernel, and nothing has to be compiled
training:
  epochs: 4
  batch_size: 16
  optimizer: {lr: 2e-2}
  lr_scale: {"layers.*.tau_*": 3, "readout.*.tau_*": 2}
"""


def tiny_recipe(*overrides: str) -> Recipe:
    return parse_recipe(TINY, overrides)
