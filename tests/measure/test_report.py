"""srnn report: the page holds what was measured, as numbers and as packed arrays; one file, no
network."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from srnn.cli.main import main
from srnn.data.batches import Sequences, evenly_spread
from srnn.errors import SrnnError
from srnn.measure.analysis import AnalysisOptions
from srnn.measure.energy.compared import compare_energy
from srnn.measure.page import page, report_content, samples
from srnn.measure.page.content import plain
from srnn.measure.page.samples import pack_activity, pack_bits, pack_levels, pack_numbers
from srnn.nn.neurons import LIF
from srnn.nn.neurons.base import decay
from srnn.training.evaluation import evaluate
from srnn.training.runs import Run
from support.commands import fails
from support.reporting import embedded, unpack
from support.runs import DIGITS, ECG, RESTORED, few_sequences, make_run

NO_EXIT = AnalysisOptions(early_exit=False)


def _step(v: Any, s: Any, current: Any, alpha: Any) -> Any:
    v = alpha * v + current - s
    return v, v - 1.0


@dataclass(frozen=True)
class _CallsItV(LIF):
    """Its membrane is no u."""

    name: ClassVar[str] = "calls_it_v"
    step = _step

    def derive(self, **parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (decay(parameters["tau_mem"]),)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    few_sequences(monkeypatch)


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=20)))
def test_bits_come_back(values: np.ndarray) -> None:
    assert np.array_equal(unpack(pack_bits(values)), values)
    assert unpack(pack_bits(values)).shape == values.shape


@given(hnp.arrays(np.int64, (7,), elements=st.integers(-1, 2000)))
def test_class_numbers_come_back(values: np.ndarray) -> None:
    assert np.array_equal(unpack(pack_numbers(values)), values)


@given(hnp.arrays(np.float64, (3, 4), elements=st.floats(-1e6, 1e6)), st.booleans())
def test_levels_come_back_to_half_a_level(values: np.ndarray, fine: bool) -> None:
    found, spread = unpack(pack_levels(values, fine)), values.max() - values.min()
    assert np.abs(found - values).max() <= spread / (65535 if fine else 255) * 0.51 + 1e-9


def test_what_is_not_finite_is_drawn_as_nothing() -> None:
    packed = pack_levels(np.array([np.nan, np.inf, 2.0]))
    assert unpack(packed).tolist() == [0, 0, 2] and json.dumps(packed, allow_nan=False)
    assert pack_activity(np.array([0.0, 1.0]))["type"] == "bits"
    assert pack_activity(np.array([0, 0.5]))["type"] == "levels"
    assert unpack(pack_levels(np.zeros((0, 3)))).shape == (0, 3)


@given(st.integers(1, 40), st.integers(0, 12), st.booleans(), st.integers(0, 100))
def test_samples_are_different_sequences_spread_over_the_split(
    n: int, count: int, per_step: bool, seed: int
) -> None:
    y = np.random.default_rng(seed).integers(0, 5, (n, 6) if per_step else n)
    found = evenly_spread(y, count)
    assert len(found) == len(set(found.tolist())) == min(n, count)
    assert all(0 <= index < n for index in found)
    if count == n:
        assert sorted(found.tolist()) == list(range(n))


def test_every_class_has_its_turn() -> None:
    y = np.array([2] * 30 + [0] * 30 + [1] * 30)
    assert sorted(y[evenly_spread(y, 3)].tolist()) == [0, 1, 2]


def test_numbers_are_those_of_evaluation_and_energy(tmp_path: Path) -> None:
    run = Run.open(make_run(tmp_path / "run", *DIGITS))
    content = report_content(run.path)
    report = evaluate(run.trained()).report
    for key in ("accuracy", "firing_rate", "parameters"):
        assert content["evaluation"][key] == report[key]
    energy = compare_energy([run.path], ["lstm"])
    assert [one["name"] for one in content["energy"]["networks"]] == ["run", "lstm"]
    for ours, theirs in zip(content["energy"]["networks"], energy["networks"], strict=True):
        assert ours["models"] == theirs["models"]
    assert content["training"]["best_epoch"] == 2 and len(content["training"]["epochs"]) == 3
    assert content["training"]["events"] == [RESTORED]
    assert "run" not in content["training"]["result"] and str(tmp_path) not in json.dumps(content)
    plots = [
        part for part in content["sections"]["time_constants"]["parts"] if part["kind"] == "plot"
    ]
    for one, plot in zip(content["evaluation"]["time_constants"], plots, strict=True):
        now, initial = (sum(line["y"]) for line in plot["lines"])
        assert now == len(one["now"]["values"]) == initial


@pytest.mark.parametrize("recipe", [DIGITS, ECG], ids=["digits", "ecg"])
def test_samples_are_what_the_network_did(recipe: tuple[str, ...], tmp_path: Path) -> None:
    run = Run.open(make_run(tmp_path / "run", *recipe, "--network.neuron.initial={}"))
    content = report_content(run.path, samples=3, options=NO_EXIT)
    trained = run.trained()
    sequences = Sequences(trained.task, "validation")
    shown = content["samples"]["sequences"]
    batch = sequences.take(np.array([one["index"] for one in shown]))
    with torch.no_grad():
        result = trained.network.run(batch.x, record=("u", "v"))
    for row, one in enumerate(shown):
        assert np.array_equal(unpack(one["layers"][0]), result.layers[0].output[row].numpy())
        neurons = content["samples"]["watched"][0]["neurons"]
        u, v = (result.layers[0].traces[name][row][:, neurons].numpy() for name in ("u", "v"))
        assert np.allclose(unpack(one["membranes"][0]["u"]), u, atol=1e-3)
        assert np.allclose(unpack(one["membranes"][0]["threshold"]), u - v, atol=1e-3)
        assert np.allclose(unpack(one["probabilities"]).sum(-1), 1, atol=1e-3)
        if recipe is ECG:
            assert np.array_equal(unpack(one["labels"]), sequences.y[one["index"]])
            assert np.array_equal(unpack(one["decisions"]), result.output[row].argmax(-1).numpy())
            events = unpack(one["input"]["values"]).astype(int) - unpack(one["input"]["negative"])
            assert np.array_equal(events, sequences.x[one["index"]])
            assert one["group"].startswith("record-")
            assert 0 <= one["right_steps"] <= one["labelled_steps"] == 115
        else:
            assert one["true"] == sequences.y[one["index"]]
            assert one["right"] == (one["true"] == one["predicted"])
            assert unpack(one["decisions"])[-1] == one["predicted"]
            channels = np.stack([unpack(channel) for channel in one["input"]["values"]], 1)
            assert np.allclose(channels, sequences.x[one["index"]], atol=0.003)


def test_a_layer_is_called_the_same_all_over_the_page(tmp_path: Path) -> None:
    cells = {"model": "lstm", "neuron": "adlif", "readout": "integrator", "backend": "auto"}
    settings = [f"--network.{key}={value}" for key, value in cells.items()]
    # Units that have no name.
    folder = make_run(tmp_path / "run", *DIGITS, *settings, "--network.recurrent=false")
    content = report_content(folder, samples=1, options=NO_EXIT)
    assert (
        {one["kind"] for one in content["samples"]["watched"]}
        == {*content["network"]["neurons"]}
        == {"relu"}
    )


def test_long_sequences_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(tmp_path / "run", *ECG)
    monkeypatch.setattr(samples, "BUDGET", 2000)
    shown = report_content(folder, samples=2)["samples"]["sequences"]
    assert all(0 < one["shown"] < one["steps"] == 120 for one in shown)
    assert all(unpack(one["labels"]).shape == (one["shown"],) for one in shown)


@pytest.mark.parametrize(
    "overrides",
    [
        ("--network.bidirectional=true",), ("--network.bidirectional=true", "--network.merge=concat"),
        ("--network.substeps=2",), ("--network.neuron={name: relu}",),
        ("--network.hidden=[5,4]", "--loss.name=ce_last"),
        ("--network.neuron={name: calls_it_v}",),
    ],
    ids=["from both ends", "concatenated", "substeps", "relu", "two layers", "one's own"],
)  # fmt: skip
def test_every_kind_of_network_has_a_page(overrides: tuple[str, ...], tmp_path: Path) -> None:
    content = report_content(make_run(tmp_path / "run", *DIGITS, *overrides), samples=2)
    assert embedded(page(content)) == content and len(content["samples"]["sequences"]) == 2
    assert len(content["samples"]["watched"]) == len(content["network"]["hidden"])


def test_a_page_is_one_file_that_needs_nothing_else(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", *DIGITS, "--note=a </script><!-- style --> & more")
    content = report_content(folder, options=NO_EXIT)
    text = page({**content, "name": "<b>run</b>"})
    assert embedded(text) == {**content, "name": "<b>run</b>"}
    assert text.count("</script>") == 2 and "<b>" not in text
    assert set(re.findall(r"https?://[^\s\"'<>)]+", text.split('id="data"')[0])) == set()
    assert set(re.findall(r"https?://[^\s\"'<>)]+", text.split("</script>")[1])) == {
        "http://www.w3.org/2000/svg"
    }
    assert not re.search(r"<link(?! rel=\"icon\" href=\"data:)|\bfetch\(|@import|src=", text)
    assert "default-src 'none'" in text and len(text) < 3_000_000


def test_what_json_has_no_word_for_becomes_null(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", *DIGITS)
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 4, "train": {"loss": NaN}, "validation": {"loss": Infinity}}\n')
    content = report_content(folder, samples=0, options=NO_EXIT)
    assert content["training"]["epochs"][-1] == {
        "epoch": 4,
        "train": {"loss": None},
        "validation": {"loss": None},
    }
    assert plain({1: (float("nan"), 2)}) == {"1": [None, 2]}
    assert content["samples"]["sequences"] == []
    assert embedded(page(content)) == content


def test_the_command_writes_what_it_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_run(tmp_path / "run", *DIGITS)
    lstm = make_run(tmp_path / "other", *DIGITS, "--network.neuron.beta=0.1")
    words = ["--json", "--samples", "1", "--baselines", "gru,rnn"]
    assert main(["report", str(folder), *words, str(lstm)]) == 0
    printed = capsys.readouterr()
    assert printed.err == "" and printed.out.count("\n") == 1
    content = json.loads(printed.out)
    assert embedded((folder / "report.html").read_text()) == content
    assert [one["name"] for one in content["energy"]["networks"]] == ["run", "other", "gru", "rnn"]

    out = tmp_path / "new" / "page.html"
    assert main(["report", str(folder), "--no-exit", "--samples", "0", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == f"page: {out}" and "lstm" in printed and out.is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--samples", "-1"], "samples"), (["--baselines", "lstn"], "lstn"), (["--out", "."], "folder"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    words: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(make_run(tmp_path / "run", *DIGITS)), "--no-exit", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and message in printed.err and printed.err.count("\n") == 1
    assert not (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize(
    ("names", "measure"), [(["run"], "report_content"), (["run", "copy"], "comparison_content")]
)
def test_a_folder_is_refused_before_anything_is_measured(
    names: list[str],
    measure: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        f"srnn.measure.page.{measure}", lambda *_, **__: pytest.fail("it was measured")
    )
    make_run(tmp_path / "run", *DIGITS)
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    runs = [tmp_path / name for name in names]
    assert f"{tmp_path} is a folder" in fails(capsys, "report", *runs, "--out", tmp_path)
    (tmp_path / "file").touch()
    within = tmp_path / "file" / "page.html"
    assert f"no permission to write in {tmp_path / 'file'}." in fails(
        capsys, "report", *runs, "--out", within
    )


def test_a_run_without_a_checkpoint_has_no_page(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", *DIGITS)
    (folder / "model.safetensors").unlink()
    with pytest.raises(SrnnError, match="has no checkpoint yet"):
        report_content(folder)
    with pytest.raises(SrnnError, match="is not a run"):
        report_content(tmp_path)
