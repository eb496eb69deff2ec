"""``srnn import nir``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import SrnnError
from ..nn.loss_config import LossName
from ..text import counted
from .options import Json
from .show import print_result

if TYPE_CHECKING:
    from ..data.tasks import Task
    from ..deploy.export.nir import Imported
    from ..nn.network import SRNN
    from ..training.recipes import Recipe


def _layers(network: SRNN) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "size": one.size,
            "neuron": one.neuron.name,
            "recurrent": one.weight_rec is not None,
        }
        for one in network.freeze().layers
    ]


def import_nir(
    file: Path,
    /,
    *,
    dt: float | None = None,
    discretisation: Literal["euler", "exact"] | None = None,
    reset_kind: Literal["hard", "soft"] | None = None,
    reset_step: Literal["same", "next"] | None = None,
    synapse_step: Literal["same", "next"] | None = None,
    no_extension: bool = False,
    out: Path | None = None,
    overwrite: bool = False,
    task: str | None = None,
    loss: LossName | None = None,
    json: Json = False,
) -> int:
    """Read a network from a NIR file (neuroir.org), ours or another library's.

      srnn import nir net.nir                                 show what is in it
      srnn import nir net.nir --dt 1e-3                       as its writer stepped it
      srnn import nir net.nir --reset-kind soft               as its writer reset it, which NIR cannot say
      srnn import nir ecg.nir --out runs/ecg-imported         and make a run from it, to evaluate, stream or export
      srnn import nir net.nir --task shd --out runs/theirs    for a task that the file does not name

    Our own files name their task and loss, and restore the network to the same bits.

    Args:
        file: the file to read
        dt: the time step in seconds (default: as our file says, else 1e-4)
        discretisation: how the writer steps: 1 - dt/tau, or exp(-dt/tau) (default: as our file
            says, else euler)
        reset_kind: the writer's reset: to a value, or by subtraction of the threshold (default:
            hard)
        reset_step: the reset comes at once, or a step later as by default in snnTorch (default:
            same)
        synapse_step: CubaLIF: an input moves the membrane at once, or a step later (default: same)
        no_extension: read only what NIR itself contains, as another reader would see it
        out: make a run folder from it
        overwrite: replace the run in --out
        task: --out: its task (default: as our file says)
        loss: --out: how its output is scored (default: as our file says, else by task and readout)
    """
    if out is None and (task is not None or loss is not None or overwrite):
        raise SrnnError(
            "--task, --loss and --overwrite are for the run that --out names; add --out RUN.",
            "conflict",
            "out",
        )

    from ..deploy.export import nir
    from ..model.trained import Trained
    from ..training.runs import Run

    of_neuron = {"reset_kind": reset_kind, "reset_step": reset_step, "synapse_step": synapse_step}
    imported = nir.load(
        file,
        dt=dt,
        discretisation=discretisation,
        extension=not no_extension,
        neuron={name: value for name, value in of_neuron.items() if value is not None},
    )
    if out is not None:
        Run.check(out, None, overwrite)
        recipe = make_recipe(imported, task, loss)
        about = {"imported": {"from": "NIR", "file": file.name}}
        scaled = with_scale(recipe.create_task(), imported, str(file))
        Run.hold(out, Trained(imported.network, scaled, recipe), about, overwrite)
    layers = _layers(imported.network)
    report = {
        "file": str(file),
        "dt": imported.dt,
        "discretisation": imported.discretisation,
        "inputs": imported.network.inputs,
        "layers": layers,
        "report": imported.report.to_dict(),
        "out": None if out is None else str(out),
    }
    return print_result(json, report, lambda: _show(file, imported, layers, out))


def _show(file: Path, imported: Imported, layers: list[dict[str, Any]], run: Path | None) -> None:
    """layers: as in the report; run: the folder of the run that was made, if one was."""
    inputs = counted(imported.network.inputs, "input")
    print(f"{file}: {inputs}, steps of {imported.dt:g} s ({imported.discretisation})")
    for layer in layers:
        kind = "feed-forward"
        if layer["recurrent"]:
            kind = "recurrent"
        print(f"  {layer['name']:<10} {layer['size']} {layer['neuron']}, {kind}")
    for line in imported.report.lines():
        print(f"  {line}")
    if run is not None:
        print(f"run written: {run}")


def with_scale(task: Task, imported: Imported, source: str) -> Task:
    """The task, with the scale of its channels if the file has one.

    Args:
        task: the task.
        imported: the file's content.
        source: the file, as the message names it.

    Returns:
        The task.

    Raises:
        SrnnError: ``file``: the scale is not valid.
    """
    from ..data.encoders import Statistics
    from ..data.signals import ScaledPath
    from ..files import reading

    path = task.signal()
    if "input_mean" not in imported.about or not isinstance(path, ScaledPath):
        return task
    with reading(source, "the scale of a network's channels"):
        scale = Statistics.read({name: imported.about[f"input_{name}"] for name in ("mean", "std")})
    return task.described(path.calibrated(statistics=scale))


def make_recipe(imported: Imported, task_name: str | None, loss_name: LossName | None) -> Recipe:
    """The recipe of an imported network, with a note on where it comes from.

    Args:
        imported: the file's content.
        task_name: the task; None: the file's own.
        loss_name: the loss; None: the file's own, else by task and readout.

    Returns:
        The recipe.

    Raises:
        SrnnError: ``missing``: there is no task; ``conflict``: the network does not fit it.
    """
    from ..data.tasks import create_task
    from ..files.conversion import read_named
    from ..model.network import network_config
    from ..model.recipe import Recipe, TaskConfig
    from ..nn.loss_config import LossConfig
    from ..nn.losses import Loss

    network = imported.network
    kept = None
    if "task" in imported.about:
        kept = read_named(TaskConfig, imported.about["task"], "the file")
    if task_name is None and kept is None:
        raise SrnnError("The file names no task; name one with --task NAME.", "missing", "task")
    own = kept is not None and task_name in (None, kept.name)
    if kept is not None and own:
        config = kept
    else:
        config = TaskConfig(str(task_name))
    try:
        task = create_task(config.name, **config.options)
    except SrnnError as error:
        if not own:
            raise
        raise SrnnError(
            f"The file's own task cannot be made here: {error} Name another with "
            "--task, or make a model of the network in Python: "
            "srnn.from_network(srnn.deploy.export.nir.load(FILE).network, CLASSES).",
            error.kind,
            error.field,
        ) from error
    if (task.inputs, task.outputs) != (network.inputs, network.outputs):
        raise SrnnError(
            f"The network has {network.inputs} inputs and {network.outputs} "
            f"outputs, the task '{task.name}' has {task.inputs} and {task.outputs}.",
            "conflict",
            "task",
        )
    if loss_name is None and own and "loss" in imported.about:
        loss = read_named(LossConfig, imported.about["loss"], "the file")
    else:
        of_sequence: LossName = "ce_mean"
        if network.readout.output == "emission":
            of_sequence = "ce_spike_count"
        loss = LossConfig(loss_name or ("nll" if task.kind == "per_step" else of_sequence))
    Loss.for_task(loss, task)  # SrnnError if it does not fit
    return Recipe(
        task=config,
        network=network_config(network),
        loss=loss,
        note="Imported from a NIR file; it was not trained with the training settings given here.",
    )
