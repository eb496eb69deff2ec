"""Values in place of classes: whatever reads them is in the targets' unit, what is not known is
left out, and errors stand beside those of an answer that needs no network."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import srnn
from srnn import SrnnError
from srnn.cli.main import main
from srnn.data.datasets import Split
from srnn.data.targets import Targets
from srnn.data.tasks import create_task
from srnn.nn.losses import Loss
from srnn.training.regression import Sums
from support.commands import fails
from support.compiled import compilers

FAST: dict[str, Any] = {"epochs": 2, "hidden": 6}
QUIET = {"training.refit": False}


def waves(count: int = 40, steps: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Sines, and how fast each is: far from 0, and not of deviation 1."""
    rng = np.random.default_rng(0)
    speed = rng.uniform(0.02, 0.2, count)
    x = np.sin(2 * np.pi * speed[:, None] * np.arange(steps))
    return x[..., None], 1000 + 300 * speed


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    x, y = waves()
    y[::7] = np.nan
    out = tmp_path_factory.mktemp("regression") / "run"
    return srnn.fit(x, y, unit="km/h", rate=10, out=out, **FAST)


def test_targets_are_standardised_inside_and_answers_are_not(model: Any) -> None:
    x, y = waves()
    targets = model.task.targets
    assert targets is not None and targets.units == ("km/h",)
    assert model.recipe.loss.name == "mse_mean" and model.classes == ("value",)
    found = model.predict(x[0])
    assert abs(float(found.value[0]) - y.mean()) < 5 * y.std()
    mean, std = targets.scale
    scaled = model.task.encode("x", x[0])
    output = model.network(torch.from_numpy(scaled)[None])[0].detach()
    expected = mean + std * model.loss.scores(output)[0].numpy()
    np.testing.assert_allclose(found.value, expected, rtol=1e-6)


def test_the_file_keeps_units_and_statistics(model: Any) -> None:
    again: Any = srnn.load(model.folder)
    assert again.task.targets == model.task.targets
    x, _ = waves()
    np.testing.assert_array_equal(again.predict(x[3]).scores, model.predict(x[3]).scores)
    result = again.about["result"]
    assert {"mae", "rmse", "r2", "interval", "naive"} <= result.keys() and result["unit"] == "km/h"
    assert "accuracy" not in result


def test_a_stream_gives_what_predict_gives(model: Any) -> None:
    x, _ = waves()
    session = model.stream()
    parts = [session.push(x[1, :7]), session.push(x[1, 7:]), session.finish()]
    whole = model.predict(x[1])
    np.testing.assert_allclose(
        np.concatenate([part.scores for part in parts[:2]]), whole.scores, rtol=1e-6
    )
    np.testing.assert_allclose(parts[2].scores[-1], whole.value, rtol=1e-6)


@pytest.mark.parametrize("compiler", compilers()[:1])
@pytest.mark.parametrize("format", ["c", "int8"])
def test_the_program_prints_the_targets_unit(
    format: Any, compiler: str, model: Any, tmp_path: Path
) -> None:
    x, y = waves()
    model.export(tmp_path / format, format, name="net")
    table = "\n".join(f"{one:.9g}" for one in x[2, :, 0])
    lines = printed(tmp_path / format, compiler, f"{table}\n")
    expected = model.predict(x[2]).scores[:, 0]
    bound = 1e-4 if format == "c" else 0.2 * y.std()
    assert np.abs(np.array(lines) - expected).max() < bound
    assert "(km/h)" in (tmp_path / format / "net.h").read_text()


def printed(folder: Path, compiler: str, given: str) -> list[float]:
    """What the library's program says of a table."""
    sources = [str(folder / name) for name in ("net.c", "net_main.c")]
    command = [compiler, "-std=c99", "-Wall", "-Werror", *sources, "-o", str(folder / "net"), "-lm"]
    subprocess.run(command, check=True, capture_output=True)
    done = subprocess.run([folder / "net"], input=given, capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.splitlines()]


