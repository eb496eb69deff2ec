"""Decoders: streams equal whole-sequence evaluation, for any blocks, with states kept as bytes, for
every task."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn import SRNN, SrnnError, from_network
from srnn.data.encoders import Statistics
from srnn.data.signals import ScaledPath
from srnn.data.tasks import Task, create_task
from srnn.deploy.streaming import Decisions, Decoder, Session
from srnn.deploy.streaming.saved import pack, unpack
from srnn.model.exit_policy import ExitPolicy
from srnn.nn.losses import Loss
from srnn.training.runs import Run
from support.refusing import refuses
from support.runs import DIGITS, ECG, SPOKEN, make_run
from support.streams import decoder, network
from support.tiny import TinyStepTask, TinyTask

QUICK = settings(max_examples=12)
CUTS = st.lists(st.floats(0, 1), max_size=5)
SUMMED = ("ce_mean", "ce_last", "ce_sum_softmax", "ce_spike_count")


READOUTS = dict.fromkeys(SUMMED, "integrator") | {"ce_spike_count": "spike_count"}


SPIKES = ("--task.name=spoken-digits-spikes", "--loss.name=ce_mean")


def joined(parts: list[Decisions]) -> Decisions:
    return Decisions(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def streamed(
    session: Session, x: np.ndarray, cuts: list[float], key: bytes | None = None
) -> Decisions:
    """All decisions of a signal that is cut at these places; with a key, through bytes at each of
    them."""
    places = [0, *sorted(round(cut * len(x)) for cut in cuts), len(x)]
    parts = []
    for a, b in itertools.pairwise(places):
        parts.append(session.push(x[a:b]))
        if key is not None:
            session = session.decoder.restore(session.save(key), key)
    return joined([*parts, session.finish()])


def equal(one: Decisions, other: Decisions) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def ones(count: int) -> Statistics:
    return Statistics(np.full(count, -8, np.float32), np.full(count, 3, np.float32))


def noise(rng: np.random.Generator, samples: int) -> np.ndarray:
    return 0.1 * rng.standard_normal((samples, 1))


def reference(task: Task, steps: np.ndarray, readout: str = "integrator") -> torch.Tensor:
    """The output of the same network for the whole sequence."""
    net = network(task, readout, backend="reference")
    with torch.no_grad():
        return net(torch.from_numpy(steps.astype(np.float64))[None])[0]


# Every task with an online network: what is pushed, and how the whole of it is encoded.
LIVE: dict[str, tuple[dict[str, Any], Any]] = {
    "ecg": ({"source": "records"}, lambda rng: rng.standard_normal((160, 2)).cumsum(0)),
    "digits": ({"window": 4}, lambda rng: rng.random((64, 1))),
    "smnist": ({"window": 8}, lambda rng: rng.integers(0, 256, (90, 1))),
    "gsc": ({"normalise": "training"}, lambda rng: noise(rng, 5000)),
    "phones": ({"normalise": "training", "ternary": 0.2}, lambda rng: noise(rng, 4000)),
    "spoken-digits": ({"normalise": "training", "derivatives": 1}, lambda rng: noise(rng, 3000)),
}
STEPS: dict[str, dict[str, Any]] = {
    "ecg": {}, "shd": {}, "ssc": {"pool": 5}, "psmnist": {}, "soli": {}, "soli_sequence": {}, "timit": {},
    "spoken-digits-spikes": {"pool": 5}, "digits": {}, "smnist": {}, "gsc": {}, "phones": {}, "spoken-digits": {},
}  # fmt: skip


@pytest.mark.parametrize("name", LIVE)
@QUICK
@given(seed=st.integers(0, 1000), cuts=CUTS, start=st.integers(0, 30))
def test_signals_in_blocks_change_no_bit_and_equal_the_whole(
    name: str, seed: int, cuts: list[float], start: int
) -> None:
    options, make = LIVE[name]
    task = create_task(name, **options)
    live = task.live()
    if name == "ecg":
        live = live.calibrated(scale=([0.5, 1], [2, 3]))
    if "statistics" in live.settings:
        live = live.calibrated(statistics=ones(task.inputs))
    assert live.form == "signal"
    x = make(np.random.default_rng(seed))
    shared = decoder(task, signal=live, start=start)
    expected = streamed(shared.open(), x, [])
    assert equal(streamed(shared.open(), x, cuts), expected)
    assert equal(streamed(shared.open(), x, cuts, b"secret"), expected)
    # And the reference, over the steps that the encoder gives.
    encoder = live.stream()
    steps = np.concatenate([encoder.push(x), encoder.flush()])
    output = reference(task, steps)
    loss = Loss.for_task(shared.loss, task)
    if task.kind == "per_step":
        assert np.allclose(expected.scores, output[0].numpy(), atol=1e-9)
    else:
        for length in {1, max(start, 1), start + 1, len(steps)}:
            if length <= len(steps):
                whole = loss.scores(output, torch.tensor([length]))[0].numpy()
                assert np.allclose(expected.scores[length - 1], whole, atol=1e-9)
    assert expected.final[-1] and not expected.final[:-1].any()
    assert len(steps) == len(expected.scores)


@pytest.mark.parametrize("name", STEPS)
def test_every_tasks_steps_in_blocks_change_no_bit(name: str) -> None:
    task = create_task(name, **STEPS[name])
    x = (np.random.default_rng(1).random((60, task.inputs)) < 0.1).astype(np.float32)
    shared = decoder(task)
    expected = streamed(shared.open(), x, [])
    assert equal(streamed(shared.open(), x, [0.2, 0.21, 0.8], b"k"), expected)
    assert equal(streamed(shared.open(), x, [i / 60 for i in range(60)]), expected)
    whole = Loss.for_task(shared.loss, task).scores(reference(task, x))[0].numpy()
    found = expected.scores if task.kind == "per_step" else expected.scores[-1]
    assert np.allclose(found, whole, atol=1e-9)


@pytest.mark.parametrize("loss", SUMMED)
@QUICK
@given(
    length=st.integers(1, 40), start=st.integers(0, 12), cuts=CUTS, segment=st.none() | st.integers(1, 45)
)  # fmt: skip
def test_scores_are_the_losses_of_every_prefix(
    loss: str, length: int, start: int, cuts: list[float], segment: int | None
) -> None:
    task = TinyTask()
    x = (np.random.default_rng(length).random((length, 3)) < 0.4).astype(np.float32)
    shared = decoder(task, loss, start=start, segment=segment)
    found = streamed(shared.open(), x, cuts)
    assert equal(found, streamed(shared.open(), x, cuts, b""))
    config = Loss.for_task(shared.loss, task)
    size = segment or length
    for begin in range(0, length, size):
        output = reference(task, x[begin : begin + size], READOUTS[loss])
        for t in range(output.shape[1]):
            whole = config.scores(output[:, : t + 1])[0].numpy()
            assert np.allclose(found.scores[begin + t], whole, atol=1e-9)
    ends = [*range(size - 1, length, size)]
    rest = length % size
    judged = rest > 0 and (length < size or rest >= max(size / 2, start + 1))
    assert found.steps[found.final].tolist() == [*ends, *[length - 1] * judged]
    assert np.allclose(shared.probabilities(found.scores).sum(-1), 1)


def test_a_session_has_its_own_state() -> None:
    task = TinyTask()
    shared, rng = decoder(task), np.random.default_rng(0)
    signals = [(rng.random((30, 3)) < 0.4).astype(np.float32) for _ in range(5)]
    expected = [streamed(shared.open(), x, []) for x in signals]
    sessions = [shared.open() for _ in signals]
    parts: list[list[Decisions]] = [[] for _ in signals]
    for t in range(30):
        for number, session in enumerate(sessions):
            parts[number].append(session.push(signals[number][t : t + 1]))
    for number, session in enumerate(sessions):
        assert session.samples == session.steps == 30
        got = joined([*parts[number], session.finish()])
        assert np.array_equal(got.scores[:30], expected[number].scores[:30])
        session.reset()
        assert equal(streamed(session, signals[number], [0.5]), expected[number])


# ---- early exit ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", SUMMED)
@QUICK
@given(
    seed=st.integers(0, 1000), confidence=st.sampled_from([0.34, 0.36, 0.4, 0.6]),
    patience=st.integers(1, 5), earliest=st.integers(1, 55), cuts=CUTS,
)  # fmt: skip
def test_exits_are_the_policys(
    loss: str, seed: int, confidence: float, patience: int, earliest: int, cuts: list[float]
) -> None:
    task, x = TinyTask(), (np.random.default_rng(seed).random((50, 3)) < 0.4).astype(np.float32)
    policy = ExitPolicy(loss, 3, confidence, 0.0, patience, earliest)
    shared = decoder(task, loss, start=3, policy=policy)
    found = streamed(shared.open(), x, cuts)
    assert equal(found, streamed(shared.open(), x, cuts, b""))
    output = decoder(task, loss, net=network(task, READOUTS[loss])).stream.run(x)
    decided = policy.decide(output)
    assert found.final[-1] and not found.final[:-1].any()
    assert found.steps[-1] == decided.steps and found.winners[-1] == decided.winners


def test_an_exit_rests_until_the_next_segment() -> None:
    def exiting(patience: int, earliest: int = 1, segment: int | None = None) -> Session:
        policy = ExitPolicy("ce_last", 10, 0.0, 0.0, patience, earliest)
        return decoder(TinyTask(), "ce_last", policy=policy, segment=segment).open()

    x = np.ones((40, 3), np.float32)
    found = streamed(exiting(3, segment=15), x, [0.4])
    assert found.steps.tolist() == [0, 1, 2, 15, 16, 17, 30, 31, 32]
    assert np.flatnonzero(found.final).tolist() == [2, 5, 8]
    assert np.array_equal(found.scores[:3], found.scores[3:6])
    late = streamed(exiting(2, earliest=9, segment=15), x, [0.1, 0.5])
    assert late.steps[late.final].tolist() == [9, 24, 39]
    ended = exiting(3)
    ended.push(x)
    assert len(ended.push(x).steps) == 0 and len(ended.finish().steps) == 0 and ended.steps == 80


# ---- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_is_decoded_with_its_own_encoder(tmp_path: Path) -> None:
    run, other = make_run(tmp_path / "run", *DIGITS), tmp_path / "other"
    found = Decoder.of(run)
    signal = found.signal
    assert (signal.form, signal.channels, signal.latency) == ("signal", 1, 7)
    assert found.fingerprint == Decoder.of(run).fingerprint
    make_run(other, *DIGITS, "--network.norm=batch", seed=4)  # has a tensor without axes
    for stranger in (Decoder.of(other), Decoder.of(run, form="steps")):
        with refuses("state", "conflict"):
            stranger.restore(found.open().save())
    # The initial state is drawn from the run's seed, the same for all.
    x = np.linspace(0, 1, 64)[:, None]
    again = streamed(Decoder.of(run).open(), x, [0.3], b"")
    assert equal(streamed(found.open(), x, []), again)


def test_statistics_are_kept_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from srnn.data.datasets.spoken_digits import SpokenDigitsTask

    run = make_run(tmp_path / "run", *SPOKEN)
    with pytest.raises(SrnnError, match="has no statistics of its training data"):
        Decoder.of(run, data_dir=tmp_path)
    calls = []

    def statistics(self: Any, data_dir: Any) -> Statistics:
        calls.append(data_dir)
        return ones(self.inputs)

    monkeypatch.setattr(SpokenDigitsTask, "statistics", statistics)
    first, second = Decoder.of(run), Decoder.of(run)
    assert len(calls) == 1 and first.fingerprint == second.fingerprint and first.signal.rate == 8000
    kept = Run.open(run).trained().task.signal().statistics  # type: ignore[attr-defined]
    assert all(map(np.array_equal, kept, ones(120)))  # in the model's file
    assert Decoder.of(run, form="steps").signal.channels == 120  # needs none


LSTM = "--network.model=lstm --network.neuron=adlif --network.readout=integrator"


@pytest.mark.parametrize(
    ("message", "overrides", "options"),
    [
        ("kind 'lstm'", [*DIGITS, *LSTM.split(), "--network.backend=auto"], {}),
        ("needs the whole sequence", [*DIGITS, "--network.bidirectional=true"], {}),
        ("'normalise: clip'", ["--task.name=gsc", "--loss.name=ce_mean"], {}),
        (
            "anywhere in the image",
            ["--task.name=psmnist", "--loss.name=ce_mean"],
            {"form": "signal"},
        ),
        ("'form' must be one of auto", DIGITS, {"form": "sound"}),
        ("This input takes no scale", DIGITS, {"scale": ([0], [1])}),
        ("for each of 2 leads", ECG, {"form": "signal", "scale": ([0], [1])}),
        ("This input takes no gain: only sound that a cochlea", DIGITS, {"gain": 1.0}),
        ("'gain' must be a number above 0", SPIKES, {"form": "signal", "gain": -1.0}),
        ("This input is not calibrated", ECG, {"calibration": 3.0}),
        ("number above 0 and at most 60", ECG, {"form": "signal", "calibration": 1e6}),
        ("is for loss ce_last from step 0", DIGITS, {"policy": ExitPolicy("ce_last")}),
    ],
)
def test_runs_that_cannot_be_streamed_say_why(
    message: str, overrides: Sequence[str], options: dict[str, Any], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", *overrides)
    with pytest.raises(SrnnError, match=message):
        Decoder.of(run, **options)


def test_a_run_without_a_checkpoint_cannot_be_streamed(tmp_path: Path) -> None:
    Run.open(make_run(tmp_path / "fresh", *DIGITS)).best.unlink()
    with pytest.raises(SrnnError, match="no checkpoint yet"):
        Decoder.of(tmp_path / "fresh")
    with pytest.raises(SrnnError, match="was not found: name a run folder"):
        Decoder.of(tmp_path / "nowhere")


# ---- states as bytes -------------------------------------------------------------------------------------------------


def test_bad_blocks_change_nothing() -> None:
    session = decoder(TinyStepTask()).open()
    session.push(np.ones((5, 3)))
    before = session.save()
    for block in (np.ones((2, 4)), np.full((2, 3), np.nan), "no", None, [[1, 2, 3], [4]]):
        with pytest.raises(SrnnError):
            session.push(block)  # type: ignore[arg-type]
    assert session.save() == before and session.samples == 5


def test_damaged_states_are_refused_and_change_nothing() -> None:
    shared = decoder(TinyTask())
    session = shared.open()
    session.push(np.ones((5, 3)))
    good, key = session.save(b"key"), b"key"
    fresh = shared.open()
    before = fresh.save()
    bad = [
        b"",
        b"x",
        good[:-1],
        good[:40],
        good + b"0",
        b"srnn state 3".ljust(16, b"\0") + good[16:],
    ]
    for place in range(0, len(good), 7):
        bad.append(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
    for damaged in bad:
        with pytest.raises(SrnnError):
            fresh.restore(damaged, key)
    for wrong in (b"", b"other"):  # made with another key
        with refuses("state", "data"):
            fresh.restore(good, wrong)
    arrays, info = unpack(good, key)
    for name in arrays:  # rightly signed, but of another form
        others = {other: part for other, part in arrays.items() if other != name}
        for more in ({}, {name: np.zeros((2, 2, 2))}, {name: np.zeros(3, np.int8)}):
            with pytest.raises(SrnnError, match="not fit"):
                fresh.restore(pack({**others, **more}, info, key), key)
    for name in info:
        with pytest.raises(SrnnError):
            fresh.restore(pack(arrays, {**info, name: "x"} if name != "ended" else {}, key), key)
    assert fresh.save() == before
    fresh.restore(good, key)
    assert fresh.steps == 5 and fresh.save(key) == good


@pytest.mark.parametrize("value", [np.nan, 1e300])
def test_a_sample_that_is_not_finite_is_named_by_its_place_in_the_stream(value: float) -> None:
    """And the stream is as it was: without it everything continues to the same bits."""
    made, x = decoder(TinyTask()), np.random.default_rng(0).random((30, 3))
    session, whole = made.open(), made.open()
    whole.push(x)
    session.push(x[:20])
    bad = x[20:].copy()
    bad[3, 1] = value
    with pytest.raises(SrnnError, match="Sample 23 is not finite in channel 1"):
        session.push(bad)
    session.push(x[20:])
    assert session.save() == whole.save()


def test_a_sensor_s_sample_is_pushed_as_it_comes() -> None:
    made, x = decoder(TinyTask()), np.random.default_rng(0).random((30, 3))
    session, whole = made.open(), made.open()
    rows = [session.push(row if number % 2 else row.tolist()) for number, row in enumerate(x)]
    assert np.array_equal(np.concatenate([row.scores for row in rows]), whole.push(x).scores)
    assert session.samples == 30 and session.save() == whole.save()


def test_a_sample_that_its_scale_cannot_bear_is_refused_and_changes_nothing() -> None:
    """It went into the network as an infinity, with numpy's warning of an overflow."""
    scale = Statistics(np.zeros(2, np.float32), np.full(2, 1e-5, np.float32))
    path = ScaledPath(2, statistics=scale)
    session = from_network(SRNN.paper(2, [4], 3), ("a", "b", "c"), signal=path).stream()
    with refuses("samples", "data"):
        session.push(np.full((4, 2), 1e38, np.float32))
    assert session.samples == 0 and np.isfinite(session.push(np.ones((4, 2))).scores).all()


def test_one_long_sequence_goes_on_from_its_saved_state() -> None:
    """Beyond where the decoder's segments end, its own state was refused."""
    net = SRNN.paper(2, [4], 2, generator=torch.Generator().manual_seed(0))
    decoding = Decoder.of(from_network(net, ["a", "b"], steps=5))
    x = np.random.default_rng(0).standard_normal((12, 2))
    session, again = decoding.open(whole=True), decoding.open(whole=True)
    session.push(x[:8])
    again.restore(session.save())
    assert equal(again.push(x[8:]), session.push(x[8:])) and again.finish().final.tolist() == [True]
    # A state says what it is one of.
    assert equal(decoding.restore(session.save()).finish(), session.finish())
