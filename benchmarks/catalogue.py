"""Who takes part: where each contestant runs, what it can be asked, and in what its model differs
from ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

SAME = "the same function, weights and gradients (checked in every run)"
OWN = "own"
"""The environment of the project itself, with which the benchmark was started."""

MEASURED = ("agreement", "speed", "memory")
LIVE = (*MEASURED, "latency")


@dataclass(frozen=True)
class Entry:
    """One contestant."""

    name: str
    label: str
    module: str
    """File in benchmarks/contestants."""
    environment: str = OWN
    """OWN, or the name of a peer's section in requirements-peers.txt."""
    options: Mapping[str, Any] = field(default_factory=dict)
    differs: str = SAME
    exact: bool = False
    """Computes the same function of the same weights."""
    kinds: tuple[str, ...] = MEASURED
    """What is worth measuring of it, of the kinds in __main__.py (scaling chooses for itself)."""
    binary_only: bool = False
    """Differs from ours only where the input is binary."""
    source: str = ""
    """The ``src`` folder of another checkout of this project; empty: this one's."""


def _ours(
    name: str, label: str, differs: str, kinds: tuple[str, ...] = MEASURED,
    binary_only: bool = False, **options: Any,
) -> Entry:  # fmt: skip
    options.setdefault("backend", "fast")
    return Entry(name, label, "ours", OWN, options, differs, True, kinds, binary_only)


#: The name of the contestant to which all others are compared.
BASE = "srnn"

_ENTRIES = (
    _ours("srnn", "srnn", "fast backend; binary inputs packed beforehand, as data sets keep them",
          kinds=LIVE, stream="library"),
    _ours("srnn-bits", "srnn, recompute", "recomputes membranes in the backward "
                                          "pass", recompute=True),
    _ours("srnn-dense", "srnn, dense input", "binary inputs passed as dense floats, which the "
                                             "network packs",
          input="dense", binary_only=True),
    _ours("srnn-convert", "srnn, packing timed", "as srnn, with the packing of dense inputs on the "
                                                 "clock",
          input="convert", binary_only=True),
    Entry("srnn-adlif", "srnn, adLIF neurons, batch norm", "ours", kinds=("speed",),
          options={"backend": "fast", "neuron": "adlif", "norm": "batch"},
          differs="as data of one's own are learnt by default: two more trained parameters of a neuron, "
                  "and batch norm of each layer's current; thresholds set for the same firing rates"),
    Entry("srnn-brf", "srnn, BRF neurons", "ours", options={"backend": "fast", "neuron": "brf"}, kinds=("speed",),
          differs="another neuron, with two trained parameters, as ours; thresholds set for the "
                  "same firing rates"),
    Entry("srnn-delays", "srnn, recurrent delays", "ours", kinds=("speed",),
          options={"backend": "fast", "delays": {"recurrent": "uniform(0, 20)"}},
          differs="each neuron's spikes arrive 0 to 20 steps later; thresholds set for the same "
                  "firing rates"),
    Entry("srnn-delays-long", "srnn, long recurrent delays", "ours", kinds=("speed",),
          options={"backend": "fast", "delays": {"recurrent": "uniform(0, 150)"}},
          differs="each neuron's spikes arrive 0 to 150 steps later; thresholds set for the same "
                  "firing rates"),
    _ours("srnn-module", "srnn, module per step", "streaming by calling the network with one step "
                                                  "at a time",
          kinds=("latency",), stream="module"),
    _ours("reference", "srnn reference", f"plain torch through the neuron's own step; {SAME}",
          kinds=LIVE, backend="reference", stream="module"),
    Entry("eager", "PyTorch eager", "eager", options={"style": "layers"}, exact=True, kinds=LIVE,
          differs=f"{SAME}; input projections hoisted out of the time loop"),
    Entry("eager-grad", "PyTorch eager, input grad", "eager", options={"style": "layers", "input_grad": True},
          exact=True, differs="as PyTorch eager; also computes the input's gradient, which nothing "
                              "needs"),
    Entry("authors", "PyTorch, authors' style", "eager", options={"style": "authors", "input_grad": True},
          exact=True,
          differs=f"{SAME}; one loop for all layers, projections and decays in each step, "
                  "requires_grad on the input, "
                  "as the published scripts do"),
    Entry("authors-lean", "PyTorch, authors' style, no input grad", "eager",
          options={"style": "authors", "input_grad": False}, exact=True,
          differs="as PyTorch, authors' style, without the input's gradient"),
    Entry("jax", "JAX scan, jitted", "jax_scan", "jax", exact=True, kinds=LIVE,
          differs=f"{SAME}; our own code, there is no library for it"),
    Entry("lstm", "nn.LSTM", "gated", options={"kind": "lstm"}, kinds=LIVE,
          differs="another model: four gates, 4x the weights, fused C++ (oneDNN) kernel; linear "
                  "readout without a leak"),
    Entry("gru", "nn.GRU", "gated", options={"kind": "gru"}, kinds=LIVE,
          differs="another model: three gates, 3x the weights, fused C++ kernel; linear readout "
                  "without a leak"),
    Entry("spyx", "Spyx RLIF", "peer_spyx", "spyx", {"neuron": "rlif"},
          differs="no adaptation (the recurrent neuron of the library); decay instead of a time "
                  "constant; "
                  "a spike leaves one step after its input; other surrogate"),
    Entry("spyx-alif", "Spyx ALIF", "peer_spyx", "spyx", {"neuron": "alif"},
          differs="no recurrent weights (the adaptive neuron of the library): less work; other "
                  "surrogate, and a spike leaves "
                  "one step after its input"),
    Entry("snntorch", "snnTorch RLeaky", "peer_snntorch", "snntorch",
          differs="no adaptation; decay instead of a time constant; a bias in the recurrent "
                  "projection; "
                  "reset gradient detached; other surrogate"),
    Entry("spikingjelly", "SpikingJelly container + LIF", "peer_spikingjelly", "spikingjelly",
          differs="no adaptation, one fixed time constant a layer; its container multiplies input "
                  "and feedback by one "
                  "dense matrix, one H x H product a step more; readout without a leak; other "
                  "surrogate"),
    Entry("norse", "Norse LSNNRecurrent", "peer_norse", "norse",
          differs="adaptive, but other equations: a synaptic current more, hard reset, reset and "
                  "adaptation detached; "
                  "time constants not trained; no bias; other surrogate"),
    Entry("sinabs", "Sinabs ALIFRecurrent", "peer_sinabs", "sinabs",
          differs="the nearest: adaptive, soft reset, multi-Gaussian surrogate; but resets in the "
                  "spike's own step "
                  "(ours: in the next, with the threshold grown by the spike); readout with one "
                  "time constant"),
)  # fmt: skip

CATALOGUE: Mapping[str, Entry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})
