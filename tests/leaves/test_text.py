"""Text of others: shown in errors, terminals, Markdown, spreadsheets and pages, and obeyed in none
of them."""

from __future__ import annotations

import csv
import io
import json
import sys
from html.parser import HTMLParser
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.cells import cell_len

from paper.table import Table
from srnn import SrnnError
from srnn.cli.main import main
from srnn.files.bounds import Between, Positive
from srnn.files.conversion import check
from srnn.measure.energy.operation_energy import MODELS
from srnn.measure.energy.page import page as energy_page
from srnn.measure.page.document import page
from srnn.nn.neurons import Init
from srnn.studies import load_sweep
from srnn.studies.results import write_results
from srnn.studies.trials import TrialStatus
from srnn.terminal import open_console, printable_output
from srnn.text import (
    brief,
    code,
    filled,
    json_in_html,
    json_text,
    markdown,
    markdown_table,
    one_line,
    printable,
    spreadsheet,
)

HOSTILE = (
    "<script>alert(1)</script>", "[x](javascript:alert(1))", "![x](http://evil/x.png)", "a|b", "`</td>`", "``", "**b**",
    "<img src=x onerror=alert(1)>", "a\n# b", "\x1b]0;owned\x07\x1b[31m", "# a", "- a", "1. a", "> a", "&lt;b&gt;", "\\<b>",
    "\\|", "\\\\|", "<http://evil>", "a\u202eb", "half \ud800", "~~a~~", "_a_ tau_adp", "=== a", "```", "| a | b |", "\\",
)  # fmt: skip
ENDINGS = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>",
    "'\"",
    "<!-- data -->",
    "</title>",
)
TEXTS = (
    st.text(max_size=30)
    | st.sampled_from(HOSTILE)
    | st.text("<>[]()`*_|\\!&#-+.1~ a\n", max_size=20)
)


def rendered(lines: str) -> list[tuple[str, str]]:
    """(kind, content) of what a Markdown renderer makes of it."""
    found = []
    for token in MarkdownIt("commonmark").enable("table").parse(lines):
        found.append((token.type, token.content if token.type != "inline" else ""))
        found += [(inner.type, inner.content) for inner in token.children or []]
    return found


@settings(max_examples=300)
@example("__0__", "a__0__ _b_")
@given(TEXTS, TEXTS)
def test_in_markdown_text_of_others_is_text(first: str, second: str) -> None:
    lines = "\n".join(markdown_table(["name", "code"], [[markdown(first), code(second)]]))
    kinds = rendered(lines)
    allowed = {"text", "code_inline", "text_special", "html_inline", "inline"}
    inline = [(kind, content) for kind, content in kinds if not kind.endswith(("_open", "_close"))]
    assert {kind for kind, _ in inline} <= allowed
    assert all(
        content in ("<code>", "</code>") for kind, content in inline if kind == "html_inline"
    )
    assert [kind for kind, _ in kinds].count("td_open") == 2
    shown = "".join(content for kind, content in inline if kind != "html_inline").removeprefix(
        "namecode"
    )
    assert "".join(shown.split()) == "".join(f"{one_line(first)}{one_line(second)}".split())


@settings(max_examples=200)
@given(TEXTS)
def test_a_paragraph_of_others_is_a_paragraph(text: str) -> None:
    kinds = [kind for kind, _ in rendered(f"# {markdown(text)}\n\n{markdown(text)}\n")]
    blocks = [kind for kind in kinds if kind.endswith("_open")]
    assert blocks in (
        ["heading_open", "paragraph_open"],
        ["heading_open"],
    )  # of nothing no paragraph comes
    assert set(kinds) <= {
        "heading_open",
        "heading_close",
        "paragraph_open",
        "paragraph_close",
        "inline",
        "text",
        "text_special",
    }


@given(st.text(max_size=40) | st.sampled_from(HOSTILE))
def test_nothing_in_a_message_is_obeyed_or_breaks_the_line(text: str) -> None:
    said = str(SrnnError(f"No {text} here."))
    assert ("\n" not in said and "\x1b" not in said and said.isprintable()) or not any(
        ord(c) < 32 or 127 <= ord(c) < 160 for c in said
    )
    said.encode()  # a lone surrogate could not be
    assert printable("a\n\tb") == "a\n\tb"


@pytest.mark.parametrize(
    "name",
    [
        "yes",
        "日本",
        "ｙｅｓ",
        "grüße",
        "gru\u0308ße",
        "한국",
        "\N{DOG FACE}",
        "much longer than that",
    ],
)
def test_a_column_is_as_wide_whatever_letters_are_in_it(name: str) -> None:
    """Names of East Asia stood further to the right, and names as Macs write them further to the
    left."""
    assert (
        cell_len(filled(name, 12)) == max(12, cell_len(name)) and filled(name, 12).rstrip() == name
    )


