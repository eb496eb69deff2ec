"""The live page of an ECG in a real browser: leads by name on paper in mV, and a lead that is off
is no class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("websockets", reason="the extra 'serve' is not installed")

import srnn
from srnn.deploy.serve.app import Playable
from srnn.deploy.streaming import Decoder
from support.browser import Browser, find_browser
from support.serving import serving
from support.signals import heartbeats

pytestmark = pytest.mark.slow
BROWSER = find_browser()
READY = (
    "typeof model === 'object' && model && document.querySelector('#source')?.options.length > 1"
)
LABEL = "document.querySelector('#label').textContent"
NOTE = "document.querySelector('#input-note').textContent"


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_leads_are_drawn_on_paper_and_a_flat_one_is_no_class(tmp_path: Path) -> None:
    assert BROWSER is not None
    x = heartbeats(8, 250).astype(np.float32)
    x[750:, 1] = 0.0
    played = [Playable("heart", x, ("heart",), channels=("MLII", "V5 <b>"))]
    models = {
        "heart": Decoder.of(srnn.load("ecg-records")),
        "digits": Decoder.of(srnn.load("digits")),
    }
    with serving(models, recordings=played) as service, Browser(BROWSER, tmp_path) as browser:
        browser.size(1000, 1100)
        browser.open(service.url)
        browser.wait(READY)
        assert "Not a medical device." in browser.value("document.body.innerText")
        browser.key(" ")
        browser.wait("view.sample > 500")
        assert browser.value(LABEL) in ("P", "PQ", "QR", "RS", "ST", "TP")
        assert browser.value("view.names") == ["MLII", "V5 <b>"]
        assert browser.value(NOTE).startswith("mV; 25 mm/s, 10 mm/mV")
        # As wide as 100 mm, so a mV is as high as 10 of them.
        shape = browser.value(
            "[HEIGHTS.input / view.tall.reduce((a, b) => a + b), $('input').clientWidth / 10]"
        )
        assert shape[0] == pytest.approx(shape[1], abs=0.5)
        browser.wait(f"{LABEL} === 'flat'")
        # The label is set at once, the bars with the next frame.
        browser.wait(
            "[...document.querySelectorAll('#bars b')].every(b => b.textContent === '0 %')"
        )
        browser.size(390, 844, mobile=True)
        browser.wait(
            "document.documentElement.scrollWidth <= innerWidth && "
            "document.querySelector('#input').width <= 390"
        )
        browser.value(
            "(() => { const m = document.querySelector('#model'); m.value = 'digits'; "
            "m.onchange(); })()"
        )
        assert "Not a medical device." not in browser.value("document.body.innerText")
        assert browser.errors == []
