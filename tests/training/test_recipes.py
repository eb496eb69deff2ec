"""Recipes: all shipped ones load and build; every mistake is one line that names the key and the
nearest right one."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn import SrnnError
from srnn.data.datasets.base import data_folder
from srnn.model.network import network_config
from srnn.model.recipe import OptimizerConfig, TaskConfig
from srnn.nn.loss_config import LossConfig
from srnn.nn.network import SRNN, Layer
from srnn.training.loop import train
from srnn.training.recipes import (
    Recipe,
    dump_recipe,
    load_recipe,
    parse_recipe,
    recipe_keys,
    shipped_recipes,
)
from srnn.training.recipes.baselines import as_baseline
from srnn.training.recipes.reading import recipe_content
from support.layouts import WRITERS
from support.pages import ROOT
from support.refusing import refuses
from support.sounds import tone, write_wav

RECIPES = [*shipped_recipes(), *map(str, sorted((ROOT / "paper" / "recipes").rglob("*.yaml")))]
"""Those of the package by name, and those in paper/ as files."""


def short(name: str) -> str:
    return name.removeprefix(f"{ROOT}/")


@pytest.mark.parametrize("name", RECIPES, ids=short)
def test_shipped_recipe_loads_builds_and_reads_back(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(name)
    if recipe.task.name == "folder":  # it looks for its data when it is made
        WRITERS["folder"](tmp_path)
        monkeypatch.setenv("SRNN_DATA", str(tmp_path))
    assert recipe.note
    assert parse_recipe(dump_recipe(recipe)) == recipe
    task = recipe.create_task()
    network = recipe.build_network(task, seed=0)
    assert (network.inputs, network.outputs) == (task.inputs, task.outputs)


def test_a_folded_norm_leaves_a_bias() -> None:
    text = "task: {name: digits}\nnetwork: {hidden: [4, 3], bias: false, norm: [none, {gamma: 2}]}"
    network = parse_recipe(text).network
    assert (network.folded().norm, network.folded().bias) == ("none", [False, True])
    whole = network.build(8, 10, seed=0)
    assert isinstance(whole, SRNN)
    folded = network.folded().build(8, 10, seed=0)
    assert {name: value.shape for name, value in whole.eval().fold().state_dict().items()} == {
        name: value.shape for name, value in folded.state_dict().items()
    }
    assert network_config(whole.fold()).bias == [False, True]


def small_data(recipe: Recipe, root: Path) -> list[str]:
    """Write the recipe's data into a folder; the settings that such small data need."""
    task, options = recipe.task.name, recipe.task.options
    if task in ("digits", "mackey-glass"):  # whose data are always there, all of them
        return ["--training.batch_size", "256", "--training.refit", "false"]
    named = f"{task}, {options.get('source')}"
    if named == "ecg, records":
        pytest.importorskip("wfdb", reason='wfdb is not installed: pip install "srnn[ecg]"')
    WRITERS[named if named in WRITERS else task](root)
    few = ["--training.batch_size", "4"]
    return [*few, "--task.options.validation_size", "4"] if task in ("smnist", "psmnist") else few


