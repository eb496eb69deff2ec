"""States that were made by hand are refused where a session takes them, whoever signs them; and
what overflows is said."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("websockets", reason="the extra 'serve' is not installed")

import base64

from srnn import SRNN, SrnnError
from srnn.deploy.streaming import Decoder
from srnn.deploy.streaming.saved import pack, unpack
from srnn.model.exit_policy import ExitPolicy
from srnn.model.recipe import Recipe, TaskConfig
from srnn.model.trained import Trained
from srnn.nn.loss_config import LossConfig
from srnn.nn.neurons import NEURONS
from support.refusing import refuses
from support.serving import LEADS, Service, serving, told
from support.tiny import TinyTask

pytestmark = pytest.mark.robust

NUMBERS = {
    "samples": (-1, 2**62, 1.0, True, "1", None), "steps": (-1, 2, 2**62, 5.0), "position": (-1, 6, 2**62, None),
    "sure": (-1, 1, True), "guess": (-2, 3, 2**62, 0.5), "ended": (1, 0, None, "no", True),
}  # fmt: skip


def small(neuron: str = "alif", readout: str = "integrator", **options: Any) -> Decoder:
    task = TinyTask()
    backend = options.pop("backend", "reference")
    net = SRNN(
        task.inputs, [6], task.outputs, neuron, readout, backend=backend, delays=options.pop("delays", None), norm="none"
    )  # fmt: skip
    loss = LossConfig(name="ce_spike_count" if readout == "spike_count" else "ce_mean", start=0)
    return Decoder(
        Trained(net, task, Recipe(TaskConfig(task.name), loss=loss)), task.live("steps"), **options
    )


@pytest.mark.parametrize("name", NUMBERS)
def test_counts_that_cannot_be(name: str) -> None:
    shared = small()
    session = shared.open()
    session.push(np.ones((5, 3)))
    arrays, info = unpack(session.save())
    shared.restore(pack(arrays, info))
    for value in NUMBERS[name]:
        with refuses("state", "data"):
            shared.restore(pack(arrays, {**info, name: value}))
    with refuses("state", "data"):
        shared.restore(pack({**arrays, "scores.steps": np.array(6)}, info))


def test_counts_of_segments_and_exits() -> None:
    shared = small(segment=4, policy=ExitPolicy("ce_mean", 0, 0.99))
    session = shared.open()
    session.push(np.ones((6, 3)))
    arrays, info = unpack(session.save())
    assert info["position"] == 2
    shared.restore(pack(arrays, {**info, "sure": 2, "ended": True}))
    for forged in ({"position": 4}, {"sure": 3}):
        with refuses("state", "data"):
            shared.restore(pack(arrays, {**info, **forged}))


@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_numbers_that_are_not_finite_are_refused_everywhere(backend: str) -> None:
    """NaN in the network's state was taken where there is no token."""
    shared = small(backend=backend)
    session = shared.open()
    session.push(np.ones((5, 3)))
    arrays, info = unpack(session.save())
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            continue
        for place in range(array.size):
            for value in (np.nan, np.inf, -np.inf):
                forged = array.copy()
                forged.reshape(-1)[place] = value
                with pytest.raises(SrnnError, match=r"network cannot be in this state|not fit"):
                    shared.restore(pack({**arrays, name: forged}, info))


