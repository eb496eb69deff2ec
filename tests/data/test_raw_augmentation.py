"""Raw signals changed before they are encoded: how loud the noise is, what a window of the stream
holds, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from srnn.data import raw_augmentation
from srnn.data.augment_config import AugmentConfig
from srnn.data.batches import Sequences
from srnn.data.datasets import Split
from srnn.data.encoders.speech import SpeechFeatures, Statistics
from srnn.data.raw_augmentation import RawAugmentation
from srnn.data.signals import ScaledPath, SignalPath, SpeechPath
from srnn.data.tasks import Task
from srnn.training.batches import TrainingBatches
from srnn.training.seeds import derive_seed
from support.refusing import refuses
from support.runs import cut_and_resumed
from support.sounds import tone
from support.tiny import TinyStepTask, TinyTask, tiny_recipe

RATE = 8000
FEATURES = SpeechFeatures(rate=RATE, mels=8, normalise="training")


@dataclass(frozen=True)
class Beeps(Task):
    """Low and high tones of 0.3 to 0.4 s, and noise that is background."""

    name: ClassVar[str] = "beeps"
    kind: ClassVar = "per_sequence"
    class_names: ClassVar[tuple[str, ...]] = ("low", "high", "_silence_")
    one_length: bool = True

    @property
    def inputs(self) -> int:
        return FEATURES.channels

    def signal(self) -> SignalPath:
        return SpeechPath(FEATURES)

    def load(self, split: Any, data_dir: Path | None = None) -> Split:
        y = np.arange(24) % 3
        seconds = [0.4 if self.one_length else 0.3 + 0.1 * (index % 2) for index in range(24)]
        sounds = [
            tone(one, RATE, (300, 1200)[label] if label < 2 else 0, seed)
            for seed, (label, one) in enumerate(zip(y, seconds, strict=True))
        ]
        signals = [(sound / 2**15).astype(np.float32)[:, None] for sound in sounds]
        statistics = FEATURES.fit([FEATURES.expand(FEATURES.frames(one[:, 0])) for one in signals])
        steps = SpeechPath(FEATURES, statistics=statistics).encode_batch(signals)
        lengths = np.array([len(one) for one in steps])
        x = np.zeros((24, lengths.max(), FEATURES.channels), np.float32)
        for row, one in zip(x, steps, strict=True):
            row[: len(one)] = one
        return Split(
            x, y, None if self.one_length else lengths, signals=signals, statistics=statistics
        )


def changes(config: AugmentConfig, task: Task | None = None) -> RawAugmentation:
    task = task or Beeps()
    sequences = Sequences(task, "train")
    statistics = sequences.statistics
    path = task.signal() if statistics is None else task.signal().calibrated(statistics=statistics)
    return RawAugmentation(sequences, path, config, task.background_class, task.lag())


@pytest.mark.parametrize("one_length", [True, False])
def test_what_is_not_changed_is_read_as_it_was(one_length: bool) -> None:
    """A gain too small for float32: every bit is that of the stored features, in batches of one
    length and of several."""
    raw = changes(AugmentConfig(gain=1e-12), Beeps(one_length))
    for indices in (np.array([3, 0, 7]), np.array([1, 3, 5])):
        ours, theirs = raw.take(indices, range(3)), raw.sequences.take(indices)
        assert torch.equal(ours.x, theirs.x) and torch.equal(ours.y, theirs.y)
        assert (ours.lengths is None) == one_length and (
            one_length or torch.equal(ours.lengths, theirs.lengths)
        )


@pytest.mark.parametrize("recorded", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_noise_is_as_loud_as_was_asked(recorded: bool) -> None:
    """Against the mean power of the training signals, whatever the sequence's own; recorded and
    drawn, under the same gain."""
    raw = changes(AugmentConfig(noise=(12, 12)))
    power = np.mean([np.var(raw.signal(index), dtype=np.float64) for index in range(24)])
    assert raw.power == pytest.approx(power)
    if not recorded:
        raw._noises = raw._noises[:0]
    kinds = []
    for seed in range(12):
        noise = (raw.changed(0, seed)[0] - raw.signal(0)).astype(np.float64)
        assert np.square(noise).mean() == pytest.approx(power * 10**-1.2, rel=1e-3)
        spectrum = np.square(np.abs(np.fft.rfft(noise[:, 0])))
        kinds.append(spectrum[1:200].mean() / spectrum[-800:].mean())
    assert min(kinds) < 2 and (recorded or max(kinds) > 4)  # white as well as pink
    louder = changes(AugmentConfig(noise=(12, 12), gain=20))
    gains = [np.std(louder.changed(0, s)[0]) / np.std(raw.changed(0, s)[0]) for s in range(12)]
    if recorded:  # the same noise as without gain
        assert 0.1 <= min(gains) < 0.5 and 2 < max(gains) <= 10
    levels = [
        changes(AugmentConfig(noise=(0, 40))).changed(0, s)[0] - raw.signal(0) for s in range(12)
    ]
    decibels = [-10 * np.log10(np.square(one).mean() / power) for one in levels]
    assert 0 <= min(decibels) < 15 and 25 < max(decibels) <= 40


@pytest.mark.parametrize("recorded", [True, False])
def test_noise_has_power_one_in_every_channel_and_is_white_to_pink(recorded: bool) -> None:
    """A recording of it is shorter than the signal, far from zero, and has a channel that says
    nothing."""
    raw = changes(AugmentConfig(noise=(0, 0)))
    values = np.random.default_rng(0).normal(5, (1, 9, 0), (300, 3)).astype(np.float32)
    raw._signals, raw._noises = {0: values}, np.arange(1 if recorded else 0)
    slopes, replayed = list[float](), 0
    for seed in range(40):
        noise = raw._noise((2001, 3), np.random.default_rng(seed))
        assert noise.shape == (2001, 3)
        assert noise.mean(0) == pytest.approx(0, abs=1e-6) and noise.std(0) == pytest.approx(1)
        power = np.square(np.abs(np.fft.rfft(noise[:, 2])))[1:]
        slopes.append(np.polyfit(np.log(np.arange(1, 1001)), np.log(power), 1)[0])
        replayed += len(np.unique(noise[:, 0].round(9))) == 300
        assert len(np.unique(noise[:, 2].round(9))) > 1900  # drawn, in either case
    assert -1.15 < min(slopes) < -0.8 and -0.2 < max(slopes) < 0.15
    assert 10 < replayed < 30 if recorded else not replayed


def test_a_sequence_changes_alike_in_any_batch_and_after_any_other() -> None:
    config = AugmentConfig(gain=6, noise=(0, 30), stream=0.5, speed=0.2)
    together = changes(config).take(np.arange(12), range(12))
    raw = changes(config)
    for index in (7, 2, 11):
        alone = raw.take(np.array([index]), [index])
        assert torch.equal(alone.x[0], together.x[index]) and alone.y[0] == together.y[index]
    assert not torch.equal(raw.take(np.array([7]), [8]).x[0], together.x[7])


def test_a_window_of_the_stream_holds_the_word_or_is_background() -> None:
    """Each clip is a ramp over numbers of its own, so a sample of the window tells where it comes
    from."""
    raw, length, seen, first = (
        changes(AugmentConfig(stream=1.0)),
        400,
        {True: 0, False: 0},
        set[bool](),
    )
    raw._signals = {
        i: (1 + i + np.arange(length) / length).astype(np.float32)[:, None] for i in range(24)
    }
    for seed in range(300):
        window, holds = raw.changed(seed % 24, seed)
        assert window.shape == (length, 1)
        pieces = np.split(
            window[:, 0], np.flatnonzero(np.abs(np.diff(window[:, 0])) > 2 / length) + 1
        )
        heard = [(int(piece[0]) - 1, len(piece) / length) for piece in pieces if piece[0] > 0]
        most = [
            part for index, part in heard if not (holds and index == seed % 24 and part >= 0.79)
        ]
        assert (
            len(heard) <= 2
            and len(most) == len(heard) - holds
            and all(part <= 0.61 for part in most)
        )
        seen[holds] += 1
        if len(heard) == 2:
            first.add(heard[0][0] == seed % 24)
    assert min(seen.values()) > 100 and first == {
        True,
        False,
    }  # another clip is heard before it as well as after it
    batch = raw.take(np.arange(24), range(24))
    kept = batch.y == torch.arange(24) % 3
    assert (~kept).any() and (batch.y[~kept] == 2).all()


def test_streams_are_as_many_as_was_asked() -> None:
    raw = changes(AugmentConfig(stream=0.25))
    moved = [not np.array_equal(raw.changed(0, seed)[0], raw.signal(0)) for seed in range(400)]
    assert 0.18 < np.mean(moved) < 0.32


def test_silent_recordings_and_digital_silence_do_not_break_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = Beeps.load

    def silent(self: Beeps, *_: Any) -> Split:
        split = load(self, "train")
        signals = [
            np.zeros_like(one) if label == 2 else one
            for one, label in zip(split.signals or (), split.y, strict=True)
        ]
        path = SpeechPath(FEATURES, statistics=split.statistics)
        return replace(split, x=np.stack(path.encode_batch(signals)), signals=signals)

    monkeypatch.setattr(Beeps, "load", silent)
    raw = changes(AugmentConfig(noise=(10, 10), stream=0.5, gain=60))
    batch = raw.take(np.arange(24), range(24))
    assert bool(torch.isfinite(batch.x).all())
    noise = changes(AugmentConfig(noise=(10, 10))).changed(2, 3)[0]
    assert np.square(noise).mean() == pytest.approx(float(raw.power[0]) / 10, rel=1e-3)


class Sensor(TinyStepTask):
    """Three channels, whose deviations are 1, 10 and 100; its path undoes their scaling."""

    def signal(self) -> SignalPath:
        return ScaledPath(3)

    def load(self, split: Any, data_dir: Path | None = None) -> Split:
        data = super().load(split, data_dir)
        scale = Statistics(np.array([1, 2, 3], np.float32), np.array([1, 10, 100], np.float32))
        rng = np.random.default_rng(0)
        return replace(data, x=rng.normal(0, 1, data.x.shape).astype(np.float32), statistics=scale)


class Quiet(Sensor):
    class_names = ("a", "b", "_silence_")


class Words(Beeps):
    class_names = ("low", "high", "hiss")


def test_several_channels_of_labelled_steps_get_noise_of_their_own_level() -> None:
    """A sensor's path undoes its scaling: raw values are changed, and scaled again."""
    raw = changes(AugmentConfig(noise=(0, 0)), Sensor())
    assert raw.power == pytest.approx([1, 100, 10000], rel=0.2)
    batch = raw.take(np.arange(60), range(60))
    assert (batch.x - raw.sequences.take(np.arange(60)).x).std() == pytest.approx(1, rel=0.1)
    assert torch.equal(batch.y, raw.sequences.take(np.arange(60)).y)
    for task in (Sensor(), Words()):
        with refuses("training.augment.stream", "conflict"):
            changes(AugmentConfig(stream=0.5), task)
    quiet = changes(
        AugmentConfig(noise=(0, 0)), Quiet()
    )  # steps of silence are no recordings of noise
    assert not len(quiet._noises) and quiet.take(np.arange(60), range(60)).x.shape == batch.x.shape


