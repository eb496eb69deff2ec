"""What is refused in measuring, by kind and field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import srnn
from srnn.measure import style
from srnn.measure.analysis import (
    AnalysisOptions,
    ExitPolicy,
    TimeConstants,
    exit_counts,
    time_constants,
)
from srnn.measure.energy import Activity, count, describe_network, energy, load_technology, rates_of
from srnn.measure.energy.compared import compare_energy
from srnn.measure.page import check_page, comparison_content
from srnn.model.trained import Trained
from srnn.nn.loss_config import LossConfig
from srnn.nn.scores import check_confidences
from support.energies import SPIKES, small, spiking
from support.refusing import Refusal, refusals
from support.tiny import TinyTask, tiny_recipe

POLICY = ExitPolicy("ce_mean", confidence=0.5)
NET, X = small("lif", 2, [3]), torch.zeros(2, 4, 2)
RESULT = NET.run(X)


def policy(folder: Path, content: Any) -> None:
    path = folder / "policy.json"
    path.write_text(json.dumps(content))
    ExitPolicy.load(path)


def technology(
    folder: Path, text: str, base: str = 'base = "horowitz-45nm"\nname = "mine"\n'
) -> None:
    path = folder / "mine.toml"
    path.write_text(base + text)
    load_technology(path)


def both_ends() -> None:
    recipe = tiny_recipe("--network.bidirectional=true")
    exit_counts(Trained(recipe.build_network(TinyTask(), 0), TinyTask(), recipe, 0))


def other_constants() -> None:
    now, before = (
        tiny_recipe(f"--network.hidden=[{n}]").build_network(TinyTask(), 0) for n in (4, 5)
    )
    time_constants(now, before)


def no_positive_constant() -> None:
    srnn.plot.time_constants(
        [TimeConstants("layers.0.tau_mem", True, np.array([-1.0]), None, None)]
    )


NOT_FINITE = np.array([[0.5, 0.5], [np.nan, 0], [np.nan, np.nan]])


def layers() -> Any:
    return describe_network(small())


NAN = float("nan")
OPTIONS: dict[str, list[Any]] = {
    "exit_loss": [-0.1, NAN],
    "exit_margin": [2.0],
    "tolerance_ms": [0.0, float("inf")],
    "saturated_above": [1.5],
    "exit_patience": [0],
}
POLICIES: dict[str, list[Any]] = {
    "loss": ["nll", ["ce_mean"]],
    "confidence": [1.5, "0.5", NAN, 10**400, True],
    "margin": [None, 1.5],
    "allowed_loss": [1.5],
    "patience": [0, 1.5],
    "start": [-1, 2**31],
    "earliest": [0],
}
TECHNOLOGIES = {
    "mac": ["mac = 3"],
    "mac.pj": [f"[mac]\npj = {wrong}" for wrong in ("-1", "nan", "inf", "true")],
    "word_bits": ["word_bits = 0", "word_bits = true"],
    "weights": ['weights = "moon"'],
    "on_chip.bytes": [
        f"[on_chip]\nbytes = {wrong}" for wrong in ("[1, 2]", "[3, 2, 1]", "[1, 2, 2]", "[]")
    ],
}


def each(table: dict[str, list[Any]], call: Callable[[Path, str, Any], Any]) -> list[Refusal]:
    """One for each wrong value of each field."""
    return [
        Refusal(field, "value", lambda folder, field=field, wrong=wrong: call(folder, field, wrong))
        for field, values in table.items()
        for wrong in values
    ]


REFUSALS = [
    # Analyses
    *each(OPTIONS, lambda _, field, wrong: AnalysisOptions(**{field: wrong})),
    Refusal("", "unsupported", both_ends),
    Refusal("initial", "conflict", other_constants),
    # Exit policies
    *each(POLICIES, lambda at, field, wrong: policy(at, {"loss": "ce_mean", field: wrong})),
    *(
        Refusal("{}/policy.json", "file", lambda folder, wrong=wrong: policy(folder, wrong))
        for wrong in ({"confidence": 0.5}, [], None)
    ),
    Refusal("loss", "conflict", lambda: POLICY.check(LossConfig("ce_last"))),
    Refusal(
        "read", "missing", lambda: ExitPolicy("ce_mean", earliest=2).confident(np.ones((4, 2)))
    ),
    *(
        Refusal("output", "data", lambda shape=shape: POLICY.decide(np.zeros(shape)))
        for shape in ((3,), (2, 0, 3), (1, 2, 3, 4))
    ),
    *(
        Refusal("lengths", "data", lambda wrong=wrong: POLICY.decide(np.zeros((2, 2, 3)), wrong))
        for wrong in ([1], [0, 2], [1, 3], [[1, 2]])
    ),
    *(
        Refusal("streams", "value", lambda wrong=wrong: POLICY.begin(wrong))
        for wrong in (0, True, 1.0)
    ),
    Refusal("output", "data", lambda: POLICY.begin(2).push(np.zeros(3))),
    Refusal("output", "data", lambda: POLICY.begin(2).push(np.zeros((2, 0)))),
    Refusal("active", "data", lambda: POLICY.begin(2).push(np.zeros((2, 3)), active=[1, 0])),
    Refusal(
        "output", "data", lambda: check_confidences(NOT_FINITE, np.array([7, 8, 9])), "step 8 on"
    ),
    # Energy
    Refusal("rates", "missing", lambda: count(describe_network(small("lif")), SPIKES)),
    Refusal("rates", "data", lambda: count(layers(), Activity(True, 0.1, (0.1, 0.2, 0.3)))),
    Refusal("rates", "value", lambda: rates_of(layers(), [0.1, 0.2, 0.3])),
    Refusal("rates", "value", lambda: spiking(0.1, 1.5)),
    Refusal("density", "value", lambda: Activity(True, float("nan"))),
    *(
        Refusal("step_ms", "value", lambda odd=odd: energy(NET, X, step_ms=odd))
        for odd in (0, -1.0, float("nan"))
    ),
    Refusal("x", "data", lambda: energy(NET, X[:0])),
    Refusal("x", "data", lambda: energy(NET, X[:, :0])),
    Refusal("x", "data", lambda: energy(NET, X[:1], [0])),
    *(
        Refusal("network", "unsupported", lambda other=other: energy(other, X))
        for other in (torch.nn.Sequential(NET), torch.nn.LSTM(2, 3), NET.freeze())
    ),
    Refusal("networks", "missing", lambda: compare_energy([])),
    Refusal("input_rate", "conflict", lambda: compare_energy(["ecg"], input_rate=0.1)),
    Refusal("rates", "conflict", lambda: compare_energy(["ecg", "ecg"], rates=[0.1])),
    Refusal("data", "conflict", lambda folder: compare_energy(["paper/ecg"], data=folder)),
    # Technologies
    *each(TECHNOLOGIES, lambda at, _, wrong: technology(at, wrong)),
    Refusal("word_bits", "missing", lambda folder: technology(folder, 'name = "x"', "")),
    Refusal("wordbits", "name", lambda folder: technology(folder, "wordbits = 8"), "'word_bits'"),
    Refusal("mac.pjs", "name", lambda folder: technology(folder, "[mac]\npjs = 3"), "'pj'"),
    Refusal("technology", "name", lambda folder: technology(folder, "", 'base = "no-such"')),
    Refusal("technology", "name", lambda: load_technology("horowitz-45mn"), "'horowitz-45nm'"),
    Refusal("base", "value", lambda folder: technology(folder, "", f'base = "{folder}/mine.toml"')),
    # Pictures and pages
    Refusal("formats", "name", lambda: style.check_formats(["bmp"])),
    Refusal("sequence", "value", lambda: srnn.plot.raster(RESULT, sequence=2)),
    Refusal("result", "value", lambda: srnn.plot.raster(NET(X))),
    Refusal("layer", "value", lambda: srnn.plot.membranes(RESULT, layer=3)),
    Refusal("sequence", "value", lambda: srnn.plot.membranes(RESULT, sequence=2)),
    Refusal(
        "neurons", "value", lambda: srnn.plot.membranes(NET.run(X, record=("u",)), neurons=[3])
    ),
    Refusal("result", "missing", lambda: srnn.plot.membranes(RESULT)),
    Refusal("source", "value", lambda: srnn.plot.time_constants("runs/digits")),  # type: ignore[arg-type]
    Refusal("source", "data", no_positive_constant),
    Refusal("report", "value", lambda: srnn.plot.confusion(np.eye(2))),  # type: ignore[arg-type]
    Refusal("{}", "file", lambda folder: check_page(folder)),
    Refusal("folders", "value", lambda folder: comparison_content([folder])),
]


@refusals(REFUSALS)
def test_refusals(refusal: Refusal, tmp_path: Path) -> None:
    refusal.check(tmp_path)


def test_a_policy_file_is_named_once(tmp_path: Path) -> None:
    for content in ({"loss": "ce_mean", "confidense": 0.5}, {"loss": "ce_mean", "margin": 2}, []):
        with pytest.raises(srnn.SrnnError) as error:
            policy(tmp_path, content)
        assert str(error.value).count(str(tmp_path / "policy.json")) == 1
