"""Weights of someone who means harm: nothing of them is run, and a small file does not grow."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from paper.compat.weights import read_weights
from srnn import SrnnError
from srnn.files import LIMITS
from srnn.files.pickled import read_pickle

MOST = LIMITS["weights"].items


def _script(folder: Path, name: str, body: str) -> Path:
    """A TorchScript archive whose module runs ``body`` when it is loaded. Saving it runs nothing."""

    path = folder / "script.pth"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and what it saves can still be loaded
        module = type(name, (torch.jit.ScriptModule,), {})()
        module.define("def __getstate__(self):\n    return (torch.zeros(1), self.training)\n")
        module.define(
            f"def __setstate__(self, state: Tuple[Tensor, bool]) -> None:\n    self.training = state[1]\n    {body}\n"
        )
        torch.jit.save(module, path)
    return path


@pytest.mark.parametrize("body", ["write", "loop"])
def test_a_torchscript_archive_is_refused_and_not_run(tmp_path: Path, body: str) -> None:
    target = tmp_path / "owned"
    code = {
        "write": f"self.training = bool(torch.from_file({str(target)!r}, True, 8, dtype=torch.uint8).fill_(65)[0] > 0)",
        "loop": "i = 0\n    while self.training:\n        i += 1",
    }
    path = _script(tmp_path, body.title(), code[body])
    with zipfile.ZipFile(path) as archive:
        assert any("/code/" in name for name in archive.namelist())  # the attack is in it
    with pytest.raises(SrnnError, match=r"code/.*not .*weights") as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)
    assert not target.exists()


GLOBAL = {
    "tensor": b"ctorch._utils\n_rebuild_tensor_v2\n", "float": b"ctorch\nFloatStorage\n",
    "ordered": b"ccollections\nOrderedDict\n",
    "linear": b"ctorch.nn.modules.linear\nLinear\n", "net": b"c__main__\nNet\n",
}  # fmt: skip


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    return b"\x8a\x10" + value.to_bytes(16, "little", signed=True)


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(count: int = 6, key: str = "0", kind: bytes = GLOBAL["float"], more: bytes = b"") -> bytes:
    return b"(" + text("storage") + kind + text(key) + text("cpu") + number(count) + more + b"tQ"


def tensor(size: bytes = numbers(2, 3), stride: bytes = numbers(3, 1), offset: int = 0, of: bytes = storage()) -> bytes:
    return GLOBAL["tensor"] + b"(" + of + number(offset) + size + stride + b"\x89N" + b"tR"


def mapping(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def module(state: bytes, kind: str = "net") -> bytes:
    return GLOBAL[kind] + b")\x81" + state + b"b"


VALUES = np.arange(6, dtype="<f4")


def write_zip(path: Path, program: bytes, members: Mapping[str, bytes] = {}, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, content in {
            "data.pkl": b"\x80\x02" + program + b".",
            "version": b"3\n",
            "data/0": VALUES.tobytes(),
            **members,
        }.items():
            archive.writestr(f"archive/{name}" if not name.startswith("/") else name[1:], content)
    return path


def write_legacy(path: Path, program: bytes, keys: list[str] | None = None, tail: bytes | None = None) -> Path:
    about = pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {}}, 2)
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + about
    names = pickle.dumps(["0"] if keys is None else keys, 2)
    tail = struct.pack("<q", 6) + VALUES.tobytes() if tail is None else tail
    path.write_bytes(head + b"\x80\x02" + program + b"." + names + tail)
    return path


WRITERS = {"zip": write_zip, "legacy": write_legacy}


@pytest.mark.parametrize("form", WRITERS)
def test_the_readers_read_what_torch_would(tmp_path: Path, form: str) -> None:
    """Views with offsets and strides, an empty tensor, an ordered mapping with a state; modules within modules."""
    views = {
        "whole": tensor(),
        "turned": tensor(numbers(3, 2), numbers(1, 3)),
        "part": tensor(numbers(2), numbers(2), 1),
        "last": tensor(numbers(), numbers(), 5),
        "none": tensor(numbers(0, 7), numbers(7, 1)),
    }
    ordered = GLOBAL["ordered"] + b")R" + mapping(**views)[1:] + mapping(_metadata=b"}") + b"b"
    inner = module(mapping(_parameters=mapping(weight=tensor()), _buffers=b"}", _modules=b"}"), "linear")
    outer = module(mapping(_parameters=mapping(tau=views["part"]), _modules=mapping(i2h=inner), hidden=number(36)))
    expected = torch.arange(6.0)
    for program in (ordered, mapping(state_dict=mapping(**views), epoch=number(3))):
        found = read_weights(WRITERS[form](tmp_path / "w.pth", program))
        assert found["whole"].dtype == np.float32
        assert found["whole"].tolist() == expected.as_strided((2, 3), (3, 1)).tolist()
        assert found["turned"].tolist() == expected.as_strided((3, 2), (1, 3)).tolist()
        assert found["part"].tolist() == expected.as_strided((2,), (2,), 1).tolist()
        assert found["last"].tolist() == 5.0 and found["none"].shape == (0, 7)
        if form == "zip":
            assert torch.load(tmp_path / "w.pth", weights_only=True) is not None  # so the file is as torch writes them
    found = read_weights(WRITERS[form](tmp_path / "w.pth", outer))
    assert sorted(found) == ["i2h.weight", "tau"] and found["tau"].tolist() == [1.0, 3.0]


BEYOND: dict[str, bytes] = {
    "offset": tensor(offset=1),
    "shape": tensor(numbers(3, 3), numbers(3, 1)),
    "strides": tensor(numbers(2, 3), numbers(4, 1)),
    "negative offset": tensor(offset=-1),
    "negative stride": tensor(numbers(2), numbers(-1)),
    "negative shape": tensor(numbers(-1), numbers(1)),
    "expanded": tensor(numbers(2**40), numbers(0)),
    "wraps": tensor(numbers(2**62, 4), numbers(4, 1)),
    "empty and huge": tensor(numbers(0, 2**60), numbers(1, 1)),
    "fewer strides": tensor(numbers(2, 3), numbers(1)),
    "true for one": tensor(b"\x88\x85", numbers(1)),
    "fractions": tensor(b"G?\xf0\0\0\0\0\0\0\x85", numbers(1)),
    "65 axes": tensor(numbers(*[1] * 65), numbers(*[1] * 65)),
    "more in all": tensor(of=storage(7)),
    "less in all": tensor(numbers(2), numbers(1), of=storage(5)),
    "twice, differently": mapping(a=tensor(), b=tensor(of=storage(3)))[2:-1] + b"\x86",
    "no such storage": tensor(of=storage(key="9")),
    "storage elsewhere": tensor(of=storage(key="../data.pkl")),
    "2**40 numbers": tensor(of=storage(2**40)),
    "bfloat16": tensor(of=storage(3, kind=b"ctorch\nBFloat16Storage\n")),
    "a view of a storage": tensor(of=storage(more=text("1") + number(0) + number(2) + b"\x87")),
    "no storage": tensor(of=b"N"),
    "a persistent id that is a number": number(3) + b"Q",
    "the module's source": b"(" + text("module") + b"N" + text("name.py") + text("source") + b"tQ",
}  # fmt: skip


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("what", BEYOND)
def test_tensors_that_reach_beyond_their_numbers_are_refused(tmp_path: Path, what: str, form: str) -> None:
    path = WRITERS[form](tmp_path / "w.pth", mapping(weight=BEYOND[what]))
    with pytest.raises(SrnnError, match=r"w\.pth (cannot be read as|holds no) weights") as caught:
        read_weights(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def growing(step: bytes, times: int = 60) -> bytes:
    return step * times


ODD: dict[str, bytes] = {
    "nested pairs as a key": b"}" + b")" + growing(b"2\x86") + b"Ns",  # hashing it would take 2**60 steps
    "a float as a key": b"}" + b"G" + bytes(8) + b"Ns",
    "a large integer as a key": b"}" + number(2**61 - 1) + b"Ns",
    "a large integer": b"\x8b" + struct.pack("<I", 10**6) + b"\x7f" * 10**6,
    "an integer of 5000 digits": b"L" + b"9" * 5000 + b"L\n",
    "state for a mapping": b"}}b",
    "state for a list": b"]}b",
    "state for a class": GLOBAL["linear"] + b"}b",
    "state for a tensor's numbers": storage() + b"}b",
    "a call of what is no name": b"}" + b")R",
    "a call with a list": GLOBAL["linear"] + b"]R",
    "a set": b"\x8f",
    "an extension": b"\x82\x01",
    "an instance": b"(i__main__\nNet\n",
    "a persistent id as text": b"P0\n",
    "a buffer": b"\x97",
    "an empty stack": b"0" * 9,
    "no mark": b"t",
    "no memo": b"h\x07",
    "text that ends early": b"X\xff\xff\xff\x7f",
    "bytes of 2**60": b"\x8e" + struct.pack("<Q", 2**60),
    "half a pair": b"}(Nu",
    "items for a tuple": b")(NNu",
    "what no pickle has": b"\xff",
    "an end without a value": b"",
}


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("what", ODD)
def test_pickles_that_do_what_data_do_not_need_are_refused(tmp_path: Path, what: str, form: str) -> None:
    with pytest.raises(SrnnError, match=r"w\.pth cannot be read as weights") as caught:
        read_weights(WRITERS[form](tmp_path / "w.pth", ODD[what]))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize(
    "name",
    [
        b"ctorch\nload\n", b"ctorch\nfrom_file\n", b"ctorch\nhub.load\n", b"cos\nsystem\n", b"cbuiltins\neval\n",
        b"ctorch.nn\nModule\n", b"c__main__\nos.system\n", b"cSRNN_layers.x\na.b\n", b"ctorch._utils\n_rebuild_tensor\n",
        b"cnumpy.core.multiarray\n_reconstruct\n", text("os") + text("sys\ntem\x1b[2J") + b"\x93",
    ],
)  # fmt: skip
def test_names_of_other_things_are_refused(tmp_path: Path, name: bytes, form: str) -> None:
    with pytest.raises(SrnnError, match=r"^Refused to open .*w\.pth: it names .*nothing is run") as caught:
        read_weights(WRITERS[form](tmp_path / "w.pth", mapping(weight=name)))
    assert str(caught.value).isprintable()


def test_what_is_named_is_not_looked_up_or_called(tmp_path: Path) -> None:
    """Names that are known are notes too: a layer is not built, a set or a device not made, an OrderedDict given no state."""
    state = mapping(_parameters=mapping(weight=tensor()), forward=GLOBAL["linear"], __class__=GLOBAL["net"])
    extra = mapping(
        layer=GLOBAL["linear"] + numbers(10**9, 10**9) + b"R", device=b"ctorch\ndevice\n" + text("meta") + b"\x85R",
        numbers=b"cbuiltins\nset\n" + b"]\x85R", made=module(state), itself=b"}q\x01" + text("me") + b"h\x01s",
    )  # fmt: skip
    program = module(mapping(_parameters=mapping(tau=tensor()), _modules=b"}", more=extra))
    assert list(read_weights(write_zip(tmp_path / "w.pth", program))) == ["tau"]


def test_legacy_sources_are_passed_over_and_no_patch_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch.load compares the source code of a class with the file's, and writes the difference into <its name>.patch."""
    monkeypatch.chdir(tmp_path)
    kind = b"(" + text("module") + GLOBAL["linear"] + text("linear.py") + text("class Linear: evil") + b"tQ"
    program = (
        kind
        + b")\x81"
        + mapping(dump_patches=b"\x88", _parameters=mapping(weight=tensor(of=storage(more=b"N"))))
        + b"b"
    )
    assert list(read_weights(write_legacy(tmp_path / "w.pth", program))) == ["weight"]
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]


