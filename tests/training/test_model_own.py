"""A model's file of a network of one's own: what torch has added to it, and neurons and surrogates
that are edited since."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrizations, parametrize, prune

import srnn
from srnn import SrnnError
from srnn.data import tasks
from srnn.data.signals import Steps
from srnn.model.checkpoints import read_checkpoint, save_checkpoint
from srnn.nn.arithmetic import absolute
from srnn.nn.emissions import RELU
from srnn.nn.network import Layer
from srnn.nn.neurons import Init, Neuron, as_neuron
from srnn.nn.neurons.base import decay
from srnn.nn.surrogates import Linear, Surrogate
from srnn.training.rules.e_prop import EProp
from srnn.training.rules.learner import Learner
from support.refusing import refuses
from support.tiny import TinyTask, tiny_recipe


@pytest.mark.parametrize("listed", [False, True])
def test_a_model_that_only_version_0_1_could_train_is_read(
    listed: bool, tmp_path: Path, monkeypatch
) -> None:
    """It could learn delays, which its models hold as whole steps, and had rules and feedback that
    are gone."""
    net = srnn.SRNN.paper(3, [5], 2, delays={"recurrent": "uniform(0, 9)"})
    model = srnn.from_network(net, "ab")
    described = model.recipe.to_dict()
    delays = {"recurrent": "uniform(0, 9)", "learned": True, "sigma": 5.0}
    described["network"]["delays"] = [delays] if listed else delays
    described["training"] |= (
        {"rule": "es-d-rtrl"} if listed else {"rule": "e-prop", "feedback": "learned"}
    )

    with monkeypatch.context() as patch:
        patch.setattr(type(model.recipe), "to_dict", lambda _: described)
        path = model.save(tmp_path / "m.safetensors")

    again = srnn.load(path)
    x = np.random.default_rng(0).standard_normal((40, 3))
    assert np.array_equal(again.predict(x).scores, model.predict(x).scores)
    assert again.recipe.training.rule == ("d-rtrl" if listed else "e-prop")


def test_networks_of_ones_own(tmp_path: Path) -> None:
    net = srnn.SRNN(
        4, [5, 4], 3, neuron=[srnn.ALIF(beta=0.7), "lif"], readout="spike_count", recurrent=[True, False],
        bidirectional=True, merge="concat", encoder={"name": "learned_ternary", "per_channel": True}, substeps=2,
        delays=[{"recurrent": "uniform(0, 9)"}, {"input": "normal(0, 4)"}], norm="none"
    )  # fmt: skip
    model = srnn.from_network(net, "abc", loss="ce_spike_count", about={"licence": "CC0"})
    again = srnn.load(model.save(tmp_path / "m.safetensors"))
    x = np.random.default_rng(0).standard_normal((30, 4))
    assert np.array_equal(again.predict(x).scores, model.predict(x).scores) and again.about == {
        "licence": "CC0"
    }
    with pytest.raises(SrnnError, match="3 outputs; the signal gives 4, and classes names 2"):
        srnn.from_network(net, "ab")
    for wrong, word in (
        ({"classes": None}, "classes"),
        ({"signal": 3}, "signal"),
        ({"about": 3}, "about"),
    ):
        with pytest.raises(SrnnError, match=f"'{word}' must be a "):
            srnn.from_network(net, **({"classes": "abc"} | wrong))
    with pytest.raises(SrnnError, match="Two classes have the same name: no, no, yes"):
        srnn.from_network(net, ["no", "no", "yes"])
    with pytest.raises(
        SrnnError, match=r"'loss.name' must be one of nll, ce_mean, .*, not 'cross_entropy'"
    ):
        srnn.from_network(net, "abc", loss="cross_entropy")  # type: ignore[arg-type]
    with pytest.raises(SrnnError, match="needs a readout that emits spikes"):
        srnn.from_network(srnn.SRNN.paper(2, [3], 2), "ab", loss="ce_spike_count")
    with pytest.raises(SrnnError, match="at least one hidden layer"):
        srnn.from_network(srnn.SRNN.paper(2, [], 2), "ab")
    with pytest.raises(SrnnError, match=r"A model needs a spiking network \(SRNN\), not a Linear"):
        srnn.from_network(torch.nn.Linear(2, 2), "ab")  # type: ignore[arg-type]
    with pytest.raises(
        SrnnError, match="A model cannot take this network: its weights are bfloat16"
    ):
        srnn.from_network(srnn.SRNN.paper(2, [3], 2).bfloat16(), "ab")
    for settings in ({"step_ms": -1}, {"step_ms": float("nan")}, {"steps": 0}, {"steps": 1.5}, {"start": "1"}, {"start": 1.5},
                     {"name": None}):  # fmt: skip
        (name,) = settings
        with pytest.raises(SrnnError, match=f"'?{name}'? must be"):  # load would refuse the file
            srnn.from_network(net, "abc", **settings)
    for odd in (object(), np.arange(2)):
        with pytest.raises(
            SrnnError, match="'about' can only hold text, numbers, lists and mappings"
        ):
            srnn.from_network(net, "abc", loss="ce_spike_count", about={"x": [odd]}).save(
                tmp_path / "odd.safetensors"
            )
    assert not (tmp_path / "odd.safetensors").exists()
    for classes in (range(3), np.arange(3)):
        model = srnn.from_network(net, classes, loss="ce_spike_count")
        assert (
            srnn.load(model.save(tmp_path / "numbers.safetensors")).classes
            == model.classes
            == ("0", "1", "2")
        )


def test_a_network_of_steps_has_a_rate(tmp_path: Path) -> None:
    net = srnn.SRNN(2, [3], 2)
    model = srnn.load(srnn.from_network(net, "ab", rate=50).save(tmp_path / "m.safetensors"))
    assert model.task.step_ms == 20 and model.task.whole_path().rate == 50
    prediction = model.predict(np.zeros((5, 2)))
    assert prediction.step_seconds == 0.02
    for wrong in (0, -50, float("inf"), "50", True):
        with pytest.raises(SrnnError, match="'rate' must be a number above 0"):
            srnn.from_network(net, "ab", rate=wrong)
    for twice in ({"step_ms": 20}, {"signal": srnn.data.signals.Steps(2, 20)}):
        with pytest.raises(SrnnError, match="'rate' is of steps alone"):
            srnn.from_network(net, "ab", rate=50, **twice)


def test_what_torch_adds_to_a_network_is_never_written_to_a_file_that_cannot_be_read() -> None:
    def small() -> srnn.SRNN:
        return srnn.SRNN.paper(2, [3], 2)

    normed, spectral, pruned, more = small(), small(), small(), small()
    parametrizations.weight_norm(normed.layers[0], "weight_in")
    parametrizations.spectral_norm(spectral.layers[0], "weight_rec")
    prune.l1_unstructured(pruned.readout, "weight_in", 0.5)
    more.head = torch.nn.Linear(2, 2)
    for net, name in (
        (normed, "layers.0.parametrizations.weight_in.original0"),
        (spectral, "layers.0.parametrizations.weight_rec.0._u"),
        (pruned, "readout.weight_in"),
        (more, "head.bias"),
    ):
        with pytest.raises(
            SrnnError, match=f"cannot describe this network's '{name}'.*permanent"
        ) as caught:
            srnn.from_network(net, "ab")
        assert "\n" not in str(caught.value)
    pruned(torch.ones(1, 2, 2))[0].sum().backward()
    with pytest.raises(SrnnError, match=r"cannot copy.*permanent"):
        srnn.Stream(pruned)
    prune.remove(pruned.readout, "weight_in")
    parametrize.remove_parametrizations(normed.layers[0], "weight_in")
    srnn.from_network(pruned, "ab"), srnn.from_network(normed, "ab")


def test_a_network_with_a_layer_that_no_recipe_makes_is_refused_by_that_layer() -> None:
    def small(layer: Layer | None = None) -> srnn.SRNN:
        net = srnn.SRNN.paper(2, [3, 4], 2, surrogate="linear")
        if layer is not None:
            net.layers[1] = layer
        return net

    passes_on = small()
    passes_on.layers[0].output = "membrane"  # type: ignore[assignment]
    for net, message in (
        (
            small(Layer(3, 4, surrogate="arctan")),
            r"of 'layers\.1: .*, arctan, .*' it would make 'layers\.1: .*, linear, ",
        ),
        (
            small(Layer(3, 4, surrogate=Linear(width=2.0))),
            r"of 'layers\.1: Linear\(.*width=2\.0\)' it .*width=1\.0",
        ),
        (
            passes_on,
            r"of 'layers\.0: .*output=membrane, .*' it would make 'layers\.0: .*output=emission",
        ),
    ):
        with pytest.raises(
            SrnnError, match=f"^A recipe cannot describe this network: instead {message}"
        ) as caught:
            srnn.from_network(net, "ab")
        assert "\n" not in str(caught.value)
    srnn.from_network(small(Layer(3, 4, "lif", surrogate="linear", recurrent=False)), "ab")


@dataclass(frozen=True)
class Halved(Steps):
    """Another package's path: what it computes is in no file."""

    factor: float = 0.5

    def whole(self, signal: Any) -> Any:
        return np.float32(self.factor) * super().whole(signal)


