"""What the service, streams, sessions and keyword spotting refuse, and what for."""

from __future__ import annotations

import io
import socket
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import srnn
from srnn import SRNN, Decoder, Stream
from srnn.data.datasets import Split
from srnn.data.recordings import ReadingOverrides
from srnn.data.signals import ScaledPath
from srnn.data.spikes import Spikes
from srnn.deploy.serve.access import Limits
from srnn.deploy.serve.batch import read_body, read_dropped
from srnn.deploy.serve.messages import finite_json, read_rows, read_samples, read_start, read_text
from srnn.deploy.serve.metadata import ARRAY_KEYS, ClientMetadata, check_keys
from srnn.deploy.serve.server import bind, check_exposure, listen
from srnn.deploy.streaming import Spotter, SpottingRule
from srnn.deploy.streaming.saved import pack, unpack
from srnn.deploy.streaming.sources import RawFormat, open_microphone, open_source
from srnn.deploy.streaming.spotting_evaluation import concatenated
from srnn.model.exit_policy import ExitPolicy
from support.refusing import Refusal, refusals
from support.streams import decoder
from support.tiny import TinyStepTask, TinyTask

PATH = ScaledPath(2, 250)


def stream(streams: int | None = None) -> Stream:
    generator = torch.Generator().manual_seed(0)
    return Stream(SRNN.paper(5, [4], 2, generator=generator), streams=streams)


def on_stream(act: Callable[[Stream], object]) -> Callable[[], object]:
    """A call with a stream, which must not change by it."""

    def call() -> None:
        made = stream()
        made.push(np.ones(5))
        before = made.flat_state()
        try:
            act(made)
        finally:
            assert np.array_equal(made.flat_state(), before)

    return call


def set_state(given: Stream, state: Any) -> None:
    given.state = state


def piped(data: bytes, raw: RawFormat, overrides: ReadingOverrides | None = None) -> np.ndarray:
    said = overrides or ReadingOverrides()
    return open_source("-", PATH, 4, raw, io.BytesIO(data), said=said).whole()


def restored(change: Callable[[dict[str, Any], dict[str, Any]], bytes]) -> None:
    shared = decoder(TinyTask())
    session = shared.open()
    session.push(np.ones((5, 3)))
    shared.restore(change(*unpack(session.save())))


def two_servers() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        bind("127.0.0.1", taken.getsockname()[1])


def too_late() -> None:
    """Both have the address, where the system allows it, while they read their models."""
    with bind("127.0.0.1", 0) as first, bind("127.0.0.1", first.getsockname()[1]) as second:
        listen(first)
        listen(second)


def microphone(rate: int) -> None:
    """A device that yields more than is read, and knows no rate of 1."""

    class Device:
        def __init__(self, callback: Any, samplerate: float, **_: Any) -> None:
            if samplerate == 1:
                raise ValueError("Invalid sample rate")
            self.callback = callback

        def __enter__(self) -> None:
            for _ in range(300):
                self.callback(np.zeros((80, 1), np.float32), 80, None, None)

        def __exit__(self, *_: object) -> None:
            pass

    with pytest.MonkeyPatch.context() as patch:
        module = types.SimpleNamespace(InputStream=Device, PortAudioError=OSError)
        patch.setitem(sys.modules, "sounddevice", module)
        for _ in open_microphone(1, rate, 80).blocks:
            pass


def without_sounddevice() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "sounddevice", None)
        open_microphone(1, 8000, 80)


def not_compiled() -> None:
    net = SRNN.paper(5, [4], 2)
    for layer in [*net.layers, net.readout]:
        layer.backend = "cpu"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("srnn.deploy.streaming.stream.why_no_numba", lambda: "there is none")
        Stream(net)


def lasting(kind: str) -> Decoder:
    task = TinyTask() if kind == "per_sequence" else TinyStepTask()
    return decoder(task, segment=8)


NO_SOUND = Split(np.zeros((1, 1, 1), np.float32), np.zeros(1, np.int64))

