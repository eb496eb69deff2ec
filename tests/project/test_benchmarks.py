"""``python -m benchmarks``: every kind of measure runs on shrunk networks, and the page shows
it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks import authors, first_prediction, streams, to_accuracy, unchanged, versions
from benchmarks.__main__ import main
from benchmarks.machine import describe
from benchmarks.report import KINDS

from srnn import SrnnError, example, load
from srnn.data.batches import Sequences
from srnn.progress import COMPILING
from srnn.training.recipes import load_recipe
from support.tiny import TinyStepTask

HEADINGS = {
    "agreement": "## The same function?",
    "speed": "## Forward and backward", "limit": "## How far from the limit", "memory": "## Memory",
    "latency": "## One live stream", "scaling": "firing rate",
}  # fmt: skip


def measured(kind: str, folder: Path) -> list[dict]:
    out = folder / "benchmarks.json"
    options = ["--quick", "--threads", "1", "--nets", "ecg", "--peers", "eager", "--sweeps", "rate"]
    assert main(["--what", kind, *options, "--out", str(out)]) == 0
    assert HEADINGS[kind] in out.with_suffix(".md").read_text()
    return json.loads(out.read_text())[kind]


@pytest.mark.slow
def test_the_limit_is_measured(tmp_path: Path) -> None:
    (record,) = measured("limit", tmp_path)
    assert 0 < record["limit_s"] < 10 and all(rate > 0 for rate in record["rates"].values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "limit"])
def test_every_other_kind_is_measured(kind: str, tmp_path: Path) -> None:
    records = measured(kind, tmp_path)
    assert records and not any("failed" in record for record in records)


@pytest.mark.slow
def test_a_checkout_is_compared_with_another(tmp_path: Path) -> None:
    options = ["--quick", "--nets", "ecg", "--input", "dense", "--surrogate", "linear"]
    options += ["--out", str(tmp_path)]
    assert versions.main([str(versions.ROOT), *options]) == 0
    assert versions.main([str(versions.ROOT), *options, "--at-most", "0.001"]) == 1
    (record,) = json.loads((tmp_path / "versions.json").read_text())["records"]
    assert record["ratio"]["median"] > 0
    assert "linear surrogate, spikes given as tensors" in (tmp_path / "versions.md").read_text()
    for cached in (True, False):
        found = versions.processes("nothing", ["-c", "import os"], versions.ROOT / "src", 2, cached)
        assert found["what"] == "nothing" and found["ratio"]["n"] == 2


def test_a_change_may_be_slower_by_what_is_allowed() -> None:
    records = [
        {"what": "as fast", "ratio": {"median": 1.1}},
        {"what": "slower", "ratio": {"median": 1.11}},
        {"what": "not measured", "failed": "timed out"},
    ]
    assert versions.too_slow(records, 1.1) == ["slower", "not measured"]
    assert versions.too_slow(records, float("inf")) == []


@pytest.mark.slow
def test_what_must_stay_is_kept_and_compared(tmp_path: Path, capsys) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    for folder in (before, after):
        unchanged.keep(folder, "train/lstm")
    assert "float32" in (before / "train/lstm/model.safetensors.txt").read_text()
    assert unchanged.main(["compare", str(before), str(after)]) == 0
    log = after / "train/lstm/metrics.json"
    log.write_text(log.read_text().replace('"epoch": 1', '"epoch": 2'))
    capsys.readouterr()
    assert unchanged.main(["compare", str(before), str(after)]) == 1
    assert '+  "epoch": 2' in capsys.readouterr().out


def test_streams_in_a_loop_say_the_same_and_are_measured() -> None:
    """That all say the same is asserted before anything is timed."""
    rows = streams.measure(load("ecg-records"), 7, 2)
    assert [*rows] == ["one call", "with signals", "a call each", "sessions", "sessions, 25"]
    assert all(row["us_per_step"]["median"] > 0 for row in rows.values())
    about = {"command": "", "model": "ecg-records", "streams": 7, "rounds": 2, "rows": rows}
    assert "| one call |" in streams.page({**about, "machine": describe()})


@pytest.mark.slow
def test_a_new_process_predicts_without_torch_and_says_that_it_compiles() -> None:
    code = first_prediction.WAYS["compiling"].format(
        model="ecg-records", example=str(example("ecg-records"))
    )
    for cold in (False, True):
        found = first_prediction.once(code, cold)
        assert not found["torch"] and 0 < found["predict_s"] < found["first_s"]
        assert found["second_s"] < found["predict_s"] and found["peak_mib"] > 20
    assert found["said"] == [f"srnn: {COMPILING}"] or found["predict_s"] < 3
    assert "| compiling |" in first_prediction.page(
        {"command": "", "model": "", "rounds": 1, "machine": describe()}
        | {"rows": {"compiling": first_prediction._summary([found])}}
    )


THEIR_NETWORK = """
import torch

