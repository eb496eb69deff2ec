"""Where an exported network's files lie, and what stands beside them, so that a tool for devices
takes the folder as a library.

The C is the same in all. The example runs the network on a made-up sensor and prints the class of
each sequence.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from ..._version import __version__
from ...errors import SrnnError, option
from ...nn.fixedpoint.integer import IntegerNetwork
from .encoder import CrossingPlan
from .plan import Plan
from .resolve import resolved, runtime_files
from .source import configuration

Layout = Literal["plain", "arduino", "platformio", "zephyr", "espidf"]
ForPage = Literal["web"]
"""What ``srnn export web`` compiles: not a folder for people."""
LAYOUTS: dict[Layout, str] = {
    "plain": "make -C {out} && {out}/{name}{encode} < input.csv",
    "arduino": "copy {out} to libraries/{name} in your sketchbook; then File > Examples > {name}",
    "platformio": "pio run -d {out}/examples/{name} -t exec",
    "zephyr": "west build -b BOARD {out}/samples/{name}",
    "espidf": "idf.py -C {out}/examples/{name} build",
}
"""How each layout is tried; ``encode``: the option with which a program takes a signal."""
_METHOD = "https://doi.org/10.1038/s42256-021-00397-w"
"""The paper that describes the networks: an Arduino library must have an address."""


def arranged(
    layout: Layout | ForPage, plan: Plan, about: str, files: dict[str, str]
) -> dict[str, str]:
    """The files of a library in a layout, by their paths.

    Args:
        layout: "plain", the tool that takes the library, or "web", a page.
        plan: the plan of the network.
        about: one line that says what network this is, in printable ASCII.
        files: of the layout "plain".

    Raises:
        SrnnError: the layout's examples cannot show this network's answer.
    """
    if layout == "plain":
        return files
    if plan.decision is not None and plan.decision.how.value and layout != "web":
        raise SrnnError(
            "The examples of a layout print a class, which a network with values lacks; "
            "use layout plain.",
            "conflict",
            "layout",
        )
    if layout == "web" and plan.decision is None:
        raise SrnnError(
            "A page shows classes, and this network's decision is not known.", "missing", "decision"
        )
    name, described = plan.name, _properties(layout, plan, about)
    library = {f"src/{name}{end}": files[f"{name}{end}"] for end in (".h", ".c", "_weights.h")}
    own = {
        path.replace("model", name): resolved(f"layouts/{layout}/{path}", name, described)
        for path in runtime_files(f"layouts/{layout}")
    }
    return library | {f"{name}.json": files[f"{name}.json"]} | own


def _properties(layout: Layout | ForPage, plan: Plan, about: str) -> dict[str, Any]:
    """What the files in ``runtime/layouts`` are told."""
    encoder, symbol = plan.encoder, f"SRNN_{plan.name.upper()}"
    flags = [] if plan.integer else ["-ffp-contract=off"]
    if plan.uses_math:
        flags.append("-lm")
    endless = plan.decision is not None and plan.decision.rule.per_step
    described = configuration(plan)
    described |= {other.upper(): other == layout for other in LAYOUTS}
    return described | {
        "ABOUT": about,
        "ABOUT_QUOTED": json.dumps(about),
        "SRNN_VERSION": __version__,
        "METHOD_URL": _METHOD,
        "BUILD_FLAGS": json.dumps(flags),
        "SYMBOL": symbol,
        "CONFIG_SYMBOL": f"CONFIG_{symbol}",
        # Whether every step has a class, so that no sequence begins or ends.
        "ENDLESS": endless,
        # No sample of a signal that does not end may be missed.
        "PAUSE_MS": 1 if endless else 1000,
        "ANSWER_FORMAT": r'"%s\n"' if plan.decision else r'"%d\n"',
        # What the sensor's value 1 is as a sample.
        "ONE": int((plan.samples.multiplied or [1])[0]) or 1,
        "MADE_UP": ", ".join(["500"] * (encoder.channels if encoder else 0)),
        "ENDS": encoder is not None and encoder.ends,
        "WEB_FACTS": json.dumps(_for_page(plan)) if layout == "web" else "",
    }


def _for_page(plan: Plan) -> dict[str, Any]:
    """What JavaScript must know to write samples and to read states."""
    network, signal = plan.network, plan.signal
    fields: Any = plan.state_dtype().fields
    layers = []
    for layer in plan.layers[:-1]:
        # Where the layer's variables begin in a state, in bytes.
        inner, begin = fields[layer.name][:2]
        places = {name: begin + place[1] for name, place in inner.fields.items()}
        layers.append(
            {"size": layer.layer.size, "spikes": places.get("s"), "membrane": places.get("u")}
        )
    # The thresholds of each channel, as samples, where the encoder is given them. Refused where
    # they are not known: a page cannot measure them.
    encoder = plan.encoder
    if not isinstance(encoder, CrossingPlan) or encoder.running:
        thresholds = {}
    else:
        path, counts = encoder.encoder, encoder.multiplied or [1.0] * encoder.channels
        if path.std is None:
            raise SrnnError(
                "A page cannot measure the standard deviations of the signal's channels, which "
                f"this network needs; state them: {option('std')}.",
                "missing",
                "std",
            )
        deviations = [std * count for std, count in zip(path.std, counts, strict=True)]
        up, down = zip(*path.thresholds(deviations, encoder.integer), strict=True)
        thresholds = {"thresholds": {"up": up, "down": down}}
    return {
        "sample": signal.sample.removesuffix("_t"),
        "number": plan.number.removesuffix("_t"),
        "channels": signal.channels,
        "counts": signal.multiplied,
        **thresholds,
        "layers": layers,
        # An output of the readout is this many times its value.
        "output_scale": 2**network.output_bits if isinstance(network, IntegerNetwork) else 1,
        "value_bits": None if plan.decision is None else plan.decision.value_bits,
    }
