"""How figures look is this project's to say: nothing in the current folder has a word in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DRAWS = """
from srnn.measure import style
with style.context():
    from matplotlib.figure import Figure
    figure = Figure()
    figure.subplots().set_title("$x$")
    print(len(style.rendered(figure, "svg")))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        b"text.usetex: True\naxes.facecolor: red\nbackend: module://evil\n",
        pytest.param(b"\xff\xfe", marks=pytest.mark.slow),
    ],
)
def test_matplotlibrc_in_the_current_folder_has_no_say(settings: bytes, tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit(9)")
    (tmp_path / "matplotlibrc").write_bytes(settings)
    ended = subprocess.run(
        [sys.executable, "-c", DRAWS], cwd=tmp_path, capture_output=True, text=True
    )
    if settings.startswith(b"\xff"):
        assert "matplotlibrc cannot be read as settings of matplotlib" in ended.stderr
    else:
        assert ended.stdout == _plain(), ended.stderr


def _plain() -> str:
    return subprocess.run(
        [sys.executable, "-c", DRAWS], capture_output=True, text=True, check=True
    ).stdout
