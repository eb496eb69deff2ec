"""The site: built strictly, with tutorials that were run and pages that fetch nothing; links of
pages to other files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from release import links
from release.notebooks import agrees, cells, text_of

import srnn
from support.pages import ROOT, code_cells, executed_pages


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_site_is_built_strictly_and_fetches_nothing(tmp_path: Path) -> None:
    pytest.importorskip(
        "mkdocs", reason="the site needs srnn[docs]; not built, and the tutorials not run"
    )
    site = tmp_path / "site"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)], cwd=ROOT,
        env={**os.environ, "PATH": path, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
    pages = {
        page.relative_to(site): page.read_text(encoding="utf-8") for page in site.rglob("*.html")
    }
    assert len(pages) > 40
    home = pages[Path("index.html")]
    assert f"srnn {srnn.__version__}" in home and 'rel="next"' in home
    assert "images/heart.svg" in home
    for name, page in pages.items():
        fetched = re.findall(r"<(?:script|img|iframe)[^>]*\bsrc=\"?((?:https?:)?//[^\" >]+)", page)
        fetched += re.findall(
            r"<link(?![^>]*rel=\"?canonical)[^>]*\bhref=\"?((?:https?:)?//[^\" >]+)", page
        )
        assert not fetched, f"{name} fetches {fetched}"
    reference = "".join(page for name, page in pages.items() if name.parts[0] == "reference")
    methods = ("Model.predict", "Session.push", "Decisions.winners", "Stream.push", "SRNN.run")
    for name in (*methods, "raster", *srnn.__all__):
        assert re.search(rf'id="srnn\.[\w.]*\b{re.escape(name)}"', reference), name
    # Arguments that were not told apart.
    for text in re.findall(r"<p>(.*?)</p>", reference, re.DOTALL):
        assert text.strip() != "::" and not re.search(r"^Arg|^ +\w+: ", text, re.MULTILINE), text
    for source in executed_pages():
        made = site / source.relative_to(ROOT / "docs").with_suffix(".ipynb")
        notebook = json.loads(made.read_text(encoding="utf-8"))
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        for cell, ran in zip(code_cells(source), code, strict=True):
            assert agrees(cell.shown, text_of(ran)), f"{source.name}: {cell.text}\n{text_of(ran)}"
        pictures = [output for cell in code for output in cell["outputs"] if "data" in output]
        assert pictures or source.parent.name != "tutorials"
        assert any("text" in output for cell in code for output in cell["outputs"])


def test_a_page_is_cut_into_cells_and_nothing_is_lost() -> None:
    page = (
        "# T\n\nText.\n\n```python\na = 1\n```\nMore.\n\n```sh\nls\n```\n\n```console\n$ srnn "
        "info\n```\n"
    )
    assert cells(page) == [
        ("markdown", "# T\n\nText.", ""),
        ("python", "a = 1", ""),
        ("markdown", "More.\n\n```sh\nls\n```", ""),
        ("console", "srnn info", ""),
    ]


def test_links_out_of_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "[a](docs/a.md#b), [`x`](https://e.org), [d](#d), ![p](docs/p.png) and [in [1]](src/x.py)"
    )
    monkeypatch.setattr(links, "HOME", "")
    assert links.absolute(text, "") == "a, [`x`](https://e.org), [d](#d),  and in [1]"
    monkeypatch.setattr(links, "HOME", "https://e.org/main/")
    inside = {"docs/other.md": "../other.md"}.get
    assert links.absolute(
        "[r](../../results/r.md#b), [o](../other.md#a)", "docs/tasks", inside
    ) == ("[r](https://e.org/main/results/r.md#b), [o](../other.md#a)")
    assert links.absolute("![p](docs/p.png)", "") == "![p](https://e.org/main/docs/p.png)"


def test_every_page_is_in_the_navigation() -> None:
    def pages(nav: Any) -> Iterator[str]:
        if isinstance(nav, str):
            yield nav
        for part in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
            yield from pages(part)

    listed = list(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    docs = ROOT / "docs"
    listed.remove("measured/README.md")  # results/
    assert sorted(listed) == sorted(
        path.relative_to(docs).as_posix() for path in docs.rglob("*.md")
    )
