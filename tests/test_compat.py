"""Published weights: read from .npz and from the authors' pickles, refused when they are something else."""

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

from srnn import SrnnError
from srnn.compat import load_published

SHAPES = {
    "i2h.weight": (36, 4), "i2h.bias": (36,), "h2h.weight": (36, 36), "h2h.bias": (36,), "h2o.weight": (6, 36), "h2o.bias": (6,),
    "tau_m_h": (36,), "tau_adp_h": (36,), "tau_m_o": (6,), "tau_adp_o": (6,),
}  # fmt: skip


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.uniform(1, 2, shape).astype(np.float32) for name, shape in SHAPES.items()}


def authors_module(arrays: dict[str, np.ndarray]) -> nn.Module:
    """A module like the authors', whose class lives in __main__ of a script that no longer exists."""

    class RNN_custom(nn.Module):
        pass

    model = RNN_custom()
    for name, (n_out, n_in) in {"i2h": (36, 4), "h2h": (36, 36), "h2o": (6, 36)}.items():
        linear = nn.Linear(n_in, n_out)
        linear.load_state_dict({part: torch.from_numpy(arrays[f"{name}.{part}"]) for part in ("weight", "bias")})
        setattr(model, name, linear)
    for name in ("tau_m_h", "tau_adp_h", "tau_m_o", "tau_adp_o"):
        setattr(model, name, nn.Parameter(torch.from_numpy(arrays[name])))
    return model


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("whole", [True, False], ids=["module", "state_dict"])
def test_npz_and_pickles_give_the_same_network(tmp_path: Path, arrays, whole: bool, zipped: bool) -> None:
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
                model if whole else model.state_dict(), tmp_path / "w.pth", _use_new_zipfile_serialization=zipped
            )
    finally:
        sys.modules["__main__"] = original
    one = load_published("ecg", tmp_path / "w.npz").network
    two = load_published("ecg", tmp_path / "w.pth").network
    for (name, left), (_, right) in zip(one.state_dict().items(), two.state_dict().items(), strict=True):
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
def test_code_in_a_pickle_is_refused_not_run(tmp_path: Path, arrays, monkeypatch, zipped: bool, attack: type) -> None:
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
    """Any damage is an SrnnError or leaves a loadable network; never another exception, never code run."""
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
