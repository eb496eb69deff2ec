"""A trained network goes on learning: within bounds, from each sequence once, to a model like any
other."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srnn import SRNN, SrnnError, from_network, load
from srnn.cli.main import main
from srnn.data.batches import Sequences
from srnn.model.trained import Trained
from srnn.nn.state_format import StateFormat
from srnn.training.adapting import Adaptation, Adapter, adapt
from srnn.training.compression.masks import apply_masks, magnitude_masks, sparsity
from srnn.training.evaluation import evaluate
from support.refusing import refuses
from support.runs import make_run
from support.tiny import TinyStepTask, TinyTask, tiny_recipe


@pytest.fixture
def tiny() -> Trained:
    recipe = tiny_recipe()
    return Trained(recipe.build_network(TinyTask(), 1), TinyTask(), recipe)


def tensors(trained: Trained) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trained.network.state_dict().items()}


@pytest.mark.parametrize("rule", ["e-prop", pytest.param("d-rtrl", marks=pytest.mark.slow), "bptt"])
def test_a_network_learns_what_it_is_told(tiny: Trained, rule: Any) -> None:
    before = tensors(tiny)
    adapted, report = adapt(tiny, "train", Adaptation(rule=rule, lr=0.03, bound=5.0))
    assert report["sequences"] == report["labels"] == 60
    assert report["accuracy_adapting"] > report["accuracy_before"]
    _, after = adapt(adapted, "validation", Adaptation(lr=1e-9))
    _, untold = adapt(tiny, "validation", Adaptation(lr=1e-9))
    assert after["accuracy_before"] >= untold["accuracy_before"] + 0.2
    assert all(
        torch.equal(before[name], value) for name, value in tensors(tiny).items()
    )  # a copy has learnt
    assert adapted.about["adapted"] == {
        **asdict(Adaptation(rule=rule, lr=0.03, bound=5.0)),
        "sequences": 60,
    }


def test_the_same_seed_gives_the_same_network(tiny: Trained) -> None:
    one, other = (adapt(tiny, "train", Adaptation(lr=0.01), limit=9, seed=4) for _ in range(2))
    third, _ = adapt(tiny, "train", Adaptation(lr=0.01), limit=9, seed=5)
    assert one[1] == other[1] and one[1]["sequences"] == 9
    assert all(
        torch.equal(a, b)
        for a, b in zip(tensors(one[0]).values(), tensors(other[0]).values(), strict=True)
    )
    assert any(
        not torch.equal(a, b)
        for a, b in zip(tensors(one[0]).values(), tensors(third).values(), strict=True)
    )


@pytest.mark.parametrize("rule", ["e-prop", "d-rtrl", "bptt"])
def test_of_the_readout_alone_every_rule_is_exact(tiny: Trained, rule: Any) -> None:
    adapter = Adapter(tiny, Adaptation("readout", rule))
    expected = Adapter(tiny, Adaptation("readout", "bptt"))
    batch = Sequences(TinyTask(), "train").take(np.arange(4))
    for one in (adapter, expected):
        one.learn(batch.x, batch.y)
    for a, b in zip(adapter.parameters, expected.parameters, strict=True):
        assert a.grad is not None and torch.allclose(a.grad, b.grad, atol=1e-6)  # type: ignore[arg-type]
    before, after = tensors(tiny), adapter.network.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed and all(name.startswith("readout.") for name in changed)


@pytest.mark.parametrize("rule", ["e-prop", "bptt"])
def test_a_network_with_batch_norm_adapts_folded(rule: Any, tmp_path: Path) -> None:
    recipe = tiny_recipe("--network.norm=batch")
    network = recipe.build_network(TinyTask(), 1)
    assert isinstance(network, SRNN)
    batch = Sequences(TinyTask(), "train").take(np.arange(40))
    network.run(batch.x)  # statistics, far from those that a norm starts with
    trained = Trained(network, TinyTask(), recipe)
    before = tensors(trained)
    adapter = Adapter(trained, Adaptation(rule=rule, lr=0.01))
    with torch.no_grad():
        state = network.eval().initial_state(4, torch.Generator().manual_seed(trained.seed))
        expected = trained.loss.scores(network.run(batch.x[:4], state).output).argmax(-1)
    assert torch.equal(adapter.learn(batch.x[:4], batch.y[:4]), expected)
    adapted = load(adapter.trained().save(tmp_path / "m.safetensors"))
    assert adapted.recipe.network.norm == "none"
    assert all(torch.equal(before[name], value) for name, value in tensors(trained).items())


@pytest.mark.parametrize("lr", [1.0, 0.01])
def test_nothing_moves_beyond_its_bound(tiny: Trained, lr: float) -> None:
    """By leaps or by small steps."""
    adapter, before = Adapter(tiny, Adaptation(lr=lr, bound=0.05)), tensors(tiny)
    sequences = Sequences(TinyTask(), "train")
    for index in range(20):
        batch = sequences.take(np.array([index]))
        adapter.learn(batch.x, 2 - batch.y)  # wrong labels
    moved = False
    for name, parameter in adapter.network.named_parameters():
        distance, size = (
            float((parameter - before[name]).norm().detach()),
            float(before[name].norm()),
        )
        assert distance <= 0.05 * max(size, 1e-3) * (1 + 1e-4), name
        moved = moved or distance > 0.04 * size
    assert moved


def test_what_starts_at_nothing_may_still_move(tiny: Trained) -> None:
    """As if it were of norm 1/1000, or a bias that was never trained would stay 0."""
    bias = tiny.network.get_parameter("readout.bias")
    with torch.no_grad():
        bias.zero_()
    adapter = Adapter(tiny, Adaptation(lr=1.0, bound=0.5))
    adapter.learn(torch.ones(1, 12, 3), torch.tensor([1]))
    assert float(adapter.network.get_parameter("readout.bias").detach().norm()) == pytest.approx(
        0.5e-3
    )


@pytest.mark.parametrize(
    "task", [TinyTask(padded=True), TinyStepTask(padded=True)], ids=["sequences", "steps"]
)
def test_what_it_predicts_and_counts_is_what_evaluation_does(task: TinyTask) -> None:
    """Of sequences of several lengths, some of them, or of their steps, without a label; and
    nothing is learnt yet."""
    per_step = isinstance(task, TinyStepTask)
    recipe = tiny_recipe(
        f"--loss.name={'nll' if per_step else 'ce_mean'}", "--network.neuron.initial={}"
    )
    trained = Trained(recipe.build_network(task, 1), task, recipe)
    _, report = adapt(trained, "train", Adaptation(lr=1e-9))
    found = evaluate(trained, "train").report["accuracy_labelled" if per_step else "accuracy"]
    assert report["accuracy_before"] == report["accuracy_adapting"] == found
    adapter, batch = Adapter(trained), Sequences(task, "train").take(np.arange(9))
    with torch.no_grad():
        output = trained.network.eval().run(batch.x, lengths=batch.lengths).output
    scored = trained.loss(output, batch.y, batch.lengths)
    adapter.learn(batch.x, batch.y, batch.lengths)
    assert (adapter.seen, adapter.scored, adapter.right) == (9, scored.counted, scored.correct)
    assert adapter.accuracy() == scored.correct / scored.counted
    before = adapter.network.get_parameter("readout.weight_in").clone()
    adapter.learn(
        batch.x, torch.full_like(batch.y, -1), batch.lengths
    )  # adam would go on without a gradient
    assert torch.equal(adapter.network.get_parameter("readout.weight_in"), before)
    assert (adapter.seen, adapter.scored) == (18, scored.counted)


def test_what_was_adapted_is_a_copy_of_no_file_whose_parameters_all_train(
    tiny: Trained, tmp_path: Path
) -> None:
    adapter = Adapter(load(tiny.save(tmp_path / "tiny.safetensors")), Adaptation(lr=0.1))
    adapted = adapter.trained()
    assert adapted.folder is None and all(
        parameter.requires_grad for parameter in adapted.network.parameters()
    )
    before = tensors(adapted)
    adapter.learn(torch.ones(1, 12, 3), torch.tensor([1]))
    assert all(torch.equal(before[name], value) for name, value in tensors(adapted).items())
    assert any(
        not torch.equal(before[name], value) for name, value in tensors(adapter.trained()).items()
    )


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("rule", ["e-prop", "bptt"])
def test_pruned_weights_stay_pruned(rule: Any, optimizer: Any) -> None:
    """Or a network that was made small for a device would be dense after the first thing that it
    learns."""
    torch.manual_seed(0)
    network = SRNN(3, [16], 2, neuron="alif", backend="reference", norm="none")
    apply_masks(network, magnitude_masks(network, 0.75))
    adapter = Adapter(
        from_network(network, ["low", "high"], loss="ce_mean"),
        Adaptation("all", rule, lr=0.05, optimizer=optimizer),
    )
    x = (torch.rand(2, 30, 3) < torch.tensor([0.8, 0.4, 0.2])).float()
    for label in (0, 1, 1):
        adapter.learn(x, torch.tensor([label, 0]))
    adapted = adapter.trained().network
    assert isinstance(adapted, SRNN) and sparsity(adapted) == sparsity(network) >= 0.74
    assert not torch.equal(
        adapted.readout.weight_in, network.readout.weight_in
    )  # the others have learnt
    assert not torch.equal(
        adapted.get_parameter("layers.0.weight_in"), network.get_parameter("layers.0.weight_in")
    )


def test_a_label_per_step(tmp_path: Path) -> None:
    recipe = tiny_recipe("--task.name=tiny_steps", "--loss.name=nll")
    trained = Trained(recipe.build_network(TinyStepTask(), 1), TinyStepTask(), recipe)
    adapted, report = adapt(trained, "train", Adaptation(lr=0.03, bound=5.0))
    assert report["labels"] > report["sequences"]
    assert report["accuracy_adapting"] > report["accuracy_before"]
    assert adapted.save(tmp_path / "adapted.safetensors").is_file()


@pytest.mark.parametrize("number", [0, -1])
def test_gradients_that_are_not_finite_change_nothing(tiny: Trained, number: int) -> None:
    """Of any parameter: those of the others are not to be trusted either."""
    adapter, before = Adapter(tiny, Adaptation(rule="bptt", lr=0.1)), tensors(tiny)
    adapter.parameters[number].register_hook(lambda gradient: gradient * float("nan"))
    adapter.learn(torch.ones(1, 12, 3), torch.tensor([1]))
    assert all(bool(parameter.grad.isfinite().all()) for parameter in adapter.parameters[1:-1])  # type: ignore[union-attr]
    assert all(
        torch.equal(before[name], value) for name, value in adapter.network.state_dict().items()
    )
    adapter = Adapter(tiny, Adaptation(lr=0.1))
    adapter.learn(torch.full((1, 12, 3), 1e38), torch.tensor([1]))
    assert all(bool(value.isfinite().all()) for value in adapter.network.state_dict().values())


def test_a_network_of_which_nothing_is_trained_is_refused(tiny: Trained) -> None:
    tiny.spiking("adapted").readout.requires_grad_(False)
    with refuses("train", "unsupported"):
        Adapter(tiny)
    Adapter(tiny, Adaptation("all"))


def test_states_of_few_bits_adapt_by_bptt_as_is_said(tiny: Trained) -> None:
    layers = tiny.spiking("adapted").freeze().layers
    StateFormat(8, tuple(dict.fromkeys(layer.neuron.variables(), 4) for layer in layers)).into(
        tiny.network
    )
    with refuses("network", "unsupported"):
        Adapter(tiny)
    adapter = Adapter(tiny, Adaptation(rule="bptt"))
    adapter.learn(torch.ones(1, 12, 3), torch.tensor([1]))
    assert adapter.trained().spiking("adapted").freeze().state_as.width == 8


def test_networks_that_cannot_adapt(tmp_path: Path) -> None:
    lstm = load(make_run(tmp_path / "lstm", baseline="lstm"))
    with refuses("network.model", "unsupported"):
        Adapter(lstm)
    both = load(make_run(tmp_path / "both", "--network.bidirectional=true"))
    with pytest.raises(
        SrnnError, match="Online learning rules cannot train this network: it is bidirectional"
    ):
        Adapter(both)
    adapter = Adapter(both, Adaptation("all", rule="bptt"))
    x = torch.ones(1, 9, both.spiking("adapted").inputs)
    adapter.learn(x, torch.tensor([1]))
    assert all(bool(parameter.grad.any()) for parameter in adapter.network.readout.parameters())


def recordings(folder: Path) -> Path:
    """A folder per class of CSV files with three columns."""
    generator = np.random.default_rng(1)
    for number, name in enumerate("abc"):
        (folder / name).mkdir(parents=True)
        for index in range(4):
            rates = np.full(3, 0.2) + 0.6 * (np.arange(3) == number)
            rows = (generator.random((12, 3)) < rates).astype(int)
            (folder / name / f"{index}.csv").write_text(
                "x,y,z\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n"
            )
    return folder


def test_the_command_writes_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = SRNN.paper(3, [6], 3, generator=torch.Generator().manual_seed(0))
    run = from_network(network, list("abc")).save(tmp_path / "model.safetensors")
    data, out = recordings(tmp_path / "data"), tmp_path / "adapted.safetensors"
    assert main(["adapt", str(run), "--data", str(data), "--out", str(out), "--lr", "0.03"]) == 0
    said = capsys.readouterr().out
    assert (
        "recordings        12" in said and "right, adapting" in said and f"written: {out}" in said
    )
    model = load(out)
    assert model.about["adapted"]["sequences"] == 12
    prediction = model.predict(np.ones((12, 3)))
    assert not isinstance(prediction, list) and prediction.label in "abc"
    assert main(["adapt", str(run), "--data", str(data), "--out", str(out)]) == 2
    assert "exists" in capsys.readouterr().err
    assert (
        main(["adapt", str(run), "--data", str(tmp_path / "none"), "--out", str(tmp_path / "new")])
        == 2
    )
    assert not (tmp_path / "new").exists()
    capsys.readouterr()
    nowhere = str(
        tmp_path / "nowhere" / "new"
    )  # said before anything is read, and learnt for nothing
    assert main(["adapt", str(run), "--data", str(tmp_path / "none"), "--out", nowhere]) == 2
    assert "nowhere does not exist" in capsys.readouterr().err
    capsys.readouterr()
    assert main(["adapt", str(run), "--rate", "50", "--out", str(tmp_path / "new")]) == 2
    assert (
        "--rate, --channels and --missing are for recordings that --data names"
        in capsys.readouterr().err
    )
    swapped = tmp_path / "swapped.safetensors"
    assert (
        main(["adapt", str(run), "--data", str(data), "--channels", "z,2,x", "--out", str(swapped)])
        == 0
    )
    for words, message in (
        (["--channels", "q,x,y"], "has no channel 'q'. There are: x, y, z."),
        (["--limit", "0"], "'--limit' must be at least 1, not 0."),
        (["--lr", "nan"], "'lr' must be a number above 0 and at most 1,000,000, not nan."),
        (["--feedback", "random"], "--train all --rule e-prop"),
        (["--feedback", "random", "--train", "all", "--rule", "bptt"], "--train all --rule e-prop"),
        ([str(run)], "Without --curve give one model, not 2"),
    ):
        capsys.readouterr()
        assert (
            main(["adapt", str(run), *words, "--data", str(data), "--out", str(tmp_path / "new")])
            == 2
        )
        found = capsys.readouterr().err
        assert message in found and "Recipe key" not in found and not (tmp_path / "new").exists()
