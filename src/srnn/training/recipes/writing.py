"""A recipe's network section for an existing network, for example from another library, or trained in a loop of your own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import SrnnError
from .network import NetworkConfig

if TYPE_CHECKING:
    from ...nn.network import SRNN


def network_config(network: SRNN) -> NetworkConfig:
    """The section that builds a network of the same architecture. SrnnError for a network without hidden layers."""
    if not len(network.layers):
        raise SrnnError("A recipe describes networks with at least one hidden layer; use this one from Python.")
    layers: list[Any] = [getattr(layer, "forward_layer", layer) for layer in network.layers]
    first: Any = network.layers[0]
    directions = {"merge": first.merge, "late": first.late} if network.bidirectional else {}
    encoder, delays = network.encoder, [layer.delays.describe() for layer in layers]
    return NetworkConfig(
        hidden=[layer.size for layer in layers],
        neuron=[layer.neuron.describe() for layer in layers],
        readout={"name": "integrator", "neuron": network.readout.neuron.describe(), "output": network.readout.output},
        surrogate=network.surrogate.describe(),
        recurrent=[layer.recurrent for layer in layers],
        bias=[layer.bias is not None for layer in layers],
        bidirectional=network.bidirectional,
        delays=list[dict[str, Any]](delays) if any(delays) else None,
        substeps=network.substeps,
        encoder=None if encoder is None else _encoder(encoder),
        norm=["none" if layer.norm is None else layer.norm.settings.describe() for layer in layers],
        backend=network.readout.backend,
        **directions,
    )


def _encoder(encoder: Any) -> dict[str, Any]:
    per_channel = encoder.log_threshold.numel() > 1
    return {"name": "learned_ternary", "per_channel": per_channel, "surrogate": encoder.surrogate.describe()}
