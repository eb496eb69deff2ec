"""Published weights: read from .npz and from the authors' pickles, refused when they are something
else.

What the networks then compute is compared in ``test_golden_published.py``.
"""

from __future__ import annotations

import pickle
import random
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from paper.compat import PUBLISHED, describe_silent_units, load_published
from srnn import SrnnError
from srnn.nn.network import Layer
from support.restated import restate

SHAPES = {
    "i2h.weight": (36, 4), "i2h.bias": (36,), "h2h.weight": (36, 36), "h2h.bias": (36,), "h2o.weight": (6, 36), "h2o.bias": (6,),
    "tau_m_h": (36,), "tau_adp_h": (36,), "tau_m_o": (6,), "tau_adp_o": (6,),
}  # fmt: skip


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.uniform(1, 2, shape).astype(np.float32) for name, shape in SHAPES.items()}


def authors_module(arrays: dict[str, np.ndarray]) -> nn.Module:
    """A module like the authors', whose class lives in __main__ of a script that no longer
    exists."""

    class RNN_custom(nn.Module):
        pass

    model = RNN_custom()
    for name, (n_out, n_in) in {"i2h": (36, 4), "h2h": (36, 36), "h2o": (6, 36)}.items():
        linear = nn.Linear(n_in, n_out)
        linear.load_state_dict(
            {part: torch.from_numpy(arrays[f"{name}.{part}"]) for part in ("weight", "bias")}
        )
        setattr(model, name, linear)
    for name in ("tau_m_h", "tau_adp_h", "tau_m_o", "tau_adp_o"):
        setattr(model, name, nn.Parameter(torch.from_numpy(arrays[name])))
    return model


@pytest.mark.parametrize(
    ("whole", "zipped"),
    [(True, True), (False, True), (False, False)],
    ids=["module", "state_dict", "legacy state_dict"],
)
def test_npz_and_pickles_give_the_same_network(
    tmp_path: Path, arrays, whole: bool, zipped: bool
) -> None:
    np.savez(tmp_path / "w.npz", **arrays)  # type: ignore[arg-type]
    model = authors_module(arrays)
    script = types.ModuleType("__main__")
    original = sys.modules["__main__"]
    if whole:
        cls = type(model)
        cls.__module__, cls.__qualname__ = "__main__", "RNN_custom"
        script.RNN_custom = cls  # type: ignore[attr-defined]
        sys.modules["__main__"] = script
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch cannot find the source of a class made here
            torch.save(
                model if whole else model.state_dict(),
                tmp_path / "w.pth",
                _use_new_zipfile_serialization=zipped,
            )
    finally:
        sys.modules["__main__"] = original
    one = load_published("ecg", tmp_path / "w.npz").network
    two = load_published("ecg", tmp_path / "w.pth").network
    for (name, left), (_, right) in zip(
        one.state_dict().items(), two.state_dict().items(), strict=True
    ):
        assert torch.equal(left, right), name
    total = arrays["i2h.bias"] + arrays["h2h.bias"]
    assert np.allclose(one.layers[0].bias.detach().numpy(), total)
    assert np.allclose(one.time_constants()["readout.tau_mem"].numpy(), arrays["tau_m_o"])


class _Attack:
    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.touch, (Path(self.target),))


class _Builtin:
    def __reduce__(self):
        return (eval, ("open('owned', 'w').close()",))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("attack", [_Attack, _Builtin])
