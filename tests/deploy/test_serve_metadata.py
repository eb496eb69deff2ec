"""srnn serve: what a client says of its samples is matched to the network like a file's own words;
contradictions are refused."""

from __future__ import annotations

import io
import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("websockets", reason="the extra 'serve' is not installed")

import srnn
from srnn.data.encoders.speech import Statistics
from srnn.data.recordings import Recording
from srnn.data.signals import ScaledPath
from srnn.data.signals.drift import seen_in
from srnn.deploy.streaming import Decoder
from support.serving import Service, serving, told

G = 9.80665
X = np.random.default_rng(0).normal([0, G], 2.0, (300, 2)).astype(np.float32)
UNSTATED = "it does not state its names, units and rate: taken as ax, ay, in m/s2, 50 Hz"


SENSOR = ("m/s2", "m/s2")


IN_G = X / np.float32(G)


KINDS = pytest.mark.parametrize("kind", ["application/json", "application/x-npy"])


@pytest.fixture(scope="module")
def model() -> srnn.Model:
    """Of two channels, of which the second has gravity."""
    std = np.full(2, 2, np.float32)
    like = [np.random.default_rng(number).normal([0, G], 2.0, (300, 2)) for number in range(1, 20)]
    statistics = Statistics(np.array([0, G], np.float32), std, seen_in(like, std, SENSOR))
    path = ScaledPath(2, 50, statistics, names=("ax", "ay"), units=SENSOR)
    network = srnn.SRNN.paper(2, [8], 2, generator=torch.Generator().manual_seed(0))
    return srnn.from_network(network, ("still", "moving"), signal=path)


@pytest.fixture(scope="module")
def service(model: srnn.Model) -> Iterator[Service]:
    with serving({"sensor": Decoder.of(model, missing="refuse")}) as running:
        yield running


def ask(service: Service, x: Any, kind: str, **said: object) -> tuple[int, Any]:
    query = urllib.parse.urlencode(said)
    body = json.dumps({"inputs": [np.asarray(x).tolist()]}).encode()
    if kind == "application/x-npy":
        np.save(file := io.BytesIO(), np.asarray(x)[None])
        body = file.getvalue()
    return service.ask(f"/v1/models/sensor/classify?{query}", body, Content_Type=kind)


@KINDS
def test_bodies_are_matched_by_name_unit_and_rate(
    service: Service, model: srnn.Model, kind: str
) -> None:
    for given, said, known in (
        (X, {}, {}),
        (X[:, ::-1], {"names": "AY, ax", "units": "m/s2,m/s2"}, {}),
        (IN_G, {"names": "ax,ay", "units": "g, g"}, {}),
        (X[:, [1, 1, 0]], {"names": "u,v,w", "channels": "w,1"}, {}),
        (X, {"rate": 100}, {"rate": 100}),
        (X, {"rate": "100", "names": "ax,ay", "units": ",m/s²"}, {"rate": 100}),
    ):
        status, found = ask(service, given, kind, **said)
        wanted: Any = model.predict(X, **known)  # type: ignore[arg-type]
        assert status == 200, found
        (result,) = found["results"]
        assert (result["label"], result["steps"]) == (wanted.label, len(wanted.scores))
        np.testing.assert_allclose(result["probabilities"], wanted.probabilities[-1], atol=1e-4)
        assert result["sure"]
    (note,) = ask(service, X, kind)[1]["notes"]
    assert note.startswith(UNSTATED)
    assert ask(service, X, kind, names="ax,ay", units="m/s2,m/s2", rate=50)[1]["notes"] == []


@KINDS
@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("names=u,v", "Sequence 0 has no ax, ay: its channels are u, v, and this network"),
        ("names=ax,ay&units=mV,g", "Sequence 0: channel ax is in mV, and this network reads it"),
        ("names=ax,ay&units=g", "Sequence 0 has 2 channels and 1 units"),
        ("names=ax,ay,az", "2"),
        ("channels=az,ax", "Sequence 0 does not name its 2 channels, so there is no 'az'"),
        ("channels=3,1", "Sequence 0 has no channel 3: it has 2 channels"),
        ("channels=0", "channels takes names of channels, or numbers counted from 1"),
        ("rate=fast", "The rate must be a number of samples per second, not 'fast'."),
        ("rate=nan", "'rate' must be"),
        ("rate=-1", "'rate' must be"),
        ("longest_gap=inf", "The longest_gap must be a number of samples, not 'inf'."),
        ("longest_gap=0", "longest_gap"),
        ("missing=ignore", "'missing' must be one of"),
        ("unit=g", "The address has an unknown key 'unit'. Did you mean 'units'?"),
    ],
)
def test_contradictions_are_one_line(service: Service, kind: str, said: str, why: str) -> None:
    status, found = ask(service, X, kind, **dict(urllib.parse.parse_qsl(said)))
    assert status == 422 and why in found["detail"] and "\n" not in found["detail"], found


