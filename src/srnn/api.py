"""The public face: ``fit``, ``train`` and ``load`` give a ``Model``, which predicts, streams, is
measured and exported.

    model = srnn.fit(x, y, rate=50, epochs=30)       # arrays, DataFrames, a torch Dataset; or a folder of recordings
    model = srnn.train("digits", "runs/digits")      # a recipe's name or file
    model = srnn.load("runs/ecg")                    # a run, a model's file, or a pretrained network: "ecg-records"
    model.predict("clip.wav").label
    session = model.stream(); session.push(block)
    model.energy(x)["models"]["fp32"]["energy_pj"]["step"]
    model.export("ecg_c", format="int8")

Anything that does not fit raises an SrnnError of one line. Reading a model's file runs no code from
it and needs no data set.
"""

# Nothing inside the package imports this file; what it calls lies in the rooms below.

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self

from .data.gaps import LONGEST_GAP, Gaps, Missing
from .data.recordings import ReadingOverrides, Recording
from .errors import SrnnError, is_number, require
from .files import temporary_folder
from .files.bounds import Between, Positive, WithinZeroAndOne
from .files.conversion import check
from .model.trained import Trained
from .text import counted, html_table, in_short, some

if TYPE_CHECKING:
    import numpy.typing as npt

    from .data.datasets import SplitName
    from .data.signals import Form, SignalPath
    from .data.signals.base import Scale
    from .data.targets import Targets
    from .data.tasks import Task
    from .deploy.predicting import Prediction
    from .deploy.streaming.decoder import Session
    from .model.exit_policy import ExitPolicy
    from .nn.loss_config import LossConfig, LossName
    from .nn.network import SRNN
    from .nn.network.inputs import Input, Lengths
    from .nn.neurons import Neuron
    from .progress import Reporter
    from .training.adapting import Adaptation
    from .training.evaluation import Evaluation
    from .training.loggers import LoggerName
    from .training.recipes import Recipe


