"""Weights of someone who means harm: nothing of them is run, and a wrong file is one line."""

from __future__ import annotations

import os
import pickle
import sys
import types
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from paper.compat.weights import read_weights
from srnn import SrnnError

pytestmark = pytest.mark.robust


@pytest.mark.parametrize("body", ["write", "loop"])
def test_a_torchscript_archive_is_refused_and_not_run(tmp_path: Path, body: str) -> None:
    target, path = tmp_path / "owned", tmp_path / "script.pth"
    code = {
        "write": f"self.training = bool(torch.from_file({str(target)!r}, True, 8, "
        "dtype=torch.uint8).fill_(65)[0] > 0)",
        "loop": "i = 0\n    while self.training:\n        i += 1",
    }[body]
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # torch.jit is deprecated, and what it saves can still be loaded
        module = type(body.title(), (torch.jit.ScriptModule,), {})()
        module.define("def __getstate__(self):\n    return (torch.zeros(1), self.training)\n")
        module.define(
            "def __setstate__(self, state: Tuple[Tensor, bool]) -> None:\n    self.training = "
            f"state[1]\n    {code}\n"
        )
        torch.jit.save(module, path)
    with zipfile.ZipFile(path) as archive:
        assert any("/code/" in name for name in archive.namelist())  # the attack is in it
    with pytest.raises(
        SrnnError, match=r"cannot be read as weights.*TorchScript archives"
    ) as caught:
        read_weights(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert not target.exists()


class _Call:
    """A pickle of it calls the function when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "call",
    [
        _Call(os.system, "touch owned"),
        _Call(eval, "open('owned', 'w')"),
        _Call(torch.from_file, "owned", True, 8),
    ],
    ids=["system", "eval", "from_file"],
)
def test_names_of_other_things_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: _Call, zipped: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"w": torch.ones(2), "extra": call}, "w.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        SrnnError, match=r"^Refused to open .*w\.pth: it .*nothing is run"
    ) as caught:
        read_weights(Path("w.pth"))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400
    assert os.listdir() == ["w.pth"]


def _script(monkeypatch: pytest.MonkeyPatch, cls: type) -> None:
    """The class is one of a script, as the authors' are."""
    script = types.ModuleType("__main__")
    cls.__module__, cls.__qualname__ = "__main__", cls.__name__
    setattr(script, cls.__name__, cls)
    monkeypatch.setitem(sys.modules, "__main__", script)


def test_a_layer_is_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the class of a script nor one of torch is looked up or given its state."""

    class Net(nn.Module):
        def __setstate__(self, state: Any) -> None:
            raise AssertionError("it was built")

    _script(monkeypatch, Net)
    net = Net()
    net.tau, net.inner = nn.Parameter(torch.arange(3.0)), nn.Linear(2, 1)
    net.extra, net.device = {"more": [1, 2]}, torch.device("cpu")
    torch.save(net, tmp_path / "w.pth")
    monkeypatch.setattr(nn.Linear, "__setstate__", Net.__setstate__)
    found = read_weights(tmp_path / "w.pth")
    assert sorted(found) == ["inner.bias", "inner.weight", "tau"] and found["tau"].tolist() == [
        0.0,
        1.0,
        2.0,
    ]


def test_a_whole_module_of_an_old_torch_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Net(nn.Module):
        pass

    _script(monkeypatch, Net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch cannot find the source of a class made here
        torch.save(Net(), tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(
        SrnnError,
        match=r"a whole module \(__main__\.Net\) in the format of torch before 1\.6; save",
    ):
        read_weights(tmp_path / "w.pth")


def test_a_module_that_holds_itself_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Net(nn.Module):
        pass

    _script(monkeypatch, Net)
    net = Net()
    net._modules["me"] = net
    torch.save(net, tmp_path / "w.pth")
    with pytest.raises(SrnnError, match=r"cannot be read as weights.*nested too deeply"):
        read_weights(tmp_path / "w.pth")


def test_other_files_are_no_weights(tmp_path: Path) -> None:
    """Nothing, text, a pickle that is no weights, an archive of something else, numbers that numpy
    does not have."""
    path = tmp_path / "w.pth"
    for content in (b"", b"PK", b"text", pickle.dumps([1]), b"storages" + bytes(1016)):
        path.write_bytes(content)
        with pytest.raises(SrnnError, match=r"w\.pth") as caught:
            read_weights(path)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(SrnnError, match="cannot be read as weights"):
        read_weights(path)
    for other in ([torch.ones(2)], torch.ones(2), {"w": torch.ones(2, dtype=torch.bfloat16)}):
        torch.save(other, path)
        with pytest.raises(SrnnError, match="cannot be read as weights"):
            read_weights(path)
    torch.save({"epoch": 3}, path)
    with pytest.raises(SrnnError, match="holds no weights"):
        read_weights(path)
