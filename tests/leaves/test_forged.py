"""Files whose checksums fit and which say nonsense: checkpoints, states of streams. Each is one
line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from srnn import SrnnError
from srnn.cli.main import main
from srnn.data.tasks import create_task
from srnn.deploy.streaming.saved import pack, unpack
from srnn.files import read_metadata
from srnn.model.checkpoints import load_network, read_checkpoint, save_checkpoint
from srnn.training.loop import train
from srnn.training.optimisation import build_optimizer
from srnn.training.runs import Run
from srnn.training.state import load_optimizer
from support.streams import decoder
from support.tiny import TinyTask, tiny_recipe

pytestmark = pytest.mark.robust

ZEROS = b'"sha256":"' + b"0" * 64 + b'"'
LONG = "x" * 300
NUMBERS = ("1e999", "-1", "1.5", "NaN", "9" * 5000, "null", '"x"', "[]", "{}", "true")


def sign(path: Path, text: str, tensors: dict[str, torch.Tensor]) -> None:
    """A checkpoint with this text as its info, and a checksum that fits."""
    content = save(tensors, {"srnn": text, "sha256": "0" * 64})
    digest = hashlib.sha256(content).hexdigest().encode()
    path.write_bytes(content.replace(ZEROS, b'"sha256":"' + digest + b'"', 1))


def one_line(error: pytest.ExceptionInfo[SrnnError], path: Path) -> None:
    assert str(path) in str(error.value) and len(str(error.value)) < 1200


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "3",
        '"text"',
        "{",
        "[" * 9999,
        '{"a":' * 99 + "1" + "}" * 99,
        '{"format": {}}',
        "9" * 5000,
    ],
)
def test_a_signed_checkpoint_whose_info_is_no_object(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    sign(path, text, {"network.a": torch.zeros(1)})
    with pytest.raises(SrnnError) as caught:
        read_checkpoint(path)
    one_line(caught, path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch that is to have two, stopped within the second."""

    class Stop(Exception):
        pass

    def stop(epoch: int, step: int) -> None:
        if (epoch, step) == (2, 6):
            raise Stop

    from srnn.progress import Reporter

    class Stopper(Reporter):
        def step(self, done_steps: int, numbers: dict[str, Any]) -> None:
            stop(numbers["epoch"], done_steps)

    run = tmp_path_factory.mktemp("forged") / "run"
    with pytest.raises(Stop):
        train(recipe(), run, task=TinyTask(), reporter=Stopper())
    assert read_checkpoint(Run.open(run).last).info["state"]["step"] == 1
    return run


def recipe() -> Any:
    return tiny_recipe("--training.epochs=2", "--training.checkpoint_every=1")


STATES = [
    *(f'{{"{name}": {number}}}' for name in ("epoch", "step", "metrics_size") for number in NUMBERS),
    *(f'{{"{name}": {number}}}' for name in ("seconds", "lr_factor") for number in NUMBERS if number not in ("1.5", "-1")),
    '{"lr_factor": 0}', '{"lr_factor": 2}', '{"best": 3}', '{"best": ["x"]}', '{"best": {}}', '{"sums": []}', '{"sums": {}}',
    '{"sums": {"loss": "x"}}', '{"step": 4}', '{"step": 0}', '{"more": 1}',
]  # fmt: skip


@pytest.mark.parametrize("change", STATES)
def test_a_signed_checkpoint_whose_state_is_nonsense_ends_resuming(
    change: str, trained: Path
) -> None:
    path = Run.open(trained).last
    before = path.read_bytes()
    good = read_checkpoint(path)
    text = json.dumps(good.info)
    # A later key of the same name counts; so numbers that Python cannot write are put in as text.
    state = json.dumps(good.info["state"])
    assert state in text
    try:
        sign(path, text.replace(state, f"{state[:-1]}, {change[1:]}"), good.tensors)
        with pytest.raises(
            SrnnError, match=r"this version's training|with other data|as JSON"
        ) as caught:
            train(recipe(), trained, task=TinyTask(), resume=True)
        one_line(caught, path)
    finally:
        path.write_bytes(before)


