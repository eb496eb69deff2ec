"""Products of bfloat16 numbers on the CPU backend's way back, where torch's matmul precision is "medium"."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from srnn import SRNN
from srnn.nn.kernels.cpu import compiler, tiles, weights
from srnn.nn.kernels.cpu.compiler import bf16_pairs
from srnn.nn.kernels.cpu.simd import PAIRS, TILES
from srnn.nn.kernels.problem import matmul_precision as asked
from support.kernels import cast, differentiate, make
from support.rounding import RoundedGoingBack, matmul_precision, rounded

pytest.importorskip("numba")

TIGHT = 2e-4
"""Sums in another order differ by up to 2e-5 in the Euclidean norm, where a gradient is small beside what it sums; a factor
beside a tie, rounded the other way, adds 1e-4. Without rounding, gradients of what weights multiply differ by 2e-3."""

OWN = compiler.bf16_pairs()

needs_bf16 = pytest.mark.skipif(
    OWN is None, reason="this processor has neither AVX512-BF16 nor AMX, the instructions that these tests are about"
)


@pytest.fixture(autouse=True)
def any_size(monkeypatch) -> None:
    """Tiles are used for layers of any size."""
    monkeypatch.setattr(compiler, "SMALLEST_TILED", 0)


def gradients(problem, precision: str, binary: bool = False) -> dict[str, torch.Tensor]:
    with matmul_precision(precision):
        return differentiate(cast(problem, torch.float32), "cpu", binary)


def differences(expected: dict[str, torch.Tensor], got: dict[str, torch.Tensor]) -> dict[str, float]:
    """Of each gradient, in the Euclidean norm, relative."""
    return {
        name: float((got[name] - value).double().norm() / value.double().norm().clamp_min(1e-30))
        for name, value in expected.items()
        if name.startswith("gradient")
    }


def assert_as_rounded(problem, binary: bool = False) -> None:
    """Values and every gradient as plain torch's with rounded factors."""
    with RoundedGoingBack():
        expected = differentiate(cast(problem, torch.float32), "reference", binary)
    got = gradients(problem, "medium", binary)
    if problem.neuron.emission == "spike" and problem.output == "emission":
        assert torch.equal(expected["output"], got["output"])
    for name, difference in differences(expected, got).items():
        assert difference <= TIGHT, f"{name} differs by {difference:.1e}"


@needs_bf16
@pytest.mark.parametrize("size", [1, 15, 16, 17, 31, 32, 33, 47, 70])
@pytest.mark.parametrize("recurrent", [True, False])
def test_every_gradient_is_plain_torchs_with_rounded_factors(size: int, recurrent: bool) -> None:
    assert_as_rounded(make(size=size, inputs=19, recurrent=recurrent, batch=11, steps=20, padded=True))


@pytest.mark.slow
@pytest.mark.skipif(OWN != TILES, reason="this processor has no AMX: vectors are its own way, and tested above")
@pytest.mark.parametrize("size", [17, 70])
def test_by_vectors_too(size: int, monkeypatch) -> None:
    monkeypatch.setattr(compiler, "bf16_pairs", lambda: PAIRS)
    assert_as_rounded(make(size=size, inputs=19, batch=11, steps=20, padded=True))


@needs_bf16
@pytest.mark.parametrize(
    "shape",
    [
        {"longest": 7}, {"recompute": True, "steps": 75}, {"binary": True, "inputs": 70},
        {"output": "membrane"}, {"batch": 1}, {"bias": False, "inputs": 1},
        *(pytest.param({"neuron": name}, marks=pytest.mark.slow) for name in ("adlif", "brf", "integrator", "relu")),
    ],
    ids=str,
)  # fmt: skip
def test_other_layers_too(shape: dict) -> None:
    assert_as_rounded(
        make(**{"size": 21, "batch": 9, "steps": 20, "padded": True, **shape}), shape.get("binary", False)
    )


@needs_bf16
def test_a_network_is_plain_torch_with_rounded_factors() -> None:
    """Between layers, into a readout, and to the input, whose own gradient is asked for."""
    found, x = [], torch.randn(9, 30, 5, generator=torch.Generator().manual_seed(4))
    for backend in ("reference", "cpu"):
        net = SRNN(5, [37, 18], 3, backend=backend, generator=torch.Generator().manual_seed(3))
        for layer in net.layers:
            layer.weight_in.data *= 8.0  # type: ignore[union-attr,operator]
        given = x.clone().requires_grad_()
        with RoundedGoingBack() if backend == "reference" else matmul_precision("medium"):
            result = net.run(given)
            assert result.layers[1].rate() > 0.01
            result.output.square().sum().backward()
        found.append({f"gradient of {name}": p.grad for name, p in [*net.named_parameters(), ("x", given)]})
    for name, difference in differences(*found).items():
        assert difference <= TIGHT, f"{name} differs by {difference:.1e}"


@needs_bf16
def test_against_float64() -> None:
    """bfloat16 numbers have eight bits: a factor is off by up to 0.2 %, and gradients here by less than 0.5 %."""
    problem = make(size=24, steps=30, batch=8)
    exact, coarse, fine = (
        differentiate(problem, "reference"),
        gradients(problem, "medium"),
        gradients(problem, "highest"),
    )
    assert torch.equal(exact["output"].float(), coarse["output"])
    assert max(differences(exact, coarse).values()) <= 5e-3
    assert max(differences(exact, fine).values()) <= 1e-4
    assert differences(exact, coarse)["gradient of x"] >= 1e-3


