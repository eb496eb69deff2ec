"""Names that are made to break a page, in a real browser: the page is whole, runs nothing of them,
and shows them as text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip(
    "websockets", reason="websockets, by which the browser is driven, is not installed"
)

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")

import srnn
from srnn.data.encoders import Statistics
from srnn.data.signals import ScaledPath
from srnn.deploy.live import page as live_page
from srnn.deploy.live import read_page
from srnn.deploy.serve.app import Playable
from srnn.deploy.streaming import Decoder
from srnn.measure.page import comparison_content, report_content, write_page
from srnn.text import one_line
from support.browser import Browser
from support.drawn import opened
from support.pages import ROOT
from support.runs import make_run
from support.serving import serving

NAMES = (
    "<!--<script>",
    "</script><script>window.hit=1</script>",
    '"><img src=x onerror="window.hit=2">',
    "&lt;b&gt;&amp;",
    "a\u202eb\u2066c",
    "a" * 300,
    "two\nlines",
    "'quotes\" and \\ \\n `${window.hit=3}`",
    "a\u2028b\u2029c",
    "<!-- data --><!-- script -->",
    "PAGE_DATA POLICY SCRIPTS\n",
    "__proto__",
)
FOLDER = "<!--<script>'\"><img src=x onerror=window.hit=4>&lt;\\"
UNTOUCHED = (
    "window.hit === undefined && !document.querySelector('img') && "
    "document.querySelectorAll('script').length"
)
TEXT = "document.body.textContent"


def unharmed(browser: Browser, names: tuple[str, ...], scripts: int = 2) -> None:
    """Nothing was run or made of the names, and each stands on the page as a text."""
    assert browser.value(UNTOUCHED) == scripts
    text = browser.value(TEXT)
    forms = [(name, one_line(name), one_line(name, 200)) for name in names]
    assert [each for each in forms if not any(form in text for form in each)] == []
    assert browser.errors == []


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs of data whose classes, channels and groups have such names, as have their folders
    and files."""
    folder = tmp_path_factory.mktemp("pages") / FOLDER
    folder.mkdir()
    y = np.repeat(np.arange(len(NAMES)), 8)
    x = np.random.default_rng(0).normal(size=(len(y), 6, len(NAMES))).astype(np.float32)
    source = folder / f"{FOLDER}.npz"
    np.savez(
        source,
        x=x,
        y=y,
        class_names=np.array(NAMES),
        channels=np.array(NAMES),
        group=np.array(NAMES)[y],
    )
    given = (
        "--task.name=folder",
        f"--task.options.path={json.dumps(str(source))}",
        "--loss.name=ce_mean",
    )
    return [make_run(folder / f"{FOLDER}{seed}", *given, seed=seed) for seed in (3, 4)]


def test_a_report(runs: list[Path], browser: Browser, tmp_path: Path) -> None:
    content = report_content(runs[0], samples=3)
    write_page(content, tmp_path / "report.html")
    opened(browser, tmp_path / "report.html")
    unharmed(browser, (*NAMES, runs[0].name))
    assert browser.value("JSON.parse(document.getElementById('data').textContent)") == content


def test_a_comparison(runs: list[Path], browser: Browser, tmp_path: Path) -> None:
    content = comparison_content(runs)
    write_page(content, tmp_path / "both.html")
    opened(browser, tmp_path / "both.html")
    unharmed(browser, (*NAMES, *(run.name for run in runs)))


@pytest.mark.parametrize("name", [NAMES[0], NAMES[1], NAMES[-2]])
def test_a_page_without_a_server(name: str, browser: Browser, tmp_path: Path) -> None:
    """Whatever a model is called, its classes, channels and recordings."""
    data = json.loads((ROOT / "docs" / "live" / "movement.json").read_text("utf-8"))
    data["model"] |= {"model": name, "task": name, "input": name, "classes": NAMES}
    data["model"]["names"] = NAMES[:6]
    data["about"] = name
    (example,) = data["recordings"]
    data["recordings"] = [example | {"name": one} for one in NAMES]
    (tmp_path / "page.html").write_text(live_page("device", data), "utf-8")
    browser.errors.clear()
    browser.open((tmp_path / "page.html").as_uri())
    browser.wait("typeof view === 'object' && view && view.count > 10", 10)
    unharmed(browser, NAMES)
    assert browser.value("document.querySelector('h1').textContent") == name
    assert read_page(live_page("device", data))["about"] == name


def _choose(browser: Browser, file: str, content: str) -> None:
    """Read a file that is so called on the live page."""
    browser.value("(stop(), $('source').value = 'file', $('own').hidden = false, 0)")
    browser.value(
        f"(() => {{ const all = new DataTransfer(); all.items.add(new File([{json.dumps(content)}], "
        f"{json.dumps(file)})); $('file').files = all.files; toggle(); return 0; }})()"
    )


def test_the_page_of_the_service(browser: Browser) -> None:
    statistics = Statistics(np.zeros(6, np.float32), np.ones(6, np.float32))
    path = ScaledPath(6, 50, statistics, names=NAMES[:6], units=("g",) * 6)
    classes = (*NAMES, "half \ud800")  # as of a file whose name is no text
    model = srnn.from_network(srnn.SRNN.paper(6, [8], len(classes)), classes, signal=path)
    x = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    played = [Playable(name, x, ("sensor",), channels=NAMES[:6]) for name in classes]
    with serving({"sensor": Decoder.of(model)}, recordings=played) as service:
        browser.errors.clear()
        browser.open(service.url)
        browser.wait("typeof model === 'object' && model && $('source').options.length > 1", 10)
        browser.value("toggle()")
        browser.wait("view && view.count > 10", 10)
        unharmed(browser, NAMES)
        header = ",".join('"' + name.replace('"', '""') + '"' for name in reversed(NAMES[:6]))
        _choose(
            browser, f"{NAMES[0]}.csv", header.replace("aaa", "b") + "\n" + "1,2,3,4,5,6\n" * 100
        )
        browser.wait("$('status').className === 'bad'", 10)
        assert "<!--<script>" in browser.value("$('status').textContent")
        assert all("422" in error for error in browser.errors)
        browser.errors.clear()
        unharmed(browser, NAMES)
