"""The exported encoder: raw signal to scores, in C as in training's own stream."""

from __future__ import annotations

import itertools
import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import srnn
from srnn import SRNN, SrnnError
from srnn.cli.main import main
from srnn.data.encoders import LevelCrossing
from srnn.data.encoders.speech import Statistics
from srnn.data.signals import CrossingPath, ScaledPath
from srnn.data.signals.crossing import smoothing_rows
from srnn.deploy.c import export_c
from srnn.deploy.c.encoder import CrossingPlan
from srnn.deploy.c.plan import make_plan
from srnn.deploy.export.model import input_scale
from srnn.nn.fixedpoint.device import device_network
from srnn.nn.fixedpoint.integer import quantise
from support.compiled import SANITIZED, build, every_compiler, every_format, ran
from support.hearts import Format, check_begins_again, from_signal, heart, scores_of
from support.runs import DIGITS, make_run
from support.signals import two_leads

STD = (171.3, 95.7)
"""Of the leads; no change of integers is exactly a threshold, where float64 and exact arithmetic
may part."""


def stream(encoder: CrossingPath, signal: np.ndarray, std: tuple[float, ...] = STD) -> np.ndarray:
    """The spikes of the library's own streaming encoders, in float64."""
    chain = encoder.calibrated(scale=([1000.0, 1000.0], std)).stream()
    return np.concatenate([chain.push(signal), chain.flush()])


@every_compiler
@pytest.mark.parametrize(
    ("format", "rule", "smoothing"),
    [
        ("float32", "send_on_delta", 7),
        ("int8", "difference", 9),
        pytest.param("float32", "difference", 9, marks=pytest.mark.slow),
        pytest.param("int8", "send_on_delta", 7, marks=pytest.mark.slow),
    ],
)
def test_c_on_a_raw_signal_is_the_stream(
    format: Format, rule: Any, smoothing: int, compiler: str, tmp_path: Path
) -> None:
    """Scaled, smoothed (the integers of 9 samples' weights take 16 bits), crossed and classified:
    from integers of a converter to the scores of every step."""
    encoder = CrossingPath(LevelCrossing(rule, 0.1, 0.07), 2, smoothing=smoothing)
    plan, model = heart(encoder, format, tmp_path / "c")
    program = build(tmp_path / "c", plan, compiler, *SANITIZED)
    check_begins_again(program, STD)
    for samples in (3000, smoothing + 1, smoothing, smoothing - 1, 3, 1):
        signal = two_leads(samples)
        spikes = stream(encoder, signal)
        assert samples < 3000 or 0.03 < spikes.mean() < 0.5
        np.testing.assert_array_equal(encoder.in_c(signal, STD, format == "int8"), spikes)
        np.testing.assert_array_equal(from_signal(program, signal, STD), scores_of(model, spikes))


@every_compiler
@pytest.mark.parametrize(
    "format, up, down",
    [("float32", "{20.5f, 20.5f}", "{13.0f, 13.0f}"), ("int8", "{21, 21}", "{13, 13}")],
)
def test_without_a_scale_a_level_crossing_has_thresholds_in_the_signals_unit(
    format: Format, up: str, down: str, compiler: str, tmp_path: Path
) -> None:
    crossing, ones = LevelCrossing("send_on_delta", 20.5, 13.0), (1.0, 1.0)
    encoder = CrossingPath(crossing, 2, scale=([0.0, 0.0], [1.0, 1.0]))
    plan, model = heart(encoder, format, tmp_path)
    signal = two_leads(500)
    found = from_signal(build(tmp_path, plan, compiler, *SANITIZED), signal, ones)
    np.testing.assert_array_equal(found, scores_of(model, encoder.whole(signal)))
    header = (tmp_path / "heart.h").read_text()
    assert f"#define HEART_UP {up}\n#define HEART_DOWN {down}\n" in header


