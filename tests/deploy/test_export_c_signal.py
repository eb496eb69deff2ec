"""The exported encoder: raw signal to scores, in C as in training's own stream."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import srnn
from srnn import SRNN, SrnnError
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
from support.compiled import SANITIZED, build, compilers
from support.hearts import Format, check_begins_again, from_signal, heart, scores_of
from support.refusing import refuses
from support.runs import DIGITS, make_run
from support.signals import two_leads

STD = (171.3, 95.7)
"""Of the leads; no change of integers is exactly a threshold, where float64 and exact arithmetic
may part."""


def stream(encoder: CrossingPath, signal: np.ndarray, std: tuple[float, ...] = STD) -> np.ndarray:
    """The spikes of the library's own streaming encoders, in float64."""
    chain = encoder.calibrated(scale=([1000.0, 1000.0], std)).stream()
    return np.concatenate([chain.push(signal), chain.flush()])


@pytest.mark.parametrize("compiler", compilers())
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


@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize("format", ["float32", "int8"])
def test_without_a_scale_a_level_crossing_has_thresholds_in_the_signals_unit(
    format: Format, compiler: str, tmp_path: Path
) -> None:
    encoder = CrossingPath(
        LevelCrossing("send_on_delta", 20.5, 13.0), 2, scale=([0.0, 0.0], [1.0, 1.0])
    )
    plan, model = heart(encoder, format, tmp_path / "c")
    signal = two_leads(500)
    program = build(tmp_path / "c", plan, compiler, *SANITIZED)
    np.testing.assert_array_equal(
        from_signal(program, signal, (1.0, 1.0)), scores_of(model, encoder.whole(signal))
    )
    up, down = (
        ("{21, 21}", "{13, 13}") if format == "int8" else ("{20.5f, 20.5f}", "{13.0f, 13.0f}")
    )
    header = (tmp_path / "c" / "heart.h").read_text()
    assert (
        f"#define HEART_UP {up}\n#define HEART_DOWN {down}\n" in header
        and "encoder_end" not in header
    )


@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize("format", ["float32", "int8"])
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
    check = tmp_path / "c" / "heart_main.c"  # how many bytes a compiler gives the encoder
    check.write_text(
        '#include "heart.h"\n#include <stdio.h>\n'
        'int main(void) { printf("%d", (int)sizeof(heart_encoder)); return 0; }\n'
    )
    assert int(build(tmp_path / "c", plan, compiler).text(given="")) == plan.encoder.ram_bytes
    text = re.sub(r"\s*\n \* ", " ", (tmp_path / "c" / "heart.h").read_text())
    for words in (
        f"{plan.encoder.ram_bytes} per encoder",
        "for the encoder 16 and 14",
        "7 samples, order 3",
        "a step is 3 samples late",
    ):
        assert words in text, words
    report = json.loads((tmp_path / "c" / "heart.json").read_text())
    assert report["ram_bytes"] == plan.state_bytes + plan.encoder.ram_bytes
    assert report["encoder"]["latency_samples"] == 3 and report["encoder"]["std"] == list(STD)


