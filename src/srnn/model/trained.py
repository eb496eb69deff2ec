"""A trained network with everything needed to use it, and its file. Evaluation, streaming, exports,
pruning and pages take one.

The file is a checkpoint (safetensors with a checksum; ``files/tensors.py``) whose JSON also has,
under ``model``, the ``version`` of this description (2) and the fields of ``Trained``: ``recipe``
as in recipe.yaml; ``task``: name, classes, step, whether labels belong to sequences or steps, and
the signal path with its statistics; ``seed``, ``steps``, ``inputs`` (inputs_as), ``states``
(state_ranges), ``policy``, ``spotting`` and ``alarm`` (which may be missing) and ``about``; and ``frozen``, which
with arrays of that name lets the network be run without torch (``model/stored.py``). Version 1 had no
``frozen``; nor have torch's cells.

A run holds one, ``model.safetensors``. Nothing is pickled, and no data set is needed to use it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from ..compiling import why_no_numba
from ..data.datasets.answers import Label
from ..data.tasks import Task, TaskMetadata
from ..errors import SrnnError, naming_once
from ..files import reading
from ..files.conversion import convert, read_named
from ..files.tensors import Arrays, load_arrays, save_arrays
from ..nn.alarm import SCORE, Alarm
from ..nn.array_likes import default_dtype
from ..nn.delays import LEARNED
from ..nn.fixedpoint.integer import InputFormat
from ..nn.frozen import FrozenNetwork
from ..nn.loss_config import DecisionRule
from ..nn.neurons import NEURONS
from ..nn.state_format import StateFormat
from ..nn.surrogates import SURROGATES
from ..text import one_line
from . import stored
from .recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from ..nn.baselines import Network
    from ..nn.losses import Loss
    from ..nn.network import SRNN

VERSION = 2


@dataclass(frozen=True)
class _Unread:
    """A network that is still in the arrays of a model's file."""

    path: Path
    arrays: Arrays
    info: dict[str, Any]
    recipe: Recipe
    task: Task
    seed: int
    frozen: FrozenNetwork | None = None
    """The network as it runs without torch; None: as a module only."""

    def network(self) -> Network:
        """The network as a module. SrnnError, which names the file, if this does not hold what its
        recipe describes."""
        with naming_once(self.path):  # a setting's own check does not
            return self._network()

    def _network(self) -> Network:
        from . import checkpoints

        described = self.recipe.network
        sizes = [self.task.inputs, *described.hidden, self.task.outputs]
        recurrent = zip(described.hidden, described.each("recurrent"), strict=False)
        weights = sum(a * b for a, b in pairwise(sizes)) + sum(
            size**2 for size, has in recurrent if has
        )
        if weights > sum(array.size for array in self.arrays.values()):  # before memory is taken
            problem = f"{self.path} holds fewer weights than the network that it describes."
            raise SrnnError(problem, "file", self.path)
        if described.model == "srnn":
            # Weights that the file's replace are not drawn: orthogonal ones take a while. And the
            # backend that trained the network need not be here: a network trained on a GPU is used
            # on a laptop.
            backend = "auto"
            if described.backend == "reference":
                backend = "reference"
            described = replace(described, init_in="zero", init_rec="zero", backend=backend)
        network = replace(self.recipe, network=described).build_network(self.task, self.seed)
        checkpoints.load_network(
            network, checkpoints.Checkpoint.of(self.path, self.arrays, self.info)
        )
        StateFormat.from_arrays(self.arrays).into(network)
        return network.eval()