def test_code_in_a_pickle_is_refused_not_run(
    tmp_path: Path, arrays, monkeypatch, zipped: bool, attack: type
) -> None:
    monkeypatch.chdir(tmp_path)
    content = {name: torch.from_numpy(value) for name, value in arrays.items()}
    content["extra"] = attack("owned") if attack is _Attack else attack()
    torch.save(content, "evil.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(SrnnError, match="Refused") as error:
        load_published("ecg", "evil.pth")
    assert "\n" not in str(error.value)
    assert not Path("owned").exists()


def test_code_in_a_bare_pickle_and_in_npz_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bare.pth").write_bytes(pickle.dumps(_Builtin()))
    np.savez("evil.npz", x=np.array([_Builtin()], dtype=object))
    for name in ("bare.pth", "evil.npz"):
        with pytest.raises(SrnnError):
            load_published("ecg", name)
    assert not Path("owned").exists()


def test_other_networks_and_broken_files(tmp_path: Path, arrays) -> None:
    cases = {
        "missing": {k: v for k, v in arrays.items() if k != "h2o.bias"},
        "shape": arrays | {"i2h.weight": np.ones((40, 4), np.float32)},
        "kind": arrays | {"i2h.weight": np.ones((36, 4), np.int32)},
        "empty": {},
    }
    for name, content in cases.items():
        np.savez(tmp_path / f"{name}.npz", **content)  # type: ignore[arg-type]
        with pytest.raises(SrnnError):
            load_published("ecg", tmp_path / f"{name}.npz")
    with pytest.raises(SrnnError, match="no weights file"):
        load_published("ecg", tmp_path / "nowhere.npz")
    with pytest.raises(SrnnError, match="ecg"):
        load_published("ecgg", tmp_path / "missing.npz")


@pytest.mark.parametrize("suffix", ["npz", "pth", "legacy.pth"])
def test_truncated_and_flipped_files(tmp_path: Path, arrays, suffix: str) -> None:
    """Any damage is an SrnnError or leaves a loadable network; never another exception, never code
    run."""
    good = tmp_path / f"good.{suffix}"
    if suffix == "npz":
        np.savez(good, **arrays)  # type: ignore[arg-type]
    else:
        state = {name: torch.from_numpy(value) for name, value in arrays.items()}
        torch.save(state, good, _use_new_zipfile_serialization=suffix == "pth")
    content, rng = good.read_bytes(), random.Random(0)
    refused = 0
    for trial in range(120):
        damaged = bytearray(content)
        if trial % 2:
            damaged = damaged[: rng.randrange(len(damaged))]
        else:
            for _ in range(3):
                damaged[rng.randrange(min(len(damaged), 2000))] ^= 1 << rng.randrange(8)
        path = tmp_path / f"bad.{suffix}"
        path.write_bytes(damaged)
        try:
            load_published("ecg", path)
        except SrnnError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 50


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_every_parameter_has_a_published_name(name: str) -> None:
    recipe = PUBLISHED[name].recipe()
    network = recipe.build_network(recipe.create_task(), 0)
    assert set(PUBLISHED[name].names) == {own for own, _ in network.named_parameters()}
    layers = [module for module in network.modules() if isinstance(module, Layer)]
    assert len(layers) == len(PUBLISHED[name].recording.layers)
    assert all(
        layer.neuron.time_constants == "unconstrained" for layer in layers
    )  # loaded as they are


@pytest.fixture(scope="module")
def speech_commands() -> dict[str, np.ndarray]:
    """Weights in the layout of the published GSC network, unit 172 of its first layer NaN
    throughout."""
    return restate("gsc")[0]


NAN_ROWS = ("dense_1.dense.weight", "dense_1.dense.bias", "dense_1.tau_m", "dense_1.tau_adp")


def test_the_nan_unit_of_gsc_is_loaded_silent(tmp_path: Path, speech_commands) -> None:
    np.savez(tmp_path / "w.npz", **speech_commands)
    loaded = load_published("gsc", tmp_path / "w.npz")
    assert loaded.silent_units == {"layers.0": (172,)}
    (line,) = describe_silent_units(loaded.silent_units)
    assert "172" in line and "NaN" in line
    assert all(torch.isfinite(parameter).all() for parameter in loaded.network.parameters())
    x = torch.sign(torch.randn(4, 50, 120, generator=torch.Generator().manual_seed(0)))
    spikes = loaded.network.run(x).layers[0].output
    assert spikes[..., 172].sum() == 0 and spikes.sum() > 1000

    sound = dict(speech_commands)
    for name in NAN_ROWS:
        sound[name] = np.nan_to_num(sound[name], nan=5.0)
    np.savez(tmp_path / "sound.npz", **sound)
    loaded = load_published("gsc", tmp_path / "sound.npz")
    assert loaded.silent_units == {} and describe_silent_units(loaded.silent_units) == []


@pytest.mark.parametrize(
    "name", ["dense_1.dense.weight", "dense_1.tau_m", "rnn_1.recurrent.bias", "dense_2.dense.bias"]
)
def test_other_values_that_are_not_finite_are_refused(
    tmp_path: Path, speech_commands, name: str
) -> None:
    for unit, value in ((3, np.nan), (11, np.inf)):
        damaged = speech_commands | {name: speech_commands[name].copy()}
        damaged[name][unit] = value
        np.savez(tmp_path / "w.npz", **damaged)  # type: ignore[arg-type]
        with pytest.raises(SrnnError, match="not finite") as error:
            load_published("gsc", tmp_path / "w.npz")
        assert name in str(error.value)


@pytest.mark.parametrize("name", NAN_ROWS)
def test_a_unit_that_is_only_partly_nan_is_refused(
    tmp_path: Path, speech_commands, name: str
) -> None:
    partly = speech_commands | {name: np.nan_to_num(speech_commands[name], nan=1.0)}
    np.savez(tmp_path / "w.npz", **partly)  # type: ignore[arg-type]
    with pytest.raises(SrnnError, match="not finite"):
        load_published("gsc", tmp_path / "w.npz")


def test_time_constants_out_of_range_are_kept(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **restate("timit")[0])  # type: ignore[arg-type]
    network = load_published("timit", tmp_path / "w.npz").network
    assert network.time_constants()["layers.0.forward_layer.tau_adp"][7] == pytest.approx(-55.6)


def test_modules_of_the_authors_own_folder_of_layers(
    tmp_path: Path, speech_commands, monkeypatch
) -> None:
    """GSC and TIMIT were saved as modules whose classes live in a package SRNN_layers; nested, and
    read by attribute."""

    class Part(nn.Module):
        pass

    package, script = types.ModuleType("SRNN_layers"), types.ModuleType("SRNN_layers.spike_rnn")
    script.Part = Part  # type: ignore[attr-defined]
    Part.__module__, Part.__qualname__ = "SRNN_layers.spike_rnn", "Part"
    monkeypatch.setitem(sys.modules, "SRNN_layers", package)
    monkeypatch.setitem(sys.modules, "SRNN_layers.spike_rnn", script)
    model = Part()
    for key, value in speech_commands.items():
        *path, last = key.split(".")
        module: nn.Module = model
        for name in path:
            if name not in module._modules:
                module.add_module(name, Part())
            module = module.get_submodule(name)
        module.register_parameter(last, nn.Parameter(torch.from_numpy(value)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(model, tmp_path / "w.pth")
    np.savez(tmp_path / "w.npz", **speech_commands)
    monkeypatch.delitem(sys.modules, "SRNN_layers.spike_rnn")
    one, two = (
        load_published("gsc", tmp_path / f"w.{suffix}").network.state_dict()
        for suffix in ("npz", "pth")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