@dataclass(frozen=True, repr=False)
class Model(Trained):
    """A trained network with all that is needed to use it. ``load`` reads one; ``from_network``
    makes one from your own network.

    ``network`` is the torch module, ``classes`` holds the names of its outputs, ``task.signal()``
    is the path from a sensor's signal to its input, and ``recipe`` and ``about`` hold how it was
    made.
    """

    @classmethod
    def of(cls, trained: Trained) -> Self:
        """The same record with the public methods."""
        # Not by getattr, for which a network that is still in its file would be made.
        return cls(**{item.name: vars(trained)[item.name] for item in fields(trained)})

    def __repr__(self) -> str:
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        return (
            f"Model({self.name!r}: {self.task.whole_path().what} "
            f"-> {some(self.classes)}; {parameters:,} parameters)"
        )

    def _repr_html_(self) -> str:
        rows = {
            "reads": self.task.whole_path().what,
            "answers": some(self.classes),
            "parameters": f"{sum(parameter.numel() for parameter in self.network.parameters()):,}",
        }
        result = self.about.get("result")
        if result:
            name, reached = in_short(result)
            rows[f"{name}, {result['split']}"] = reached
        return html_table(f"Model {self.name!r}", rows.items())

    def predict(
        self,
        signal: str | Path | Recording | npt.ArrayLike | Sequence[npt.ArrayLike],
        form: Form = "auto",
        *,
        rate: float | None = None,
        channels: Sequence[str | int] | None = None,
        missing: Missing = "interpolate",
        longest_gap: int = LONGEST_GAP,
        segment: float | None = None,
    ) -> Prediction | list[Prediction]:
        """What the network predicts for a recording.

        Args:
            signal: a file, a ``Recording``, a DataFrame with a column for each channel, or an array
                (samples, channels), (samples,) for one channel. A list of recordings, or an array
                (N, samples, channels), gives a list of predictions; a list of rows of several
                numbers is one recording.
            form: "signal": what a sensor gives; "steps": the network's own input (steps, inputs);
                "auto": "signal" if the training data took the same path, otherwise "steps".
            rate: samples per second of the recording, where it does not state them, or wrongly;
                None: what it states.
            channels: which of its channels to read, in this order, by name or by number from 0;
                None: those that the network knows by name, else all.
            missing: what is done about missing samples (NaN, rows that are missing by their times):
                "interpolate", "hold" the last value, or "refuse".
            longest_gap: samples that may be missing in a row.
            segment: seconds (steps, where these are not in time) after which a sequence ends and
                the next begins, as training cut its recordings by ``window``; None: each recording
                is one sequence.

        Raises SrnnError for a recording that cannot be read, does not fit, or is too short for one
        step. A RuntimeWarning names one that is unlike those of training (``Prediction.drift``),
        and how many missing values were filled in.
        """
        from .deploy.predicting import far_longer, predict

        gaps = Gaps(missing, longest_gap)
        overrides = ReadingOverrides(rate, channels, gaps)
        many = False
        if isinstance(signal, (list, tuple)) and signal:
            first = signal[0]
            many = not _is_number(first)
            if isinstance(first, (list, tuple)) and self.task.whole_path(form).channels > 1:
                many = not all(map(_is_number, first))
        many = many or getattr(signal, "ndim", 0) == 3
        if many:
            found = [_warned(predict(self, one, form, overrides, segment)) for one in signal]  # type: ignore[arg-type, union-attr]
        else:
            found = [_warned(predict(self, signal, form, overrides, segment))]  # type: ignore[arg-type]
        longer = [] if segment else [one for one in found if far_longer(self, len(one.scores))]
        if longer and self.task.segment is not None:
            note = far_longer(self, len(longer[0].scores))
            warnings.warn(f"{longer[0].name}: {note}.", RuntimeWarning, stacklevel=2)
        holed = [one for one in found if one.filled]
        of = f" in {counted(len(holed), 'recording')}" if many else ""
        for note in gaps.noted(sum(one.filled for one in holed), of):
            warnings.warn(f"{holed[0].name}: {note}.", RuntimeWarning, stacklevel=2)
        return found if many else found[0]

    def stream(
        self,
        form: Form = "auto",
        *,
        scale: Scale | None = None,
        calibration: float | None = None,
        gain: float | None = None,
        segment: float | None = None,
        policy: ExitPolicy | None = None,
        learn: Adaptation | None = None,
        missing: Missing = "interpolate",
        longest_gap: int = LONGEST_GAP,
        data_dir: Path | None = None,
    ) -> Session:
        """A new stream through the network: ``push(block)`` gives decisions, ``finish()`` the last
        ones.

        All that is pushed is one sequence, and ``finish`` gives the answer that ``predict`` gives
        for it. ``segment`` cuts a signal that may never end into sequences.

        Args:
            form: what is pushed, "signal": what a sensor gives; "steps": the network's own input;
                "auto": the signal, where training data were encoded the same way, else steps.
            scale: mean and standard deviation of an ECG's leads, ([mean, ...], [std, ...]), in the
                signal's unit; None: those of its first ``calibration`` seconds.
            calibration: seconds, up to 60, from which scale or gain is measured where it is not
                given; None: 5.
            gain: what sound of full scale 1 is multiplied by before a cochlea; None: measured.
            segment: seconds (steps, where these are not in time) after which a sequence ends and
                the next begins; 0: never; None: where the stream does.
            policy: ends a sequence, which has one label, once the network is sure enough.
            learn: with ``Adaptation()`` the stream learns from the targets it is given,
                ``session.learn(target)``; it goes on, so that its sequences are as long as those in
                training, or ``segment``.
            missing: what is done about missing samples (NaN): "interpolate", for which decisions
                wait for the end of the gap, "hold" the last value, or "refuse".
            longest_gap: samples that may be missing in a row.
            data_dir: where training data are, for a model that lacks the statistics it needs.

        Raises SrnnError for a network that cannot be streamed, with the reason.
        """
        from .deploy.streaming import Decoder

        decoder = Decoder.of(
            self,
            form=form,
            data_dir=data_dir,
            scale=scale,
            calibration=calibration,
            gain=gain,
            segment=segment,
            policy=policy,
            learn=learn,
            missing=missing,
            longest_gap=longest_gap,
        )
        if decoder.adaptation is None:
            return decoder.open_finite()
        return decoder.open()

    def evaluate(
        self, split: SplitName = "validation", *, data_dir: Path | str | None = None
    ) -> Evaluation:
        """How accurate the network is on a split of its data:
        ``evaluate("test").report["accuracy"]``, or of values ``["mae"]``.

        Args:
            split: "train", "validation" or "test"; the last is for the end, when everything is
                chosen.
            data_dir: where the task's files are.

        Raises SrnnError where the data are not at hand, as those that were given to ``fit`` by
        another program.
        """
        from .training.evaluation import evaluate

        return evaluate(self, split, data_dir=None if data_dir is None else Path(data_dir))

    def energy(self, x: Input, lengths: Lengths | None = None, **options: Any) -> dict[str, Any]:
        """What the network costs on an input, according to four models:
        ``energy(x)["models"]["fp32"]["energy_pj"]["step"]``.

        Args:
            x: (B, T, inputs). For a recording (samples, channels), use
                ``model.task.encode("name", recording)[None]``.
            lengths: (B,) valid steps of each sequence in a padded batch.
            options: those of ``srnn.energy``: technology, step_ms.
        """
        from .measure.energy import energy

        return energy(self.network, x, lengths, **{"step_ms": self.task.step_ms, **options})

    def export(
        self,
        path: Path | str,
        format: Literal["c", "int8", "onnx", "nir", "web"] = "c",
        **options: Any,
    ) -> dict[str, Any]:
        """Write the network for a device or another library; returns what was written, as numbers.

        Args:
            path: a folder for C ("c": float32; "int8": integers only) and for ONNX in the form
                "triton"; a file for ONNX, NIR and a page ("web").
            options: those of the format's function in ``srnn.deploy.export.model``.
        """
        from .deploy.export.model import export

        return export(self, Path(path), format, **options)