def test_modules_that_share_modules_end(tmp_path: Path) -> None:
    """Ten times itself, in each of sixteen levels: 10**16 ways through a file of 2 kB. And a module that holds itself."""
    program = module(b"}") + b"q\x00"
    for level in range(16):
        children = mapping(**{f"m{n}": b"h" + bytes([level]) for n in range(10)})
        program = program + b"0" + module(mapping(_modules=children)) + b"q" + bytes([level + 1])
    itself = GLOBAL["net"] + b")\x81q\x00" + mapping(_modules=mapping(me=b"h\x00")) + b"b"
    for content in (program, itself):
        with pytest.raises(SrnnError, match="it has too many modules, or they are nested too deeply"):
            read_weights(write_zip(tmp_path / "w.pth", content))


def test_modules_as_deep_as_the_limit_are_read_and_one_more_is_not(tmp_path: Path) -> None:
    program = module(mapping(_parameters=mapping(w=tensor())))
    for _ in range(LIMITS["weights"].depth):
        program = module(mapping(_modules=mapping(m=program)))
    (name,) = read_weights(write_zip(tmp_path / "w.pth", program))
    assert name == "m." * 16 + "w"
    with pytest.raises(SrnnError, match="too deep"):
        read_weights(write_zip(tmp_path / "w.pth", module(mapping(_modules=mapping(m=program)))))


