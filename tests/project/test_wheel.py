"""The wheel, installed alone into an environment of its own: small, complete, and described without links that lead nowhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import zipfile
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from srnn.files.code_cache import folder_in_use
from support.pages import ROOT, program

LARGEST = 4_800_000
"""Bytes: a million of code, not quite four of the fifteen pretrained networks (the largest of 0.8; with batch norm they hold
their weights twice, as trained and folded), and what else is not code (pages' assets, recipes) has to be small."""


def run(*command: Any, folder: Path, **environment: str) -> str:
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-1000:]}{done.stderr[-3000:]}"
    return done.stdout


def walk_to_a_decision(srnn: Path, folder: Path) -> None:
    """From the installed wheel to live decisions of a pretrained network on a file, by the commands of docs/pretrained.md, in an
    environment that has compiled nothing yet. Prints the seconds of each (pytest -s)."""
    for words in (
        ["models"], ["models", "ecg-records", "--example", "heart.npy"], ["stream", "ecg-records", "heart.npy"],
        ["stream", "ecg-records", "heart.npy"],
    ):  # fmt: skip
        start = time.perf_counter()
        said = run(srnn, *words, folder=folder)
        print(f"srnn {' '.join(words)}: {time.perf_counter() - start:.1f} s")
    waves = re.findall(r"^ +[\d.]+ s +(\w+) +[\d.]+%", said, re.MULTILINE)
    assert len(waves) > 20 and set(waves) == {"P", "PQ", "QR", "RS", "ST", "TP"}


def walk_a_page(python: Path, page: str, folder: Path) -> None:
    """All that a page shows, from top to bottom, in a folder of its own. Prints the seconds (pytest -s)."""
    folder.mkdir()
    (folder / "walk.py").write_text(program(ROOT / page), encoding="utf-8")
    start = time.perf_counter()
    run(python, "walk.py", folder=folder, PATH=f"{python.parent}{os.pathsep}{os.environ['PATH']}")
    print(f"{page}: {time.perf_counter() - start:.1f} s")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_wheel_in_a_clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hatchling", reason="the wheel is built with hatchling, which .ci/run installs")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, ROOT, folder=tmp_path)
    (wheel,) = tmp_path.glob("srnn-*.whl")
    assert wheel.stat().st_size < LARGEST
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = message_from_bytes(archive.read(next(name for name in names if name.endswith("/METADATA"))))
    assert all(name.startswith("srnn") for name in names) and not any(
        re.search(r"test_|\.ipynb|\.git", n) for n in names
    )
    assets = {path.name for path in (ROOT / "src/srnn/measure/page/assets").iterdir()}
    assert assets <= {Path(name).name for name in names} and any(name.endswith("py.typed") for name in names)
    described = metadata.get_payload()
    assert metadata["Description-Content-Type"].startswith("text/markdown") and "## In Python" in described
    assert not re.search(r"\]\((?!https?:|#)", described)
    assert "The srnn authors" in (metadata["Author"] or metadata["Author-Email"])

    environment = tmp_path / "env"
    run(sys.executable, "-m", "venv", "--without-pip", environment, folder=tmp_path)
    python = environment / "bin" / "python"
    run(*pip, "--python", python, "install", "--no-deps", "--no-index", wheel, folder=tmp_path)
    # What it depends on comes from here: a path in a .pth file is searched, but its own .pth (our source) is not followed.
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = environment / "lib" / version / "site-packages"
    (site / "dependencies.pth").write_text(
        "\n".join(path for path in sys.path if path.endswith("site-packages")) + "\n"
    )
    where = run(python, "-c", "import srnn; print(srnn.__file__)", folder=tmp_path)
    assert Path(where.strip()).is_relative_to(site)
    srnn = environment / "bin" / "srnn"
    walk_to_a_decision(srnn, tmp_path)
    # Loops that this checkout has compiled are the wheel's as well: the rest need not compile them again.
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "srnn").symlink_to(str(folder_in_use()))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    walk_a_page(python, "docs/tutorials/own-sensor.md", tmp_path / "csv")  # a folder of CSV files to compiled C
    walk_a_page(python, "docs/tutorials/write-a-neuron.md", tmp_path / "neuron")  # equations to a trained network
    assert list((tmp_path / "csv" / "gestures_c").glob("*.c")) and (tmp_path / "neuron" / "drop_c" / "drop.c").is_file()
    assert "paper/ecg" in run(srnn, "recipes", folder=tmp_path)
    run(srnn, "train", "digits", "--out", "run", "--epochs", "1", "--network.hidden", "[8, 8]", folder=tmp_path)
    run(srnn, "report", "run", "--samples", "1", folder=tmp_path)
    assert "<script" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    run(srnn, "export", "c", "run", "--out", "c", "--layout", "arduino", folder=tmp_path)
    assert (tmp_path / "c" / "library.properties").is_file()
