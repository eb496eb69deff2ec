"""The exported C on the processors that it is for: compiled for Cortex-M and RISC-V, and run on an
emulated one, bit for bit."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from benchmarks.boards import PROCESSORS, sizes

from srnn.data.encoders import LevelCrossing
from srnn.data.signals import CrossingPath
from srnn.nn.fixedpoint.decision import softmax
from srnn.nn.fixedpoint.device import run_float32
from srnn.nn.loss_config import DecisionRule, LossConfig
from support.compiled import WARNINGS, every_format, ran
from support.emulated import DECIDING, built_board, compiled_for, needed, processors
from support.exporting import check_steps, exported, network, raw_states, run_steps, small

HEART = CrossingPath(LevelCrossing("send_on_delta", 0.1, 0.1), 2, smoothing=7)
DOUBLE = re.compile(r"__aeabi_(c?d\w+|\w+2d)|\w+df[0-9]?")
"""Of the compiler's own library: arithmetic of doubles, by software."""
ANY_FLOAT = re.compile(r"__aeabi_(c?[df]\w+|\w+2[df])|\w+[sd]f[0-9]?")


@pytest.mark.parametrize("processor", processors())
@every_format
def test_the_library_for_a_microcontroller(format: str, processor: str, tmp_path: Path) -> None:
    """No C library but memcpy and memset, no doubles, in int8 no floats, and no static memory."""
    plan, _ = small(tmp_path / "c", "alif", format, hidden=(36,), inputs=4, encoder=HEART)
    built = compiled_for(PROCESSORS[processor], tmp_path / "c")
    called = needed(PROCESSORS[processor], built)
    assert all(name in ("memcpy", "memset") or name.startswith("__") for name in called), called
    soft = format == "float32" and processor != "Cortex-M4F"
    assert not any((DOUBLE if soft else ANY_FLOAT).fullmatch(name) for name in called)
    assert any(ANY_FLOAT.fullmatch(name) for name in called) == soft
    text, data, bss = sizes(PROCESSORS[processor], built)
    assert data == bss == 0
    assert plan.flash_bytes < text < plan.flash_bytes + 3000


@pytest.mark.parametrize("processor", processors("Cortex-M0+"))
def test_spikes_under_way_take_no_division(processor: str, tmp_path: Path) -> None:
    """Which these processors have no instruction for."""
    delays = [{"input": 3, "recurrent": "uniform(0, 9)"}, {"recurrent": "uniform(0, 300)"}]
    exported(network(delays=delays), tmp_path / "c", "int8")
    called = needed(PROCESSORS[processor], compiled_for(PROCESSORS[processor], tmp_path / "c"))
    assert not [name for name in called if "div" in name]


@pytest.mark.parametrize("processor", processors("Cortex-M0+", "Cortex-M4F", "RV32IMAC"))
@every_format
def test_a_decision_for_a_microcontroller(format: str, processor: str, tmp_path: Path) -> None:
    """float32 calls expf, int8 has no floating point; names of classes are constants."""
    rule = DecisionRule(LossConfig("ce_sum_softmax", 3), ("a", "b"))
    plan, _ = small(tmp_path / "c", "alif", format, hidden=(36,), inputs=4, decision=rule)
    built = compiled_for(PROCESSORS[processor], tmp_path / "c")
    called = needed(PROCESSORS[processor], built)
    own = {name for name in called if not name.startswith("__")} - {"memcpy", "memset"}
    assert own == ({"expf"} if format == "float32" else set()), called
    odd = ANY_FLOAT if format == "int8" else DOUBLE
    assert not [name for name in called if odd.fullmatch(name)]
    text, data, bss = sizes(PROCESSORS[processor], built)
    assert data == bss == 0 and plan.flash_bytes < text < plan.flash_bytes + 4000


