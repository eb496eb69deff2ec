"""Every reader of JSON: whatever stands in the file is read, or is one line that names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paper.curves import read_curves
from paper.evidence import gather, read_sweep
from srnn import SrnnError
from srnn.data.datasets.soli import read_names
from srnn.data.datasets.speech_commands import read_segments
from srnn.data.datasets.unpack import UnpackRecord
from srnn.files import TEXT
from srnn.measure.energy.operation_energy import load_technology
from srnn.measure.page.content import training
from srnn.model.exit_policy import ExitPolicy
from srnn.studies.summary import read_run, summarise
from srnn.training.runs import Run
from support.kept import copy_of
from support.reproducing import evaluation, write_summary, write_sweep

pytestmark = pytest.mark.robust

BROKEN = (
    "", "{", "nonsense", "[]", "3", "null", '"text"', "{}", "[" * 100_000,
    '{"a":' * 5_000 + "1" + "}" * 5_000, "9" * 5_000, "1e999",
    '{"a": NaN}', '["\\ud800"]', b"\xff\xfe", b"\x00", '{"": {"": [[[]]]}}',
)  # fmt: skip
ODD = (
    None,
    True,
    -1,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "x",
    "\ud800",
    [],
    [[]],
    {},
    {"x": 1},
    [None],
    ["x"],
)


POLICY = {"loss": "ce_mean", "confidence": 0.9, "margin": 0.1, "patience": 2, "earliest": 3, "start": 0,
          "chosen_on": "validation", "allowed_loss": 0.01}  # fmt: skip
HALVES = {"train": ["0_1_2", "1_2_3"], "eval": ["0_0_0"]}
PHONES = {"labels": {"a/b.flac": [["SIL", 0, 3], ["AH", 3, 2]]}}
PUBLISHED = [{"published": "ecg", "command": "c", "task": "ecg", "split": "test", "data": "d", "comparable": True, "seeds": [0],
              "accuracy": [0.5]}]  # fmt: skip
CURVES = {
    "split": "train",
    "points": {"a": [{"seed": 0, "accuracy": [0.5], "loss": [1.0], "firing_rate": [0.1]}]},
}


def reading_curves(path: Path) -> Any:
    write_sweep(path.parent, {"a": {}})
    return read_curves(read_sweep(path.parent))


READERS: dict[str, tuple[str, Any, Callable[[Path], Any]]] = {
    "policy": ("exit-policy.json", POLICY, ExitPolicy.load),
    "soli": ("file_half.json", HALVES, lambda path: read_names(path.parent, "train")),
    "phones": ("phones.json", PHONES, read_segments),
    "published": ("published.json", PUBLISHED, lambda path: gather(path.parent)),
    "curves": ("curves.json", CURVES, reading_curves),
    "summary": ("mine/summary.json", None, lambda path: gather(path.parent.parent)),
    "sweep": ("mine/results.json", None, lambda path: gather(path.parent.parent)),
    "evaluation": (
        "mine/evaluation-test.json",
        json.loads(evaluation()),
        lambda path: gather(path.parent.parent),
    ),
}


def content_of(name: str, path: Path) -> Any:
    """A sound file's content; what lies beside it is written too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if name in ("summary", "evaluation"):
        write_summary(path.parent)
    if name == "sweep":
        write_sweep(path.parent, {"a": {}})
    return json.loads(path.read_text()) if READERS[name][1] is None else READERS[name][1]


def odd_ones(content: Any) -> list[Any]:
    """The content with each of its values, keys and entries in turn missing or odd."""
    found: list[Any] = []
    if isinstance(content, (dict, list)):
        for key in list(content) if isinstance(content, dict) else range(len(content)):
            for other in [*ODD, *odd_ones(content[key])]:
                changed = content.copy()
                changed[key] = other
                found.append(changed)
            changed = content.copy()
            del changed[key]
            found.append(changed)
    return found


def reads_or_says(read: Callable[[Path], Any], path: Path) -> bool:
    """Whether the file was read; if not, one line that names it."""
    try:
        read(path)
    except SrnnError as error:
        said = str(error)
        assert path.name in said and "\n" not in said and len(said) < 700, said
        return False
    return True


@pytest.mark.parametrize("name", READERS)
def test_a_broken_file_is_one_line(name: str, tmp_path: Path) -> None:
    place, _, read = READERS[name]
    path = tmp_path / place
    content = content_of(name, path)
    path.write_text(json.dumps(content))
    assert reads_or_says(read, path)
    for text in BROKEN:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        assert not reads_or_says(read, path) or (text, name) == ("[]", "published"), text


@pytest.mark.parametrize("name", [name for name in READERS if name not in ("summary", "sweep")])
def test_an_odd_value_is_read_or_one_line(name: str, tmp_path: Path) -> None:
    place, _, read = READERS[name]
    path = tmp_path / place
    for odd in odd_ones(content_of(name, path)):
        path.write_text(json.dumps(odd))
        reads_or_says(read, path)


