"""The published ECG network, replayed: our dynamics and gradients are those of the authors' code.

The golden files hold what the authors' functions computed with the published weights on fixed
inputs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import srnn
from paper.compat import load_published
from support.kernels import CPU_BACKENDS

# Published parameter -> ours. The two biases of a layer have the same gradient as our one.
GRADIENTS = {
    "i2h.weight": "layers.0.weight_in",
    "h2h.weight": "layers.0.weight_rec",
    "i2h.bias": "layers.0.bias",
    "h2h.bias": "layers.0.bias",
    "tau_m_h": "layers.0.params.tau_mem",
    "tau_adp_h": "layers.0.params.tau_adp",
    "h2o.weight": "readout.weight_in",
    "h2o.bias": "readout.bias",
    "tau_m_o": "readout.params.tau_mem",
    "tau_adp_o": "readout.params.tau_adp",
}
SURROGATES = {"MG": "multi_gaussian", "G": "gaussian", "linear": "linear", "slayer": "slayer"}


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> dict[str, np.ndarray]:
    with np.load(golden_dir / "golden_ecg.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


@pytest.fixture(scope="module")
def golden_gradients(golden_dir: Path) -> dict[str, np.ndarray]:
    with np.load(golden_dir / "golden_ecg_grad.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def network(
    checkpoint_dir: Path, dtype: torch.dtype, backend: str, surrogate: str = "multi_gaussian"
) -> srnn.SRNN:
    net = load_published("ecg", checkpoint_dir / "ecg.npz").network.to(dtype)
    for layer in [*net.layers, net.readout]:
        layer.backend = backend
        layer.surrogate = srnn.nn.surrogates.as_surrogate(surrogate)
    return net


def initial_state(
    net: srnn.SRNN, draws_h: np.ndarray, draws_o: np.ndarray, dtype: torch.dtype
) -> tuple:
    """u = s = the golden file's draw, e = .01."""

    def one(draw: np.ndarray) -> srnn.ALIF.State:
        u = torch.from_numpy(draw).to(dtype)
        return srnn.ALIF.State(u=u, e=torch.full_like(u, 0.01), s=u.clone())

    return one(draws_h), one(draws_o)


@pytest.mark.parametrize("backend", CPU_BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dynamics(golden: dict, checkpoint_dir: Path, dtype: torch.dtype, backend: str) -> None:
    net = network(checkpoint_dir, dtype, backend)
    x = torch.from_numpy(golden["x"]).to(dtype)
    state = initial_state(net, golden["init_h"], golden["init_o"], dtype)
    hidden = net.run(x, state).layers[0].output.detach().transpose(0, 1).numpy()
    assert np.array_equal(hidden, golden["spike_h"])
    output = net.run(x, state).output
    logp = torch.log_softmax(output[:, 10:].detach(), -1).transpose(0, 1).numpy()
    assert np.abs(logp - golden["logp"]).max() < 3e-5
    if dtype == torch.float64:
        assert np.abs(logp - golden["f64_logp"]).max() < 1e-6
    loss = -logp[np.arange(1291)[:, None], np.arange(2), golden["y"].T[10:].clip(0)].mean(1).sum()
    assert loss == pytest.approx(float(golden["loss"]), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_traces(golden: dict, checkpoint_dir: Path, dtype: torch.dtype) -> None:
    net = network(checkpoint_dir, dtype, "reference")
    result = net.run(
        torch.from_numpy(golden["x"]).to(dtype),
        initial_state(net, golden["init_h"], golden["init_o"], dtype),
        record=("u", "e", "s", "v", "current"),
    )
    for layer, suffix in zip(result.layers, ("h", "o"), strict=True):
        trace = {
            name: value.detach().transpose(0, 1).numpy() for name, value in layer.traces.items()
        }
        assert np.array_equal(trace["s"], golden[f"spike_{suffix}"])
        expected = {
            "u": golden[f"mem_{suffix}"],
            "e": golden[f"b_{suffix}"],
            "current": golden[f"cur_{suffix}"],
            "v": golden[f"mem_{suffix}"] - golden[f"theta_{suffix}"],
        }
        for name, value in expected.items():
            assert np.abs(trace[name] - value).max() < 4e-4, name
        if dtype == torch.float64:
            assert (
                np.abs(trace["u"] - golden[f"f64_mem_{suffix}"]).max() < 1e-4
            )  # stored there in float32


def test_released_script_threshold(golden: dict, checkpoint_dir: Path) -> None:
    """The same weights with threshold .01, the first 200 steps."""
    net = network(checkpoint_dir, torch.float32, "reference")
    for layer in [*net.layers, net.readout]:
        layer.params.set_values(threshold=torch.full((layer.size,), 0.01))
    state = initial_state(net, golden["b001_init_h"], golden["b001_init_o"], torch.float32)
    result = net.run(torch.from_numpy(golden["x"][:, :200]).float(), state, record=("u", "s"))
    for layer, suffix in zip(result.layers, ("h", "o"), strict=True):
        assert np.array_equal(
            layer.traces["s"].transpose(0, 1).detach().numpy(), golden[f"b001_spike_{suffix}"]
        )
        assert (
            np.abs(
                layer.traces["u"].transpose(0, 1).detach().numpy() - golden[f"b001_mem_{suffix}"]
            ).max()
            < 4e-4
        )


@pytest.mark.parametrize("backend", CPU_BACKENDS)
@pytest.mark.parametrize(
    ("prefix", "steps", "surrogate"),
    [
        ("", 1301, "MG"),
        ("T11_MG_", 11, "MG"),
        *(
            pytest.param(f"T100_{name}_", 100, name, marks=() if name == "MG" else pytest.mark.slow)
            for name in SURROGATES
        ),  # for each of the other surrogates the whole layer is compiled
    ],
)
def test_gradients(
    golden_gradients: dict,
    checkpoint_dir: Path,
    backend: str,
    prefix: str,
    steps: int,
    surrogate: str,
) -> None:
    golden = golden_gradients
    net = network(checkpoint_dir, torch.float64, backend, SURROGATES[surrogate])
    scale = float(golden["b_j0"])
    x = torch.from_numpy(golden["x"][:, :steps]).double().requires_grad_()
    state = initial_state(
        net,
        golden["init_uniform_h"].astype("f8") * scale,
        golden["init_uniform_o"].astype("f8") * scale,
        torch.float64,
    )
    output, _ = net(x, state)
    target = torch.from_numpy(golden["y"][:, 10:steps].clip(0).astype("i8"))
    logp = torch.log_softmax(output[:, 10:], -1)
    loss = -logp.gather(-1, target[..., None])[..., 0].mean(0).sum()
    assert float(loss.detach()) == pytest.approx(float(golden[f"{prefix}loss_f64"]), rel=1e-9)
    loss.backward()
    assert x.grad is not None
    for theirs, ours in GRADIENTS.items():
        gradient = net.get_parameter(ours).grad
        assert gradient is not None, ours
        expected = golden[f"{prefix}grad64_{theirs}"]
        error = np.abs(gradient.numpy() - expected).max() / max(np.abs(expected).max(), 1e-300)
        assert error < 1e-6, (theirs, error)
    if f"{prefix}grad64_x" in golden:
        expected = golden[f"{prefix}grad64_x"]
        assert np.abs(x.grad.numpy() - expected).max() < 1e-6 * np.abs(expected).max()