def test_a_message_has_an_end() -> None:
    said = str(SrnnError("file.json: " + "x" * 10**6 + " mend it."))
    assert len(said) < 2100 and said.startswith("file.json: ") and said.endswith("mend it.")
    assert len(brief([[1] * 10**5] * 10**5)) < 500 and len(brief("x" * 10**6)) < 200
    assert brief({"a": [1, "b"]}) == "{'a': [1, 'b']}" and "bits" in brief(10**5000)
    for call in (
        lambda: check("n", 10**5000, int, Between(1, 2)),
        lambda: check("x", 10**5000, Positive),
        lambda: Init.parse(10**5000),
    ):
        with pytest.raises(SrnnError, match=r"an integer of 16610 bits"):
            call()


@pytest.mark.parametrize(
    "cell", ["=cmd|'/C calc'!A0", "+1+cmd", "-2+3", "@SUM(1)", "\t=1", "\r=1", "-x"]
)
def test_no_cell_of_a_spreadsheet_is_a_formula(cell: str) -> None:
    assert spreadsheet(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["-1.5", "+2", "1e-3", "a=b", "", "h=0,s=6", -1.5, 3, None, True])
def test_numbers_and_names_stay_in_a_spreadsheet(cell: object) -> None:
    assert spreadsheet(cell) == cell


def test_what_is_printed_has_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    with printable_output():
        print("a\x1b[31mb\x07 ± \udcff")
        open_console(width=60).print("[red]x[/y] \x1b]0;owned\x07 :smile:")
    assert (
        raw.getvalue() == b"a\\x1b[31mb\\x07 \\xb1 \\udcff\n[red]x[/y] \\x1b]0;owned\\x07 :smile:\n"
    )
    assert isinstance(sys.stdout, io.TextIOWrapper)


def test_names_that_are_markup_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    from srnn.cli.show import show_result

    with printable_output():
        show_result(
            {"task": "[/bold] [link=x]a\x1b[2J", "accuracy": 0.5}, "[/red] runs/\x1b[2J", True
        )
    shown = capsys.readouterr().out
    assert (
        "[/bold] [link=x]a\\x1b[2J" in shown
        and "[/red] runs/\\x1b[2J" in shown
        and "\x1b" not in shown
    )


def test_a_terminals_colours_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", Terminal())
    with printable_output():
        console = open_console(force_terminal=True)
        console.print("a\x1b[2J", style="red", highlight=False)
        shown = sys.stdout.getvalue()  # type: ignore[attr-defined]
    assert shown.startswith("\x1b[") and "a\\x1b[2J" in shown


def test_an_error_of_the_machine_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "x" * 5000]) == 2
    assert main(["train", "a\x1b[31m\nb"]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 2 and "\x1b" not in shown


def sweep_of_others(tmp_path: Path) -> tuple[str, list[dict[str, str]]]:
    """(results.md, rows of results.csv) of a sweep whose every text is hostile."""
    path = tmp_path / "mine.yaml"
    text = "<script>alert(1)</script> | [x](javascript:alert(1)) $\\frac{`"
    path.write_text(json.dumps({
        "title": text, "note": f"# {text}\n- b", "recipe": "digits", "seeds": [0, 1],
        "parameters": {"note": ["=cmd", "lif"]},
    }))  # fmt: skip
    sweep = load_sweep(str(path))
    done = {
        "accuracy": 0.5,
        "loss": 1.0,
        "firing_rate": 0.1,
        "parameters": 10,
        "best_epoch": 1,
        "epochs": 1,
        "seconds": 1.0,
    }
    error = f"@error\n=b {text}"
    status = [
        TrialStatus(trial, "done", dict(trial.settings), {0: {**done, "run": "=a"}}, 0.5, "=worker")
        if trial.seeds == (0,)
        else TrialStatus(
            trial, "failed", dict(trial.settings), {1: {"epochs": 0}}, None, "=worker", error
        )
        for trial in sweep.list_trials()
    ]
    # the settings have no valid recipe, and are only shown here
    sweep = load_sweep(str(path))
    write_results(sweep, status, tmp_path / "out")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "results.csv").read_text())))
    return (tmp_path / "out" / "results.md").read_text(), rows


