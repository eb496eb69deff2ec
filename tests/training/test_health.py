"""Unhealthy trainings: named, recovered a bounded number of times, or ended in one line; resumed to the
same bits. And clipping."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from srnn import SrnnError
from srnn.data.spikes import Spikes
from srnn.model import checkpoints
from srnn.model.checkpoints import read_checkpoint
from srnn.nn.kernels.problem import LayerResult
from srnn.progress import Reporter
from srnn.training import health
from srnn.training.clipping import Gradients
from srnn.training.health import Watch
from srnn.training.loop import train
from srnn.training.runs import Run
from srnn.training.state import TrainingState
from support.runs import cut_and_resumed, moments
from support.tiny import TinyTask, tiny_recipe

SILENT = ("--network.neuron.threshold=100", "--training.start=drawn")
LIF = "--network.neuron={name: lif, tau_mem: 4, threshold: 0.05, initial: {u: 0.1}}"


class _Told(Reporter):
    def __init__(self) -> None:
        self.events: list[str] = []

    def event(self, text: str) -> None:
        self.events.append(text)


def _records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_silent_layer_is_named_and_scaled_until_it_spikes(tmp_path: Path) -> None:
    told = _Told()
    result = train(tiny_recipe(*SILENT), tmp_path / "run", task=TinyTask(), reporter=told)
    assert result["restores"] == 1
    first, restored, *epochs = _records(tmp_path / "run")
    silent = "layers.0 is silent (8 of 8 neurons emitted nothing)"
    assert (
        first["unhealthy"] == [silent] and told.events[0] == f"epoch 1: {silent}"
    )  # as drawn: it may wake by itself
    assert len(told.events) == 2 and told.events[1].startswith(
        f"epoch 2, batch 4: {silent}; back to the last checkpoint"
    )
    assert restored["event"] == "restored" and restored["scaled"][0]["silent"] == [8, 0]
    assert restored["lr_factor"] == 1  # the weights were at fault, not the rate
    assert [record["epoch"] for record in epochs] == [2, 3, 4]
    assert all(record["health"]["layers.0"]["silent"] < 0.9 for record in epochs)
    assert all(record["train"]["firing_rate"]["mean"] > 0 for record in epochs)


@pytest.mark.slow
def test_silence_of_a_start_as_drawn_may_end_by_itself_in_the_first_tenth_of_the_epochs(
    tmp_path: Path,
) -> None:
    train(tiny_recipe(*SILENT, "--training.epochs=20"), tmp_path / "run", task=TinyTask())
    first, second, restored, *_ = _records(tmp_path / "run")
    assert (
        first["unhealthy"]
        == second["unhealthy"]
        == ["layers.0 is silent (8 of 8 neurons emitted nothing)"]
    )
    assert restored["event"] == "restored" and restored["where"].startswith("epoch 3,")


def test_what_cannot_be_recovered_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srnn.training.preparing.measured_start", lambda *_: [])
    with pytest.raises(
        SrnnError,
        match=r"stopped at epoch 2, batch 4: layers.0 is silent .* 2 times did not help; ",
    ) as error:
        train(tiny_recipe(*SILENT, "--training.max_restores=2"), tmp_path / "run", task=TinyTask())
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run" / "result.json").exists()


def test_what_cannot_be_recovered_is_not_advised_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Least of all to start as measured, which is the default."""
    _exploding(monkeypatch, 1, 1000)
    done = ["--training.clip_norm=1", "--training.max_restores=1"]
    for words, wanted in (
        (done, {"lower training.optimizer.lr", "set the neuron's detach_reset"}),
        (["--training.start=drawn", *done[1:]], {
            "lower training.optimizer.lr", "set training.clip_norm", "start with training.start "
                                                                     "'measured'",
            "set the neuron's detach_reset",
        }),
    ):  # fmt: skip
        with pytest.raises(SrnnError, match="did not help; ") as error:
            train(tiny_recipe(*words), tmp_path / str(len(wanted)), task=TinyTask())
        assert set(str(error.value).split("; ")[-1][:-1].split(" or ")) == wanted


