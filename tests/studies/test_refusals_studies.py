"""What sweeps, summaries, curves and adaptation refuse, and what for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from srnn import SrnnError
from srnn.model.trained import Trained
from srnn.studies import load_sweep
from srnn.studies.adaptation import adaptation_curve
from srnn.studies.launching import submit
from srnn.studies.pruning import TuningOptions, prune_run, tuning_recipe
from srnn.studies.study import open_study
from srnn.studies.summary import summarise
from srnn.studies.trials import Trials
from srnn.training.adapting import Adaptation
from srnn.training.loop import train
from support.refusing import Refusal, refusals
from support.sweeps import BASE, SWEEP, sweep_in, sweep_of, trials_in
from support.tiny import TinyTask, tiny_recipe

SEARCH = """
recipe: tiny.yaml
sampler: {name: tpe, seed: 7}
trials: 3
parameters: {training.optimizer.lr: "loguniform(1e-3, 3e-1)", network.hidden: [[4], [3, 3]]}
"""
TPE = "sampler: tpe\ntrials: 3\n"
RANDOM = "sampler: random\ntrials: 2\n"


def of_file(text: str) -> Callable[[Path], object]:
    """The mistakes in a sweep file."""
    return lambda folder: sweep_of(folder, text)


def checked(text: str) -> Callable[[Path], object]:
    """Those that a look at every grid point finds before anything is trained."""
    return lambda folder: sweep_of(folder, text).check()


def resumed(before: str, after: str) -> Callable[[Path], object]:
    """A sweep that went on with another file."""

    def call(folder: Path) -> None:
        trials_in(sweep_in(folder, before), folder / "out")
        trials_in(sweep_in(folder, after), folder / "out")

    return call


def old(folder: Path) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "journal.log").write_text("{}\n")
    Trials(sweep_in(folder), folder / "out").check()


def foreign_journal(folder: Path) -> None:
    pytest.importorskip("optuna")
    journal = folder / "out" / "study" / "journal.log"
    trials = trials_in(sweep_in(folder, SEARCH), folder / "out")
    journal.parent.mkdir()
    journal.write_text("never a journal\n{}\n")
    try:
        open_study(trials)
    finally:
        assert journal.read_text() == "never a journal\n{}\n"


def stored(folder: Path, error: Exception) -> None:
    """A database that cannot be opened."""
    pytest.importorskip("optuna")

    def refuse(*_: object, **__: object) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sqlalchemy.engine.create_engine", refuse)
        open_study(trials_in(sweep_in(folder), folder / "out"), "postgresql://me:secret@host/db")


def without(package: str, call: Callable[[Path], object]) -> Callable[[Path], object]:
    def run(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            call(folder)

    return run


def launched(launcher: str) -> Callable[[Path], object]:
    def call(folder: Path) -> None:
        pytest.importorskip("submitit")
        submit(["true"], 1, launcher, folder, {"no_such_option": 1})

    return call


def tuned(**options: Any) -> object:
    return tuning_recipe(tiny_recipe(), "run", TuningOptions(**options), "")


def untrained() -> Trained:
    recipe = tiny_recipe()
    return Trained(recipe.build_network(TinyTask(), 0), TinyTask(), recipe)


def summarised(*runs: str) -> Callable[[Path], object]:
    """The summary of two runs of one recipe, and of one of another."""

    def call(folder: Path) -> None:
        for name, seed, epochs in (("a", 0, 1), ("b", 1, 1), ("other", 2, 2)):
            if name in runs:
                recipe = tiny_recipe(f"--training.epochs={epochs}")
                train(recipe, folder / name, seed=seed, task=TinyTask())
        summarise([folder / name for name in runs], folder / "out", "tiny", "srnn train")

    return call


def pruned(shares: list[float], what: str) -> Callable[[Path], object]:
    def call(folder: Path) -> None:
        model = untrained().save(folder / "tiny.safetensors")
        prune_run(model or folder / "tiny.safetensors", folder / "out", shares, what=what)

    return call


REFUSALS = [
    # ---- a sweep's file
    Refusal("recipe", "missing", of_file("title: x")),
    Refusal("seed", "name", of_file(BASE + "seed: [1]"), "Did you mean 'seeds'"),
    *(
        Refusal("seeds", "value", of_file(BASE + f"seeds: {seeds}"))
        for seeds in ("3", "[]", "[1, 1]", "[true]", f"[{2**63}]", "[-1]")
    ),
    Refusal("set", "value", of_file("recipe: digits\nset: [1]")),
    *(
        Refusal("variants", "value", of_file(BASE + f"variants: {variants}"))
        for variants in (
            "{a: {}}",
            "[a]",
            "[{a: {}, b: {}}]",
            "[{a: {}}, {a: {}}]",
            "[{'../x': {}}]",
            "[{'..': {}}]",
            "[{}]",
        )
    ),
    *(
        Refusal(
            "parameters.training.epochs",
            "value",
            of_file(BASE + f"parameters: {{training.epochs: {values}}}"),
        )
        for values in ("[]", "[1, 1]", "'normal(0, 1)'", "'integer(0.5, 2)'", "'integer(0, 1e16)'")
    ),
    *(
        Refusal(
            "parameters.training.optimizer.lr",
            "value",
            of_file(BASE + f"{RANDOM}parameters: {{training.optimizer.lr: '{given}'}}"),
        )
        for given in (
            "uniform(1, 0)",
            "uniform(1, 1)",
            "loguniform(0, 1)",
            "integer(0, 1.5)",
            "uniform(a, b)",
            "uniform(0, inf)",
            "uniform(nan, 1)",
        )
    ),
    Refusal(
        "parameters.training.epochs",
        "conflict",
        of_file(BASE + "parameters: {training.epochs: 'integer(1, 2)'}"),
    ),
    Refusal(
        "parameters", "conflict", of_file(BASE + "parameters: {network.neuron: ['a b', 'a-b']}")
    ),
    Refusal(
        "parameters", "value", of_file(BASE + f"parameters: {{network.neuron: [{'a' * 200}]}}")
    ),
    Refusal(
        "training.epochs",
        "conflict",
        of_file(
            BASE + "variants: [{a: {training.epochs: 3}}]\nparameters: {training.epochs: [1, 2]}"
        ),
    ),
    *(
        Refusal(
            "trials",
            "value",
            of_file(BASE + f"sampler: tpe\n{given}parameters: {{training.epochs: [1, 2]}}"),
        )
        for given in ("", "trials: 0\n", "trials: true\n", "trials: 1.5\n")
    ),
    Refusal("trials", "value", of_file(BASE + "trials: 3")),
    Refusal("parameters", "value", of_file(BASE + "sampler: tpe\ntrials: 3")),
    Refusal(
        "variants",
        "value",
        of_file(BASE + TPE + "variants: [{a: {}}]\nparameters: {training.epochs: [1, 2]}"),
    ),
    Refusal("sampler.name", "value", of_file(BASE + "sampler: optuna")),
    Refusal("sampler.sed", "name", of_file(BASE + "sampler: {name: tpe, sed: 1}")),
    Refusal("sampler.seed", "value", of_file(BASE + "sampler: {name: tpe, seed: true}")),
    Refusal("sampler.seed", "value", of_file(BASE + f"sampler: {{name: tpe, seed: {2**63}}}")),
    Refusal("pruner.warmup", "value", of_file(BASE + "pruner: {name: median, warmup: -1}")),
    *(
        Refusal("budget_minutes", "value", of_file(BASE + f"budget_minutes: {given}"))
        for given in ("0", "-1", ".inf", ".nan", "true", "ten")
    ),
    Refusal("optimise", "value", of_file(BASE + "optimise: test_accuracy")),
    Refusal("digits-surrogate", "name", lambda: load_sweep("digits-surrogate"), "Did you mean"),
    # ---- its grid points
    Refusal("optimise", "conflict", checked(BASE + "optimise: accuracy_labelled")),
    Refusal("optimise", "conflict", checked(BASE + "optimise: balanced_accuracy")),
    # ---- a sweep that goes on
    Refusal(
        "out", "conflict", resumed(SWEEP.replace("[0, 1]", "[0, 1, 2]"), SWEEP), "has the trial"
    ),
    Refusal("out", "conflict", resumed(SWEEP, SWEEP + "optimise: loss\n"), "its optimise differs"),
    Refusal(
        "out",
        "conflict",
        resumed(SWEEP, SWEEP.replace("linear", "slayer")),
        "its trial b/s0 differs",
    ),
    Refusal(
        "out", "conflict", resumed(SWEEP, SWEEP + "set: {training.epochs: 9}\n"), "its base differs"
    ),
    Refusal("out", "conflict", resumed(SEARCH.replace("trials: 3", "trials: 5"), SEARCH), "p0003"),
    Refusal(
        "out", "conflict", resumed(SEARCH, SEARCH.replace("1e-3", "1e-4")), "its parameters differs"
    ),
    Refusal("out", "conflict", old, r"srnn 0\.1"),
    Refusal("{}/out/study/journal.log", "file", foreign_journal),
    Refusal(
        "storage",
        "package",
        lambda folder: stored(folder, ModuleNotFoundError("No module named 'psycopg'")),
        r"host/db needs a driver \(No module named 'psycopg'\).*srnn\[postgres\]",
    ),
    Refusal(
        "storage", "resource", lambda folder: stored(folder, ValueError("no")), r"me:\*\*\*@host"
    ),
    Refusal(
        "optuna",
        "package",
        without("optuna", lambda f: open_study(trials_in(sweep_in(f, SEARCH), f / "out"))),
    ),
    Refusal(
        "submitit", "package", without("submitit", lambda f: submit(["true"], 1, "local", f, {}))
    ),
    Refusal("launcher", "resource", launched("local"), "no_such_option"),
    # ---- smaller networks, summaries, adaptation
    Refusal("epochs", "value", lambda: tuned(epochs=0)),
    Refusal("lr_factor", "value", lambda: tuned(lr_factor=0.0)),
    Refusal("gradual", "value", lambda: tuned(gradual=1.0)),
    Refusal("what", "value", pruned([0.5], "layers")),
    Refusal("shares", "conflict", pruned([0.5], "dead")),
    Refusal("shares", "conflict", pruned([], "weights")),
    Refusal("folders", "missing", summarised()),
    Refusal("folders", "conflict", summarised("a", "a"), "A seed occurs twice"),
    Refusal("folders", "conflict", summarised("a", "other"), "different recipes"),
    Refusal(
        "subjects",
        "data",
        lambda: adaptation_curve(untrained(), "train", [1], {"all": Adaptation()}),
    ),
]


@refusals(REFUSALS)
def test_refusals(refusal: Refusal, tmp_path: Path) -> None:
    refusal.check(tmp_path)


def test_a_refusal_names_the_sweep_s_file(tmp_path: Path) -> None:
    for text in ("- 1", "recipe: [", BASE + "seeds: 3"):
        with pytest.raises(SrnnError, match=r"mine\.yaml"):
            sweep_of(tmp_path, text)
