"""srnn serve: bodies that are hostile, huge, slow, abandoned or too many cost their senders only."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("websockets", reason="the extra 'serve' is not installed")

from fastapi import HTTPException, Request
from fastapi.responses import StreamingResponse

from srnn.deploy.serve import aside as aside_module
from srnn.deploy.serve.app import Recording
from srnn.deploy.serve.batch import read_body
from srnn.deploy.serve.bodies import PIECE, Bodies, in_pieces
from srnn.deploy.serve.limits import Limits
from srnn.deploy.streaming import Decoder
from srnn.errors import SrnnError
from support.raw import Raw, connected
from support.serving import LEADS, expected, serving, told

CLASSIFY, NPY = "/v1/models/digits/classify", "application/x-npy"


def npy(shape: str, data: bytes = b"", descr: str = "'<f4'") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "shape",
    [f"({2**40}, 0, 1)", f"(0, {2**40}, 1)", f"({2**31}, {2**31}, 0)", f"(1, {2**62}, 1)", f"({2**70}, 1, 1)", "(-1, 4, 1)",
     "(4294967296, 4294967296, 1)", "(" * 60 + ")" * 60, "(1, 1e3, 1)", "(1, True, 1)", "[1, 4, 1]", "(1, 4, 1) * 2**40"],
)  # fmt: skip
def test_shapes_are_compared_with_the_bytes_that_are_there(models: dict[str, Decoder], shape: str) -> None:
    """128 bytes of header took the service down: the first of these had 2**40 rows of nothing to loop over."""
    for data in (b"", bytes(16)):
        began = time.process_time()
        with pytest.raises(SrnnError, match=r"body cannot be read as a \.npy array|array must have the shape"):
            read_body(npy(shape, data), NPY, models["digits"])
        assert time.process_time() - began < 0.5


def test_headers_are_bounded_and_only_numbers_are_read(models: dict[str, Decoder]) -> None:
    long = b"\x93NUMPY\x02\x00" + (2**22).to_bytes(4, "little") + b"{" + b"(" * 2**22
    objects, records, complex_numbers = (
        npy("(1, 4, 1)", bytes(32), descr) for descr in ("'|O'", "[('a', '<f4')]", "'<c8'")
    )
    for body in (long, objects, records):
        with pytest.raises(SrnnError, match=r"body cannot be read as a \.npy array"):
            read_body(body, NPY, models["digits"])
    with pytest.raises(SrnnError, match=r"not a \.npy file of numbers"):
        read_body(complex_numbers, NPY, models["digits"])


def test_mutated_bodies_are_refused_in_one_way(models: dict[str, Decoder]) -> None:
    """Some were errors of the server."""
    rng, good = np.random.default_rng(0), saved(np.ones((2, 10, 1), np.float32))
    texts = json.dumps({"inputs": [[[1.0]] * 10] * 2}).encode()
    wav = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\0\0\0\0"
    taken = 0
    for kind, body in ((NPY, good), ("application/json", texts), ("audio/wav", wav)):
        for _ in range(300):
            mutated = bytearray(body)
            for at in rng.integers(0, min(len(body), 200), rng.integers(1, 4)):
                mutated[at] = rng.integers(256)
            with contextlib.suppress(SrnnError):
                taken += len(read_body(bytes(mutated), kind, models["digits"])) > 0
    assert taken > 20


def test_counts_are_bounded_at_the_limit(models: dict[str, Decoder]) -> None:
    limits, digits = Limits(sequences=3, sequence_samples=5), models["digits"]
    for count, length, message in (
        (3, 5, ""),
        (4, 5, "at most 3 sequences, not 4"),
        (3, 6, "at most 5 samples, not 6"),
    ):
        array = np.ones((count, length, 1), np.float32)
        for kind, body in ((NPY, saved(array)), ("application/json", json.dumps({"inputs": array.tolist()}).encode())):
            if message:
                with pytest.raises(SrnnError, match=message):
                    read_body(body, kind, digits, limits)
            else:
                assert np.array_equal(read_body(body, kind, digits, limits), array)


# ---- processes of their own ------------------------------------------------------------------------------------------


@pytest.fixture
def obeyed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[], list[int]]]:
    """Bodies that are orders to the process that computes them; gives the numbers of the processes that have begun."""
    real = aside_module.answer

    def answer(models: Any, limits: Limits, name: str, kind: str, body: bytes) -> tuple[int, bytes]:
        (tmp_path / str(os.getpid())).touch()
        if kind == "test/hang":
            time.sleep(60)
        elif kind == "test/spin":
            while True:
                pass
        elif kind == "test/die":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif kind == "test/eat":
            return 200, json.dumps(len(bytearray(2**31))).encode()
        return real(models, limits, name, kind, body)

    monkeypatch.setattr(aside_module, "answer", answer)
    yield lambda: [int(path.name) for path in tmp_path.iterdir()]


def until(true: Callable[[], Any]) -> Any:
    end = time.monotonic() + 20
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def post(raw: Raw, body: bytes, kind: str, size: int | None = None) -> None:
    head = f"POST {CLASSIFY} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
    raw.send(head.encode() + f"Content-Length: {len(body) if size is None else size}\r\n\r\n".encode() + body)


GOOD = json.dumps({"inputs": [[[0.5]] * 40]}).encode()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("rest", [b"", b"GET / HTTP/1.1\r\n"], ids=["", "pipelined"])
def test_what_a_client_abandons_is_stopped(
    models: dict[str, Decoder], obeyed: Callable[[], list[int]], rest: bytes
) -> None:
    """Four abandoned bodies kept everyone waiting until they were computed: here they never would be."""
    with serving(models, limits=Limits(batches=2)) as running:
        for kind in ("test/hang", "test/spin"):
            with connected(running.port) as first, connected(running.port) as second, connected(running.port) as third:
                for number, raw in enumerate((first, second, third)):  # the third waits for its turn
                    post(raw, b"x" * 1000, kind)
                    raw.send(rest)
                    until(lambda: len(obeyed()) >= min(number + 1, 2))  # noqa: B023
            assert running.ask(CLASSIFY, GOOD, Content_Type="application/json")[0] == 200
            until(lambda: not any(map(alive, obeyed())))
            for path in obeyed():
                assert not alive(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_for_a_client_that_has_gone_already_nothing_is_computed(
    models: dict[str, Decoder], obeyed: Callable[[], list[int]]
) -> None:
    """Its end came before the kernel was told to kill at it."""
    for stays in (True, False):
        own, other = socket.socketpair()
        with own, other:
            head = {"name": "digits", "kind": "test/refused", "size": 1}
            own.sendall(json.dumps(head).encode() + b"\nx")
            if not stays:
                own.close()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # that there are other threads
                process = os.fork()
            if not process:
                aside_module._child(other, models, Limits())
            os.waitpid(process, 0)
        assert (process in obeyed()) == stays


def test_a_process_that_dies_hangs_or_eats_ends_its_body_only(
    models: dict[str, Decoder], obeyed: Callable[[], list[int]]
) -> None:
    wanted = expected(models["ecg"], LEADS)
    with serving(models, limits=Limits(batch_seconds=2, batch_memory=2**28)) as running:
        honest = running.stream("ecg")
        answers = []
        for number, kind in enumerate(("test/die", "test/eat", "test/spin", "application/json")):
            honest.push(LEADS[200 * number : 200 * (number + 1)])
            answers.append(running.ask(CLASSIFY, GOOD, Content_Type=kind))
        assert told(honest.finish()) == wanted
    assert [status for status, _ in answers] == [503, 503, 422, 200]
    assert "takes more than 2 s" in answers[2][1]["detail"] and "try again" in answers[0][1]["detail"]


def test_the_process_that_forks_is_replaced(models: dict[str, Decoder]) -> None:
    children = Path(f"/proc/{os.getpid()}/task")

    def forked() -> set[str]:
        found: set[str] = set()
        for task in children.iterdir():
            with contextlib.suppress(OSError):  # a thread that has just ended has none
                found |= {*(task / "children").read_text().split()}
        return found

    if not (children / str(os.getpid()) / "children").exists():
        pytest.skip("this system does not tell a process's children")
    before = forked()
    with serving(models) as running:
        (mother,) = forked() - before
        for _ in range(2):
            assert running.ask(CLASSIFY, GOOD, Content_Type="application/json")[0] == 200
            (mother,) = forked() - before
            os.kill(int(mother), signal.SIGKILL)
            until(lambda: not alive(int(mother)))  # noqa: B023
        assert running.ask(CLASSIFY, GOOD, Content_Type="application/json")[0] == 200
    assert forked() == before


def test_without_fork_a_thread_does_it(models: dict[str, Decoder], monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(models) as running:
        wanted = running.ask(CLASSIFY, GOOD, Content_Type="application/json")
    monkeypatch.delattr(os, "fork")
    real, turn = aside_module.answer, threading.Lock()

    def answer(*arguments: Any) -> tuple[int, bytes]:
        assert turn.acquire(blocking=False)  # a decoder is for one thread
        time.sleep(0.02)
        try:
            return real(*arguments)
        finally:
            turn.release()

    monkeypatch.setattr(aside_module, "answer", answer)
    with serving(models) as running, ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(running.ask, CLASSIFY, GOOD, Content_Type="application/json") for _ in range(4)]
        assert wanted[0] == 200 and all(one.result() == wanted for one in asked)


# ---- together --------------------------------------------------------------------------------------------------------


def test_bodies_are_bounded_together_and_slow_ones_give_way(models: dict[str, Decoder]) -> None:
    limits = Limits(body_bytes=100_000, waiting_bytes=250_000)
    with serving(models, limits=limits) as running:
        with connected(running.port) as first, connected(running.port) as second:
            post(first, b" " * 90_000, "application/json", 100_000)  # never sent to the end
            post(second, b" " * 90_000, "application/json", 100_000)
            until(lambda: running.ask("/v1/status")[0] == 200)
            assert running.ask(CLASSIFY, GOOD.ljust(99_000), Content_Type="application/json")[0] == 200
            assert first.head().startswith(b"HTTP/1.1 503")
            second.send(b" " * 10_000)
            assert second.head().startswith(b"HTTP/1.1 422")
        assert running.ask(CLASSIFY, GOOD, Content_Type="application/json")[0] == 200


def test_a_body_as_large_as_the_limit_is_read(models: dict[str, Decoder]) -> None:
    with serving(models, limits=Limits(body_bytes=20_000)) as running:
        for size, status in ((20_000, 200), (20_001, 413)):
            assert running.ask(CLASSIFY, GOOD.ljust(size), Content_Type="application/json")[0] == status


def test_large_answers_are_whole(models: dict[str, Decoder]) -> None:
    """They are sent in pieces of 64 KiB."""
    samples = np.random.default_rng(0).random((50_000, 2)).astype(np.float32)
    with serving(models, recordings=[Recording("x", samples, ("ecg",))]) as running:
        assert running.ask("/v1/recordings/0") == (200, samples.tobytes())


def test_between_two_pieces_of_an_answer_the_server_learns_that_its_client_has_gone() -> None:
    """All pieces at once were a line each in the log (asyncio's: "socket.send() raised exception")."""

    async def sent() -> list[str]:
        said = list[str]()
        answer = in_pieces(bytes(2 * PIECE + 1), 200, "application/json", {})
        assert isinstance(answer, StreamingResponse)
        async for piece in answer.body_iterator:
            said.append(f"{len(piece)} bytes")
            asyncio.get_running_loop().call_soon(said.append, "a turn of the loop")
        return said

    assert asyncio.run(sent()) == [
        "65536 bytes", "a turn of the loop", "65536 bytes", "a turn of the loop", "1 bytes", "a turn of the loop",
    ]  # fmt: skip


def test_streams_go_on_while_a_body_is_computed(models: dict[str, Decoder], obeyed: Callable[[], list[int]]) -> None:
    """4 MB of empty lists stopped them for seconds. This one takes a processor, and the interpreter's lock, for ever."""
    with serving(models, limits=Limits(batch_seconds=600, idle_seconds=600)) as running:
        with connected(running.port) as raw:
            post(raw, b"x", "test/spin")
            until(obeyed)
            client = running.stream("ecg")
            for at in range(0, 200, 10):
                client.push(LEADS[at : at + 10])
                client.state()
            assert told(client.finish()) == expected(models["ecg"], LEADS[:200])
            assert any(map(alive, obeyed()))
        until(lambda: not any(map(alive, obeyed())))


def test_a_body_whose_time_ends_as_another_needs_its_room() -> None:
    """In the one turn of the loop between the end of its time and its own next step, it cannot be told to give way."""
    bodies, first = Bodies(Limits(waiting_bytes=10, start_seconds=0.01)), asyncio.Event()

    class Sender:
        def __init__(self, stream: Callable[[], AsyncIterator[bytes]]) -> None:
            self.stream = stream

    async def stops() -> AsyncIterator[bytes]:
        yield b"x" * 8
        first.set()
        await asyncio.sleep(60)

    async def hurries() -> AsyncIterator[bytes]:
        while not next(iter(bodies._sent)).patience.expired():
            await asyncio.sleep(0)
        yield b"y" * 8

    async def read(sender: Sender) -> list[bytes]:
        async with bodies.read(cast(Request, sender)) as parts:
            return parts

    async def both() -> tuple[Any, Any]:
        slow = asyncio.ensure_future(read(Sender(stops)))
        await first.wait()
        bodies._limits = Limits(waiting_bytes=10, start_seconds=60)
        return await asyncio.gather(slow, read(Sender(hurries)), return_exceptions=True)

    slow, quick = asyncio.run(both())
    assert isinstance(slow, HTTPException) and slow.status_code == 408
    assert quick == [b"y" * 8] and bodies._bytes == 0
