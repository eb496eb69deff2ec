"""srnn serve: a client's mistakes end its own stream only; limits hold."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("websockets", reason="the extra 'serve' is not installed")

from websockets.exceptions import ConnectionClosed, InvalidStatus

from srnn.deploy.serve import stream, turns
from srnn.deploy.serve.access import Limits
from srnn.deploy.streaming import Decoder, Session
from support.serving import LEADS, Client, Service, expected, serving, told

pytestmark = pytest.mark.robust


def samples(rows: Any) -> str:
    return json.dumps({"type": "samples", "samples": rows})


BAD_STARTS: list[tuple[Any, str, str]] = [
    (b"\0\0\0\0", "value", "type"),
    ("", "data", ""),
    ("[]", "name", "type"),
    ("{", "data", ""),
    ("[" * 100000, "data", ""),
    ('{"type": "begin"}', "name", "type"),
    ('{"type": "finish"}', "value", "type"),
    ('{"type": "start", "formt": "int16"}', "name", "formt"),
    ('{"type": "start", "format": "int8"}', "value", "format"),
    ('{"type": "start", "format": null}', "value", "format"),
    ('{"type": "start", "report": []}', "value", "report"),
    ('{"type": "start", "trace": 1}', "value", "trace"),
    ('{"type": "start", "probabilities": 1}', "value", "probabilities"),
    ('{"type": "start", "state_every": 0}', "value", "state_every"),
    ('{"type": "start", "state_every": 9007199254740992}', "value", "state_every"),
    ('{"type": "start", "state": {}}', "value", "state"),
    ('{"type": "start", "rate": true}', "value", "rate"),
    ('{"type": "start", "names": ["ii", "v5"]}', "value", "names"),
    ('{"type": "start", "rate": 100}', "conflict", "rate"),
]
BAD_MESSAGES: list[tuple[Any, str, str]] = [
    (b"\0" * 7, "data", "samples"),
    (b"\0" * 4, "data", "samples"),
    (samples([[True, 1]]), "data", "samples"),
    (np.array([0, 1, np.nan, 1], "<f4").tobytes(), "data", "0"),
    (np.array([1, -np.inf], "<f4").tobytes(), "data", "1"),
    (samples([[1, 2], [1, float("nan")]]), "data", "1"),
    ('{"type": "start"}', "conflict", "type"),
    ('{"type": "samples"}', "data", "samples"),
    (samples([[1, 2, 3]]), "data", "samples"),
    (samples({"a": 1}), "data", "samples"),
    (samples([[1], [2, 3]]), "data", "samples"),
    # 200 kB of texts, which an array of texts would make 18 GB of, and hold everybody up meanwhile
    (samples([["x" * 100_000, *[""] * 40_000]]), "data", "samples"),
    (samples([[["x" * 100_000, *[""] * 40_000]]]), "data", "samples"),
    (samples([[1, 2**64]]), "data", "samples"),
    ("null", "name", "type"),
]


def timed(service: Service) -> tuple[list[int], float]:
    """The classes of a stream in 40 pieces, and the longest that it waited for one of them."""
    client, longest = service.stream("ecg"), 0.0
    for at in range(0, 800, 20):
        began = time.monotonic()
        client.push(LEADS[at : at + 20])
        client.state()
        longest = max(longest, time.monotonic() - began)
    return told(client.finish()), longest


@pytest.mark.parametrize(("message", "kind", "field"), BAD_STARTS)
def test_bad_starts_end_their_stream_only(
    service: Service, message: Any, kind: str, field: str
) -> None:
    stream = service.open("ecg")
    stream.send(message)
    found = json.loads(stream.recv(timeout=20))
    assert (found["type"], found["kind"], found["field"]) == ("error", kind, field), found
    with pytest.raises(ConnectionClosed) as caught:
        stream.recv(timeout=20)
    assert caught.value.rcvd is not None and caught.value.rcvd.code == 1008


def test_bad_messages_end_their_stream_only(service: Service, models: dict[str, Decoder]) -> None:
    honest = service.stream("ecg")
    pieces = iter(np.array_split(LEADS, len(BAD_MESSAGES) + 1))
    for message, kind, field in BAD_MESSAGES:
        honest.push(next(pieces))
        bad = service.stream("ecg")
        bad.push(LEADS[:5])
        bad.socket.send(message)
        while (found := bad.hear())["type"] != "error":
            pass
        assert (found["kind"], found["field"]) == (kind, field), found
        with pytest.raises(ConnectionClosed):
            bad.hear()
    honest.push(next(pieces))
    assert told(honest.finish()) == expected(models["ecg"], LEADS)


def test_a_message_beyond_the_limit_ends_its_stream(service: Service) -> None:
    client = service.stream("ecg")
    with pytest.raises(ConnectionClosed) as caught:
        client.socket.send(b"\0" * 300_000)
        while True:
            client.hear()
    assert caught.value.rcvd is None or caught.value.rcvd.code == 1009
    assert client.heard == [client.ready]


def test_who_sends_much_at_once_delays_nobody(service: Service, models: dict[str, Decoder]) -> None:
    # Before the server uses the decoder: it is for one thread.
    wanted = expected(models["ecg"], LEADS)
    many = Client(service.open("ecg", ping_interval=None), report="end")
    many.push(np.tile(LEADS, (5, 1)))
    many.say(type="finish")
    classes, longest = timed(service)
    assert classes == wanted and longest < 2
    while (last := json.loads(many.socket.recv(timeout=180)))["type"] != "end":
        pass
    assert last["samples"] == 5 * 800


def test_limits_of_streams(models: dict[str, Decoder]) -> None:
    with serving(models, limits=Limits(streams=2, idle_seconds=0.3)) as running:
        first, second = running.stream("ecg"), running.stream("ecg")
        with pytest.raises(InvalidStatus, match="503") as refused:
            running.open("ecg")
        answer = json.loads(refused.value.response.body or b"")
        assert (answer["kind"], answer["field"]) == ("resource", "streams")
        silent = second.hear()
        assert (silent["kind"], silent["field"]) == ("resource", "idle_seconds")
        with pytest.raises(ConnectionClosed) as caught:
            second.hear()
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 4408
        until = time.monotonic() + 10
        while running.ask("/v1/status")[1]["streams"]:
            assert time.monotonic() < until
            time.sleep(0.05)
        with pytest.raises(ConnectionClosed):
            while True:
                first.hear()
        silent = running.open("ecg")
        assert json.loads(silent.recv(timeout=10))["field"] == "idle_seconds"
        assert running.ask("/v1/status")[1]["refused"] == 1


def test_who_could_not_be_heard_has_not_been_silent(
    models: dict[str, Decoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that was stopped for longer than a client may be silent ended its stream for that,
    with its samples unread."""
    stopped, encode = threading.Event(), Session.encode

    def slow(session: Session, block: Any) -> Any:  # computed in the server's loop
        if not stopped.is_set():
            stopped.set()
            time.sleep(0.6)
        return encode(session, block)

    monkeypatch.setattr(Session, "encode", slow)
    with serving(models, limits=Limits(idle_seconds=0.3)) as running:
        busy, client = running.stream("ecg"), running.stream("ecg")
        busy.push(LEADS[:1])
        assert stopped.wait(10)
        client.push(LEADS[:100])
        assert client.finish()[-1] == {"type": "end", "samples": 100, "steps": 100}


