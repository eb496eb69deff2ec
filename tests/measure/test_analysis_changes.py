"""Time to decision after a change of the true class: by hand, and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srnn.cli.show_section import show_section
from srnn.data.datasets import Split
from srnn.measure.analysis import analyse
from srnn.measure.analysis.changes import ChangeTimes
from srnn.model.trained import Trained
from support.tiny import TinyStepTask, tiny_recipe


class ChangingTask(TinyStepTask):
    """Each sequence's class changes at steps 4 and 8; one step in the middle has no label."""

    def load(self, split, data_dir=None) -> Split:
        data = super().load(split, data_dir)
        y = (data.y.max(1, keepdims=True) + np.arange(12) // 4) % 3
        y[:, 10] = -1
        return Split(data.x, y, data.lengths)


def confidences_by_step(rows: list[list[tuple[int, float]]], classes: int = 3) -> np.ndarray:
    """(class, its probability) at every step -> (B, T, classes), the rest shared evenly."""
    found = np.zeros((len(rows), len(rows[0]), classes))
    for i, row in enumerate(rows):
        for t, (predicted, probability) in enumerate(row):
            found[i, t] = (1 - probability) / (classes - 1)
            found[i, t, predicted] = probability
    return found


def test_by_hand() -> None:
    true = np.array([[0, 0, 1, 1, 1, 2, -1, 2]])
    # After the change to 1: sure of 0 at once (0.9), of 1 two steps later. After that to 2: never.
    # 2 after the gap: not seen.
    confidences = confidences_by_step(
        [[(0, 0.99), (0, 0.99), (0, 0.9), (1, 0.6), (1, 0.95), (1, 0.4), (2, 1.0), (2, 1.0)]]
    )
    found = ChangeTimes(10, 4.0, True, (0.5, 0.8, 0.95))
    found.add(true, confidences)
    low, middle, high = found.points
    assert found.changes == 2
    assert low.reached == 0.5 and low.mean_steps == 0.0 and low.median_steps == 0.0
    assert low.accuracy_reached == 0.0
    assert (low.right, low.right_mean_steps, low.right_median_steps) == (0.5, 1.0, 1.0)
    assert (middle.reached, middle.mean_steps, middle.accuracy_reached) == (0.5, 0.0, 0.0)
    assert (middle.right, middle.right_mean_steps) == (0.5, 2.0)
    assert (high.reached, high.mean_steps, high.accuracy_reached) == (0.5, 2.0, 1.0)
    assert found.to_dict()["points"][2]["right_mean_steps"] == 2.0


def test_without_a_change_nothing_is_known() -> None:
    found = ChangeTimes(4, None, True)
    found.add(np.array([[0, 0, 0, 0], [-1, 1, -1, 2]]), np.full((2, 4, 3), 1 / 3))
    assert found.changes == 0
    assert all(
        (point.reached, point.mean_steps, point.right) == (None, None, None)
        for point in found.points
    )


@given(st.integers(0, 1000))
def test_against_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = np.repeat(rng.integers(-1, 3, (4, 10)), rng.integers(1, 4), axis=1)
    confidences = rng.dirichlet(np.full(3, 0.4), true.shape)
    counts = ChangeTimes(true.shape[1] + 2, None, True, (0.5, 0.9))
    counts.add(true[:3], confidences[:3])
    counts.add(true[3:], confidences[3:])
    for point in counts.points:
        changes, sure, right, was_right = 0, [], [], 0
        for row, seen in zip(true, confidences, strict=True):
            for start in range(1, len(row)):
                if row[start] == row[start - 1] or row[start] < 0 or row[start - 1] < 0:
                    continue
                changes += 1
                stretch = [
                    t for t in range(start, len(row)) if (row[start : t + 1] == row[start]).all()
                ]
                for t in stretch:
                    if seen[t].max() >= point.confidence:
                        sure.append(t - start)
                        was_right += seen[t].argmax() == row[t]
                        break
                right += [t - start for t in stretch if seen[t][row[t]] >= point.confidence][:1]
        assert counts.changes == changes
        for waits, share, mean, median in (
            (sure, point.reached, point.mean_steps, point.median_steps),
            (right, point.right, point.right_mean_steps, point.right_median_steps),
        ):
            assert share == (len(waits) / changes if changes else None)
            assert (mean, median) == ((np.mean(waits), np.median(waits)) if waits else (None, None))
        assert point.accuracy_reached == (was_right / len(sure) if sure else None)


@pytest.mark.parametrize("both", ["false", "true"])
def test_a_decision_at_every_step_has_it(
    both: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = ChangingTask()
    recipe = tiny_recipe("--loss.name=nll", f"--network.bidirectional={both}")
    found = analyse(Trained(recipe.build_network(task, 0), task, recipe), batch_size=7)
    assert found.change_times is not None and found.change_times.changes == 60
    assert found.change_times.online is (both == "false")
    assert found.to_dict()["change_times"]["changes"] == 60
    assert found.change_times.points[0].confidence == 0.5
    monkeypatch.setenv("COLUMNS", "120")
    show_section(found.sections()["change_times"])
    text = capsys.readouterr().out
    assert "changes of the true class: 60" in text and ("bidirectional" in text) == (both == "true")
    assert found.change_times.label_lag == 0 and "labels come after" not in text


def test_late_labels_are_said_to_be_late(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ChangingTask, "lag", lambda *_: 19)
    task, recipe = ChangingTask(), tiny_recipe("--loss.name=nll")
    found = analyse(Trained(recipe.build_network(task, 0), task, recipe))
    assert found.to_dict()["change_times"]["label_lag"] == 19
    show_section(found.sections()["change_times"])
    assert "steps by which labels come after what they name: 19" in capsys.readouterr().out


def test_one_decision_a_sequence_has_none() -> None:
    from support.tiny import TinyTask

    recipe, task = tiny_recipe(), TinyTask()
    found = analyse(Trained(recipe.build_network(task, 0), task, recipe))
    assert found.change_times is None and found.to_dict()["change_times"] is None
