"""Batch norm of a layer's current: against torch's own norm in the reference loop, its statistics,
and its fold, to the bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.parametrize import register_parametrization, remove_parametrizations

from srnn import SRNN, Spikes, SrnnError, Stream
from srnn.model.network import network_config
from srnn.nn.kernels.cpu.coincidences import coincidences
from srnn.nn.kernels.problem import LayerProblem
from srnn.nn.kernels.running import run_layer
from srnn.nn.network import BatchNorm, Dropout, Layer, Norm, has_norm
from srnn.nn.network.norm import EPSILON, as_norm, second_moments
from support.refusing import refuses
from support.streams import signal

ALIF = {"name": "alif", "threshold": 0.3}
LENGTHS = torch.tensor([25, 3, 0, 20])


def network(
    norm: Any = "batch", seed: int = 0, hidden=(9, 70), neuron=ALIF, dtype=torch.float64, **options
) -> SRNN:
    """A network with norm whose parameters are all different from their first values."""
    generator = torch.Generator().manual_seed(seed)
    net = SRNN(5, list(hidden), 3, neuron, norm=norm, generator=generator, **options).to(dtype)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith(("bias", "gamma")):
                parameter += 0.3 * torch.randn(
                    parameter.shape, generator=generator, dtype=torch.float64
                ).to(dtype)
    return net


def values(seed: int = 1, *shape: int, dtype=torch.float64) -> Tensor:
    return torch.randn(
        *(shape or (4, 25, 5)), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).to(dtype)


def used(net: SRNN) -> SRNN:
    """The network after three batches in training, in evaluation."""
    with torch.no_grad():
        for seed in (5, 6, 7):
            net.run(1.5 * values(seed, dtype=net.readout.weight_in.dtype) + 0.5)
    return net.eval()


def valid_steps(lengths: Tensor | None, batch: int = 4, steps: int = 25) -> Tensor:
    ends = torch.full((batch,), steps) if lengths is None else lengths
    return torch.arange(steps)[None, :] < ends[:, None]


def by_hand(net: SRNN, x: Tensor, lengths: Tensor | None, dropout: Dropout | None) -> Tensor:
    """The network's output through torch's batch norm: its current is normed, and the reference
    loop is given that current."""
    valid = valid_steps(lengths)
    for index, layer in enumerate(net.layers):
        assert isinstance(layer, Layer) and layer.norm is not None
        current = F.linear(x, layer.weight_in)
        if layer.norm.settings.detach:
            rows = F.linear(x.detach(), layer.weight_in)[valid]
            std = (rows.var(0, unbiased=False) + EPSILON).sqrt()
            normed = (current[valid] - rows.mean(0)) / std * layer.norm.gamma + layer.bias
        else:
            normed = F.batch_norm(
                current[valid], None, None, layer.norm.gamma, layer.bias, training=True, eps=EPSILON
            )
        current = torch.zeros_like(current).index_put((valid,), normed)
        problem = LayerProblem(
            layer.neuron, layer.surrogate, current, torch.eye(layer.size, dtype=x.dtype), None, layer.weight_rec,
            layer.params.coefficients(), layer.initial_state(len(x)), lengths=lengths,
        )  # fmt: skip
        x = run_layer(problem, "reference").output
        if dropout is not None:
            x = x * (dropout.keep[index][:, None, :].to(x.dtype) * dropout.gain)
    return net.readout(x, None, lengths).output


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_values_and_all_gradients_are_those_of_torchs_batch_norm(
    backend: str, detach: bool, lengths
) -> None:
    """Also through the statistics: into the weights always, into the input and the layers below
    where they are not detached."""
    weights = values(3, 4, 25, 3)

    def results(output: Tensor, net: SRNN, x: Tensor) -> list[Tensor]:
        trained = [p for p in net.parameters() if p.requires_grad]
        return [output.detach(), *torch.autograd.grad((output * weights).sum(), [x, *trained])]

    settings = {"gamma": 2.0, "detach": detach}
    dropout = Dropout.draw([9, 70], 4, 0.3, torch.Generator().manual_seed(2))
    x = values().requires_grad_()
    net = network(settings, backend=backend)
    ours = results(net.run(x, lengths=lengths, dropout=dropout).output, net, x)
    other = network(settings)
    theirs = results(by_hand(other, x, lengths, dropout), other, x)
    assert 0.02 < net.run(x, lengths=lengths).layers[1].rate(lengths) < 0.5
    assert all(g.any() for g in ours[1:])
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_detached_or_not_is_a_difference() -> None:
    x = values().requires_grad_()
    found = [
        torch.autograd.grad(network({"detach": detach}).run(x).output.square().sum(), x)[0]
        for detach in (True, False)
    ]
    assert not torch.allclose(*found)


def test_no_gradient_passes_through_detached_statistics_of_spikes_however_they_are_counted() -> (
    None
):
    x = (values(1, 4, 25, 70) > 1).float().requires_grad_()
    for compiled in (True, False):
        layer = Layer(70, 9, "lif", norm="batch")
        assert layer.norm is not None
        weight, bias = layer.norm(layer.weight_in, layer.bias, Spikes.in_dense(x), None, compiled)
        assert torch.autograd.grad((weight.sum() + bias.sum()), x, allow_unused=True) == (None,)


def test_running_statistics_are_torchs_and_padding_is_not_in_them() -> None:
    """As torch's momentum=None, an even average, as long as that is more than the momentum; then an
    exponential one."""
    net, norm = (
        network({"momentum": 0.3}, hidden=[9]),
        torch.nn.BatchNorm1d(9, momentum=None).double(),
    )
    layer = net.layers[0]
    assert isinstance(layer, Layer) and layer.norm is not None
    for seed in range(6):
        x = values(seed)
        x[~valid_steps(LENGTHS)] = 1e6
        if seed == 3:  # 1 / 4 < .3 from here on
            norm.momentum = 0.3
        net.run(x, lengths=LENGTHS)
        norm(F.linear(x, layer.weight_in)[valid_steps(LENGTHS)])
        assert norm.running_mean is not None and norm.running_var is not None
        torch.testing.assert_close(layer.norm.mean, norm.running_mean, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(layer.norm.variance, norm.running_var, rtol=1e-9, atol=1e-12)
    before = layer.norm.mean.clone()
    net.eval().run(values(9))
    assert torch.equal(before, layer.norm.mean) and int(layer.norm.batches) == 6


@pytest.mark.parametrize("lengths", [[0, 0, 0, 0], [0, 0, 1, 0], []])
def test_a_batch_of_fewer_than_two_steps_is_normed_by_the_running_statistics(
    lengths: list[int],
) -> None:
    net = network(hidden=[9])
    used(net).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    x, ends = values(2, len(lengths), 6, 5), torch.tensor(lengths, dtype=torch.int64)
    output = net.run(x, lengths=ends).output
    assert torch.equal(output, net.eval().run(x, lengths=ends).output)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    output.sum().backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all() for p in net.parameters() if p.requires_grad
    )


def test_before_the_first_batch_gamma_alone_counts() -> None:
    layer = Layer(5, 7, "lif", norm={"gamma": 2.0}).eval()
    assert layer.norm is not None and layer.bias is not None
    weight, bias = layer.norm(layer.weight_in, layer.bias, values(dtype=torch.float32), None)
    torch.testing.assert_close(weight, 2 * layer.weight_in, rtol=EPSILON, atol=0)
    assert torch.equal(bias, layer.bias)


def test_two_steps_have_a_variance() -> None:
    net, x = network(hidden=[9], backend="reference"), values(2)
    layer: Any = net.layers[0]
    net.run(x, lengths=torch.tensor([0, 2, 0, 0]))
    rows = F.linear(x[1, :2], layer.weight_in)
    torch.testing.assert_close(layer.norm.mean, rows.mean(0), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(layer.norm.variance, rows.var(0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_statistics_are_of_what_arrives_after_delays(backend: str) -> None:
    net = network(hidden=[9, 8], delays={"input": "uniform(0, 6)"}, backend=backend)
    layers: list[Any] = list(net.layers)
    x = values()
    result = net.run(x, lengths=LENGTHS)
    for layer, source in zip(layers, (x, result.layers[0].output), strict=True):
        arrived = torch.zeros_like(source)
        for channel, delay in enumerate(layer.delay_in.tolist()):
            arrived[:, delay:, channel] = source[:, : 25 - delay, channel]
        rows = F.linear(arrived, layer.weight_in)[valid_steps(LENGTHS)]
        torch.testing.assert_close(layer.norm.mean, rows.mean(0), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(layer.norm.variance, rows.var(0), rtol=1e-9, atol=1e-12)
    assert layers[1].delay_in.max() > 2


def test_a_channel_that_is_silent_or_constant_does_no_harm() -> None:
    net = network(hidden=[9], dtype=torch.float32)
    x = torch.full((4, 25, 5), 0.7)
    net.run(x).output.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    assert (net.layers[0].norm.variance < EPSILON).all()  # type: ignore[union-attr, operator]


def test_a_neuron_that_takes_the_difference_of_two_loud_channels_that_are_nearly_equal() -> None:
    """Two electrodes with the same hum: the difference's variance is smaller than what float32
    rounds off, even below 0."""
    hum = values(2, 4, 25, 1, dtype=torch.float32)
    x = 1e3 * torch.cat([hum, hum + 1e-6 * values(3, 4, 25, 1, dtype=torch.float32)], 2)
    norm, weight = BatchNorm(1, Norm()), torch.tensor([[1.0, -1.0]])
    sums = second_moments(x, None)
    mean = sums[-1, :-1] / sums[-1, -1]
    assert (
        weight.double() @ (sums[:-1, :-1] / sums[-1, -1] - mean.outer(mean)) @ weight.double().T
        < -EPSILON
    )
    assert all(bool(part.isfinite().all()) for part in norm(weight, None, x, None))
    assert norm.variance == 0


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("far", [30.0, 1e3, -1e4])
def test_a_sensor_far_from_zero_keeps_its_variance_in_float32(
    far: float, lengths: Tensor | None
) -> None:
    """Pressure around 1000 hPa, say: squares whose sums have no digits left for the deviation."""
    x = values()
    x[..., 1] += far
    x = x.float()
    rows = x.double().flatten(0, 1) if lengths is None else x.double()[valid_steps(lengths)]
    sums = second_moments(x, lengths)
    mean = sums[-1, :-1] / sums[-1, -1]
    variance = sums.diag()[:-1] / sums[-1, -1] - mean.square()
    torch.testing.assert_close(mean, rows.mean(0), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(variance, rows.var(0, unbiased=False), rtol=1e-5, atol=0)
    covariance = sums[:-1, :-1] / sums[-1, -1] - mean.outer(mean)
    torch.testing.assert_close(covariance, rows.T.cov(correction=0), rtol=1e-5, atol=1e-5)


# ---- the input's moments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 63, 64, 65, 130])
@pytest.mark.parametrize("padded", [True, False])
def test_coincidences_are_the_products_of_spikes(channels: int, padded: bool) -> None:
    dense = (values(0, 7, 31, channels) > 0.5).float()
    dense[0] = 1  # all at once
    lengths = torch.tensor([31, 0, 1, 30, 5, 31, 7]) if padded else None
    before, found = torch.get_num_threads(), []
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            found.append(coincidences(Spikes.from_dense(dense), lengths))
    finally:
        torch.set_num_threads(before)
    assert found[0].dtype == torch.float64
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], second_moments(dense, lengths))


def test_of_no_sequences_and_no_steps_there_are_no_coincidences() -> None:
    for shape in ((0, 4, 70), (3, 0, 70)):
        assert not coincidences(Spikes.from_dense(torch.zeros(shape)), None).any()


def test_a_training_with_norm_has_the_same_bits_whatever_the_threads() -> None:
    """40 channels, 3,600 steps: torch's product of these depends on the number of threads."""
    x, y = values(0, 40, 90, 40, dtype=torch.float32), torch.arange(40) % 4
    before, found = torch.get_num_threads(), []
    try:
        for number in (1, 2, 4):
            torch.set_num_threads(number)
            net = SRNN(
                40,
                [60, 30],
                4,
                norm="batch",
                backend="cpu",
                generator=torch.Generator().manual_seed(0),
                neuron="alif",
            )
            optimizer = torch.optim.Adam(net.parameters(), 1e-2)
            for _ in range(3):
                optimizer.zero_grad()
                F.cross_entropy(net(x)[0].mean(1), y).backward()
                optimizer.step()
            found.append({name: value.clone() for name, value in net.state_dict().items()})
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(value, other[name]) for name, value in found[0].items())


