"""Blocks of work on torch's own OpenMP workers or on threads of ours; where compiled code is
kept."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

import srnn
from srnn import SRNN, threads


@pytest.fixture(params=["torch's workers", "own threads"])
def team(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """A function that sets the number of threads, for each of the two kinds of them."""
    if request.param == "own threads":
        monkeypatch.setattr(threads, "_in_child", True)
    elif threads._torch_openmp() is None:
        pytest.skip("torch's OpenMP library here is not GNU's")
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 3, 100])
def test_every_block_is_worked_on_once(team, count: int) -> None:
    for number in (1, 2, 5):
        team(number)
        done: list[int] = []
        threads.for_each(done.append, count)
        assert sorted(done) == list(range(count))


def test_two_threads_work_at_the_same_time(team) -> None:
    team(2)
    barrier = threading.Barrier(2, timeout=60)
    threads.for_each(
        lambda _: barrier.wait(), 2
    )  # raises if one of them would have to wait for the other to end


def test_an_error_in_a_block_is_raised_and_the_next_call_works(team) -> None:
    team(2)

    def fail(index: int) -> None:
        if index == 7:
            raise ValueError("block 7")

    with pytest.raises(ValueError, match="block 7"):
        threads.for_each(fail, 20)
    done: list[int] = []
    threads.for_each(done.append, 9)
    assert sorted(done) == list(range(9))


def test_several_threads_of_the_user_at_once(team) -> None:
    team(2)
    found: list[list[int]] = [[] for _ in range(4)]
    users = [threading.Thread(target=threads.for_each, args=(own.append, 50)) for own in found]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert all(sorted(own) == list(range(50)) for own in found)


def test_a_training_has_the_same_bits_whatever_the_threads() -> None:
    x = (torch.rand(40, 90, 30, generator=torch.Generator().manual_seed(1)) < 0.1).float()
    y = torch.arange(40) % 4
    before, found = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            net = SRNN.paper(
                30, [150, 60], 4, backend="cpu", generator=torch.Generator().manual_seed(0)
            )
            optimizer = torch.optim.Adam(net.parameters(), 1e-2)
            for _ in range(3):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(net(x)[0].mean(1), y)
                loss.backward()
                optimizer.step()
            found.append([parameter.detach().clone() for parameter in net.parameters()])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def _outputs() -> torch.Tensor:
    torch.manual_seed(0)
    torch.set_num_threads(2)
    net = SRNN.paper(5, [20], 3, backend="cpu")
    with torch.no_grad():
        return net(10.0 * torch.ones(33, 12, 5))[0]


def _child(queue) -> None:
    queue.put(_outputs().numpy())


@pytest.mark.slow
def test_a_spawned_process_computes_the_same() -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=_child, args=(queue,))
    process.start()
    process.join(120)
    assert process.exitcode == 0
    assert (queue.get() == _outputs().numpy()).all()


@pytest.mark.slow
@pytest.mark.parametrize("user_cache", ["writable", "not writable"])
def test_installed_where_nothing_can_be_written(tmp_path: Path, user_cache: str) -> None:
    """Compiled code goes to the user's cache, and is found there again; without that it is compiled
    in every process."""
    package = tmp_path / "site-packages" / "srnn"
    shutil.copytree(
        Path(srnn.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    # A file where the folder for compiled code would be stops every user, root too.
    (package / "__pycache__").touch()
    cache = tmp_path / "cache"
    if user_cache == "not writable":
        cache.touch()
    code = (
        "import torch; from srnn import Spikes; from srnn.nn.kernels.cpu.compiler import info\n"
        "Spikes.from_dense(torch.ones(1, 4, 2)); print(info()['cache'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment |= {
        "PYTHONPATH": str(package.parent),
        "XDG_CACHE_HOME": str(cache),
        "HOME": str(cache),
    }
    compiled: list[dict[Path, int]] = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert (done.stdout.strip() == "None") == (user_cache == "not writable")
        compiled.append({path: path.stat().st_mtime_ns for path in cache.rglob("*.compiled")})
    assert compiled[0] == compiled[1]  # the second process compiled nothing, or nothing was kept
    assert bool(compiled[0]) == (user_cache == "writable")