@pytest.mark.parametrize("name", ["summary", "sweep"])
def test_an_odd_value_in_a_result_is_read_or_one_line(name: str, tmp_path: Path) -> None:
    place, _, read = READERS[name]
    path = tmp_path / place
    content = content_of(name, path)
    for key in content:
        for other in ODD:
            path.write_text(json.dumps(content | {key: other}))
            reads_or_says(read, path)
    for odd in odd_ones(
        {key: value for key, value in content.items() if key not in ("recipe", "points")}
        | {"points": []}
    ):
        path.write_text(json.dumps(content | odd))
        reads_or_says(read, path)


def test_an_odd_result_of_a_run_is_read_or_one_line(tmp_path: Path) -> None:
    folder = copy_of("tiny", tmp_path / "run")
    read_run(folder)
    for name in ("result.json", "environment.json"):
        path, sound = folder / name, (folder / name).read_text()
        content = json.loads(sound)
        odd = [
            json.dumps(content | {key: other})
            for key in content
            for other in (None, 1e308, float("nan"), "x", [], {})
        ]
        for text in ("", "{}", "[]", "[" * 100_000, *odd):
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            if reads_or_says(lambda _: read_run(folder), path):
                training(Run.open(folder))
        path.write_text(sound)
    # what is read can be written
    content = json.loads((folder / "environment.json").read_text())
    (folder / "environment.json").write_text(
        json.dumps(content | {"cpu": "<b>\ud800|", "git_commit": None, "cores": []})
    )
    summarise([folder], tmp_path / "out", "a\ud800", "c|\ud800")
    assert "<b>" not in (tmp_path / "out" / "summary.md").read_text()


def test_metrics_are_read_while_they_are_written_and_refused_where_they_are_damaged(
    tmp_path: Path,
) -> None:
    folder = copy_of("tiny", tmp_path / "run")
    path, sound = folder / "metrics.jsonl", (folder / "metrics.jsonl").read_text()
    path.write_text(sound + '{"epoch": 3, "val')
    assert len(training(Run.open(folder))["epochs"]) == len(read_run(folder).epochs) == 2
    lines = sound.splitlines()
    for damaged in (["{", *lines], [lines[0][:-1], *lines], ['{"epoch": 1}', *lines],
                    [lines[0], '{"epoch": 1, "validation": null}'],
                    [lines[0].replace("accuracy", "accurate"), *lines[1:]], lines[:0]):  # fmt: skip
        path.write_text("".join(f"{line}\n" for line in damaged))
        with pytest.raises(SrnnError, match=r"metrics\.jsonl"):
            read_run(folder)


def test_a_note_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    (tmp_path / ".cache").mkdir()
    for text in (
        *BROKEN,
        '{"archive": "a", "files": {"x": [1e999, 1]}}',
        '{"archive": "a", "files": {"x": 1}}',
        '{"files": {}}',
    ):
        (tmp_path / ".cache" / "a.unpacked").write_bytes(
            text if isinstance(text, bytes) else text.encode()
        )
        assert UnpackRecord.read(tmp_path, "a") is None


@pytest.mark.parametrize(
    "text",
    ["", "a = ", "base = 1", "name = " + "[" * 5_000, "word_bits = " + "9" * 5_000, "word_bits = 1e999",
     "mac = {pj = inf}", "mac = {pj = nan}",
     f"mac = {{pj = {'9' * 400}}}", "mac = 3", "mac = {pj = true}", "on_chip = {bytes = [1, 1]}",
     "on_chip = {bytes = [2, 1], pj = [1, 2]}",
     "word_bits = 1048577", "mac" + ".a" * 5_000 + " = 1", "x = 1", 'weights = ["on_chip"]', 'base = "mine.toml"', b"\xff"],
)  # fmt: skip
def test_a_technology_of_nonsense_is_one_line(
    text: str | bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    start = (
        b""
        if b"base" in (text if isinstance(text, bytes) else text.encode()) or not text
        else b'base = "horowitz-45nm"\n'
    )
    Path("mine.toml").write_bytes(start + (text if isinstance(text, bytes) else text.encode()))
    assert not reads_or_says(load_technology, Path("mine.toml"))


def test_a_technology_at_its_limit_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path, most = tmp_path / "mine.toml", TEXT
    text = 'base = "horowitz-45nm"\nword_bits = 1048576\n#'
    path.write_text(text + "x" * (most - len(text)))
    assert load_technology(path).word_bits == 2**20
    path.write_text(text + "x" * (most - len(text) + 1))
    with pytest.raises(SrnnError, match="too large"):
        load_technology(path)
