"""Trained networks in C, under both compilers' warnings and sanitizers: spikes of the reference,
int8 of its integer model.

The published networks on the authors' recordings, and this project's pretrained ECG network on
whole sequences.
"""

from __future__ import annotations

import copy
import json
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from srnn import SRNN, SrnnError
from srnn.data.encoders import LevelCrossing
from srnn.data.signals import CrossingPath
from srnn.deploy.c import export_c
from srnn.deploy.c.arrays import DTYPES, index_types, pack_matrix
from srnn.deploy.c.plan import Plan, lstm_sizes, make_plan
from srnn.nn.fixedpoint.device import device_network, run_float32
from srnn.nn.fixedpoint.integer import InputFormat, quantise
from support.compiled import SANITIZED, build, every_compiler
from support.exporting import check_bits
from support.runs import make_run
from support.signals import two_leads

if TYPE_CHECKING:
    from paper.compat.recordings import Golden

SLOW = partial(pytest.param, marks=pytest.mark.slow)
TASKS = ["ecg", SLOW("smnist"), SLOW("shd"), SLOW("gsc")]


def exported(net: SRNN, folder: Path, inputs_as: InputFormat | None = None) -> tuple[Plan, Any]:
    """(plan, the device's model) of a network, float32, or int8 for inputs of that kind."""
    device = device_network(net)
    export_c(device, folder, "net", "float32" if inputs_as is None else "int8", inputs_as=inputs_as)
    model = device if inputs_as is None else quantise(device, inputs_as)
    return make_plan(model, "net"), model


def published(
    task: str, golden_dir: Path, checkpoint_dir: Path
) -> tuple[SRNN, Any, Golden, dict[str, np.ndarray], np.ndarray]:
    """(network, recording, its file, spikes by layer (T, B, size), input (B, T, inputs))."""
    from paper.compat import PUBLISHED, load_published
    from paper.compat.recordings import Golden

    weights, golden = checkpoint_dir / f"{task}.npz", golden_dir / f"golden_{task}.npz"
    if not weights.is_file() or not golden.is_file():
        pytest.skip(f"no {weights} or no {golden}")
    net, recording = load_published(task, weights).network, PUBLISHED[task].recording
    recorded = Golden(golden, False)
    layers = dict(zip(recording.layers, [*net.layers, net.readout], strict=True))
    spiking = [name for name, layer in layers.items() if layer.neuron.emission.binary]
    spikes = {name: recorded.spikes(name, layers[name].size) for name in spiking}
    steps = spikes[spiking[0]].shape[0]
    x = recorded.input(recording.input, net.inputs, steps, np.dtype(np.float32))
    return net, recording, recorded, spikes, x


@every_compiler
@pytest.mark.parametrize("task", TASKS)
def test_the_authors_recordings(
    task: str, compiler: str, golden_dir: Path, checkpoint_dir: Path, tmp_path: Path
) -> None:
    """Every recorded spike of the published networks, from the float32 C with sanitizers."""
    from paper.compat.replay import initial_state

    net, recording, recorded, spikes, x = published(task, golden_dir, checkpoint_dir)
    initial = initial_state(net, recording, recorded, len(x))
    plan, _ = exported(net, tmp_path / "c")
    program = build(tmp_path / "c", plan, compiler, *SANITIZED)
    for b in range(len(x)):
        first = np.zeros((), plan.state_dtype())
        for layer, state in zip(plan.layers, initial, strict=True):
            for _, name in layer.state:
                first[layer.name][name] = getattr(state, name)[b].numpy()
        _, states = program.run(x[b : b + 1], first, trace=True)
        for layer, name in zip(plan.layers, spikes, strict=False):
            if layer.keeps_emission:
                assert (states[layer.name]["s"][0] == spikes[name][:, b]).all(), (task, name, b)