def test_the_reports_of_a_sweep_obey_none_of_its_texts(tmp_path: Path) -> None:
    page_of_it, rows = sweep_of_others(tmp_path)
    kinds = rendered(page_of_it)
    assert not any(kind in ("html_block", "html_inline", "bullet_list_open") for kind, _ in kinds)
    assert [kind for kind, _ in kinds].count("heading_open") == 1 and "javascript" not in str(
        [token.attrs for token in MarkdownIt("commonmark").parse(page_of_it)]
    )
    for row in rows:
        assert row["worker"] == "'=worker"
        assert row["run"] == "'=a" if row["state"] == "done" else row["error"].startswith("'@")
    assert sum(row["state"] == "failed" for row in rows) == 2 and "@error" in page_of_it
    assert rows[0]["note"] == "'=cmd" and rows[1]["note"] == "lif"
    assert b"<script" not in (tmp_path / "out" / "note.svg").read_bytes()


def test_tables_of_the_paper_and_of_energy_show_names_as_they_are() -> None:
    name = "<b>a</b>|[x](javascript:1)"
    table = Table(
        "t", "T", {"task": "task", "method": "method"}, [{"task": name, "method": "=1+1"}], [name]
    )
    kinds = rendered(table.markdown())
    assert not any(kind in ("html_inline", "html_block", "link_open") for kind, _ in kinds)
    assert [kind for kind, _ in kinds].count("td_open") == 2
    assert list(csv.reader(io.StringIO(table.csv())))[1] == [name, "'=1+1"]
    report = {
        "name": f"runs/{name.replace('/', '')}", "seed": 0, "group": 0, "parameters": 1, "accuracy": 0.5, "firing_rate": None,
        "spikes": None, "note": name, "models": dict.fromkeys(MODELS), "footprint_bytes": 4,
    }  # fmt: skip
    found = {
        "task": name, "split": "test", "step_ms": 1.0, "technology": {"name": name}, "networks": [report, report | {"group": 1}],
        "break_even": {name: dict.fromkeys(MODELS, 0.1)},
        "input": {"spikes": False, "density": None, "steps_per_sequence": 1},
    }  # fmt: skip
    kinds = rendered(energy_page(found, f"srnn energy {name}"))
    assert not any(kind == "link_open" for kind, _ in kinds[:-9])
    assert all(
        content in ("<code>", "</code>")
        for kind, content in kinds
        if kind in ("html_inline", "html_block")
    )


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.data: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.data[self.tags[-1] if self.tags else ""] = (
            self.data.get(self.tags[-1] if self.tags else "", "") + data
        )


@pytest.mark.parametrize("text", [*HOSTILE, *ENDINGS])
def test_a_page_holds_texts_of_others_as_data(text: str) -> None:
    harmless, hostile = _Page(), _Page()
    made = {
        kind: page(
            {"kind": "report", "name": name, "recipe": name, "task": {"class_names": [name]}}
        )
        for kind, name in (("harmless", "a"), ("hostile", text))
    }
    harmless.feed(made["harmless"])
    hostile.feed(made["hostile"])
    assert hostile.tags == harmless.tags
    begin = made["hostile"].index(">", made["hostile"].index('id="data"')) + 1
    data = json.loads(made["hostile"][begin : made["hostile"].index("</script", begin)])
    assert data["name"] == data["recipe"] == data["task"]["class_names"][0] == text
    made["hostile"].encode()


@pytest.mark.parametrize("text", [*HOSTILE, *ENDINGS, "a\u2028b\u2029c", "\ud800"])
def test_json_in_html_has_no_mark_of_html(text: str) -> None:
    value = {text: [text, nan]}
    line = json_in_html(value)
    assert json.loads(line) == {text: [text, None]}
    assert line.isascii() and line.isprintable() and not set("<>&") & set(line)


@given(
    st.recursive(
        st.floats() | st.text() | st.integers() | st.none(),
        lambda one: st.lists(one) | st.dictionaries(st.text(), one),
    )
)
def test_json_has_no_numbers_that_only_python_reads(value: Any) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    def nulls(of: Any) -> Any:
        if isinstance(of, dict):
            return {key: nulls(item) for key, item in of.items()}
        return (
            [nulls(item) for item in of]
            if isinstance(of, list)
            else None
            if of in (nan, inf, -inf) or of != of
            else of
        )

    assert json.loads(json_text(value), parse_constant=refuse) == nulls(value)


@pytest.mark.parametrize("most", [20, 21, 22, 2000])
def test_a_line_is_no_longer_than_it_may_be(most: int) -> None:
    """What stands for the middle was not counted."""
    text = "".join(map(str, range(1000)))
    assert one_line(text[:most], most) == text[:most]
    line = one_line(text[: most + 1], most)
    first, last = line.split(" [...] ")
    assert len(line) == most and text.startswith(first) and text[: most + 1].endswith(last)
    assert len(str(SrnnError("x" * 9999))) == 2000