def _is_number(value: object) -> bool:
    """Whether the value is a single number: Python's, numpy's or a tensor's."""
    return isinstance(value, (int, float)) or getattr(value, "ndim", None) == 0


def train(
    recipe: Recipe | Path | str,
    out: Path | str,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    *,
    seed: int = 0,
    data_dir: Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    task: Task | None = None,
    reporter: Reporter | None = None,
    logger: LoggerName | None = None,
    examples: bool = True,
) -> Model:
    """Train a recipe, write a run folder, and return the model: the one that validation chose, or
    with a refit the last one.

    Args:
        recipe: the name of a shipped recipe, a YAML file or a ``Recipe``; or data of your own that
            the task "folder" can read.
        out: the run's folder: new or empty; with ``resume`` a run of the same recipe and seed, with
            ``overwrite`` one to replace.
        overrides: settings of the recipe by their dotted keys: {"training.epochs": 5,
            "network.hidden": [32, 32]}.
        seed: the seed of everything random; the same seed gives the same bits.
        data_dir: where the task's files are.
        task: the task itself, if it is one that a recipe cannot name.
        reporter: what reports progress, such as ``srnn.progress.LineReporter()``; None: a line for
            what takes more than two seconds; in a notebook or at Python's prompt, as by
            ``srnn train``.
        logger: where else each epoch's metrics go: "tensorboard", "wandb" or "mlflow"; None:
            nowhere.
        examples: keep in the folder a few short recordings of the validation split, which
            ``srnn serve`` plays.

    The result on the validation split is in ``model.about["result"]``. Raises SrnnError, before
    anything is written, for a recipe, data or a folder that does not fit; also when training
    diverges for good.
    """
    from .data.datasets.base import data_folder
    from .progress import reporter_for
    from .training.loop import train as train_run
    from .training.recipes import Recipe, load_recipe

    if not isinstance(recipe, (Recipe, str, Path)):
        raise SrnnError(
            f"A recipe is a name, a file or a Recipe, not a {type(recipe).__name__}. Arrays of "
            "your own are trained with srnn.fit(x, y).",
            "value",
            "recipe",
        )
    if task is not None and (isinstance(task, type) or not hasattr(task, "class_names")):
        raise SrnnError(
            "The task must be an object of a class derived from "
            f"srnn.data.tasks.Task, not a {type(task).__name__}.",
            "value",
            "task",
        )
    if isinstance(recipe, Recipe) and overrides:
        raise SrnnError(
            "Overrides are for recipes given by name or "
            "file; change a Recipe with dataclasses.replace.",
            "conflict",
            "overrides",
        )
    place = None if data_dir is None else Path(data_dir)
    shown = reporter_for(json=False) if reporter is None and hasattr(sys, "ps1") else None
    try:
        with data_folder(place):
            train_run(
                recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides),
                Path(out),
                seed=seed,
                data_dir=place,
                resume=resume,
                overwrite=overwrite,
                task=task,
                reporter=shown or reporter,
                logger=logger,
                examples=examples,
            )
    finally:
        if shown is not None:
            shown.stop()
    model = load(Path(out))
    return model if task is None else model.but(task=replace(model.task.described(), own=task))


