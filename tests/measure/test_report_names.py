"""Pages in a real browser, where classes or runs have long names or are many: nothing is cut,
hidden or exaggerated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip(
    "websockets", reason="websockets, by which the browser is driven, is not installed"
)

from srnn.measure.page import comparison_content, comparison_sections, report_content, write_page
from srnn.measure.sections import as_json
from support.browser import Browser
from support.drawn import CONTRAST, FRAMES, OVERLAPS, opened
from support.runs import make_run

LONG = (
    "Donaudampfschifffahrtsgesellschaftskapitän",
    "a class that somebody has named by a whole sentence",
    "x",
    "-1",
)
MANY = tuple(f"class number {i:02}" for i in range(14))
ROWS = (
    "(table => [...table.tBodies[0].rows].map(row => [...row.cells].map(cell => cell.textContent)))"
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Any]]]:
    folder, made = tmp_path_factory.mktemp("pages"), {}
    for name, classes in (("long", LONG), ("many", MANY)):
        y = np.repeat(np.arange(len(classes)), 8)
        x = np.random.default_rng(0).normal(size=(len(y), 6, 3)).astype(np.float32)
        np.savez(folder / f"{name}.npz", x=x, y=y, class_names=np.array(classes))
        given = (
            "--task.name=folder",
            f"--task.options.path={folder / name}.npz",
            "--loss.name=ce_mean",
        )
        run = make_run(folder / name, *given)
        content = report_content(run, samples=3)
        write_page(content, folder / f"{name}.html")
        made[name] = (folder / f"{name}.html", content)
    other = make_run(folder / "other", *given, seed=4)
    content = comparison_content([run, other])
    for listed in (content["runs"], content["energy"]["networks"]):
        listed *= 6
    for number, described in enumerate(content["runs"]):
        content["runs"][number] = described | {
            "name": f"a-run-whose-name-says-all-of-its-settings-{number}"
        }
    for row in content["recipes"] + content["environments"]:
        row["values"] *= 6
    content["sections"] = as_json(comparison_sections(content))
    write_page(content, folder / "runs.html")
    return made | {"runs": (folder / "runs.html", content)}


@pytest.mark.parametrize("width", [360, 768, 1400])
@pytest.mark.parametrize("name", ["long", "many", "runs"])
def test_no_name_leaves_its_place(name: str, width: int, browser: Browser, pages: dict) -> None:
    opened(browser, pages[name][0], width)
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(OVERLAPS) == [] and browser.errors == []


@pytest.mark.parametrize("width", [360, 1400])
def test_bars_of_the_classes_can_be_compared(width: int, browser: Browser, pages: dict) -> None:
    """However long the names beside them, all begin in one place and are as long for one
    probability."""
    opened(browser, pages["long"][0], width)
    boxes = browser.value(
        "[...document.querySelectorAll('.confidences .bar')].map(e => e.getBoundingClientRect()).map(r "
        "=> [r.left, r.width])"
    )
    assert len(boxes) == len(LONG) and boxes.count(boxes[0]) == len(boxes) and boxes[0][1] >= 24


def test_a_slight_preference_is_drawn_as_slight(browser: Browser, pages: dict) -> None:
    """The strongest colour of the picture of all probabilities means 1, not the largest of them."""
    page, content = pages["many"]
    opened(browser, page)
    strongest = browser.value(
        """(track => {
          const canvas = track.querySelector("canvas");
          const d = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          return d.reduce((most, v, i) => i % 4 === 3 && v > most ? v : most, 0) / 255;
        })([...document.querySelectorAll(".track")].find(e => e.textContent.startsWith("Probability of each class")))"""
    )
    likeliest = content["samples"]["sequences"][0]["probabilities"]["high"]
    assert 0.8 * likeliest < strongest <= likeliest + 0.01 < 0.9 and browser.errors == []


@pytest.mark.parametrize("dark", [True, False])
def test_every_share_of_the_confusion_can_be_read(
    dark: bool, browser: Browser, pages: dict
) -> None:
    browser.dark(dark)
    opened(browser, pages["long"][0])
    browser.value(
        """(part => {
          const four = [0, 1, 2, 3], rows = four.map(i => four.map(j => j === i ? 20 * i + 20 : (80 - 20 * i) / 3));
          document.body.append(confusionTable({ ...part, counts: rows }));
        })(DATA.sections.classes.parts[0])"""
    )
    browser.value(FRAMES)
    cells = "[...document.querySelectorAll('.confusion tbody td')].map(e => getComputedStyle(e))"
    found = browser.value(f"{cells}.map(e => {CONTRAST}(e.color, e.backgroundColor))")
    assert len(found) == 32 and min(found) >= 4.5
    heads = "[...document.querySelectorAll('.confusion')][0].querySelectorAll('thead th')"
    # Cut to the eye only.
    assert browser.value(f"[...{heads}].map(e => e.textContent)") == list(LONG)
    widths = browser.each(".confusion tbody th", "e.clientWidth")
    assert min(widths) > 100 and browser.errors == []


def test_confusions_can_be_read_without_a_pointer(browser: Browser, pages: dict) -> None:
    page, content = pages["many"]
    opened(browser, page)
    confusion = np.array(content["evaluation"]["classes"]["confusion"])
    caption = (
        "[...document.querySelectorAll('caption')].find(e => e.textContent === 'Most "
        "frequent confusions')"
    )
    rows = browser.value(f"{ROWS}({caption}.closest('table'))")
    counts = [int(row[2]) for row in rows]
    assert len(rows) == min(10, np.count_nonzero(confusion - np.diag(np.diag(confusion))))
    assert counts == sorted(counts, reverse=True)
    for true, predicted, count, share in rows:
        i, j = MANY.index(true), MANY.index(predicted)
        assert i != j and int(count) == confusion[i, j]
        assert share == f"{100 * confusion[i, j] / confusion[i].sum():.2f} %"
    assert counts[0] == (confusion - np.diag(np.diag(confusion))).max() and browser.errors == []
    opened(browser, pages["long"][0])  # the matrix itself has them
    assert "Most frequent confusions" not in browser.text("#classes")


def test_many_runs_are_seen_side_by_side(browser: Browser, pages: dict) -> None:
    opened(browser, pages["runs"][0])
    table = "document.querySelector('#measures table')"
    edge = browser.value(
        "document.querySelector('#measures .scroll').getBoundingClientRect().right"
    )
    heads = browser.value(
        f"[...{table}.tHead.rows[0].cells].map(e => e.getBoundingClientRect().right)"
    )
    assert len(heads) == 13 and sum(right <= edge for right in heads) >= 8
    browser.value("document.querySelector('#measures .scroll').scrollLeft = 1e4")
    left = browser.value(
        f"{table}.rows[1].cells[0].getBoundingClientRect().left - "
        f"{table}.parentNode.getBoundingClientRect().left"
    )
    assert left == 0  # what the numbers are remains in view
    browser.call("Emulation.setEmulatedMedia", media="print")  # nobody scrolls paper
    shown = browser.each(".scroll", "getComputedStyle(e).overflowX")
    browser.call("Emulation.setEmulatedMedia", media="")
    assert set(shown) == {"visible"} and browser.errors == []


@pytest.mark.parametrize("name", ["many", "runs"])
def test_no_two_regions_have_one_name(name: str, browser: Browser, pages: dict) -> None:
    """By which a screen reader lists them."""
    opened(browser, pages[name][0])
    names = browser.each("[role=region]", "e.getAttribute('aria-label')")
    assert len(names) >= 3 and all(names) and len(set(names)) == len(names)


def test_no_error_is_above_1(browser: Browser, pages: dict) -> None:
    opened(browser, pages["runs"][0])
    browser.value(
        """document.body.append(plot({title: "", x: {label: "x"}, y: {label: "error", text: share}, pad: true, series: [
            {name: "one", x: [1, 2], y: [.975, .975], colour: "red", points: true}]}))"""
    )
    browser.value(FRAMES)
    ticks = browser.each("body > figure text[text-anchor=end]")
    assert "100 %" in ticks and not any(tick.startswith("10") and tick != "100 %" for tick in ticks)
