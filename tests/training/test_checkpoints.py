"""Checkpoints: what is written is read back to the bit; anything else on disk is one clear error,
whatever happened to it."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from srnn import SRNN, SrnnError
from srnn.files import write_atomically
from srnn.model.checkpoints import (
    Checkpoint,
    architecture,
    load_network,
    made_of,
    network_tensors,
    read_checkpoint,
    save_checkpoint,
)
from srnn.training.health import Watch
from srnn.training.optimisation import OPTIMIZERS
from srnn.training.state import TrainingState, load_optimizer, optimizer_tensors
from support.refusing import refuses


def _network(hidden: int = 4, seed: int = 0, **options) -> SRNN:
    return SRNN.paper(3, [hidden], 2, generator=torch.Generator().manual_seed(seed), **options)


def _write(path: Path, network: SRNN, **info) -> None:
    save_checkpoint(path, network_tensors(network), {"architecture": architecture(network), **info})


def test_round_trip_to_the_bit(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    network, numbers = _network(), [0.1, 1e-300, 2**60 + 1, float("inf")]
    _write(path, network, numbers=numbers, text='"sha256":"' + "0" * 64 + '"')
    other = _network(seed=1)
    checkpoint = read_checkpoint(path)
    load_network(other, checkpoint)
    for (name, a), (_, b) in zip(
        network.state_dict().items(), other.state_dict().items(), strict=True
    ):
        assert torch.equal(a, b), name
    assert checkpoint.info["numbers"] == numbers
    assert os.listdir(tmp_path) == ["c.safetensors"]


def test_an_optimisers_name_is_its_class() -> None:
    assert [optimizer.__name__.lower() for optimizer in OPTIMIZERS.values()] == list(OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimiser_goes_on_as_if_never_stored(name: str, tmp_path: Path) -> None:
    def step(network: SRNN, optimizer: torch.optim.Optimizer, times: int) -> None:
        for index in range(times):
            generator = torch.Generator().manual_seed(index)
            optimizer.zero_grad()
            network(torch.randn(2, 5, 3, generator=generator))[0].square().sum().backward()
            optimizer.step()

    straight = _network()
    optimizer = OPTIMIZERS[name](straight.parameters(), lr=1e-2)
    step(straight, optimizer, 3)
    save_checkpoint(
        tmp_path / "c", {**network_tensors(straight), **optimizer_tensors(optimizer)},
        {"architecture": architecture(straight)},
    )  # fmt: skip
    resumed = _network(seed=5)
    other = OPTIMIZERS[name](resumed.parameters(), lr=1e-2)
    load_network(resumed, read_checkpoint(tmp_path / "c"))
    load_optimizer(other, read_checkpoint(tmp_path / "c"))
    step(straight, optimizer, 3)
    step(resumed, other, 3)
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, dict[str, torch.Tensor]]:
    path = tmp_path_factory.mktemp("fuzz") / "c.safetensors"
    network = _network()
    _write(path, network)
    return (
        path,
        path.read_bytes(),
        {name: tensor.clone() for name, tensor in network.state_dict().items()},
    )


def _error_or_right(content: bytes, good: tuple[Path, bytes, dict[str, torch.Tensor]]) -> None:
    path, _, weights = good
    path.write_bytes(content)
    network = _network(seed=1)
    try:
        load_network(network, read_checkpoint(path))
    except SrnnError as error:
        assert "\n" not in str(error) and str(path) in str(error)
    else:
        assert all(
            torch.equal(network.state_dict()[name], tensor) for name, tensor in weights.items()
        )


def test_every_cut_is_refused(good: tuple[Path, bytes, dict[str, torch.Tensor]]) -> None:
    content = good[1]
    for length in [*range(0, len(content), 37), *range(40), len(content) - 1]:
        good[0].write_bytes(content[:length])
        with pytest.raises(SrnnError):
            read_checkpoint(good[0])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_or_harmless(
    good: tuple[Path, bytes, dict[str, torch.Tensor]], where: float, bit: int
) -> None:
    content = bytearray(good[1])
    content[int(where * len(content))] ^= 1 << bit
    _error_or_right(bytes(content), good)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200), keep=st.integers(0, 120))
def test_garbage_is_refused_or_harmless(
    good: tuple[Path, bytes, dict[str, torch.Tensor]], data: bytes, keep: int
) -> None:
    _error_or_right(good[1][:keep] + data, good)
    _error_or_right(good[1][:keep] + data + good[1][keep + len(data) :], good)


def test_other_architectures_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    _write(path, _network())
    checkpoint = read_checkpoint(path)
    for other in (
        _network(hidden=5),
        _network(neuron="lif"),
        _network(neuron={"name": "alif", "time_constants": "log"}),
        _network(recurrent=False),
        _network(readout="alif"),
        SRNN.paper(3, [4, 4], 2),
        SRNN.paper(3, [4], 2, bidirectional=True),
    ):
        before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
        with refuses(checkpoint.path, "file"):
            load_network(other, checkpoint)
        assert all(torch.equal(before[name], tensor) for name, tensor in other.state_dict().items())


@pytest.mark.parametrize("change", ["missing", "too many", "of another shape"])
def test_weights_of_the_same_architecture_that_do_not_fit_are_refused(
    change: str, tmp_path: Path
) -> None:
    network, path = _network(), tmp_path / "forged.safetensors"
    tensors = network_tensors(network)
    if change == "missing":
        del tensors["network.readout.bias"]
    else:
        tensors["network.more" if change == "too many" else "network.readout.bias"] = torch.zeros(5)
    save_checkpoint(path, tensors, made_of(network))
    with refuses(path, "file"):
        load_network(network, read_checkpoint(path))


def test_weights_in_double_precision_are_taken(tmp_path: Path) -> None:
    network, other = _network().double(), _network(seed=1)
    _write(tmp_path / "double.safetensors", network)
    load_network(other, read_checkpoint(tmp_path / "double.safetensors"))
    assert torch.equal(other.readout.weight_in, network.readout.weight_in.float())


@pytest.mark.parametrize("dtype", [torch.complex64, torch.uint64, torch.bool])
def test_delays_of_another_type_are_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    network = _network(delays={"recurrent": 2})
    tensors = network_tensors(network)
    tensors["network.layers.0.delay_rec"] = tensors["network.layers.0.delay_rec"].to(dtype)
    save_checkpoint(tmp_path / "forged.safetensors", tensors, made_of(network))
    with refuses(tmp_path / "forged.safetensors", "file"):
        load_network(network, read_checkpoint(tmp_path / "forged.safetensors"))


@pytest.mark.parametrize("delay", [-1, 4096, 2**62])
def test_delays_beyond_all_memory_are_refused(delay: int, tmp_path: Path) -> None:
    network = _network(delays={"recurrent": "uniform(0, 9)"})
    assert network.layers[0].delay_rec is not None
    _write(tmp_path / "good.safetensors", network)
    other = _network(seed=1, delays={"recurrent": 2})
    load_network(other, read_checkpoint(tmp_path / "good.safetensors"))
    assert torch.equal(other.layers[0].delay_rec, network.layers[0].delay_rec)  # type: ignore[arg-type]
    network.layers[0].delay_rec[1] = delay  # type: ignore[index]
    _write(tmp_path / "bad.safetensors", network)
    with pytest.raises(SrnnError, match="delay_rec': a delay is from 0 to 4,095 steps"):
        load_network(other, read_checkpoint(tmp_path / "bad.safetensors"))
    with refuses(tmp_path / "good.safetensors", "file"):
        load_network(_network(), read_checkpoint(tmp_path / "good.safetensors"))


def test_foreign_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SrnnError, match="was not found"):
        read_checkpoint(tmp_path / "none.safetensors")
    with pytest.raises(SrnnError, match="is a folder"):
        read_checkpoint(tmp_path)
    save_file({"weight": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(SrnnError, match="not a checkpoint of srnn"):
        read_checkpoint(tmp_path / "foreign.safetensors")
    save_checkpoint(tmp_path / "newer", {"network.a": torch.zeros(1)}, {"format": 99})
    with pytest.raises(SrnnError, match="format 99"):
        read_checkpoint(tmp_path / "newer")
    save_checkpoint(tmp_path / "older", {"network.a": torch.zeros(1)}, {"format": 0})
    with pytest.raises(SrnnError, match="format 0"):
        read_checkpoint(tmp_path / "older")
    save_checkpoint(tmp_path / "bare", {"network.a": torch.zeros(1)}, {})
    with refuses(tmp_path / "bare", "file"):
        load_network(_network(), read_checkpoint(tmp_path / "bare"))


@pytest.mark.parametrize(
    "change",
    [
        {"skipped": -1}, {"best_epoch": 0.5}, {"restores": True}, {"metrics_size": 2**53}, {"best": [math.inf]},
        {"inputs": [1.0]}, {"inputs": [1.0, math.nan]}, {"sums": {"loss": math.nan}}, {"recovers": 1},
        {"unhealthy": [3.5]}, {"start": [1]}, {"watch": {"steps": 1}}, {"watch": {**asdict(Watch()), "fired": 3}},
    ],
)  # fmt: skip
def test_a_state_that_no_training_writes_is_refused(change: dict[str, Any]) -> None:
    good = TrainingState(
        epoch=2, step=1, sums={"loss": 1.0}, best=[0.5, -1.0], best_epoch=2, inputs=[0.0, 1.0]
    )
    assert TrainingState.of(Checkpoint(Path("last"), {}, {"state": asdict(good)})) == good
    former = asdict(good)
    former["mends"], former["sick"] = former.pop("recovers"), former.pop("unhealthy")
    assert TrainingState.of(Checkpoint(Path("last"), {}, {"state": former})) == good
    with pytest.raises(
        SrnnError, match=r"^last(: | cannot be read as a checkpoint of this version's training)"
    ):
        TrainingState.of(Checkpoint(Path("last"), {}, {"state": asdict(good) | change}))


def test_what_is_copied_from_a_checkpoint_is_of_the_same_shape_and_kind() -> None:
    own = {"mean": torch.zeros(2, 3), "count": torch.zeros((), dtype=torch.int64)}
    good = {"mean": torch.ones(2, 3, dtype=torch.float64), "count": torch.tensor(5)}
    Checkpoint(Path("last"), good, {}).copy_to(own, "mean")
    assert own["mean"].sum() == 6 and own["count"] == 5
    for damage in (
        {"mean": torch.ones(3)},
        {"mean": torch.ones(2, 3, dtype=torch.int64)},
        {"count": torch.tensor(0.5)},
    ):
        with refuses("last", "file"):
            Checkpoint(Path("last"), good | damage, {}).copy_to(own, "mean of these")


def test_nothing_is_pickled(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    _write(path, _network())
    header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    assert json.loads(header["__metadata__"]["srnn"])["format"] == 1
    assert b"torch" not in path.read_bytes()


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SrnnError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