@pytest.mark.parametrize("backend", ["reference", "auto"])
@pytest.mark.parametrize("delays", [None, {"recurrent": 2}])
@pytest.mark.parametrize(
    ("neuron", "readout"), [*((name, "integrator") for name in NEURONS), ("alif", "spike_count")]
)
def test_emissions_that_cannot_be_are_refused_and_real_ones_are_not(
    neuron: str, readout: str, delays: dict | None, backend: str
) -> None:
    try:
        shared = small(neuron, readout, backend=backend, delays=delays)
    except SrnnError as error:  # not a hidden neuron
        pytest.skip(str(error))
    session, stream = shared.open(), shared.stream
    rng = np.random.default_rng(0)
    for _ in range(5):
        shared.restore(session.save())
        session.push(5 * rng.standard_normal((7, 3)))
    arrays, info = unpack(session.save())
    hidden = stream._net.layers[0].neuron.emission.binary
    for layer, spikes in ((0, hidden), (1, readout == "spike_count")):
        stream.set_flat_state(arrays["network"])
        state = stream.state
        part = state[layer] if layer or delays is None else (state[0].arriving[0],)
        part[-1][0, 0] = -0.5
        stream.state = state
        forged = pack({**arrays, "network": stream.flat_state()}, info)
        if spikes:
            with refuses("state", "data"):
                shared.restore(forged)
        else:
            shared.restore(forged)


def test_a_forged_state_ends_its_stream_only(service: Service, models: dict[str, Decoder]) -> None:
    session = models["ecg"].open()
    session.push(LEADS[:100])
    arrays, info = unpack(session.save())
    arrays["network"] = np.full_like(arrays["network"], np.nan)
    refused = service.stream("ecg", state=base64.b64encode(pack(arrays, info)).decode())
    assert refused.ready["type"] == "error" and "message" in refused.ready
    assert (refused.ready["kind"], refused.ready["field"]) == ("data", "state")


def test_what_overflows_is_said_to_its_client(service: Service) -> None:
    """It was told as NaN, which is not JSON, and warned of in the server's log."""
    huge = np.full((40, 1), 3e38, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client = service.stream("digits")
        client.push(huge)
        heard = client.finish()
        status, found = service.ask(
            "/v1/models/digits/classify",
            json.dumps({"inputs": [huge.tolist()]}).encode(),
            Content_Type="application/json",
        )
    fields = [message["field"] for message in heard if message["type"] == "error"]
    assert heard[-1]["type"] in ("end", "error") and fields in ([], ["samples"])
    assert status in (200, 422) and (status == 200 or found["field"] == "samples")


def test_a_signal_that_ends_is_one_sequence() -> None:
    """A file on the live page ended with the class of the few steps that came after those of
    training's sequences."""
    steps = np.random.default_rng(0).standard_normal((17, 3)).astype(np.float32) * 9
    for asked, finite, ends in ((None, True, [16]), (None, False, [7, 15]), (5, True, [4, 9, 14])):
        with serving({"tiny": small(usual=8, segment=asked)}) as service:
            client = service.stream("tiny", finite=finite)
            client.push(steps)
            heard = client.finish()
        last = {
            step
            for step, final in zip(told(heard, "steps"), told(heard, "final"), strict=True)
            if final
        }
        assert sorted(last) == ends


def test_a_trace_has_every_step_also_of_a_network_that_rests() -> None:
    """Those after an early exit were left out, so that the next segment's had their numbers."""
    steps = np.random.default_rng(0).standard_normal((30, 3)).astype(np.float32) * 9
    shared = small(
        segment=8, policy=ExitPolicy("ce_mean", 0, confidence=0.0, patience=3), backend="auto"
    )
    with serving({"tiny": shared}) as service:
        client = service.stream("tiny", trace=True)
        for first in (0, 5, 14, 20):
            client.push(steps[first : {0: 5, 5: 14, 14: 20, 20: 30}[first]])
        heard = client.finish()
    decided = set(told(heard, "steps"))
    traces = [message for message in heard if message["type"] == "trace"]
    assert [(one["step"], len(one["spikes"]), len(one["membranes"])) for one in traces] == [
        (0, 5, 5), (5, 9, 9), (14, 6, 6), (20, 10, 10)
    ]  # fmt: skip
    fired = {
        one["step"] + row for one in traces for row, layers in enumerate(one["spikes"]) if layers[0]
    }
    assert 0 < len(decided) < 30 and fired and fired <= decided