def test_the_stopped_run_itself_goes_on(trained: Path) -> None:
    metrics = (trained / "metrics.jsonl").read_bytes()
    assert train(recipe(), trained, task=TinyTask(), resume=True)["epochs"] == 2
    assert (trained / "metrics.jsonl").read_bytes().startswith(metrics)


@pytest.mark.parametrize(
    "architecture",
    [
        None,
        5,
        {"a": 1},
        [1, 2, 3],
        [["a"] * 3] * 2,
        ["x" * 10**6, "y"],
        [None],
        "text",
        [{"a": {}}],
    ],
)
def test_a_signed_checkpoint_of_an_odd_architecture(
    architecture: Any, trained: Path, tmp_path: Path
) -> None:
    run, path = Run.open(trained), tmp_path / "a.safetensors"
    good = read_checkpoint(run.last)
    save_checkpoint(path, good.tensors, {**good.info, "architecture": architecture})
    network = run.recipe.build_network(TinyTask(), 0)
    with pytest.raises(SrnnError, match="another architecture") as caught:
        load_network(network, read_checkpoint(path))
    one_line(caught, path)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64, torch.bool])
def test_weights_that_are_no_real_numbers(
    dtype: torch.dtype, trained: Path, tmp_path: Path
) -> None:
    run, path = Run.open(trained), tmp_path / "a.safetensors"
    good = read_checkpoint(run.last)
    save_checkpoint(
        path, {name: tensor.to(dtype) for name, tensor in good.tensors.items()}, good.info
    )
    network = run.recipe.build_network(TinyTask(), 0)
    with pytest.raises(SrnnError, match="does not fit") as caught:
        load_network(network, read_checkpoint(path))
    one_line(caught, path)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("optimizer.0.exp_avg", torch.zeros(1, 1, 1)),
        ("optimizer.0.exp_avg", torch.zeros(8, 3, dtype=torch.complex64)),
        ("optimizer.0.exp_avg", torch.zeros(8, 3, dtype=torch.int32)),
        ("optimizer.0.step", torch.zeros(2)),
        ("optimizer.0.step", torch.tensor(-1.0)),
        ("optimizer.0.step", torch.tensor(float("inf"))),
        ("optimizer.0.step", torch.tensor(float("nan"))),
        ("optimizer.0.more", torch.zeros(1)),
        ("optimizer.99.exp_avg", torch.zeros(1)),
        ("optimizer.-1.exp_avg", torch.zeros(1)),
        ("optimizer.x.exp_avg", torch.zeros(1)),
        ("optimizer.1", torch.zeros(1)),
        ("optimizer." + "9" * 5000 + ".step", torch.zeros(1)),
    ],
)
def test_moments_that_are_not_the_optimisers(
    name: str, tensor: torch.Tensor, trained: Path, tmp_path: Path
) -> None:
    run, path = Run.open(trained), tmp_path / "a.safetensors"
    good = read_checkpoint(run.last)
    training = run.recipe.training
    optimizer = build_optimizer(
        run.recipe.build_network(TinyTask(), 0), training.optimizer, training.lr_scale
    )
    load_optimizer(optimizer, good)
    save_checkpoint(path, {**good.tensors, name: tensor}, good.info)
    with pytest.raises(SrnnError, match="optimiser") as caught:
        load_optimizer(optimizer, read_checkpoint(path))
    one_line(caught, path)