@KINDS
def test_gaps_of_bodies_are_those_of_files(service: Service, model: srnn.Model, kind: str) -> None:
    x = X.copy()
    x[10:13, 0] = np.nan
    for said in ({}, {"missing": "hold"}):
        status, found = ask(service, x, kind, **said)
        with pytest.warns(RuntimeWarning, match="3 missing values filled in"):
            wanted: Any = model.predict(x, **said)  # type: ignore[arg-type]
        assert status == 200
        probabilities = found["results"][0]["probabilities"]
        np.testing.assert_allclose(probabilities, wanted.probabilities[-1], atol=1e-4)
        assert found["notes"] == list(wanted.notes)
        assert "3 missing values filled in" in found["notes"][0]
    for said in ({"missing": "refuse"}, {"longest_gap": 2}):
        status, found = ask(service, x, kind, **said)
        assert status == 422 and found["detail"].startswith("Sequence 0: "), found


def test_the_samples_of_a_stream_are_matched_too(service: Service, model: srnn.Model) -> None:
    wanted, other = told(finished(service, X)), X[:, [1, 1, 0]]
    assert told(finished(service, IN_G, names="ax,ay", units="g,g", rate=50)) == wanted
    assert told(finished(service, X[:, ::-1], names="ay,ax")) == wanted
    assert told(finished(service, other, names="u,v,w", channels="w,u")) == wanted
    for said, why in (
        ({"names": "u,v"}, "The signal has no ax, ay: its channels are u, v"),
        ({"units": "mV,g"}, "channel 1 is in mV, and this network reads it in m/s2"),
        ({"rate": 100}, "A stream is not resampled: the network reads 50 Hz, not 100 Hz."),
        ({"missing": "hold"}, "'start' has no key 'missing'."),
    ):
        client = service.stream("sensor", **said)
        assert client.ready["type"] == "error" and why in client.ready["message"], client.ready


def finished(service: Service, x: np.ndarray, **start: Any) -> list[dict[str, Any]]:
    client = service.stream("sensor", finite=True, **start)
    for at in range(0, len(x), 70):
        client.push(x[at : at + 70])
    return client.finish()


@pytest.mark.parametrize("seconds", [2, 6])
def test_a_stream_says_once_that_it_is_unlike_training(
    service: Service, model: srnn.Model, seconds: int
) -> None:
    x, in_g = X[: 50 * seconds], IN_G[: 50 * seconds]
    path = model.task.signal()
    assert path.drift(x) == "" and "as in g instead of m/s2" in path.drift(in_g)
    for given, asked, count in ((x, True, 0), (in_g, True, 1), (in_g, False, 0)):
        messages = finished(service, given, drift=asked)
        doubts = [message["drift"] for message in messages if message["type"] == "drift"]
        assert len(doubts) == count and messages[-1]["type"] == "end"
        assert all("as in g instead of m/s2" in doubt for doubt in doubts)
    client = service.stream("sensor", drift=True)
    client.push(in_g)
    client.say(type="reset")
    client.push(x)
    kinds = [message["type"] for message in client.finish()]
    assert kinds.count("drift") == (seconds == 6), "what comes after a reset is judged by itself"


def test_a_file_that_the_page_reads_says_so_at_once(service: Service) -> None:
    rows = "ay (m/s2),ax (m/s2)\n" + "\n".join(f"{ay / G:.6f},{ax / G:.6f}" for ax, ay in X)
    path = "/v1/models/sensor/recording?file=a.csv"
    request = f"{service.url}{path}&rate=50&missing=hold&longest_gap=3"
    with urllib.request.urlopen(urllib.request.Request(request, rows.encode())) as reply:
        assert "as in g instead of m/s2" in json.loads(reply.headers["Srnn-Drift"])
        assert json.loads(reply.headers["Srnn-Notes"]) == []
        assert len(reply.read()) == X.size * 4
    for key in ("units", "names"):  # a file states these itself
        status, found = service.ask(f"{path}&{key}=g,g", rows.encode())
        assert status == 422 and f"unknown key '{key}'" in found["detail"]


def test_a_recording_says_what_it_is() -> None:
    notes = ("2 missing values filled in",)
    recording = Recording(X, 50, ("ax", "ay"), ("g", None), notes=notes, name="a.csv")
    said = "Recording('a.csv': 300 samples at 50 Hz, 2 channels (ax (g), ay), 2 missing values"
    assert repr(recording).startswith(said)
    assert repr(Recording(X[:1, :1])) == "Recording('The signal': 1 sample, 1 channel)"