def trains(name: str, root: Path, *overrides: str, baseline: str | None = None) -> dict:
    extra = small_data(load_recipe(name), root / "data")
    recipe = load_recipe(name, ["--training.epochs", "1", *extra, *overrides], baseline)
    with data_folder(root / "data"):  # for a task that looks for its data when it is made
        result = train(recipe, root / "run", data_dir=root / "data")
    records = [
        json.loads(line) for line in (root / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert [record.get("event") for record in records] == [None], "training diverged"
    assert 0 <= result.get("accuracy", 1) <= 1 and records[0]["gradient_norm"] > 0
    return result


ANY = [("paper/shd", "lstm"), ("paper/timit", "bilstm")]
QUICK = ("digits", "ecg-lookahead")
"""Recipes with a label a sequence and a step; the slow tests train all the others."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow, id=short(name))
        for name in RECIPES
    ],
)
def test_shipped_recipe_trains_on_small_files_of_the_official_layout(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    trains(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "baseline"),
    [
        pytest.param(name, baseline, marks=() if (name, baseline) in ANY else pytest.mark.slow)
        for name in ("paper/shd", "paper/timit", "paper/soli")
        for baseline in ("lstm", "bilstm", "relu")
    ],
)
def test_any_task_is_trained_with_any_baseline(name: str, baseline: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    result = trains(
        name,
        tmp_path,
        "--network.hidden",
        "[8]" if name == "paper/timit" else "[8, 8]",
        baseline=baseline,
    )
    assert (result["firing_rate"] is None) == (baseline != "relu")


# Table S1 of the paper; time constants by layer, the readout last. (mean, std) as its neurons are
# drawn.
TABLE_S1 = {
    "ecg": ([(20, 0.5), (20, 0.5)], [(7, 0.2), (100, 1)], 1e-2, 64, 400, None),
    "shd": ([(20, 5)] * 3, [(150, 10)] * 2, 1e-2, 64, 20, (0.5, 20)),
    "ssc": ([(20, 5)] * 3, [(150, 50)] * 2, 1e-2, 32, 150, (0.5, 10)),
    "gsc": ([(20, 5)] * 3, [(150, 50)] * 2, 1e-2, 64, 70, (0.75, 20)),
    "smnist": ([(20, 5)] * 4, [(200, 50)] * 4, 1e-2, 256, 300, "linear"),
    "psmnist": ([(20, 5)] * 4, [(200, 50)] * 4, 1e-2, 256, 300, "linear"),
    "soli": ([(20, 5)] * 3, [(20, 5)] * 2, 2e-2, 128, 150, (0.75, 50)),
    "timit": ([(20, 5), (20, 5), (3, 1)], [(200, 50)] * 2, 1e-2, 16, 200, (0.5, 100)),
}


@pytest.mark.parametrize("name", sorted(TABLE_S1))
def test_paper_recipes_say_what_table_s1_says(name: str) -> None:
    taus_mem, taus_adp, lr, batch, epochs, decay = TABLE_S1[name]
    recipe = load_recipe(f"paper/{name}")
    network = recipe.build_network(recipe.create_task(), seed=0)
    layers = [module for module in network.modules() if isinstance(module, Layer)]
    drawn = [(layer.neuron.tau_mem, getattr(layer.neuron, "tau_adp", None)) for layer in layers]  # type: ignore[attr-defined]
    assert [(tau.a, tau.b) for tau, _ in drawn] == taus_mem
    assert [(tau.a, tau.b) for _, tau in drawn if tau is not None] == taus_adp
    training = recipe.training
    assert (training.optimizer.name, training.optimizer.lr) == ("adam", lr)
    assert (training.batch_size, training.epochs) == (batch, epochs)
    if decay == "linear":
        assert (training.schedule.name, training.schedule.final) == ("linear", 0)
    elif decay is not None:
        assert (training.schedule.name, training.schedule.factor, training.schedule.every) == (
            "step",
            *decay,
        )


def test_paper_baselines_have_the_papers_sizes() -> None:
    shapes = {}
    for name in ("lstm", "gru", "rnn", "bilstm"):
        recipe = load_recipe(f"paper/ecg-{name}")
        network = recipe.build_network(recipe.create_task(), seed=0)
        shapes[name] = (recipe.network.model, [str(layer.extra_repr()) for layer in network.layers])
    assert shapes["gru"] == ("gru", ["4 -> 36 gru"]) and shapes["rnn"] == ("rnn", ["4 -> 36 rnn"])
    assert shapes["lstm"] == ("lstm", ["4 -> 36 lstm"])
    assert shapes["bilstm"][1] == [
        "4 -> 120 lstm, bidirectional", "240 -> 40 lstm, "
                                        "bidirectional", "80 -> 100 ReLU", "100 -> 20 ReLU",
    ]  # fmt: skip
    for name in ("relu", "lif"):  # the recipes say what the generic baselines say
        ours, generic = (
            load_recipe(f"paper/ecg-{name}"),
            as_baseline(load_recipe("paper/ecg-code"), name),
        )
        assert ours.network.hidden == generic.network.hidden and ours.loss == generic.loss
        assert ours.training == generic.training


@pytest.mark.parametrize(
    ("name", "beta", "every"), [("paper/ecg", 1.8, 50), ("paper/ecg-code", 0.0, 100)]
)
def test_paper_ecg_is_the_papers_network(name: str, beta: float, every: int) -> None:
    recipe = load_recipe(name)
    network = recipe.build_network(recipe.create_task(), seed=0)
    hidden, readout = network.layers[0], network.readout
    assert [network.inputs, hidden.size, readout.size] == [4, 36, 6]
    assert float(hidden.params.beta[0]) == pytest.approx(beta) and float(
        readout.params.beta[0]
    ) == pytest.approx(1.8)
    assert [float(layer.params.threshold[0]) for layer in (hidden, readout)] == pytest.approx(
        [0.1, 0.1]
    )
    state = network.initial_state(3)
    assert 0 < state[0].u.max() <= 0.1
    if name == "paper/ecg-code":
        assert (state[0].u == state[0].s).all() and (state[0].e == 0.01).all()
    else:
        assert (state[0].s == 0).all() and (state[0].e == 0).all()
    assert (recipe.training.epochs, recipe.training.batch_size, recipe.training.schedule.every) == (
        400,
        64,
        every,
    )


def test_overrides_reach_any_depth() -> None:
    words = [
        "--training.epochs",
        "7",
        "--training.optimizer.lr=2e-3",
        "--network.neuron.beta",
        "0.5",
        "--note=mine",
    ]
    recipe = load_recipe("digits", [*words, "--training.lr_scale", "{'*.tau_*': 3}"])
    assert recipe.training.epochs == 7
    assert recipe.training.optimizer.lr == 2e-3
    assert recipe.training.lr_scale == {"*.tau_*": 3.0}
    assert isinstance(recipe.network.neuron, dict) and recipe.network.neuron["beta"] == 0.5
    assert recipe.note == "mine"


def test_a_former_key_is_read_and_noted_once_at_an_override(tmp_path: Path) -> None:
    """training.recover was called training.mend."""
    former, present = "training: {mend: false}", "training: {recover: true}"
    for content, overrides, expected, notes in (
        (former, {}, False, 0),
        (former, ["--training.recover", "true"], True, 0),
        (present, ["--training.mend", "false"], False, 1),
        (former, ["--training.recover=false", "--training.mend=true"], True, 1),
        (present, {"training.mend": False}, False, 1),
    ):
        file = tmp_path / "old.yaml"
        file.write_text(f"task: {{name: digits}}\n{content}\n")
        with warnings.catch_warnings(record=True, action="default") as noted:
            recipe = load_recipe(file, overrides)
        assert [one.category for one in noted] == [FutureWarning] * notes
        assert recipe.training.recover is expected, (content, overrides)
        assert "mend" not in recipe.to_dict()["training"]
    with refuses("training.mend", "conflict"):
        parse_recipe("task: {name: digits}\ntraining: {mend: false, recover: true}")


def test_an_override_inside_another_leaves_the_callers_values_alone() -> None:
    neuron = {"name": "lif"}
    recipe = load_recipe("digits", {"network.neuron": neuron, "network.neuron.threshold": 1})
    assert recipe.network.neuron == {"name": "lif", "threshold": 1} and neuron == {"name": "lif"}


def test_shipped_recipes_state_what_they_rely_on() -> None:
    """So that other defaults leave them as they are."""
    for name in shipped_recipes():
        network = recipe_content(name)["network"]
        needed = {"neuron", "norm", "readout"}
        if name.startswith("paper/"):
            needed |= {"surrogate", "init_in", "init_rec"}
        if "model" in network:
            needed = set()
        assert needed <= network.keys(), name


def test_override_refines_a_neuron_given_by_name() -> None:
    recipe = parse_recipe(
        "task: {name: digits}\nnetwork: {neuron: lif}", ["--network.neuron.threshold", "1"]
    )
    assert recipe.network.neuron == {"name": "lif", "threshold": 1}


def test_override_refines_the_neuron_that_a_readout_has_by_itself() -> None:
    """The neuron was None until the recipe named one."""
    for words, name in (([], "integrator"), (["--network.readout", "alif"], "alif")):
        network = parse_recipe(
            "task: {name: digits}", [*words, "--network.readout.neuron.trained", "[]"]
        ).network
        assert network.readout == {"name": name, "neuron": {"name": name, "trained": []}}


def test_override_refines_what_a_recipe_leaves_at_its_default() -> None:
    words = [
        "--network.neuron.coupling",
        "30",
        "--network.readout.output=emission",
        "--network.surrogate.gamma",
        "0.4",
    ]
    network = parse_recipe("task: {name: digits}", words).network
    assert network.neuron == {"name": "adlif", "coupling": 30}
    assert network.readout == {"name": "integrator", "output": "emission"}
    assert network.surrogate == {"name": "multi_gaussian", "gamma": 0.4}


def test_settings_from_python_may_be_numpys() -> None:
    """As a loop over np.logspace or a tuple of sizes gives them; a run's recipe holds plain
    numbers."""
    given_so = {
        "training.optimizer.lr": np.logspace(-3, -2, 2)[0],
        "training.epochs": np.int64(3),
        "network.recurrent": np.bool_(False),
        "network.hidden": np.array([8, 4]),
        "training.dropout": np.float32(0.25),
        "loss.start": torch.tensor(2),
    }
    plain = {
        "training.optimizer.lr": 1e-3,
        "training.epochs": 3,
        "network.recurrent": False,
        "network.hidden": [8, 4],
        "training.dropout": 0.25,
        "loss.start": 2,
    }
    recipe = load_recipe("digits", plain)
    for other in (given_so, {**plain, "network.hidden": (np.int32(8), 4)}):
        assert load_recipe("digits", other) == recipe
        assert dump_recipe(load_recipe("digits", other)) == dump_recipe(recipe)
    with pytest.raises(
        SrnnError, match=r"'training\.epochs' must be an integer from 1 to .*, not 3\.5"
    ):
        load_recipe("digits", {"training.epochs": np.float64(3.5)})


def test_a_pattern_of_names_is_no_mapping() -> None:
    words = [
        "--task.options.speaker",
        "{speaker}-{index}",
        "--training.lr_scale",
        "{readout.bias: 2}",
    ]
    recipe = parse_recipe("task: {name: folder, options: {path: here}}", words)
    assert recipe.task.options["speaker"] == "{speaker}-{index}" and recipe.training.lr_scale == {
        "readout.bias": 2
    }


def test_data_in_the_place_of_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for k in range(8):
        write_wav(tmp_path / "sounds: 1" / "ab"[k % 2] / f"{k}.wav", tone(1, 8000, 300.0 + k), 8000)
    np.savez("one.npz", x=np.zeros((8, 5, 2)), y=np.arange(8) % 2)
    np.savez("steps.npz", x=np.zeros((8, 5, 2)), y=np.arange(40).reshape(8, 5) % 2)
    for name, loss in (("one.npz", "ce_mean"), ("steps.npz", "nll"), ("sounds: 1/", "ce_mean")):
        recipe = load_recipe(name, ["--training.epochs=2"])
        options = {
            "path": name,
            **({"normalise": "training", "high_hz": None} if "sounds" in name else {}),
        }
        assert (recipe.task, recipe.loss.name) == (TaskConfig("folder", options), loss)
        assert (recipe.network.neuron, recipe.training.epochs, recipe.training.batch_size) == (
            "adlif",
            2,
            16,
        )
        assert load_recipe(name, baseline="gru").network.model == "gru"
    (tmp_path / "run").mkdir()
    with pytest.raises(SrnnError, match="holds no folders of"):
        load_recipe("run")
    (tmp_path / "run" / "recipe.yaml").touch()
    with refuses("recipe"):
        load_recipe("run")


def test_scientific_notation_is_a_number_everywhere() -> None:
    text = (
        "task: {name: digits}\ntraining: {optimizer: {lr: 1e-2}}\nnetwork: {neuron: {name: "
        "alif, threshold: 1e-1}}"
    )
    recipe = parse_recipe(text)
    assert recipe.training.optimizer.lr == 0.01
    assert isinstance(recipe.network.neuron, dict) and recipe.network.neuron["threshold"] == 0.1


def test_mistakes_are_one_line_naming_the_key() -> None:
    with pytest.raises(SrnnError, match=r"'loss\.rate' has a weight"):
        load_recipe("digits", ["--loss.rate.weight", "1"])
    with pytest.raises(SrnnError, match="not valid YAML"):
        load_recipe("digits", ["--training.epochs", "{"])


@pytest.mark.parametrize(
    "text", ["5", "[1]", "a: [", "task: {name: a, name: b}", "\x00", "training: 5", "? [1]\n: 2"]
)
def test_bad_yaml_is_a_clear_error(text: str) -> None:
    with pytest.raises(SrnnError):
        parse_recipe(text)


def test_unknown_recipe_names_the_nearest_and_files_work(tmp_path: Path) -> None:
    with pytest.raises(SrnnError, match="Did you mean 'paper/ecg'"):
        load_recipe("paper/eccg")
    with pytest.raises(
        SrnnError,
        match=r"^There is no recipe '0', and no file or folder of data. See 'srnn recipes'.$",
    ):
        load_recipe("0")
    with pytest.raises(SrnnError, match=r"^There is no recipe 'aaa"):
        load_recipe("a" * 5000)  # longer than a file's name may be
    with refuses(tmp_path / "mine.yaml", "missing"):
        load_recipe(str(tmp_path / "mine.yaml"))
    (tmp_path / "mine.yaml").write_text(dump_recipe(load_recipe("digits")))
    assert load_recipe(str(tmp_path / "mine.yaml")) == load_recipe("digits")
    (tmp_path / "list.yaml").write_text("- digits")
    with pytest.raises(
        SrnnError,
        match=r"list\.yaml: a recipe is a mapping with the sections task.*not \['digits'\]",
    ):
        load_recipe(str(tmp_path / "list.yaml"))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SrnnError):
        load_recipe(str(tmp_path / "bytes.yaml"))


def test_a_network_that_does_not_fit_is_a_clear_error() -> None:
    for words in (
        ["--network.neuron", "alfi"],
        ["--network.neuron.bta", "1"],
        ["--network.neuron.trained", "5"],
        ["--network.readout", "{neuron: 5}"],
        ["--network.surrogate", "{name: gaussian, sigma: wide}"],
        ["--network.encoder", "{name: learned_ternary, theta: 1}"],
        ["--network.recurrent", "[true, false, true]"],
        ["--network.backend", "fastest"],
        ["--loss.name", "ce_spike_count"],
    ):
        recipe = load_recipe("digits", words)
        with pytest.raises(SrnnError):
            recipe.build_network(recipe.create_task(), seed=0)


def test_every_key_has_its_own_type_checked() -> None:
    """No key of the schema takes a nonsensical mapping without a word, but for those that an
    object's own maker checks."""
    free = (
        "task.options",
        "network.neuron",
        "network.readout",
        "network.surrogate",
        "network.encoder",
    )
    for key in recipe_keys():
        if key not in free:
            with pytest.raises(SrnnError):
                load_recipe("digits", [f"--{key}", "{no: [such, value]}"])


def test_defaults_are_a_valid_recipe() -> None:
    assert parse_recipe("task: {name: digits}") == Recipe(TaskConfig("digits"))
    assert dataclasses.asdict(LossConfig())["name"] == "ce_mean"
    assert OptimizerConfig().betas == (0.9, 0.999)


_leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=5)
_names = st.sampled_from(
    ["task", "network", "training", "loss", "name", "lr", "hidden", "neuron", "optimizer", "x"]
)
_trees = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_names | st.text(max_size=3), inner, max_size=3)
    ),
)