# ---- the fold ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "dtype"),
    [
        ("auto", torch.float32),
        ("reference", torch.float64),
        pytest.param("auto", torch.float64, marks=pytest.mark.slow),
        pytest.param("reference", torch.float32, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"neuron": {"name": "adlif", "coupling": 3.0}},
        {"neuron": ["relu", "lif"]},
        {"recurrent": [False, True]},
        {"delays": {"input": "uniform(0, 4)", "recurrent": 2}},
    ],
)
def test_whole_cut_streamed_and_folded_are_the_same_bits(
    backend: str, dtype: torch.dtype, options: dict
) -> None:
    net = used(network(["batch", {"gamma": 1.5}], dtype=dtype, backend=backend, **options))
    folded = net.fold()
    assert has_norm(net) and not has_norm(folded)
    x = torch.from_numpy(signal(3, 40, 5)).to(dtype)
    with torch.no_grad():
        whole = net.run(x)
        first = net.run(x[:, :13])
        second = net.run(x[:, 13:], first.state)
        assert torch.equal(whole.output, folded.run(x).output)
        assert torch.equal(whole.output, torch.cat([first.output, second.output], 1))
    assert 0 < whole.layers[1].rate() < 0.9
    stream = Stream(net.train(), streams=3)  # evaluates whatever the mode of its network
    pushed = np.stack([stream.push(x[:, t].numpy()) for t in range(40)], 1)
    assert np.array_equal(pushed, whole.output.numpy())
    assert int(net.layers[0].norm.batches) == 3  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"bidirectional": True, "merge": "concat"},
        {"bidirectional": True, "late": True},
        {"substeps": 3},
    ],
)
def test_all_kinds_of_networks_are_normed_and_folded(options: dict) -> None:
    net = network(**options)
    output = net.run(values(), lengths=LENGTHS).output
    output.square().sum().backward()
    assert all(
        p.grad is not None and p.grad.any()
        for n, p in net.named_parameters()
        if "gamma" in n or "weight" in n
    )
    norms = [module for module in net.modules() if isinstance(module, BatchNorm)]
    assert len(norms) == (2 if "substeps" in options else 4) and all(
        int(norm.batches) == 1 for norm in norms
    )
    used(net)
    with torch.no_grad():
        assert torch.equal(
            net.run(values(), lengths=LENGTHS).output,
            net.fold().run(values(), lengths=LENGTHS).output,
        )


