"""Recipes of someone else: nothing of them is imported, made, called or read as a file; no number
in them eats the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from srnn import SrnnError
from srnn.model.network import MOST_LAYERS, MOST_NEURONS
from srnn.studies.schema import load_sweep
from srnn.training.recipes import load_recipe, parse_recipe

pytestmark = pytest.mark.robust

FREE = (
    "task.options.x",
    "network.neuron.x",
    "network.readout.x",
    "network.surrogate.x",
    "network.encoder.x",
)


def calls(path: Path) -> list[dict[str, Any]]:
    """What jsonargparse made of such mappings when it checked types: a call of any function, an
    object of any class."""
    return [
        {"class_path": "subprocess.getoutput", "init_args": {"cmd": f"touch {path}"}},
        {"class_path": "os.system", "init_args": {"command": f"touch {path}"}},
        {"class_path": "logging.FileHandler", "init_args": {"filename": str(path)}},
        {"class_path": "pathlib.Path", "init_args": {}},
        {"class_path": "builtins.open", "init_args": {"file": str(path), "mode": "w"}},
    ]


def walk(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value, *(found for item in inner for found in walk(item))]


@pytest.mark.parametrize("key", FREE)
def test_a_recipe_can_neither_call_nor_make_anything(key: str, tmp_path: Path) -> None:
    written = tmp_path / "written"
    for call in calls(written):
        for value in (call, [call], {"deeper": [call]}):
            *path, last = key.split(".")
            content: dict[str, Any] = {last: value}
            for name in reversed(path):
                content = {name: content}
            content["task"] = {"name": "digits"} | content.get("task", {})
            for recipe in (
                parse_recipe(yaml.safe_dump(content)),
                load_recipe("digits", {key: value}),
            ):
                kinds = {type(found) for found in walk(recipe.to_dict())}
                assert kinds <= {dict, list, str, int, float, bool, type(None)}
        with pytest.raises(SrnnError):
            recipe.build_network(recipe.create_task(), 0)
    assert not written.exists()


@pytest.mark.parametrize("key", ["task", "network", "training.optimizer", "loss.rate"])
def test_a_section_is_not_chosen_by_a_class(key: str, tmp_path: Path) -> None:
    for call in calls(tmp_path / "written"):
        with pytest.raises(SrnnError, match="unknown key"):
            load_recipe("digits", {key: call})


@pytest.mark.parametrize(
    "key",
    [
        "network.hidden",
        "training.lr_scale",
        "task.options",
        "network.recurrent",
        "training.epochs",
        "task",
    ],
)
def test_no_value_is_read_from_another_file(key: str, tmp_path: Path) -> None:
    for name, text in (("list.yaml", "[3, 4]"), ("map.yaml", "{a: 1}"), ("one.yaml", "1")):
        path = tmp_path / name
        path.write_text(text)
        for given in (str(path), f"file://{path}", f"@{path}", f"!include {path}"):
            with pytest.raises(SrnnError):
                load_recipe("digits", {key: given})


def test_nothing_of_the_environment_gets_into_a_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRAINING__EPOCHS", "SRNN_TRAINING__EPOCHS", "JSONARGPARSE_DEFAULT_ENV"):
        monkeypatch.setenv(name, "77")
    recipe = parse_recipe("task: {name: digits}\nnote: ${TRAINING__EPOCHS}")
    assert recipe.training.epochs == 20
    assert recipe.note == "${TRAINING__EPOCHS}"


@pytest.mark.parametrize(
    ("key", "most", "beyond"),
    [
        ("network.hidden", [MOST_NEURONS], [MOST_NEURONS + 1]),
        ("network.hidden", [1] * MOST_LAYERS, [1] * (MOST_LAYERS + 1)),
        ("network.hidden", [4096] * 8, [16_384, 1]),
        ("network.hidden", [1], [10**9]),
        ("network.substeps", 10_000, 10_001),
        ("training.epochs", 10_000_000, 10_000_001),
        ("training.batch_size", 10_000_000, 10_000_001),
        ("training.max_skipped", 10**12, 10**12 + 1),
        ("loss.start", 10**12, 10**12 + 1),
        ("training.optimizer.eps", 1.0, float("inf")),
        ("training.optimizer.weight_decay", 1.0, float("inf")),
        ("training.schedule.factor", 1.0, float("inf")),
        ("training.schedule.final", 1.0, float("inf")),
    ],
)
def test_numbers_end_where_no_training_comes_near(key: str, most: Any, beyond: Any) -> None:
    load_recipe("digits", {key: most})
    with pytest.raises(SrnnError, match=key):
        load_recipe("digits", {key: beyond})


@pytest.mark.parametrize(
    "value",
    ["1e999", ".nan", "[[[[1]]]]", "{a: {b: c}}", "'" + "x" * 5000 + "'", "[" + "1," * 9000 + "1]"],
)
@pytest.mark.parametrize(
    "key",
    [
        "network.hidden",
        "training.epochs",
        "training.optimizer.lr",
        "training.schedule.name",
        "loss.start",
    ],
)
def test_odd_values_are_one_short_line(key: str, value: str) -> None:
    with pytest.raises(SrnnError) as caught:
        load_recipe("digits", [f"--{key}", value])
    assert len(str(caught.value)) < 1000 and str(caught.value).isprintable()


def test_a_file_of_many_keys_or_of_aliases_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    for text in (
        "".join(f"k{i}: 1\n" for i in range(60_000)),
        "note: &a [*a]",
        "a: &a [1,1]\nb: [*a,*a]\n" + "c: 1",
    ):
        path.write_text(text)
        for load in (load_recipe, load_sweep):
            with pytest.raises(SrnnError, match=r"mine\.yaml") as caught:
                load(str(path))
            assert len(str(caught.value)) < 1000


SEEDS = f"seeds: {list(range(100))}"
GRID = "".join(f"  training.lr_scale.a{i}: [{', '.join(map(str, range(10)))}]\n" for i in range(12))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"parameters:\n{GRID}", "at most 100,000 trainings, not 1,000,000,000,000"),
        (f"parameters: {{training.epochs: {list(range(1001))}}}\n{SEEDS}", "not 100,100"),
        ("sampler: tpe\ntrials: 1000000000\nparameters: {training.epochs: "
         "[1]}", "not 1,000,000,000"),
        ("sampler: tpe\ntrials: 1e9\nparameters: {training.epochs: [1]}", "'trials' must be"),
        ("sampler: {name: tpe, seed: 9223372036854775808}\ntrials: 1\nparameters: "
         "{training.epochs: [1]}", "sampler.seed"),
        (f"seeds: [{', '.join(['1'] * 30_000)}]", "'seeds' must be"),
        ("seeds: [9223372036854775808]", "'seeds' must be"),
        ("seeds: &s [*s]", "alias"),
        ("variants: [{'..': {}}]", "a unique name"),
        ("variants: [{null: {}}]", "not text"),
        (f"variants: [{{{'a' * 201}: {{}}}}]", "too long"),
        (f"parameters: {{training.epochs: [{'[' * 4000}{']' * 4000}]}}", "nested too deeply"),
        *(
            (f"sampler: tpe\ntrials: 1\nparameters: {{training.optimizer.lr: "
             f"'{given}'}}", "training.optimizer.lr")
            for given in ("uniform(-1e999, 1)", "uniform(1e999, 2e999)", "uniform(-1e308, "
                                                                         "1e308)", "uniform(.nan, "
                                                                                   "1)",
                          "integer(0, 1e300)", "integer(-1e17, "
                                               "0)", "uniform(" + " " * 100_000, "uniform(1,2),uniform(1,2)")
        ),
    ],
)  # fmt: skip
def test_a_sweep_of_nonsense_is_one_line_before_anything_is_made_of_it(
    text: str, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"recipe: digits\n{text}\n")
    with pytest.raises(SrnnError, match=expected) as caught:
        load_sweep(str(path))
    assert "mine.yaml" in str(caught.value) and len(str(caught.value)) < 2100


def test_a_sweep_at_its_limits_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "recipe: digits\nsampler: tpe\ntrials: 100000\nparameters: {training.epochs: 'integer( "
        "-9007199254740992 , 1 )'}"
    )
    assert load_sweep(str(path)).size == 100_000
    path.write_text(f"recipe: digits\nvariants: [{{{'a' * 200}: {{}}}}]")
    assert load_sweep(str(path)).size == 1


def test_no_point_of_a_sweep_lies_outside_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "recipe: digits\nparameters: {'training.lr_scale.../../x': [1], "
        "'training.lr_scale./tmp/y': ['../..', /etc]}"
    )
    for point in load_sweep(str(path)).grid_points():
        assert (tmp_path / "runs" / point).resolve().parent == tmp_path / "runs"