@settings(max_examples=40)
@given(content=st.dictionaries(_names, _trees, max_size=4))
def test_any_yaml_gives_a_recipe_or_an_srnn_error(content: dict) -> None:
    try:
        recipe = parse_recipe(yaml.safe_dump(content))
    except SrnnError as error:
        assert "\n" not in str(error)
    else:
        assert parse_recipe(dump_recipe(recipe)) == recipe


@pytest.mark.parametrize(
    "text",
    ["", "{}", "note: mine", "task:", "task: {}", "task: {options: {window: 2}}", "task: {name: }"],
)
def test_a_task_must_be_named(text: str) -> None:
    with pytest.raises(
        SrnnError, match=r"mine\.yaml: 'task\.name' must be given: name the task.*'srnn data'"
    ):
        parse_recipe(text, source="mine.yaml")
    assert parse_recipe(text, {"task.name": "ecg"}).task.name == "ecg"


def test_one_size_needs_no_brackets() -> None:
    assert load_recipe("digits", ["--network.hidden", "32"]).network.hidden == [32]
    assert load_recipe("digits", {"network.hidden": 32}).network.hidden == [32]
    for wrong in ("0", "-3", "3.5", "true", "three", "100000000000000"):
        with pytest.raises(SrnnError, match=r"network\.hidden"):
            load_recipe("digits", ["--network.hidden", wrong])
