"""Tasks: what a recipe can name, with every wrong name and value answered in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, is_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from srnn.data.batches import Sequences, evenly_spread
from srnn.data.datasets import Split
from srnn.data.datasets.digits import DigitsTask
from srnn.data.datasets.ecg import ECGTask
from srnn.data.encoders import LevelCrossing
from srnn.data.signals import CrossingPath
from srnn.data.tasks import Task, TaskMetadata, create_task, known_tasks, register
from srnn.errors import SrnnError
from support.refusing import refuses

WITHOUT_OPTIONS = [
    name for name in known_tasks() if name != "folder"
]  # which has to know the folder


@pytest.mark.parametrize("name", WITHOUT_OPTIONS)
def test_every_task_describes_itself(name: str) -> None:
    task = create_task(name)
    assert type(task) is known_tasks()[name] and task.name == name and isinstance(task, Task)
    least = 2 if task.targets is None else 1
    assert (
        task.inputs >= 1
        and task.outputs == len(task.class_names) == len(set(task.class_names)) >= least
    )
    assert task.kind in ("per_sequence", "per_step")
    assert task.step_ms is None or task.step_ms > 0
    assert task.unlabelled_class is None or 0 <= task.unlabelled_class < task.outputs
    assert is_dataclass(task) and task == create_task(name)
    with pytest.raises(FrozenInstanceError):
        setattr(task, fields(task)[0].name, 1)


def test_the_list_of_tasks_is_read_only() -> None:
    with pytest.raises(TypeError):
        known_tasks()["mine"] = DigitsTask  # type: ignore[index]


def test_digits() -> None:
    task = DigitsTask()
    splits = [task.load(name) for name in ("train", "validation", "test")]  # type: ignore[arg-type]
    assert sum(map(len, splits)) == 1797
    for split in splits:
        assert split.validate("digits", task.outputs, task.inputs) is split
        assert (
            split.x.shape[1:] == (64, 8)
            and np.min(split.x) >= 0
            and np.max(split.x) == 1
            and split.y.ndim == 1
        )
    one = DigitsTask(window=1).load("test")
    np.testing.assert_array_equal(
        one.x[:, :57, 0], splits[2].x[:, :57, 0]
    )  # the same pixels, seven fewer ahead
    np.testing.assert_array_equal(one.x[:, -8:, 0], splits[2].x[:, -1])
    assert DigitsTask(window=64).load("test").x.shape[1:] == (64, 64)


def test_digits_do_not_look_at_the_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRNN_DATA", "/nowhere")
    assert len(DigitsTask().load("test", Path("/nowhere/either"))) == 355


def test_ecg_is_the_papers_task() -> None:
    task = ECGTask()
    assert (task.inputs, task.outputs, task.kind, task.step_ms, task.unlabelled_class) == (
        4,
        6,
        "per_step",
        4.0,
        0,
    )
    assert task.class_names == ("P", "PQ", "QR", "RS", "ST", "TP")


@pytest.mark.parametrize(
    ("source", "how"),
    [
        ("paper_split", "from github"),
        ("records", r"with 'srnn data fetch qtdb', or from physionet\.org"),
    ],
)
def test_ecg_without_data_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Any, how: str
) -> None:
    monkeypatch.setenv("SRNN_DATA", str(tmp_path))
    for split in ("train", "validation", "test"):
        with pytest.raises(
            SrnnError, match=rf"not found.*get the data {how}.*\(data_dir or SRNN_DATA\)"
        ):
            ECGTask(source).load(split)  # type: ignore[arg-type]


def test_the_real_ecg(data_dir: Path) -> None:
    task = ECGTask()
    for name, count in (("train", 531), ("validation", 87)):
        split = task.load(name, data_dir)  # type: ignore[arg-type]
        assert split.x.shape == (count, 1301, 4) and split.y.shape == (count, 1301)
        assert split.validate("ecg", task.outputs, task.inputs).y.min() == -1
    if not (data_dir / "qtdb" / "paper_split" / "QTDB_test.mat").is_file():
        with pytest.raises(SrnnError, match=r"QTDB_test\.mat was not found"):
            task.load("test", data_dir)


@pytest.mark.slow
def test_the_real_ecg_from_records(data_dir: Path) -> None:
    pytest.importorskip("wfdb", reason='wfdb is not installed: pip install "srnn[ecg]"')
    task = create_task(
        "ecg", source="records", label_lag=19, rule="send_on_delta", threshold_up=0.2, stride=1301
    )
    split = task.load("validation", data_dir)
    assert split.x.shape[1:] == (1301, 4) and split.groups is not None and "sel103" in split.groups


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ECG", {}, "There is no task 'ECG'. Did you mean 'ecg'?"),
        ("kwyjibo", {}, "There is no task 'kwyjibo'. There are: digits, ecg, "),
        (
            "kwyjibo",
            {},
            "Your own have a name once their class is defined: import its module first.",
        ),
        (None, {}, "There is no task None. There are: digits, ecg, "),
        ("digits", {"name": "x"}, "The task 'digits' has no option 'name'."),
        ("digits", {"kind": "x"}, "The task 'digits' has no option 'kind'."),
        ("ecg", {"validation_fractions": 0.1}, "Did you mean 'validation_fraction'?"),
        ("digits", {"window": 0}, "'window' must be an integer from 1 to 64, not 0."),
        ("digits", {"window": 65}, "'window' must be an integer from 1 to 64"),
        ("digits", {"window": "8"}, "'window' must be an integer"),
        ("digits", {"window": 2.5}, "'window' must be an integer"),
        ("digits", {"window": True}, "'window' must be an integer"),
        ("digits", {"window": None}, "'window' must be an integer"),
        (
            "digits",
            {"validation_fraction": 1.0},
            "'validation_fraction' must be a number above 0 and below 1",
        ),
        (
            "digits",
            {"validation_fraction": float("nan")},
            "'validation_fraction' must be a number above 0 and below 1",
        ),
        (
            "digits",
            {"validation_fraction": [0.1]},
            "'validation_fraction' must be a number above 0 and below 1",
        ),
        ("digits", {"splitting": "contigous"}, "'splitting' must be one of"),
        ("digits", {"splitting": ["contiguous"]}, "'splitting' must be one of"),
        ("ecg", {"source": "record"}, "'source' must be one of"),
        ("ecg", {"source": {}}, "'source' must be one of"),
        ("ecg", {"validation_blocks": -1}, "'validation_blocks' must be an integer"),
        ("ecg", {"source": "records", "rule": "delta"}, "'rule' must be one of"),
        ("ecg", {"source": "records", "rule": []}, "'rule' must be one of"),
        ("ecg", {"source": "records", "threshold_up": 0}, "threshold"),
        ("ecg", {"source": "records", "threshold_down": "x"}, "threshold"),
        ("ecg", {"source": "records", "smoothing": 6}, "'smoothing' must be 0"),
        (
            "ecg",
            {"source": "records", "validation_fraction": 0.2},
            "no effect with source 'records'",
        ),
        ("ecg", {"window": 100}, "'window' has no effect with source 'paper_split'"),
        ("ecg", {"label_lag": 10**12}, "'label_lag' must be an integer from 0 to 1,301"),
        (
            "ecg",
            {"source": "records", "label_lag": 10**12},
            "'label_lag' must be an integer from 0 to 1,301",
        ),
        ("ecg", {"label_lag": -1}, "'label_lag' must be an integer from 0 to 1,301"),
        ("phones", {"label_lag": 101}, "'label_lag' must be an integer from 0 to 100"),
        ("gsc", {"version": [1]}, "'version' must be one of 1, 2, not [1]"),
        ("timit", {"label_lag": 0.5}, "'label_lag' must be an integer from 0 to 100"),
    ],
)
def test_every_mistake_is_one_line(name: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SrnnError) as error:
        create_task(name, **options)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", WITHOUT_OPTIONS)
def test_an_unknown_split_is_refused(name: str, data_dir: Path) -> None:
    with pytest.raises(SrnnError, match="Did you mean 'validation'"):
        create_task(name).load("valid", data_dir)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "module",
    [
        "srnn.errors",
        "srnn.data.encoders",
        "srnn.data.datasets",
        "srnn.data.tasks; srnn.data.tasks.known_tasks()",
    ],
)
def test_importing_is_cheap(module: str) -> None:
    """Heavy libraries are imported by ``load``; and none of this needs torch (``import srnn``
    itself does)."""
    code = (
        "import sys, types, pathlib\n"
        "package = types.ModuleType('srnn'); package.__path__ = [sys.argv[1]]; sys.modules['srnn'] "
        "= package\n"
        f"import {module}\n"
        "bad = {'torch', 'sklearn', 'scipy', 'wfdb', 'pandas', 'h5py', 'matplotlib'} & "
        "set(sys.modules)\n"
        "sys.exit(', '.join(sorted(bad)) or 0)"
    )
    root = Path(sys.modules["srnn"].__file__ or "").parent
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("stated", "field", "kind"),
    [
        ({}, "name", "missing"),
        ({"name": "mine"}, "kind", "missing"),
        ({"name": "mine", "kind": "per_step"}, "class_names", "missing"),
        ({"name": "mine", "kind": "per_stop", "class_names": ("a", "b")}, "kind", "value"),
        ({"name": "digits", "kind": "per_step", "class_names": ("a", "b")}, "name", "exists"),
    ],
)
def test_a_task_of_ones_own_that_states_too_little_is_not_registered(
    stated: dict[str, Any], field: str, kind: Any
) -> None:
    known_tasks()
    with refuses(field, kind):
        register(type("Mine", (Task,), stated))
    assert "mine" not in known_tasks()


def test_a_task_of_ones_own_without_inputs_or_a_split_is_refused() -> None:
    stated = {"name": "mine", "kind": "per_step", "class_names": ("a", "b")}
    task = type("Mine", (Task,), stated | {"load": lambda *_: ([], [])})()
    with refuses("inputs", "missing"):
        _ = task.inputs  # which would call signal(), which would call inputs, ...
    with refuses("load"):
        Sequences(task, "train")


class Told(Task):
    """Of a split of four sequences of five steps, with what a test wants otherwise."""

    name, kind, class_names, inputs = "told", "per_sequence", ("a", "b"), 3

    def __init__(self, **changes: Any) -> None:
        self.changes = changes

    def load(self, split: Any, data_dir: Path | None = None) -> Split:
        arrays = {
            "x": np.zeros((4, 5, 3), np.float32),
            "y": np.array([0, 1, -1, 1]),
            "lengths": np.array([1, 5, 2, 4]),
        }
        return Split(**(arrays | self.changes))


def test_a_kind_that_depends_on_options_is_checked_with_the_data() -> None:
    """Where ``register`` has only a property to look at. A network of another kind could not be
    saved."""
    task = type("Mine", (Told,), {"kind": property(lambda self: "per_stop")})()
    with pytest.raises(SrnnError, match="'kind' must be one of"):
        Sequences(task, "train")


def not_finite(value: float) -> np.ndarray:
    x = np.zeros((4, 5, 3), np.float32)
    x[2, 4, 1] = value
    return x


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((4, 5))}, "inputs must be float32 (sequences, steps, 3 channels), not (4, "
                                  "5)."),
        ({"x": np.zeros((4, 5, 2))}, "inputs must be float32 (sequences, steps, 3 channels), not "
                                     "(4, 5, 2)."),
        ({"x": np.zeros((0, 5, 3)), "y": np.zeros(0, int), "lengths": None},
         "there are no sequences (inputs have the shape (0, 5, 3))."),
        ({"y": np.zeros(3, int)}, "labels must be int64 (4,), not int64 (3,)."),
        ({"y": np.zeros((4, 5), int)}, "labels must be int64 (4,), not int64 (4, 5)."),
        ({"y": np.array([0, 1, 2, 1])}, "labels must be 0 to 1, or -1 for none, but range from 0 "
                                        "to 2."),
        ({"y": np.array([0, 1, -2, 1])}, "labels must be 0 to 1, or -1 for none, but range from -2 "
                                         "to 1."),
        ({"lengths": np.array([1, 5, 2, 4, 1])}, "lengths must be int64 (4,), not int64 (5,)."),
        ({"lengths": np.array([1, 5, 0, 4])}, "lengths must be 1 to 5."),
        ({"lengths": np.array([1, 6, 2, 4])}, "lengths must be 1 to 5."),
        *[({"x": not_finite(value)},
           f"sequence 2, step 4, channel 1 (all counted from 0) is {value}. Repair or drop it.")
          for value in (np.nan, np.inf, -np.inf)],
    ],
)  # fmt: skip
def test_a_split_that_is_not_its_tasks_is_refused_in_one_line(
    changes: dict[str, Any], message: str
) -> None:
    assert len(Sequences(Told(), "train")) == 4
    with pytest.raises(SrnnError) as error:
        Sequences(Told(**changes), "validation")
    assert str(error.value).startswith("The validation split of task 'told': ") and str(
        error.value
    ).endswith(message)


def test_sequences_are_told_from_others_by_their_labels_lengths_and_groups() -> None:
    """The same on any machine, whatever object holds a group's name."""
    names = np.array(["a", "b", "a", "c"])
    digests = {
        Sequences(Told(**changes), "train").digest()
        for changes in (
            {}, {"lengths": None}, {"lengths": np.array([1, 5, 3, 4])}, {"y": np.array([0, 1, 1, 1])}, {"groups": names},
            {"groups": names[::-1]}, {"x": np.zeros((4, 6, 3), np.float32)},
        )
    }  # fmt: skip
    assert len(digests) == 7
    assert Sequences(Told(groups=names.astype(object)), "train").digest() in digests