@every_compiler
@every_format
def test_its_sizes_and_operations_are_in_the_header(
    format: Format, compiler: str, tmp_path: Path
) -> None:
    encoder = CrossingPath(LevelCrossing("send_on_delta", 0.1, 0.1), 2, smoothing=7).with_std(STD)
    plan, _ = heart(encoder, format, tmp_path / "c")
    bare, _ = heart(CrossingPath(LevelCrossing(), 2), format, tmp_path / "bare")
    assert plan.encoder is not None and plan.encoder.operations == (2 * 7 + 2, 2 * 7)
    assert plan.flash_bytes == bare.flash_bytes + 49 * (1 if format == "int8" else 4)
    program = build(tmp_path / "c", plan, compiler, "-DSRNN_COUNT")
    lines = "\n".join(f"{a:g},{b:g}" for a, b in two_leads(300))
    counts = json.loads(program.tried("--encode", "171.3", "95.7", given=lines).stderr)
    assert counts["steps"] == 300 and counts["state_bytes"] == plan.state_bytes
    assert counts["encoder_adds"] == 300 * 16 and counts["encoder_multiplies"] == 300 * 14
    text = re.sub(r"\s*\n \* ", " ", (tmp_path / "c" / "heart.h").read_text())
    ram = plan.encoder.ram_bytes
    for words in (f"{ram} per encoder", "for the encoder 16 and 14", "a step is 3 samples late"):
        assert words in text, words
    report = json.loads((tmp_path / "c" / "heart.json").read_text())
    assert report["ram_bytes"] == plan.state_bytes + ram
    assert report["encoder"]["latency_samples"] == 3 and report["encoder"]["std"] == list(STD)


@every_compiler
def test_an_encoder_has_the_bytes_that_are_said(compiler: str, tmp_path: Path) -> None:
    """Of one channel or several, padded or not."""
    lines = ["#include <stdint.h>"]
    kinds = itertools.product((1, 2, 3), (0, 7), (None, 2.0), (None, 0))
    for number, (channels, smoothing, horizon, bits) in enumerate(kinds):
        path = CrossingPath(LevelCrossing(), channels, 250.0, smoothing, horizon=horizon)
        plan = CrossingPlan(f"n{number}", path, bits)
        size = f"sizeof(n{number}_encoder) == {plan.ram_bytes}"
        lines += [f"#define N{number}_INPUTS {path.inputs}", f"typedef float n{number}_input;"]
        lines += [plan.declaration(), f"typedef char n{number}_size[{size} ? 1 : -1];"]
    (tmp_path / "sizes.c").write_text("\n".join(lines) + "\n")
    ran(compiler, "-std=c99", "-fsyntax-only", tmp_path / "sizes.c")


def test_smoothing_weights_are_scipys() -> None:
    scipy = pytest.importorskip("scipy.signal")
    for window in (5, 7, 9, 11, 13):
        numerators, denominator = smoothing_rows(window)
        expected = scipy.savgol_filter(np.eye(window), window, 3, axis=0)
        np.testing.assert_allclose(numerators / denominator, expected, atol=1e-12)
    rows, parts = smoothing_rows(7)
    assert [Fraction(int(n), parts) * 21 for n in rows[3]] == [-2, 3, 6, 7, 6, 3, -2]


class Louder(CrossingPath):
    """Another package's, which does something else."""

    def whole(self, signal: Any) -> Any:
        return super().whole(2 * np.asarray(signal))


class Squared(ScaledPath):
    """Likewise."""

    def whole(self, signal: Any) -> Any:
        return super().whole(np.square(signal))


def test_a_path_derived_from_the_librarys_is_not_written_as_that_one(tmp_path: Path) -> None:
    for kind, encodes in ((CrossingPath, True), (Louder, False)):
        path = kind(LevelCrossing("send_on_delta", 0.5, 0.5), 2, scale=([0.0, 0.0], [1.0, 1.0]))
        model = srnn.from_network(SRNN.paper(4, [3], 2), "ab", signal=path)
        assert ("encoder" in model.export(tmp_path / kind.__name__)) is encodes
    statistics = Statistics(np.zeros(2, np.float32), np.ones(2, np.float32))
    for kind, names in ((ScaledPath, {"input_mean", "input_std"}), (Squared, set())):
        path = kind(2, 50.0, statistics)
        model = srnn.from_network(SRNN.paper(2, [3], 2), "ab", signal=path)
        assert input_scale(model).keys() == names


@every_compiler
def test_samples_and_thresholds_beyond_int32_are_held(compiler: str, tmp_path: Path) -> None:
    encoder = CrossingPath(LevelCrossing("difference", 0.1, 0.1), 2, smoothing=7)
    plan, model = heart(encoder.with_std((1e8, 1e9)), "int8", tmp_path)
    most = 2**31 - 1
    assert f"#define HEART_UP {{420000000, {most}}}" in (tmp_path / "heart.h").read_text()
    rng = np.random.default_rng(0)
    signal = rng.integers(-(2**31), 2**31, (50, 2))
    signal[25:, 0] = rng.choice([-2, 2], 25) * encoder.limit
    # The first change is larger than any int32.
    signal[:7, 1] = np.array([1, -1, -1, -1, 1, 1, -1]) * most
    lines = "\n".join(f"{a},{b}" for a, b in signal)
    program = build(tmp_path, plan, compiler, *SANITIZED)
    told = program.text("--encode", "1e8", "1e9", given=lines).split()
    spikes = encoder.in_c(signal, (1e8, 1e9), True)
    assert spikes[1].tolist()[2:] == [0, 1] and not spikes[2:, 2:].any()
    found = np.array([line.split(",") for line in told], int)
    np.testing.assert_array_equal(found, scores_of(model, spikes))


