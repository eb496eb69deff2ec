"""From a signal to decisions, as it arrives: a run's encoder, its network one step at a time, and
its class scores.

::

    decoder = Decoder.of(srnn.load("runs/ecg-adlif-s0"))
    session = decoder.open()
    decisions = session.push(block)              # (samples, channels) -> the next steps' decisions, a row each
    data = session.save()                        # bytes
    session = decoder.restore(data)              # continues to the same bits, even in another process

A ``Decoder`` holds what sessions share, a ``Session`` one stream's state. The result is the same to
the bit for any block size.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...data.encoders.streaming import StreamEncoder, as_samples, take
from ...data.gaps import LONGEST_GAP, Filling, Gaps, Missing
from ...data.signals import Form, SignalPath
from ...data.signals.base import Scale
from ...data.targets import Targets
from ...errors import SrnnError
from ...files.bounds import Between
from ...files.conversion import check
from ...model.exit_policy import ExitPolicy
from ...model.opening import open_trained
from ...model.trained import Trained
from ...nn.alarm import Alarm, AnomalyScore
from ...nn.array_likes import as_numpy
from ...nn.decision import Decisions, StoppingCriterion, StoppingState
from ...nn.scores import RunningScores, confidences_of
from ...registry import imported
from ...text import counted, some
from .saved import fingerprint, pack, unpack
from .stream import Stream

if TYPE_CHECKING:
    from ...training.adapting import Adaptation
    from ...training.online import OnlineLearner

Array = npt.NDArray[Any]


class Decoder:
    """A trained network with its encoder and its scores, from which any number of independent
    sessions can be opened.

    Args:
        trained: an SRNN that reads forwards only, and its task; random initial states are the same
            for every session.
        signal: what is pushed, and how it becomes steps (``Task.live``).
        segment: steps after which a sequence ends and the next begins, with the initial state;
            None: not stated.
        usual: the same, for streams that may never end (``open``) where ``segment`` is not
            stated; None: sequences never end.
        policy: ends a sequence as soon as the network is sure enough; the network then rests until
            the next segment. Only where a sequence has one label.
        learn: how its sessions learn, each by itself (``Session.learn``); None: they do not.
        gaps: what is done about missing samples (NaN) of what is pushed; None: they are refused.

    Use a decoder and its sessions from one thread at a time: they share the network's working
    memory (but see ``encode``).
    """

    def __init__(
        self,
        trained: Trained,
        signal: SignalPath,
        *,
        segment: int | None = None,
        usual: int | None = None,
        policy: ExitPolicy | None = None,
        learn: Adaptation | None = None,
        gaps: Gaps | None = None,
    ) -> None:
        frozen, task, loss = trained.frozen("streamed"), trained.task, trained.recipe.loss
        if learn is not None:
            adaptation = imported("srnn.training.adapting:Adaptation")
            trained.require_classes("adapted")
            if not isinstance(learn, adaptation):
                wanted = "an Adaptation, such as srnn.Adaptation()"
                raise SrnnError(f"learn must be {wanted}, not {learn!r}.", "value", "learn")
        if segment is not None:
            segment = check("segment", segment, int, Between(1))
        if policy is not None and not isinstance(policy, ExitPolicy):
            wanted = "an ExitPolicy, such as ExitPolicy.load(file) returns"
            raise SrnnError(f"A policy must be {wanted}, not {policy!r}.", "value", "policy")
        if policy is not None and task.kind != "per_sequence":
            problem = (
                f"Task '{task.name}' has a label at every step: there is nothing to end early."
            )
            raise SrnnError(problem, "conflict", "policy")
        if policy is not None:
            policy.check(loss)
        self.stream = Stream(trained)
        self.trained, self.adaptation, self.gaps = trained, learn, gaps
        self.task, self.loss, self.signal, self.policy = task, loss, signal, policy
        self.until = StoppingCriterion() if policy is None else policy.until
        """When an answer is final before its sequence ends."""
        self.asked = segment
        """The segment that was asked for, which cuts finite signals, too."""
        self.segment = usual if segment is None else segment
        """Steps in a sequence of a stream that may never end; None: any number."""
        self.classes, self.lag = trained.answers, task.lag(signal.form)
        self.alarm = Alarm.of(trained.alarm)
        """What raises an alarm; None: the network was not trained for that."""
        self.past = (task.targets or Targets(())).past(task.inputs)
        """The steps before a sequence, for the linear part of values."""
        self.targets = task.targets if self.alarm is None else Targets((None,))
        """Units of values; None: answers are classes."""
        self.step_seconds = task.step_ms / 1000 if task.step_ms else None
        """Seconds from one step to the next; None: steps are not in time."""
        self.hidden = tuple(layer.size for layer in frozen.layers[:-1])
        self._initial = self.stream.flat_state()
        settings = [
            task.name,
            loss.name,
            loss.start,
            repr(signal),
            self.segment,
            policy and policy.to_dict(),
        ]
        if task.targets is not None:
            settings += [task.targets.plain(), trained.alarm and dict(trained.alarm)]
        summary = json.dumps(settings if learn is None else [*settings, asdict(learn)])
        self.fingerprint = fingerprint(frozen, f"{summary} {trained.seed} {self.stream.layout}")

        # What is imported or compiled at its first use is ready before the first client comes. At
        # most one second is pushed, even where more is held back to measure a scale: ``finish``
        # releases it.
        session, rng = self.open(), np.random.default_rng(0)
        encoder = session.encoder
        count = min(encoder.latency, round(signal.rate or encoder.latency)) + 12 * encoder.hop
        for part in (1, count, 2):
            self.probabilities(session.push(0.1 * rng.random((part, encoder.channels))).scores)
        session.finish()
        self.stream.set_flat_state(self._initial)

    @classmethod
    def of(
        cls,
        model: Trained | Path | str,
        *,
        form: Form = "auto",
        data_dir: Path | None = None,
        scale: Scale | None = None,
        calibration: float | None = None,
        gain: float | None = None,
        segment: float | None = None,
        policy: ExitPolicy | None = None,
        learn: Adaptation | None = None,
        missing: Missing = "interpolate",
        longest_gap: int = LONGEST_GAP,
    ) -> Decoder:
        """The decoder of a trained network.

        Args:
            model: a trained network, a run folder or a model's file.
            form: what is pushed, "signal": what a sensor gives; "steps": the network's own input;
                "auto": the signal, where training data were encoded the same way, else steps.
            data_dir: where training data are, for a model that lacks the statistics it needs.
            scale: mean and standard deviation of an ECG's leads, ([mean, ...], [std, ...]), in the
                signal's unit; None: those of its first ``calibration`` seconds.
            calibration: seconds, up to 60, from which scale or gain is measured where it is not
                given; None: 5.
            gain: what sound of full scale 1 is multiplied by before a cochlea; None: measured.
            segment: seconds (steps, where these are not in time) after which a sequence ends and
                the next begins; 0: never. None: a signal that ends is one sequence
                (``open_finite``); in one that may never end (``open``), where a sequence has one
                label, each is as long as those in training.
            policy: ends a sequence, which has one label, once the network is sure enough; the
                network then rests until the next.
            learn: how its sessions learn from labels, each by itself; None: they do not.
            missing: what is done about missing samples (NaN): "interpolate", for which decisions
                wait for the end of the gap, "hold" the last value, or "refuse".
            longest_gap: samples that may be missing in a row.

        Returns:
            The decoder.

        Raises:
            SrnnError: the network cannot be streamed (it says why), or an argument does not fit.
        """
        trained = open_trained(model) if isinstance(model, (str, Path)) else model
        if trained.unread is None:
            trained.spiking("streamed")
        task = trained.task
        signal = task.live(form).calibrated(scale=scale, calibration=calibration, gain=gain)
        if "statistics" in signal.settings and getattr(signal, "statistics", None) is None:
            trained = trained.fitted(data_dir)
            signal = trained.task.live(form)
        usual = trained.steps if segment is None and task.kind == "per_sequence" else None
        steps = None
        if segment is not None:
            segment = check("segment", segment, float)
        if segment:
            length = task.step_ms / 1000 if task.step_ms else 1.0
            if not 0.5 <= segment / length < 2**31:
                unit = " s" if task.step_ms else ""
                bounds = f"from one step ({length:g}{unit}) to 2^31 steps"
                problem = f"A segment lasts {bounds}, not {segment:g}{unit}."
                raise SrnnError(problem, "value", "segment")
            steps = round(segment / length)
        how: dict[str, Any] = {"policy": policy, "learn": learn}
        gaps = Gaps(missing, longest_gap)
        return cls(trained, signal, segment=steps, usual=usual, gaps=gaps, **how)

    def __repr__(self) -> str:
        return f"Decoder({self.trained.name}: {self.signal.what} -> {some(self.classes)})"

    def open(self, whole: bool = False) -> Session:
        """A new stream, at its beginning. ``whole``: it is one sequence, not cut into segments."""
        return Session(self, None if whole else self.segment)

    def open_finite(self) -> Session:
        """A new stream of a signal that ends, such as a file.

        It is one sequence, which gets the answer of ``predict``, unless a segment was asked for.
        """
        return Session(self, self.asked)

    def restore(self, data: bytes, key: bytes = b"") -> Session:
        """Open a stream, and continue it from a state.

        Args:
            data: of ``Session.save``.
            key: with which they were saved.

        Returns:
            The session.

        Raises:
            SrnnError: ``data``: the bytes are damaged; ``conflict``: they are another decoder's.
        """
        session = Session(self, self.segment)
        session.restore(data, key)
        return session

    def probabilities(self, scores: Array) -> Array:
        """Class scores (T, classes) -> probabilities (T, classes)."""
        return confidences_of(scores, self.loss.scoring)


class Session:
    """One stream: ``model.stream()``, or ``decoder.open()`` for one of many. Use it from one thread
    at a time."""

    samples: int
    """Samples pushed since the stream's start."""
    steps: int
    """Steps into which they have been encoded."""

    def __init__(self, decoder: Decoder, segment: int | None) -> None:
        self.decoder, self.segment = decoder, segment
        """Its decoder; and the steps in a sequence, None: the sequence ends with the stream."""
        self.encoder: StreamEncoder = decoder.signal.stream()
        self._scores, self._stream = self._new_scores(), decoder.stream
        self._stopping = StoppingState(decoder.until, decoder.loss.rule, 1, len(decoder.classes))
        self._online: OnlineLearner | None = None
        self._anomaly: AnomalyScore | None = None
        if decoder.alarm is not None:
            assert decoder.task.targets is not None
            self._anomaly = AnomalyScore(decoder.alarm, decoder.task.targets.residual_scale)
        self.reset()
        if decoder.adaptation is not None:
            learner = imported("srnn.training.online:OnlineLearner")
            self._online = online = learner(decoder.trained, decoder.adaptation)
            self._stream = Stream(online.network)

    def __reduce__(self) -> tuple[Any, ...]:
        return Decoder.restore, (self.decoder, self.save())  # so that it can be pickled and copied

    def __repr__(self) -> str:
        read = f"{counted(self.samples, 'sample')} read, {counted(self.steps, 'step')} decided"
        return f"Session({self.decoder.trained.name}: {read})"

    def push(self, block: npt.ArrayLike) -> Decisions:
        """(samples, channels), any number of samples, or one sample (channels,) -> decisions of the
        steps that are now known. With ``gaps`` that interpolate, what is missing, NaN, waits for
        its end, with what comes meanwhile.

        SrnnError (``data``), and nothing has changed, for a block that does not fit or is not
        finite.
        """
        return self.decide(self.encode(block))

    def finish(self) -> Decisions:
        """End the signal: decisions of the steps that were held back; the last one is final.

        Where a sequence has one label and no step was held back, the last step's decision is given
        again, as final. But what is left after whole segments may be too short to classify, and
        then nothing is final: less than half a segment, no more than the steps before the loss's
        ``start``, or fewer than a policy's ``earliest``.

        A RuntimeWarning says how many values were missing and filled in. SrnnError if the last ones
        are missing.
        """
        notes, steps = self.flush()
        for note in notes:
            warnings.warn(f"The signal: {note}.", RuntimeWarning, stacklevel=2)
        return self.decide_last(steps)

    def encode(self, block: npt.ArrayLike) -> Array:
        """The first half of ``push``: the steps that are now known, (steps, inputs).

        It touches nothing that sessions share, so it may run in a thread beside other sessions
        (``encoder.heavy`` says where that pays).
        """
        samples = self.decoder.signal.scale_samples(
            as_samples(as_numpy(block), self.encoder.channels)
        )
        count, filling = len(samples), self._filling
        holed = filling is not None and (filling.waits or bool(np.isnan(samples).any()))
        if filling is not None and holed:
            filling = deepcopy(filling)  # for nothing changes by an error
            samples = filling.push(samples)
        with np.errstate(over="ignore"):
            try:
                steps = self.encoder.push(samples)
            except SrnnError as error:
                # The error counts samples within the block; the user needs their number in the
                # stream.
                wrong = np.argwhere(~np.isfinite(samples.astype(np.float32)))
                if not len(wrong):
                    raise
                row, channel = wrong[0].tolist()
                where = f"in channel {channel} (counted from 0)"
                problem = f"Sample {self.samples + row} is not finite {where}; repair or drop it."
                names = self.decoder.signal.names
                raise SrnnError(problem, "data", names[channel] if names else channel) from error
        # Finite samples become such only by a scale, which keeps no state.
        if not np.isfinite(steps).all():
            problem = (
                "The samples are too large to be encoded: the network's inputs are not finite."
            )
            raise SrnnError(problem, "data", "samples")
        if filling is not None and not holed:
            filling.push(samples)
        self.samples += count
        self._filling = filling
        return steps

    @property
    def filled(self) -> int:
        """Values that were missing, and were filled in."""
        return 0 if self._filling is None else self._filling.filled

    def flush(self) -> tuple[tuple[str, ...], Array]:
        """The first half of ``finish``: what was filled in, for people, and the steps that the
        encoder held back. SrnnError if the last samples are missing."""
        notes: tuple[str, ...] = ()
        if self._filling is not None and self.decoder.gaps is not None:
            self._filling.finish()
            notes = self.decoder.gaps.noted(self.filled)
        return notes, self.encoder.flush()

    def decide_last(self, steps: Array) -> Decisions:
        """The second half of ``finish``."""
        rest = self.decide(steps)
        per_sequence, short = self.decoder.task.kind == "per_sequence", False
        # What is left after whole segments may be too short to classify (``finish``).
        if per_sequence and self.segment is not None and self.steps >= self.segment:
            least = max(self.segment / 2, self.decoder.loss.start + 1)
            if self.decoder.policy is not None:
                least = max(least, self.decoder.policy.earliest)
            short = 0 < self._position < least
        if not short:
            if not len(rest.steps) and per_sequence and self._last is not None:
                number, last = np.array([self.steps - 1]), self._last[None].copy()
                rest = Decisions(number, last, np.array([True]))
            if len(rest.steps):
                rest.final[-1] = True
        self._last = None
        return rest

    def decide(self, steps: Array, probe: Callable[[int], None] | None = None) -> Decisions:
        """The second half of ``push``.

        Args:
            steps: (T, inputs), encoded.
            probe: called after each step, even a skipped one, with its number, while
                ``decoder.stream`` has this session's state (slower); None: nothing is called.

        Returns:
            Their decisions.
        """
        stream, segment = self._stream, self.segment
        stream.set_flat_state(self._network)
        parts: list[Decisions] = []
        x = np.ascontiguousarray(steps, stream.dtype)
        while len(x):
            count = len(x) if segment is None else min(len(x), segment - self._position)
            scores = self._none.scores if self._ended else self._answers(x[:count], probe)
            if self._ended and probe is not None:
                for step in range(self.steps, self.steps + count):
                    probe(step)
            final = np.zeros(len(scores), bool)
            if self.decoder.policy is not None and len(scores):
                first = self._scores.steps[0] - len(scores)
                _, met = self._stopping.push(scores[None], first + np.arange(len(scores)))
                if met.any():  # the policy decides, at the first such row
                    until = int(met.argmax())
                    self._ended, scores, final = True, scores[: until + 1], final[: until + 1]
                    final[-1] = True
            final[-1:] |= self._position + count == segment
            if len(final):
                self._last = None if final[-1] else scores[-1].copy()
            parts.append(Decisions(np.arange(self.steps, self.steps + len(final)), scores, final))
            x, self._position, self.steps = x[count:], self._position + count, self.steps + count
            if self._position == segment:
                # Begin the next segment.
                stream.set_flat_state(self.decoder._initial)
                if self._online is not None:
                    self._online.end()
                self._new_segment()
        self._network = stream.flat_state()
        if len(parts) == 1:
            return parts[0]
        return Decisions.joined([self._none, *parts])

    def _answers(self, x: Array, probe: Callable[[int], None] | None) -> Array:
        """(T, classes) scores, values or (T, 1) scores of an alarm after each of the steps x."""
        outputs, targets = self._run(x, probe), self.decoder.task.targets
        if targets is None:
            return self._scores.push(outputs[None])[0]
        outputs = targets.answered(outputs.astype(np.float64), x, self._past)
        self._past = targets.after(x, self._past)
        if self._anomaly is not None:
            return self._anomaly.push(x, outputs)[:, None]
        return targets.restored(self._scores.push(outputs[None])[0])

    def _new_scores(self) -> RunningScores:
        loss = self.decoder.loss
        return RunningScores(loss.scoring, loss.start, 1, len(self.decoder.classes))

    @property
    def _none(self) -> Decisions:
        scores = np.zeros((0, len(self.decoder.classes)))
        return Decisions(np.zeros(0, np.int64), scores, np.zeros(0, bool))

    def _run(self, x: Array, probe: Callable[[int], None] | None) -> Array:
        stream = self._stream
        if self._online is not None:
            self._online.observe(x)
        if probe is None:
            return stream.run(x)
        rows = []
        for number, x_t in enumerate(x, self.steps):
            rows.append(stream.push(x_t))
            probe(number)
        return np.stack(rows)

    def _new_segment(self) -> None:
        self._scores.reset()
        self._past = self.decoder.past
        """The steps before the next one, for the linear part of values."""
        if self._anomaly is not None:
            self._anomaly.reset()
        self._position = 0  # of the next step within its segment
        self._ended = False  # the segment's decision is made: the network rests
        self._stopping.reset()

    # ---- learning ---------------------------------------------------------------------------------------------------

    def learn(self, target: npt.ArrayLike) -> Array:
        """Learn the label of what was just pushed: the steps of the sequence since the last call, or
        of the one that has just ended.

        Args:
            target: a class number; where every step has a class, also one for each step, (T,), -1
                where it is not known.

        Returns:
            The class predicted beforehand, () or (T,).

        Raises:
            SrnnError: ``missing``, ``learn``: the stream was opened without it; others: the target
                does not fit, or nothing was pushed.
        """
        predicted = self._learner().learn_label(target)
        self._restart()
        return predicted

    def forget(self) -> None:
        """Back to the network as it was trained. The sequence goes on."""
        self._learner().forget()
        self._restart()

    def trained(self) -> Trained:
        """The network with what it has learnt, and its task: a model like any other."""
        return self._learner().trained()

    def _learner(self) -> OnlineLearner:
        if self._online is None:
            problem = "This stream does not learn; open it with learn=Adaptation()."
            raise SrnnError(problem, "missing", "learn")
        return self._online

    def _restart(self) -> None:
        """Continue with what was learnt."""
        learner = self._learner()
        self._stream = Stream(learner.network)
        if learner.state is not None and not learner.observed:
            self._stream.state = learner.state
            self._network = self._stream.flat_state()

    # ---- state ------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Back to the beginning. What was learnt stays."""
        if self._online is not None:
            self._online.reset()
        self.encoder.reset()
        self._filling = self._new_filling()
        self._network = self.decoder._initial
        self.samples = self.steps = 0
        # (classes,) the scores of the last step, unless it was final.
        self._last: Array | None = None
        self._new_segment()

    def _new_filling(self) -> Filling | None:
        if self.decoder.gaps is None or self.decoder.gaps.missing == "refuse":
            return None
        return Filling("The signal", self.decoder.gaps)

    def save(self, key: bytes = b"") -> bytes:
        """The state as bytes. With a ``key``, only its holders can make bytes that ``restore``
        accepts."""
        arrays = {f"encoder.{name}": part for name, part in self.encoder.state.items()}
        arrays |= {"scores.steps": self._scores.steps[0], "scores.total": self._scores.total[0]}
        arrays["network"] = self._network
        arrays["last"] = self._none.scores if self._last is None else self._last[None]
        if len(self._past):
            arrays["past"] = self._past
        if self._anomaly is not None:
            mean = np.array([self._anomaly.mean, self._anomaly.steps])
            arrays |= {"surprise.said": self._anomaly.predicted, "surprise.mean": mean}
        if self._filling is not None:
            arrays |= {f"filling.{name}": part for name, part in self._filling.state.items()}
        if self._online is not None:
            arrays |= {f"learner.{name}": part for name, part in self._online.arrays().items()}
        info = {
            "decoder": self.decoder.fingerprint,
            "samples": self.samples,
            "steps": self.steps,
            "position": self._position,
            "ended": self._ended,
            "guess": int(self._stopping.classes[0]),
            "sure": int(self._stopping.row[0]),
            "segment": self.segment,
        }
        return pack(arrays, info, key)

    def restore(self, data: bytes, key: bytes = b"") -> None:
        """Continue from a state.

        Args:
            data: of ``save``.
            key: with which they were saved.

        Raises:
            SrnnError: ``data``: the bytes are damaged; ``conflict``: they are another decoder's.
                Nothing has changed.
        """
        arrays, info = unpack(data, key)
        if info.get("decoder") != self.decoder.fingerprint:
            problem = "This state belongs to another network, or to other settings of the stream."
            raise SrnnError(problem, "conflict", "state")
        decoder, initial, classes = self.decoder, self.decoder._initial, len(self.decoder.classes)
        network, last = arrays.get("network"), take(arrays, "last", (None, classes), np.float64)
        scores = self._new_scores()
        scores.steps[0], scores.total[0] = (
            take(arrays, f"scores.{name}", part.shape[1:], part.dtype)
            for name, part in (("steps", scores.steps), ("total", scores.total))
        )
        numbers = [info.get(name) for name in ("samples", "steps", "position", "sure", "guess")]
        samples, steps, position, sure, guess = (
            n if type(n) is int and n < 2**62 else -2 for n in numbers
        )
        ended, least = info.get("ended"), 0 if decoder.policy is None else 1
        segment = info.get("segment", self.segment)
        if (
            network is None
            or (network.shape, network.dtype) != (initial.shape, initial.dtype)
            or len(last) > 1
            or samples < 0
            or not 0 <= position <= steps
            or not isinstance(segment, int | None)
            or segment not in (None, decoder.asked, decoder.segment)
            or position >= (segment or 2**62)
            or not 0 <= sure <= least * position
            or not -1 <= guess < classes
            or type(ended) is not bool
            or ended > least
            or not 0 <= scores.steps[0] <= position
        ):
            raise SrnnError("This state does not fit the network.", "data", "state")
        if not np.array_equal(network, initial):
            decoder.stream.check_flat_state(network)
        encoder = self.decoder.signal.stream()
        encoder.restore(_of(arrays, "encoder."))
        filling = self._new_filling()
        if filling is not None:
            filling.restore(_of(arrays, "filling."), encoder.channels)
        if self._online is not None:
            self._online.restore(_of(arrays, "learner."))
            self._stream = Stream(self._online.network)
        if len(decoder.past):
            self._past = take(arrays, "past", decoder.past.shape, np.float64).copy()
        if self._anomaly is not None:
            predicted = take(arrays, "surprise.said", self._anomaly.predicted.shape, np.float64)
            mean, read = take(arrays, "surprise.mean", (2,), np.float64).tolist()
            self._anomaly.predicted, self._anomaly.mean = predicted.copy(), mean
            self._anomaly.steps = int(read)
        self._filling = filling
        self.encoder, self._scores, self.segment = encoder, scores, segment
        self._network = network.copy()
        self.samples, self.steps, self._position = samples, steps, position
        self._stopping.classes[0], self._stopping.row[0] = guess, sure
        self._ended, self._last = ended, last[0] if len(last) else None


def _of(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    own = {name: part for name, part in arrays.items() if name.startswith(prefix)}
    return {name.removeprefix(prefix): part for name, part in own.items()}
