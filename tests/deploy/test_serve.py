"""srnn serve: streams equal the decoder, states are told and taken, recordings are offered."""

from __future__ import annotations

import itertools
import math
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("websockets", reason="the extra 'serve' is not installed")

from websockets.exceptions import ConnectionClosed

from srnn import Stream
from srnn.data.encoders.streaming import Chain, Memoryless
from srnn.data.encoders.streaming_cochlea import CochleaStream
from srnn.deploy.serve.messages import Start, read_rows, read_samples, read_start
from srnn.deploy.streaming import Decoder
from srnn.model.recipe import Recipe, TaskConfig
from srnn.model.trained import Trained
from support.serving import LEADS, PIXELS, Launched, Service, expected, serving, told


@pytest.mark.parametrize(
    ("form", "size"),
    [
        *itertools.product(("float32", "int16"), (7, 800)),
        ("json", 800),
        pytest.param("json", 7, marks=pytest.mark.slow),
        *(pytest.param(form, 1, marks=pytest.mark.slow) for form in ("float32", "int16", "json")),
    ],
)
def test_streams_equal_the_decoder(
    service: Service, models: dict[str, Decoder], size: int, form: str
) -> None:
    whole = samples = LEADS
    if form == "int16":
        whole = np.clip(np.round(LEADS * 200), -32768, 32767).astype("<i2")
        samples = (whole / 32768).astype(np.float32)
    format = "float32" if form == "json" else form
    client = service.stream("ecg", format=format, probabilities=True)
    ready = client.ready
    assert ready["type"] == "ready" and ready["classes"] == ["P", "PQ", "QR", "RS", "ST", "TP"]
    assert (ready["channels"], ready["rate"], ready["latency"]) == (2, 250, 0.012)
    for first in range(0, 800, size):
        block = whole[first : first + size]
        if form == "json":
            client.say(type="samples", samples=block.tolist())
        else:
            client.socket.send(block.tobytes())
    heard = client.finish()
    assert told(heard) == expected(models["ecg"], samples)
    assert told(heard, "steps") == list(range(800)) and told(heard, "final")[-1] is True
    assert np.allclose(np.sum(told(heard, "probabilities"), axis=1), 1, atol=1e-5)
    assert heard[-1] == {"type": "end", "samples": 800, "steps": 800}


def test_reports_and_reset(service: Service, models: dict[str, Decoder]) -> None:
    winners = expected(models["ecg"], LEADS)
    changes = [w for i, w in enumerate(winners) if i in (0, 799) or w != winners[i - 1]]
    for report, wanted in (("change", changes), ("end", winners[-1:])):
        client = service.stream("ecg", report=report)
        for first in range(0, 800, 130):
            client.push(LEADS[first : first + 130])
        assert told(client.finish()) == wanted
    client = service.stream("ecg")
    client.push(LEADS[:300])
    client.say(type="reset")
    client.pushed = 0
    assert client.state()["samples"] in (0, 300)
    while client.heard[-1]["samples"]:
        client.state()
    client.heard.clear()
    client.push(LEADS)
    assert told(client.finish()) == winners


def test_a_trace_shows_every_step(service: Service, models: dict[str, Decoder]) -> None:
    client, x = service.stream("ecg", trace=True), LEADS[:200]
    client.push(x)
    heard = client.finish()
    traces = [message for message in heard if message["type"] == "trace"]
    assert np.allclose(np.concatenate([one["input"] for one in traces]), x, atol=1e-5)
    spikes = [step for one in traces for step in one["spikes"]]
    # The last three come with the end.
    assert len(spikes) == 197 and told(heard) == expected(models["ecg"], x)
    stream = models["ecg"].stream
    session, seen = models["ecg"].open(), []

    def probe(_: object) -> None:
        seen.append(stream.state[0].s[0].nonzero()[:, 0].tolist())

    session.decide(session.encode(x), probe)
    assert [step[0] for step in spikes] == seen and any(seen)
    assert all(len(row) == 8 for one in traces for row in one["membranes"])


