"""Loggers: each epoch's numbers reach a service under one name, also after a training was
resumed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from srnn import SrnnError
from srnn.training.loggers import LoggerName
from srnn.training.loop import train
from support.tiny import TinyTask, tiny_recipe


class Services:
    """Stands for the three packages: what was opened, written and closed, in order."""

    def __init__(self) -> None:
        self.opened: list[Any] = []
        self.written: list[tuple[str, float, int]] = []
        self.closed = 0

    def modules(self) -> dict[str, Any]:
        def log(scalars: dict[str, float], step: int) -> None:
            self.written += [(name, value, step) for name, value in scalars.items()]

        def close() -> None:
            self.closed += 1

        def add_scalar(name: str, value: float, step: int) -> None:
            log({name: value}, step)

        def summary_writer(folder: str, purge_step: int) -> Any:
            self.opened.append((Path(folder).name, purge_step))
            return SimpleNamespace(add_scalar=add_scalar, close=close)

        def init(*, id: str | None, config: dict[str, Any], dir: str, resume: str, **_: Any) -> Any:
            assert config["training"]["epochs"] and Path(dir).is_dir() and resume == "allow"
            self.opened.append(id)
            return SimpleNamespace(id=id or "made", log=log, finish=close)

        def start_run(*, run_id: str | None, run_name: str) -> Any:
            self.opened.append(run_id)
            return SimpleNamespace(info=SimpleNamespace(run_id=run_id or "made"))

        mlflow = SimpleNamespace(
            start_run=start_run, log_metrics=log, end_run=close, log_dict=lambda *_: None
        )
        tensorboard = SimpleNamespace(SummaryWriter=summary_writer)
        return {
            "torch.utils.tensorboard": tensorboard,
            "wandb": SimpleNamespace(init=init),
            "mlflow": mlflow,
        }


class Failing(list[Any]):
    """What was written; what is of one epoch cannot be."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def __iadd__(self, values: Any) -> Any:
        if any(epoch == self.epoch for _, _, epoch in values):
            raise ConnectionError("no route\nto host")
        self.extend(values)
        return self


@pytest.mark.parametrize("name, opened", [
    ("tensorboard", [("tensorboard", 1), ("tensorboard", 3)]), ("wandb", [None, "made"]), ("mlflow", [None, "made"]),
])  # fmt: skip
def test_every_epoch_once_also_after_resuming(
    name: LoggerName, opened: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = Services()
    for module, stub in services.modules().items():
        monkeypatch.setitem(sys.modules, module, stub)
    recipe = tiny_recipe("--training.epochs=2")
    train(recipe, tmp_path / "run", task=TinyTask(), logger=name)
    train(recipe, tmp_path / "run", task=TinyTask(), logger=name, resume=True)
    assert services.opened == opened and services.closed == 2
    names = {name for name, _, _ in services.written}
    assert names >= {"loss/train", "accuracy/validation", "firing_rate/validation", "lr"}
    assert sorted((name, step) for name, _, step in services.written) == sorted(
        (n, e) for n in names for e in (1, 2)
    )
    assert all(isinstance(value, float | int) for _, value, _ in services.written)


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_service_that_fails_ends_no_training(
    name: LoggerName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services, fails = Services(), Failing(2)
    for module, stub in services.modules().items():
        monkeypatch.setitem(sys.modules, module, stub)
    monkeypatch.setattr(services, "written", fails)
    with pytest.warns(
        RuntimeWarning,
        match=rf"'{name}' did not get epoch 2, which is in metrics.jsonl: no route to host$",
    ):
        result = train(
            tiny_recipe("--training.epochs=3"), tmp_path / "run", task=TinyTask(), logger=name
        )
    assert (
        result["epochs"] == 3
        and services.closed == 1
        and {epoch for _, _, epoch in fails} == {1, 3}
    )


def test_a_service_that_cannot_be_reached_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**_: Any) -> Any:
        raise ConnectionError("no route\nto host")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    with pytest.raises(
        SrnnError, match=r"^The logger 'wandb' cannot be started: no route to host$"
    ):
        train(tiny_recipe(), tmp_path / "run", task=TinyTask(), logger="wandb")


@pytest.mark.parametrize(
    "name, module",
    [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb"), ("mlflow", "mlflow")],
)
def test_a_missing_package_is_named(
    name: LoggerName, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SrnnError, match=rf"srnn\[{name}\]"):
        train(tiny_recipe(), tmp_path / "run", task=TinyTask(), logger=name)
    assert not (tmp_path / "run").exists()
