"""Sweep files: what they say, what is refused; the command."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from srnn import SrnnError
from srnn.cli.main import main
from srnn.studies import load_sweep, shipped_sweeps
from srnn.studies.trials import Trials
from support.pages import ROOT
from support.refusing import refuses
from support.sweeps import BASE, sweep_of

SWEEPS = [*shipped_sweeps(), *map(str, sorted((ROOT / "paper" / "sweeps").glob("*.yaml")))]
"""Those of the package by name, and those in paper/ as files."""


@pytest.mark.parametrize("name", SWEEPS, ids=lambda name: name.removeprefix(f"{ROOT}/"))
def test_shipped_sweeps_are_sound(name: str) -> None:
    sweep = load_sweep(name)
    sweep.check()
    assert sweep.title and sweep.list_trials()
    sizes = re.search(r" (\d+(?: \+ \d+)*) (?:in each direction )?on ", sweep.title)
    if sizes:  # phones' searches had their recipe's 192 + 192, and said 128 + 128
        assert [*map(int, sizes[1].split(" + "))] == list(sweep.recipe_for({}).network.hidden)


@pytest.mark.parametrize("task", ["speech-commands-mini", "ecg", "phones", "spoken-digits-spikes"])
def test_networks_that_are_compared_are_searched_with_equal_effort(task: str) -> None:
    sweeps = {name: load_sweep(f"{task}-{name}-search") for name in ("srnn", "lstm", "gru")}
    recipes = {name: sweep.recipe_for({}) for name, sweep in sweeps.items()}
    assert {name: recipe.network.model for name, recipe in recipes.items()} == {
        name: name for name in sweeps
    }
    if task == "phones":  # their labels come when it suits the readout
        assert [recipe.task.options.pop("label_lag") for recipe in recipes.values()] == [3, 0, 0]
    own = sweeps["srnn"]
    for name, sweep in sweeps.items():
        assert (sweep.size, sweep.seeds, sweep.sampler, sweep.pruner) == (
            own.size,
            own.seeds,
            own.sampler,
            own.pruner,
        )
        assert list(sweep.parameters) == list(own.parameters) and len(own.parameters) == 5
        lists = [
            [len(v) for v in one.parameters.values() if isinstance(v, list)] for one in (sweep, own)
        ]
        assert lists[0] == lists[1], name
        ours, theirs = recipes["srnn"], recipes[name]
        assert (ours.task, ours.network.hidden) == (theirs.task, theirs.network.hidden)
        own_keys = {key: getattr(ours.training, key) for key in ("optimizer", "lr_scale", "start")}
        searched = replace(theirs.training, **own_keys)
        assert searched == ours.training and theirs.loss == ours.loss


def test_a_grid_is_every_combination_with_every_seed(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, BASE + "seeds: [3, 5]\nparameters:\n  network.surrogate.h: [0.0, "
                                      "0.15]\n"
                  "  network.hidden: [[8], [4, 4]]\n")  # fmt: skip
    names = [trial.name for trial in sweep.list_trials()]
    assert names[:4] == [
        "h=0,hidden=8/s3",
        "h=0,hidden=4-4/s3",
        "h=0.15,hidden=8/s3",
        "h=0.15,hidden=4-4/s3",
    ]
    assert len(names) == len(set(names)) == 8 and all(name.endswith("/s5") for name in names[4:])
    recipe = sweep.recipe_for(sweep.list_trials()[3].settings)
    assert recipe.network.hidden == [4, 4] and recipe.network.backend == "reference"
    assert recipe.network.surrogate == {"name": "multi_gaussian", "h": 0.15} or "h" in str(
        recipe.network.surrogate
    )


def test_variants_may_name_recipes_and_baselines(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("task: {name: digits}\nnetwork: {hidden: [5]}\n")
    sweep = sweep_of(tmp_path, "recipe: own.yaml\nvariants:\n  - base:\n  - lstm: {baseline: "
                               "lstm}\n"
                  "  - other: {recipe: digits, training.epochs: 2}\n")  # fmt: skip
    sweep.check()
    recipes = {trial.point: sweep.recipe_for(trial.settings) for trial in sweep.list_trials()}
    assert recipes["base"].network.hidden == recipes["lstm"].network.hidden == [5]
    assert recipes["lstm"].network.model == "lstm" and recipes["other"].training.epochs == 2


def test_variants_times_parameters(tmp_path: Path) -> None:
    text = (
        BASE + "variants:\n  - a: {}\n  - b: {network.surrogate: linear}\nparameters: "
        "{training.batch_size: [8, 16]}\n"
    )
    points = sweep_of(tmp_path, text).grid_points()
    assert list(points) == [
        "a,batch_size=8",
        "a,batch_size=16",
        "b,batch_size=8",
        "b,batch_size=16",
    ]
    assert points["b,batch_size=16"] == {"network.surrogate": "linear", "training.batch_size": 16}


def test_what_one_point_refines_stays_as_it_was_for_the_others(tmp_path: Path) -> None:
    """A setting of all points, or of one variant, took in what a point set inside it: the others
    were trained with it, too."""
    common = "recipe: digits\nset: {network.neuron: {name: alif, threshold: 0.2}}\n"
    sweep = sweep_of(
        tmp_path, common + "variants: [{fixed: {network.neuron.beta: 0}}, {plain: {}}]\n"
    )
    neurons = [sweep.recipe_for(trial.settings).network.neuron for trial in sweep.list_trials()]
    assert neurons == [
        {"name": "alif", "threshold": 0.2, "beta": 0},
        {"name": "alif", "threshold": 0.2},
    ]
    text = (
        "variants: [{wide: {network.surrogate: {name: linear}}}]\nparameters: "
        "{network.surrogate.width: [1, 2]}\n"
    )
    sweep = sweep_of(tmp_path, BASE + text)
    before = json.dumps(sweep.grid_points())
    assert [
        sweep.recipe_for(point).network.surrogate["width"] for point in sweep.grid_points().values()
    ] == [1, 2]  # type: ignore[index]
    assert (
        json.dumps(sweep.grid_points()) == before
    )  # by which a worker knows that it reads the same file


def test_a_points_name_tells_it_from_the_others(tmp_path: Path) -> None:
    text = (
        BASE + "parameters: {training.optimizer.name: [adam, ''], loss.name: [ce_mean], "
        "training.lr_scale: [0.125, 0.126]}"
    )
    points = list(sweep_of(tmp_path, text).grid_points())
    assert points[:2] == [
        f"training.optimizer.name=adam,loss.name=ce_mean,lr_scale={scale}"
        for scale in ("0.125", "0.126")
    ]
    assert points[2] == "training.optimizer.name=empty,loss.name=ce_mean,lr_scale=0.125"


def test_as_many_trainings_as_the_limit_are_taken_and_one_point_more_is_not(tmp_path: Path) -> None:
    for count in (200, 201):
        text = (
            BASE + f"seeds: {list(range(500))}\nparameters: {{training.epochs: "
            f"{list(range(1, 1 + count))}}}\n"
        )
        if count == 200:
            assert sweep_of(tmp_path, text).size == 100_000
        else:
            with refuses("parameters"):
                sweep_of(tmp_path, text)


def test_a_search_is_checked_at_its_ends_and_with_every_value(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, BASE + "sampler: tpe\ntrials: 4\nseeds: [0, 1]\nparameters:\n"
                  "  training.optimizer.lr: loguniform(1e-5, 1)\n  training.batch_size: integer(4, "
                  "9)\n"
                  "  network.hidden: [[8], [9], [7]]\n")  # fmt: skip
    made = {name: tuple(point.values()) for name, point in sweep._choices().items()}
    assert made == {
        "the lower ends": (1e-5, 4, [8]),
        "choice 2": (1.0, 9, [9]),
        "the upper ends": (1.0, 9, [7]),
    }
    assert all(type(size) is int for _, size, _ in made.values())
    assert sweep.size == 8 and len(sweep.list_trials()) == 4


def test_what_a_sweep_that_is_resumed_must_keep(tmp_path: Path) -> None:
    text = BASE + ("sampler: {name: random, seed: 1}\npruner: {name: median, startup: 3, warmup: "
                   "4}\ntrials: 2\n"
                   "parameters: {training.batch_size: [8, 16]}\n")  # fmt: skip
    for old, new in (
        ("seed: 1", "seed: 2"), ("random", "tpe"), ("startup: 3", "startup: 2"), ("warmup: 4", "warmup: 5"),
        ("16]", "17]"), ("trials: 2", "trials: 2\nseeds: [0, "
                                      "1]"), ("trials: 2", "trials: 2\noptimise: loss"),
        ("trials: 2", "trials: 3"), ("trials: 2", "trials: 2\nbudget_minutes: 5"),
    ):  # fmt: skip
        same = (
            sweep_of(tmp_path, text).identity()
            == sweep_of(tmp_path, text.replace(old, new)).identity()
        )
        assert same == ("trials: 3" in new or "budget" in new), new
    for name, hidden in (("one", 4), ("two", 5)):
        (tmp_path / f"{name}.yaml").write_text(
            f"task: {{name: digits}}\nnetwork: {{hidden: [{hidden}]}}\n"
        )
    named = sweep_of(
        tmp_path,
        "recipe: one.yaml\nset: {network.hidden: [3]}\nparameters: {recipe: [one.yaml, "
        "two.yaml]}\n",
    )
    told = named.identity()
    assert [told[f"recipe {name}.yaml"]["network"]["hidden"] for name in ("one", "two")] == [
        [4],
        [5],
    ]


def test_a_points_own_settings_go_before_those_of_all(tmp_path: Path) -> None:
    sweep = sweep_of(
        tmp_path,
        "recipe: digits\nset: {training.epochs: 3}\nvariants: [{a: {}}, {b: {training.epochs: "
        "5}}]\n",
    )
    assert [sweep.recipe_for(trial.settings).training.epochs for trial in sweep.list_trials()] == [
        3,
        5,
    ]
    assert [
        sweep_of(tmp_path, BASE + f"optimise: {name}").maximise
        for name in ("accuracy_labelled", "loss")
    ] == [
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe: digit\n", "no recipe 'digit'"),
        (BASE + "variants: [{a: {training.epoch: 3}}]", "mine, a: .*training.epoch"),
        (BASE + "variants: [{a: {network.surrogate: linar}}]", "mine, a: .*linar"),
        (BASE + "variants: [{a: {baseline: lstn}}]", "mine, a: .*lstn"),
        (BASE + "variants: [{a: {baseline: [lstm]}}]", r"mine, a: There is no baseline \['lstm'\]"),
        (BASE + "variants: [{a: {'training.lr_scale': {'no.such': 2}}}]", "mine, a: .*no.such"),
        (BASE + "variants: [{a: {loss.name: nll}}]", "mine, a: .*nll"),
        (
            BASE
            + "sampler: random\ntrials: 1\nparameters: {training.optimizer.lr: 'uniform(-1, 1)'}",
            "the lower ends.*lr",
        ),
        (
            BASE + "sampler: random\ntrials: 1\nparameters: {network.neuron: [alif, lfi, lif]}",
            "choice 2.*lfi",
        ),
        (
            BASE
            + "sampler: random\ntrials: 1\nparameters: {training.batch_size: [8, 0], loss.start: "
            "[0, 1, 2]}",
            "choice 2.*batch_size",
        ),
    ],
)
def test_every_point_is_checked_before_anything_is_trained(
    text: str, message: str, tmp_path: Path
) -> None:
    sweep = sweep_of(tmp_path, text)
    with pytest.raises(SrnnError, match=message):
        sweep.check()


def test_the_command_lists_checks_and_refuses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["digits-surrogates"]["trainings"] == 12
    assert main(["sweep", "list"]) == 0
    assert "learning-digits" in capsys.readouterr().out
    assert main(["sweep", "digits-surrogates", "--dry-run"]) == 0
    assert "multi-gaussian/s0" in capsys.readouterr().out
    assert (
        main(["sweep", "learning-digits", "--dry-run"])
        == main(["sweep", "ecg-srnn-search", "--dry-run"])
        == 0
    )
    said = capsys.readouterr().out
    assert "bptt/s31  the recipe as it is" in said and "  chosen by the sampler" in said
    path = tmp_path / "mine.yaml"
    path.write_text(BASE)
    for words in (
        ["--workers", "0"], ["--workers", "100000", "--dry-run"],
        ["--storage", "nonsense"], ["--storage", "x://y"], ["--job", "timeout_min=5"],
        ["--launcher", "local", "--job", "timeout"], ["--launcher", "local", "--job", "colour=blue"],
        ["--launcher", "slurm"],
    ):  # fmt: skip
        assert main(["sweep", str(path), "--out", str(tmp_path / "out"), *words]) == 2
        error = capsys.readouterr().err
        assert error.startswith("srnn: ") and error.count("\n") == 1


def test_a_password_is_never_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(BASE)
    for password in ("secret", "#secret", "?/secret", "@secret", "x@a:secret", "[secret"):
        for scheme in ("no-such-database", "sqlite"):
            words = [
                "--out",
                str(tmp_path / "out"),
                "--storage",
                f"{scheme}://me:{password}@host/db",
            ]
            assert main(["sweep", str(path), *words]) == 2
            said = capsys.readouterr().err
            assert (
                said.startswith(f"srnn: The storage {scheme}://me:***@host/db ")
                and "secret" not in said
            )


@pytest.mark.filterwarnings("ignore:training.mend is called training.recover:FutureWarning")
def test_a_sweep_of_a_former_key_is_resumed(tmp_path: Path) -> None:
    """Its file, and what its folder holds of it, have training.mend: training.recover now."""
    sweep = sweep_of(tmp_path, BASE + "parameters: {training.mend: [true, false]}\n")
    assert [sweep.recipe_for(s).training.recover for s in sweep.grid_points().values()] == [
        True,
        False,
    ]
    Trials(sweep, tmp_path).begin()
    file = tmp_path / "sweep.json"
    state = json.loads(file.read_text())
    state["base"]["training"]["mend"] = state["base"]["training"].pop("recover")
    file.write_text(json.dumps(state))
    assert Trials(sweep, tmp_path).check()
