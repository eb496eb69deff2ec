"""Many trainings: sweeps (grids, ablations, searches), summaries of several seeds, curves of
pruning and of adaptation."""

from .schema import Sweep, load_sweep, shipped_sweeps

__all__ = ["Sweep", "load_sweep", "shipped_sweeps"]
