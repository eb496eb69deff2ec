"""A trained network as one HTML file: the live page with the network's C, compiled to WebAssembly.

    model.export("ecg.html", format="web")        # {"bytes": ..., "wasm_bytes": ...}

The page needs no server and sends nothing: a phone's motion, the microphone, files and the model's
own examples are read, and decided on, where it is opened. Its answers are those of the exported C.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.signals import ScaledPath
from ...data.signals.scaled import FAR
from ...data.units import spellings
from ...errors import SrnnError
from ...files import write_atomically
from ..live import describe, page
from ..streaming import Decoder
from ..streaming.sources import open_source

if TYPE_CHECKING:
    from ...model.trained import Trained
    from ..c.project import Format

_FLAGS = (
    "-target",
    "wasm32-wasi",
    "-mexec-model=reactor",
    "-std=c99",
    "-O2",
    "-ffp-contract=off",
    "-s",
)


def write_page(
    trained: Trained, out: Path, library: Path, compiler: list[str], numbers: Format
) -> dict[str, Any]:
    """Compile a library that was exported for a page, and write the page around it.

    Args:
        trained: the model.
        out: the HTML file.
        library: the folder of the exported C, with page.json.
        compiler: the command of a compiler (``find_compiler``).
        numbers: those of the C, "int8" or "float32".

    Returns:
        The sizes of the page and of its WebAssembly, in bytes.

    Raises:
        SrnnError: the network's signal is not what the library takes (unsupported), or the C is not
            compiled (package).
    """
    from ...training.examples import kept_examples

    decoder = Decoder.of(trained)
    facts = json.loads((library / "page.json").read_text())
    if facts["channels"] != decoder.signal.channels:
        raise SrnnError(
            f"The signal of task {trained.task.name} is encoded by a path that is not exported as "
            "C, so that a page could not read it.",
            "unsupported",
            "task",
        )
    wasm = compiled(library, compiler)
    # What the page must know of the signal, to read it and to say what is unlike training's.
    path = decoder.signal
    about: dict[str, Any] = {
        "segment": decoder.segment,
        "far": FAR,
        "spellings": [sorted(spellings(unit)) if unit else [] for unit in path.units or ()],
    }
    if isinstance(path, ScaledPath) and path.statistics is not None:
        about |= {
            "means": path.statistics.mean.tolist(),
            "deviations": path.statistics.std.tolist(),
        }
    # The recordings that the model keeps, as float32.
    recordings = []
    for file in kept_examples(trained.folder) if trained.folder else ():
        samples = open_source(str(file), decoder.signal, 4096).whole().astype("<f4")
        content = base64.b64encode(np.ascontiguousarray(samples).tobytes()).decode()
        recordings.append({"name": file.stem, "samples": content})
    data = {
        "model": describe(trained.name, decoder),
        "facts": facts | about,
        "recordings": recordings,
        "wasm": base64.b64encode(wasm).decode(),
        "about": f"{trained.name}, {numbers}: {len(wasm) / 1000:.1f} kB of WebAssembly; "
        "all is computed on this device, and nothing is sent",
    }
    html = page("device", data).encode()
    write_atomically(out, html)
    return {"out": str(out), "bytes": len(html), "wasm_bytes": len(wasm), "format": numbers}


def find_compiler() -> list[str]:
    """The command of a C compiler that makes WebAssembly. SrnnError if there is none."""
    if find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    if zig := shutil.which("zig"):
        return [zig, "cc"]
    raise SrnnError(
        'A page needs a compiler to WebAssembly: pip install "srnn[web]"; in a copy of the source '
        'pip install ".[web]".',
        "package",
        "web",
    )


def compiled(library: Path, compiler: list[str]) -> bytes:
    """The WebAssembly of a library that was exported for a page.

    Args:
        library: the folder of the exported C.
        compiler: the command of a compiler (``find_compiler``).

    Raises:
        SrnnError: the C is not compiled (package).
    """
    sources = ["web.c", *(str(path.relative_to(library)) for path in (library / "src").glob("*.c"))]
    command = [*compiler, *_FLAGS, "-Isrc", "-o", "model.wasm", *sorted(sources), "-lm"]
    done = subprocess.run(command, cwd=library, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SrnnError(
            f"The C was not compiled to WebAssembly: {done.stderr.strip()[-500:]}",
            "package",
            compiler[0],
        )
    return (library / "model.wasm").read_bytes()
