"""What may be a name or a path: the name counts, with a note where a path is called the same;
./NAME is always the path."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import srnn
from srnn.cli.main import main
from srnn.cli.serve import load_models
from srnn.deploy.streaming import Decoder
from srnn.errors import SrnnError
from srnn.measure.energy.compared import compare_energy
from srnn.measure.energy.operation_energy import load_technology
from srnn.model.opening import open_trained
from srnn.model.pretrained import FOLDER, example
from srnn.registry import as_text, is_name
from srnn.studies import load_sweep
from srnn.training.recipes import load_recipe
from support.runs import few_digits, make_run

NAME = "digits"
NOTE = (
    r"^digits is taken for the pretrained network of that name; for the folder that is called "
    r"the same, write \./digits\.$"
)


def served(model: str) -> int:
    (decoder,) = load_models([model])[0].values()
    return parameters(decoder.trained)


def parameters(model: Any) -> int:
    return sum(part.numel() for part in model.network.parameters() if part.requires_grad)


OPENERS: dict[str, Callable[[str], int]] = {
    "srnn.load": lambda name: parameters(srnn.load(name)),
    "open_trained": lambda name: parameters(open_trained(name)),
    "Decoder.of": lambda name: parameters(Decoder.of(name).trained),
    "srnn serve": served,
    "srnn energy": lambda name: compare_energy([name])["networks"][0]["parameters"],
}


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run in a folder that is called as a pretrained network, and as a recipe; it is the working
    folder's only content."""
    few_digits(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return make_run(tmp_path / NAME, "--network.hidden=[5, 5]", recipe=NAME)


def test_the_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    known = {"one", "two/three"}
    assert (
        is_name("one", known, "thing")
        and is_name("two/three", known, "thing")
        and is_name(Path("one"), known, "thing")
    )
    assert not any(
        is_name(given, known, "thing")
        for given in ("./one", "one/", "two", "four", "", Path("two"), tmp_path / "one")
    )
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "three").write_text("a file")
    with pytest.warns(RuntimeWarning) as told:
        assert is_name("two/three", known, "thing")
    assert [str(one.message) for one in told] == [
        "two/three is taken for the thing of that name; for the file that is called the same, "
        "write ./two/three."
    ]
    assert not is_name("./two/three", known, "thing") and not is_name(
        Path("two/three"), known, "thing"
    )
    (tmp_path / "one").symlink_to("nowhere")
    with pytest.warns(RuntimeWarning, match="for the file that is called"):
        assert is_name("one", known, "thing")
    assert [as_text(path, known) for path in (Path("one"), "one", Path("four"), tmp_path)] == [
        "./one", "one", "four", str(tmp_path),
    ]  # fmt: skip


@pytest.mark.parametrize("opener", OPENERS)
def test_a_folder_does_not_stand_in_for_a_pretrained_network(opener: str, beside: Path) -> None:
    open_it = OPENERS[opener]
    own = parameters(srnn.load(beside))
    with pytest.warns(RuntimeWarning, match=NOTE):
        shipped = open_it(NAME)
    assert shipped == parameters(srnn.load(FOLDER / f"{NAME}.safetensors")) != own
    for path in (f"./{NAME}", f"{NAME}/", str(beside)):
        assert open_it(path) == own
    shutil.rmtree(beside)
    assert open_it(NAME) == shipped


def test_in_python_a_path_is_a_path(beside: Path) -> None:
    own = parameters(srnn.load(beside))
    assert parameters(srnn.load(Path(NAME))) == own
    shutil.rmtree(beside)
    assert parameters(srnn.load(Path(NAME))) != own  # nothing is there: it can only be the name
    with pytest.raises(SrnnError, match="digits was not found: name a run folder"):
        srnn.load(f"./{NAME}")