def test_nothing_changes_where_it_is_not_chosen() -> None:
    problem = make(size=24, batch=9, padded=True)
    fine, high, double = (
        gradients(problem, "highest"), gradients(problem, "high"), differentiate(problem, "cpu")
    )  # fmt: skip
    assert all(torch.equal(value, high[name]) for name, value in fine.items())
    with matmul_precision("medium"):
        again = differentiate(problem, "cpu")
    assert all(torch.equal(value, again[name]) for name, value in double.items())


@needs_bf16
def test_spikes_and_outputs_are_the_same_bits() -> None:
    problem = make(size=24, batch=9, padded=True)
    fine, coarse = gradients(problem, "highest"), gradients(problem, "medium")
    assert all(torch.equal(value, coarse[name]) for name, value in fine.items() if not name.startswith("gradient"))
    assert not torch.equal(fine["gradient of weight_rec"], coarse["gradient of weight_rec"])


@needs_bf16
def test_the_number_of_threads_changes_no_bit() -> None:
    problem, before, found = make(batch=150, steps=20, size=33, padded=True), torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(gradients(problem, "medium"))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_a_processor_without_them_says_so_once(monkeypatch) -> None:
    problem = make(size=20, batch=3, steps=5)
    fine = gradients(problem, "highest")
    monkeypatch.setattr(compiler, "bf16_pairs", lambda: None)
    compiler._warn_without_bf16.cache_clear()
    with pytest.warns(RuntimeWarning, match="no fast products of bfloat16 numbers .*: products stay in float32"):
        same = gradients(problem, "medium")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradients(problem, "medium")
    compiler._warn_without_bf16.cache_clear()
    assert all(torch.equal(value, same[name]) for name, value in fine.items())


AMX = "+avx512f,+avx512bf16,+amx-tile,+amx-bf16"


@pytest.mark.parametrize(
    ("name", "features", "permitted", "expected"),
    [
        (None, "+avx512f,+avx512bf16", True, PAIRS), (None, "+avx512f,-avx512bf16", True, None), ("generic", None, True, None),
        (None, AMX, True, TILES), (None, AMX, False, None), (None, AMX.replace("+amx-bf16", "-amx-bf16"), True, PAIRS),
    ],
)  # fmt: skip
def test_the_processor_is_the_one_compiled_for(name, features, permitted, expected, monkeypatch) -> None:
    """Where a system does not let AMX be used, vectors would be slower than float32."""
    monkeypatch.setattr("numba.config.CPU_NAME", name)
    monkeypatch.setattr("numba.config.CPU_FEATURES", features)
    monkeypatch.setattr(tiles, "permitted", lambda: permitted)
    assert bf16_pairs.__wrapped__() == expected


@pytest.mark.skipif(OWN != TILES, reason="this processor has no AMX")
def test_small_layers_stay_in_float32(monkeypatch) -> None:
    monkeypatch.setattr(compiler, "SMALLEST_TILED", 25)
    problem = make(size=24, batch=9)
    fine, coarse = gradients(problem, "highest"), gradients(problem, "medium")
    assert all(torch.equal(value, coarse[name]) for name, value in fine.items())


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "x86_64"), ("Linux", "aarch64")])
def test_no_other_system_is_asked_for_tiles(system: str, machine: str, monkeypatch) -> None:
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("ctypes.CDLL", lambda name: pytest.fail("asked"))
    assert not tiles.permitted()


def test_torchs_newer_settings_leave_products_exact(monkeypatch) -> None:
    """Beside ``torch.backends.cuda.matmul.fp32_precision`` torch refuses to say what the older setting is."""

    def refuse() -> str:
        raise RuntimeError("mix of the legacy and new APIs")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", refuse)
    assert asked() == "highest" and compiler.coarse_pairs(torch.float32, 99) is None


@needs_bf16
@pytest.mark.parametrize(("depth", "columns"), [(1, 1), (2, 16), (3, 17), (7, 32), (8, 33), (33, 50)])
@pytest.mark.parametrize("dtype", [PAIRS, TILES], ids=["vectors", "tiles"])
def test_pairs_are_torchs_bfloat16(depth: int, columns: int, dtype: np.dtype) -> None:
    matrix = torch.randn(depth, columns, generator=torch.Generator().manual_seed(depth))
    matrix.view(-1)[0] = float("nan") if columns == 17 else -0.0
    width, half = -(-columns // 16) * 16, (depth + 1) // 2
    half, across = (-(-half // 16) * 16, 16) if dtype == TILES else (half, 32)
    found = weights.packed(matrix.numpy(), dtype)
    wide = torch.zeros(2 * half, width)
    wide[:depth, :columns] = matrix
    pairs = rounded(wide).reshape(half, 2, width)
    panels = [pairs[:, :, c : c + across].transpose(1, 2).reshape(-1) for c in range(0, width, across)]
    numbers = torch.from_numpy(found.view(np.int16)).view(torch.bfloat16).float()
    np.testing.assert_array_equal(numbers, torch.cat(panels))  # a NaN equals a NaN