def test_unknown_targets_count_nowhere() -> None:
    """Not in the loss, its gradient, the statistics or the errors, whatever the network says."""
    loss = Loss("mse", targets=Targets((None,), (10.0,), (2.0,)))
    output = torch.zeros(2, 3, 1, requires_grad=True)
    target = torch.tensor([[[10.0], [np.nan], [14.0]], [[np.nan]] * 3])
    scored = loss(output, target, torch.tensor([2, 3]))
    assert scored.counted == scored.weight == 1 and scored.loss.item() == 0.0
    scored = loss(output, target)
    assert scored.counted == 2 and scored.loss.item() == pytest.approx(2.0)  # 0 and (4 / 2)^2
    scored.loss.backward()
    assert output.grad is not None and output.grad.isfinite().all()
    assert output.grad.nonzero().tolist() == [[0, 2, 0]]
    known = Targets((None,)).of_training(target.numpy())
    assert known.mean == (12.0,) and known.std == (2.0,)
    assert Targets((None,)).of_training(np.full((4, 1), 7.0)).std == (1.0,)
    with pytest.raises(SrnnError, match="no target: every one of them is NaN"):
        known.of_training(np.full((4, 1), np.nan))


def test_errors_against_their_definitions() -> None:
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    rng = np.random.default_rng(0)
    said, true = rng.normal(0, 1, (5, 7, 2)), rng.normal(3, 2, (5, 7, 2))
    true[1, 2:] = np.nan
    found = Sums.of(said, true, np.array([3.0, 2.0])).errors()
    known = ~np.isnan(true[..., 0])
    for value in range(2):
        pair = true[known][:, value], said[known][:, value]
        assert found["mae"][value] == pytest.approx(mean_absolute_error(*pair))
        assert found["rmse"][value] == pytest.approx(mean_squared_error(*pair) ** 0.5)
        assert found["r2"][value] == pytest.approx(r2_score(*pair))


@pytest.mark.filterwarnings("ignore:.*throughout every recording")
def test_steps_with_several_values_and_ends(tmp_path: Path) -> None:
    """Sequences of different lengths, each step with two values of very different sizes."""
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(int(length), 1)) for length in rng.integers(5, 12, 24)]
    y = [np.hstack([one, 1e4 * one + 1e5]) for one in x]
    y[0][2] = np.nan
    model: Any = srnn.fit(x, y, classes=["level", "pressure"], unit="m,Pa", overrides=QUIET, **FAST)
    report = model.evaluate("test").report
    assert set(report["values"]) == {"level", "pressure"} and report["unit"] is None
    assert report["values"]["pressure"]["unit"] == "Pa"
    assert set(report["naive"]) == {"mean of the training targets", "target of the step before"}
    found = model.predict(x[0])
    assert found.per_step and found.value.shape == (len(x[0]), 2)
    assert "level" in found.answer and found.answer.endswith(" Pa")


def test_the_naive_answers_are_what_they_say() -> None:
    """Targets that stay as they are for long: the one before is hard to beat, and is that of the
    step before, not of the step itself."""
    steps = np.repeat(np.arange(10.0), 3)
    y = np.tile(steps, (24, 1))
    model = srnn.fit(y[..., None] * 1.0, y, overrides=QUIET, **FAST)
    naive = model.evaluate("test").report["naive"]
    assert naive["target of the step before"]["mae"] == pytest.approx(9 / 29)
    assert naive["mean of the training targets"]["r2"] == pytest.approx(0, abs=1e-6)
    assert naive["mean of the training targets"]["rmse"] == pytest.approx(steps.std(), rel=1e-6)


def tables(folder: Path, odd: str = "") -> Path:
    """Recordings with a column of numbers, some of which are missing."""
    folder.mkdir()
    for number in range(6):
        rng = np.random.default_rng(number)
        table = pd.DataFrame({"time_s": np.arange(40) / 10, "acc": rng.normal(size=40)})
        table["speed"] = [f"{value:.3f}" for value in np.cumsum(table.acc)]
        table.loc[:3, "speed"] = odd
        table.to_csv(folder / f"{number}.csv", index=False)
    return folder