def test_headers_that_are_cut_off_or_none() -> None:
    content = save({"t": torch.zeros(0)}, {"srnn": "{}"})
    assert read_metadata(content, "f", "a state")["srnn"] == "{}"
    for bad in (
        b"",
        b"\0" * 8,
        b"\xff" * 8 + b"{}",
        b"\2" + b"\0" * 7 + b"{}",
        b"\4" + b"\0" * 7 + b"null",
    ):
        with pytest.raises(SrnnError, match=r"^f cannot be read"):
            read_metadata(bad, "f", "a state")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position", 5), ("position", 10**9), ("position", -1), ("samples", -1), ("steps", True), ("steps", 1.0), ("sure", None),
        ("guess", 99), ("guess", -2), ("samples", 2**62), ("network", np.nan), ("network", np.inf),
        ("scores.total", np.nan), ("last", np.inf), ("last", "float32"), ("network", "float16"),
    ],
)  # fmt: skip
def test_a_signed_state_of_nonsense_is_refused_and_changes_nothing(key: str, value: Any) -> None:
    session = decoder(create_task("digits"), segment=5).open()
    session.push(np.random.default_rng(0).random((3, 8)))
    data = session.save()
    arrays, info = unpack(data)
    if key in arrays and isinstance(value, str):
        arrays[key] = arrays[key].astype(value)
    elif key in arrays:
        arrays[key] = np.full_like(arrays[key], value)
    else:
        info[key] = value
    with pytest.raises(SrnnError):
        session.restore(pack(arrays, info))
    assert session.save() == data
    session.restore(data)


@pytest.mark.parametrize("text", ["null", "[]", "[[1, 2]]", "3", "[" * 9999, "9" * 5000, "{"])
def test_a_signed_state_whose_info_is_no_object(text: str) -> None:
    from safetensors.numpy import save as save_arrays

    from srnn.deploy.streaming import saved

    content = save_arrays({"a": np.zeros(1)}, {"srnn": text})
    with pytest.raises(SrnnError, match="state"):
        unpack(saved._HEAD + saved._digest(content, b"") + content)


@pytest.mark.parametrize(
    "name",
    [
        "paper/ecg",
        "x" * 300,
        "ä" * 200,
        "a\nb\0c",
        "../..",
        "..",
        "",
        "a/../../b",
        'a<b>:"|?*\\',
        "/",
    ],
)
def test_a_default_folder_can_be_made_whatever_the_recipe_is_called(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from srnn.training.runs import default_folder

    monkeypatch.chdir(tmp_path)
    folder = default_folder(name, 2**63 - 1)
    folder.mkdir(parents=True)
    assert folder.resolve().parent == tmp_path / "runs" and not set(folder.name) & set(
        '<>:"|?*\\\n'
    )


@pytest.mark.parametrize(
    "words",
    [
        ["train", "digits", "--out", LONG], ["train", LONG], ["train", "digits", "--out", f"a/{LONG}/b"], ["evaluate", LONG],
        ["energy", LONG], ["report", LONG], ["report", LONG, "--out", "a", "--title", "t", "--command", "m"],
        ["sweep", LONG], ["sweep", "digits-surrogates", "--report", "--out", LONG], ["stream", LONG, "-"],
        ["export", "c", LONG, "--out", "a"],
    ],
    ids=lambda words: " ".join(word[:10] for word in words),
)  # fmt: skip
def test_a_name_of_300_characters_is_one_line(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("srnn: ") and error.count("\n") == 1 and "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


SEEDS = ["{}", "[]", "null", *(f'{{"seed": {number}}}' for number in NUMBERS), "[" * 9999]


@pytest.mark.parametrize("environment", SEEDS)
def test_a_run_with_an_odd_environment(environment: str, trained: Path) -> None:
    path = trained / "environment.json"
    before = path.read_text()
    try:
        path.write_text(environment)
        with pytest.raises(SrnnError) as caught:
            Run.open(trained)
        one_line(caught, path)
    finally:
        path.write_text(before)


def test_a_torn_line_of_the_metrics_is_left_out_by_readers_and_cut_by_training(
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    one = tiny_recipe("--training.epochs=1")
    train(one, run, task=TinyTask())
    with open(run / "metrics.jsonl", "ab") as file:
        file.write(b'{"epoch": 2, "tra')
    assert [record["epoch"] for record in Run.open(run).epochs()] == [1]
    train(one, run, task=TinyTask(), resume=True)
    assert (run / "metrics.jsonl").read_bytes().endswith(b"}\n") and len(
        Run.open(run).epochs()
    ) == 1
