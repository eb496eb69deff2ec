"""Files with flipped bits, or cut anywhere: each is read as what it still says, or refused in one
line; never a crash, another exception, or a warning.

The fuzz targets (``fuzz/``) look for more; this is quick, and goes as far as a prediction.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fuzz.mending import mend_checkpoint, mend_npy, mend_zip

import srnn
from srnn import SrnnError
from srnn.cli.main import main
from srnn.data.recordings import read_recording

KEPT = Path(__file__).parents[1] / "fixtures" / "models"
SIGNAL = KEPT / "version-1-signal.npy"
MANY = pytest.param(500, marks=pytest.mark.robust)

Mend = Callable[[bytes], bytes]


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Cut, or with some bits flipped, half of the times in the header; or both."""
    changed, how = bytearray(content), rng.random()
    if how < 0.25:
        del changed[rng.randrange(len(content)) :]
    if changed and how > 0.15:
        near = min(len(changed), 256) if rng.random() < 0.5 else len(changed)
        for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
            changed[rng.randrange(near)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def refusal(read: Callable[[], Any]) -> str:
    """What it says where it refuses, which is one line; nothing where it does not."""
    try:
        read()
    except SrnnError as error:
        text = str(error)
        assert text.isprintable() and len(text) < 2048, repr(text)
        assert "allow_pickle" not in text
        return text
    return ""


@pytest.mark.parametrize("count", [100, MANY])
@pytest.mark.parametrize("version", [1, 2])
def test_a_damaged_model_is_refused_by_its_checksum(
    version: int, count: int, tmp_path: Path
) -> None:
    content = (KEPT / f"version-{version}.safetensors").read_bytes()
    path = tmp_path / "a.safetensors"
    for seed in range(count):
        path.write_bytes(changed := damaged(content, random.Random(seed)))
        assert changed == content or refusal(lambda: srnn.load(path)), seed


@pytest.mark.parametrize("count", [100, MANY])
@pytest.mark.parametrize("version", [1, 2])
def test_a_model_whose_checksum_was_made_to_fit_predicts_or_is_refused(
    version: int, count: int, tmp_path: Path
) -> None:
    content = (KEPT / f"version-{version}.safetensors").read_bytes()
    path, signal, predicted = tmp_path / "a.safetensors", np.load(SIGNAL), 0
    for seed in range(count):
        rng = random.Random(seed)
        changed = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 4])):
            changed[rng.randrange(8, len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(mend_checkpoint(bytes(changed)))
        predicted += not refusal(lambda: srnn.load(path).predict(signal).label)  # type: ignore[union-attr]
    assert predicted


def saved(write: Callable[[Any], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def sound(kind: str) -> bytes:
    import soundfile

    tone = 0.1 * np.sin(np.arange(400))
    return saved(lambda file: soundfile.write(file, tone, 8000, format=kind))


RECORDINGS: dict[str, tuple[Callable[[], bytes], Mend | None]] = {
    ".npy": (lambda: SIGNAL.read_bytes(), mend_npy),
    ".npz": (
        lambda: saved(lambda file: np.savez(file, signal=np.load(SIGNAL), rate=250.0)),
        mend_zip,
    ),
    "packed.npz": (
        lambda: saved(lambda file: np.savez_compressed(file, signal=np.load(SIGNAL))),
        mend_zip,
    ),
    ".csv": (lambda: saved(lambda file: np.savetxt(file, np.load(SIGNAL), delimiter=",")), None),
    ".wav": (lambda: sound("WAV"), None),
    ".flac": (lambda: sound("FLAC"), None),
}


@pytest.mark.parametrize("count", [60, MANY])
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_damaged_recording_is_read_or_refused(name: str, count: int, tmp_path: Path) -> None:
    make, mend = RECORDINGS[name]
    content, path, refused = make(), tmp_path / f"a{name}", 0
    path.write_bytes(content)
    assert not refusal(lambda: read_recording(path))
    for seed in range(count):
        rng = random.Random(seed)
        changed = damaged(content, rng)
        if mend is not None and rng.random() < 0.5:
            changed = mend(changed)
        path.write_bytes(changed)
        refused += bool(refusal(lambda: read_recording(path)))
    assert refused


def weights(zipped: bool) -> bytes:
    content = {"w": torch.ones(3, 2)}
    return saved(lambda file: torch.save(content, file, _use_new_zipfile_serialization=zipped))


def matlab() -> bytes:
    from scipy.io import savemat

    return saved(lambda file: savemat(file, {"x": np.ones((4, 2))}))


def table(file: Any) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    pandas.DataFrame({"a": [1.0, 2.0]}).to_parquet(file)


OTHERS: dict[str, Callable[[], bytes]] = {
    ".pth": lambda: weights(True),
    "old.pth": lambda: weights(False),
    ".mat": matlab,
    ".parquet": lambda: saved(table),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_neither_a_model_nor_a_recording_is_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its own name, and by that of what is expected."""
    content, model = OTHERS[name](), str(KEPT / "version-2.safetensors")
    for seed in range(6):
        changed = damaged(content, random.Random(seed)) if seed else content
        for other in (name, ".npy", ".npz", ".csv", ".wav", ".hea", ".txt", ".safetensors"):
            path = tmp_path / f"a{other}"
            path.write_bytes(changed)
            for words in (["predict", model, str(path)], ["predict", str(path), str(SIGNAL)]):
                assert main(words) == 2
                out, err = capsys.readouterr()
                assert out == "" and err.count("\n") == 1 and "Traceback" not in err
