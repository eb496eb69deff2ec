"""Every published network, replayed: an SRNN with its weights does what the authors' code did,
spike by spike.

Once with the published weights and golden files where they are at hand; and once, for all of them,
with random weights in the published layout and a golden file that plain numpy made from the
description (``restated.py``).
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from paper.commands import NETWORKS, main
from paper.compat import PUBLISHED, load_published, verify
from srnn import SrnnError
from srnn.nn.network import Layer
from srnn.training.runs import Run
from support.kernels import CPU_BACKENDS
from support.restated import Arrays, restate

AT_HAND = ("ecg", "shd", "gsc", "smnist", "timit")
QUICK = (("float32", "cpu"), ("float64", "reference"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory):
    """task -> (weights file, golden file), restated once."""
    made: dict[str, tuple[Path, Path]] = {}

    def of(task: str) -> tuple[Path, Path]:
        if task not in made:
            folder = tmp_path_factory.mktemp(task)
            made[task] = (folder / "weights.npz", folder / "golden.npz")
            for path, arrays in zip(made[task], restate(task), strict=True):
                np.savez(path, **arrays)  # type: ignore[arg-type]
        return made[task]

    return of


@pytest.mark.parametrize(
    ("dtype", "backend"),
    [
        pytest.param(dtype, backend, marks=() if (dtype, backend) in QUICK else pytest.mark.slow)
        for dtype in ("float32", "float64")
        for backend in CPU_BACKENDS
    ],
)
@pytest.mark.parametrize("task", AT_HAND)
def test_the_authors_recordings(
    task: str, dtype, backend: str, golden_dir: Path, checkpoint_dir: Path
) -> None:
    weights, golden = checkpoint_dir / f"{task}.npz", golden_dir / f"golden_{task}.npz"
    if not weights.is_file() or not golden.is_file():
        pytest.skip(f"no {weights} or no {golden}")
    found = verify(task, weights, golden, backend=backend, dtype=dtype)
    assert found.spike_mismatches == 0
    assert found.max_membrane_error <= 5e-4
    assert found.max_output_error <= 1e-4
    assert found.passed
    assert sum(layer.spikes_compared for layer in found.layers.values()) > 100_000
    assert found.silent_units == ({"layers.0": (172,)} if task == "gsc" else {})


@pytest.mark.parametrize("task", ["shd", "gsc", "smnist"])
def test_thresholds_of_the_recordings(task: str, golden_dir: Path, checkpoint_dir: Path) -> None:
    """The recorded thresholds are threshold + beta e. (A backend's spikes cannot be right with
    others; this says why not.)"""
    network = load_published(task, checkpoint_dir / f"{task}.npz").network
    with np.load(golden_dir / f"golden_{task}.npz", allow_pickle=False) as archive:
        golden = {name: archive[name] for name in archive.files}
    below = None
    for index, (name, layer) in enumerate(
        zip(PUBLISHED[task].recording.layers, network.layers, strict=False)
    ):
        assert isinstance(layer, Layer)
        layer.backend = "reference"
        spikes = (
            np.unpackbits(golden[f"spike_{name}"], axis=-1, count=layer.size)
            .swapaxes(0, 1)
            .astype("f4")
        )
        if below is not None:
            u = torch.from_numpy(golden.get(f"rand{index}", np.zeros((2, layer.size), "f4")))
            e = torch.full_like(u, 1.6 if task == "gsc" else 0.01)
            state = layer.neuron.State(u=u, e=e, s=u)
            traces = layer(torch.from_numpy(below), state, record=("e",)).traces
            theta = layer.params.threshold + layer.params.beta * traces["e"]
            expected = golden[f"theta_{name}"]
            found = theta.detach().numpy().swapaxes(0, 1)[: len(expected)]
            assert np.abs(found - expected).max() < 1e-5
        below = spikes


@pytest.mark.parametrize("backend", CPU_BACKENDS)
@pytest.mark.parametrize("task", sorted(PUBLISHED))
def test_a_restatement_in_numpy(task: str, backend: str, files) -> None:
    found = verify(task, *files(task), backend=backend, dtype="float64")
    assert found.spike_mismatches == 0
    assert found.max_membrane_error < 1e-6  # thresholds were rounded to single precision
    assert found.max_output_error < 1e-6
    with np.load(files(task)[1]) as golden:
        for name, layer in found.layers.items():
            if f"spike_{name}" in golden:
                assert layer.spikes_compared > 0
                packed = golden[f"spike_{name}"]
                assert (
                    np.unpackbits(packed) if f"spike_{name}_n" in golden else packed
                ).mean() > 0.02


@pytest.mark.parametrize(
    ("recorded", "taken_for"),
    [("shd-90.7", "shd"), ("shd", "shd-90.7"), ("smnist", "psmnist"), ("gsc", "timit")],
)
def test_networks_are_told_apart(recorded: str, taken_for: str, files) -> None:
    """The same weights with other initial states differ; the weights of other architectures are
    refused."""
    if recorded.startswith("shd"):
        found = verify(taken_for, *files(recorded))
        assert found.spike_mismatches > 0 and not found.passed
    else:
        with pytest.raises(SrnnError, match="not the weights"):
            verify(taken_for, *files(recorded))


def test_what_distinguishes_the_counts(files) -> None:
    """S-MNIST counts from the first step and from the initial "spikes", PS-MNIST from the second
    step."""
    for task in ("smnist", "psmnist"):
        with np.load(files(task)[1]) as golden:
            spikes = np.unpackbits(golden["spike_o"], axis=-1, count=10)
            assert spikes[0].any()
            difference = golden["output"] - spikes[1:].sum(0)
            expected = spikes[0] + golden["rand3"] if task == "smnist" else 0 * spikes[0]
            assert np.allclose(difference, expected)


def test_input_longer_than_the_recorded_spikes_is_cut(files, tmp_path: Path) -> None:
    weights, golden = files("ssc")
    arrays = _arrays(golden)
    x = np.concatenate([arrays["x"], arrays["x"][:, :30]], 1)
    arrays |= {"x": x, "x_shape": np.array([2, 130, 700])}
    np.savez(tmp_path / "long.npz", **arrays)  # type: ignore[arg-type]
    assert verify("ssc", weights, tmp_path / "long.npz").passed


def _arrays(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def _words(task: str, weights: Path, golden: Path) -> list[object]:
    return ["verify", "--task", task, "--weights", weights, "--golden", golden]


@pytest.mark.parametrize("task", ["gsc", "psmnist"])
def test_verify_on_the_command_line(task: str, files, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*_words(task, *files(task)), "--backend", "reference"]
    code, out, _ = _run(capsys, *words, "--json")
    found = json.loads(out)
    assert code == 0 and out.count("\n") == 1
    assert found["task"] == task and found["backend"] == "reference" and found["dtype"] == "float32"
    assert found["spike_mismatches"] == 0 and found["passed"] is True
    assert found["max_membrane_error"] < 5e-4 and found["max_output_error"] < 1e-4
    assert found["steps"] == 60 and found["sequences"] == 2
    assert list(found["layers"]) == list(PUBLISHED[task].recording.layers)
    assert found["silent_units"] == ({"layers.0": [172]} if task == "gsc" else {})
    code, out, _ = _run(capsys, *words)
    assert code == 0 and "the same" in out and ("172 is NaN" in out) == (task == "gsc")


@pytest.mark.parametrize("what", ["output", "mem_h2", "spike_h1"])
def test_a_difference_is_exit_code_1(
    what: str, files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, golden = files("shd")
    arrays = _arrays(golden)
    if what == "spike_h1":
        arrays[what][3, 1, 5] ^= 4
    else:
        arrays[what].flat[7] += 1e-3
    np.savez(tmp_path / "golden.npz", **arrays)  # type: ignore[arg-type]
    code, out, _ = _run(capsys, *_words("shd", weights, tmp_path / "golden.npz"), "--json")
    found = json.loads(out)
    assert code == 1 and found["passed"] is False
    assert found["spike_mismatches"] == (1 if what == "spike_h1" else 0)
    assert (found["max_output_error"] > 1e-4) == (what == "output")
    assert (found["max_membrane_error"] > 5e-4) == (what == "mem_h2")
    code, out, _ = _run(capsys, *_words("shd", weights, tmp_path / "golden.npz"))
    assert code == 1 and "NOT equal" in out


def test_weights_that_overflow_are_a_difference(
    files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, golden = files("shd")
    arrays = _arrays(weights)
    arrays["tau_m_o"][3] = -0.001  # exp(1000)
    np.savez(tmp_path / "weights.npz", **arrays)  # type: ignore[arg-type]
    code, out, _ = _run(capsys, *_words("shd", tmp_path / "weights.npz", golden), "--json")
    found = json.loads(out)
    assert (
        code == 1
        and found["max_output_error"] is None
        and found["layers"]["o"]["max_membrane_error"] is None
    )


def _broken(arrays: Arrays) -> dict[str, Arrays]:
    nan = arrays["mem_h1"].copy()
    nan[2, 1, 3] = np.nan
    return {
        "no x": {name: value for name, value in arrays.items() if name != "x"},
        "no draws": {name: value for name, value in arrays.items() if name != "rand1"},
        "no spikes": {name: value for name, value in arrays.items() if name != "spike_h2"},
        "x of another width": arrays | {"x": arrays["x"][..., :40]},
        "x is short": arrays | {"x": arrays["x"][:, :20]},
        "one sequence too few": arrays | {"x": arrays["x"][:1]},
        "no steps": arrays | {"spike_h1": arrays["spike_h1"][:0]},
        "layers of unequal length": arrays | {"spike_h2": arrays["spike_h2"][:9]},
        "no membranes": arrays | {"mem_h1": arrays["mem_h1"][:0]},
        "too many membranes": arrays | {"mem_h1": np.zeros((99, 2, 128))},
        "membranes of another layer": arrays | {"mem_h1": arrays["mem_o"]},
        "NaN in a healthy unit": arrays | {"mem_h1": nan},
        "another number of neurons": arrays | {"spike_h1_n": np.array(127)},
        "a list for a number": arrays | {"spike_h1_n": np.arange(3)},
        "no number": arrays | {"spike_h1_n": np.array(np.nan)},
        "bits as floats": arrays | {"spike_h1": arrays["spike_h1"].astype(float)},
        "text": arrays | {"output": np.full((2, 20), "a")},
        "other classes": arrays | {"output": arrays["output"][:, :9]},
        "x_shape of two": arrays | {"x_shape": np.array([2, 60])},
        "negative x_shape": arrays | {"x_shape": np.array([2, 60, -3])},
        "infinite draw": arrays | {"rand0": np.full((2, 128), np.inf)},
        "nothing": {},
    }


def test_bad_golden_files_are_one_line_and_exit_code_2(
    files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, golden = files("shd")
    path = tmp_path / "golden.npz"
    words = [*_words("shd", weights, path), "--json"]

    def refused(what: str) -> None:
        code, out, err = _run(capsys, *words)
        assert (code, out) == (2, "") and err.startswith("paper: ") and err.count("\n") == 1, what

    refused("there is none")
    for what, arrays in _broken(_arrays(golden)).items():
        np.savez(path, **arrays)  # type: ignore[arg-type]
        refused(what)
    for what, content in {
        "cut": golden.read_bytes()[:5000],
        "empty": b"",
        "text": b"golden",
        "an .npy": _npy(),
    }.items():
        path.write_bytes(content)
        refused(what)


def _npy() -> bytes:
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


def test_mistakes_on_the_command_line(
    files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, golden = files("psmnist")
    right = _words("psmnist", weights, golden)
    for words, hint in (
        (["verify"], "--task"),
        (right[:3], "--weights"),
        (right[:5], "--golden"),
        ([*right, "--backend", "tpu"], "tpu"),
        ([*right, "--dtype", "float16"], "float16"),
        (_words("psmnst", weights, golden), "Did you mean 'psmnist'"),
        (_words("psmnist", tmp_path / "w.npz", golden), "no weights file"),
        ([*right, "--goldn", "g"], "Did you mean '--golden'"),
        ([*right, "--task.options.window=8"], "takes no recipe settings"),
        (["import", "ecg"], "--weights"),
        (
            ["import", "ecg", "--weights", tmp_path / "w.npz", "--out", tmp_path / "run"],
            "no weights file",
        ),
        (
            [
                "import",
                "ecg",
                "--weights",
                weights,
                "--out",
                tmp_path / "run",
                "--task.options.rul=3",
            ],
            "'rul'",
        ),
        (["verfy"], "verify"),
        (_words("\x00", weights, golden), "zero byte"),
        (_words("\x1b[31m", weights, golden), "There is no published network"),
        (["reproduce", "table1", "--format=--"], "no picture format '--'"),
    ):
        code, out, err = _run(capsys, *words)
        assert (code, out) == (2, "") and err.count("\n") == 1 and hint in err, words
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("task", sorted(PUBLISHED))
def test_an_imported_run_is_the_published_network(
    task: str, files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, _ = files(task)
    run = tmp_path / "run"
    code, out, _ = _run(capsys, "import", task, "--weights", weights, "--out", str(run), "--json")
    published, imported = load_published(task, weights), Run.open(run)
    assert code == 0 and json.loads(out)["silent_units"] == {
        k: list(v) for k, v in published.silent_units.items()
    }
    ours, theirs = imported.trained(), published.trained
    assert (ours.task, ours.recipe.loss, ours.seed) == (
        theirs.task.described(),
        theirs.recipe.loss,
        theirs.seed,
    )
    x = (
        torch.rand(2, 6, ours.task.inputs, generator=torch.Generator().manual_seed(1)) < 0.3
    ).float()
    one, two = (
        net.run(x, generator=torch.Generator().manual_seed(2))
        for net in (ours.network, theirs.network)
    )
    assert torch.equal(one.output, two.output)
    assert all(torch.equal(a.output, b.output) for a, b in zip(one.layers, two.layers, strict=True))
    assert (
        imported.trained().untrained() is None
    )  # and so no time constants before training are told


def test_help_names_every_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(NETWORKS) == set(PUBLISHED)
    for words in (
        [],
        ["--help"],
        ["import", "--help"],
        ["verify", "--help"],
        ["reproduce", "--help"],
    ):
        with suppress(SystemExit):
            main(words)
        said = capsys.readouterr().out
        assert "python -m paper" in said and ("shd-90.7" in said) == (
            words[:1] in (["import"], ["verify"])
        )