def test_as_many_operations_as_the_limit_are_read_and_one_more_is_not() -> None:
    def read(program: bytes) -> Any:
        return read_pickle(io.BytesIO(program), lambda name: False, lambda value: value, 1000)

    assert len(read(b"(" + b"N" * 997 + b"t.")) == 997
    with pytest.raises(ValueError, match="more than 1000 operations"):
        read(b"(" + b"N" * 998 + b"t.")
    value = read(b"]q\x01" + b"2\x86" * 400 + b".")  # shared, not copied: 2**400 lists if somebody walked through it
    assert value[0] is value[1]


MEMBERS: dict[str, dict[str, bytes]] = {
    "code": {"code/__torch__.py": b"import os"},
    "constants": {"constants.pkl": b"\x80\x02)."},
    "model.json": {"model.json": b"{}"},
    "another root": {"/other/data.pkl": b"\x80\x02}."},
    "no root": {"/data.pkl": b"\x80\x02}."},
    "outside": {"/../archive/data/1": b""},
    "absolute": {"//etc/passwd": b""},
    "a folder": {"data/": b""},
    "a name with lines": {"data/0\n": b""},
    "big-endian": {"byteorder": b"big"},
    "no byteorder": {"byteorder": b""},
}


@pytest.mark.parametrize("what", MEMBERS)
def test_archives_with_other_members_are_refused(tmp_path: Path, what: str) -> None:
    with pytest.raises(SrnnError, match="cannot be read as weights"):
        read_weights(write_zip(tmp_path / "w.pth", mapping(w=tensor()), MEMBERS[what]))
    plain = {
        "version": b"3\n",
        "byteorder": b"little",
        ".data/serialization_id": b"1",
        ".format_version": b"1",
        ".storage_alignment": b"64",
    }
    assert list(read_weights(write_zip(tmp_path / "w.pth", mapping(w=tensor()), plain))) == ["w"]


