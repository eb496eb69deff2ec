"""Analysis: equal to evaluation where they meet, to plain loops elsewhere; activity, confusion,
time constants."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from srnn.cli.show_section import show_section, sparkline
from srnn.measure.analysis import (
    Analysis,
    AnalysisOptions,
    ClassReport,
    TimeConstants,
    analyse,
    time_constants,
)
from srnn.measure.analysis.neurons import recipe_spikes
from srnn.measure.energy import energy
from srnn.model.trained import Trained
from srnn.training.evaluation import evaluate
from srnn.training.recipes import load_recipe
from srnn.training.recipes.baselines import as_baseline
from support.tiny import TinyStepTask, TinyTask, tiny_recipe

LOSSES = ("ce_mean", "ce_last", "ce_sum_softmax", "ce_spike_count")


def words_for(loss: str, start: int = 2) -> list[str]:
    readout = ["--network.readout=spike_count"] if loss == "ce_spike_count" else []
    return [f"--loss.name={loss}", f"--loss.start={start}", *readout]


def made(task: TinyTask, *words: str, seed: int = 0) -> Trained:
    recipe = tiny_recipe(*words)
    return Trained(recipe.build_network(task, seed=0), task, recipe, seed)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("padded", [False, True])
def test_the_curve_ends_where_evaluation_does(name: str, padded: bool) -> None:
    task = TinyTask(padded=padded)
    trained = made(task, *words_for(name), seed=5)
    plain = evaluate(trained, "test", batch_size=7)
    found = analyse(trained, "test", batch_size=7)
    assert found.evaluation.report == plain.report
    assert found.evaluation.loss == plain.loss
    assert (found.evaluation.confusion == plain.confusion).all()
    assert found.anytime is not None and found.exit is not None
    assert found.anytime.accuracy[-1] == plain.report["accuracy"]  # exactly
    assert found.exit.waiting.accuracy == plain.report["accuracy"]
    assert len(found.anytime.accuracy) == 12


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("padded", [False, True])
def test_each_point_is_the_loss_on_the_prefix(name: str, padded: bool) -> None:
    """As if each sequence had ended at step t: the very scores of the loss with shorter lengths."""
    task = TinyTask(padded=padded)
    trained = made(task, *words_for(name), "--network.neuron.initial={}")
    network, loss = trained.network, trained.loss
    found = analyse(trained, "validation", batch_size=11)
    data = task.load("validation")
    with torch.no_grad():
        output = network.run(torch.from_numpy(data.x)).output
    lengths = np.full(30, 12) if data.lengths is None else data.lengths
    assert found.anytime is not None
    for t in range(12):
        cut = torch.from_numpy(np.minimum(lengths, t + 1))
        predicted = loss.scores(output, cut).argmax(-1).numpy()
        assert found.anytime.accuracy[t] == pytest.approx((predicted == data.y).mean())


def test_a_resonator_is_asked_at_every_step_and_its_spikes_are_counted() -> None:
    """BRF has three states and no reset: curve, early exit and energy against the network's own
    outputs and spikes."""
    task = TinyTask(padded=True)
    brf = "{name: brf, dt: 0.2, omega: 'uniform(1, 3)', threshold: 0.1}"
    trained = made(task, *words_for("ce_mean"), f"--network.neuron={brf}", "--network.gain_in=3")
    found, data = analyse(trained, "test"), task.load("test")
    assert found.anytime is not None and found.activity is not None and found.exit is not None
    x, lengths = torch.from_numpy(data.x), torch.from_numpy(np.array(data.lengths))
    with torch.no_grad():
        result = trained.network.eval().run(x, lengths=lengths)
    for t in range(12):
        predicted = trained.loss.scores(result.output, lengths.clamp(max=t + 1)).argmax(-1).numpy()
        assert found.anytime.accuracy[t] == pytest.approx((predicted == data.y).mean())
    assert found.exit.waiting.accuracy == found.anytime.accuracy[-1]
    spikes, steps = float(result.layers[0].output.sum()), int(lengths.sum())
    assert found.activity.layers[0].rates.mean() == pytest.approx(spikes / steps / 8)
    assert spikes > 0.02 * steps * 8
    # A spike reaches its layer and the readout.
    counts = energy(trained.network, x, lengths)["counts"]
    assert counts["synaptic_acs"] * steps == pytest.approx(
        float(x.sum()) * 8 + spikes * (8 + 3), rel=1e-5
    )


@pytest.mark.parametrize("padded", [False, True])
def test_steps(padded: bool) -> None:
    task = TinyStepTask(padded=padded)
    trained = made(task, "--loss.name=nll", "--loss.start=2")
    plain = evaluate(trained, "validation", batch_size=8)
    found = analyse(trained, "validation", batch_size=8)
    assert found.evaluation.report == plain.report
    curve = found.anytime
    assert curve is not None and curve.per_step and found.exit is None and found.delineation is None
    assert curve.accuracy[-1] == plain.report["accuracy"]
    if not padded:  # every sequence's first counted step is number 2
        assert curve.accuracy[:2] == [None, None]
    assert curve.counted.sum() == sum(max(1, n - 2) for n in _lengths(task))
    assert found.classes.frame_error_rate == pytest.approx(1 - plain.report["accuracy_labelled"])
    assert "at_step" in found.to_dict()["anytime"]
    # A sequence's class never changes.
    assert found.change_times is not None and found.change_times.changes == 0


def _lengths(task: TinyTask) -> list[int]:
    lengths = task.load("validation").lengths
    return [12] * 30 if lengths is None else lengths.tolist()


def test_the_labelled_curve_ends_where_evaluation_does() -> None:
    task = TinyStepTask()
    trained = made(task, "--loss.name=nll", "--network.neuron.initial={}")
    found = analyse(trained, batch_size=8)
    assert found.anytime is not None and found.anytime.accuracy_labelled is not None
    assert found.anytime.labelled_from == 1  # classes differ from the start: nothing is left out
    assert found.anytime.accuracy_labelled[-1] == found.evaluation.report["accuracy_labelled"]
    assert found.anytime.accuracy[-1] == found.evaluation.report["accuracy"]


def test_a_network_that_reads_from_both_ends_cannot_be_asked_early() -> None:
    task = TinyTask(padded=True)
    trained = made(task, "--network.bidirectional=true")
    found = analyse(trained)
    assert found.anytime is None and found.exit is None
    steps = TinyStepTask()
    curve = analyse(made(steps, "--network.bidirectional=true", "--loss.name=nll")).anytime
    assert curve is not None and not curve.online


@pytest.mark.parametrize("words", [[], ["--network.substeps=3"], ["--network.bidirectional=true"],
                                   ["--network.bidirectional=true", "--network.merge=concat", "--network.hidden=[4, 6]"],
                                   ["--network.hidden=[4, 6]", "--network.recurrent=[true, false]"],
                                   ["--network.backend=auto"]])  # fmt: skip
def test_activity_against_a_loop(words: list[str]) -> None:
    task = TinyTask(padded=True)
    trained = made(task, *words, "--network.neuron.initial={}")
    network = trained.network
    activity = analyse(trained, batch_size=9).activity
    assert activity is not None
    data = task.load("validation")
    both = network.bidirectional
    hidden: list[Any] = [
        part
        for layer in network.layers
        for part in ([layer.forward_layer, layer.backward_layer] if both else [layer])
    ]
    fired = [np.zeros(layer.size) for layer in hidden]
    assert data.lengths is not None
    for x, length in zip(data.x, data.lengths, strict=True):
        with torch.no_grad():
            result = network.run(torch.from_numpy(x[None, :length]), record=("s",))
        spikes = [
            result.layers[i].traces[name]
            for i in range(len(network.layers))
            for name in (("forward.s", "backward.s") if both else ("s",))
        ]
        for count, s in zip(fired, spikes, strict=True):
            count += s[0].sum(0).numpy()
    substeps = network.substeps
    steps = int(data.lengths.sum())
    readers = [
        *(
            sum(part.size for part in ([la.forward_layer, la.backward_layer] if both else [la]))
            for la in network.layers
        ),
        3,
    ]
    per_level = 2 if both else 1
    for i, (layer, count, own) in enumerate(zip(activity.layers, fired, hidden, strict=True)):
        assert layer.rates == pytest.approx(count / (steps * substeps))
        fan_out = (own.size if own.recurrent else 0) + readers[i // per_level + 1]
        assert layer.sops == count.sum() * fan_out
        assert layer.dead() == np.flatnonzero(count == 0).tolist()
    assert activity.input_events == data.x.sum()
    assert activity.input_sops == data.x.sum() * readers[0] * substeps
    assert (activity.sequences, activity.steps) == (30, steps)


def test_dead_and_saturated_neurons() -> None:
    task = TinyTask()
    trained = made(task, "--network.neuron={name: lif, threshold: 0.5, tau_mem: 2}")
    with torch.no_grad():
        trained.network.layers[0].bias[:2] = torch.tensor([-1e3, 1e3])  # type: ignore[index, union-attr]
    found = analyse(trained, options=AnalysisOptions(saturated_above=0.99)).activity
    assert found is not None
    assert 0 in found.layers[0].dead() and found.layers[0].saturated(0.99) == [1]
    plain = found.to_dict()
    assert plain["layers"][0]["saturated"] == [1] and plain["saturated_above"] == 0.99


def test_a_baseline_has_no_spikes() -> None:
    task, recipe = TinyTask(), as_baseline(tiny_recipe(), "gru")
    network = recipe.build_network(task, 0)
    found = analyse(Trained(network, task, recipe), initial=network)
    assert found.activity is None and found.time_constants == []
    assert found.anytime is not None and found.exit is not None
    assert json.loads(json.dumps(found.to_dict()))["activity"] is None


def test_time_constants_before_and_after() -> None:
    task = TinyTask()
    trained = made(task)
    network = trained.network
    initial = trained.recipe.build_network(task, seed=0)
    with torch.no_grad():
        values = network.layers[0].params.values()["tau_mem"]  # type: ignore[union-attr]
        network.layers[0].params.set_values(tau_mem=values + 2)  # type: ignore[union-attr]
    found = {one.name: one for one in time_constants(network, initial, 10.0)}
    assert list(found) == ["layers.0.tau_mem", "layers.0.tau_adp", "readout.tau_mem"]
    assert found["layers.0.tau_mem"].rms_change == pytest.approx(2, abs=1e-5)
    assert found["readout.tau_mem"].rms_change == 0
    assert found["layers.0.tau_mem"].is_trained
    bins = found["layers.0.tau_mem"].histogram(5)
    assert len(bins.edges) == 6 and bins.initial is not None
    assert sum(bins.now) == sum(bins.initial) == 8
    assert time_constants(network)[0].rms_change is None


def test_time_constants_that_are_no_numbers_are_left_out() -> None:
    task = TinyTask()
    network = made(task, "--network.neuron.time_constants=unconstrained").network
    with torch.no_grad():
        network.layers[0].params.tau_mem[:3] = float("nan")  # type: ignore[index, union-attr]
    one = time_constants(network)[0]
    assert one.to_dict()["now"]["values"][:3] == [None] * 3
    assert sum(one.histogram().now) == 5


def test_bins_of_a_wide_range_grow_by_a_constant_factor() -> None:
    """On a linear axis one neuron of 18,000 steps puts all others into the first bin."""
    values = np.array([60.0, 80.0, 120.0, 250.0, 600.0, 18000.0])
    wide = TimeConstants("layers.0.tau_adp", True, values, values / 2, None).histogram(8)
    assert wide.log and np.allclose(np.diff(np.log(wide.edges)), np.log(600) / 8)
    assert max(wide.now) <= 3
    assert sum(wide.now) == 6 and wide.initial is not None and sum(wide.initial) == 6
    narrow = TimeConstants("readout.tau_mem", True, values[:4], None, None).histogram(8)
    assert not narrow.log and np.allclose(np.diff(narrow.edges), 190 / 8) and narrow.initial is None


def test_confusion_by_hand() -> None:
    report = ClassReport(
        ("sil", "a", "b"), np.array([[8, 2, 0], [1, 3, 0], [0, 0, 0]]), per_step=True, silence=0
    )
    assert report.support == [10, 4, 0] and report.recall == [0.8, 0.75, None]
    assert report.precision == [8 / 9, 0.6, None]
    assert report.accuracy == 11 / 14
    assert report.frame_error_rate == pytest.approx(3 / 14)
    assert report.accuracy_without_silence == 0.75
    assert report.balanced_accuracy == pytest.approx(0.775)
    empty = ClassReport(("a",), np.zeros((1, 1), np.int64), per_step=True)
    assert empty.balanced_accuracy is None and empty.frame_error_rate is None
    assert empty.accuracy_without_silence is None
    assert empty.accuracy == 0 and empty.support == [0]
    assert (
        ClassReport(("a", "b"), np.eye(2, dtype=np.int64), per_step=False).frame_error_rate is None
    )


@dataclass(frozen=True)
class QuietTask(TinyStepTask):
    """The second class is silence."""

    name: ClassVar[str] = "quiet"
    silence_class: ClassVar[int | None] = 1
    unlabelled_class: ClassVar[int | None] = None


def test_accuracy_without_silence_is_reported() -> None:
    task = QuietTask()
    trained = made(task, "--loss.name=nll", "--network.neuron.initial={}")
    network, found = trained.network, evaluate(trained, "test")
    data = task.load("test")
    with torch.no_grad():
        predicted = network.run(torch.from_numpy(data.x)).output.argmax(-1).numpy()
    spoken = (data.y >= 0) & (data.y != 1)
    assert found.report["accuracy_without_silence"] == pytest.approx(
        (predicted == data.y)[spoken].mean()
    )
    assert list(found.report)[3:5] == ["accuracy", "accuracy_without_silence"]


def test_sparkline() -> None:
    assert sparkline([0, 1]) == "▁█"
    assert sparkline([0.5, None, 0.5], 0, 1) == "▅ ▅"
    assert sparkline([]) == "" and sparkline([None]) == " "
    assert sparkline([3, 3]) == "▁▁"
    assert len(sparkline(list(range(1000)), width=40)) == 40
    assert sparkline([-5, 9], 0, 1) == "▁█"


def test_tables_where_only_ascii_can_be_shown() -> None:
    for task, words in ((TinyTask(), []), (TinyStepTask(), ["--loss.name=nll"])):
        trained = made(task, *words)
        found = analyse(trained, initial=trained.recipe.build_network(task, 1))
        file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        with redirect_stdout(file):
            show_all(found)
        file.flush()
        assert b"Accuracy over time" in file.buffer.getvalue()  # type: ignore[attr-defined]


def show_all(found: Analysis) -> None:
    for section in found.sections().values():
        show_section(section)


def shown(task: TinyTask, *words: str) -> str:
    trained = made(task, *words)
    file = io.StringIO()
    found = analyse(trained, initial=trained.recipe.build_network(task, 1))
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(file):
        patch.setenv("COLUMNS", "120")
        show_all(found)
    return file.getvalue()


def test_analog_neurons_are_not_said_to_spike() -> None:
    relu = shown(TinyTask(), "--network.neuron={name: relu, tau_mem: 3}")
    assert "spike" not in relu and "synaptic" not in relu
    assert "fraction of outputs that are not 0" in relu
    assert "spikes per neuron and step" in shown(TinyTask())
    mixed = made(TinyTask(), "--network.hidden=[4, 4]", "--network.neuron=[alif, relu]")
    assert not recipe_spikes(mixed.recipe)  # one layer that does not is enough


def test_labelled_steps_come_first_for_people() -> None:
    text = shown(TinyStepTask(), "--loss.name=nll")
    first = text.index("all labelled steps so far")
    assert first < text.index("those without a label count as a, by convention")
    quiet = shown(QuietTask(), "--loss.name=nll").split("Accuracy over time")[2]
    assert "labelled" not in quiet.split("\n\n")[0]


def test_ecg_has_delineation(data_dir: Path) -> None:
    recipe = load_recipe("paper/ecg", ["--network.hidden=[4]"])
    task = recipe.create_task()
    found = analyse(Trained(recipe.build_network(task, 0), task, recipe), data_dir=data_dir)
    assert found.delineation is not None
    # What is labelled does not depend on the network: every QRS of the validation windows between
    # two labelled steps.
    assert found.delineation.waves["QRS"].reference == 443
    assert found.delineation.waves["P"].reference == 426
