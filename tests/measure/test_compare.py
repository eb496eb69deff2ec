"""srnn report, of several runs: runs of one task side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from srnn.cli.main import main
from srnn.errors import SrnnError
from srnn.measure.page import comparison_content, page, report_content
from srnn.measure.page.comparison import differences
from srnn.measure.page.content import short_names
from srnn.measure.sections import NUMBER, Measure
from support.refusing import refuses
from support.reporting import embedded
from support.runs import DIGITS, ECG, few_sequences, make_run


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    few_sequences(monkeypatch)


def test_a_run_measures_the_same_beside_others(tmp_path: Path) -> None:
    folders = [
        make_run(tmp_path / "a", *DIGITS),
        make_run(tmp_path / "b", *DIGITS, "--network.neuron.beta=0.1", seed=4),
    ]
    content = comparison_content(folders)
    for folder, one in zip(folders, content["runs"], strict=True):
        alone, measures = report_content(folder, samples=0, baselines=[]), one["measures"]
        assert measures["accuracy"] == alone["evaluation"]["accuracy"]
        assert one["name"] == folder.name
        assert measures["firing_rate"] == alone["evaluation"]["firing_rate"]["mean"]
        assert measures["sops_per_step"] == alone["evaluation"]["activity"]["sops_per_step"]
        assert one["recall"] == alone["evaluation"]["classes"]["recall"]
        assert one["anytime"] == alone["evaluation"]["anytime"]["accuracy"]
        for model, energy in alone["energy"]["networks"][0]["models"].items():
            assert measures[f"energy_{model}"] == energy["energy_pj"]["step"]
    assert [row["key"] for row in content["recipes"]] == ["network.neuron.beta"]
    assert content["recipes"][0]["values"] == [None, 0.1]
    assert {"key": "seed", "values": [3, 4]} in content["environments"]
    assert embedded(page(content)) == content


def test_a_network_without_spikes_has_its_place(tmp_path: Path) -> None:
    ours = make_run(tmp_path / "srnn", *DIGITS)
    lstm = make_run(tmp_path / "lstm", *DIGITS, baseline="lstm", epochs=0)
    content = comparison_content([ours, lstm])
    assert content["runs"][1]["measures"]["firing_rate"] is None
    assert content["runs"][1]["epochs"] == []
    assert (
        content["runs"][1]["measures"]["energy_fp32"]
        > content["runs"][0]["measures"]["energy_fp32"]
    )
    alone = report_content(lstm, samples=1)
    assert [one["name"] for one in alone["energy"]["networks"]] == ["lstm"]
    assert embedded(page(alone)) == alone


def test_analog_neurons_have_rows_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What they multiply is no rival of what spikes add, and they have no firing rate."""
    ours = make_run(tmp_path / "srnn", *DIGITS)
    relu = make_run(tmp_path / "relu", *DIGITS, "--network.neuron={name: relu, tau_mem: 3}")
    content = comparison_content([ours, relu])
    spiking, analog = (run["measures"] for run in content["runs"])
    alone = report_content(relu, samples=0, baselines=[])
    assert [run["network"]["spiking"] for run in content["runs"]] == [True, False]
    assert spiking["activity"] is None and spiking["analog_operations_per_step"] is None
    assert spiking["firing_rate"] > 0
    assert analog["firing_rate"] is None and analog["sops_per_step"] is None
    assert analog["activity"] == alone["evaluation"]["firing_rate"]["mean"]
    assert analog["analog_operations_per_step"] == alone["evaluation"]["activity"]["sops_per_step"]
    assert main(["report", str(ours), str(relu), "--out", str(tmp_path / "both.html")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "analog neurons: fraction of outputs not 0" in printed
    assert "analog neurons: their operations" in printed


def test_labelled_steps_are_compared(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / name, *ECG, seed=seed) for seed, name in enumerate(("a", "b"))]
    content = comparison_content(folders)
    assert content["task"]["unlabelled_class"] == "P"
    for folder, one in zip(folders, content["runs"], strict=True):
        curve = report_content(folder, samples=0, baselines=[])["evaluation"]["anytime"]
        assert one["anytime_labelled"] == curve["accuracy_labelled"]
        assert one["anytime"] == curve["accuracy"]
        assert one["measures"]["settled_steps"] == curve["settled_steps"] > curve["labelled_from"]


@pytest.mark.slow
def test_how_sure_a_difference_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [
        make_run(tmp_path / name, *ECG, seed=seed) for seed, name in enumerate(("a", "b", "c"))
    ]
    content = comparison_content(folders)
    labelled = [
        report_content(folder, samples=0, baselines=[])["evaluation"]["accuracy_labelled"]
        for folder in folders
    ]
    assert content["runs"][0]["above_first"] is None
    for one, accuracy in zip(content["runs"][1:], labelled[1:], strict=True):
        gain = one["above_first"]
        assert gain["accuracy"] == pytest.approx(accuracy - labelled[0])
        assert gain["interval"][0] <= gain["accuracy"] <= gain["interval"][1]
        assert (gain["count"], gain["unit"]) == (4, "groups")
        assert gain["better"] + gain["worse"] <= 4
    assert main(["report", *map(str, folders), "--out", str(tmp_path / "all.html")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    gain = content["runs"][2]["above_first"]
    mean, (low, high) = gain["accuracy"], gain["interval"]
    assert (
        f"c: accuracy of labelled steps {100 * mean:+.2f} points compared with a (95% confidence"
        in printed
    )
    assert (
        f"interval {100 * low:+.2f} to {100 * high:+.2f}; better in {gain['better']} of 4 groups"
        in printed
    )
    assert len({gain["accuracy"], *gain["interval"]}) == 3


def test_notes_set_nothing(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / name, *DIGITS, f"--note={name}") for name in ("a", "b")]
    assert comparison_content(folders)["recipes"] == []


def test_only_what_differs_is_told() -> None:
    first, second = {"c": [1], "d": {}}, {"c": [2], "d": {"e": None}}
    rows = differences([{"a": 1, "b": first}, {"a": 1, "b": second}, {"b": {"c": [1]}}])
    assert {row["key"]: row["values"] for row in rows} == {
        "a": [1, 1, None],
        "b.c": [[1], [2], [1]],
    }
    assert differences([{"a": 1}, {"a": 1}]) == differences([{"a": 1, "b": {}}, {"a": 1}]) == []
    assert differences([{"b": {}}, {"b": {"c": 1}}]) == [{"key": "b.c", "values": [None, 1]}]


def test_names_are_as_short_as_they_can_be() -> None:
    assert short_names([Path("/x/a"), Path("/x/b")]) == ["a", "b"]
    assert short_names([Path("/x/a/s0"), Path("/x/b/s0")]) == ["a/s0", "b/s0"]


def test_the_command_writes_what_it_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [
        str(make_run(tmp_path / name, *ECG, seed=seed)) for seed, name in enumerate(("a", "b"))
    ]
    out = tmp_path / "both.html"
    assert main(["report", *folders, "--out", str(out), "--json"]) == 0
    printed = capsys.readouterr()
    content = json.loads(printed.out)
    assert printed.err == "" and content == embedded(out.read_text())
    assert main(["report", *folders, "--out", str(out), "--no-exit"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[-1] == f"page: {out}"
    for one in content["runs"]:  # rare classes show in what people read as well
        assert f"{one['measures']['balanced_accuracy']:.2%}" in text


def test_the_best_is_known_only_where_runs_differ() -> None:
    given = (
        ([1, 2], 1),
        ([1, 2], -1),
        ([1, 2], 0),
        ([2, 2], 1),
        ([None, 2], 1),
        ([None, 3, 2], -1),
    )
    best = [Measure.of("", NUMBER, values, better).best for values, better in given]
    assert best == [2, 1, None, None, None, 2]


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    digits, ecg = make_run(tmp_path / "a", *DIGITS), make_run(tmp_path / "b", *ECG)
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    with pytest.raises(SrnnError, match="circle is not a run"):
        comparison_content([circle, digits])
    with refuses("folders"):
        comparison_content([digits, digits])
    with refuses(ecg, "conflict"):
        comparison_content([digits, ecg])