@dataclass(frozen=True)
class Trained:
    """A network, the task that it was trained for, and how it was made. A network of your own needs
    no run::

    Trained(network, task, Recipe(TaskConfig(task.name), loss=LossConfig("nll")))
    """

    network: Network
    task: Task
    recipe: Recipe
    """Its ``loss`` section sets how outputs become class scores."""
    seed: int = 0
    """Draws the initial states that are random."""
    folder: Path | None = None
    """The run or file from which it was read; None: it was not read from one."""
    steps: int | None = None
    """Number of steps in a training sequence, after which a stream with one label per sequence
    decides. None: not known."""
    inputs_as: InputFormat | None = None
    """What training inputs are like, for int8; None: not known."""
    state_ranges: tuple[Mapping[str, float], ...] | None = None
    """Per layer, the largest absolute value of each state variable on training data, for int8;
    None: not known."""
    policy: Mapping[str, Any] | None = None
    """An early-exit policy, as ``ExitPolicy.to_dict`` gives it; None: none was chosen."""
    spotting: Mapping[str, Any] | None = None
    """When a word in a stream is detected: a ``SpottingRule`` as a mapping; None: none was
    chosen."""
    alarm: Mapping[str, Any] | None = None
    """When a signal is not like those of training: an ``nn.alarm.Alarm`` as a mapping; None: the
    network was not trained to measure that."""
    about: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Provenance, as JSON values: the results that training ended with, licence, origin."""

    def __getstate__(self) -> dict[str, Any]:
        """The fields, with a network that is still in its file as the file's arrays: what is
        pickled or copied needs no file, and no torch."""
        return {
            **{item.name: vars(self)[item.name] for item in fields(self)},
            "about": dict(self.about),
        }

    @cached_property
    def loss(self) -> Loss:
        """How outputs are scored. SrnnError if the recipe's loss does not fit the task."""
        from ..nn.losses import Loss

        return Loss.for_task(self.recipe.loss, self.task)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the outputs."""
        return self.task.class_names

    @property
    def labels(self) -> tuple[Label, ...]:
        """The labels of the classes as they were given in training, in the order of the outputs:
        integers, truth values or text."""
        return self.task.labels

    @property
    def answers(self) -> tuple[str, ...]:
        """Names of what it answers with: the classes, the values, or the score of an alarm."""
        if self.alarm is None:
            return self.classes
        return (SCORE,)

    @property
    def decision(self) -> DecisionRule:
        """How outputs become an answer, for exports."""
        alarm = Alarm.of(self.alarm)
        return DecisionRule(self.recipe.loss, self.classes, targets=self.task.targets, alarm=alarm)

    @property
    def has_learnt_validation(self) -> bool:
        """Whether the network has learnt the validation split of its task, too
        (``training.refit``)."""
        of_others = getattr(self.task, "data", None) is not None
        return "refit" in self.about.get("result", {}) and not of_others

    @property
    def file(self) -> Path | None:
        """The model's file; None if it has none."""
        if self.folder is None or not self.folder.is_dir():
            return self.folder
        return self.folder / "model.safetensors"

    @property
    def name(self) -> str:
        """Name of the run or file from which it was read, else of its task."""
        if self.folder is None:
            name = self.task.name
        else:
            name = self.folder.resolve().name.removesuffix(".safetensors")
        return one_line(name)  # a file's may not be a text

    @property
    def unread(self) -> FrozenNetwork | None:
        """The network in float32 as its file holds it, to be run by compiled code and without
        torch.

        None: it must be run as a module, such as one that ``network`` gave, which may have been
        changed since.
        """
        network = vars(self)["network"]
        frozen = None
        if isinstance(network, _Unread):
            frozen = network.frozen
        if frozen is None or default_dtype() != "float32" or why_no_numba():
            return None
        if frozen.why_not("A compiled stream"):
            return None
        return frozen

    def frozen(self, done: str) -> FrozenNetwork:
        """The network as arrays. SrnnError, as of ``spiking``, if it is not a spiking one."""
        if (unread := self.unread) is not None:
            return unread
        return self.spiking(done).freeze()

    def spiking(self, done: str) -> SRNN:
        """The network, if it is an SRNN. SrnnError if not: only such networks can be ``done``
        ("exported", "streamed")."""
        from ..nn.network import SRNN

        if not isinstance(self.network, SRNN):
            name = self.folder or f"task {self.task.name}"
            raise SrnnError(
                f"{name} has a network of kind '{self.recipe.network.model}'; only spiking "
                f"networks can be {done}.",
                "unsupported",
                "network.model",
            )
        return self.network

    def require_classes(self, done: str) -> None:
        """SrnnError if its answer is a value: what is ``done`` ("served") needs classes."""
        if self.task.targets is not None:
            raise SrnnError(
                f"{self.name} answers with values, and only networks that name a class "
                f"can be {done}.",
                "unsupported",
            )

    def untrained(self) -> Network | None:
        """The network as it was drawn before training; None if it was trained elsewhere, or began
        as another network."""
        # Version 0.1 could merge several networks into one; its files have "merged".
        elsewhere = {"imported", "merged"} & self.about.keys()
        if elsewhere or self.recipe.training.start_from is not None:
            return None
        return self.recipe.build_network(self.task, self.seed)

    def but(self, **changes: Any) -> Self:
        """``dataclasses.replace``, which leaves a network in its file until it is asked for."""
        return type(self)(
            **{**{item.name: vars(self)[item.name] for item in fields(self)}, **changes}
        )

    def folded(self) -> Self:
        """The model with batch norm folded into its weights (``SRNN.fold``), and a recipe without
        it; itself if it has none."""
        from ..nn.network import has_norm

        network: Any = self.network
        if not has_norm(network):
            return self
        recipe = replace(self.recipe, network=self.recipe.network.folded())
        return replace(self, network=network.fold(), recipe=recipe)

    def fitted(self, data_dir: Path | None = None) -> Trained:
        """The model with the statistics of its training data, if it lacks them, as a network of
        other authors does.

        The data are read only this once: the model's file keeps the statistics. SrnnError if the
        data are missing.
        """
        try:
            statistics = self.task.statistics(data_dir)
        except SrnnError as error:
            raise SrnnError(
                f"{self.name} has no statistics of its training data, and computing them needs "
                f"the data once: {error}",
                error.kind,
                error.field,
            ) from error
        path = self.task.signal().calibrated(statistics=statistics)
        fitted = self.but(task=self.task.described(path))
        if self.file is not None:
            # If the folder cannot be written, the data are read again next time.
            with suppress(SrnnError):
                fitted.save(self.file, named=False)
        return fitted

    def state_format(self, width: int) -> StateFormat | None:
        """How states of ``width`` bits are kept in int8, from their ranges in training; None: these
        are not known."""
        if width < 32 and self.state_ranges is None:
            return None
        return StateFormat.of_ranges(width, self.state_ranges or ())

    # ---- the file ---------------------------------------------------------------------------------------------------

    def header(self) -> dict[str, Any]:
        """What a checkpoint's JSON has under ``model``; see above."""
        return {
            "version": VERSION,
            "recipe": self.recipe.to_dict(),
            "task": self.task.described().plain(),
            "seed": self.seed,
            "steps": self.steps,
            "inputs": None if self.inputs_as is None else asdict(self.inputs_as),
            "states": None
            if self.state_ranges is None
            else [dict(one) for one in self.state_ranges],
            "policy": None if self.policy is None else dict(self.policy),
            "spotting": None if self.spotting is None else dict(self.spotting),
            "alarm": None if self.alarm is None else dict(self.alarm),
            "about": dict(self.about),
        }

    def write(
        self,
        path: Path,
        tensors: Mapping[str, Tensor],
        info: Mapping[str, Any],
        *,
        named: bool = False,
    ) -> None:
        """Write a model's file of these tensors, whole or not at all; ``save`` writes this one's
        own.

        Args:
            tensors: the weights and the format of states, by checkpoint name; ``frozen.*`` is made
                anew.
            info: what a checkpoint's JSON has of its network (``checkpoints.made_of``), and
                whatever else.
            named: the user named the file, so that a link is followed; else it is replaced.
        """
        from . import checkpoints

        kept = {
            name: tensor for name, tensor in tensors.items() if not name.startswith(stored.PREFIX)
        }
        arrays, header = checkpoints.as_arrays(kept), self.header()
        if self.recipe.network.model == "srnn":
            from ..nn.network.freezing import freeze, with_drawn_state

            network = _Unread(path, arrays, dict(info), self.recipe, self.task, self.seed).network()
            frozen = with_drawn_state(freeze(network), network, self.seed)
            header["frozen"] = stored.describe(frozen)
            arrays |= stored.arrays_of(frozen, arrays)
        save_arrays(path, arrays, {**info, "model": header}, named=named)

    def check_recipe(self) -> None:
        """SrnnError unless its recipe builds a network of the same architecture, whose surrogates
        are the same."""
        from . import checkpoints

        built = self.recipe.build_network(self.task, self.seed)
        for describe in (checkpoints.architecture, checkpoints.surrogates):
            for own, made in zip(describe(self.network), describe(built), strict=False):
                if own != made:  # as after one layer has been replaced
                    raise SrnnError(
                        f"A recipe cannot describe this network: instead of '{own}' it would make "
                        f"'{made}'; use it from Python.",
                        "unsupported",
                        "network",
                    )
        own, others = (
            {(name, part.shape) for name, part in net.state_dict().items()}
            for net in (self.network, built)
        )
        if own != others:
            raise SrnnError(
                f"A recipe cannot describe this network's '{min(own ^ others)[0]}'; remove what "
                "was added to it, and make weight_norm, pruning and other parametrizations "
                "permanent (torch.nn.utils).",
                "unsupported",
                "network",
            )

    def save(self, path: Path | str, *, named: bool = True) -> Path:
        """Write the model's file, whole or not at all.

        Args:
            path: the file.
            named: whether the user named the file, so that a link is followed; else it is replaced.

        Returns:
            The path.

        Raises:
            SrnnError: ``file`` if it cannot be written, ``unsupported`` if no recipe describes the
                network, so that it could not be read back.
        """
        from . import checkpoints

        self.check_recipe()
        try:
            json.dumps(dict(self.about))
        except (TypeError, ValueError) as error:
            raise SrnnError(
                "A model's 'about' can only hold text, numbers, lists and mappings, since it is "
                f"kept as JSON: {error}.",
                "value",
                "about",
            ) from error
        tensors = checkpoints.model_tensors(self.network)
        self.write(Path(path), tensors, checkpoints.made_of(self.network), named=named)
        return Path(path)

    @classmethod
    def read(cls, path: Path | str, folder: Path | None = None) -> Self:
        """The model in a file.

        Args:
            path: the file.
            folder: the run to which it belongs, for messages; None: the file itself.

        Returns:
            The model; its network is read when it is first asked for.

        Raises:
            SrnnError: ``file`` if it is damaged, of a newer version, or not a model.
        """
        with naming_once(path):  # a setting's own check does not
            return cls._read(Path(path), folder)

    @classmethod
    def _read(cls, path: Path, folder: Path | None) -> Self:
        arrays, info = load_arrays(path)
        model, source = info.get("model"), str(path)
        if not isinstance(model, dict):
            raise SrnnError(
                f"{path} is a checkpoint without a model's description (format, classes, signal); "
                "name a model.safetensors.",
                "file",
                path,
            )
        if model.get("version") not in (1, VERSION):
            version = one_line(str(model.get("version")), 50)
            raise SrnnError(
                f"{path} has version {version} of the model's format; this srnn reads 1 to "
                f"{VERSION}.",
                "file",
                path,
            )
        with reading(source, "a model"):
            recipe = read_named(Recipe, _without_removed(model["recipe"]), source)
            task = TaskMetadata.restored(model["task"], source)
            seed, steps = model["seed"], convert(int | None, model["steps"], "steps")
            if (
                type(seed) is not int
                or not 0 <= seed < 2**63
                or (steps is not None and not 1 <= steps < 2**31)
            ):
                raise ValueError(f"seed {seed}, {steps} steps")
            inputs, states = model["inputs"], model["states"]
            if inputs is None:
                inputs_as = None
            else:
                inputs_as = read_named(InputFormat, inputs, source)
            ranges = None
            if states is not None:
                ranges = tuple(convert(list[dict[str, float]], states, "states"))
                StateFormat.of_ranges(16, ranges)  # SrnnError for values that are not numbers
            policy, spotting, about = model["policy"], model.get("spotting"), model["about"]
            alarm = model.get("alarm")
            if not all(
                isinstance(one, dict | None) for one in (policy, spotting, alarm)
            ) or not isinstance(about, dict):
                raise ValueError("policy, spotting, alarm and about should be mappings")
            Alarm.of(alarm)  # SrnnError for numbers that raise none
            described: Any = model.get("frozen")
            # Neurons of others may have been edited since, which ``checkpoints.load_network`` finds
            # out.
            ours = "frozen" in model and all(
                layer["neuron"]["name"] in NEURONS and layer["surrogate"]["name"] in SURROGATES
                for layer in described["layers"]
            )
        frozen = None
        if ours:
            frozen = stored.restore(arrays, described, source)
        if frozen is not None and (frozen.inputs, frozen.outputs) != (task.inputs, task.outputs):
            raise SrnnError(
                f"{path} has {frozen.inputs} inputs and {frozen.outputs} outputs, its task "
                f"{task.inputs} and {task.outputs}.",
                "file",
                path,
            )
        network = _Unread(path, arrays, info, recipe, task, seed, frozen)
        waits = frozen is not None and recipe.network.backend != "reference"
        if waits:
            given: Any = network
        else:
            given = network.network()
        return cls(
            given,
            task,
            recipe,
            seed,
            folder or path,
            steps=steps,
            inputs_as=inputs_as,
            state_ranges=ranges,
            policy=policy,
            spotting=spotting,
            alarm=alarm,
            about=about,
        )