def test_a_busy_server_still_ends_who_never_starts(models: dict[str, Decoder]) -> None:
    """Streams of a network that is not compiled kept the loop late all the time: as after a stop,
    it waited again and again."""

    async def silence() -> None:
        await asyncio.Event().wait()

    async def flood() -> None:
        while True:
            time.sleep(0.05)  # all others wait
            await asyncio.sleep(0)

    async def never_starts() -> None:
        busy = asyncio.create_task(flood())
        socket: Any = SimpleNamespace(receive=silence)
        limits = Limits(idle_seconds=0.1)
        client = stream.StreamConnection(socket, "ecg", models["ecg"], limits, b"")
        with pytest.raises(stream.Silent):
            async with asyncio.timeout(5):
                await client._receive()
        busy.cancel()

    asyncio.run(never_starts())


def test_turns_of_a_slow_network_are_short(
    models: dict[str, Decoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """512 steps of one that is not compiled took an eighth of a second, while all other streams
    waited. They still did after some short messages, which lengthened the turns again."""
    some = turns.Turns(models["ecg"].open())
    now, sizes = 0.0, []

    def decide(session: Session, steps: Any, probe: Any) -> None:
        nonlocal now
        now += float(steps.sum())

    monkeypatch.setattr(Session, "encode", lambda session, block: block)
    monkeypatch.setattr(Session, "decide", decide)
    monkeypatch.setattr(turns, "time", SimpleNamespace(thread_time=lambda: now))

    async def take_turns() -> None:
        for seconds in [1e-3] * 5 + [1e-6] * 8 + [1.0] * 12:
            sizes.append(some.size)
            if len(sizes) == 5:
                for _ in range(9):  # short messages
                    await some.decide(np.full(1, seconds))
            await some.decide(np.full(some.size, seconds))

    asyncio.run(take_turns())
    falling = [64, 32, 16, 8]
    rising = [16, 32, 64, 128, 256]
    assert sizes == [*falling, 8, 8, *rising, 512, 512, 512, 256, 128, *falling, 4, 2, 1, 1, 1]