@dataclass(frozen=True)
class HalvedTask(TinyTask):
    """Not registered before the test does it."""

    name: ClassVar[str] = "test_halved"
    factor: float = 0.5

    def signal(self) -> Halved:
        return Halved(3, factor=self.factor)


def test_a_path_of_ones_own_is_kept_only_where_its_task_makes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file could not be read, or its path had the task's own settings; a run found out at its
    end."""
    model = srnn.from_network(
        srnn.SRNN.paper(3, [4], 3), "abc", signal=Halved(3), name="test_halved"
    )
    message = (
        r"cannot hold the signal path Halved, .* register a task \(@register\) with the "
        r"name "
        r"'test_halved'"
    )
    with pytest.raises(SrnnError, match=message):
        model.save(tmp_path / "m.safetensors")
    with pytest.raises(SrnnError, match=message):
        srnn.train(tiny_recipe(), tmp_path / "run", task=HalvedTask())
    assert not any(tmp_path.iterdir())
    monkeypatch.setitem(tasks._tasks, "test_halved", HalvedTask)
    assert srnn.load(model.save(tmp_path / "m.safetensors")).task.signal() == Halved(3)
    other = srnn.from_network(
        srnn.SRNN.paper(3, [4], 3), "abc", signal=Halved(3, factor=0.25), name="test_halved"
    )
    with pytest.raises(SrnnError, match=message):
        other.save(tmp_path / "other.safetensors")


def test_a_model_of_a_network_is_a_copy_that_further_training_does_not_change() -> None:
    net = srnn.SRNN(3, [4], 2, norm="batch", delays={"recurrent": "uniform(0, 4)"}, neuron="alif")
    x = np.random.default_rng(0).random((30, 3))
    model = srnn.from_network(net, "ab")
    before, scores = (
        {name: value.clone() for name, value in net.state_dict().items()},
        model.predict(x).scores,
    )
    assert net.training and all(
        torch.equal(value, before[name]) for name, value in net.state_dict().items()
    )
    net(torch.rand(2, 9, 3))  # its statistics move
    assert np.array_equal(model.predict(x).scores, scores)


@pytest.mark.filterwarnings("ignore:`torch.jit.:DeprecationWarning")
def test_a_network_that_torch_compiles_is_a_network(tmp_path: Path) -> None:
    net = srnn.SRNN.paper(2, [3], 2, backend="reference")
    compiled: Any = torch.compile(net, backend="eager")
    saved = [
        srnn.from_network(one, "ab").save(tmp_path / name)
        for one, name in ((net, "a"), (compiled, "b"))
    ]
    x = torch.ones(1, 4, 2)
    assert srnn.energy(compiled, x)["models"] == srnn.energy(net, x)["models"]
    assert Learner(compiled, EProp(), 1).step(x[:, 0]).shape == (1, 2)
    assert saved[0].read_bytes() == saved[1].read_bytes()


@pytest.mark.parametrize(
    ("backend", "loaded"), [("gpu", "auto"), ("cpu", "auto"), ("reference", "reference")]
)
def test_a_network_of_a_gpu_is_used_where_there_is_none(
    tmp_path: Path, backend: str, loaded: str
) -> None:
    path = srnn.from_network(srnn.SRNN.paper(2, [3], 2, backend=backend), "ab").save(
        tmp_path / "model.safetensors"
    )
    model = srnn.load(path)
    assert {layer.backend for layer in (*model.network.layers, model.network.readout)} == {loaded}
    assert model.recipe.network.backend == backend
    assert model.predict(np.ones((4, 2), np.float32)).label in "ab"


def test_layers_that_share_their_weights_are_written(tmp_path: Path) -> None:
    net = srnn.SRNN.paper(2, [3, 3], 2)
    net.layers[1].weight_rec, net.layers[1].params = net.layers[0].weight_rec, net.layers[0].params
    again = srnn.load(srnn.from_network(net, "ab").save(tmp_path / "m.safetensors")).network
    assert all(
        torch.equal(tensor, net.state_dict()[name]) for name, tensor in again.state_dict().items()
    )


def test_a_neuron_of_ones_own_goes_where_any_other_goes(tmp_path: Path) -> None:
    """Known by its name once its class is defined; where its name is another's, nothing is written
    with the other's equations."""
    with pytest.raises(SrnnError, match=r"Unknown neuron 'lifted'.*import its module first"):
        as_neuron("lifted")

    def lifted() -> type[srnn.LIF]:
        def step(
            u: Any, s: Any, current: Any, leak: Any, gain: Any, threshold: Any, reset: Any
        ) -> Any:
            u = leak * u + gain * current + 0.01 - threshold * s
            return u, u - threshold

        body = {"name": "lifted", "step": staticmethod(step), "__module__": __name__}
        return dataclass(frozen=True)(type("Lifted", (srnn.LIF,), body))

    own = lifted()
    settings = (
        "--training.epochs=1",
        "--network.neuron={name: lifted, threshold: 0.02}",
        "--network.backend=reference",
    )
    trained = srnn.train(tiny_recipe(*settings), tmp_path / "run")
    assert (
        type(trained.network.layers[0].neuron) is own
        and type(srnn.load(tmp_path / "run").network.layers[0].neuron) is own
    )
    net = srnn.SRNN(
        4, [5, 4], 3, neuron=[own(threshold=0.02), "lif"], backend="reference", norm="none"
    )
    again = srnn.load(srnn.from_network(net, "abc").save(tmp_path / "m.safetensors")).network
    assert [layer.neuron for layer in again.layers] == [layer.neuron for layer in net.layers]
    assert all(
        torch.equal(tensor, net.state_dict()[name]) for name, tensor in again.state_dict().items()
    )

    lifted()  # as a notebook's cell that runs again
    with pytest.raises(SrnnError, match="'lifted' of the neuron Lifted belongs to another class"):
        srnn.from_network(net, "abc")
    borrowed = dataclass(frozen=True)(
        type("Borrowed", (own,), {"name": "lif", "__module__": __name__})
    )
    assert type(as_neuron("lif")) is srnn.LIF and type(as_neuron(srnn.LIF().describe())) is srnn.LIF
    with pytest.raises(SrnnError, match="'lif' of the neuron Borrowed belongs to another class"):
        srnn.from_network(srnn.SRNN(4, [5], 3, neuron=borrowed(), norm="none"), "abc")