def fit(
    x: Any,
    y: Any = None,
    *,
    lengths: Any = None,
    groups: Any = None,
    rate: float | None = None,
    channels: Sequence[str | int] | None = None,
    units: Sequence[str | None] | None = None,
    unit: str | None = None,
    classes: Sequence[str | int] | None = None,
    validation: Any = None,
    test: float | None = None,
    epochs: int | None = None,
    patience: int | None = None,
    hidden: int | Sequence[int] | None = None,
    neuron: str | Neuron | Mapping[str, Any] | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    missing: Missing = "interpolate",
    longest_gap: int = LONGEST_GAP,
    overrides: Mapping[str, Any] = MappingProxyType({}),
    seed: int = 0,
    out: Path | str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    reporter: Reporter | None = None,
) -> Model:
    """Train a network on data of your own, with recipe, splits and bits of ``srnn train FOLDER``.

    Args:
        x: an array or tensor (sequences, time, channels), or (sequences, time) for one channel; a
            list of arrays (time, channels) of different lengths; a list of DataFrames or
            ``Recording``s, which are read like files; a torch Dataset of pairs (x, y); or the path
            of data that ``srnn train`` reads: a folder, a .csv, .npz or .h5 file.
        y: a class for each sequence (N,), or step (N, T): integers from 0, -1 for none; text, ""
            for none; or truth values. Predictions give labels back as they are here. Floats are
            values to answer with, NaN for none; a step may have several, (N, T, values). A list of
            (time,) arrays if x is a list and steps have labels. None if x is a Dataset or a path.
        lengths: (N,) valid steps of each sequence, if an array is padded.
        groups: (N,) whom or what each sequence is of (a patient): nobody is in two splits.
        rate: samples per second; tables of other rates are resampled to it.
        channels: names of the channels of arrays; of tables and files, which to read.
        units: such as "g" or "mV"; None for an unknown one.
        unit: of values, such as "km/h"; of several, separated by commas.
        classes: names of the classes 0, 1, ..., or of values; or the labels of y in an order.
        validation: the fraction held out, of the groups or of each class, to measure the result; or
            a pair (x, y) or a Dataset. If sequences are few, a second training then learns these,
            too; not with ``overrides={"training.refit": False}``: their best epoch is chosen.
        test: the fraction held out for ``model.evaluate("test")``; 0: they are elsewhere.
        epochs: how often the training data are seen, at most.
        patience: stop after so many without a better one.
        hidden: neurons in the hidden layer, or in each of several.
        neuron: of the hidden layers: its name ("adlif", ...), ``srnn.ALIF(...)``, or a mapping.
        lr: the largest learning rate.
        batch_size: sequences in a batch.
        missing: what is done about missing samples (NaN), as by ``predict``.
        longest_gap: samples that may be missing in a row.
        overrides: other settings of a recipe by their dotted keys: {"training.dropout": 0.2}.
        seed: the seed of everything random.
        reporter: receives what happens, as for ``train``.
        out: the run's folder, as for ``train``; None: nothing is kept but the model.
        resume: continue the run in ``out``, with the same data and settings.
        overwrite: replace the run in ``out``.

    What is None is as ``srnn train`` has it; ``model.about["result"]`` is the validation result.
    Raises SrnnError, before anything is written, for what does not fit; or if training diverges.
    """
    from .training.own_data import FitArguments, naming_keywords, recipe_for, settings_of

    if resume and out is None:
        raise SrnnError("resume continues the run in a folder: name it with out.", "missing", "out")
    arguments = FitArguments(y, lengths, groups, rate, channels, units, classes, validation)
    gaps = Gaps(missing, longest_gap)
    settings = settings_of(test, epochs, patience, hidden, neuron, lr, batch_size, unit, gaps)
    with naming_keywords(overrides), ExitStack() as removed:
        recipe, task = recipe_for(x, arguments, settings | dict(overrides))
        folder: Path | str
        if out is None:
            folder = removed.enter_context(temporary_folder()) / "model"
        else:
            folder = out
        how: dict[str, Any] = {"seed": seed, "resume": resume, "overwrite": overwrite}
        model = train(recipe, folder, task=task, reporter=reporter, **how)
    return model if out is not None else model.but(folder=None)