class SimpleResRNN(torch.nn.Module):
    def __init__(self, input_size: int, output_size: int) -> None:
        super().__init__()
        self.out = torch.nn.Linear(input_size, output_size)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.out(x).cumsum(0)[-1:], x
"""
THEIR_LOSS = """
def apply_seq_loss(criterion, outputs, target):
    return criterion(outputs.log_softmax(2)[0], target)
"""


def test_a_program_of_the_authors_is_timed_beside_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is a clone that is named: here one of the same form, whose network is a sum of the
    inputs."""
    for name, text in (
        ("snn/__init__.py", "from . import models"), ("snn/models.py", THEIR_NETWORK),
        ("experiments/digits/tools.py", THEIR_LOSS),
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    inputs = load_recipe("digits").create_task().inputs
    program = authors.Program("digits", {"input_size": inputs, "output_size": 10}, 1.0, 64, 100, 3)
    monkeypatch.setitem(authors.PROGRAMS, "digits", program)
    out = tmp_path / "out"
    words = ["digits", "0.05", "--seeds", "0", "--threads", "1", "--ways", "authors"]
    words += ["--out", str(out)]
    with pytest.raises(SrnnError, match=r"git clone .* and name the folder with --checkout"):
        to_accuracy.main(words)
    words += ["--checkout", str(tmp_path)]
    assert to_accuracy.main(words) == 0
    (record,) = json.loads((out / "to-accuracy.json").read_text())["records"]
    assert record["way"] == "authors" and record["reached"] and record["batches"] == 20
    assert (
        "authors: the program with which the recipe was published"
        in (out / "README.md").read_text()
    )
    assert "snn" not in sys.modules and str(tmp_path) not in sys.path
    with pytest.raises(
        SrnnError,
        match=r"program of the authors' for paper/recipes/resonate/ecg-brf\.yaml, .*, not for ecg",
    ):
        to_accuracy.main(["ecg", *words[1:]])


def test_labels_of_steps_are_as_their_ecg_program_reads_them() -> None:
    task = TinyStepTask()
    sequences = Sequences(task, "train")
    x, target = authors._batch(sequences, np.array([3, 0]), task)
    assert x.shape == (12, 2, 3) and target.shape == (12, 2, 3) and (target.sum(2) == 1).all()
    labels = np.where(sequences.y[[3, 0]] < 0, task.unlabelled_class, sequences.y[[3, 0]])
    assert (target.argmax(2).numpy() == labels.T).all()


@pytest.mark.slow
def test_seconds_to_an_accuracy(tmp_path: Path) -> None:
    """A goal that the first epoch reaches, one that none does within the limit, and what the page
    says of both."""
    options = ["--seeds", "0", "--threads", "1", "--out", str(tmp_path)]
    for way in ("eager", "srnn"):  # the first stays when the second is measured
        assert to_accuracy.main(["digits", "0.15", "--limit", "100", "--ways", way, *options]) == 0
    ours, eager = json.loads((tmp_path / "to-accuracy.json").read_text())["records"]
    assert (ours["way"], eager["way"]) == ("srnn", "eager") and ours["reached"] and eager["reached"]
    assert len(ours["epochs"]) == 1 and 0 < ours["epochs"][0]["processor_s"] <= ours["processor_s"]
    page = (tmp_path / "README.md").read_text()
    assert "times as long (median of 1 seed)" in page
    assert "times as long per batch, once the first batch is done" in page
    assert 0 < eager["first_batch_s"] < eager["processor_s"]
    assert to_accuracy.main(["digits", "1.01", "--limit", "0.1", "--ways", "srnn", *options]) == 0
    # Of another goal than before.
    (ours,) = json.loads((tmp_path / "to-accuracy.json").read_text())["records"]
    assert not ours["reached"] and not ours["all_epochs"]
    assert "not within 0.1" in (tmp_path / "README.md").read_text()


def test_a_mutation_changes_one_operator_and_nothing_else(tmp_path: Path) -> None:
    from benchmarks import mutations

    text = """def chosen(a: int, b: int = 3) -> bool:
    if a not in (1, b) and not (a  +
                                b):
        return True
    return f"{a < b}" is None
"""
    path, raw, found = tmp_path / "module.py", text.encode(), set()
    path.write_text(text)
    for site in mutations.sites_of(path, tmp_path):
        mutated = raw[: site["begin"]] + site["new"].encode() + raw[site["end"] :]
        compile(mutated, "mutated", "exec")
        assert mutated != raw
        found.add((" ".join(site["old"].split()), " ".join(site["new"].split())))
    assert found == {
        ("not in", "in"), ("and", "or"), ("+", "-"), ("1", "2"), ("True", "False"), ("is", "is not"),
        ("not (a + b)", "(a + b)"),
    }  # fmt: skip
