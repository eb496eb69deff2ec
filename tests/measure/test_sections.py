"""Results are described once: one class and one entry make an analysis, which is in text, page and
JSON."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from srnn.cli.main import main
from srnn.cli.show_section import show_parts
from srnn.measure import sections
from srnn.measure.analysis.analyse import ANALYSES
from srnn.measure.analysis.measuring import Measurement, Outcome, Subject
from srnn.measure.sections import (
    Axis,
    Confusion,
    Form,
    Line,
    Note,
    Plot,
    Section,
    Table,
    Values,
    as_json,
    layer_title,
    written,
)
from support.browser import Browser
from support.drawn import opened
from support.reporting import embedded
from support.runs import DIGITS, few_sequences, make_run


@dataclass(frozen=True)
class Guesses:
    """How often each class was guessed: an analysis that nobody has thought of."""

    counts: Counter[int]
    seen: tuple[str, ...]

    @classmethod
    def begin(cls, subject: Subject) -> Measurement | None:
        counts: Counter[int] = Counter()

        def add(outcome: Outcome) -> None:
            counts.update(outcome.predicted.tolist())

        return Measurement(lambda evaluation: cls(counts, (evaluation.report["split"],)), add)

    def to_dict(self) -> dict[str, Any]:
        return {"guessed": sum(self.counts.values()), "most": max(self.counts.values())}

    def section(self) -> Section:
        rows = [
            [f"class {name}", count, count / self.counts.total()]
            for name, count in self.counts.items()
        ]
        columns = {"guess": sections.TEXT, "times": sections.COUNT, "of all": sections.SHARE}
        plot = Plot(
            "Guesses by rank",
            Axis("rank"),
            Axis("times"),
            [Line("times", sorted(self.counts.values()))],
        )
        parts = (
            Table("Guesses", columns, rows, bar="of all"),
            Values({"guesses": (self.counts.total(), sections.COUNT)}),
            Note("Whether they are <b>right</b> is not asked."),
            plot,
        )
        return Section("Guesswork", f"What it says on {self.seen[0]}.", parts)


class Never(Guesses):
    """It applies to nothing."""

    @classmethod
    def begin(cls, subject: Subject) -> None:
        return None


def test_a_made_up_analysis_is_in_text_and_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few_sequences(monkeypatch)
    monkeypatch.setitem(ANALYSES, "guesses", Guesses)
    monkeypatch.setitem(ANALYSES, "never", Never)
    folder = make_run(tmp_path / "run", *DIGITS)
    assert main(["evaluate", str(folder), "--full"]) == 0
    text = capsys.readouterr().out
    assert "Guesswork: What it says on validation." in text and "\nguesses: 22\n" in text
    assert "Whether they are <b>right</b> is not asked." in text and "times over rank" in text
    assert main(["evaluate", str(folder), "--full", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["guesses"]["guessed"] == 22 and found["never"] is None
    assert "accuracy" in found["calibration"]


def test_a_made_up_analysis_is_on_the_page(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    browser: Browser,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few_sequences(monkeypatch)
    monkeypatch.setitem(ANALYSES, "guesses", Guesses)
    folder = make_run(tmp_path / "run", *DIGITS)
    assert main(["report", str(folder), "--samples", "0", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert embedded((folder / "report.html").read_text()) == content
    rows = content["sections"]["guesses"]["parts"][0]["rows"]
    opened(browser, folder / "report.html")
    cells = (
        "[...document.querySelectorAll('#guesses tbody tr')].map(row => [...row.cells].map(e "
        "=> e.textContent))"
    )
    assert browser.value(cells) == [
        [name, f"{n:,}", f"{100 * share:.2f} %"] for name, n, share in rows
    ]
    shown = browser.text("#guesses")
    said = ("Guesswork", "What it says on validation.", "guesses: 22", "<b>right</b>")
    for words in (*said, "Guesses by rank"):
        assert words in shown
    assert browser.value("document.querySelectorAll('#guesses svg').length") == 1
    assert "Guesswork" in browser.text("#nav")
    assert browser.errors == []


NUMBERS: list[tuple[Any, Form, str, str]] = [
    (None, sections.SHARE, "-", "–"),
    (0.125, sections.SHARE, "12.50%", "12.50 %"),
    ((0.5, 1.0), sections.SHARE, "50.00% to 100.00%", "50.00 % to 100.00 %"),
    (12345.6, sections.COUNT, "12,346", "12,346"),
    (0.00123, sections.NUMBER, "0.00123", "0.00123"),
    (1234567.0, sections.NUMBER, "1,234,567", "1,234,567"),
    (-0.5, sections.NUMBER, "-0.5", "−0.5"),
    (0.0, Form("number", signed=True), "+0", "+0"),
    (-0.012, Form("points", signed=True), "-1.20 points", "−1.20 points"),
    (12.5, Form("steps", step_ms=4.0), "12.5 (50 ms)", "12.5 (50 ms)"),
    (16, Form("steps"), "16", "16"),
    (1870.0, sections.ENERGY, "1.87 nJ", "1.87 nJ"),
    (0, sections.ENERGY, "0 pJ", "0 pJ"),
    (sections.Spread(0.5, 0.012), sections.SHARE, "50.00% ± 1.20%", "50.00 % ± 1.20 %"),
    (17.8, sections.RATIO, "17.8x", "17.8×"),
    ("P", sections.TEXT, "P", "P"),
]


@pytest.mark.parametrize(("value", "form", "text", "_"), NUMBERS)
def test_numbers_are_written_as_their_form_says(value: Any, form: Form, text: str, _: str) -> None:
    assert written(value, form) == text


def test_a_page_writes_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, browser: Browser
) -> None:
    few_sequences(monkeypatch)
    folder = make_run(tmp_path / "run", *DIGITS)
    assert main(["report", str(folder), "--samples", "0", "--no-exit"]) == 0
    opened(browser, folder / "report.html")
    given = json.dumps([[as_json(value), as_json(form)] for value, form, _, _ in NUMBERS])
    assert browser.value(f"{given}.map(([value, form]) => written(value, form))") == [
        page for *_, page in NUMBERS
    ]


def test_parts_that_are_empty_or_odd(capsys: pytest.CaptureFixture[str]) -> None:
    share = Axis("accuracy", sections.SHARE, 0, 1)
    columns, steps = {"name": sections.TEXT, "n": sections.COUNT}, Axis("steps")
    lines = [Line("one", [0.5], [7]), Line("other", [0, 1], [0, 1], "guide")]
    bins = [Line("now", [1, 4, 2], [1, 10, 100, 1000])]
    parts = [
        Table("Nothing", columns, []),
        Table("Long", columns, [[f"r{i}", i] for i in range(20)], first=3),
        Plot("Nobody knows", steps, share, [Line("one", [None, None])]),
        Plot("One", steps, share, lines),
        Plot("Bins", Axis("steps", log=True), Axis("neurons"), bins),
        Confusion([f"c{i}" for i in range(13)], [[0] * 13] * 13),
        Note("[red]\x1b[2J"),
    ]
    show_parts(parts)
    text = capsys.readouterr().out
    assert "17 more, up to 19" in text and "r2" in text and "r3" not in text
    assert "50.00% at 7" in text and "other" not in text and "c12" not in text
    assert "at most 4" in text and "neurons over steps, 1 to 1,000, logarithmic" in text
    assert "[red]" in text and "\x1b[2J" not in text


def test_lines_have_six_digits_in_json_and_the_rest_is_whole() -> None:
    line = as_json(Line("x", [1 / 3, None, 2]))
    y = [0.333333, None, 2.0]
    assert line == {"kind": "line", "name": "x", "look": "line", "x": None, "y": y}
    table = as_json(Table("t", {"a": sections.NUMBER}, [[1 / 3]]))
    assert table["kind"] == "table" and table["rows"] == [[1 / 3]]
    assert table["columns"]["a"]["name"] == "number"


def test_layers_have_names_for_people() -> None:
    parts = {"": "", ".forward_layer": ", forwards", ".backward_layer": ", backwards"}
    for part, words in parts.items():
        assert layer_title(f"layers.1{part}") == f"Layer 2{words}"
    titles = [layer_title(name) for name in ("readout", "encoder", "layers.x")]
    assert titles == ["Readout", "Encoder", "Layers.x"]
