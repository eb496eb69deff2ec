"""The wheel, installed alone into an environment of its own: small, complete, and described without
links that lead nowhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import zipfile
from email import message_from_bytes
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from release.notebooks import agrees, text_of

from srnn.files.code_cache import folder_in_use
from support.pages import ROOT, code_cells

LARGEST = 5_300_000
"""Bytes: a million of code, about four of the sixteen pretrained networks (the largest of 0.8;
with batch norm they hold their weights twice, as trained and folded), and what else is not code
(pages' assets, recipes) has to be small."""

NEWCOMERS = ("docs/tutorials/read-an-ecg.md",)  # a WFDB record to intervals


def run(*command: Any, folder: Path) -> str:
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-1000:]}{done.stderr[-3000:]}"
    return done.stdout


class Installed(NamedTuple):
    """A wheel, and the programs of an environment into which it was installed."""

    wheel: Path
    programs: Path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    pytest.importorskip(
        "hatchling", reason="the wheel is built with hatchling, which .ci/run installs"
    )
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    run(
        *pip,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        folder,
        ROOT,
        folder=folder,
    )
    (wheel,) = folder.glob("srnn-*.whl")
    environment = folder / "env"
    run(sys.executable, "-m", "venv", "--without-pip", environment, folder=folder)
    programs = environment / "bin"
    run(
        *pip,
        "--python",
        programs / "python",
        "install",
        "--no-deps",
        "--no-index",
        wheel,
        folder=folder,
    )
    # What it depends on comes from here: a path in a .pth file is searched, but its own .pth (our
    # source) is not followed.
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = environment / "lib" / version / "site-packages"
    (site / "dependencies.pth").write_text(
        "\n".join(path for path in sys.path if path.endswith("site-packages")) + "\n"
    )
    where = run(programs / "python", "-c", "import srnn; print(srnn.__file__)", folder=folder)
    assert Path(where.strip()).is_relative_to(site)
    return Installed(wheel, programs)


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops that this checkout has compiled are the wheel's as well, and need not be compiled
    again."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "srnn").symlink_to(str(folder_in_use()))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))


@pytest.mark.slow
def test_the_wheel_is_small_and_complete(installed: Installed) -> None:
    assert installed.wheel.stat().st_size < LARGEST
    with zipfile.ZipFile(installed.wheel) as archive:
        names = archive.namelist()
        metadata = message_from_bytes(
            archive.read(next(name for name in names if name.endswith("/METADATA")))
        )
    assert all(name.startswith("srnn") for name in names)
    assert not any(re.search(r"test_|\.ipynb|\.git", name) for name in names)
    assets = {path.name for path in (ROOT / "src/srnn/measure/page/assets").iterdir()}
    assert assets <= {Path(name).name for name in names}
    assert any(name.endswith("py.typed") for name in names)
    described = metadata.get_payload()
    assert metadata["Description-Content-Type"].startswith("text/markdown")
    assert "## Install" in described
    assert not re.search(r"\]\((?!https?:|#)", described)
    assert "The srnn authors" in (metadata["Author"] or metadata["Author-Email"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_decisions_before_anything_is_compiled(installed: Installed, tmp_path: Path) -> None:
    """By the commands of docs/pretrained.md. Prints the seconds of each (pytest -s)."""
    for words in (
        ["models"],
        ["models", "ecg-records", "--example", "heart.npy"],
        ["stream", "ecg-records", "heart.npy"],
        ["stream", "ecg-records", "heart.npy"],
    ):
        start = time.perf_counter()
        said = run(installed.programs / "srnn", *words, folder=tmp_path)
        print(f"srnn {' '.join(words)}: {time.perf_counter() - start:.1f} s")
    waves = re.findall(r"^ +[\d.]+ s +(\w+) +[\d.]+%", said, re.MULTILINE)
    assert len(waves) > 20 and set(waves) == {"P", "PQ", "QR", "RS", "ST", "TP"}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("page", NEWCOMERS)
def test_a_newcomer_sees_what_the_page_shows(
    page: str, installed: Installed, tmp_path: Path
) -> None:
    """All of it, from top to bottom, in a folder of its own; the other pages are run where the site
    is built. Prints the seconds and the number of
    steps (pytest -s)."""
    folder = tmp_path / "newcomer"
    folder.mkdir()
    start = time.perf_counter()
    words = (installed.programs / "python", ROOT / "release" / "notebooks.py", ROOT / page, folder)
    executed = json.loads(run(*words, folder=folder))
    ran = [cell for cell in executed["cells"] if cell["cell_type"] == "code"]
    for cell, done in zip(code_cells(ROOT / page), ran, strict=True):
        assert agrees(cell.shown, text_of(done)), f"{page}: {cell.text}\n{text_of(done)}"
    print(f"{page}: {len(ran)} steps, {time.perf_counter() - start:.1f} s")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("compiled")
def test_commands_find_what_the_wheel_holds(installed: Installed, tmp_path: Path) -> None:
    srnn = installed.programs / "srnn"
    assert "paper/ecg" in run(srnn, "recipes", folder=tmp_path)
    words = ["train", "digits", "--out", "run", "--epochs", "1", "--network.hidden"]
    run(srnn, *words, "[8, 8]", folder=tmp_path)
    run(srnn, "report", "run", "--samples", "1", folder=tmp_path)
    assert "<script" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    run(srnn, "export", "c", "run", "--out", "c", "--layout", "arduino", folder=tmp_path)
    assert (tmp_path / "c" / "library.properties").is_file()
