"""Sweeps: one file, many trainings. Grids, ablations and searches over a recipe, several seeds each, by any number of workers.

schema.py    the sweep file
queue.py     who does what: the units of a sweep as trials of an optuna study that all workers share
liveness.py  whether another worker is still alive
worker.py    one worker: take a unit, train it, say what came out
watch.py     what a person sees meanwhile
results.py   what came out, as CSV, JSON and a page; plots.py draws it
"""

from .schema import Sweep, Unit, load_sweep, shipped_sweeps

__all__ = ["Sweep", "Unit", "load_sweep", "shipped_sweeps"]
