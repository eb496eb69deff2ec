"""The streaming step in use: what inputs may be, mistakes, models that cannot be compiled,
processes, threads."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from srnn import SRNN, SrnnError, Stream, load
from srnn.deploy.streaming.saved import fingerprint
from support.kernels import not_understood
from support.refusing import refuses
from support.streams import make, same_bits, signal, whole

pytest.importorskip("numba")


def test_what_inputs_may_be() -> None:
    net = make(dtype=torch.float32)
    x = signal(5, dtype=np.float32)
    expected = Stream(net).push(x)
    frozen, wide = x.copy(), np.repeat(x, 2)
    frozen.flags.writeable = False
    for same in (torch.from_numpy(x), x.astype(np.float64), x.astype(">f4"), frozen, wide[::2], x.tolist(),
                 torch.from_numpy(x).double().requires_grad_(), torch.from_numpy(x).to_sparse()):  # fmt: skip
        got = Stream(net).push(same)
        assert got.dtype == np.float32 and np.array_equal(got, expected)
    assert np.array_equal(
        Stream(net).push(np.asfortranarray(signal(9, 5))), Stream(net).run(signal(9, 5))
    )
    assert np.array_equal(
        Stream(net).push(np.array([True, False, True, True, False])),
        Stream(net).push_events([0, 2, 3, 0]),
    )
    results = [stream.push(x) for stream in [Stream(net)] for _ in range(2)]
    assert not np.shares_memory(*results)
    assert Stream(net).push(np.empty((0, 5))).shape == (0, 3)
    assert Stream(net, streams=2).push_events([[], [1]]).shape == (2, 3)


def test_many_streams_of_a_model_are_as_many_of_its_own() -> None:
    """Each is begun anew alone; a network that was changed is streamed as it is now."""
    model = load("ecg-records")
    many, singles = Stream(model, streams=5), [Stream(model) for _ in range(5)]
    x = signal(40, 5, 4, binary=True, dtype=np.float32)
    for step, rows in enumerate(x):
        if step in (7, 20):
            mask = np.arange(5) % 3 == step % 3
            many.reset(mask)
            for number in np.flatnonzero(mask):
                singles[number].reset()
        alone = [one.push(row) for one, row in zip(singles, rows, strict=True)]
        assert np.array_equal(many.push(rows), alone)
    with torch.no_grad():
        model.network.readout.bias += 1  # type: ignore[operator]
    assert not np.array_equal(
        Stream(model).push(x[0, 0]), Stream(load("ecg-records")).push(x[0, 0])
    )


def test_a_nan_reaches_the_states_that_it_reaches_in_the_network() -> None:
    """Whose output is NaN, too; a stream does not look."""
    net = make(dtype=torch.float32)
    x = np.zeros((3, 5), np.float32)
    x[1, 2] = np.nan
    stream = Stream(net)
    got, (expected, end) = stream.run(x), whole(net, x[None])
    assert np.isfinite(got).all()
    assert np.array_equal(np.isnan(expected[0]), [[False] * 3, [True] * 3, [True] * 3])
    assert torch.isnan(stream.state[0].u).all() and torch.isnan(end[0].u).all()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda s: s.push(torch.ones(5, device="meta")), "has no numbers"),
        (lambda s: Stream(s), "needs a spiking network .SRNN., not a Stream"),
        (lambda s: Stream(SRNN.paper(5, [3], 2, bidirectional=True)), "needs the whole sequence"),
    ],
)
def test_what_is_no_input_or_no_network_of_streams(bad: Any, message: str) -> None:
    with pytest.raises(SrnnError, match=message):
        bad(Stream(make()))


def test_a_stream_keeps_the_weights_that_it_was_made_of() -> None:
    net, x = make(), signal(20, 5)
    stream = Stream(net)
    expected = stream.run(x)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    stream.reset()
    assert np.array_equal(stream.run(x), expected)
    new = Stream(net)
    new.state = stream.state
    assert same_bits(new.state, stream.state)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["odd", "bfloat16", "reference"])
def test_what_cannot_be_compiled_is_stepped(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dtype = torch.bfloat16 if case == "bfloat16" else torch.float64
    options: dict[str, Any] = {"backend": "reference"} if case == "reference" else {}
    net = make(
        neuron=not_understood(monkeypatch) if case == "odd" else "alif",
        hidden=[9],
        dtype=dtype,
        **options,
    )
    x = signal(2, 12, 5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stream = Stream(net, streams=2)
        y = stream.push(x)
        assert [str(warning.message) for warning in caught] == [] or case != "reference"
        assert len([w for w in caught if issubclass(w.category, RuntimeWarning)]) <= 1
    if case != "reference":
        for layer in [*net.layers, net.readout]:
            layer.backend = "cpu"  # type: ignore[assignment]
        with refuses("backend", "unsupported"):
            Stream(net)
        for layer in [*net.layers, net.readout]:
            layer.backend = "reference"  # type: ignore[assignment]
    expected = net(torch.from_numpy(x).to(dtype))[0].detach()
    assert y.dtype == (np.float32 if case == "bfloat16" else np.float64)
    assert np.array_equal(y, expected.to(torch.float32 if case == "bfloat16" else dtype).numpy())
    stream.reset()
    mask = np.array([False, True])
    steps = np.stack([stream.push(x[:, t], active=mask) for t in range(12)], 1)
    assert np.allclose(steps[1], y[1], atol=1e-2) and not steps[0].any()
    copied = pickle.loads(pickle.dumps(stream)) if case != "odd" else copy.deepcopy(stream)
    assert np.array_equal(copied.push(x[:, 0]), stream.push(x[:, 0]))


def _child_pushes(stream: Stream, x: np.ndarray, queue: Any) -> None:
    queue.put(stream.run(x))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_goes_on_with_a_copy() -> None:
    stream, x = Stream(make()), signal(20, 5)
    stream.push(x[0])
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=_child_pushes, args=(stream, x, queue))
    process.start()
    got = queue.get()
    process.join(60)
    assert process.exitcode == 0 and np.array_equal(got, stream.run(x))


def test_streams_run_side_by_side_in_threads() -> None:
    net, x = make(), signal(4, 300, 5)
    expected = [Stream(net).run(sequence) for sequence in x]

    def walk(number: int) -> np.ndarray:
        stream = Stream(net)
        return np.stack([stream.push(x_t) for x_t in x[number]])

    with ThreadPoolExecutor(4) as pool:
        assert all(
            np.array_equal(a, b) for a, b in zip(pool.map(walk, range(4)), expected, strict=True)
        )


@pytest.mark.slow
def test_compiled_steps_are_found_on_disk_by_the_next_process(tmp_path) -> None:
    """Neuron models of every kind in one network, twice: the second process compiles nothing."""
    code = (
        "import srnn, numpy as np\n"
        "stream = srnn.Stream(srnn.SRNN(4, [5, 6], 2, ['alif', 'lif'], norm='none'))\n"
        "stream.push(np.ones(4))\n"
        "print(sum(stream._advance.stats.cache_misses.values()), "
        "sum(stream._advance.stats.cache_hits.values()))"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    found = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(done.stdout.split())
    assert found == [["1", "0"], ["0", "1"]]


def test_a_fingerprint_tells_networks_of_the_same_weights_apart() -> None:
    prints = [
        fingerprint(
            SRNN.paper(
                2, [3], 2, substeps=substeps, generator=torch.Generator().manual_seed(0)
            ).freeze(),
            "",
        )
        for substeps in (1, 1, 2)
    ]
    assert prints[0] == prints[1] != prints[2]