def test_frozen_it_is_the_folded_network() -> None:
    """What every export, energy and pruning reads; and it says nothing of a norm."""
    net = network(dtype=torch.float32, neuron="lif")
    used(net)
    net.train()
    frozen, folded = net.freeze(), net.fold().freeze()
    for a, b in zip(frozen.directions.values(), folded.directions.values(), strict=True):
        assert a.has_bias and b.has_bias
        assert all(
            np.array_equal(m, n)
            for m, n in zip((*a.matrices(), a.bias), (*b.matrices(), b.bias), strict=True)
        )
        assert a.name != "layers.0" or not np.array_equal(
            a.weight_in, net.layers[0].weight_in.detach().numpy()
        )
    frozen.require("int8").into(other := network("none", seed=3, dtype=torch.float32, neuron="lif"))
    x = values(dtype=torch.float32)
    with torch.no_grad():
        assert torch.equal(other.run(x).output, net.eval().run(x).output)
    with refuses("layers.0.norm", "conflict"):
        frozen.into(net)


def test_a_layer_without_bias_gets_one() -> None:
    layer = Layer(5, 7, "lif", bias=False, norm={"gamma": 2.0})
    assert layer.norm is not None
    x = values(0, 2, 9, 5, dtype=torch.float32) + 1
    weight, bias = layer.norm(layer.weight_in, None, x, None)
    expected = 2 * F.batch_norm(
        F.linear(x, layer.weight_in).flatten(0, 1), None, None, training=True, eps=EPSILON
    )
    torch.testing.assert_close(
        F.linear(x, weight, bias).flatten(0, 1), expected, rtol=1e-4, atol=1e-4
    )
    layer(x)
    layer.eval()
    whole = layer(x).output
    layer.weights_as = lambda weight_in, weight_rec: (0.5 * weight_in, weight_rec)
    assert torch.equal(layer.folded_weights()[0], layer.norm.folded(0.5 * layer.weight_in, None)[0])
    layer.weights_as = None
    layer.weight_in.requires_grad_(False)
    layer.fold()
    assert layer.bias is not None and layer.bias.any() and torch.equal(layer(x).output, whole)
    assert (
        not layer.weight_in.requires_grad and not layer.bias.requires_grad
    )  # what was not trained stays so