def test_a_column_of_numbers_is_a_value_of_each_step(tmp_path: Path) -> None:
    options = {"label": "speed", "window": 2}
    task = create_task("folder", path=str(tables(tmp_path / "rec")), unit="m/s", **options)
    assert (task.kind, task.class_names) == ("per_step", ("speed",))
    assert task.inputs == 1 and task.signal().names == ("acc",)
    split = task.load("train")
    assert split.y.shape == (*split.x.shape[:2], 1) and split.y.dtype == np.float32
    begins = np.isnan(split.y[:, :4, 0]).all(1)
    assert begins.sum() == len(split.y) / 2 and not np.isnan(split.y[~begins]).any()
    named = create_task("folder", path=str(tmp_path / "rec"), answer="classes", label="speed")
    assert named.targets is None and len(named.class_names) > 20
    with pytest.raises(SrnnError, match="labels are read as values, but 'odd' is not a number"):
        odd = str(tables(tmp_path / "odd", "odd"))
        create_task("folder", path=odd, answer="values", **options).load("train")


def test_a_table_of_files_with_numbers(tmp_path: Path) -> None:
    x, y = waves(24)
    rows = ["file,label"]
    for number, one in enumerate(x):
        pd.DataFrame({"a": one[:, 0]}).to_csv(tmp_path / f"{number}.csv", index=False)
        rows.append(f"{number}.csv,{y[number]:.4f}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    task = create_task("folder", path=str(tmp_path / "t.csv"))
    splits = {name: task.load(name) for name in ("train", "validation", "test")}
    assert sum(map(len, splits.values())) == 24 and all(len(one) > 2 for one in splits.values())
    train = splits["train"]
    assert task.kind == "per_sequence" and train.y.shape == (len(train), 1)
    whole = [line.rpartition(",") for line in rows[1:]]
    (tmp_path / "t.csv").write_text(
        "\n".join(["file,label", *(f"{one[0]},{float(one[2]):.0f}" for one in whole)])
    )
    assert create_task("folder", path=str(tmp_path / "t.csv")).targets is None
    asked = create_task("folder", path=str(tmp_path / "t.csv"), answer="values")
    assert asked.targets == Targets((None,))


def test_a_split_of_values_is_checked() -> None:
    x = np.zeros((3, 4, 1), np.float32)
    Split(x, np.full((3, 1), np.nan, np.float32)).validate("here", 1)
    for y, words in (
        (np.zeros((3, 2), np.float32), r"labels must be float32 \(3, 1\)"),
        (np.full((3, 1), np.inf, np.float32), "targets must be finite, or NaN for none"),
        (np.zeros((3, 5, 1), np.float32), r"labels must be float32 \(3, 1\) or \(3, 4, 1\)"),
    ):
        with pytest.raises(SrnnError, match=words):
            Split(x, y).validate("here", 1)


def test_the_commands(model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, _ = waves()
    file, run = tmp_path / "x.csv", str(model.folder)
    pd.DataFrame({"time_s": np.arange(20) / 10, "a": x[0, :, 0]}).to_csv(file, index=False)
    value = float(model.predict(file).value[0])
    assert main(["predict", run, str(file)]) == 0
    assert capsys.readouterr().out.strip().endswith(f"{value:.4g} km/h")
    assert main(["predict", run, str(file), "--json", "--over-time"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["results"]
    assert found["values"] == {"value": pytest.approx(value)} and found["units"]["value"] == "km/h"
    assert len(found["over_time"]["value"]) == found["steps"] == 20
    assert main(["predict", run, str(file), "--csv", "--over-time"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "file,step,seconds,value (km/h)"
    assert main(["stream", run, str(file)]) == 0
    assert f"{value:.4g} km/h" in capsys.readouterr().out.splitlines()[0]
    assert main(["stream", run, str(file), "--json"]) == 0
    decision = json.loads(capsys.readouterr().out.splitlines()[0])
    assert decision["values"] == [pytest.approx(value)] and decision["class"] is None


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["stream", "RUN", "x.csv", "--report", "change"], "--report change is for networks"),
        (["evaluate", "RUN", "--live"], "can be measured with --live"),
    ],
)
def test_what_needs_classes_says_so(
    command: list[str], words: str, model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fails(capsys, *(str(model.folder) if word == "RUN" else word for word in command))
    assert words in said
