"""The live page's scripts in Node, without a browser: its readers of files, and the compiled
network."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

import srnn.deploy.live as live

NODE = shutil.which("node")
_PAGE, _HERE = Path(live.__file__).parent, Path(__file__).parent
_AS_A_PAGE = """
const DATA = require("fs").readFileSync(process.argv[1], "utf8");
const $ = () => ({ textContent: DATA }), PIECE = 0.04, receive = () => {};
var model = JSON.parse(DATA).model;
"""
_USUAL = {
    "names": None,
    "spellings": [],
    "channels": 1,
    "rate": None,
    "stated": None,
    "chosen": "",
    "missing": "interpolate",
}


def _run(script: str, *arguments: object) -> Any:
    assert NODE is not None
    words = [NODE, "-e", script, "--", *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr[-2000:])
    return json.loads(done.stdout)


def read_in_page(files: list[Path], **wanted: Any) -> dict[str, Any]:
    """What the page makes of files: {samples, notes}, or {error}."""
    script = (_PAGE / "files.js").read_text() + (_HERE / "read_files.js").read_text()
    return _run(script, json.dumps(_USUAL | wanted), *files)


def samples_in_page(facts: dict[str, Any], values: np.ndarray) -> np.ndarray:
    """What a page with these facts makes of values (T, channels): samples of its C."""
    script = (
        _AS_A_PAGE + (_PAGE / "device.js").read_text() + (_HERE / "page_samples.js").read_text()
    )
    data = json.dumps({"facts": facts, "model": {}, "values": values.astype(np.float32).tolist()})
    return np.array(
        _run(
            script.replace(
                'require("fs").readFileSync(process.argv[1], "utf8")', "process.argv[1]"
            ),
            data,
        )
    )


def run_in_page(page: Path, samples: Path) -> dict[str, Any]:
    """What a page's network answers to float32 samples: {labels, probabilities, spikes, scores}."""
    embedded = page.read_text().split('<script id="page-data" type="application/json">')[1]
    content = page.with_suffix(".json")
    content.write_text(embedded.split("</script>")[0])
    parts = [_PAGE / "files.js", _PAGE / "device.js", _HERE / "run_device.js"]
    return _run(_AS_A_PAGE + "".join(part.read_text() for part in parts), content, samples)
