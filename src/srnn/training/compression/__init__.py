"""Smaller networks: pruning of weights and of neurons, int8 weights, and the accuracy that this
costs."""

from .masks import apply_masks, magnitude_masks, sparsity
from .neurons import dead_neurons, remove_neurons
from .quantisation import snap_weights, train_as_int8

__all__ = [
    "apply_masks",
    "dead_neurons",
    "magnitude_masks",
    "remove_neurons",
    "snap_weights",
    "sparsity",
    "train_as_int8",
]
