"""NAME_main.c and the Makefile beside an exported network: a program that tries it on recorded inputs."""

from __future__ import annotations

from typing import Any

from .arrays import number
from .encoder import CrossingPlan
from .plan import Plan
from .resolve import resolved
from .source import configuration


def takes_raw(plan: Plan) -> bool:
    """Whether numbers in text are scaled or converted before the network takes them."""
    return bool(plan.input_bits) or (plan.scale is not None and not plan.integer)


def conversion(plan: Plan) -> dict[str, Any]:
    """How numbers in text become the network's input."""
    return {
        "RAW": takes_raw(plan),
        "FRACTIONAL": bool(plan.input_bits),
        "STANDARDISED": plan.scale is not None,
        "INPUT_SCALE": f"{2 ** (plan.input_bits or 0)}.0",
        "REAL": "double",
        "HALF": "0.5",
    }


def makefile(plan: Plan) -> str:
    """How the program is built."""
    return resolved("layouts/plain/Makefile", plan.name, configuration(plan))


def main_c(plan: Plan) -> str:
    """A program that runs the network on what it reads, to try it, and for tests."""
    encoder, upper = plan.encoder, plan.name.upper()
    readers = [_reader("input_read", f"{plan.name}_input", plan.input, f"{upper}_INPUTS", takes_raw(plan))]
    told: dict[str, Any] = {
        "TOLD": False,
        "PER_STEP": plan.decision is not None and plan.decision.rule.per_step,
        "COUNTED": [{"WHAT": what} for what in plan.counted],
    }
    if encoder is not None:
        readers.append(_reader("signal_read", encoder.sample, encoder.sample, f"{upper}_CHANNELS", False))
        told["ENDS"] = encoder.ends
    if isinstance(encoder, CrossingPlan) and not encoder.running:
        told |= _multiples(encoder)
    return resolved("main.c", plan.name, configuration(plan) | conversion(plan) | told | {"READERS": readers})


def _reader(function: str, ctype: str, base: str, length: str, converted: bool) -> dict[str, Any]:
    """A function that reads ``length`` numbers. ``base``: the C type that ``ctype`` stands for."""
    whole = base.removesuffix("_t").upper()
    least, greatest = f"{whole}_MIN", f"{whole}_MAX"
    if base == "float":
        least, greatest = "-(double)FLT_MAX", "(double)FLT_MAX"
    return {
        "READ": function,
        "READ_TYPE": ctype,
        "READ_LENGTH": length,
        "READ_INTEGERS": int(base != "float"),
        "READ_LEAST": least,
        "READ_GREATEST": greatest,
        "CONVERTED": converted,
    }


def _multiples(plan: CrossingPlan) -> dict[str, Any]:
    """What turns the deviation of a channel into its thresholds."""
    crossing, std = plan.encoder.crossing, plan.encoder.std
    told: dict[str, Any] = {"TOLD": True}
    for side, value in (("UP", crossing.up), ("DOWN", crossing.down)):
        told[f"{side}_MULTIPLE"] = repr(value) if plan.integer else number(value, "float")
    if std is not None:
        told["STATED"] = " ".join(f"{value:g}" for value in std)
    return told