# ---- equations of one's own that are edited after a training ------------------------------------------------------------


def _own(drop: float = 0.5, **changed: Any) -> Any:
    """A neuron as its author's module defines it, now."""

    def step(u: Any, s: Any, current: Any, alpha: Any) -> Any:
        u = alpha * u + current - drop * s
        return u, u - 0.25 * absolute(u)

    def derive(self: Any, **parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (decay(parameters["tau_mem"]),)

    fields = {"__annotations__": {"tau_mem": Init}, "tau_mem": Init("constant", 5.0), "step": step}
    return dataclass(frozen=True)(
        type("Own", (Neuron,), {"name": "own_edited", **fields, "derive": derive, **changed})
    )


def _own_surrogate(power: float = 1.0) -> Any:
    own = {"name": "own_edited", "derivative": staticmethod(lambda v: 1.0 / (power + v * v))}
    return dataclass(frozen=True)(type("Own", (Surrogate,), own))


def _same_otherwise_written(membrane: Any, s: Any, current: Any, keep: Any) -> Any:
    driven = keep * membrane + current
    lower = 0.5 * s
    return driven - lower, driven - lower - 0.25 * absolute(driven - lower)


@pytest.fixture(scope="module")
def own_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = srnn.SRNN(2, [3], 2, neuron=_own()(), surrogate=_own_surrogate()(), norm="none")
    return srnn.from_network(net, ["a", "b"]).save(
        tmp_path_factory.mktemp("own") / "own.safetensors"
    )


@pytest.mark.parametrize(
    ("neuron", "surrogate"),
    [
        ({"drop": 0.25}, {}),
        ({"derive": lambda self, **parameters: (1.0 - 1.0 / parameters["tau_mem"],)}, {}),
        ({"emission": RELU}, {}),
        ({"tau_min": 2.0}, {}),
        ({}, {"power": 2.0}),
    ],
)
def test_a_model_of_equations_that_were_edited_is_refused(
    own_model: Path, neuron: Any, surrogate: Any
) -> None:
    _own(**neuron), _own_surrogate(**surrogate)
    what = "surrogate" if surrogate else "neuron"
    with pytest.raises(
        SrnnError,
        match=rf"own\.safetensors has other equations: 'layers\.0: {what} own_edited' has been",
    ):
        srnn.load(own_model)
    _own(), _own_surrogate()
    srnn.load(own_model)


def test_what_is_merely_written_otherwise_is_read(own_model: Path) -> None:
    _own(step=_same_otherwise_written), _own_surrogate()
    srnn.load(own_model)


def test_a_neuron_whose_derive_holds_a_constant_for_each_neuron_is_kept(tmp_path: Path) -> None:
    held = torch.tensor([0.9, 0.8, 0.7])
    neuron = _own(derive=lambda self, **parameters: (held * decay(parameters["tau_mem"]),))()
    model = srnn.from_network(srnn.SRNN(2, [3], 2, neuron=neuron, norm="none"), ["a", "b"])
    srnn.load(model.save(tmp_path / "held.safetensors"))
    held[1] = 0.5
    with refuses(tmp_path / "held.safetensors", "file"):
        srnn.load(tmp_path / "held.safetensors")


def test_digests_stay_as_they_are_in_files_and_older_files_have_none(
    own_model: Path, tmp_path: Path
) -> None:
    _own(), _own_surrogate()
    whole = read_checkpoint(own_model)
    assert whole.info["equations"] == {
        "layers.0: neuron own_edited": "02c4296e6890885137f94b9e0e60d1b4cfc01dd8",
        "layers.0: surrogate own_edited": "766b25654d795843e099ce3ab99a00c3ba181de8",
        "readout: surrogate own_edited": "766b25654d795843e099ce3ab99a00c3ba181de8",
    }
    older = {key: value for key, value in whole.info.items() if key != "equations"}
    save_checkpoint(tmp_path / "older.safetensors", whole.tensors, older)
    srnn.load(tmp_path / "older.safetensors")
    save_checkpoint(tmp_path / "forged.safetensors", whole.tensors, {**older, "equations": [1]})
    with refuses(tmp_path / "forged.safetensors", "file"):
        srnn.load(tmp_path / "forged.safetensors")
