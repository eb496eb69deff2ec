"""Distributed training: how work is divided among processes, and how results are combined.

A step's batch is the same as for a single process. Each process trains on its part of the batch, and Lightning Fabric's DDP
averages the gradients. So that the result is that of the joint batch, whatever depends on the batch combines all parts: random
initial states are drawn for all and then cut, losses are weighted by their sequences or steps, firing rates by their steps.

Only the first process writes, validates and prints. All others follow: they have the same weights and the same numbers.

Processes find each other by torchrun's variables (RANK, WORLD_SIZE, MASTER_ADDR, ...); ``launch`` starts them with torchrun's
own agent, which monitors them, and reports in one line what happened.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..errors import SrnnError
from ..nn.baselines import Network
from ..nn.kernels import LayerResult
from ..nn.loss_config import RateConfig
from ..nn.losses import Loss, Scored, neuron_rates
from ..nn.network import BatchNorm, Dropout
from ..nn.network.inputs import each_part
from .recipes import Recipe
from .runs import Run

T = TypeVar("T")
LOST = 75
"""Exit code of a process that has lost another one; ``launch``, which started it, reports this."""
_OURS = "srnn"
_TIMEOUT = timedelta(hours=2)
"""How long a process waits for the others: they wait while the first one validates."""


@dataclass(frozen=True)
class Share:
    """Which sequences of a batch belong to this process."""

    part: slice
    total: int
    """Sequences in the whole batch."""
    counts: bool = True
    """False: the batch has fewer sequences than there are processes; this one trains on one that counts nothing."""


class Team:
    """The processes that train together, including this one, which is usually alone: then nothing here changes anything.

    Raises SrnnError if the recipe's device does not exist.
    """

    def __init__(self, device: str) -> None:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments.lightning import LightningEnvironment
        from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
        from lightning_fabric.strategies.ddp import DDPStrategy

        self.size = world_size()
        self.rank = int(os.environ["RANK"]) if self.size > 1 else 0
        self.first = self.rank == 0
        local = int(os.environ.get("LOCAL_WORLD_SIZE", self.size)) if self.size > 1 else 1
        strategy: Any = DDPStrategy(timeout=_TIMEOUT) if self.size > 1 else "auto"
        # Set explicitly: inside a cluster's job Fabric would take the job's tasks for processes of this training.
        place: Any = TorchElasticEnvironment() if self.size > 1 else LightningEnvironment()
        # On a GPU, Fabric advises matrix products of lower precision, with which other neurons would spike.
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        # Fabric would take a Mac's GPU, for which nothing is compiled here, and which has no float64.
        if device == "auto" and not torch.cuda.is_available():
            device = "cpu"
        try:
            self.fabric = Fabric(
                accelerator=device, devices=local, num_nodes=self.size // local, strategy=strategy, plugins=[place]
            )
        except (RuntimeError, ValueError) as error:
            what = f"which this machine does not offer{f' {local} times' if local > 1 else ''}"
            why = error if local > 1 else "PyTorch finds none that it can use. Use 'cpu', or 'auto' for what there is."
            raise SrnnError(f"training.device is '{device}', {what}: {why}") from error
        if self.size > 1:
            # The group is left at exit, when DDP's own objects are gone: if one of them drops the group last, it waits forever
            # (torch 2.13).
            if not torch.distributed.is_initialized():
                atexit.register(_leave)
            try:
                self.fabric.launch()
            except (RuntimeError, ValueError) as error:
                address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
                raise SrnnError(f"The {self.size} processes cannot reach each other at {address}: {error}") from error

    def open_run(self, out: Path, recipe: Recipe, seed: int, resume: bool) -> Run:
        """The run, which the first process starts or resumes; the others get one that writes nothing.

        SrnnError in all processes if the first is refused, since they wait for it; after ``launch`` only the first reports it.
        """
        run, refused = Onlooker(out, recipe, seed), ""
        if self.first:
            try:
                run = Run.resume(out, recipe, seed) if resume else Run.start(out, recipe, seed)
            except SrnnError as error:
                refused = str(error)
        if refused := self.fabric.broadcast(refused):
            if not self.first and _launched():
                raise SystemExit(0)
            raise SrnnError(refused)
        return run

    def share(self, total: int) -> Share:
        """This process's part of a batch of ``total`` sequences: consecutive ones, divided as evenly as possible."""
        begin, end = self.rank * total // self.size, (self.rank + 1) * total // self.size
        return Share(slice(begin, end), total) if end > begin else Share(slice(0, 1), total, counts=False)

    def draw(
        self, network: Network, share: Share, p: float, generator: torch.Generator
    ) -> tuple[tuple[Any, ...], Dropout | None]:
        """The state of this process's part before the first step, and which of its neurons dropout keeps; drawn for all."""
        state = network.initial_state(share.total, generator)
        sizes = [layer.size for layer in network.layers]
        dropout = Dropout.draw(sizes, share.total, p, generator)  # type: ignore[arg-type]
        if self.size == 1:
            return state, dropout
        return each_part(state, lambda part: part[share.part]), None if dropout is None else dropout.part(share.part)

    def join_norms(self, network: Network, share: Share) -> None:
        """Let batch norm see the whole batch: the moments of each layer's input are summed over all processes."""
        if self.size == 1:
            return

        def joined(sums: Tensor) -> Tensor:  # zeros for a share that counts nothing
            return _Summed.apply(sums * share.counts, self._add_up)

        for module in network.modules():
            if isinstance(module, BatchNorm):
                module.joined = joined

    def join(
        self, loss: Loss, share: Share, scored: Scored, steps: int, rates: list[float]
    ) -> tuple[Scored, int, list[float]]:
        """Loss, valid steps and firing rates of this process's part -> those of the whole batch.

        The loss has the joint value. Its gradient is this part's, times the number of processes because DDP divides by that.
        """
        if self.size == 1:
            return scored, steps, rates
        by_sequence = loss.per_step and loss.config.reduction == "sum"
        weight = scored.weight if share.counts and (by_sequence or scored.counted) else 0
        counts = [weight, scored.correct, scored.counted, steps] if share.counts else [0, 0, 0, 0]
        own = float(scored.loss.detach()) * weight
        total = self._sum([own, *counts, *(rate * counts[3] for rate in rates)])
        joint_weight = max(round(total[1]), 1)
        part = scored.loss * (self.size * weight / joint_weight)
        value = torch.full_like(part, total[0] / joint_weight)
        joint = Scored(part + (value - part).detach(), joint_weight, round(total[2]), round(total[3]))
        return joint, round(total[4]), [rate / max(total[4], 1) for rate in total[5:]]

    def join_layers(
        self, config: RateConfig, share: Share, layers: Sequence[LayerResult], lengths: Tensor | None
    ) -> tuple[Sequence[LayerResult], Tensor | None]:
        """Hidden layers and their lengths for the firing-rate regulariser: unchanged, or with the rates of the whole batch."""
        if self.size == 1 or config.weight == 0 or not layers:
            return layers, lengths
        output = layers[0].output
        steps = output.shape[0] * output.shape[1] if lengths is None else int(lengths.sum())
        steps = steps if share.counts else 0
        scale = steps / self._sum([steps])[0]
        joined = []
        for layer in layers:
            own = neuron_rates(layer.output, lengths) * scale
            part = own * self.size
            rates = part + (self._add_up(own) - part).detach()
            joined.append(LayerResult(rates[None, None], ()))  # as one sequence of one step, with these rates
        return joined, None

    def from_first(self, make: Callable[[], T]) -> T:
        """The first process's result of a function, for all processes."""
        if self.size == 1:
            return make()
        made: Any = make() if self.first else None
        return self.fabric.broadcast(made)

    @torch.no_grad()
    def agree(self, network: Network) -> None:
        """Give the network of every process the first one's tensors."""
        if self.size > 1:
            for tensor in network.state_dict().values():
                torch.distributed.broadcast(tensor, 0)

    def raise_if_broken(self, error: RuntimeError, out: Path) -> None:
        """If the connection between processes failed, another one has ended: raise SrnnError, which says how to resume.

        SystemExit, with LOST, if ``launch`` started this process.
        """
        if self.size > 1 and any(word in str(error).lower() for word in ("gloo", "nccl", "connection", "peer")):
            if _launched():
                raise SystemExit(LOST) from error
            raise SrnnError(
                f"Process {self.rank} of {self.size} has lost another one, which was killed or whose machine failed; resume "
                f"from the last checkpoint with --out {out} --resume."
            ) from error

    def _sum(self, numbers: list[float]) -> list[float]:
        return self._add_up(torch.tensor(numbers, dtype=torch.float64, device=self.fabric.device)).tolist()

    def _add_up(self, part: Tensor) -> Tensor:
        total: Any = self.fabric.all_reduce(part.detach().clone(), reduce_op="sum")
        return total


