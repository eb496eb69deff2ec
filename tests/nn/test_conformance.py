"""Every record by every backend: what ``srnn.testing`` compares holds for every neuron of the
library, for what is written outside it, and for every feature of a network; and ``srnn.testing``
finds what does not agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import srnn
from srnn.data.datasets import Split
from srnn.data.signals import Steps
from srnn.data.tasks import Task, create_task
from srnn.nn.kernels.cpu import compiler
from srnn.nn.surrogates import SURROGATES
from srnn.testing import Conformance, check_model, check_neuron, check_task
from support.graded import BoundedALIF, GradedALIF
from support.networks import NEURONS

PARTS = {
    "compiled loops, values and gradients, recurrent",
    "compiled loops, values and gradients, feed-forward",
    "compiled loops, values and gradients, delayed",
    "stream, in blocks of any size",
    "the model's file",
    "C, float32",
    "C, int8",
    "ONNX, step by step",
}
NOT_DELAYED = {"compiled loops, values and gradients, delayed"}


def whole(report: Conformance, without: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """Nothing was left out but what was expected to be."""
    assert report.compared.keys() == PARTS - without, report
    assert report.left_out.keys() <= without


@pytest.mark.parametrize("name", [name for name in NEURONS if name not in ("relu", "integrator")])
def test_every_spiking_neuron_means_the_same_everywhere(name: str) -> None:
    whole(check_neuron(NEURONS[name]))


@pytest.mark.parametrize("name", ["relu", "integrator"])
def test_every_graded_neuron_means_the_same_where_it_can_run(name: str) -> None:
    report = check_neuron(NEURONS[name])
    whole(report, NOT_DELAYED | {"C, int8"})
    assert "without a bound" in report.left_out["C, int8"]


FEATURES: dict[str, tuple[Any, dict[str, Any], set[str]]] = {
    "one's own emission": (BoundedALIF, {}, NOT_DELAYED),
    "one's own, unbounded": (GradedALIF, {}, NOT_DELAYED | {"C, int8"}),
    "detached reset": (srnn.AdLIF(detach_reset=True), {}, set()),
    "logarithmic time constants": (srnn.ALIF(time_constants="log"), {}, set()),
    "batch norm": ("adlif", {"norm": "batch"}, set()),
    "no bias": ("adlif", {"bias": False}, set()),
    "recomputed": ("adlif", {"recompute": True}, set()),
    "spike count": ("lif", {"readout": "spike_count"}, set()),
    "substeps": ("adlif", {"substeps": 2}, {"C, float32", "C, int8"}),
    "both directions": (
        "adlif",
        {"bidirectional": True},
        {
            *NOT_DELAYED,
            "stream, in blocks of any size",
            "C, float32",
            "C, int8",
            "ONNX, step by step",
        },
    ),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_every_feature_means_the_same_everywhere(feature: str) -> None:
    neuron, options, without = FEATURES[feature]
    whole(check_neuron(neuron, **options), without)


@pytest.mark.slow
@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("name", ["lif", "alif", "adlif"])
def test_every_surrogate_has_the_same_gradient_everywhere(name: str, surrogate: str) -> None:
    whole(check_neuron(NEURONS[name], surrogate=surrogate, seed=1))


def test_a_pretrained_network_answers_the_same_everywhere() -> None:
    recording = np.load(srnn.example("ecg-records"))[:500]
    report = check_model(srnn.load("ecg-records"), [recording])
    assert report.compared.keys() >= {"stream, in blocks of any size", "C, float32", "C, int8"}


# What is wrong is found.


def test_a_compiled_loop_of_other_equations_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Other(srnn.LIF):
        name: ClassVar[str] = "lif_compiled_wrongly"

    written = compiler.function

    def function(name: str, own: Any) -> Any:
        made = written(name, own)
        if name != f"{Other.name}_step":
            return made
        return written(name, replace(own, results=(*own.results[:-1], own.results[0])))

    monkeypatch.setattr(compiler, "function", function)
    with pytest.raises(AssertionError, match=r"of the compiled loops and of torch differ by"):
        check_neuron(Other)


def test_a_stream_of_other_scores_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from srnn.deploy.streaming.decoder import Session

    pushed = Session.push

    def push(self: Session, block: Any) -> Any:
        found = pushed(self, block)
        return found._replace(scores=found.scores + 1e-7)

    monkeypatch.setattr(Session, "push", push)
    with pytest.raises(AssertionError, match=r"the stream in blocks of 1 and the whole differ"):
        check_neuron("lif", steps=10)


def test_c_of_other_weights_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from srnn.deploy.c import project

    source = project.source
    monkeypatch.setattr(
        project,
        "source",
        lambda plan: source(plan).replace("v >= 0", "v > 1").replace("v > 0", "v > 1"),
    )
    with pytest.raises(AssertionError, match=r"^C in float32 and its model differ"):
        check_neuron("lif")


def test_a_neuron_that_never_spikes_tests_nothing() -> None:
    with pytest.raises(AssertionError, match=r"no scale of random weights makes the neuron spike"):
        check_neuron(srnn.LIF(threshold=1e9))


@dataclass(frozen=True)
class Tapped(Task):
    """Made-up taps, with something wrong about them."""

    name = "tapped_for_conformance"
    kind = "per_sequence"
    class_names = ("soft", "hard")
    wrong: str = ""

    def signal(self) -> Steps:
        return Steps(2, 1.0)

    def load(self, split: str, data_dir: Path | None = None) -> Split:
        seed = None if self.wrong == "drawn anew" else len(split)
        x = np.random.default_rng(seed).random((4, 10, 2)).astype(np.float32)
        people = (
            ["a", "b", "c", "d"] if self.wrong == "shared" else [f"{split}{i}" for i in range(4)]
        )
        return Split(x, np.arange(4) % (3 if self.wrong == "label" else 2), groups=np.array(people))


def test_a_task_is_checked() -> None:
    report = check_task(Tapped())
    assert report.compared["groups of train and validation"] == "none in both"
    assert not report.left_out
    assert check_task(create_task("digits")).left_out  # which states no groups


@pytest.mark.parametrize(
    ("wrong", "raised", "match"),
    [
        ("drawn anew", AssertionError, "x differs when it is loaded again"),
        ("shared", AssertionError, "in train and in validation: a, b, c, d"),
        ("label", srnn.SrnnError, "labels must be 0 to 1"),
    ],
)
def test_what_is_wrong_with_a_task_is_found(wrong: str, raised: Any, match: str) -> None:
    with pytest.raises(raised, match=match):
        check_task(Tapped(wrong))
    if wrong == "shared":
        check_task(Tapped(wrong), apart=False)


def test_a_signal_path_that_depends_on_blocks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    stream: Callable[..., Any] = Steps.stream

    def other(self: Steps) -> Any:
        encoder = stream(self)
        push = encoder.push
        encoder.push = lambda x: push(x) * (1 + (len(x) == 7))
        return encoder

    monkeypatch.setattr(Steps, "stream", other)
    with pytest.raises(AssertionError, match="signal path in blocks of 7 and whole"):
        check_task(Tapped())


def test_nothing_random_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    first = check_neuron("lif", steps=12, seed=3)
    torch.manual_seed(2)
    assert check_neuron("lif", steps=12, seed=3) == first