class _Network:
    """The field ``network``: a module, or one that is read from its file when it is first asked
    for."""

    def __get__(self, trained: Trained | None, owner: type | None = None) -> Any:
        if trained is None:
            return self
        network = vars(trained)["network"]
        if isinstance(network, _Unread):
            network = vars(trained)["network"] = network.network()
        return network

    def __set__(self, trained: Trained, network: Network | _Unread) -> None:
        vars(trained)["network"] = network


Trained.network = _Network()  # type: ignore[assignment]  # here, lest it be taken for the field's default


def _without_removed(recipe: Any) -> Any:
    """The recipe of a model's file without what only version 0.1 could do, none of which matters to
    who uses the network.

    A model keeps delays as whole steps, learned or drawn; and by which rule it was trained changes
    nothing. The first models have no norm: there was none yet.
    """
    match recipe:
        case {"network": dict() as network, "training": dict() as training}:
            renamed = dict(training)
            if training.get("rule") in ("rtrl", "es-d-rtrl"):
                renamed["rule"] = "d-rtrl"  # whose settings are the same
            if training.get("feedback") == "learned":
                renamed["feedback"] = "random"
            return {**recipe, "network": _drawn(network), "training": renamed}
    return recipe  # as no version wrote it, which its reader refuses


def _drawn(network: dict[str, Any]) -> dict[str, Any]:
    def drawn(delays: Any) -> Any:
        if isinstance(delays, list):
            return [drawn(one) for one in delays]
        if isinstance(delays, dict):
            return {key: value for key, value in delays.items() if key not in LEARNED}
        return delays

    return {"norm": "none", **network, "delays": drawn(network.get("delays"))}
