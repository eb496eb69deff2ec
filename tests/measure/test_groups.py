"""How sure an accuracy is: that of every group, and intervals over groups."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from scipy import stats

from srnn.cli.main import main
from srnn.cli.show_section import show_parts, show_section
from srnn.data.datasets import Split
from srnn.data.datasets.folder import FolderTask
from srnn.data.datasets.spoken_digits import SpokenDigitSpikesTask
from srnn.data.tasks import FOLDS, register
from srnn.measure.analysis import GroupReport, analyse
from srnn.model.opening import open_trained
from srnn.model.trained import Trained
from srnn.training.evaluation import evaluate
from srnn.training.loop import train
from support.runs import ECG, few_sequences, make_run
from support.tiny import TinyStepTask, TinyTask, tiny_recipe


@register
@dataclass(frozen=True)
class GroupedSteps(TinyStepTask):
    """Sequences of five subjects, of which the last has no labels."""

    name: ClassVar[str] = "grouped_steps"

    def load(self, split: Any, data_dir: Path | None = None) -> Split:
        data = super().load(split, data_dir)
        groups = np.arange(len(data)) % 5
        data.y[groups == 4] = -1
        return replace(data, groups=np.array(["e", "c", "a", "d", "b"])[groups])


def grouped(right: Any, counted: Any, names: str | None = None) -> GroupReport:
    counts = np.stack([right, counted], 1).astype(np.int64)
    return GroupReport(
        None if names is None else tuple(names), np.ones(len(counts), np.int64), counts
    )


@pytest.mark.parametrize(
    "task", [TinyTask(padded=True), TinyStepTask(padded=True), GroupedSteps(padded=True)]
)
def test_every_sequence_is_counted_once(task: TinyTask) -> None:
    loss = ["--loss.name=nll"] if task.kind == "per_step" else []
    recipe = tiny_recipe(*loss, "--loss.start=2", "--network.neuron.initial={}")
    trained = Trained(recipe.build_network(task, seed=0), task, recipe)
    found, data = analyse(trained, "test", batch_size=7), task.load("test")
    lengths = torch.from_numpy(np.array(data.lengths))
    with torch.no_grad():
        output = trained.network.run(torch.from_numpy(data.x), lengths=lengths).output
    expected = []
    for i, length in enumerate(lengths.tolist()):
        if task.kind == "per_step":
            true, predicted = data.y[i, 2:length], output[i, 2:length].argmax(-1).numpy()
        else:
            true = data.y[i : i + 1]
            predicted = trained.loss.scores(output, lengths)[i : i + 1].argmax(-1).numpy()
        expected.append([((predicted == true) & (true >= 0)).sum(), (true >= 0).sum()])
    counts, confusion = found.evaluation.counts, found.evaluation.confusion
    assert counts.tolist() == np.array(expected).tolist()
    assert counts.sum(0).tolist() == [confusion.trace(), confusion.sum()]
    assert found.groups.counts.sum(0).tolist() == counts.sum(0).tolist()
    plain = json.loads(json.dumps(found.to_dict()["groups"]))
    if data.groups is None:
        assert plain["by_group"] is None and plain["count"] == len(data)
        assert plain["unit"] == "sequences"
        assert found.groups.sequences.tolist() == [1] * len(data)
    else:
        assert plain["by_group"]["counted"] == found.groups.counts[:, 1].tolist()
        assert plain["level"] == 0.95
        assert plain["count"] == 4 and plain["unit"] == "groups"
        assert plain["by_group"]["names"] == ["a", "b", "c", "d", "e"]
        assert plain["by_group"]["accuracy"][1] is None
        of_c = counts[data.groups == "c"].sum(0)
        assert plain["by_group"]["accuracy"][2] == of_c[0] / of_c[1]
        assert plain["by_group"]["sequences"] == [6] * 5


def test_the_interval_is_korn_and_graubards() -> None:
    """Of groups of equal size, where the variance is that of a mean; n and the factor as in their
    paper."""
    right, n = np.array([93, 71, 88, 60, 97, 84, 90]), 100
    p, v = right.mean() / n, (right / n).var(ddof=1) / len(right)
    alone = (
        p * (1 - p) / v * (stats.t.ppf(0.975, 7 * n - 1) / stats.t.ppf(0.975, len(right) - 1)) ** 2
    )
    expected = (
        stats.beta.ppf(0.025, p * alone, (1 - p) * alone + 1),
        stats.beta.ppf(0.975, p * alone + 1, (1 - p) * alone),
    )
    assert grouped(right, np.full(7, n), "abcdefg").interval == pytest.approx(expected, abs=1e-12)
    # Seven hundred independent decisions: 0.80 to 0.86.
    assert expected[0] < 0.71 and expected[1] > 0.93


def test_the_variance_is_what_leaving_out_each_group_makes() -> None:
    """One group has most of the decisions: it would hide how much groups differ, since the whole
    accuracy is nearly its own."""
    right, n = np.array([9000, 61, 88, 60, 97]), np.array([10_000, 100, 90, 150, 100])
    p, parts = right.sum() / n.sum(), range(5)
    without = np.array([np.delete(right, i).sum() / np.delete(n, i).sum() for i in parts])
    v = 4 / 5 * ((without - p) ** 2).sum()
    alone = p * (1 - p) / v * (stats.t.ppf(0.975, n.sum() - 1) / stats.t.ppf(0.975, 4)) ** 2
    expected = (
        stats.beta.ppf(0.025, p * alone, (1 - p) * alone + 1),
        stats.beta.ppf(0.975, p * alone + 1, (1 - p) * alone),
    )
    one, other = grouped(right, n, "abcde"), grouped(n // 2, n, "abcde")
    assert one.interval == pytest.approx(expected, abs=1e-9) and expected[0] < 0.3
    gain, halves = one.difference(other), (n // 2).sum() / n.sum()
    steps = (
        without
        - p
        - np.array([np.delete(n // 2, i).sum() / np.delete(n, i).sum() - halves for i in parts])
    )
    half = stats.t.ppf(0.975, 4) * np.sqrt(4 / 5 * (steps**2).sum())
    assert gain is not None and gain["interval"] == pytest.approx(
        (max(p - halves - half, -1), min(p - halves + half, 1))
    )


def test_sequences_alone_give_nearly_the_interval_of_clopper_and_pearson() -> None:
    exact = stats.binomtest(170, 200).proportion_ci()
    interval = grouped(np.arange(200) < 170, np.ones(200)).interval
    assert interval == pytest.approx((exact.low, exact.high), abs=3e-3)


def test_intervals_where_everything_is_right_or_wrong_or_little_is_known() -> None:
    # Five groups that are all right are five successes, not five hundred.
    exact = stats.binomtest(5, 5).proportion_ci()
    assert grouped([100] * 5, [100] * 5, "abcde").interval == pytest.approx((exact.low, 1.0))
    assert grouped([0] * 5, [100] * 5, "abcde").interval == pytest.approx((0.0, 1 - exact.low))
    assert grouped([7], [9], "a").interval is None
    assert grouped([7, 0], [9, 0], "ab").interval is None
    exact = stats.binomtest(16, 20).proportion_ci()
    assert grouped([8, 8], [10, 10], "ab").interval == pytest.approx((exact.low, exact.high))
    # By chance: no more than 400 decisions.
    alike = grouped([80, 81, 79, 80], [100] * 4, "abcd").interval
    exact = stats.binomtest(320, 400).proportion_ci()
    assert alike == pytest.approx((exact.low, exact.high), abs=1e-9)


@pytest.mark.parametrize(
    ("count", "mean", "size", "first"),
    [(6, 0.85, 400, 1), (25, 0.95, 40, 1), (200, 0.7, 1, 1), (30, 0.7, 40, 15)],
)
def test_nineteen_of_twenty_intervals_contain_what_was_drawn_from(
    count: int, mean: float, size: int, first: int
) -> None:
    """``first``: how much larger than others the first group is."""
    generator, within, gained = np.random.default_rng(3), 0, 0
    for _ in range(600):
        sizes = generator.integers(size, 2 * size + 1, count)
        sizes[0] *= first
        easy = generator.beta(20 * mean, 20 * (1 - mean), count)
        one = grouped(generator.binomial(sizes, easy), sizes)
        other = grouped(generator.binomial(sizes, 0.9 * easy), sizes)
        low, high = one.interval or (1, 0)
        within += low <= mean <= high
        gain = one.difference(other)
        assert gain is not None
        gained += gain["interval"][0] <= 0.1 * mean <= gain["interval"][1]
    assert 0.92 < within / 600 < 0.985 and 0.92 < gained / 600 < 0.985


def test_a_difference_is_a_paired_one() -> None:
    right, other, n = np.array([93, 71, 88, 60]), np.array([90, 70, 89, 52]), np.full(4, 100)
    gain = grouped(right, n, "abcd").difference(grouped(other, n, "abcd"))
    paired = stats.ttest_rel(right / n, other / n).confidence_interval()
    assert gain is not None and gain["accuracy"] == pytest.approx((right - other).mean() / 100)
    assert gain["interval"] == pytest.approx((paired.low, paired.high))
    assert (gain["count"], gain["unit"], gain["better"], gain["worse"]) == (4, "groups", 3, 1)
    assert grouped(right, n, "abcd").difference(grouped(other, n, "abce")) is None
    # Of the same names, not the same groups.
    others = GroupReport(tuple("abcd"), np.full(4, 2), np.stack([other, n], 1))
    assert grouped(right, n, "abcd").difference(others) is None
    some = grouped([90, 0, 89, 26], [100, 0, 100, 50], "abcd")
    uneven = grouped(right, n, "abcd").difference(some)
    back = some.difference(grouped(right, n, "abcd"))
    assert uneven is not None and back is not None and back["accuracy"] == -uneven["accuracy"]
    assert (uneven["count"], uneven["better"], uneven["worse"]) == (3, 2, 1)
    assert uneven["accuracy"] == pytest.approx(241 / 300 - 205 / 250)
    opposite = grouped([10, 0], [10, 10], "ab").difference(grouped([0, 10], [10, 10], "ab"))
    assert opposite is not None and opposite["accuracy"] == 0 and opposite["interval"] == (-1, 1)
    assert grouped(right[:1], n[:1], "a").difference(grouped(other[:1], n[:1], "a")) is None


@pytest.mark.parametrize("ahead", [0, 1])
def test_networks_that_differ_alike_in_every_group_may_differ_in_others(ahead: int) -> None:
    # Fractions that are rounded, differences too.
    n, other = (np.array([10, 10, 10]), np.array([9, 7, 4]))
    gain = grouped(other + ahead, n, "abc").difference(grouped(other, n, "abc"))
    assert gain is not None and gain["accuracy"] == pytest.approx(ahead / 10)
    assert gain["better"] == 3 * ahead and gain["worse"] == 0
    # The least chance of one that agrees, after three that do.
    surprise = stats.binomtest(3, 3).proportion_ci().low
    assert gain["interval"] == pytest.approx(
        (ahead / 10 - (1 - surprise), min(ahead / 10 + (1 - surprise), 1))
    )


def test_groups_are_printed_with_the_least_accurate_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    task, recipe = TinyTask(), tiny_recipe()
    found = analyse(Trained(recipe.build_network(task, seed=0), task, recipe), "test")
    # The last one has no labels.
    names = (*(f"g{number:02}" for number in range(13)), "g13" + 197 * "x", "g14")
    many = GroupReport(
        names, np.full(15, 3), np.stack([np.arange(14, -1, -1) - 1, np.full(15, 20)], 1).clip(0)
    )
    many.counts[14] = 0
    counts = np.zeros((45, 2), np.int64)
    counts[::3] = many.counts
    evaluation = replace(found.evaluation, counts=counts, groups=np.repeat(names, 3))
    assert GroupReport.of(evaluation).to_dict() == many.to_dict()
    section = many.section()
    assert section is not None
    show_section(section)
    printed = capsys.readouterr().out
    assert printed.index("g13") < printed.index("g12") < printed.index("g02")
    assert "g01" not in printed and "2 more, up to 65.00%" in printed
    (line,) = (line for line in printed.splitlines() if "xxx" in line)
    assert "g13" in line and 20 < line.count("x") <= 34
    show_parts(GroupReport.of(replace(evaluation, groups=np.repeat("one", 45))).certainty())
    assert capsys.readouterr().out == "No confidence interval: only one of the groups has labels.\n"
    low, high = many.interval or (0, 0)
    assert f"accuracy, 95% confidence interval over 14 groups: {low:.2%} to {high:.2%}" in printed


def test_evaluate_says_how_sure_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few_sequences(monkeypatch)
    run = make_run(tmp_path / "run", *ECG)
    assert main(["evaluate", str(run)]) == 0
    interval = "accuracy, labelled steps, 95% confidence interval over 4 groups: "
    assert capsys.readouterr().out.splitlines()[-2].startswith(interval)


def test_decisions_of_several_networks_belong_to_their_groups_or_sequences() -> None:
    one, other = grouped([1, 2], [4, 5], "ab"), grouped([3, 0], [3, 6], "bc")
    both = GroupReport.together([one, other], [0, 1])
    assert both.names == ("a", "b", "c") and both.sequences.tolist() == [1, 2, 1]
    assert both.counts.tolist() == [[1, 4], [5, 8], [0, 6]] and both.overall == 6 / 18
    seeds, folds = (
        GroupReport.together([grouped([1, 0], [1, 1])] * 2, splits) for splits in ([7, 7], [0, 1])
    )
    # What two seeds say of one sequence is not independent.
    assert seeds.counts.tolist() == [[2, 2], [0, 2]]
    assert folds.counts.tolist() == [[1, 1], [0, 1]] * 2 and folds.names is None
    assert folds.count == 4
    assert GroupReport.together([one], [0]).to_dict() == one.to_dict()
    assert grouped([0], [0]).overall is None


@pytest.mark.slow
def test_the_folds_of_a_cross_validation_are_measured_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every subject once: the pooled decisions are those of the folds, and the interval is over all
    subjects."""
    rng = np.random.default_rng(0)
    own, groups = tmp_path / "own.npz", np.repeat(list("abcdef"), 5)
    # D, e, f: no 1.
    np.savez(
        own, x=rng.normal(size=(30, 6, 2)), y=np.arange(30) % 2 * (groups < "d"), groups=groups
    )
    folds = []
    for part in (1, 2, 3):
        task = f"--task={{name: folder, options: {{path: {own}, fold: {part}/3}}}}"
        recipe = tiny_recipe(task, "--training.epochs=1", "--training.class_weights=balanced")
        train(recipe, tmp_path / f"fold-{part}")
        folds.append(str(tmp_path / f"fold-{part}"))
    alone = []
    for fold in folds:
        assert main(["evaluate", fold, "--split", "test", "--json"]) == 0
        alone.append(json.loads(capsys.readouterr().out))
    assert main(["evaluate", *folds, "--split", "test", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [{**report, "model": ""} for report in found["models"]] == [
        {**report, "model": ""} for report in alone
    ]
    right = [report["accuracy"] * report["n_sequences"] for report in alone]
    assert found["together"]["accuracy"] == pytest.approx(sum(right) / 30)
    assert found["together"]["count"] == 6
    assert found["together"]["by_group"]["names"] == list("abcdef")
    assert found["together"]["by_group"]["counted"] == [5] * 6
    assert found["accuracy"]["mean"] == pytest.approx(
        np.mean([report["accuracy"] for report in alone])
    )
    confusion = np.sum([evaluate(open_trained(fold), "test").confusion for fold in folds], axis=0)
    # The mean of the folds' own is another number.
    balanced = (confusion.diagonal() / confusion.sum(1)).mean()
    assert (
        found["together"]["balanced_accuracy"]
        == pytest.approx(balanced)
        != found["balanced_accuracy"]["mean"]
    )
    assert main(["evaluate", *folds, "--split", "test"]) == 0
    printed = capsys.readouterr().out
    assert "standard deviation" in printed
    assert "interval over 6 groups: " in printed.splitlines()[-1]
    assert printed.splitlines()[-3] == f"all decisions: balanced accuracy {balanced:.2%}"
    worst = min(confusion.diagonal() / confusion.sum(1))
    assert f"{worst:.2%}" in printed[printed.index("Least often recognised") :]
    others = str(_of_three_classes(tmp_path))
    wrong = (
        (["--full"], "measure one model"),
        ([others], "measure them apart"),
        ([folds[0]], "named twice"),
    )
    for words, error in wrong:
        assert main(["evaluate", *folds, *words]) == 2
        assert error in capsys.readouterr().err


def test_networks_of_other_folds_can_be_measured_on_the_same_recordings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What two of them say of one sequence is not independent, whatever each was trained on. Data
    of other options are others."""
    own, runs = tmp_path / "own.npz", []
    np.savez(own, x=np.random.default_rng(0).normal(size=(24, 6, 2)), y=np.arange(24) % 2)
    for name, options in (("a", "fold: 1/3"), ("b", "fold: 2/3"), ("c", "fold: 2/3, scale: none")):
        task = f"--task={{name: folder, options: {{path: {own}, {options}}}}}"
        train(tiny_recipe(task, "--training.epochs=1"), tmp_path / name)
        runs.append(str(tmp_path / name))
    assert main(["evaluate", *runs[:2], "--split", "test"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("accuracy, 95% confidence interval over 16 sequences: ")
    assert main(["evaluate", *runs, "--data", str(own)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("accuracy, 95% confidence interval over 24 sequences: ")
    assert main(["evaluate", *runs, "--split", "test"]) == 2
    assert f"{runs[2]} has another task, other options of it" in capsys.readouterr().err


def _of_three_classes(folder: Path) -> Path:
    np.savez(
        folder / "three.npz",
        x=np.ones((30, 6, 2)) * np.arange(30)[:, None, None],
        y=np.arange(30) % 3,
    )
    task = f"--task={{name: folder, options: {{path: {folder / 'three.npz'}}}}}"
    train(tiny_recipe(task, "--training.epochs=1"), folder / "three")
    return folder / "three"


def test_what_folds_differ_in_are_options_of_tasks() -> None:
    known = {option.name for task in (FolderTask, SpokenDigitSpikesTask) for option in fields(task)}
    assert set(FOLDS) <= known
