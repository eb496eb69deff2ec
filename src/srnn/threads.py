"""Threads for blocks of work, claimed one by one: torch's own where we can get at them, else
threads that sleep when idle.

Numba's own parallel loops would load a second OpenMP library next to torch's, and two pools of
spinning workers fight for the same cores (ten times slower, measured on two cores). Threads of our
own fare better because they sleep; but torch's workers, when they have nothing to do, keep spinning
for some milliseconds after each of torch's operations, on the cores that we want. So those very
workers do the blocks: compiled code without the GIL, called back from a parallel region of torch's
OpenMP library. Where that is not GNU's (macOS, Windows, conda with Intel's), and in forked
children, which do not inherit their parent's workers, our own threads wait on a lock for work.

As many threads take part as ``torch.get_num_threads()`` gives at the time of the call, the calling
one being one of them.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

T = TypeVar("T")

_in_child = False
"""Whether this process is a fork: its parent's threads, including OpenMP's, do not exist in it."""
_REGION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@functools.cache
def _torch_openmp() -> Any:
    """GOMP_parallel of the OpenMP library that torch has loaded; None where there is none."""
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return None
    torch_folder = str(Path(torch.__file__).parent)  # also the beginning of .../torch.libs
    paths = {line.split(maxsplit=5)[5] for line in maps.splitlines() if "/libgomp" in line}
    for path in paths:
        if path.startswith(torch_folder):
            function = ctypes.CDLL(path).GOMP_parallel
            function.argtypes = (_REGION, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
            function.restype = None
            return function
    return None


def _after_fork() -> None:
    global _in_child
    _in_child = True
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def _pool(helpers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(helpers, thread_name_prefix="srnn")


def for_each(task: Callable[[int], None], count: int) -> None:
    """Call task(0) ... task(count - 1), each once, in no fixed order. The first exception is raised
    again here.

    Args:
        task: the function.
        count: how often it is called.
    """
    team = min(torch.get_num_threads(), count)
    if team < 2:
        for index in range(count):
            task(index)
        return
    numbers = itertools.count()  # next() on it is atomic

    def work() -> None:
        while (index := next(numbers)) < count:
            task(index)

    parallel = None if _in_child else _torch_openmp()
    if parallel is not None:
        _in_region(parallel, work, team)
        return
    futures = [_pool(team - 1).submit(work) for _ in range(team - 1)]
    try:
        work()
    finally:
        wait(futures)
    for future in futures:
        future.result()


def _in_region(parallel: Any, work: Callable[[], object], team: int) -> None:
    """work() on each thread of a parallel region of OpenMP's. No exception may leave the region:
    the first is raised after it."""
    errors: list[BaseException] = []

    def caught(_: Any = None) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    parallel(_REGION(caught), None, team, 0)
    if errors:
        raise errors[0]


def for_each_with(
    make: Callable[[], T], task: Callable[[int, T], None], count: int, unused: list[T]
) -> None:
    """``for_each`` with scratch memory: task(i, scratch).

    Args:
        make: makes scratch memory.
        task: the function.
        count: how often it is called.
        unused: scratch memory to use first; each goes back there after its use.
    """

    def work(index: int) -> None:
        try:
            scratch = unused.pop()
        except IndexError:
            scratch = make()
        task(index, scratch)
        unused.append(scratch)

    for_each(work, count)


def on_each(task: Callable[[], object]) -> None:
    """Call task() on every one of torch's threads; where we cannot get at them, on the calling one
    alone."""
    parallel = None if _in_child else _torch_openmp()
    if parallel is None:
        task()
    else:
        _in_region(parallel, task, torch.get_num_threads())


@contextmanager
def only_this_one() -> Iterator[None]:
    """Within it torch computes on the calling thread alone: for products and sums whose order, and
    so last bits, would otherwise depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