# ---- the command, and real records ------------------------------------------------------------------------------------------


def test_the_command_brings_training_along(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ("--network.neuron.threshold=0.2", "--task.options.scale=record")
    run = make_run(tmp_path / "ecg", *told, recipe="ecg-records")

    def shown(run: Path, out: str, more: str, code: int = 0) -> str:
        assert main(f"export c {run} --out {tmp_path / out} {more}".split()) == code
        captured = capsys.readouterr()
        return captured.err if code else captured.out

    said = shown(run, "a", "")
    assert "5 samples late" in said and "--std, or in ecg_encoder_init" in said
    said = shown(run, "known", "--std 0.2,0.1")
    assert "/ecg --encode 0.2 0.1 < input.csv" in said  # to be tried as it is
    for out, std in (("b", "171.3,95.7"), ("c", "171.3 95.7")):  # as 'srnn stream' takes them, too
        report = json.loads(shown(run, out, f"--format int8 --inputs spikes --json --std {std}"))
        encoder = report["encoder"]
        assert encoder["std"] == list(STD)
        assert encoder["rule"] == "send_on_delta" and encoder["smoothing"] == 11
        header = (tmp_path / out / "ecg.h").read_text()
        assert "#define ECG_UP {8771, 4900}" in header  # 0.1 x 42 x std, rounded up
    digits = make_run(tmp_path / "digits", *DIGITS)
    assert "2 standard deviations" in shown(run, "d", "--std 1", 2)
    assert "--std takes comma-separated numbers" in shown(run, "d", "--std 1 x", 2)
    assert "raw ECG" in shown(digits, "d", "--std 1", 2)
    assert not (tmp_path / "d").exists()


@pytest.mark.slow
@every_compiler
def test_a_whole_raw_record(compiler: str, data_dir: Path, tmp_path: Path) -> None:
    """A record of the QT database as its converter gave it, some 225,000 samples: spikes and scores
    as training encodes it.

    int8 is exact. float32 rounds where the stream has float64: at most 1 step of 100,000 may
    differ, and the scores are those of its own spikes, to the bit.
    """
    wfdb = pytest.importorskip("wfdb")
    from srnn.data.datasets.qtdb_records import RECORDS, records_folder
    from srnn.training.runs import Run

    try:
        folder = records_folder(data_dir)
        raw = wfdb.rdrecord(str(folder / RECORDS["validation"][0]), physical=False)
    except SrnnError as error:
        pytest.skip(f"no records: {error}")
    signal = raw.d_signal.astype(float)
    std = tuple(float(value) for value in signal.std(axis=0))
    told = (
        "--network.neuron.threshold=0.2",
        "--task.options.scale=record",
        "--task.options.smoothing=7",  # with mains: test_mains.py
        "--task.options.mains=[]",
    )
    trained = Run.open(make_run(tmp_path / "run", *told, recipe="ecg-records")).trained()
    network, encoder = trained.network, trained.task.signal()
    assert isinstance(encoder, CrossingPath) and encoder.smoothing == 7
    expected = stream(encoder, signal, std)
    assert len(expected) == len(signal) and 0.01 < expected.mean() < 0.3
    for format in ("float32", "int8"):
        export_c(network, tmp_path / format, "heart", format, encoder=encoder)  # type: ignore[arg-type]
        device = device_network(network, encoder)
        model = quantise(device) if format == "int8" else device
        spikes = encoder.in_c(signal, std, format == "int8")
        differ = int((spikes != expected).any(1).sum())
        assert differ <= (0 if format == "int8" else len(signal) / 100_000), differ
        plan, part = make_plan(model, "heart"), slice(0, 30_000)
        found = from_signal(build(tmp_path / format, plan, compiler), signal[part], std)
        # But for the end that is none.
        np.testing.assert_array_equal(found[:-3], scores_of(model, spikes[part])[:-3])