class Ramps(TinyStepTask):
    """Two channels that tell the time, the second one backwards; labels ``lag`` steps late tell it
    in tens; one is shorter."""

    lag_ = 3
    around = False

    @property
    def inputs(self) -> int:
        return 2

    def lag(self, form: Any = "signal") -> int:
        return self.lag_

    @property
    def outputs(self) -> int:
        return 20

    def signal(self) -> SignalPath:
        return ScaledPath(2)

    def load(self, split: Any, data_dir: Path | None = None) -> Split:
        times = np.arange(100.0)
        recording = np.stack([np.arange(-50.0, 150), -np.arange(-50.0, 150)], 1).astype(np.float32)
        scale = Statistics(np.zeros(2, np.float32), np.ones(2, np.float32))
        x = np.repeat(recording[None, 50:150], 3, 0)
        y = np.repeat(
            np.where(times < self.lag_, -1, (times - self.lag_) // 10)[None], 3, 0
        ).astype(np.int64)
        x[1, 80:], y[1, 80:] = 0, -1
        whole = Split(x, y, np.array([100, 80, 100]), statistics=scale)
        return (
            replace(whole, signals=[recording] * 3, starts=np.full(3, 50)) if self.around else whole
        )


@pytest.mark.parametrize("around", [False, True])
def test_labels_keep_pace_with_a_signal_that_is_faster_or_slower(
    monkeypatch: pytest.MonkeyPatch, around: bool
) -> None:
    """Each label still names the sample that is ``lag`` steps back; what comes from around the
    sequence has none, and is what was recorded there, or else stands still."""
    monkeypatch.setattr(Ramps, "around", around)
    raw, steepness = changes(AugmentConfig(speed=0.4), Ramps()), []
    for seed in range(30):
        batch = raw.take(np.array([1, 2]), [seed, seed])
        for row, length in enumerate((80, 100)):
            times, labels = batch.x[row, :length, 0].double().numpy(), batch.y[row, :length].numpy()
            assert (
                batch.x[row, :length].sum(1).abs().max() < 1e-4 and not batch.x[row, length:].any()
            )
            middle = (length - 1) / 2
            slope = float((times[length // 2 + 5] - times[length // 2 - 5]) / 10)
            steepness.append(slope)
            places = middle + (np.arange(length) - middle) * slope
            expected = places if around else places.clip(0, length - 1)
            assert times == pytest.approx(expected, abs=1e-3)
            named = np.rint(places[: length - 3])  # by the label three steps later
            inside = (named >= 0) & (named + 3 < length)
            assert (labels[3:] == np.where(inside, named // 10, -1)).all()
            assert (batch.y[row, length:] == -1).all()
        assert raw.take(np.array([1]), [seed]).y.shape == (1, 80)  # no longer than its inputs
    assert (
        min(steepness) < 0.75
        and max(steepness) > 1.35
        and all(np.exp(-0.4) < one < np.exp(0.4) for one in steepness)
    )


def test_channels_are_mixed_as_much_as_was_asked() -> None:
    """Each is itself, 1 to within the range, and at most so many of its deviations of another:
    solved for."""
    raw, drawn = changes(AugmentConfig(channel_mix=0.3), Sensor()), []
    for seed in range(40):
        own = raw.signal(seed).astype(np.float64)
        mixed, spread = raw.changed(seed, seed)[0], own.std(0)
        mixture = np.linalg.lstsq(own / spread, mixed / spread, rcond=None)[0].T
        assert own / spread @ mixture.T == pytest.approx(mixed / spread, abs=1e-4)
        drawn.append(mixture - np.eye(3))
    assert 0.28 < np.abs(drawn).max() <= 0.3 + 1e-4 and np.abs(np.mean(drawn, 0)).max() < 0.12
    assert np.mean(np.square(drawn), 0) == pytest.approx(0.03, abs=0.015)
    raw._signals = {
        0: np.stack([np.arange(9.0), np.ones(9), np.arange(9.0)], 1).astype(np.float32)
    }  # a lead that is off
    assert np.isfinite(raw.changed(0, 0)[0]).all()
    with refuses("training.augment.channel_mix", "conflict"):
        changes(AugmentConfig(channel_mix=0.3))


def test_channels_are_mixed_in_units_of_the_sequence_not_of_what_is_around_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Ramps, "around", True)
    raw, own = changes(AugmentConfig(channel_mix=0.3), Ramps()), slice(50, 150)
    raw._signals[0] = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    raw._signals[0][:50, 1] *= 100
    values, spread = raw._signals[0][own], raw._signals[0][own].std(0)
    for seed in range(10):
        drawn = np.linalg.lstsq(values / spread, raw.changed(0, seed)[0][own] / spread, rcond=None)[
            0
        ] - np.eye(2)
        assert np.abs(drawn).max() <= 0.3 + 1e-4 and len(np.unique(drawn.round(5))) == 4


def test_the_axes_of_all_sensors_are_turned_together_by_no_more_than_was_asked() -> None:
    """A rotation, solved for: it keeps lengths and handedness, and is the same for each three
    channels."""
    raw, angles, axes = changes(AugmentConfig(rotate=25), Sensor()), [], []
    sensors = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    raw._signals = dict.fromkeys(range(60), sensors)
    for seed in range(60):
        turned = raw.changed(seed, seed)[0]
        assert turned.dtype == np.float32
        first, second = (
            np.linalg.lstsq(sensors[:, at : at + 3], turned[:, at : at + 3], rcond=None)[0].T
            for at in (0, 3)
        )
        assert first == pytest.approx(second, abs=1e-5)
        assert first @ first.T == pytest.approx(np.eye(3), abs=1e-5)
        assert np.linalg.det(first) == pytest.approx(1, abs=1e-5)
        angles.append(np.degrees(np.arccos((np.trace(first) - 1) / 2)))
        axes.append(first[[2, 0, 1], [1, 2, 0]] - first[[1, 2, 0], [2, 0, 1]])
    assert 20 < max(angles) <= 25.1 and min(angles) < 5 and np.mean(angles) > 8
    assert (np.max(axes, 0) > 0.3).all() and (np.min(axes, 0) < -0.3).all()
    with refuses("training.augment.rotate", "conflict"):
        changes(AugmentConfig(rotate=25), Ramps())


def test_a_training_learns_from_the_changed_signals() -> None:
    for task, config in ((Beeps(), AugmentConfig(stream=1.0)), (Ramps(), AugmentConfig(speed=0.4))):
        raw, indices = changes(config, task), np.array([2, 0, 1])
        batch = TrainingBatches(raw.sequences, task, raw.path, config, 5).take(
            indices, slice(None), 3, 0
        )
        expected = raw.take(indices, [derive_seed(5, "augment", 3, index) for index in (2, 0, 1)])
        assert torch.equal(batch.x, expected.x) and torch.equal(batch.y, expected.y)
        assert not torch.equal(batch.x, raw.sequences.take(indices).x)


def test_who_has_no_raw_signal_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with refuses("training.augment.gain", "conflict"):
        changes(AugmentConfig(gain=3, noise=(0, 10)), TinyTask())
    load = Beeps.load
    monkeypatch.setattr(Beeps, "load", lambda self, *_: replace(load(self, "train"), signals=None))
    with refuses("training.augment.gain", "conflict"):
        changes(AugmentConfig(gain=3))
    signals = list(load(Beeps(), "train").signals or ())
    for other in (
        signals[12][::-1],
        np.tile(signals[12], (2, 1)),
        signals[12][:1600],
    ):  # of one of the three that are looked at
        changed = [*signals[:12], other, *signals[13:]]
        monkeypatch.setattr(
            Beeps,
            "load",
            lambda self, *_, changed=changed: replace(load(self, "train"), signals=changed),
        )
        with refuses("training.augment.gain", "conflict"):
            changes(AugmentConfig(gain=3))


def test_no_noise_differs_from_noise_as_loud_as_the_signal() -> None:
    assert (
        not AugmentConfig().active
        and AugmentConfig(noise=(0, 0)).active
        and AugmentConfig(noise=(0, 0)).raw
    )


def test_signals_beyond_what_is_kept_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """And changed alike, also where the other clip of a stream is the sequence's own."""
    config = AugmentConfig(gain=6, stream=0.5)
    raw = changes(config)
    expected, signals = (
        raw.take(np.arange(24), range(24)),
        [raw.changed(seed % 24, seed)[0] for seed in range(300)],
    )
    monkeypatch.setattr(raw_augmentation, "_KEPT", 30_000)
    raw = changes(config)
    assert torch.equal(raw.take(np.arange(24), range(24)).x, expected.x) and len(raw._signals) == 2
    assert all(
        np.array_equal(raw.changed(seed % 24, seed)[0], signal)
        for seed, signal in enumerate(signals)
    )


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (
        "--training.augment.gain",
        "6",
        "--training.augment.noise",
        "[0, 30]",
        "--training.augment.stream",
        "0.5",
    )
    recipe = tiny_recipe(
        "--training.epochs",
        "2",
        "--training.batch_size",
        "8",
        "--training.checkpoint_every",
        "1",
        *asked,
    )

    cut_and_resumed(recipe, 4, tmp_path, monkeypatch, Beeps())