@pytest.mark.parametrize("compiler", compilers())
def test_an_encoder_has_the_bytes_that_are_said(compiler: str, tmp_path: Path) -> None:
    """Of one channel or several, padded or not."""
    lines, kinds = (
        ["#include <stdint.h>"],
        itertools.product((1, 2, 3), (0, 7), (None, 2.0), (None, 0)),
    )
    for number, (channels, smoothing, horizon, bits) in enumerate(kinds):
        path, name = (
            CrossingPath(LevelCrossing(), channels, 250.0, smoothing, horizon=horizon),
            f"n{number}",
        )
        plan = CrossingPlan(name, path, bits)
        lines += [
            f"#define {name.upper()}_INPUTS {path.inputs}",
            f"typedef float {name}_input;",
            plan.declaration(),
        ]
        lines.append(
            f"typedef char {name}_size[sizeof({name}_encoder) == {plan.ram_bytes} ? 1 : -1];"
        )
    (tmp_path / "sizes.c").write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [compiler, "-std=c99", "-fsyntax-only", tmp_path / "sizes.c"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_smoothing_weights_are_scipys() -> None:
    scipy = pytest.importorskip("scipy.signal")
    for window in (5, 7, 9, 11, 13):
        numerators, denominator = smoothing_rows(window)
        np.testing.assert_allclose(
            numerators / denominator,
            scipy.savgol_filter(np.eye(window), window, 3, axis=0),
            atol=1e-12,
        )
    assert [Fraction(int(n), smoothing_rows(7)[1]) for n in smoothing_rows(7)[0][3]] == [
        Fraction(n, 21) for n in (-2, 3, 6, 7, 6, 3, -2)
    ]


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
        report = srnn.from_network(SRNN.paper(4, [3], 2), "ab", signal=path).export(
            tmp_path / kind.__name__
        )
        assert ("encoder" in report) is encodes
    statistics = Statistics(np.zeros(2, np.float32), np.ones(2, np.float32))
    for kind, names in ((ScaledPath, {"input_mean", "input_std"}), (Squared, set())):
        assert (
            input_scale(
                srnn.from_network(SRNN.paper(2, [3], 2), "ab", signal=kind(2, 50.0, statistics))
            ).keys()
            == names
        )


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    net, crossing = SRNN.paper(4, [3], 2), LevelCrossing()
    with refuses("smoothing"):
        CrossingPath(crossing, 2, smoothing=6)
    with pytest.raises(SrnnError, match="2 standard deviations"):
        export_c(
            net, tmp_path / "c", encoder=CrossingPath(crossing, 2, smoothing=7).with_std((1.0,))
        )
    with refuses("std"):
        CrossingPath(crossing, 2, smoothing=7).with_std((1.0, 0.0))
    with pytest.raises(SrnnError, match="export it as float32"):
        export_c(
            net, tmp_path / "c", format="int8", encoder=CrossingPath(crossing, 2, smoothing=21)
        )
    export_c(net, tmp_path / "c", encoder=CrossingPath(crossing, 2, smoothing=21))


@pytest.mark.parametrize("compiler", compilers())
def test_samples_and_thresholds_beyond_int32_are_held(compiler: str, tmp_path: Path) -> None:
    encoder = CrossingPath(LevelCrossing("difference", 0.1, 0.1), 2, smoothing=7)
    plan, model = heart(encoder.with_std((1e8, 1e9)), "int8", tmp_path / "c")
    assert (
        f"#define HEART_UP {{420000000, {2**31 - 1}}}" in (tmp_path / "c" / "heart.h").read_text()
    )
    rng = np.random.default_rng(0)
    signal = rng.integers(-(2**31), 2**31, (50, 2))
    signal[25:, 0] = rng.choice([-2, 2], 25) * encoder.limit
    signal[:7, 1] = np.array([1, -1, -1, -1, 1, 1, -1]) * (
        2**31 - 1
    )  # the first change is larger than any int32
    program = build(tmp_path / "c", plan, compiler, *SANITIZED)
    lines = "\n".join(f"{a},{b}" for a, b in signal)
    found = np.array(
        [line.split(",") for line in program.text("--encode", "1e8", "1e9", given=lines).split()],
        int,
    )
    spikes = encoder.in_c(signal, (1e8, 1e9), True)
    assert spikes[1].tolist()[2:] == [0, 1] and not spikes[2:, 2:].any()
    np.testing.assert_array_equal(found, scores_of(model, spikes))


# ---- the command, and real records ------------------------------------------------------------------------------------------


def test_the_command_brings_training_along(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from srnn.cli.main import main

    told = ("--network.neuron.threshold=0.2", "--task.options.scale=record")
    run = str(make_run(tmp_path / "ecg", *told, recipe="ecg-records"))
    assert main(["export", "c", run, "--out", str(tmp_path / "a")]) == 0
    shown = capsys.readouterr().out
    assert (
        "5 samples late" in shown
        and "--std, or in ecg_encoder_init" in shown
        and "/ecg --encode STD ... <" in shown
    )
    assert main(["export", "c", run, "--out", str(tmp_path / "known"), "--std", "0.2,0.1"]) == 0
    assert "/ecg --encode 0.2 0.1 < input.csv" in capsys.readouterr().out  # to be tried as it is
    more = ["--format", "int8", "--inputs", "spikes", "--json", "--std"]
    for std in (["171.3,95.7"], ["171.3", "95.7"]):  # as 'srnn stream' takes them, too
        assert main(["export", "c", run, "--out", str(tmp_path / "b"), *more, *std]) == 0
        shown_as = json.loads(capsys.readouterr().out)["encoder"]
        assert shown_as["std"] == list(STD)
        shutil.move(tmp_path / "b", tmp_path / std[0])
    assert shown_as["rule"] == "send_on_delta" and shown_as["smoothing"] == 11
    assert (
        "#define ECG_UP {8771, 4900}" in (tmp_path / "171.3" / "ecg.h").read_text()
    )  # 0.1 x 42 x std, rounded up
    for words, message in (
        (["export", "c", run, "--out", str(tmp_path / "c"), "--std", "1"], "2 standard deviations"),
        (
            ["export", "c", run, "--out", str(tmp_path / "c"), "--std", "1", "x"],
            "--std takes comma-separated numbers",
        ),
        (
            [
                "export",
                "c",
                str(make_run(tmp_path / "digits", *DIGITS)),
                "--out",
                str(tmp_path / "c"),
                "--std",
                "1",
            ],
            "raw ECG",
        ),
    ):
        assert main(words) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


@pytest.mark.slow
@pytest.mark.parametrize("compiler", compilers())
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
    formats: tuple[Format, ...] = ("float32", "int8")
    for format in formats:
        export_c(network, tmp_path / format, "heart", format, encoder=encoder)  # type: ignore[arg-type]
        device = device_network(network, encoder)
        model = quantise(device) if format == "int8" else device
        spikes = encoder.in_c(signal, std, format == "int8")
        differ = int((spikes != expected).any(1).sum())
        assert differ <= (0 if format == "int8" else len(signal) / 100_000), differ
        plan, part = make_plan(model, "heart"), slice(0, 30_000)
        found = from_signal(build(tmp_path / format, plan, compiler), signal[part], std)
        np.testing.assert_array_equal(
            found[:-3], scores_of(model, spikes[part])[:-3]
        )  # but for the end that is none