def _encrypted(content: bytearray) -> None:
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + at] |= 1


def _overlapping(content: bytearray) -> None:
    """The last member begins where the first one does."""
    last = content.rindex(b"PK\x01\x02")
    content[last + 42 : last + 46] = struct.pack("<I", 0)


def _larger(content: bytearray) -> None:
    last = content.rindex(b"PK\x01\x02")
    content[last + 20 : last + 28] = struct.pack("<II", 2**31, 2**31)


@pytest.mark.parametrize("change", [_encrypted, _overlapping, _larger])
def test_archives_with_odd_members_are_refused(tmp_path: Path, change: Callable[[bytearray], None]) -> None:
    path = write_zip(tmp_path / "w.pth", mapping(w=tensor()))
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    with pytest.raises(SrnnError, match="cannot be read as weights"):
        read_weights(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_bombs_are_refused_unread(tmp_path: Path, method: int) -> None:
    path = write_zip(tmp_path / "w.pth", mapping(w=tensor()), {"data/1": bytes(10**7)}, method)
    assert path.stat().st_size < 2 * 10**4
    with pytest.raises(SrnnError, match=r"compressed|compressed by method"):
        read_weights(path)


def test_a_member_twice_and_too_many_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "w.pth", mapping(w=tensor()))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/data/0", bytes(24))
    with pytest.raises(SrnnError, match="twice"):
        read_weights(path)
    monkeypatch.setattr("paper.compat.weights._LIMITS", replace(LIMITS["weights"], items=60))
    write_zip(path, mapping(w=tensor()), {f"data/{n}": b"" for n in range(1, 58)})
    assert list(read_weights(path)) == ["w"]
    write_zip(path, mapping(w=tensor()), {f"data/{n}": b"" for n in range(1, 59)})
    with pytest.raises(SrnnError, match="more than 60 members"):
        read_weights(path)


@pytest.mark.parametrize(
    ("keys", "tail"),
    [
        (["0", "0"], None), (["0", "1"], None), ([], None), ([0], None), (["0"], b""), (["0"], struct.pack("<q", -1)),
        (["0"], struct.pack("<q", 2**60)), (["0"], struct.pack("<q", 6) + bytes(23)), ([["0"]], None),
    ],
)  # fmt: skip
def test_legacy_files_whose_numbers_are_not_there_are_refused(tmp_path: Path, keys: Any, tail: bytes | None) -> None:
    with pytest.raises(SrnnError, match="cannot be read as weights"):
        read_weights(write_legacy(tmp_path / "w.pth", mapping(w=tensor()), keys, tail))


def test_other_files_are_no_weights(tmp_path: Path) -> None:
    """A tar of the oldest torch, nothing, text, a pickle that is no weights; and a file larger than any weights."""
    path = tmp_path / "w.pth"
    for content in (b"", b"PK", b"text", pickle.dumps([1]), b"storages" + bytes(1016)):
        path.write_bytes(content)
        with pytest.raises(SrnnError, match="cannot be read as weights"):
            read_weights(path)
    with path.open("r+b") as file:
        file.truncate(LIMITS["weights"].bytes + 1)
    with pytest.raises(SrnnError, match="too large"):
        read_weights(path)
