"""The live page: a signal, what the network decides, its spikes and membranes, as they happen.

One page, ``page.html`` with ``live.js``, and two engines that run the network: ``socket.js`` sends
samples to the service (``srnn serve``); ``device.js`` runs the network's C, compiled to
WebAssembly, in the page itself (``srnn export web``), which then needs no server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from importlib.resources import files
from typing import Any, Literal

from ...data.leads import has_waves
from ...errors import is_number
from ...nn.alarm import THRESHOLD
from ...text import json_in_html
from ..streaming import Decoder

_SCRIPTS = {"socket": ("live.js", "socket.js"), "device": ("live.js", "files.js", "device.js")}

_ALONE = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; worker-src blob:; style-src "
    "'unsafe-inline'\">"
)
"""The browser refuses whatever the page without a server would fetch or send."""


def page(engine: Literal["socket", "device"], data: Mapping[str, Any] | None = None) -> str:
    """The page as HTML, which fetches nothing from elsewhere.

    Args:
        engine: what runs the network: "socket", the service; "device", the page itself.
        data: what the engine "device" runs, see ``srnn.deploy.export.web``.
    """
    folder = files("srnn.deploy.live")
    scripts = "\n".join(folder.joinpath(name).read_text("utf-8") for name in _SCRIPTS[engine])
    html = folder.joinpath("page.html").read_text("utf-8")
    html = html.replace("POLICY", f"\n{_ALONE}" if engine == "device" else "")
    html = html.replace("SCRIPTS\n", f"{scripts}\nbegin();\n")
    # The data last, so that no placeholder in them is replaced.
    return html.replace("PAGE_DATA", json_in_html(data or {}), 1)


def read_page(html: str) -> dict[str, Any]:
    """The ``data`` of a page that ``page`` made."""
    return json.loads(html.split('type="application/json">')[1].split("</script>")[0])


def describe(name: str, decoder: Decoder) -> dict[str, Any]:
    """The description of a model for clients and pages, as JSON values.

    Args:
        name: the model's.
        decoder: its decoder.
    """
    signal, values = decoder.signal, decoder.targets is not None
    described: dict[str, Any] = {
        "model": name,
        "task": decoder.task.name,
        "kind": decoder.task.kind,
        "input": signal.what,
        "form": signal.form,
        "channels": signal.channels,
        "names": signal.names,
        "units": signal.units,
        "rate": signal.rate,
        "step_seconds": decoder.step_seconds,
        "latency": signal.latency,
        "label_lag": decoder.lag,
        "classes": [] if values else list(decoder.classes),
        "heart": has_waves(decoder.task) and signal.form == "signal",
        "segment_steps": decoder.segment,
        "hidden": decoder.hidden,
    }
    if values:
        described["values"] = _values(decoder)
    if decoder.alarm is not None:
        described["alarm"] = {"threshold": THRESHOLD, "smooth": decoder.alarm.smooth}
    return described


def _values(decoder: Decoder) -> list[dict[str, Any]]:
    """Name and unit of each value, and its root mean squared error on the validation split, None
    where it is not known; of a network with an alarm, its score."""
    assert decoder.targets is not None
    described = []
    for name, unit in zip(decoder.classes, decoder.targets.units, strict=True):
        described.append({"name": name, "unit": unit, "error": None})
        # What a file tells of its result is anything.
        with suppress(AttributeError, KeyError, TypeError):
            result: Any = decoder.trained.about["result"]
            error = result.get("values", dict.fromkeys(decoder.classes, result))[name]["rmse"]
            if is_number(error) and decoder.alarm is None:
                described[-1]["error"] = error
    return described