# ---- settings ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weight_in", "bias"])
def test_what_a_parametrization_computes_is_not_folded_until_it_is_permanent(name: str) -> None:
    net, x = SRNN(12, [9], 3, norm="batch", neuron="alif"), torch.randn(4, 10, 12)
    register_parametrization(net.layers[0], name, torch.nn.Softsign())
    net(x)[0].sum().backward()
    net.eval()
    with refuses("norm", "unsupported"):
        net.fold()
    remove_parametrizations(net.layers[0], name)
    assert torch.equal(net.fold()(x)[0], net(x)[0])


def test_names_and_settings() -> None:
    assert (Norm(), EPSILON) == (Norm(3.0, 0.1, True), 1e-5)
    assert as_norm("none") is None and as_norm("batch") == Norm() == as_norm({"name": "batch"})
    assert as_norm({"gamma": 1, "detach": False}) == Norm(1, 0.1, False)
    assert as_norm(own := Norm(2.0, momentum=1.0)) is own
    net = network(["none", {"gamma": 2.5}], dtype=torch.float32)
    assert net.layers[0].norm is None and net.layers[1].norm.settings.gamma == 2.5  # type: ignore[union-attr]
    config = network_config(net)
    again = network_config(config.build(5, 3, seed=1))  # type: ignore[arg-type]
    assert again == config and config.norm == [
        "none",
        {"name": "batch", "gamma": 2.5, "momentum": 0.1, "detach": True},
    ]
    with pytest.raises(
        SrnnError, match=r"network\.norm' must be none or layer with network\.model 'lstm'"
    ):
        replace(
            config, model="lstm", neuron="alif", readout="integrator", surrogate="multi_gaussian"
        )


@pytest.mark.parametrize(
    ("norm", "message"),
    [
        ({"gama": 1}, "has no setting 'gama'.*gamma"),
        ({"name": "none", "gamma": 1}, "'none' has no setting 'gamma'"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(norm, message: str) -> None:
    with pytest.raises(SrnnError, match=message) as caught:
        SRNN(3, [4, 4], 2, norm=norm, neuron="alif")
    assert "\n" not in str(caught.value)
