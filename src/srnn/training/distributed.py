"""Distributed training: how work is divided among processes, and how results are combined.

A step's batch is the same as for a single process. Each process trains on its part of the batch,
and Lightning Fabric's DDP averages the gradients. So that the result is that of the joint batch,
whatever depends on the batch combines all parts: random initial states are drawn for all and then
cut, losses are weighted by their sequences or steps, firing rates by their steps.

Only the first process writes, validates and prints. All others follow: they have the same weights
and the same numbers.

torchrun starts the processes, monitors them, and starts them again when one has died; they find
each other by its variables (RANK, WORLD_SIZE, MASTER_ADDR, ...).
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..errors import SrnnError, either
from ..nn.baselines import Network
from ..nn.kernels.problem import LayerResult
from ..nn.loss_config import RateConfig
from ..nn.losses import Loss, Scored, neuron_rates
from ..nn.network import BatchNorm, Dropout
from ..nn.network.inputs import each_part
from ..text import one_line
from .recipes import Recipe
from .runs import Run

T = TypeVar("T")
_TIMEOUT = timedelta(hours=2)
"""How long a process waits for the others: they wait while the first one validates."""


@dataclass(frozen=True)
class BatchShard:
    """Which sequences of a batch belong to this process."""

    part: slice
    total: int
    """Sequences in the whole batch."""
    counts: bool = True
    """False: the batch has fewer sequences than there are processes; this one trains on one that
    counts nothing."""


class ProcessGroup:
    """The processes that train together, including this one, which is usually alone: then nothing
    here changes anything.

    Raises SrnnError if the recipe's device does not exist.
    """

    def __init__(self, device: str) -> None:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments.lightning import LightningEnvironment
        from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
        from lightning_fabric.strategies.ddp import DDPStrategy

        self.size = world_size()
        if self.size > 1:
            self.rank = int(os.environ["RANK"])
        else:
            self.rank = 0
        self.first = self.rank == 0
        local = 1
        if self.size > 1:
            local = int(os.environ.get("LOCAL_WORLD_SIZE", self.size))
        strategy: Any = "auto"
        if self.size > 1:
            strategy = DDPStrategy(timeout=_TIMEOUT)
        # Set explicitly: inside a cluster's job Fabric would take the job's tasks for processes of
        # this training.
        if self.size > 1:
            place: Any = TorchElasticEnvironment()
        else:
            place = LightningEnvironment()
        # On a GPU, Fabric advises matrix products of lower precision, with which other neurons
        # would spike.
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        # Fabric would take a Mac's GPU, for which nothing is compiled here, and which has no
        # float64.
        if device == "auto" and not torch.cuda.is_available():
            device = "cpu"
        try:
            self.fabric = Fabric(
                accelerator=device,
                devices=local,
                num_nodes=self.size // local,
                strategy=strategy,
                plugins=[place],
            )
        except (RuntimeError, ValueError) as error:
            what = f"which this machine does not offer{f' {local} times' if local > 1 else ''}"
            why = "PyTorch finds none that it can use. Use 'cpu', or 'auto' for what there is."
            if local > 1:
                why = error
            raise SrnnError(
                f"training.device is '{device}', {what}: {why}", "resource", "training.device"
            ) from error
        if self.size > 1:
            # The group is left at exit, when DDP's own objects are gone: if one of them drops the
            # group last, it waits forever (torch 2.13).
            if not torch.distributed.is_initialized():
                atexit.register(_leave)
            try:
                self.fabric.launch()
            except (RuntimeError, ValueError) as error:
                address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
                raise SrnnError(
                    f"The {self.size} processes cannot reach each other at {address}: "
                    f"{one_line(str(error), 300)}; if torchrun has restarted them, give it the "
                    "variable TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 (docs/distributed.md).",
                    "resource",
                    address,
                ) from error

    def open_run(
        self, out: Path, recipe: Recipe, seed: int, resume: bool, overwrite: bool = False
    ) -> Run:
        """The run, which the first process starts or resumes; the others get one that writes
        nothing.

        Args:
            out: folder of the run.
            recipe: what is trained.
            seed: determines all that is random.
            resume: whether to continue the run that is there.
            overwrite: whether a run that is there may be replaced.

        Returns:
            The run.

        Raises:
            SrnnError: as of ``Run.start`` and ``Run.resume``, in the first process.
            SystemExit: in the others, which wait for the first, if it has refused; without a
                message.
        """
        run, refused = FollowerRun(out, recipe, seed), None
        if self.first:
            try:
                if resume:
                    run = Run.resume(out, recipe, seed)
                else:
                    run = Run.start(out, recipe, seed, overwrite=overwrite)
            except SrnnError as error:
                # Its parts alone: kept, it would keep the frames of its traceback.
                refused = (str(error), error.kind, error.field)
        if self.fabric.broadcast(refused is not None):
            raise SrnnError(*refused) if refused else SystemExit(2)
        return run

    def shard(self, total: int) -> BatchShard:
        """This process's part of a batch of ``total`` sequences: consecutive ones, divided as
        evenly as possible."""
        begin, end = self.rank * total // self.size, (self.rank + 1) * total // self.size
        if end > begin:
            return BatchShard(slice(begin, end), total)
        return BatchShard(slice(0, 1), total, counts=False)

    def draw(
        self, network: Network, shard: BatchShard, p: float, generator: torch.Generator
    ) -> tuple[tuple[Any, ...], Dropout | None]:
        """Draw initial states and dropout for the whole batch, and cut out this process's part.

        Args:
            network: what is trained.
            shard: this process's part of the batch.
            p: the probability that dropout drops a neuron.
            generator: draws both; the same in every process.

        Returns:
            The state before the first step; and which neurons dropout keeps, None for p = 0.
        """
        state = network.initial_state(shard.total, generator)
        layers: list[Any] = [*network.layers]
        sizes = [layer.size for layer in layers]
        dropout = Dropout.draw(sizes, shard.total, p, generator)
        if self.size == 1:
            return state, dropout
        return each_part(
            state, lambda part: part[shard.part]
        ), None if dropout is None else dropout.part(shard.part)

    def join_norms(self, network: Network, shard: BatchShard) -> None:
        """Let batch norm use the whole batch: the moments of each layer's input are summed over all
        processes.

        Args:
            network: what is trained; its norms are changed in place.
            shard: this process's part of the batch.
        """
        if self.size == 1:
            return

        def joined(sums: Tensor) -> Tensor:  # zeros for a share that counts nothing
            return _Summed.apply(sums * shard.counts, self._add_up)

        for module in network.modules():
            if isinstance(module, BatchNorm):
                module.joined = joined

    def join(
        self, loss: Loss, shard: BatchShard, scored: Scored, steps: int, rates: list[float]
    ) -> tuple[Scored, int, list[float]]:
        """Combine what the processes computed on their parts of a batch.

        Args:
            loss: what is minimised; it determines how parts are weighted.
            shard: this process's part of the batch.
            scored: the loss of this part.
            steps: valid steps of this part.
            rates: firing rate of each hidden layer on this part.

        Returns:
            The same three of the whole batch: loss, valid steps, firing rates. The loss has the
            joint value; its gradient is this part's, times the number of processes because DDP
            divides by that.
        """
        if self.size == 1:
            return scored, steps, rates
        by_sequence = loss.per_step and loss.config.reduction == "sum"
        weight = 0
        if shard.counts and (by_sequence or scored.counted):
            weight = scored.weight
        if shard.counts:
            counts = [weight, scored.correct, scored.counted, steps]
        else:
            counts = [0, 0, 0, 0]
        own = float(scored.loss.detach()) * weight
        total = self._sum([own, *counts, *(rate * counts[3] for rate in rates)])
        joint_weight = max(round(total[1]), 1)
        part = scored.loss * (self.size * weight / joint_weight)
        value = torch.full_like(part, total[0] / joint_weight)
        joint = Scored(
            part + (value - part).detach(), joint_weight, round(total[2]), round(total[3])
        )
        return joint, round(total[4]), [rate / max(total[4], 1) for rate in total[5:]]

    def join_layers(
        self,
        config: RateConfig,
        shard: BatchShard,
        layers: Sequence[LayerResult],
        lengths: Tensor | None,
    ) -> tuple[Sequence[LayerResult], Tensor | None]:
        """Hidden layers and their lengths for the firing-rate regulariser of the whole batch.

        Args:
            config: the regulariser's settings.
            shard: this process's part of the batch.
            layers: results of the hidden layers on this part.
            lengths: (B,) valid steps of the hidden layers; None: all.

        Returns:
            Layers and lengths as ``rate_penalty`` takes them: unchanged for a single process or
            without the regulariser; otherwise each layer as one sequence of one step (1, 1, size)
            with the rates of the whole batch, and None.
        """
        if self.size == 1 or config.weight == 0 or not layers:
            return layers, lengths
        output = layers[0].output
        if lengths is None:
            steps = output.shape[0] * output.shape[1]
        else:
            steps = int(lengths.sum())
        if not shard.counts:
            steps = 0
        scale = steps / self._sum([steps])[0]
        joined = []
        for layer in layers:
            own = neuron_rates(layer.output, lengths) * scale
            part = own * self.size
            rates = part + (self._add_up(own) - part).detach()
            joined.append(
                LayerResult(rates[None, None], ())
            )  # as one sequence of one step, with these rates
        return joined, None

    def from_first(self, make: Callable[[], T]) -> T:
        """The first process's result of a function, for all processes."""
        if self.size == 1:
            return make()
        made: Any = None
        if self.first:
            made = make()
        return self.fabric.broadcast(made)

    @torch.no_grad()
    def agree(self, network: Network) -> None:
        """Give the network of every process the first one's tensors."""
        if self.size > 1:
            for tensor in network.state_dict().values():
                torch.distributed.broadcast(tensor, 0)

    def raise_if_broken(self, error: RuntimeError, out: Path) -> None:
        """If the connection to another process failed, raise an error with how to resume.

        Args:
            error: what was raised during training.
            out: folder of the run.

        Raises:
            SrnnError: ``resource`` for a connection that failed.
        """
        if self.size > 1 and any(
            word in str(error).lower() for word in ("gloo", "nccl", "connection", "peer")
        ):
            again = either(f"--out {out} --resume", f"out={str(out)!r}, resume=True")
            raise SrnnError(
                f"Process {self.rank} of {self.size} has lost another one, which was killed or "
                f"whose machine failed; the same again with {again} continues from the last "
                "checkpoint.",
                "resource",
            ) from error

    def _sum(self, numbers: list[float]) -> list[float]:
        return self._add_up(
            torch.tensor(numbers, dtype=torch.float64, device=self.fabric.device)
        ).tolist()

    def _add_up(self, part: Tensor) -> Tensor:
        total: Any = self.fabric.all_reduce(part.detach().clone(), reduce_op="sum")
        return total


class _Summed(torch.autograd.Function):
    """A tensor summed over all processes. All losses depend on the sum, so its gradient is the sum
    of their gradients."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, add_up: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.add_up = add_up
        return add_up(part)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.add_up(gradients[0].contiguous()), None


class FollowerRun(Run):
    """The run as seen by the processes that do not write it."""

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Write nothing: the first process does.

        Args:
            name: of the file.
            content: of the file.
        """

    def log(self, record: dict[str, Any]) -> None:
        """The first process does."""

    def truncate_metrics(self, size: int) -> None:
        """The first process does."""


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def world_size() -> int:
    """How many processes this one trains with, itself included; 1 unless torchrun started it."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 1
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return world_size() == 1 or os.environ.get("RANK") == "0"
