"""Arrays on reused memory: never two living ones on the same bytes, never more idle memory than was
used of late."""

import gc
import multiprocessing
import sys
import threading

import numpy as np
import pytest
import torch

from srnn.nn.kernels.cpu import buffers
from srnn.nn.network import Layer

LARGE = buffers.SMALL // 4  # float32 numbers


@pytest.fixture(scope="module", autouse=True)
def little_to_collect():
    """What earlier tests left is collected once; what lives on, of which large packages have much,
    is not walked each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_idle(monkeypatch):
    """No slab waits from earlier tests, which might fit better."""
    gc.collect()
    monkeypatch.setattr(buffers, "_idle", [])
    buffers._returned.clear()


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("count", [0, 1, LARGE - 1, LARGE, 3 * LARGE + 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint64])
def test_arrays_are_aligned_writable_and_as_long_as_asked(count, dtype):
    array = buffers.zeros(count, dtype)
    assert (
        array.shape == (count,)
        and array.dtype == dtype
        and array.flags.writeable
        and array.flags.c_contiguous
    )
    assert address(array) % buffers.LINE == 0 or count == 0
    assert not array.any()


def test_memory_is_used_again_only_when_the_last_view_is_gone():
    first = buffers.empty(LARGE, np.float32)
    place = address(first)
    view = torch.from_numpy(first.reshape(2, -1))[1:]
    view.fill_(7)
    del first
    second = buffers.empty(LARGE, np.float32)
    second.fill(0)
    assert address(second) != place and bool((view == 7).all())
    del view, second
    gc.collect()
    again = [buffers.empty(LARGE, np.float32) for _ in range(2)]
    assert place in [address(array) for array in again]
    assert address(again[0]) != address(again[1])


def test_no_python_runs_when_an_array_is_freed():
    """It did, in a __del__: Ctrl-C that came while a kernel ran arrived there, was printed and
    forgotten; training went on."""
    array, ran = buffers.empty(LARGE, np.float32), []
    sys.setprofile(
        lambda frame, event, argument: (
            ran.append(frame.f_code.co_qualname) if event == "call" else None
        )
    )
    try:
        del array
    finally:
        sys.setprofile(None)
    assert not ran and len(buffers._returned) == 1


def test_a_much_larger_slab_is_left_for_who_needs_it():
    large = buffers.empty(8 * LARGE, np.float32)
    place = address(large)
    del large
    small = buffers.empty(LARGE, np.float32)
    assert not place <= address(small) < place + 32 * LARGE


def test_idle_memory_goes_back_after_a_while():
    arrays = [buffers.empty(LARGE + i, np.float32) for i in range(4)]
    del arrays
    for _ in range(buffers.PATIENCE + 2):
        buffers.empty(40 * LARGE, np.float32)
    assert all(slab.nbytes >= 160 * LARGE for _, slab in buffers._idle)


def test_little_more_memory_is_held_than_was_ever_in_use():
    """Sizes that never come again, as with sequences of all lengths."""
    for i in range(60):
        one, two = (
            buffers.empty(LARGE << (i % 7), np.float32),
            buffers.empty((LARGE << (i % 7)) + 1, np.float32),
        )
        del one, two
        held = buffers._in_use + sum(slab.nbytes for _, slab in buffers._idle)
        assert held <= buffers.OVERSIZE * buffers._most


def test_memory_that_is_refused_is_not_in_use():
    before = buffers._in_use, buffers._most
    with pytest.raises(MemoryError):
        buffers.empty(2**58, np.uint8)
    assert (buffers._in_use, buffers._most) == before


def test_after_the_way_back_a_loss_holds_nothing_of_the_way_there():
    def in_use():
        buffers._slab(0)  # sees what has been returned
        return buffers._in_use

    layer = Layer(50, 128, "alif", backend="cpu")
    for _ in range(2):  # the scratch of the first stays
        x = torch.from_numpy(buffers.zeros(8 * 200 * 50, np.float32)).view(8, 200, 50)
        loss = layer(x).output.sum()
        del x
        forwards = in_use()
        loss.backward()
    assert in_use() <= forwards - 8 * 200 * (50 + 128) * 4  # bytes of the input and of the currents


def test_a_step_finds_all_its_slabs_again(monkeypatch):
    """Also where they are together more than were ever in use at once, for it wants some of them
    one after the other."""
    monkeypatch.setattr(buffers, "_in_use", 0)
    monkeypatch.setattr(buffers, "_most", 0)

    def step():
        for times in (1, 2, 3, 40):
            array = buffers.empty(times * LARGE, np.float32)
            del array
        return [*(slab for _, slab in buffers._idle), *(ended.slab for ended in buffers._returned)]

    step()  # until now not even what the large array takes was in use
    first, second = step(), step()
    assert len(first) == 4 and {id(slab) for slab in second} == {id(slab) for slab in first}


def test_threads_never_share_a_slab():
    clashes = []

    def work(number):
        for turn in range(200):
            array = buffers.empty(LARGE + number, np.float32)
            array[::4096] = number * 1000 + turn
            if (array[::4096] != number * 1000 + turn).any():
                clashes.append(number)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not clashes


def _child(queue):
    queue.put(float(buffers.zeros(LARGE, np.float32).sum()))


@pytest.mark.skipif(sys.platform == "win32", reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_not_stopped_by_a_lock_that_another_thread_held():
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    with buffers._lock:
        child = context.Process(target=_child, args=(queue,))
        child.start()
    child.join(30)
    assert child.exitcode == 0 and queue.get() == 0.0