def test_a_batch_is_as_long_as_the_longest_of_its_sequences() -> None:
    x = np.arange(60, dtype=np.float32).reshape(4, 5, 3)
    sequences = Sequences(Told(x=x), "train")
    assert sequences.typical_length == 3 and [sequences.length_of(index) for index in range(4)] == [
        1,
        5,
        2,
        4,
    ]
    batches = list(sequences.batches(2, most=3))
    assert [tuple(batch.x.shape) for batch in batches] == [(2, 5, 3), (1, 2, 3)]
    assert [batch.steps for batch in batches] == [6, 2] and [
        batch.y.tolist() for batch in batches
    ] == [[0, 1], [-1]]
    np.testing.assert_array_equal(batches[1].x, x[2:3, :2])
    np.testing.assert_array_equal(sequences.steps_of(3), x[3, :4])
    part = batches[0][np.array([1])]
    assert part.y.tolist() == [1] and part.lengths is not None and part.lengths.tolist() == [5]
    assert [len(batch.y) for batch in sequences.batches(3)] == [3, 1]
    whole = Sequences(Told(x=x, lengths=None), "train")
    assert whole.typical_length == whole.length_of(0) == 5 and next(whole.batches(2)).steps == 10
    assert (
        Sequences(Told(lengths=np.array([1, 5, 1, 2])), "train").typical_length == 1
    )  # as half of them are at most
    for size in (0, -1, 1.5):
        with refuses("batch_size"):
            next(sequences.batches(size))  # type: ignore[arg-type]