@pytest.mark.parametrize(
    "command",
    ["evaluate MODEL --full --json", "predict MODEL x.npy --json", "stream MODEL x.npy",
     "export c MODEL --out c --json", "compress MODEL --json", "report MODEL --samples 0 --json "
                                                               "--out r.html"],
)  # fmt: skip
def test_commands(command: str, beside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They read the network that the name means, and write nothing into the folder that is called
    the same."""
    shutil.copy(example(NAME), "x.npy")

    def say(model: str) -> str:
        shutil.rmtree("c", ignore_errors=True)
        assert main(command.replace("MODEL", model).split()) == 0
        return capsys.readouterr().out.partition(" took ")[0]  # which varies

    before = sorted(path.name for path in beside.iterdir())
    with pytest.warns(RuntimeWarning, match=NOTE):
        shipped = say(NAME)
    assert sorted(path.name for path in beside.iterdir()) == before
    own = say(f"./{NAME}")
    assert own != shipped
    beside.rename(beside.with_name("elsewhere"))
    assert say(NAME) == shipped


def test_a_report_is_written_beside_what_it_is_of(beside: Path) -> None:
    with pytest.warns(RuntimeWarning, match=NOTE):
        assert main(["report", NAME, "--samples", "0"]) == 0
    assert Path("digits.html").is_file() and not (beside / "report.html").exists()
    assert main(["report", f"./{NAME}", "--samples", "0"]) == 0
    assert (beside / "report.html").is_file()


@pytest.mark.slow
def test_a_run_that_is_called_as_a_network_is_tuned_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands after a training are about this run; what is trained on from it begins with its
    weights."""
    few_digits(monkeypatch)
    monkeypatch.chdir(tmp_path)
    few = ["--epochs", "1", "--network.hidden", "[5, 5]"]
    assert main(["train", NAME, "--out", "ecg", *few]) == 0
    after = capsys.readouterr().out.partition("next:")[2]
    assert "srnn evaluate ./ecg --full\n" in after and "srnn evaluate ./ecg --split test" in after
    assert (
        srnn.train(NAME, "ecg-large", {"training.epochs": 1, "network.hidden": [5, 5]}).task.name
        == NAME
    )
    assert main(["compress", "./ecg", "--epochs", "1", "--out", "int8"]) == 0
    content = yaml.safe_load((tmp_path / "int8" / "recipe.yaml").read_text())
    assert content["training"]["start_from"] == "./ecg"
    assert (
        main(["compress", "./ecg", "--sparsity", "0.5", "--epochs", "1", "--out", "smaller"]) == 0
    )
    content = yaml.safe_load((tmp_path / "smaller" / "weights-0.5" / "recipe.yaml").read_text())
    assert content["training"]["start_from"] == "./ecg"


def test_recipes_sweeps_and_technologies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = "task: {name: digits}\nnote: mine\n"
    for name in (NAME, "digits-surrogates", "horowitz-45nm"):
        (tmp_path / name).write_text(recipe)
    said = "for the file that is called the same, write ./"
    with pytest.warns(
        RuntimeWarning, match=f"digits is taken for the recipe of that name; {said}digits"
    ):
        assert load_recipe(NAME).note != "mine"
    assert load_recipe(f"./{NAME}").note == "mine"
    with pytest.warns(
        RuntimeWarning,
        match=f"digits-surrogates is taken for the sweep of that name; {said}digits-surrogates",
    ):
        assert load_sweep("digits-surrogates").size > 1
    with pytest.raises(SrnnError, match="digits-surrogates: unknown key 'task'"):
        load_sweep("./digits-surrogates")
    with pytest.warns(RuntimeWarning, match="is taken for the technology of that name"):
        assert load_technology("horowitz-45nm").word_bits == 32
    with pytest.raises(SrnnError, match="horowitz-45nm"):
        load_technology("./horowitz-45nm")
    (tmp_path / "mine.yaml").write_text(
        "title: t\nrecipe: digits\nparameters: {training.epochs: [1]}\n"
    )
    sweep = load_sweep("mine.yaml")
    with pytest.warns(RuntimeWarning, match="digits is taken for the recipe"):
        assert sweep.recipe_for({}).note != "mine"


@pytest.mark.slow
def test_the_note_is_one_line_beside_a_whole_answer(beside: Path) -> None:
    """As a user sees it."""
    words = ["-m", "srnn", "evaluate", NAME, "--json"]
    done = subprocess.run(
        [sys.executable, *words], cwd=beside.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and json.loads(done.stdout)["task"] == NAME
    notes = [line for line in done.stderr.splitlines() if "called the same" in line]
    assert len(notes) == 1 and notes[0].startswith(
        "srnn: note: digits is taken for the pretrained network of that name; "
    )