REFUSALS = [
    # ---- the server
    *(
        Refusal("streams", "value", lambda bad=bad: Limits(streams=bad))
        for bad in (0, -1, float("inf"), float("nan"), True, "5", 2.5)
    ),
    Refusal("idle_seconds", "value", lambda: Limits(idle_seconds=0)),
    *(
        Refusal("host", "value", lambda host=host: check_exposure(host, None))
        for host in ("0.0.0.0", "::", "192.168.1.2", "example.org")
    ),
    Refusal("token", "value", lambda: check_exposure("127.0.0.1", "short")),
    Refusal("port", "resource", two_servers),
    Refusal("port", "resource", too_late),
    # ---- what clients send
    Refusal("", "data", lambda: read_text("[")),
    Refusal("type", "name", lambda: read_text('{"type": "begin"}')),
    Refusal("type", "value", lambda: read_start({"type": "finish"})),
    Refusal("formt", "name", lambda: read_start({"type": "start", "formt": "int16"})),
    Refusal("state", "value", lambda: read_start({"type": "start", "state": "!"})),
    Refusal("trace", "value", lambda: read_start({"type": "start", "trace": 1})),
    Refusal("units", "value", lambda: read_start({"type": "start", "units": ["g"]})),
    Refusal("samples", "data", lambda: read_samples(b"1234567", 2, "float32", 1.0)),
    Refusal("samples", "data", lambda: read_rows([1, 2], 2), r"2 numbers, .* shape \(2,\)"),
    Refusal("samples", "data", lambda: read_rows(5, 2), r"shape \(\)"),
    Refusal("samples", "data", lambda: read_rows([[[1, 2]]], 2), "rows of numbers"),
    Refusal("samples", "data", lambda: read_rows([[1], [2, 3]], 2), "same length"),
    Refusal("samples", "data", lambda: finite_json({"probability": [float("nan")]})),
    Refusal("unit", "name", lambda: check_keys({"unit": "g"}, ARRAY_KEYS), "Did you mean"),
    Refusal("rate", "value", lambda: ClientMetadata.of({"rate": "fast"})),
    Refusal("longest_gap", "value", lambda: ClientMetadata.of({"longest_gap": "inf"})),
    Refusal("rate", "conflict", lambda: ClientMetadata.of({"rate": 100}).check_stream(PATH)),
    Refusal("file", "value", lambda: read_dropped(b"", {"file": "r.hea"}, PATH)),
    Refusal("Content-Type", "value", lambda: read_body(b"", "text/plain", lasting("per_step"))),
    Refusal(
        "Content-Type", "unsupported", lambda: read_body(b"", "audio/wav", lasting("per_step"))
    ),
    # ---- sources
    Refusal("standard input", "file", lambda: piped(b"1234567", "int16"), "3 bytes into a sample"),
    Refusal("standard input", "file", lambda: piped(b"", "int16"), "no samples"),
    Refusal("rate", "conflict", lambda: piped(b"1,2\n", "csv", ReadingOverrides(rate=100))),
    Refusal("sounddevice", "package", without_sounddevice),
    Refusal("channels", "unsupported", lambda: open_microphone(2, 8000, 80)),
    Refusal("device", "resource", lambda: microphone(1)),
    Refusal("block", "resource", lambda: microphone(8000)),
    # ---- steps
    *(
        Refusal("x", "data", on_stream(lambda s, bad=bad: s.push(bad)))
        for bad in (
            np.zeros(4),
            np.zeros((2, 3, 5)),
            np.zeros((3, 4)),
            np.float64(1),
            None,
            "12345",
            np.zeros(5, complex),
            [[1, 2], [3]],
            Spikes.from_dense(torch.zeros(2, 4, 5)),
            Spikes.from_dense(torch.zeros(1, 4, 6)),
        )
    ),
    Refusal("x", "data", on_stream(lambda s: s.run(np.zeros(5)))),
    *(
        Refusal("channels", "data", on_stream(lambda s, bad=bad: s.push_events(bad)))
        for bad in ([5], [-1], [0.5], [[1, 2]], [True])
    ),
    Refusal("channels", "data", lambda: stream(2).push_events([[1]])),
    Refusal("active", "data", on_stream(lambda s: s.push(np.zeros(5), active=[True, False]))),
    Refusal("active", "data", lambda: stream(4).push(np.zeros((4, 5)), active=[1, 0, 1, 1])),
    Refusal("number", "name", on_stream(lambda s: s.get_state(1))),
    Refusal("number", "name", on_stream(lambda s: s.set_state(-1, s.state))),
    *(
        Refusal("state", "data", on_stream(lambda s, change=change: set_state(s, change(s))))
        for change in (
            lambda s: None,
            lambda s: s.state[:1],
            lambda s: s.state[::-1],
            lambda s: (0, 0),
            lambda s: stream(2).state,
        )
    ),
    *(  # one number would have become all of them
        Refusal("state", "data", on_stream(lambda s, cut=cut: s.set_flat_state(cut(s))))
        for cut in (
            lambda s: s.flat_state()[:1],
            lambda s: s.flat_state()[:-1],
            lambda s: np.zeros(()),
        )
    ),
    Refusal("streams", "value", lambda: stream(0)),
    Refusal("streams", "value", lambda: stream(2.0)),  # type: ignore[arg-type]
    Refusal("backend", "unsupported", not_compiled),
    # ---- sessions
    Refusal("segment", "value", lambda: decoder(TinyTask(), segment=0)),
    Refusal("segment", "value", lambda: decoder(TinyTask(), segment=True)),
    Refusal("segment", "value", lambda: Decoder.of(srnn.load("digits"), segment=-1), "one step"),
    Refusal("segment", "value", lambda: Decoder.of(srnn.load("digits"), segment="5")),  # type: ignore[arg-type]
    Refusal("policy", "value", lambda: decoder(TinyTask(), policy="exit-policy.json")),
    Refusal("policy", "conflict", lambda: decoder(TinyStepTask(), policy=ExitPolicy("ce_mean"))),
    Refusal("learn", "value", lambda: decoder(TinyTask(), learn="all")),
    Refusal("learn", "missing", lambda: decoder(TinyTask()).open().learn(0)),
    Refusal("1", "data", lambda: decoder(TinyTask()).open().push([[1, np.nan, 0]]), "Sample 0 is"),
    Refusal("state", "data", lambda: restored(lambda *_: b"x"), "not the state of a stream"),
    Refusal("state", "data", lambda: restored(lambda *_: b"srnn state 3".ljust(40)), "version"),
    Refusal("state", "data", lambda: restored(lambda *state: pack(*state)[:-1]), "damaged"),
    Refusal(
        "state",
        "data",
        lambda: restored(lambda arrays, info: pack(arrays, info, b"key")),
        "damaged",
    ),
    Refusal(
        "state",
        "data",
        lambda: restored(lambda arrays, info: pack(arrays, {**info, "samples": -1})),
        "does not fit",
    ),
    Refusal(
        "state",
        "conflict",
        lambda: decoder(TinyTask(), seed=1).restore(decoder(TinyTask()).open().save()),
    ),
    # ---- keyword spotting
    *(
        Refusal("threshold", "value", lambda bad=bad: SpottingRule(threshold=bad))
        for bad in (-0.1, 1.1, float("nan"), "high", None)
    ),
    *(
        Refusal("smooth", "value", lambda bad=bad: SpottingRule(smooth=bad))
        for bad in (0, 101, 1.5, True, "2")
    ),
    Refusal("", "unsupported", lambda: Spotter(lasting("per_step"))),
    Refusal("", "data", lambda: concatenated(NO_SOUND, 100)),
]


@refusals(REFUSALS)
def test_refusals(refusal: Refusal, tmp_path: Path) -> None:
    refusal.check(tmp_path)
