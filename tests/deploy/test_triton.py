"""A folder of Triton's model repository: its configuration names the model's tensors, and states
that are kept by it give what a stream gives. Triton itself is not run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import srnn
from srnn.cli.main import main

onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")

WORDS = re.compile(r'[{}\[\]]|"[^"]*"|[\w.-]+')
KINDS = {"TYPE_FP32": np.float32, "TYPE_FP64": np.float64}


def parsed(words: list[str]) -> dict[str, list[Any]]:
    """A message in protobuf's text format: each field's values."""
    found: dict[str, list[Any]] = {}
    while words and (name := words.pop(0)) != "}":
        values = found.setdefault(name, [])
        if words[0] == "{":
            words.pop(0)
            values.append(parsed(words))
        elif words[0] == "[":
            end = words.index("]")
            values.append([int(word) for word in words[1:end]])
            del words[: end + 1]
        else:
            values.append(words.pop(0).strip('"'))
    return found


def configuration(folder: Path) -> dict[str, list[Any]]:
    return parsed(WORDS.findall((folder / "config.pbtxt").read_text()))


class Kept:
    """What Triton does with the folder, for one sequence."""

    def __init__(self, folder: Path) -> None:
        (self.batching,) = configuration(folder)["sequence_batching"]
        self.session = onnxruntime.InferenceSession(folder / "1" / "model.onnx")
        self.state = {
            state["input_name"][0]: self.beginning(folder, state["initial_state"][0])
            for state in self.batching["state"]
        }

    def beginning(self, folder: Path, initial: dict[str, Any]) -> np.ndarray:
        (shape,), (kind,) = initial["dims"], initial["data_type"]
        if initial.get("zero_data") == ["true"]:
            return np.zeros((1, *shape), KINDS[kind])
        content = (folder / "initial_state" / initial["data_file"][0]).read_bytes()
        return np.frombuffer(content, KINDS[kind]).reshape(1, *shape)

    def step(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        after = [state["output_name"][0] for state in self.batching["state"]]
        y, scores, *states = self.session.run(["y", "scores", *after], {"x": x[None], **self.state})
        self.state = dict(zip(self.state, states, strict=True))
        return y[0], scores[0]


DRAWN = srnn.ALIF(initial={"u": srnn.Init("uniform", 0, 1)})
NETWORKS: dict[str, dict[str, Any]] = {
    "per step": {"loss": "nll"},
    "mean": {"loss": "ce_mean", "start": 4},
    "delays": {"loss": "ce_last", "delays": {"recurrent": "uniform(0, 9)", "input": 3}},
    "random beginning": {"loss": "nll", "neuron": DRAWN},
    "two layers": {"loss": "nll", "hidden": [7, 5], "substeps": 2},
}


def made(tmp_path: Path, loss: Any, start: int = 0, **options: Any) -> srnn.Model:
    net = srnn.SRNN(4, outputs=3, norm="batch", **{"hidden": [9], "neuron": "adlif", **options})
    model = srnn.from_network(net, ("a", "b", "c d"), loss=loss, start=start)
    return srnn.load(model.save(tmp_path / "model.safetensors"))


@pytest.mark.parametrize("name", NETWORKS)
def test_states_that_are_kept_as_it_says_give_what_a_stream_gives(
    name: str, tmp_path: Path
) -> None:
    model = made(tmp_path, **NETWORKS[name])
    folder = tmp_path / "repository" / "ecg"
    model.export(folder, "onnx", form="triton")
    kept, stream, session = Kept(folder), srnn.Stream(model), model.stream("steps")
    drawn = [path.name for path in folder.glob("initial_state/*")]
    assert bool(drawn) == (name == "random beginning")
    rng = np.random.default_rng(0)
    for x in (rng.random((60, 4)) < 0.4).astype(np.float32):
        y, scores = kept.step(x)
        np.testing.assert_allclose(y, stream.push(x), atol=1e-5)
        (expected,) = session.push(x[None]).scores
        np.testing.assert_allclose(scores, expected, atol=1e-4)
    assert (folder / "labels.txt").read_text() == "a\nb\nc d\n"
    check_names(folder)


def check_names(folder: Path) -> None:
    """The configuration names exactly the model's tensors, with their shapes."""
    found = configuration(folder)
    graph = onnx.load(folder / "1" / "model.onnx").graph
    (batching,) = found["sequence_batching"]

    def told(items: list[dict[str, Any]], key: str = "name") -> dict[str, Any]:
        return {item[key][0]: (item["data_type"], item["dims"][0]) for item in items}

    def has(items: Any) -> dict[str, Any]:
        kinds = [(item.name, item.type.tensor_type) for item in items]
        assert all(kind.shape.dim[0].dim_param == "batch" for _, kind in kinds)
        return {
            name: (["TYPE_FP32"], [size.dim_value for size in kind.shape.dim[1:]])
            for name, kind in kinds
            if kind.elem_type == onnx.TensorProto.FLOAT
        }

    states = batching["state"]
    assert told(found["input"]) | told(states, "input_name") == has(graph.input)
    assert told(found["output"]) | told(states, "output_name") == has(graph.output)
    assert [*told(found["input"])] == ["x"] and [*told(found["output"])] == ["y", "scores"]
    begins = [state["initial_state"][0] for state in states]
    assert [told([one])[one["name"][0]] for one in begins] == [*told(states, "input_name").values()]
    assert [one["name"] for one in begins] == [state["input_name"] for state in states]
    assert found["backend"] == ["onnxruntime"] and int(found["max_batch_size"][0]) > 1


def test_the_command_writes_it_and_touches_no_folder_that_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = made(tmp_path, loss="nll")
    words = ["export", "onnx", str(model.file), "--form", "triton", "--out"]
    assert main([*words, str(tmp_path / "ecg")]) == 0
    files = {str(path.relative_to(tmp_path / "ecg")) for path in (tmp_path / "ecg").rglob("*.*")}
    assert files == {"config.pbtxt", "labels.txt", "1/model.onnx"}
    assert main([*words, str(tmp_path / "ecg")]) == 2
    assert "is not empty" in capsys.readouterr().err
