"""Threads that sleep: blocks of work claimed one by one by a few Python threads running compiled code without the GIL.

Numba's own parallel loops would load a second OpenMP library beside torch's, and two pools of spinning workers fight for the
same cores (a factor of ten, measured, on two cores). These threads wait on a lock when idle. As many work as
``torch.get_num_threads()`` says at the time of the call, the calling thread being one of them.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

_pools: dict[int, ThreadPoolExecutor] = {}


# Threads do not survive a fork (a DataLoader's workers): the child makes its own when it needs them.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)


def _pool(helpers: int) -> ThreadPoolExecutor:
    if helpers not in _pools:
        _pools[helpers] = ThreadPoolExecutor(helpers, thread_name_prefix="srnn")
    return _pools[helpers]


def for_each(task: Callable[[int], None], count: int) -> None:
    """Call task(0) ... task(count - 1), each once, in no fixed order. The first exception is raised again here."""
    helpers = min(torch.get_num_threads(), count) - 1
    if helpers < 1:
        for index in range(count):
            task(index)
        return
    numbers = itertools.count()  # next() on it is atomic

    def work() -> None:
        while (index := next(numbers)) < count:
            task(index)

    futures = [_pool(helpers).submit(work) for _ in range(helpers)]
    try:
        work()
    finally:
        for future in futures:
            future.result()
