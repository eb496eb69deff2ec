"""Many trainings: sweeps (grids, ablations, searches), summaries of several seeds, curves of
pruning and of adaptation.

A sweep without the command, with ``Units`` of ``units.py``, ``Worker`` of ``worker.py`` and
``write_results`` of ``results.py``:

    units = Units(load_sweep("mine.yaml"), Path("runs/mine"))
    units.begin()
    Worker(units).work()  # of a search: Worker(units, open_study(units)), of study.py
    write_results(units.sweep, units.status(), units.out)
"""

from .schema import Sweep, load_sweep, shipped_sweeps

__all__ = ["Sweep", "load_sweep", "shipped_sweeps"]