def test_what_a_stream_is_given_for_a_sequence_is_its_part_of_a_signal_or_what_undoes_its_encoding() -> (
    None
):
    x = np.arange(60, dtype=np.float32).reshape(4, 5, 3)
    signals, path = (
        [np.arange(20)[:, None]] * 4,
        SimpleNamespace(form="signal", decode=lambda steps: 2 * steps),
    )
    told = {}
    for name, more in {
        "part": {"starts": np.array([3, 0, 1, 9])},
        "whole": {},
        "undone": {"signals": None},
    }.items():
        sequences = Sequences(Told(**{"x": x, "signals": signals, **more}), "train")
        told[name] = sequences.signal_of(3, path)  # type: ignore[arg-type]
    path.form = "steps"
    told["steps"] = Sequences(Told(x=x, signals=signals), "train").signal_of(3, path)  # type: ignore[arg-type]
    assert all(signal is not None and signal.dtype == np.float32 for signal in told.values())
    assert told["part"][:, 0].tolist() == [9, 10, 11, 12] and told["whole"][:, 0].tolist() == list(
        range(20)
    )
    np.testing.assert_array_equal(told["undone"], 2 * x[3, :4])
    np.testing.assert_array_equal(told["steps"], 2 * x[3, :4])


def test_sequences_that_are_shown_are_spread_over_split_and_classes() -> None:
    y = np.repeat([2, 0, 1], 20)
    assert y[evenly_spread(y, 3)].tolist() == [0, 1, 2] and y[evenly_spread(y, 6)].tolist() == [
        0,
        0,
        1,
        1,
        2,
        2,
    ]
    assert evenly_spread(np.zeros((10, 4), np.int64), 2).tolist() == [2, 7]
    assert sorted(evenly_spread(y, 100).tolist()) == list(range(60)) and not len(
        evenly_spread(y, 0)
    )


@pytest.mark.parametrize("name", ["x", "y", "lengths", "groups"])
def test_a_split_is_of_arrays(name: str) -> None:
    arrays = {"x": np.zeros((2, 3, 1), np.float32), "y": np.zeros(2, np.int64), name: [1, 2]}
    with pytest.raises(SrnnError, match=f"{name} of a Split must be an array, not a list"):
        Split(**arrays)  # type: ignore[arg-type]


def test_inputs_that_are_rises_and_falls_are_named_in_pairs() -> None:
    assert create_task("ecg").signal().pairs == ("lead 1", "lead 2")
    assert create_task("digits").signal().pairs == ()
    assert CrossingPath(LevelCrossing(), 3).pairs == ("channel 1", "channel 2", "channel 3")


def test_analog_inputs_of_the_papers_tables_are_a_tasks_own_and_kept_with_a_model() -> None:
    analog = {name for name, task in known_tasks().items() if task.analog_in_paper}
    assert analog == {"smnist", "psmnist"}
    kept = create_task("psmnist").described().plain()
    assert TaskMetadata.restored(json.loads(json.dumps(kept)), "model").analog_in_paper is True