def test_without_recovery_a_dead_result_says_so(tmp_path: Path) -> None:
    told = _Told()
    result = train(
        tiny_recipe(*SILENT, "--training.recover=false"),
        tmp_path / "run",
        task=TinyTask(),
        reporter=told,
    )
    assert result["unhealthy"] == ["layers.0 is silent (8 of 8 neurons emitted nothing)"]
    assert (
        json.loads((tmp_path / "run" / "result.json").read_text())["unhealthy"]
        == result["unhealthy"]
    )
    assert len(told.events) == 5 and "is unhealthy: layers.0 is silent" in told.events[-1]
    assert all(record["unhealthy"] == result["unhealthy"] for record in _records(tmp_path / "run"))


def test_a_saturated_layer_is_named_and_calmed(tmp_path: Path) -> None:
    told = _Told()
    words = [
        "--network.neuron={name: lif, tau_mem: 4, threshold: -5, trained: []}",
        "--training.start=drawn",
    ]
    words += ["--training.max_restores=1"]
    with pytest.raises(
        SrnnError, match=r"layers.0 is saturated \(8 of 8 neurons spiked at nearly every step\)"
    ):
        train(
            tiny_recipe(*words, "--training.lr_scale={}"),
            tmp_path / "run",
            task=TinyTask(),
            reporter=told,
        )
    assert told.events[0].startswith("epoch 1, batch 4: layers.0 is saturated")


