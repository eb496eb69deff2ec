"""srnn serve: wrong bodies are refused in one line, and no stream waits for a long one."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import os
import socket
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("websockets", reason="the extra 'serve' is not installed")

from websockets.exceptions import ConnectionClosed

from srnn.deploy.serve import turns
from srnn.deploy.serve.access import Limits
from srnn.deploy.serve.app import BODIES, Playable
from srnn.deploy.serve.batch import read_body
from srnn.deploy.streaming import Decoder, Session
from srnn.errors import SrnnError
from support.refusing import refuses
from support.serving import LEADS, Service, expected, serving, told

pytestmark = pytest.mark.robust

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
    [f"({2**40}, 0, 1)", f"(0, {2**40}, 1)", f"({2**31}, {2**31}, 0)", f"(1, {2**62}, 1)", f"({2**70}, 1, 1)",
     f"({2**32}, {2**32}, 1)", "(-1, 4, 1)", "(" * 60 + ")" * 60, "(1, 1e3, 1)", "(1, True, 1)", "[1, 4, 1]",
     "(1, 4, 1) * 2**40"],
)  # fmt: skip
def test_shapes_that_do_not_fit_the_bytes(models: dict[str, Decoder], shape: str) -> None:
    """128 bytes of header took the service down: the first of these had 2**40 rows of nothing to
    loop over."""
    refusal = r"body cannot be read as a \.npy array|array must have the shape"
    for data in (b"", bytes(16)):
        with pytest.raises(SrnnError, match=refusal):
            read_body(npy(shape, data), NPY, models["digits"])


def test_headers_are_bounded_and_only_numbers_are_read(models: dict[str, Decoder]) -> None:
    bodies = [b"\x93NUMPY\x02\x00" + (2**22).to_bytes(4, "little") + b"{" + b"(" * 2**22]
    bodies += [npy("(1, 4, 1)", bytes(32), of) for of in ("'|O'", "[('a', '<f4')]", "'<c8'")]
    refusal = r"body cannot be read as a \.npy array|not a \.npy file of numbers"
    for body in bodies:
        with pytest.raises(SrnnError, match=refusal):
            read_body(body, NPY, models["digits"])


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
    limits, digits = Limits(sequences=3), models["digits"]
    for count in (3, 4):
        array = np.ones((count, 5, 1), np.float32)
        text = json.dumps({"inputs": array.tolist()}).encode()
        for kind, body in ((NPY, saved(array)), ("application/json", text)):
            if count > 3:
                with refuses("body", "data"):
                    read_body(body, kind, digits, limits)
            else:
                read = read_body(body, kind, digits, limits)
                assert np.array_equal([one.samples for one in read], array)


GOOD = json.dumps({"inputs": [[[0.5]] * 40]}).encode()


LONG = npy("(1, 1000000, 1)", np.ones(1_000_000, np.float32).tobytes())


HEAD = f"POST {CLASSIFY} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {NPY}\r\n"


REQUEST = f"{HEAD}Content-Length: {len(LONG)}\r\n\r\n".encode() + LONG
"""A body of 4 MiB."""


def slowed(patch: pytest.MonkeyPatch, wait: Callable[[Session, np.ndarray], object]) -> None:
    """Before it decides on steps, a session waits."""
    decide = Session.decide

    def slow(session: Session, steps: np.ndarray, probe: object = None) -> object:
        wait(session, steps)
        return decide(session, steps, probe)  # type: ignore[arg-type]

    patch.setattr(Session, "decide", slow)


def test_a_body_as_large_as_the_limit_is_read(models: dict[str, Decoder]) -> None:
    with serving(models, limits=Limits(body_bytes=20_000)) as running:
        for size, status in ((20_000, 200), (20_001, 413)):
            body = GOOD.ljust(size)
            assert running.ask(CLASSIFY, body, Content_Type="application/json")[0] == status


def test_large_answers_are_whole(models: dict[str, Decoder]) -> None:
    samples = np.random.default_rng(0).random((50_000, 2)).astype(np.float32)
    with serving(models, recordings=[Playable("x", samples, ("ecg",))]) as running:
        assert running.ask("/v1/recordings/0") == (200, samples.tobytes())


def test_a_file_of_the_page_is_read_like_any_recording(models: dict[str, Decoder]) -> None:
    rows = "time_ms,v5 (uV),ii (mV)\n" + "".join(f"{4 * k},{1000 * k},{-k}\n" for k in range(50))
    with serving(models) as running:

        def read(model: str = "ecg", body: bytes = rows.encode(), **asked: str) -> tuple[int, Any]:
            query = urllib.parse.urlencode({"file": "heart.csv", **asked})
            return running.ask(f"/v1/models/{model}/recording?{query}", body)

        def samples(**asked: str) -> Any:
            status, content = read(**asked)  # type: ignore[arg-type]
            assert status == 200
            return np.frombuffer(content, "<f4").reshape(-1, 2)

        assert samples()[:3].tolist() == [[0, 0], [1, -1], [2, -2]], "in mV"
        assert samples(channels="ii,1")[1].tolist() == [-1, 1]
        assert len(samples(rate="125")) == 100
        for asked, problem in (
            ({"channels": "x,ii"}, "heart.csv has no channel 'x'. There are: ii, v5."),
            ({"rate": "fast"}, "The rate must be a number of samples per second"),
            ({"file": "r.hea"}, "srnn predict also reads WFDB records"),
            ({"missing": "ignore"}, "'missing' must be one of"),
            ({"body": b"1,2\n3"}, "heart.csv, line 2: the row has 1 instead of 2 numbers."),
        ):
            status, answer = read(**asked)  # type: ignore[arg-type]
            assert status == 422 and problem in answer["detail"], answer
        assert read("none")[0] == 404


def test_streams_go_on_while_a_long_body_is_computed(
    models: dict[str, Decoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a network so slow that it never ends: a stream beside it waits for one turn at most."""

    def wait(session: Session, steps: np.ndarray) -> None:
        if session.encoder.channels == 1:  # the body's
            time.sleep(0.02)

    slowed(monkeypatch, wait)
    monkeypatch.setattr(turns, "MOST", 64)
    wanted = expected(models["ecg"], LEADS)
    with serving(models) as running, socket.create_connection(("127.0.0.1", running.port)) as raw:
        client = running.stream("ecg")
        raw.sendall(REQUEST)
        longest = 0.0
        for at in range(0, 800, 20):
            began = time.monotonic()
            client.push(LEADS[at : at + 20])
            client.state()
            longest = max(longest, time.monotonic() - began)
        assert told(client.finish()) == wanted
    assert longest < 2