def fit_anomalies(
    x: Any, *, false_alarms: float = 0.05, smooth: int | None = None, **settings: Any
) -> Model:
    """Train a network on normal recordings, and return one that raises an alarm for others.

    It learns to predict the next sample of each channel. ``model.predict(x).alarm`` is whether its
    mean squared error on a recording is above what normal recordings reach, and ``value`` is that
    error; a stream has it after each step (``srnn.nn.alarm``).

    Args:
        x: normal recordings only, as for ``fit``, in memory.
        false_alarms: the share of normal recordings that may raise an alarm. The threshold is set
            on the validation split, on which the network is not trained.
        smooth: steps over which errors are averaged; None: as many as a typical recording has.
        settings: other keywords of ``fit``.

    Raises SrnnError as ``fit`` does.
    """
    from .training.alarms import with_alarm

    pair = not is_number(settings.get("validation", 0.5))
    if isinstance(x, (str, Path)) or "y" in settings or pair:
        raise SrnnError(
            "fit_anomalies takes normal recordings in memory, "
            "without labels, and a fraction of them for validation.",
            "conflict",
            "x",
        )
    check("false_alarms", false_alarms, WithinZeroAndOne)
    if smooth is not None:
        check("smooth", smooth, int, Between(1, 2**31 - 1))
    # What sets the threshold must not be learnt, and an error is smallest where nothing is left out.
    own = {"task.options.answer": "next", "training.refit": False, "training.dropout": 0.0}
    settings["overrides"] = own | dict(settings.get("overrides", {}))
    model = fit(x, [0] * len(x), **settings)
    raised = Model.of(with_alarm(model, false_alarms, smooth))
    if model.file is not None:
        raised.save(model.file, named=False)
    return raised


def load(source: Path | str) -> Model:
    """The pretrained network of that name ("ecg"), or the model in a file (``model.safetensors``)
    or in a run folder.

    ``srnn models`` lists the networks. A file or folder that is called like one of them is loaded
    by "./ecg", or by a ``Path``. Raises SrnnError for anything else.

    Reading runs no code from the file and needs no data set.
    """
    from .model.opening import open_trained

    return Model.of(open_trained(source))


def _warned(prediction: Prediction) -> Prediction:
    """The prediction; warns where the recording is unlike those of training."""
    if not prediction.sure:
        warnings.warn(f"{prediction.name}: {prediction.drift}", RuntimeWarning, stacklevel=3)
    return prediction


