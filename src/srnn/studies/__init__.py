"""Many trainings: sweeps (grids, ablations, searches), summaries of several seeds, curves of
pruning and of adaptation.

A sweep without the command, with ``Trials`` of ``trials.py``, ``Worker`` of ``worker.py`` and
``write_results`` of ``results.py``:

    trials = Trials(load_sweep("mine.yaml"), Path("runs/mine"))
    trials.begin()
    Worker(trials).work()  # of a search: Worker(trials, open_study(trials)), of study.py
    write_results(trials.sweep, trials.status(), trials.out)
"""

from .schema import Sweep, load_sweep, shipped_sweeps

__all__ = ["Sweep", "load_sweep", "shipped_sweeps"]