def test_many_bodies_at_a_time_are_each_answered(models: dict[str, Decoder]) -> None:
    signals = np.random.default_rng(0).random((3 * BODIES, 1, 100, 1)).astype(np.float32)

    def ask(running: Service, number: int) -> int:
        _, found = running.ask(CLASSIFY, saved(signals[number]), Content_Type=NPY)
        return found["results"][0]["class"]

    wanted = [expected(models["digits"], signal[0])[-1] for signal in signals]
    with serving(models) as running, ThreadPoolExecutor(len(signals)) as pool:
        assert list(pool.map(lambda number: ask(running, number), range(len(signals)))) == wanted


def test_what_a_client_abandons_is_not_computed_to_its_end(
    models: dict[str, Decoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Abandoned bodies kept everyone waiting until they were computed: here they never would be."""
    begun = threading.Semaphore(0)

    def wait(session: Session, steps: np.ndarray) -> None:
        begun.release()
        if len(steps) > 40:
            time.sleep(0.01)

    slowed(monkeypatch, wait)
    with serving(models) as running:
        for _ in range(BODIES):
            with socket.create_connection(("127.0.0.1", running.port)) as raw:
                raw.sendall(REQUEST)
                assert begun.acquire(timeout=20)
        assert running.ask(CLASSIFY, GOOD, Content_Type="application/json")[0] == 200


def test_a_server_that_stops_leaves_no_traceback(
    models: dict[str, Decoder], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)  # to caplog
    begun = threading.Event()

    def wait(*_: object) -> None:
        begun.set()
        time.sleep(0.01)

    with ThreadPoolExecutor(1) as pool:
        with serving(models) as running:
            slowed(monkeypatch, wait)
            asked = pool.submit(running.ask, CLASSIFY, LONG, Content_Type=NPY)
            client = running.stream("ecg")
            assert begun.wait(20)
        status, answer = asked.result()
        assert (status, answer["kind"]) == (503, "resource")
    with pytest.raises(ConnectionClosed):
        client.hear()
    assert "Traceback" not in caplog.text


def test_a_file_of_the_page_that_cannot_be_put_anywhere_is_refused(
    models: dict[str, Decoder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with serving(models) as running:
        path = "/v1/models/ecg/recording?file=heart.csv"
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nothing"))
        status, found = running.ask(path, b"1,2")
        assert status == 422 and "set TMPDIR" in found["detail"]
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        monkeypatch.setattr(Path, "write_bytes", full)
        status, found = running.ask(path, b"1,2")
        assert status == 422 and found["detail"].startswith("Cannot write heart.csv: No space")
    assert list(tmp_path.iterdir()) == []
