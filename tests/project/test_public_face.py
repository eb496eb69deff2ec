"""What ``import srnn`` offers: names that docs use, typed, and imported only when they are used."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import srnn

ROOT = Path(__file__).parents[2]


def test_every_name_is_there_and_listed() -> None:
    assert set(srnn.__all__) <= set(dir(srnn))
    for name in srnn.__all__:
        assert getattr(srnn, name).__name__.rpartition(".")[2].lower() == name.lower()
    assert not hasattr(srnn, "no_such_name")


def test_names_that_docs_take_from_the_root_are_public() -> None:
    texts = [path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]]
    blocks = [block for text in texts for block in re.findall(r"^```py\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]
    used = {name for block in blocks for name in re.findall(r"\bsrnn\.([A-Za-z]\w*)\(", block)}
    for block in blocks:
        for names in re.findall(r"^from srnn import (.+)$", block, re.MULTILINE):
            used |= {name.strip() for name in names.split(",")}
    assert {"load", "train", "SRNN"} <= used <= set(srnn.__all__)


def test_types_are_published_and_importing_loads_nothing_heavy() -> None:
    assert (Path(srnn.__file__).parent / "py.typed").is_file()
    code = "import sys, srnn; sys.exit(', '.join({'torch', 'numba', 'numpy', 'matplotlib'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