class _Summed(torch.autograd.Function):
    """A tensor summed over all processes. All losses depend on the sum, so its gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, add_up: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.add_up = add_up
        return add_up(part)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.add_up(gradients[0].contiguous()), None


class Onlooker(Run):
    """The run as seen by the processes that do not write it."""

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """The first process does."""

    def log(self, record: dict[str, Any]) -> None:
        """The first process does."""

    def truncate_metrics(self, size: int) -> None:
        """The first process does."""


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def world_size() -> int:
    """How many processes this one trains with, itself included; 1 unless torchrun or ``launch`` started it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def _launched() -> bool:
    """Whether ``launch`` started this process, rather than torchrun."""
    return os.environ.get("TORCHELASTIC_RUN_ID") == _OURS


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return world_size() == 1 or os.environ.get("RANK") == "0"


def launch(command: Sequence[str], devices: int, nodes: int, advice: str) -> int:
    """Run a command as ``devices`` processes here that train together, under torchrun's agent; returns its exit code.

    With several ``nodes``, call it on each of them; MASTER_ADDR gives the first node's address, NODE_RANK (or SLURM_NODEID) this
    node's number. When a process dies, the others are ended; a signal to this process reaches all.

    Raises SrnnError for a missing variable, if the nodes cannot reach each other, and if a process died: with its exit code
    or signal, and ``advice``.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    node, address = _place(nodes)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices)))
    agent = logging.getLogger("torch.distributed.elastic")  # this function reports what happens, in one line
    agent.propagate, agent.handlers = False, [logging.NullHandler()]
    with tempfile.TemporaryDirectory(prefix="srnn-") as folder:
        silent = {local: Std.ERR for local in range(devices) if node or local}  # the first process prints for all
        config = LaunchConfig(
            nodes, nodes, devices, run_id=_OURS, rdzv_backend="static", rdzv_endpoint=address, rdzv_configs={"rank": node},
            rdzv_timeout=int(_TIMEOUT.total_seconds()), max_restarts=0, logs_specs=DefaultLogsSpecs(folder, silent),
        )  # fmt: skip
        names = [name for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT") if hasattr(signal, name)]
        # Leave out signals that we were told to ignore, for example by nohup.
        heeded = [name for name in names if signal.getsignal(getattr(signal, name)) != signal.SIG_IGN]
        config.signals_to_handle = ",".join(heeded)
        try:
            elastic_launch(config, command[0])(*command[1:])
            return 0
        except SignalException as error:
            return 128 + error.sigval
        except RuntimeError as error:
            raise SrnnError(f"The {nodes} machines cannot reach each other at {address}: {error}") from error
        except ChildFailedError as error:
            codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
            # The first that died, unless it only lost another one; processes that were ended because of it come last.
            rank = min(codes, key=lambda rank: codes[rank] in (LOST, -signal.SIGTERM))
            code = codes[rank]
            if code == LOST:
                raise SrnnError(f"Training process {rank} has lost another one on another machine. {advice}") from None
            if code > 0 and rank == 0:
                return code
            log = next(Path(folder).glob(f"*/*/{rank - node * devices}/stderr.log"), None)
            said = log.read_text(errors="replace").strip().splitlines() if log and code > 0 else []
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            what = f": {said[-1].removeprefix('srnn: ')}" if said else "."
            raise SrnnError(f"Training process {rank} {how}{what} The others were stopped. {advice}") from None


def _place(nodes: int) -> tuple[int, str]:
    """The number of this machine, and the address where the first one listens."""
    if nodes == 1:
        from torch.distributed.elastic.utils.distributed import get_free_port

        return 0, f"127.0.0.1:{get_free_port()}"
    node = os.environ.get("NODE_RANK", os.environ.get("SLURM_NODEID"))
    address = os.environ.get("MASTER_ADDR")
    if node is None or address is None:
        raise SrnnError(
            "--nodes needs the variables MASTER_ADDR (the first machine's address) and NODE_RANK (0, 1, ...; or SLURM's)."
        )
    if not node.isdecimal() or int(node) >= nodes:
        raise SrnnError(f"NODE_RANK is {node!r}; with --nodes {nodes} it must be a number from 0 to {nodes - 1}.")
    return int(node), f"{address}:{os.environ.get('MASTER_PORT', '29500')}"
