"""The authors' own program of a published recipe, for ``benchmarks.to_accuracy``: what a user waits
for who takes that.

BRF neurons (Higuchi, Kairat, Bohte & Otte 2024, arXiv 2402.14603): their network as TorchScript,
their loss and their settings, from a clone of https://github.com/AdaptiveAILab/brf-neurons (MIT;
written for commit 5d45b0e). The loop over batches is theirs, without logging, saving and the test
split; the sequences are those that our recipe reads: both learn and are judged by the same.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from srnn.data.batches import Sequences
from srnn.errors import SrnnError
from srnn.progress import Reporter
from srnn.training.recipes import load_recipe

HOME = "https://github.com/AdaptiveAILab/brf-neurons"


class Program(NamedTuple):
    """The settings of one of their training scripts."""

    folder: str
    """Of the script, with its ``tools.py``."""
    network: dict[str, Any]
    clip: float | None
    batch: int
    judged: int
    """Sequences at once in validation."""
    epochs: int


PROGRAMS = {
    "paper/recipes/resonate/ecg-brf.yaml": Program(
        "ecg", {
            "input_size": 4, "hidden_size": 36, "output_size": 6, "adaptive_omega_a": 3.0, "adaptive_omega_b": 5.0,
            "adaptive_b_offset_a": 0.1, "adaptive_b_offset_b": 1.0, "out_adaptive_tau_mem_mean": 20.0,
            "out_adaptive_tau_mem_std": 1.0, "sub_seq_length": 0, "output_bias": False,
        }, None, 16, 61, 400,
    ),
    "paper/recipes/resonate/smnist-brf.yaml": Program(
        "smnist", {
            "input_size": 1, "hidden_size": 256, "output_size": 10, "adaptive_omega_a": 15.0, "adaptive_omega_b": 50.0,
            "adaptive_b_offset_a": 0.1, "adaptive_b_offset_b": 1.0, "out_adaptive_tau_mem_mean": 20.0,
            "out_adaptive_tau_mem_std": 5.0, "label_last": True, "output_bias": False,
        }, 1.0, 256, 256, 300,
    ),
}  # fmt: skip
"""By our recipe of the same network and settings."""


def train_theirs(
    recipe: str, checkout: Path | None, seed: int, data: Path | None, clock: Reporter
) -> None:
    """Train with their program, and tell the ``clock`` of each batch and each epoch's accuracy on
    validation.

    SrnnError for a recipe of which they have no program, and without their code.
    """
    program = PROGRAMS.get(recipe)
    if program is None:
        raise SrnnError(
            f"There is a program of the authors' for {', '.join(PROGRAMS)}, not for {recipe}; "
            "leave it out.",
            "name",
            "recipe",
        )
    with their_code(checkout, program) as (snn, tools):
        task = load_recipe(recipe).create_task()
        train, validation = (Sequences(task, split, data) for split in ("train", "validation"))
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # of TorchScript, which theirs asks for
            network = torch.jit.script(snn.models.SimpleResRNN(**program.network))
        criterion, optimizer = torch.nn.NLLLoss(), torch.optim.Adam(network.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda epoch: 1 - epoch / program.epochs
        )
        done = 0
        for epoch in range(program.epochs):
            network.train()
            for chosen in torch.randperm(len(train)).split(program.batch):
                x, target = _batch(train, chosen.numpy(), task)
                optimizer.zero_grad()
                loss = tools.apply_seq_loss(criterion, network(x)[0], target)
                loss.backward()
                if program.clip is not None:
                    torch.nn.utils.clip_grad_norm_(network.parameters(), program.clip)
                optimizer.step()
                done += 1
                clock.step(done, {"epoch": epoch + 1, "loss": loss.item()})
            scheduler.step()
            network.eval()
            right = total = 0
            with torch.no_grad():
                for chosen in torch.arange(len(validation)).split(program.judged):
                    x, target = _batch(validation, chosen.numpy(), task)
                    output, labels = network(x)[0], target.argmax(-1) if target.ndim > 1 else target
                    right += int(
                        (output.argmax(-1) == labels).sum()
                    )  # the classes of a sequence from its last step
                    total += labels.numel()
            clock.epoch({"validation": {"accuracy": right / total}})


def _batch(sequences: Sequences, chosen: np.ndarray, task: Any) -> tuple[Tensor, Tensor]:
    """Steps (T, B, inputs), and labels (B,) or, as their ECG program reads them, (T, B, classes)
    with a 1 for the class."""
    batch = sequences.take(chosen)
    x = batch.x if isinstance(batch.x, Tensor) else batch.x.dense(torch.float32)
    x, y = x.transpose(0, 1).contiguous(), batch.y
    if y.ndim == 2:
        y = torch.nn.functional.one_hot(
            torch.where(y < 0, task.unlabelled_class, y).T, task.outputs
        ).float()
    return x, y


@contextmanager
def their_code(checkout: Path | None, program: Program) -> Iterator[tuple[ModuleType, ModuleType]]:
    """Their package ``snn`` and the script's ``tools``. SrnnError where they are not."""
    tools = Path("experiments", program.folder, "tools.py")
    if checkout is None or not (checkout / tools).is_file() or not (checkout / "snn").is_dir():
        raise SrnnError(
            f"The authors' program is not here: git clone {HOME}, and name the folder with "
            "--checkout.",
            "missing",
            "checkout",
        )
    sys.path.insert(0, str(checkout))
    try:
        spec = importlib.util.spec_from_file_location(
            f"brf_{program.folder}_tools", checkout / tools
        )
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield importlib.import_module("snn"), module
    finally:
        sys.path.remove(str(checkout))
        # Another clone is another program.
        for name in [name for name in sys.modules if name.partition(".")[0] == "snn"]:
            del sys.modules[name]
