"""From names to files: every table and figure that was asked for, rendered whole before the first
file is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from srnn.errors import SrnnError, nearest
from srnn.files import locks, write_atomically
from srnn.measure import style

from .costs import figure2, figure_s2
from .evidence import Evidence, gather
from .figure1 import figure1
from .figure3 import figure3
from .figure4 import figure4
from .figure_s1 import figure_s1
from .settings import settings_table
from .sheet import Sheet
from .table import Table
from .tables import accuracy_table

Maker = Callable[[Evidence], "Table | Sheet"]
MAKERS: dict[str, Maker] = {
    "table1": lambda evidence: accuracy_table("table1", evidence),
    "table2": lambda evidence: accuracy_table("table2", evidence),
    "tableS1": lambda evidence: settings_table(),
    "tableS2": lambda evidence: accuracy_table("tableS2", evidence),
    "fig1": figure1,
    "fig2": figure2,
    "fig3": figure3,
    "fig4": figure4,
    "figS1": figure_s1,
    "figS2": figure_s2,
}
"""By the names of the command line."""


@locks("out")
def reproduce(
    names: Sequence[str],
    out: Path | str,
    results: Path | str | None = None,
    runs: Sequence[Path | str] = (),
    data_dir: Path | None = None,
    formats: Sequence[str] = style.FORMATS,
) -> dict[str, Table | Sheet]:
    """Make tables and figures and write them into ``out``.

    Args:
        names: of ``MAKERS``, or "all".
        results: folder of summaries and sweeps; None: paper/results.
        runs: run folders that add details (checkpoints, full evaluations), or count by themselves.
        data_dir: folder of the data; None: SRNN_DATA.
        formats: of the figures: svg, pdf, png.

    A table is written as NAME.md, NAME.csv and NAME.json; a figure in each format, and as NAME.json
    (its panels, with the numbers they show). Returns what was made, by name. Raises SrnnError for
    an unknown name, a damaged file, or a folder that cannot be written; then nothing is written.
    """
    wanted = _names(names)
    forms = style.check_formats(list(formats))
    evidence = gather(
        None if results is None else Path(results), [Path(run) for run in runs], data_dir
    )
    made: dict[str, Table | Sheet] = {}
    files: dict[str, bytes] = {}
    with style.context():
        for name in wanted:
            one = MAKERS[name](evidence)
            made[name] = one.finish() if isinstance(one, Sheet) else one
            files |= _files(made[name], forms)
    for name, content in files.items():
        write_atomically(Path(out) / name, content)
    return made


def _names(names: Sequence[str]) -> list[str]:
    for name in names:
        if name != "all" and name not in MAKERS:
            raise SrnnError(
                f"There is no table or figure '{name}'.{nearest(name, [*MAKERS, 'all'])}",
                "name",
                "what",
            )
    return list(MAKERS) if "all" in names else [name for name in MAKERS if name in names]


def file_names(made: Table | Sheet, formats: Sequence[str]) -> list[str]:
    """The files of a table or figure."""
    endings = ("md", "csv", "json") if isinstance(made, Table) else (*formats, "json")
    return [f"{made.name}.{ending}" for ending in endings]


def _files(made: Table | Sheet, formats: Sequence[str]) -> dict[str, bytes]:
    content: dict[str, Any] = made.to_dict()
    text = {f"{made.name}.json": (json.dumps(content) + "\n").encode()}
    if isinstance(made, Table):
        return {
            f"{made.name}.md": made.markdown().encode(),
            f"{made.name}.csv": made.csv().encode(),
        } | text
    return {f"{made.name}.{form}": style.rendered(made.figure, form) for form in formats} | text
