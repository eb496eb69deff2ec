"""Sweeps: one file, many trainings. Grids, ablations and searches over a recipe, with several seeds and any number of workers.

schema.py    the sweep file
queue.py     the work queue: the units of a sweep as trials of an optuna study that all workers share
liveness.py  whether another worker is still alive
worker.py    one worker: take a unit, train it, report its results
watch.py     the progress display
results.py   the results as CSV, JSON and Markdown; plots.py draws them
"""

from .schema import Sweep, load_sweep, shipped_sweeps

__all__ = ["Sweep", "load_sweep", "shipped_sweeps"]
