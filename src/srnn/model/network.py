"""A recipe's section ``network``: its layers and their neurons. A part of ``schema.py``, see
there."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ..errors import SrnnError, either, require
from ..files.bounds import Between, Items, Positive
from ..files.conversion import CheckedSettings

if TYPE_CHECKING:
    from ..nn.baselines import Network
    from ..nn.network import SRNN


MOST_LAYERS, MOST_NEURONS, MOST_WEIGHTS = 64, 16_384, 2**28
"""Layers in a network, neurons in a layer, and weights between all hidden neurons: 1 GiB in
float32."""

Initial = Literal["xavier", "orthogonal", "kaiming", "zero"]
Sizes = Annotated[list[Annotated[int, Between(1, MOST_NEURONS)]], Items(MOST_LAYERS)]


@dataclass(frozen=True)
class NetworkConfig(CheckedSettings, key="network"):
    """The network: the arguments of ``srnn.SRNN``, or of a baseline; inputs and outputs are the
    task's."""

    model: Literal["srnn", "rnn", "gru", "lstm"] = "srnn"
    """srnn: spiking neurons; rnn (tanh), gru, lstm: torch's cells with a linear readout, for
    comparison. These use only hidden, recurrent (false: a dense ReLU layer), bidirectional (the
    directions are concatenated) and norm."""
    hidden: Sizes = field(default_factory=lambda: [64])
    """Neurons in each hidden layer."""
    neuron: str | dict[str, Any] | list[str | dict[str, Any]] = "adlif"
    """A neuron's name, a mapping {name: ..., parameter: value}, or a list with one of these per
    layer."""
    readout: str | dict[str, Any] = "integrator"
    """integrator, alif, spike_count, or a mapping {name: ..., neuron: {...}, output: membrane |
    emission}."""
    surrogate: str | dict[str, Any] = "multi_gaussian"
    """Name of the surrogate gradient, or a mapping {name: ..., parameter: value}."""
    recurrent: bool | list[bool] = True
    """Whether the hidden layers are recurrent; one answer for all, or a list."""
    bidirectional: bool = False
    """Whether the hidden layers are bidirectional."""
    merge: Literal["mean", "concat"] = "mean"
    """How a bidirectional layer joins its two directions."""
    late: bool = False
    """Bidirectional layers: the backward direction runs one step late, as in the published TIMIT
    network."""
    delays: dict[str, Any] | list[dict[str, Any]] | None = None
    """Additional steps until spikes arrive, {recurrent: ..., input: ...}: distributions from which
    the delay of each presynaptic neuron (or input channel) is drawn once; one for all hidden
    layers, or a list with one per layer ({}: none there)."""
    substeps: Annotated[int, Between(1, 10_000)] = 1
    """Steps of the hidden layers for each step of the input, which is held constant."""
    encoder: str | dict[str, Any] | None = None
    """learned_ternary, or a mapping {name: learned_ternary, threshold: 0.05, per_channel: false,
    surrogate: gaussian}: analog input becomes -1, 0 and 1 by thresholds that are trained; null: the
    first layer reads the input as it is."""
    norm: str | dict[str, Any] | list[str | dict[str, Any]] | None = None
    """none, batch, or a mapping {name: batch, gamma: 3, momentum: 0.1, detach: true}: batch norm of
    the current that the hidden layers receive from below; one for all, or a list. With torch's
    cells: none, or layer, which normalises each hidden layer's output over its units, step by step.
    null: batch, or none with torch's cells."""
    init_in: Initial = "xavier"
    """Initial feed-forward weights."""
    init_rec: Initial = "orthogonal"
    """Initial recurrent weights."""
    gain_in: Positive = 1.0
    """Factor for the hidden layers' initial feed-forward weights."""
    bias: bool | list[bool] = True
    """Whether the hidden layers have biases; one answer for all, or a list."""
    backend: str = "auto"
    """The kernel that runs the layers; auto: the fastest that can."""
    recompute: bool = False
    """Whether currents are recomputed for the gradient instead of stored (slower, for long
    sequences)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.norm is None:
            object.__setattr__(self, "norm", "batch" if self.model == "srnn" else "none")
        weights = sum(
            size * (size + below)
            for size, below in zip(self.hidden, [0, *self.hidden], strict=False)
        )
        rule = f"sizes with at most {MOST_WEIGHTS:,} weights"
        require(weights <= MOST_WEIGHTS, "network.hidden", rule, self.hidden)
        # The last two are refused where delays are drawn.
        known = {"recurrent", "input", "learned", "sigma"}
        for delays in self.delays if isinstance(self.delays, list) else [self.delays or {}]:
            what = "{recurrent: ..., input: ...}, or a list of these"
            require(delays.keys() <= known, "network.delays", what, self.delays)
        fits = self.model == "srnn" or self.norm in ("none", "layer")
        require(fits, "network.norm", f"none or layer with network.model '{self.model}'", self.norm)
        if self.model != "srnn":
            default = NetworkConfig()
        else:
            default = self
        for name in self.idle_keys():
            if getattr(self, name) != getattr(default, name):
                raise SrnnError(
                    f"'network.{name}' has no effect with network.model '{self.model}'; remove "
                    f"it, or let {either(f'--baseline {self.model}', f'baseline={self.model!r}')} "
                    "do it.",
                    "conflict",
                    f"network.{name}",
                )

    def idle_keys(self) -> list[str]:
        """Keys that have no effect with the model."""
        known = ("model", "hidden", "recurrent", "bidirectional", "norm")
        if self.model == "srnn":
            return []
        return [item.name for item in fields(self) if item.name not in known]

    def each(self, name: str) -> list[Any]:
        """A setting of the hidden layers (one for all of them, or a list) as a list with one value
        per layer."""
        value = getattr(self, name)
        if isinstance(value, list):
            return value
        return [value] * len(self.hidden)

    def folded(self) -> NetworkConfig:
        """The network without its norm, folded into weights and biases (``SRNN.fold``): layers that
        had one have a bias."""
        names = [
            norm.get("name", "batch") if isinstance(norm, dict) else norm
            for norm in self.each("norm")
        ]
        bias = [
            has or name not in (None, "none")
            for has, name in zip(self.each("bias"), names, strict=True)
        ]
        return replace(self, norm="none", bias=all(bias) or bias)

    def build(self, inputs: int, outputs: int, seed: int) -> Network:
        """A new network.

        Args:
            inputs: number of input channels.
            outputs: number of classes, or of values.
            seed: draws the parameters.

        Returns:
            The network.

        Raises:
            SrnnError: for settings that do not fit, about their dotted key.
        """
        import torch

        generator = torch.Generator().manual_seed(seed)
        try:
            if self.model != "srnn":
                from ..nn.baselines import ClassicalRNN

                return ClassicalRNN(
                    inputs,
                    self.hidden,
                    outputs,
                    self.model,
                    recurrent=self.recurrent,
                    bidirectional=self.bidirectional,
                    norm="layer" if self.norm == "layer" else "none",
                    generator=generator,
                )
            from ..nn.network import SRNN

            return SRNN(
                inputs,
                self.hidden,
                outputs,
                self.neuron,
                self.readout,
                self.surrogate,
                recurrent=self.recurrent,
                bidirectional=self.bidirectional,
                merge=self.merge,
                late=self.late,
                delays=self.delays,
                substeps=self.substeps,
                encoder=self.encoder,
                norm=self.norm,
                init_in=self.init_in,
                init_rec=self.init_rec,
                gain_in=self.gain_in,
                bias=self.bias,
                backend=self.backend,
                recompute=self.recompute,
                generator=generator,
            )
        except SrnnError as error:
            where = f"Recipe section 'network': {error}"
            field = f"network.{error.field}".rstrip(".")
            raise SrnnError(where, error.kind, field) from error
        # A neuron's or a readout's mapping may hold anything.
        except (TypeError, ValueError, AttributeError) as error:
            invalid = f"Recipe section 'network' is invalid: {error}"
            raise SrnnError(invalid, "value", "network") from error


def network_config(network: SRNN) -> NetworkConfig:
    """The section that builds a network of the same architecture. SrnnError for a network without
    hidden layers."""
    if not len(network.layers):
        raise SrnnError(
            "A recipe describes networks with at least one hidden layer; use this one from Python.",
            "unsupported",
            "hidden",
        )
    layers: list[Any] = [getattr(layer, "forward_layer", layer) for layer in network.layers]
    first: Any = network.layers[0]
    if network.bidirectional:
        directions = {"merge": first.merge, "late": first.late}
    else:
        directions = {}
    delays, encoder = [layer.delays.describe() for layer in layers], None
    if network.encoder is not None:
        per_channel = network.encoder.log_threshold.numel() > 1
        surrogate = network.encoder.surrogate.describe()
        encoder = {"name": "learned_ternary", "per_channel": per_channel, "surrogate": surrogate}
    return NetworkConfig(
        hidden=[layer.size for layer in layers],
        neuron=[layer.neuron.describe() for layer in layers],
        readout={
            "name": "integrator",
            "neuron": network.readout.neuron.describe(),
            "output": network.readout.output,
        },
        surrogate=network.surrogate.describe(),
        recurrent=[layer.recurrent for layer in layers],
        bias=[layer.bias is not None for layer in layers],
        bidirectional=network.bidirectional,
        delays=list[dict[str, Any]](delays) if any(delays) else None,
        substeps=network.substeps,
        encoder=encoder,
        norm=["none" if layer.norm is None else layer.norm.settings.describe() for layer in layers],
        backend=network.readout.backend,
        **directions,
    )