@pytest.mark.slow
@every_compiler
@pytest.mark.parametrize("task", TASKS)
def test_int8_on_the_recordings_inputs(
    task: str, compiler: str, golden_dir: Path, checkpoint_dir: Path, tmp_path: Path
) -> None:
    """Every score and state of whole recordings is the integer model's."""
    net, *_, x = published(task, golden_dir, checkpoint_dir)
    inputs_as = InputFormat.measure(x)
    plan, model = exported(net, tmp_path / "c", inputs_as)
    check_bits(tmp_path / "c", plan, model, inputs_as.encode(x), compiler, *SANITIZED)


def crossings(steps: int) -> np.ndarray:
    """Spikes (2, steps, 4) of level crossing on something like an ECG."""
    encoder = CrossingPath(LevelCrossing("send_on_delta", 0.1, 0.1), 2, smoothing=7)
    signals = [two_leads(steps, seed) for seed in (1, 2)]
    return np.stack([encoder.in_c(signal, signal.std(axis=0)) for signal in signals])


@pytest.mark.slow
@every_compiler
@pytest.mark.parametrize("source", ["synthetic", SLOW("validation")])
def test_our_ecg_network_on_whole_sequences(
    source: str, compiler: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Every spike of the reference in float32; scores of both formats to the bit."""
    from srnn.data.batches import Sequences
    from srnn.model.opening import open_trained

    trained = open_trained(Path("ecg"))
    net, task = trained.spiking("exported"), trained.task
    if source == "synthetic":
        x = crossings(1301)
    else:
        try:
            sequences = Sequences(task, "validation", request.getfixturevalue("data_dir"))
        except SrnnError as error:
            pytest.skip(f"no ECG data: {error}")
        x = sequences.take(np.arange(0, len(sequences), 10)).x
        x = (x if isinstance(x, torch.Tensor) else x.dense(torch.float32)).numpy()
    assert x.shape[1:] == (1301, 4) and 0.01 < (x != 0).mean() < 0.5

    plan, model = exported(net, tmp_path / "float32")
    scores, states = build(tmp_path / "float32", plan, compiler, *SANITIZED).run(x, trace=True)
    assert (scores == run_float32(model, x).output).all()
    reference = copy.deepcopy(net.eval())
    layers = [*reference.layers, reference.readout]
    for layer in layers:
        layer.backend = "reference"
    start = tuple(
        layer.neuron.State(**{name: torch.from_numpy(value) for name, value in part.items()})
        for layer, part in zip(layers, model.initial_state(len(x)), strict=True)
    )
    with torch.no_grad():
        result = reference.run(torch.from_numpy(x), start)
    assert (states["layer0"]["s"] == result.layers[0].output.numpy()).all()
    assert (scores.argmax(-1) == result.output.numpy().argmax(-1)).all()

    whole = InputFormat().encode(x)
    plan, model = exported(net, tmp_path / "int8", InputFormat())
    check_bits(tmp_path / "int8", plan, model, whole, compiler, *SANITIZED)


# ---- the benchmark ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_page_of_the_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its whole command is on it; the C's counts are those of the theory."""
    pytest.importorskip("onnxruntime")
    if shutil.which("make") is None:
        pytest.skip("no make")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from benchmarks import device

    if not device.COMPILERS:
        pytest.skip("no C compiler (gcc, clang) on this machine")
    monkeypatch.setattr(device, "CALLS", 20)
    monkeypatch.setattr(device, "PASSES", 1)
    run, out = make_run(tmp_path / "digits", recipe="digits"), tmp_path / "out"
    words = f"device {run}:test --sequences 2 --compared 11 --out {out}"
    monkeypatch.setattr("sys.argv", words.split())
    device.main()
    (found,) = json.loads((out / "device.json").read_text())["networks"]
    counted, theory, told = found["float32"]["counted"], found["theory"], found["agreement"]
    heard = theory["synaptic_adds_per_step"] + theory["synaptic_multiply_adds_per_step"]
    unheard = theory["unheard_per_step"]
    assert counted["synaptic_adds"] == pytest.approx(heard - unheard, rel=1e-9) and unheard > 0
    assert told["sequences"] == 11 and told["spikes"] > 100
    assert told["onnx_greatest_difference"] < 1e-4
    for row in told["by_compiler"].values():
        assert row["c_equals_its_model"] and row["int8_equals_its_model"]
        assert row["spikes_that_differ"] == 0
    page = (out / "device.md").read_text()
    command = "python -m benchmarks.device runs/digits:test --sequences 2 --compared 11 --out DIR"
    assert f"`{command}`" in page and str(tmp_path) not in page
    assert f"{found['lstm']['int8']['flash_bytes']:,}" in page


def test_only_what_all_neurons_have_in_common_is_one_number() -> None:
    net = SRNN(2, [3], 2, neuron="lif", norm="none")
    with torch.no_grad():
        net.layers[0].params.tau_mem.copy_(torch.tensor([20.0, 30.0, 20.0]))
    coefficients = make_plan(device_network(net), "net").layers[0].coefficients
    leak = coefficients["leak"]
    assert isinstance(coefficients["threshold"], str)
    assert not isinstance(leak, str) and len(set(leak.values.tolist())) == 2


def test_weights_that_are_zero_are_told_from_those_that_are_stored() -> None:
    net = SRNN.paper(5, [12], 3)
    with torch.no_grad():
        net.layers[0].weight_in.zero_()  # type: ignore[operator, union-attr]
    report, left = make_plan(device_network(net), "net").report(), 12 * 12 + 3 * 12
    assert (report["weights"], report["weights_not_zero"]) == (12 * 5 + left, left)
    assert report["sparse"] == ["layer0_from_input"]


def test_an_lstm_of_the_same_size_is_counted() -> None:
    device = device_network(SRNN.paper(5, [12, 9], 3))
    weights, biases = 4 * 12 * (5 + 12) + 4 * 9 * (12 + 9) + 9 * 3, 4 * 12 + 4 * 9 + 3
    # Cells and outputs, and the gates of the larger layer.
    sizes = {"ram_bytes": 4 * (2 * (12 + 9) + 4 * 12), "multiply_adds_per_step": weights}
    for each in (4, 1):
        flash = each * weights + 4 * biases
        assert lstm_sizes(device, each) == {**sizes, "flash_bytes": flash}


@pytest.mark.parametrize(
    "size, presynaptic, types",
    [
        (255, 257, ("uint16_t", "uint8_t")),
        (256, 256, ("uint32_t", "uint8_t")),
        (257, 255, ("uint16_t", "uint16_t")),
    ],
)
def test_one_more_neuron_or_weight_takes_a_wider_index(
    size: int, presynaptic: int, types: tuple[str, str]
) -> None:
    large, small = np.ones((size, presynaptic)), np.ones((2, 3))
    assert index_types([large, small]) == index_types([small, large]) == types


@pytest.mark.parametrize("ctype", ["int8_t", "float"])
def test_a_matrix_takes_the_fewest_bytes(ctype: str) -> None:
    rng, packings = np.random.default_rng(0), set()
    for kept in range(31):
        matrix = rng.permutation((np.arange(30) < kept) * np.arange(1, 31)).reshape(5, 6)
        packed = pack_matrix("m", matrix, ctype, ("uint16_t", "uint8_t"), "")
        *where, weights = [constant.values for constant in packed.constants]
        dense = matrix.size * DTYPES[ctype].itemsize
        compressed = 2 * 7 + max(kept, 1) * (1 + DTYPES[ctype].itemsize)
        taken = sum(constant.bytes for constant in packed.constants)
        assert packed.kept == kept and taken == min(dense, compressed)
        packings.add(packed.sparse)
        if packed.sparse:
            starts, targets = where
            assert starts[0] == 0 and starts[-1] == kept
            rows = np.zeros((6, 5))
            for row, first, end in zip(rows, starts[:-1], starts[1:], strict=True):
                row[targets[first:end]] = weights[first:end]
            weights = rows
        np.testing.assert_array_equal(weights, matrix.T)
    assert packings == {False, True}