def _targets_of(loss: LossConfig, targets: Targets | None, outputs: int) -> Targets | None:
    """What outputs are values of. SrnnError where they are scores of classes."""
    from .data.targets import Targets

    if loss.rule.value:
        return targets or Targets((None,) * outputs)
    if targets is not None:
        raise SrnnError(
            f"targets are for losses of values, such as mse_mean, not {loss.name}.",
            "conflict",
            "targets",
        )
    return None


def from_network(
    network: SRNN,
    classes: Sequence[str],
    *,
    loss: LossName = "ce_mean",
    start: int = 0,
    signal: SignalPath | None = None,
    rate: float | None = None,
    step_ms: float | None = None,
    steps: int | None = None,
    targets: Targets | None = None,
    name: str = "model",
    about: dict[str, Any] | None = None,
) -> Model:
    """A model made from a network that was trained in a loop of your own.

    Args:
        network: an SRNN, compiled by torch or not; the model holds a copy of it, in evaluation
            mode.
        classes: names of its outputs; numbers become text.
        loss: how its outputs become class scores, "nll" at every step; or values, "mse" at every
            step, "mse_mean" and "mse_last" (``srnn.losses``).
        start: first step that counts.
        signal: the path from a sensor's signal to the network's input; None: the network reads
            steps that are encoded elsewhere.
        rate: steps per second, where the network reads steps; None: steps are not units of time,
            unless ``step_ms`` says so.
        step_ms: the same as milliseconds per step.
        steps: steps of a training sequence, after which a stream that may never end decides.
        targets: of values, their units, and the mean and deviation by which outputs were
            standardised (``srnn.data.targets``); None: outputs are the values.
        name: the name of the task, for messages and exports.
        about: provenance, as JSON values.

    Raises SrnnError for a network that a recipe cannot describe, or settings that do not fit it.
    """
    from .data.signals import SignalPath, Steps
    from .data.tasks import TaskMetadata
    from .model.network import network_config
    from .model.recipe import Recipe, TaskConfig
    from .nn.loss_config import LossConfig
    from .nn.network import freeze
    from .nn.network.inputs import uncompiled

    network = uncompiled(network)
    freeze(network, "A model")
    require(isinstance(classes, Iterable), "classes", "a list of names", classes)
    require(
        signal is None or isinstance(signal, SignalPath),
        "signal",
        "a signal path of srnn.data.signals",
        signal,
    )
    require(about is None or isinstance(about, Mapping), "about", "a mapping of JSON values", about)
    require(isinstance(name, str), "name", "text", name)
    check("start", start, int, Between(0))
    if rate is not None:
        check("rate", rate, Positive)
        if step_ms is not None or signal is not None:
            raise SrnnError(
                "'rate' is of steps alone: a signal path states its own, "
                "and 'step_ms' is the same as 'rate'.",
                "conflict",
                "rate",
            )
        step_ms = 1000 / rate
    if step_ms is not None:
        check("step_ms", step_ms, Positive)
    if steps is not None:
        check("steps", steps, int, Between(1, 2**31 - 1))
    path, names = signal or Steps(network.inputs, step_ms), tuple(map(str, classes))
    if len(names) != network.outputs or path.inputs != network.inputs:
        raise SrnnError(
            f"The network has {network.inputs} inputs and {network.outputs} outputs; "
            f"the signal gives {path.inputs}, and classes names {len(names)}.",
            "conflict",
            "classes",
        )
    scored, kind = LossConfig(loss, start), "per_sequence"
    if scored.rule.per_step:
        kind = "per_step"
    if step_ms is None:
        step_ms = path.step_ms
    answers: dict[str, Any] = {"kind": kind, "class_names": names}
    answers["targets"] = _targets_of(scored, targets, len(names))
    task = TaskMetadata(name=name, path=path, step_ms=step_ms, **answers)
    if len({*names}) != len(names):
        raise SrnnError(f"Two classes have the same name: {some(names)}.", "value", "classes")
    recipe = Recipe(task=TaskConfig(name), network=network_config(network), loss=scored)
    model = Model(network, task, recipe, steps=steps, about=about or {})
    model.check_recipe()  # before the copy, because torch cannot copy all that is refused here
    return replace(model, network=deepcopy(network).eval())
