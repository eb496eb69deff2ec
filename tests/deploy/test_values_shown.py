"""Values and alarms are served and put on a page: the service tells what ``predict`` tells, and the
page's compiled C what the integer model says; a number comes with its unit and its usual error, a
score with its threshold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("websockets", reason="the extra 'serve' is not installed")

import srnn
from srnn.deploy.live import describe
from srnn.deploy.streaming import Decoder
from support.browser import Browser
from support.serving import Service, serving, told

STEPS = 30
DROP = """(text => { stop(); const files = new DataTransfer(); files.items.add(new File([text], "a.csv"));
    dispatchEvent(Object.assign(new DragEvent("drop", { dataTransfer: files, cancelable: true }))); })"""


def waves(count: int, frequency: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6, (count, 1))
    x = np.sin(2 * np.pi * frequency * np.arange(STEPS) + phase)
    return (7 + 3 * x + 0.05 * rng.standard_normal(x.shape))[..., None].astype(np.float32)


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    """A value of each step, two of a sequence, and an alarm."""
    x, options = waves(24, 0.05, 0), {"hidden": 6, "epochs": 2, "test": 0, "rate": 100.0}
    sums = np.stack([x[:, :, 0].mean(1), x[:, :, 0].max(1) * 1000], 1)
    return {
        "steps": srnn.fit(x, x[:, :, 0] * 3.6, unit="km/h", **options),
        "two": srnn.fit(x, sums[:, None].repeat(STEPS, 1), classes=["low", "top"], **options),
        "whole": srnn.fit(x, x[:, :, 0].mean(1), unit="g", **options),
        "alarm": srnn.fit_anomalies(x, false_alarms=0.3, validation=0.4, **options),
    }


@pytest.fixture(scope="module")
def service(models: dict[str, Any]) -> Iterator[Service]:
    with serving({name: Decoder.of(model) for name, model in models.items()}) as running:
        yield running


def test_what_is_said_of_values_and_alarms(models: dict[str, Any]) -> None:
    about = {name: describe(name, Decoder.of(model)) for name, model in models.items()}
    assert [one["classes"] for one in about.values()] == [[]] * 4
    (speed,), (alone,) = about["steps"]["values"], about["alarm"]["values"]
    rmse = models["steps"].about["result"]["rmse"]
    assert speed == {"name": "value", "unit": "km/h", "error": rmse}
    each, two = models["two"].about["result"]["values"], about["two"]["values"]
    assert [(one["name"], one["error"]) for one in two] == [
        (name, each[name]["rmse"]) for name in ("low", "top")
    ]
    assert alone == {"name": "score", "unit": None, "error": None}
    assert about["alarm"]["alarm"] == {"threshold": 1.0, "smooth": STEPS}
    assert "alarm" not in about["steps"]
    for odd in ({}, [], {"values": 3}, {"rmse": "much"}):  # a file may tell anything
        model = models["steps"].but(about={"result": odd})
        assert describe("odd", Decoder.of(model))["values"][0]["error"] is None


@pytest.mark.parametrize("name", ["steps", "two", "whole", "alarm"])
def test_a_stream_and_a_batch_answer_as_predict_does(
    name: str, service: Service, models: dict[str, Any]
) -> None:
    x, model = waves(1, 0.11, 4)[0], models[name]
    whole = model.predict(x)
    client = service.stream(name, finite=True)
    client.push(x[:11])
    client.push(x[11:])
    heard = client.finish()
    assert heard[-1]["type"] == "end"
    values, final = told(heard, "values"), told(heard, "final")
    np.testing.assert_array_equal(values[:STEPS], whole.scores)
    assert final[-1] == (model.task.kind == "per_sequence")
    body = json.dumps({"inputs": [x.tolist()]}).encode()
    address = f"/v1/models/{name}/classify"
    status, found = service.ask(address, body, Content_Type="application/json")
    (answer,) = found["results"]
    assert status == 200 and [*answer["values"].values()] == whole.scores[-1].tolist()
    assert ("over_time" in answer) == (model.task.kind == "per_step")
    if name == "alarm":
        assert told(heard, "alarm") == (whole.scores[:, 0] > 1).tolist()
        assert (answer["alarm"], answer["threshold"]) == (whole.alarm, 1)
    else:
        assert [*answer["units"].values()] == [*model.task.targets.units]


def test_changes_are_those_of_an_alarm(service: Service, models: dict[str, Any]) -> None:
    x = np.concatenate([waves(1, 0.05, 5)[0], waves(4, 0.11, 5).reshape(-1, 1)])
    client = service.stream("alarm", finite=True, report="change")
    client.push(x)
    alarms = told(client.finish(), "alarm")
    raised = models["alarm"].predict(x).scores[:, 0] > 1
    assert alarms[0] is False and len(alarms) == 1 + np.count_nonzero(np.diff(raised)) > 1
    refused = service.stream("steps", report="change")
    assert "the answer is a value" in refused.ready["message"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_live_page_shows_numbers_and_alarms(service: Service, browser: Browser) -> None:
    browser.open(service.url)
    browser.wait("typeof model === 'object' && model && model.values")
    x = np.concatenate([waves(1, 0.05, 5)[0], waves(8, 0.11, 5).reshape(-1, 1)])
    table = json.dumps("\n".join(f"{value:.6g}" for value in x[:, 0]))
    for name, title, words in (
        ("steps", "Values", r"^[-\d.]+ ± [\d.]+ km\/h$"),
        ("two", "Values", r"^low [-\d.e+]+ ± [\d.]+, top [-\d.e+]+ ± [\d.]+$"),
        ("alarm", "Score", r"^ALARM, score [\d.]+$"),
    ):
        browser.value(f"($('model').value = '{name}', $('model').onchange())")
        browser.value(f"{DROP}({table})")
        browser.wait(f"$('status').textContent.startsWith('the signal ended: {len(x)} steps')")
        label = browser.value("$('label').textContent")
        assert browser.value(f"/{words}/.test($('label').textContent)"), label
        assert browser.value("$('answers-title').textContent") == title
        assert browser.value("$('label').className") == ("bad" if name == "alarm" else "")
        ink = "[...$('answers').getContext('2d').getImageData(0, 0, 9999, 999).data].some(x => x)"
        browser.wait(ink)
    assert browser.errors == []
