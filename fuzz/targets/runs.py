"""What lies in a run's folder: checkpoints, and JSON."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from ..mending import mend_checkpoint, with_info
from ..target import Target, write
from .shared import CUT, TINY, each, network, parts, recipe


def read_checkpoint(data: bytes, folder: Path) -> None:
    from srnn.model.checkpoints import load_network, read_checkpoint
    from srnn.nn.state_format import StateFormat
    from srnn.training.optimisation import build_optimizer
    from srnn.training.state import load_optimizer

    content, info = parts(data, 2)
    content = mend_checkpoint(with_info(content, info)) if info else content
    checkpoint = read_checkpoint(write(folder, "a.safetensors", content))
    training = recipe().training
    each(
        lambda: load_network(network(), checkpoint),
        lambda: StateFormat.from_arrays(checkpoint.tensors).into(network()),
        lambda: load_optimizer(
            build_optimizer(network(), training.optimizer, training.lr_scale), checkpoint
        ),
    )


def checkpoint_seeds() -> dict[str, bytes]:
    from srnn.model.checkpoints import architecture, network_tensors, save_checkpoint

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        info = {"architecture": architecture(network()), "epoch": 1, "metrics": {"accuracy": 0.5}}
        save_checkpoint(path, network_tensors(network()), info)
        return {
            "tiny": path.read_bytes(),
            "parts": path.read_bytes() + CUT + json.dumps({"format": 1, **info}).encode(),
        }


def read_model(data: bytes, folder: Path) -> None:
    """A whole file, or the description of one whose network is the tiny one."""
    from srnn.files import parse_json
    from srnn.model.checkpoints import network_tensors, save_checkpoint
    from srnn.model.trained import Trained

    content, described = parts(data, 2)
    path = write(folder, "model.safetensors", mend_checkpoint(content))
    if described:
        lines = parse_json(content, path) if content.startswith(b"[") else []
        save_checkpoint(path, network_tensors(network()), {"architecture": lines, "model": None})
        info = b'{"format": 1, "architecture": %s, "model": %s}' % (
            json.dumps(lines).encode(),
            described,
        )
        path.write_bytes(mend_checkpoint(with_info(path.read_bytes(), info)))
    _ = Trained.read(path).network


def model_seeds() -> dict[str, bytes]:
    from srnn.model.checkpoints import architecture
    from srnn.model.trained import Trained

    made = recipe()
    task = made.create_task()
    trained = Trained(made.build_network(task, 0), task, made, steps=12)
    with tempfile.TemporaryDirectory() as folder:
        whole = trained.save(Path(folder) / "model.safetensors").read_bytes()
    lines = json.dumps(architecture(trained.network)).encode()
    return {"tiny": whole, "described": lines + CUT + json.dumps(trained.header()).encode()}


def read_run(data: bytes, folder: Path) -> None:
    from srnn.measure.page.content import training
    from srnn.model.exit_policy import ExitPolicy
    from srnn.studies.summary import read_run
    from srnn.training.runs import Run

    names = ("environment.json", "exit-policy.json", "result.json", "metrics.jsonl")
    for name, content in zip(names, parts(data, 4), strict=True):
        write(folder, name, content)
    write(folder, "recipe.yaml", TINY.encode())
    run = Run.open(folder)
    each(
        lambda: ExitPolicy.load(folder / "exit-policy.json"),
        lambda: read_run(folder),
        lambda: training(run),
    )


def run_seeds() -> dict[str, bytes]:
    report = {"accuracy": 0.5, "loss": 1.0, "firing_rate": {"mean": 0.1}}
    result = {**report, "parameters": 9, "best_epoch": 1, "epochs": 2, "seconds": 3.0}
    epoch = {"epoch": 1, "train": {"loss": 1.0}, "validation": report, "seconds": 1.0, "lr": 0.01}
    contents = ({"seed": 3, "versions": {}}, {"loss": "ce_mean", "confidence": 0.9}, result, epoch)
    return {"finished": CUT.join(json.dumps(content).encode() for content in contents)}


TARGETS = (
    Target("checkpoint", read_checkpoint, checkpoint_seeds, (mend_checkpoint,), largest=8192,
           words=("F32", "BF16", "I64", "data_offsets", "shape", "format", "network.", "optimizer.0.step", "1e999", "null")),
    Target("model", read_model, model_seeds, largest=16_384,
           words=("task", "signal", "kind", "channels", "options", "policy", "states", "1e999", "null", "[[[[", "speech")),
    Target("run", read_run, run_seeds, words=("1e999", "null", "NaN", "[[[[", '{"a":', "\n%%%\n", "seed", "mean", "std")),
)  # fmt: skip
