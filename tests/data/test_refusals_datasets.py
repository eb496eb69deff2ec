"""What data sets refuse: options, and data that do not fit them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from srnn.data.datasets import Split
from srnn.data.datasets.catalogue import find_data_set
from srnn.data.datasets.digits import DigitsTask
from srnn.data.tasks import create_task
from support.refusing import Refusal, refusals
from support.sounds import write_wav


def task(name: str, **options: Any) -> Callable[[], Any]:
    return lambda: create_task(name, **options)


def digits(fraction: float) -> Callable[[], Any]:
    return lambda: DigitsTask(validation_fraction=fraction).load("train")


def array_file(**options: Any) -> Callable[[Path], Any]:
    """The task "folder" of a file of arrays, 9 sequences of 3 classes at 50 Hz."""

    def make(folder: Path) -> Any:
        np.savez(folder / "a.npz", x=np.ones((9, 5, 2)), y=np.arange(9) % 3, rate=50)
        return create_task("folder", path=str(folder / "a.npz"), **options)

    return make


def arrays(**given: Any) -> Callable[[Path], Any]:
    """A file of arrays that differs from a good one by what is given."""

    def load(folder: Path) -> Any:
        content = {"x": np.ones((9, 5, 2)), "y": np.arange(9) % 3, **given}
        kept = {name: values for name, values in content.items() if values is not None}
        np.savez(folder / "a.npz", **kept)
        return create_task("folder", path=str(folder / "a.npz"), scale="none").load("train")

    return load


def sounds(**options: Any) -> Callable[[Path], Any]:
    """The task "folder" of a folder of sound."""

    def make(folder: Path) -> Any:
        write_wav(folder / "s" / "a" / "1.wav", np.zeros(8000, np.int16), 8000)
        return create_task("folder", path=str(folder / "s"), **options)

    return make


REFUSALS = [
    *(
        Refusal("validation_fraction", "value", task("digits", validation_fraction=value))
        for value in (0, 1, -0.1, float("nan"), "half", True)
    ),
    *(Refusal("validation_fraction", "conflict", digits(value)) for value in (1e-6, 0.99999)),
    Refusal("split", "name", lambda: DigitsTask().load("trian"), "mean 'train'"),  # type: ignore[arg-type]
    Refusal("splitting", "value", task("digits", splitting="contigous")),
    Refusal("tau", "value", task("mackey-glass", tau=16)),
    Refusal("offset", "value", task("mackey-glass", offset=-1)),
    Refusal("window", "value", task("mackey-glass", window=20)),
    Refusal("validation_size", "value", task("smnist", validation_size=-1)),
    Refusal("training_size", "value", task("smnist", training_size=0)),
    Refusal("window", "value", task("psmnist", window=785)),
    Refusal("window", "value", task("psmnist", window=0)),
    Refusal("permutation_seed", "value", task("psmnist", permutation_seed=2**32)),
    Refusal("permutation_seed", "value", task("psmnist", permutation_seed=-1)),
    Refusal("receivers", "value", task("soli", receivers=[4])),
    Refusal("receivers", "value", task("soli", receivers=[1, 1])),
    Refusal("receivers", "value", task("soli", receivers=[])),
    Refusal("validation_subjects", "value", task("soli", validation_subjects=3)),
    Refusal("validation_speakers", "value", task("shd", validation_speakers=[-1])),
    Refusal("classes", "value", task("timit", classes=40)),
    Refusal("validation", "value", task("timit", validation="dev")),
    Refusal("label_lag", "value", task("timit", label_lag=101)),
    Refusal("version", "value", task("gsc", version=3)),
    Refusal("classes", "value", task("gsc", classes=11)),
    Refusal("classes", "value", task("gsc", classes=30), "all words of version 2"),
    Refusal("classes", "value", task("gsc", version=1, classes=35), "12 or 30"),
    Refusal("source", "value", task("gsc", source="tiny")),
    Refusal("features", "value", task("gsc", features="mel")),
    Refusal("source", "conflict", task("gsc", source="mini", classes=35)),
    Refusal("source", "conflict", task("gsc", source="mini", version=1)),
    Refusal("test_set", "conflict", task("gsc", test_set="official", classes=35)),
    Refusal("splitting", "value", task("spoken-digits", splitting="random")),
    Refusal("test_speaker", "value", task("spoken-digits", test_speaker="nobody")),
    Refusal("validation_speaker", "value", task("spoken-digits", validation_speaker="bob")),
    Refusal(
        "validation_speaker",
        "conflict",
        task("spoken-digits", splitting="speaker", test_speaker="theo", validation_speaker="theo"),
    ),
    Refusal("splitting", "conflict", task("spoken-digits", test_speaker="theo")),
    Refusal("source", "value", task("ecg", source="raw")),
    Refusal("validation_blocks", "value", task("ecg", validation_blocks=-1)),
    Refusal("label_lag", "value", task("ecg", label_lag=1302)),
    Refusal("smoothing", "conflict", task("ecg", smoothing=9), "no effect with source"),
    Refusal("validation_blocks", "conflict", task("ecg", source="records", validation_blocks=2)),
    Refusal("data_set", "name", lambda: find_data_set("imagenet")),
    Refusal("path", "missing", task("folder")),
    Refusal("nowhere", "missing", task("folder", path="nowhere")),
    Refusal("{}", "missing", lambda folder: create_task("folder", path=str(folder))),
    Refusal("skip", "conflict", array_file(skip=True)),
    Refusal("skip", "value", array_file(skip="yes")),
    Refusal("seconds", "conflict", array_file(seconds=2.0)),
    Refusal("mels", "conflict", array_file(mels=20)),
    Refusal("channels", "conflict", array_file(channels="ax")),
    Refusal("window", "conflict", array_file(window=2)),
    Refusal("rate", "conflict", array_file(rate=20)),
    Refusal("rate", "value", array_file(rate=0)),
    Refusal("rate", "value", array_file(rate=True)),
    Refusal("scale", "value", array_file(scale="train")),
    Refusal("pool", "value", array_file(pool=0)),
    Refusal("pool", "conflict", array_file(pool=2, scale="none")),
    Refusal("pool", "conflict", array_file(pool=2, answer="next")),
    Refusal("answer", "conflict", array_file(answer="next", scale="none")),
    Refusal("unit", "conflict", array_file(unit="g")),
    Refusal("test_fraction", "value", array_file(test_fraction=1)),
    Refusal("test_fraction", "conflict", array_file(test_fraction=0.1, fold="1/3")),
    *(
        Refusal("fold", "value", array_file(fold=fold))
        for fold in ("0/5", "6/5", "1/1", "2", "2/5/1", "a/b", 2, "1/99999999")
    ),
    Refusal("stride", "conflict", array_file(stride=1)),
    Refusal("window", "value", array_file(window=0)),
    Refusal("stride", "value", array_file(window=1, stride=-1)),
    Refusal("per_step", "value", array_file(per_step=1)),
    Refusal("label", "value", array_file(label="")),
    Refusal("classes", "value", array_file(classes={})),
    Refusal("classes", "value", array_file(classes=["walk"])),
    Refusal("speaker", "value", array_file(speaker=5)),
    Refusal("seconds", "value", sounds(seconds=0)),
    Refusal("seconds", "value", sounds(seconds=True)),
    Refusal("seconds", "value", sounds(seconds=1e308)),
    Refusal("seconds", "value", sounds(seconds=1e-5), "one sample"),
    Refusal("seconds", "conflict", sounds(seconds=0.5, window=1)),
    Refusal("scale", "conflict", sounds(scale="none")),
    Refusal("speaker", "value", sounds(speaker="{who}-{index}")),
    Refusal("speaker", "value", sounds(speaker="^([a-z]+)-")),
    Refusal("speaker", "data", sounds(speaker="{speaker}_{index}")),
    Refusal("x", "missing", arrays(x=None)),
    Refusal("x", "data", arrays(x=np.ones((9, 5)))),
    Refusal("y", "data", arrays(y=np.arange(8))),
    Refusal("y", "data", arrays(y=np.full(9, -1))),
    Refusal("lengths", "data", arrays(lengths=np.ones(9))),
    Refusal("class_names", "data", arrays(class_names=np.array([["a"]]))),
    Refusal("y", "data", lambda: Split(np.ones((1, 2, 3)), 0)),  # type: ignore[arg-type]
]


@refusals(REFUSALS)
def test_refusals(refusal: Refusal, tmp_path: Path) -> None:
    refusal.check(tmp_path)
