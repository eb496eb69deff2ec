"""The inputs in the repository: one archive, ``corpora.zip``, of which nothing is unpacked by hand.

Its members are corpus/TARGET/NAME, which reach what the seeds alone do not, and
crashes/TARGET/NAME, which were findings once and are described in ``findings.json``. It is written
whole, sorted, undated and uncompressed: the same inputs are the same bytes, and git stores only
what has changed.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

HERE = Path(__file__).parent
ARCHIVE = HERE / "corpora.zip"
FINDINGS = HERE / "findings.json"


def read_inputs(*folders: str) -> dict[str, bytes]:
    """The inputs in these folders of the archive (``crashes/wfdb``; none: all of them), by name and
    in order."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        names = [
            name for name in archive.namelist() if not folders or name.rpartition("/")[0] in folders
        ]
        return {name: archive.read(name) for name in sorted(names)}


def write_inputs(inputs: Mapping[str, bytes]) -> None:
    """The archive anew, with these inputs."""
    with zipfile.ZipFile(ARCHIVE, "w") as archive:
        for name in sorted(inputs):
            archive.writestr(zipfile.ZipInfo(name), inputs[name])


def kept(target: str) -> dict[str, bytes]:
    """What is kept for a target: its corpus, and what was a finding once."""
    return read_inputs(f"corpus/{target}", f"crashes/{target}")


def replace_corpus(target: str, inputs: Mapping[str, bytes]) -> None:
    """A target's corpus anew; findings stay."""
    others = {
        name: data
        for name, data in read_inputs().items()
        if not name.startswith(f"corpus/{target}/")
    }
    write_inputs(others | {f"corpus/{target}/{name}": data for name, data in inputs.items()})


def add_findings(target: str, files: Collection[Path]) -> None:
    """Files that are findings of a target, kept by their own names."""
    write_inputs(
        read_inputs() | {f"crashes/{target}/{path.name}": path.read_bytes() for path in files}
    )


def prune(targets: Collection[str]) -> None:
    """Only what belongs to these targets stays, in the archive and in ``findings.json``."""
    write_inputs(
        {name: data for name, data in read_inputs().items() if name.split("/")[1] in targets}
    )
    described = [item for item in read_descriptions() if item["target"] in targets]
    FINDINGS.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def read_descriptions() -> list[dict[str, str]]:
    """What each finding was: target, input, kind and what."""
    return json.loads(FINDINGS.read_text(encoding="utf-8"))