def test_a_trace_does_not_copy_the_state_at_every_step(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took some 20 ms for 64 steps, while all other streams waited."""
    client, copies, state = service.stream("ecg", trace=True), [], Stream.state
    counted = property(lambda stream: copies.append(1) or state.fget(stream))
    monkeypatch.setattr(Stream, "state", counted)
    # However slow this machine: turns of 64.
    monkeypatch.setattr("srnn.deploy.serve.turns.SECONDS", math.inf)
    client.push(LEADS[:200])
    assert sum(len(one["spikes"]) for one in client.finish() if one["type"] == "trace") == 197
    assert 0 < len(copies) <= 4  # one a turn


def test_two_models_and_many_streams_side_by_side(
    service: Service, models: dict[str, Decoder]
) -> None:
    # Decoders are not to be used from two threads: the test has its own.
    own = {name: _copy(decoder) for name, decoder in models.items()}
    lock = threading.Lock()

    def walk(number: int) -> bool:
        with lock:
            name, samples = ("digits", PIXELS) if number % 2 else ("ecg", LEADS[number * 10 :])
            wanted = expected(own[name], samples)
        client = service.stream(name)
        for first in range(0, len(samples), 37 + number):
            client.push(samples[first : first + 37 + number])
        return told(client.finish()) == wanted

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(walk, range(8)))


def test_an_encoder_that_takes_long_keeps_nobody_waiting(
    service: Service, models: dict[str, Decoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    make = models["ecg"].signal.stream
    release, begun = threading.Event(), threading.Event()

    class Slow(Chain):
        def push(self, block: Any) -> Any:
            begun.set()
            assert release.wait(20)
            return super().push(block)

    def make_slow(_: object) -> Slow:
        encoder = Slow(make())
        encoder.heavy = True
        return encoder

    quick = service.stream("ecg")
    with monkeypatch.context() as patch:
        patch.setattr(type(models["ecg"].signal), "stream", make_slow)
        slow = service.stream("ecg")
    slow.push(LEADS[:50])
    assert begun.wait(20)
    quick.push(LEADS[:50])
    assert told(quick.finish(), "steps") == list(range(50))  # while the other is still at work
    release.set()
    slow.push(LEADS[50:])
    assert told(slow.finish()) == expected(models["ecg"], LEADS)


def test_the_cochlea_says_that_it_takes_long() -> None:
    heavy = Memoryless(1)
    heavy.heavy = True
    assert CochleaStream.heavy and Chain(Memoryless(1), heavy).heavy
    assert not Chain(Memoryless(1)).heavy


def _copy(decoder: Decoder) -> Decoder:
    recipe = Recipe(TaskConfig(decoder.task.name), loss=decoder.loss)
    return Decoder(Trained(decoder.stream._net, decoder.task, recipe, seed=3), decoder.signal)


def test_states_are_told_and_taken(
    guarded: Service, service: Service, models: dict[str, Decoder]
) -> None:
    winners = expected(models["ecg"], LEADS)
    client = guarded.stream("ecg", state_every=200)
    for first in range(0, 500, 50):
        client.push(LEADS[first : first + 50])
    kept = client.state()
    states = [message["samples"] for message in client.heard if message["type"] == "state"]
    assert states == [200, 400, 500] and kept["steps"] == 497
    client.socket.close_socket()  # gone without a word
    state = kept["state"]
    again = guarded.stream("ecg", state=state)
    assert (again.ready["samples"], again.ready["steps"]) == (500, 497)
    again.push(LEADS[500:])
    assert told(again.finish()) == winners[497:]
    for where, name, given, kind in (
        (guarded, "digits", state, "conflict"),
        (guarded, "ecg", state[:-8], "data"),
        (guarded, "ecg", "!", "value"),
        (guarded, "ecg", 7, "value"),
        (guarded, "ecg", "", "data"),
        (service, "ecg", state, "data"),  # signed with the token
    ):
        refused = where.stream(name, state=given).ready
        assert refused["type"] == "error"
        assert (refused["kind"], refused["field"]) == (kind, "state"), refused


@pytest.mark.slow
def test_a_client_goes_on_after_the_server_was_killed(
    runs: Path, models: dict[str, Decoder]
) -> None:
    running = Launched(runs / "ecg")
    try:
        assert running.ready["token"] is None and running.ready["token_needed"]
        assert running.ready["models"] == ["ecg"]
        client = running.stream("ecg", state_every=100)
        client.push(LEADS[:350])
        client.state()
        running.kill()
        with pytest.raises((ConnectionClosed, OSError)):
            while True:
                client.hear()
        kept = [message for message in client.heard if message["type"] == "state"][-1]
        running = Launched(runs / "ecg", running.port)
        again = running.stream("ecg", state=kept["state"])
        again.push(LEADS[kept["samples"] :])
        winners = expected(models["ecg"], LEADS)
        assert told(client.heard)[: kept["steps"]] + told(again.finish()) == winners
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) in (0, -signal.SIGTERM)
    finally:
        running.kill()


def test_recordings_are_kept_for_the_models_that_they_fit(
    runs: Path, models: dict[str, Decoder], tmp_path: Path
) -> None:
    from srnn.cli.serve import load_recording

    np.save(tmp_path / "x.npy", LEADS)
    recording = load_recording(tmp_path / "x.npy", models)
    assert recording.models == ("ecg",) and np.array_equal(recording.samples, LEADS)
    known = {"number": 0, "name": "x.npy", "models": ["ecg"], "kept": False, "channels": None}
    with serving(models, recordings=[recording]) as running:
        assert running.ask("/v1/recordings") == (200, {"recordings": [known]})
        assert running.ask("/v1/recordings/0") == (200, LEADS.tobytes())


def test_samples_are_rows_of_a_models_channels_in_its_unit() -> None:
    x, unit = np.array([[3, -1], [2**14, 0]], "<i2"), 2.0**14
    assert np.array_equal(read_samples(x.tobytes(), 2, "int16", unit), x / unit)
    rows = read_samples(x.astype("<f4").tobytes(), 4, "float32", unit)
    assert rows.tolist() == [[3, -1, 2**14, 0]]
    for rows, channels, wanted in (
        ([], 3, (0, 3)),
        ([1, 2.5], 1, (2, 1)),
        ([[1], [2]], 1, (2, 1)),
        ([[1, 2]], 2, (1, 2)),
        ([[2**63]], 1, (1, 1)),
    ):
        found = read_rows(rows, channels)
        assert found.shape == wanted and found.dtype == np.float32
    # Which is refused as not finite, and without a warning.
    assert read_rows([[1e39]], 1).tolist() == [[np.inf]]
    # As the page sends it, before it has a state.
    assert read_start({"type": "start", "state": None, "state_every": None}) == Start()


def test_streams_of_the_command_refuse_what_is_missing(runs: Path) -> None:
    """A file's gaps are filled; in a live stream nothing waits for the end of a gap."""
    from srnn.cli.serve import load_models

    decoders, _, _ = load_models([str(runs / "digits")])
    with serving(decoders) as running:
        client = running.stream("digits")
        client.push(np.array([[0.5], [np.nan], [0.5]]))
        assert client.hear()["kind"] == "data"
