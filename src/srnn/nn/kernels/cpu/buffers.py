"""Large arrays that are used again: memory fresh from the system costs more to touch for the first
time than the kernels take to fill it (a page fault every 4 KiB, and the system's zeros), and a
training step wants the same few sizes again and again.

``empty`` returns a lease on a slab of memory. The lease is the base of every view of the array, be
it numpy's or torch's; when the last of them is freed, the slab waits here for the next ``empty``
that it fits. A slab that nobody wanted for PATIENCE further requests goes back to the system, and
so do the oldest where all slabs together are more than OVERSIZE times the most that was ever in use
at once: a little more than that, because a step wants some of them one after the other, and the
next step all again.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SMALL = 2**18
"""Below this many bytes the C library's allocator does just as well."""

OVERSIZE = 1.25
"""How many times larger a slab may be than what is asked for, and all slabs together than the most
ever in use at once."""

PATIENCE = 256
"""How many requests an idle slab outlives."""

LINE = 64
"""Bytes of a cache line, and of a vector: arrays begin at a line, so that no vector straddles
two."""

_returned: deque[_Ended] = deque()
"""Leases that have ended. Appended to at any time, even while ``_lock`` is held; by C alone,
because an interrupt within a finaliser's Python code is printed and forgotten."""
_leases: set[_Ended] = set()
"""Leases that have not ended, or whose end has not been seen yet."""
_idle: list[tuple[int, Array]] = []
"""(number of the request before which it was returned, slab), oldest first."""
_requests = 0
_in_use = 0
"""Bytes of slabs on lease, or whose return has not been seen yet."""
_most = 0
"""The maximal number of bytes ever in use."""
_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)  # a thread that did not fork may have held it


class _Lease:
    """Owner of a slab for as long as an array on it lives."""

    def __init__(self, slab: Array, size: int) -> None:
        address = slab.ctypes.data
        self.__array_interface__ = {
            "data": (address + -address % LINE, False),
            "shape": (size,),
            "typestr": "|u1",
            "version": 3,
        }
        ended = _Ended(self, _returned.append)
        ended.slab = slab
        _leases.add(ended)


class _Ended(weakref.ref[_Lease]):
    """Keeps the slab of a lease, and is in ``_returned`` from when the lease ends."""

    __slots__ = ("slab",)
    slab: Array


def _slab(wanted: int) -> Array:
    """The smallest idle slab that fits, or a new one."""
    global _requests, _in_use, _most
    with _lock:
        _requests += 1
        while _returned:
            ended = _returned.popleft()
            _leases.discard(ended)
            slab = ended.slab
            _in_use -= slab.nbytes
            _idle.append((_requests, slab))
        fitting = [
            i for i, (_, slab) in enumerate(_idle) if wanted <= slab.nbytes <= OVERSIZE * wanted
        ]
        slab = _idle.pop(min(fitting, key=lambda i: _idle[i][1].nbytes))[1] if fitting else None
        in_use = _in_use + (wanted if slab is None else slab.nbytes)
        most = max(_most, in_use)
        waiting = sum(slab.nbytes for _, slab in _idle)
        while _idle and (_requests - _idle[0][0] > PATIENCE or in_use + waiting > OVERSIZE * most):
            waiting -= _idle.pop(0)[1].nbytes
        if slab is None:
            slab = np.empty(wanted, np.uint8)  # numpy asks the system for huge pages from 4 MiB on
        _in_use, _most = in_use, most  # only once the memory was granted
        return slab


def empty(count: int, dtype: Any) -> Array:
    """Uninitialised numbers that begin at a cache line.

    Args:
        count: how many.
        dtype: of numpy.

    Returns:
        (count,)
    """
    size = count * np.dtype(dtype).itemsize
    wanted = size + LINE
    if size < SMALL:
        raw = np.empty(wanted, np.uint8)
        first = -raw.ctypes.data % LINE
        return raw[first : first + size].view(dtype)
    return np.asarray(_Lease(_slab(wanted), size)).view(dtype)


def zeros(count: int, dtype: Any) -> Array:
    """``empty``, filled with zeros; by numpy, because a parallel operation of torch leaves its
    workers spinning for a while.

    Args:
        count: how many.
        dtype: of numpy.

    Returns:
        (count,)
    """
    array = empty(count, dtype)
    array.fill(0)
    return array