@pytest.mark.slow
@pytest.mark.parametrize(
    "processor", processors("Cortex-M0+", "Cortex-M4", "RV32IMAC", emulator=True)
)
def test_decisions_on_an_emulated_processor(processor: str, tmp_path: Path) -> None:
    """The integer softmax, its sums and the class, to the bit."""
    rule = DecisionRule(LossConfig("ce_sum_softmax", 3), ("a", "b"))
    plan, model = small(tmp_path / "c", "lif", hidden=(2,), decision=rule)
    assert plan.decision is not None and model.output_bits > 8
    kept = np.dtype([("scores", "i8", 2), ("part", "u4", 2), ("steps", "u4")], align=True)
    assert kept.itemsize == plan.decision.ram_bytes
    rng, before = np.random.default_rng(0), np.zeros(300, kept)
    before["scores"] = rng.integers(-(2**62), 2**62, (300, 2))
    before["steps"] = rng.integers(0, 8, 300)
    output = rng.integers(-(2**31), 2**31, (300, 2)) >> rng.integers(0, 20, (300, 1))
    output = output.astype(np.int32)
    pairs = zip(before, output, strict=True)
    given = b"".join(state.tobytes() + row.tobytes() for state, row in pairs)
    told = ran(*built_board(PROCESSORS[processor], tmp_path / "c", DECIDING), given=given)
    found = np.frombuffer(told, np.dtype([("label", "i4"), ("after", kept)]))
    part = softmax(output.astype(np.int64), model.output_bits)
    expected = np.where(before["steps"][:, None] <= 3, part, before["scores"] + part)
    np.testing.assert_array_equal(found["after"]["scores"], expected)
    np.testing.assert_array_equal(found["label"], expected.argmax(-1))
    np.testing.assert_array_equal(found["after"]["steps"], before["steps"] + 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "processor", processors("Cortex-M0+", "Cortex-M4", "RV32IMAC", emulator=True)
)
@pytest.mark.parametrize("width", [32, 16, 8])
def test_int8_on_an_emulated_processor(width: int, processor: str, tmp_path: Path) -> None:
    plan, model = small(tmp_path / "c", "alif", width=width, analog=width == 16, readout="alif")
    states, inputs = raw_states(plan, 300, spikes=True)
    command = built_board(PROCESSORS[processor], tmp_path / "c")
    check_steps(plan, model, states, inputs, run_steps(command, plan, states, inputs))


@pytest.mark.slow
@pytest.mark.parametrize("processor", processors(emulator=True))
@pytest.mark.parametrize("neuron", ["alif", "relu"])
def test_float32_on_an_emulated_processor(neuron: str, processor: str, tmp_path: Path) -> None:
    """The bits of the model in numpy, in software and by the floating-point unit."""
    plan, model = small(tmp_path / "c", neuron, "float32")
    states, inputs = raw_states(plan, 300, spikes=True)
    rng = np.random.default_rng(2)
    given = model.initial_state(len(states))
    for layer, part in zip(plan.layers, given, strict=True):
        for _, name in layer.state:
            values = states[layer.name][name]
            spikes = rng.integers(0, 2, values.shape)
            values[...] = spikes if name == "s" else rng.normal(size=values.shape)
            part[name] = values.copy()
    inputs[...] = rng.normal(size=inputs.shape) * (rng.random(inputs.shape) < 0.7)
    expected = run_float32(model, inputs[:, None], given)
    command = built_board(PROCESSORS[processor], tmp_path / "c")
    scores, after = run_steps(command, plan, states, inputs)
    np.testing.assert_array_equal(scores, expected.output[:, 0])
    for layer, part in zip(plan.layers, expected.state, strict=True):
        for _, name in layer.state:
            np.testing.assert_array_equal(after[layer.name][name], part[name])


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ in the PATH")
@every_format
def test_the_library_as_cpp(format: str, tmp_path: Path) -> None:
    small(tmp_path, "alif", format, inputs=4, encoder=HEART)
    warnings = [flag for flag in WARNINGS if "prototypes" not in flag]
    ran("g++", "-x", "c++", *warnings, "-c", "net.c", cwd=tmp_path)
