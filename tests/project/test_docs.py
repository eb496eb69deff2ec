"""The code that README and docs show runs and prints what they show, in the order of the page."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from release.notebooks import Cell, agrees, cells

from paper.commands import main as main_of_paper
from srnn.cli.main import main
from srnn.data.datasets.catalogue import CATALOGUE
from srnn.model.pretrained import pretrained_names
from srnn.training.recipes.reading import shipped_recipes
from support.pages import ROOT, code_cells, executed_pages, is_ours

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def is_on_the_site(page: Path) -> bool:
    """Whether it is run where the site is built (``test_site.py``)."""
    return page in executed_pages()


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "page", [page for page in PAGES if code_cells(page) and not is_on_the_site(page)], ids=name
)
def test_a_page_runs_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one folder, as a reader would paste it: Python blocks share their names, commands end with
    exit code 0, and both print what the page shows. Our own commands run in this process, since
    each takes seconds to start. Those that need data are left out without it, and the skip says
    so."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "96")
    namespace: dict[str, object] = {"__name__": "__main__"}
    without_data = []
    for number, cell in enumerate(code_cells(page), 1):
        if cell.kind == "python":
            exec(
                compile(cell.text, f"{name(page)}, block {number}", "exec", dont_inherit=True),
                namespace,
            )
        elif "SRNN_DATA" in cell.text and not os.environ.get("SRNN_DATA"):
            without_data.append(cell.text)
            continue
        elif is_ours(cell.text):
            run_in_this_process(cell)
        else:
            subprocess.run(cell.text, shell=True, check=True)
        printed = capsys.readouterr()
        assert agrees(cell.shown, printed.out), f"{cell.text}\n{printed.out}\n{printed.err[-2000:]}"
    if without_data:
        pytest.skip(f"SRNN_DATA is not set: not run: {'; '.join(without_data)}")


def run_in_this_process(cell: Cell) -> None:
    arguments = shlex.split(os.path.expandvars(cell.text), comments=True)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code = main(arguments[1:]) if arguments[0] == "srnn" else main_of_paper(arguments[3:])
    assert code == 0, cell.text


@pytest.mark.slow
def test_the_lightning_example_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/pytorch.md's, on the data of the page's own loop: the loss falls."""
    pytest.importorskip("lightning", reason="Lightning is not installed; pip install lightning")
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "pytorch.md").read_text(encoding="utf-8")
    data = page[page.index("```python\n") + 10 : page.index("\nfor epoch in")]
    (example,) = re.findall(r"<!-- lightning -->\n```py\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice
        exec(
            compile(f"{data}\n{example}", "docs/pytorch.md, Lightning", "exec", dont_inherit=True),
            namespace,
        )
    assert namespace["trainer"].callback_metrics["loss"] < 0.4
    out, _ = namespace["classifier"].net(namespace["x"])
    assert (out.mean(1).argmax(1) == namespace["y"]).float().mean() > 0.9


@pytest.mark.parametrize("command, known", [
    (r"srnn data (?:info|fetch|verify|prepare)", {*CATALOGUE}),
    (
        r"srnn (?:train|recipes show)",
        {*shipped_recipes(), "gestures", "sounds", "day.csv", "days", "events.csv", "mitdb"},
    ),
    ("srnn models", {*pretrained_names()}),
])  # fmt: skip
def test_what_commands_name_is_there(command: str, known: set[str]) -> None:
    """Also in those that no test runs, since they need data or hours. A word in capitals stands for
    another."""
    for page in PAGES:
        named = re.findall(rf"\b{command} ([a-z][\w/.-]*)", page.read_text(encoding="utf-8"))
        assert {one for one in named if Path(one).suffix != ".yaml"} <= known, name(page)


def test_no_command_has_a_comment_behind_it() -> None:
    """zsh, the shell of macOS, gives its words to a command that is typed or pasted."""
    for page in (*PAGES, ROOT / "CONTRIBUTING.md"):
        shell = re.findall(
            r"^```(?:sh|bash|console)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S
        )
        lines = [
            *"".join(shell).splitlines(),
            *re.findall(r"^    (?:pip|python|srnn) .*", page.read_text(encoding="utf-8"), re.M),
        ]
        assert not [line for line in lines if re.search(r"\S\s+#", line)], name(page)


def test_what_beginners_paste_can_be_run_twice() -> None:
    """A second run of README, quickstart or tutorial finds the folders of the first."""
    first = [ROOT / "README.md", ROOT / "docs" / "quickstart.md"]
    for page in (*first, *(ROOT / "docs" / "tutorials").glob("*.md")):
        for cell in code_cells(page):
            if cell.kind == "python":
                writing = re.findall(
                    r"(?:srnn\.train|model\.export|mkdir)\(.*?\)$", cell.text, re.M | re.S
                )
                assert all(
                    "overwrite=True" in line or "exist_ok=True" in line for line in writing
                ), name(page)
            elif re.match(r"srnn (?:train .*--out|export c )", cell.text):
                assert "--overwrite" in cell.text or "--resume" in cell.text, (
                    f"{name(page)}: {cell.text}"
                )


def test_what_a_page_shows_is_compared() -> None:
    page = "```python\na\n```\n\n```text\n1 ... 2\n```\n"
    page += "```console\n$ srnn a \\\n  b\nsays\n$ srnn c\n```\n"
    assert cells(page) == [
        Cell("python", "a", "1 ... 2\n"),
        Cell("console", "srnn a    b", "says\n"),
        Cell("console", "srnn c"),
    ]
    assert agrees("1 ... 2\n", "1 3  2\n") and agrees("", "anything")
    assert not agrees("1 ... 2\n", "1 3 4\n") and not agrees("0.1\n", "0.12\n")
    kept = cells("```python\na\n```\nText.\n\n```text\nb\n```\n")
    assert kept[1].text == "Text.\n\n```text\nb\n```"


def test_every_local_link_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            file = page.parent / target
            if file.parent.name == "live":  # the site makes these pages around their data
                file = file.with_suffix(".json")
            assert file.exists(), f"{name(page)}: {target}"