def _exploding(monkeypatch: pytest.MonkeyPatch, first: int, last: int) -> None:
    """Let the gradients of layer 0 look exploded in these batches, counted over everything that is
    run, from 1."""
    original, calls = Gradients.norms, [0]

    def norms(self: Gradients) -> dict[str, float]:
        calls[0] += 1
        return original(self) | ({"layers.0": 3e7} if first <= calls[0] <= last else {})

    monkeypatch.setattr(Gradients, "norms", norms)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recurrent", "times", "rates", "calmed"),
    [
        (False, 1, [0.02, 0.01, 0.01, 0.01], [{}]),
        (True, 1, [0.02, 0.02, 0.02, 0.02], [{"layers.0": 0.9}]),
        (True, 2, [0.02, 0.01, 0.01, 0.01], [{"layers.0": 0.9}, {"layers.0": 0.9**4}]),
    ],
)
def test_recurrent_weights_through_which_gradients_exploded_shrink(
    recurrent: bool, times: int, rates: list[float], calmed: list[dict[str, float]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Once that is enough, and the rate stays; from the same checkpoint again it is halved, as
    where there are none to shrink."""
    _exploding(monkeypatch, 5, 4 + 4 * times)  # the second epoch's four batches, each time
    told = _Told()
    words = ["--training.schedule.name=constant", f"--network.recurrent={recurrent}"]
    train(tiny_recipe(*words), tmp_path / "run", task=TinyTask(), reporter=told)
    assert (
        "the gradient of layers.0 has exploded (norm up to 3e+07, above 100000 in 4 of 4 batches)"
        in told.events[0]
    )
    assert ("x the recurrent weights of layers.0" in told.events[0]) == recurrent
    records = _records(tmp_path / "run")
    assert [record["lr"] for record in records if "epoch" in record] == rates
    assert [record.get("calmed", {}) for record in records if "epoch" not in record] == calmed


@pytest.mark.parametrize("bidirectional", [False, True])
def test_calming_changes_recurrent_weights_and_nothing_else(bidirectional: bool) -> None:
    recipe = tiny_recipe("--network.recurrent=true", f"--network.bidirectional={bidirectional}")
    network = recipe.build_network(TinyTask(), 0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert health.calm(network, {"layers.0", "readout"}, 2) == {"layers.0": 0.9**4}
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name] * (0.9**4 if name.endswith("weight_rec") else 1))
    assert any(name.endswith("weight_rec") for name in before)


@pytest.mark.parametrize("moment", moments(5, 4, 6, 7))
def test_a_calmed_training_is_resumed_to_the_same_bits(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients that explode where the weights, and nothing that a test counts, say so."""
    original = Gradients.norms

    def norms(self: Gradients) -> dict[str, float]:
        weights = next(
            p for p in self._groups["layers.0"] if p.ndim == 2 and p.shape[0] == p.shape[1]
        )
        exploded = float(weights.detach().norm()) > limit  # in the last epoch
        return original(self) | ({"layers.0": 3e7} if exploded else {})

    recipe = tiny_recipe("--network.recurrent=true", "--training.average=0.9")
    start = recipe.build_network(TinyTask(), 0).layers[0].weight_rec
    limit = float(start.detach().norm()) * 1.025
    monkeypatch.setattr(Gradients, "norms", norms)
    cut_and_resumed(recipe, moment, tmp_path, monkeypatch)
    assert any("calmed" in record for record in _records(tmp_path / "whole"))


def test_a_healthy_training_is_not_touched(tmp_path: Path) -> None:
    for name, word in (("recovers", "true"), ("only-tells", "false")):
        train(tiny_recipe(f"--training.recover={word}"), tmp_path / name, task=TinyTask())
    ours, theirs = (
        read_checkpoint(Run.open(tmp_path / name).last).tensors
        for name in ("recovers", "only-tells")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for record in _records(tmp_path / "recovers"):
        found = record["health"]
        assert set(found) == {"layers.0", "readout"}
        assert 0 <= found["layers.0"]["silent"] <= 1 and 0 <= found["layers.0"]["saturated"] <= 1
        assert (
            0
            < found["readout"]["gradient_norm"]
            <= found["readout"]["largest_gradient_norm"]
            < math.inf
        )


@pytest.mark.parametrize("moment", moments(4, 0, 2, 6))
def test_a_recovered_training_is_resumed_to_the_same_bits(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [
        "--training.checkpoint_every=3",
        "--training.clip_quantile=0.5",
        "--training.clip=layer",
    ]
    cut_and_resumed(tiny_recipe(*SILENT, *words), moment, tmp_path, monkeypatch)


def test_a_run_from_before_is_resumed_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoint knows nothing of health: nothing is scaled, nothing is recovered."""

    class Stop(Reporter):
        def epoch(self, record: dict[str, Any]) -> None:
            raise KeyboardInterrupt

    recipe = tiny_recipe(*SILENT, "--training.recover=false")
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(recipe, run, task=TinyTask(), reporter=Stop())
    checkpoint = read_checkpoint(Run.open(run).last)
    old = {
        k: v
        for k, v in checkpoint.info["state"].items()
        if k not in ("recovers", "watch", "unhealthy", "start")
    }
    checkpoints.save_checkpoint(
        Run.open(run).last, checkpoint.tensors, {**checkpoint.info, "state": old}
    )
    text = (run / "recipe.yaml").read_text()
    lines = [
        line
        for line in text.splitlines()
        if not line.strip().startswith(("start:", "recover:", "clip:", "clip_quantile:"))
    ]
    (run / "recipe.yaml").write_text("\n".join(lines))
    train(tiny_recipe("--network.neuron.threshold=100"), run, task=TinyTask(), resume=True)
    records = _records(run)
    assert [record.get("event") for record in records] == [None] * 4
    assert all(record["train"]["firing_rate"]["mean"] == 0 for record in records)


def test_sampling_counts_what_is_there() -> None:
    """Of dense outputs as of bits, and never a padded step."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(40, 50, 9, generator=generator) < 0.3).float()
    x[..., 0], x[..., 1] = 0, 1
    lengths = torch.randint(20, 51, (40,), generator=generator)
    x = x * (torch.arange(50)[None, :, None] < lengths[:, None, None])
    network = tiny_recipe("--network.hidden=9").build_network(TinyTask(), 0)
    found = []
    for emitted in (x, Spikes.from_dense(x)):
        watch = Watch()
        for batch in range(20):
            watch.see(network, [LayerResult(emitted, ())], lengths, batch)
        found.append(asdict(watch))
        report = watch.report(network)["layers.0"]
        assert report == {"silent": pytest.approx(1 / 9), "saturated": pytest.approx(1 / 9)}
        assert watch.fired["layers.0"][1] == watch.steps
        rates = [count / watch.steps for count in watch.fired["layers.0"][2:]]
        assert rates == pytest.approx((x.sum((0, 1)) / lengths.sum())[2:].tolist(), abs=0.03)
    assert found[0] == found[1]


def test_no_step_is_overlooked_and_every_epoch_counts_anew() -> None:
    """Batches of the digits' shape, of which one in four is sampled: each neuron spikes at a
    sixteenth of the steps, its own."""
    x = torch.eye(16).repeat(32, 4, 1)  # (32, 64, 16)
    network = tiny_recipe("--network.hidden=16").build_network(TinyTask(), 0)
    watch = Watch()
    for _ in range(2):
        watch.begin_epoch()
        for batch in range(0, 40, health.SAMPLED_EVERY):
            watch.see(network, [LayerResult(x, ())], None, batch)
        assert watch.steps == 10 * 512
        counts = torch.tensor(watch.fired["layers.0"])
        assert counts.sum() == watch.steps and ((counts - 320).abs() < 90).all()
    watch.begin_epoch()
    watch.see(network, [LayerResult(x[:3], ())], None, 0)  # so few that all are seen
    assert watch.steps == 3 * 64 and watch.fired["layers.0"] == [12] * 16


@pytest.mark.parametrize(
    ("fired", "exploded", "wrong"),
    [
        ([0] * 9 + [50], 0, "is silent (9 of 10"),
        ([0] * 8 + [50] * 2, 0, ""),
        ([96] * 5 + [50] * 5, 0, "is saturated (5 of 10"),
        ([96] * 4 + [50] * 6, 0, ""),
        ([95] * 10, 0, ""),
        ([50] * 10, 4, "has exploded (norm up to 2e+05, above 100000 in 4 of 16"),
        ([50] * 10, 3, ""),
    ],
)
def test_where_a_layer_begins_to_be_unhealthy(fired: list[int], exploded: int, wrong: str) -> None:
    """Nine tenths of the neurons silent, half of them above .95, a quarter of the batches and at
    least four above 1e5."""
    watch = Watch(steps=100, fired={"layers.0": fired})
    for batch in range(16 if exploded > 3 else 8):
        watch.add_norms({"layers.0": 2e5 if batch < exploded else 1e5}, 1.0, remember=False)
    network = tiny_recipe("--network.hidden=10").build_network(TinyTask(), 0)
    found, _ = watch.examine(network)
    assert wrong in found["layers.0"] if wrong else not found


@pytest.mark.parametrize(
    "damage",
    [
        {"steps": -1}, {"fired": {"layers.0": [1.5]}}, {"norms": {"a": [1.0]}}, {"recent": {"a": [1e999]}}, {"fired": 3},
        {"norms": {"a": [1.0, math.nan, 1.0, 1.0]}},
    ],
)  # fmt: skip
def test_a_checkpoint_that_lies_about_health_is_refused(
    damage: dict[str, Any], tmp_path: Path
) -> None:
    train(tiny_recipe("--training.epochs=1"), tmp_path / "run", task=TinyTask())
    checkpoint = read_checkpoint(Run.open(tmp_path / "run").last)
    checkpoint.info["state"]["watch"] |= damage
    with pytest.raises(SrnnError):
        TrainingState.of(checkpoint)


def test_a_checkpoint_that_saw_other_layers_is_refused(tmp_path: Path) -> None:
    """Each count is what training writes, but for another network."""
    recipe, run = tiny_recipe("--training.epochs=1"), tmp_path / "run"
    train(recipe, run, task=TinyTask())
    good = read_checkpoint(Run.open(run).last)
    sums = dict.fromkeys(("loss", "weight", "correct", "counted", "steps"), 1.0)
    for part in (
        {"watch": {"steps": 4, "fired": {"layers.7": [1, 1]}, "norms": {}, "recent": {}}},
        {"watch": {"steps": 4, "fired": {"layers.0": [1, 1]}, "norms": {}, "recent": {}}},
        {
            "watch": {
                "steps": 4,
                "fired": {},
                "norms": {"layers.7": [1.0, 1.0, 1.0, 1.0]},
                "recent": {},
            }
        },
        {"step": 1, "epoch": 0, "sums": {**sums, "rate.0": 0.5, "rate.7": 0.5}},
        {"step": 1, "epoch": 0, "sums": {"loss": 1.0}},
    ):
        info = {**good.info, "state": good.info["state"] | part}
        checkpoints.save_checkpoint(Run.open(run).last, good.tensors, info)
        with pytest.raises(
            SrnnError,
            match=r"last\.safetensors cannot be read as a checkpoint of this network's training",
        ):
            train(recipe, run, task=TinyTask(), resume=True)


# ---- clipping -------------------------------------------------------------------------------------------------------------


class _Fabric:
    def clip_gradients(
        self, module: torch.nn.Module, optimizer: Any, max_norm: float, error_if_nonfinite: bool
    ) -> torch.Tensor:
        return torch.nn.utils.clip_grad_norm_(module.parameters(), max_norm)


def _gradients(*words: str) -> tuple[Any, Gradients, dict[str, torch.Tensor]]:
    network = tiny_recipe().build_network(TinyTask(), 0)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        scale = 1e6 if name.startswith("layers.0") else 1e-2
        parameter.grad = scale * torch.randn(parameter.shape, generator=generator)
    before = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    return network, Gradients(network, tiny_recipe(*words).training), before


def test_by_layer_an_exploded_layer_takes_nothing_from_the_others() -> None:
    for how in ("network", "layer"):
        network, gradients, before = _gradients("--training.clip_norm=1", f"--training.clip={how}")
        norms = gradients.norms()
        assert norms["layers.0"] > 1e6 and norms["readout"] < 0.1
        total = gradients.clip(_Fabric(), network, None, norms, {})
        assert total == pytest.approx(math.hypot(*norms.values()), rel=1e-5)
        kept = torch.equal(network.readout.weight_in.grad, before["readout.weight_in"])
        assert kept == (how == "layer")
        assert gradients.norms()["layers.0"] == pytest.approx(1, rel=1e-3)


def test_an_adaptive_bound_is_a_quantile_of_the_last_norms() -> None:
    network, gradients, _ = _gradients("--training.clip=layer", "--training.clip_quantile=0.5")
    recent = {
        "layers.0": [1.0] * 5 + [3.0] * 6,
        "readout": [1e-9] * 5,
    }  # of the readout too few are known
    before = gradients.norms()
    gradients.clip(_Fabric(), network, None, before, recent)
    after = gradients.norms()
    assert after["layers.0"] == pytest.approx(3, rel=1e-3) and after["readout"] == before["readout"]


@pytest.mark.parametrize("how", ["network", "layer"])
def test_of_a_fixed_and_an_adaptive_bound_the_smaller_holds(how: str) -> None:
    """An adaptive one as soon as the norms of ten batches are known."""
    name = "network" if how == "network" else "layers.0"
    for known, bound in ((1.5, 1.5), (3.0, 2.0)):
        words = ("--training.clip_norm=2", "--training.clip_quantile=0.5")
        network, gradients, _ = _gradients(f"--training.clip={how}", *words)
        gradients.clip(_Fabric(), network, None, gradients.norms(), {name: [known] * 10})
        after = gradients.norms()
        assert (
            after["layers.0"] if how == "layer" else math.hypot(*after.values())
        ) == pytest.approx(bound, rel=1e-3)


def test_gradients_of_a_layer_that_are_all_zero_stay_so() -> None:
    network, gradients, _ = _gradients("--training.clip=layer", "--training.clip_norm=1")
    for parameter in network.readout.parameters():
        parameter.grad = torch.zeros_like(parameter)
    gradients.clip(_Fabric(), network, None, gradients.norms(), {})
    assert gradients.norms()["readout"] == 0 and gradients.norms()["layers.0"] == pytest.approx(
        1, rel=1e-3
    )


def test_norms_are_remembered_for_so_many_batches() -> None:
    watch = Watch()
    for batch in range(health.REMEMBERED + 5):
        watch.add_norms(
            {"layers.0": float(batch)}, math.inf if batch == 7 else float(batch), remember=True
        )
    assert len(watch.recent["layers.0"]) == len(watch.recent[health.WHOLE]) == health.REMEMBERED
    assert watch.norms["layers.0"][0] == health.REMEMBERED + 5
    watch.begin_epoch()
    assert watch.recent and not watch.norms
