"""Training by a learning rule: one key of a recipe apart from backpropagation through time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from srnn import SrnnError
from srnn.training import parts
from srnn.training.loop import train
from srnn.training.recipes import as_baseline
from srnn.training.runs import Run
from support.rtrl import RTRL
from support.runs import cut_and_resumed
from support.tiny import TinyTask, tiny_recipe

RULES = {"tbptt": ["--training.window=6"], "d-rtrl": [], "e-prop": []}


def weights(folder: Path) -> list[torch.Tensor]:
    return [value for _, value in sorted(Run.open(folder).trained().network.state_dict().items())]


@pytest.mark.parametrize(
    "rule", ["d-rtrl", "e-prop", pytest.param("tbptt", marks=pytest.mark.slow)]
)
def test_a_rule_learns(rule: str, tmp_path: Path) -> None:
    recipe = tiny_recipe(
        f"--training.rule={rule}", "--training.epochs=8", "--network.hidden=[8]", *RULES[rule]
    )
    result = train(recipe, tmp_path / "run", task=TinyTask(padded=True))
    assert result["accuracy"] > 0.55  # of three classes
    assert Run.open(tmp_path / "run").recipe.training.rule == rule


def test_an_exact_rule_and_bptt_train_the_same_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "create_rule", lambda name, *_: None if name == "bptt" else RTRL())
    for rule in ("d-rtrl", "bptt"):
        recipe = tiny_recipe(
            f"--training.rule={rule}", "--training.epochs=1", "--network.hidden=[4]"
        )
        train(recipe, tmp_path / rule, task=TinyTask())
    for one, other in zip(weights(tmp_path / "d-rtrl"), weights(tmp_path / "bptt"), strict=True):
        assert torch.allclose(one, other, atol=1e-3)


WINDOWS = ["--training.window=5"]
FPTT = [*WINDOWS, "--training.fptt.alpha=0.1"]
MORE = [
    "--training.dropout=0.1",
    "--loss.rate.weight=0.1",
    "--loss.rate.upper=0.2",
    "--network.norm=batch",
]


@pytest.mark.parametrize(
    ("rule", "options", "updates"),
    [
        ("e-prop", ["--training.feedback=random", "--training.dropout=0.2"], 8),
        pytest.param("tbptt", [*FPTT, *MORE, "--training.prune.sparsity=0.5", "--training.average=0.9"], 24,
                     marks=pytest.mark.slow),
        pytest.param("d-rtrl", [*FPTT, "--training.prune.sparsity=0.5"], 24, marks=pytest.mark.slow),
        pytest.param("e-prop", [*WINDOWS, "--training.clip_norm=0.5"], 24, marks=pytest.mark.slow),
        pytest.param("tbptt", [*WINDOWS, "--training.update=sequence"], 8, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_killed_and_resumed_to_the_same_bits(
    rule: str, options: list[str], updates: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(
        f"--training.rule={rule}", "--network.hidden=[4, 3]", "--training.epochs=2", "--training.checkpoint_every=1", *options
    )  # fmt: skip
    tensors = cut_and_resumed(recipe, 4, tmp_path, monkeypatch)["last"]
    assert {int(value) for name, value in tensors.items() if name.endswith(".step")} == {updates}
    names = {name.split(".")[0] for name in tensors}
    assert ("fptt" in names) == (FPTT[1] in options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--loss.rate.weight=1", "--loss.rate.upper=0.1"], "loss.rate.weight"),
        (["--training.quantise=int8"], "training.quantise"),
        (["--network.bidirectional=true"], "it is bidirectional"),
        (["--network.norm=batch"], "batch norm"),
        (["--network.substeps=2"], "substeps"),
    ],
)
def test_what_a_rule_cannot_train(options: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(SrnnError, match=said):
        train(tiny_recipe("--training.rule=e-prop", *options), tmp_path / "run", task=TinyTask())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "options", [["--training.rule=e-prop"], ["--training.rule=tbptt", *WINDOWS]]
)
def test_one_process_trains(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SrnnError, match="trains in one process"):
        train(tiny_recipe(*options), tmp_path / "run", task=TinyTask())
    assert not (tmp_path / "run").exists()


def test_cells_of_torch_have_no_rule() -> None:
    """A baseline of a recipe with one learns by backpropagation; one that is asked for is
    refused."""
    recipe = tiny_recipe("--training.rule=e-prop")
    lstm = as_baseline(recipe, "lstm")
    assert lstm.training.rule == "bptt"
    with pytest.raises(SrnnError, match=r"training\.rule.*lstm.*remove it"):
        replace(lstm, training=recipe.training)


@pytest.mark.parametrize("rule", ["rtrl", "es-d-rtrl"])
def test_a_rule_of_version_0_1_is_refused_with_those_that_there_are(rule: str) -> None:
    with pytest.raises(
        SrnnError, match=r"'training\.rule' must be one of bptt, tbptt, d-rtrl, e-prop, not"
    ):
        tiny_recipe(f"--training.rule={rule}")
    with pytest.raises(
        SrnnError, match=r"'training\.feedback' must be one of symmetric, random, not 'learned'"
    ):
        tiny_recipe("--training.rule=e-prop", "--training.feedback=learned")


def test_feedback_is_of_e_prop() -> None:
    with pytest.raises(SrnnError, match=r"training\.feedback"):
        tiny_recipe("--training.rule=d-rtrl", "--training.feedback=random")
