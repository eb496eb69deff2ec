"""NAME_main.c and the Makefile beside a network: a program that tries it on recorded inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .arrays import number
from .encoder import CrossingPlan
from .plan import Plan
from .resolve import resolved
from .source import configuration


def makefile(plan: Plan) -> str:
    """How the program is built."""
    return resolved("layouts/plain/Makefile", plan.name, configuration(plan))


def main_c(plan: Plan) -> str:
    """A program that runs the network on what it reads, to try it, and for tests."""
    encoder, samples, upper = plan.encoder, plan.samples, plan.name.upper()
    names = samples.names_in_c()
    readers = [_reader("input_read", f"{plan.name}_input", plan.input, f"{upper}_INPUTS")]
    readers[0]["READ_NAMED"] = int(names["NAMED"] and encoder is None)
    fields: dict[str, Any] = {
        "PER_STEP": plan.decision is not None and plan.decision.rule.per_step,
        "COUNTED": [{"WHAT": what} for what in plan.counted],
        "ENDS": encoder is not None and encoder.ends,
        # Whether what it reads is not the input of a step yet.
        "SAMPLED": encoder is not None or samples.statistics is not None or bool(plan.input_bits),
    }
    if fields["SAMPLED"]:
        ctype = plan.signal.sample
        # A recording for an encoder is one of samples, as a converter gives them.
        counts = samples.multiplied if encoder is None else None
        readers.append(_reader("signal_read", ctype, ctype, f"{upper}_CHANNELS", counts))
        readers[1]["READ_NAMED"] = int(names["NAMED"])
    if isinstance(encoder, CrossingPlan) and not encoder.running:
        # What turns the deviation of a channel into its thresholds.
        crossing, std = encoder.encoder.crossing, encoder.encoder.std
        for side, value in (("UP", crossing.up), ("DOWN", crossing.down)):
            fields[f"{side}_MULTIPLE"] = repr(value) if encoder.integer else number(value, "float")
        if std is not None:
            fields["STATED"] = " ".join(f"{value:g}" for value in std)
    fields |= {**names, "READERS": readers}
    return resolved("main.c", plan.name, configuration(plan) | fields)


def _reader(
    function: str,
    ctype: str,
    base: str,
    length: str,
    counts: Sequence[float] | None = None,
) -> dict[str, Any]:
    """A function that reads ``length`` numbers.

    Args:
        base: the C type that ``ctype`` stands for.
        counts: what each number is multiplied with, to be rounded; None: it is not.
    """
    whole = base.removesuffix("_t").upper()
    fields = {
        "READ": function,
        "READ_TYPE": ctype,
        "READ_LENGTH": length,
        "MULTIPLIED": counts is not None,
    }
    limits = {"READ_INTEGERS": 1, "READ_LEAST": f"{whole}_MIN", "READ_GREATEST": f"{whole}_MAX"}
    if base == "float" or counts is not None:
        limits = {
            "READ_INTEGERS": 0,
            "READ_LEAST": "-(double)FLT_MAX",
            "READ_GREATEST": "(double)FLT_MAX",
        }
    if counts is not None:
        fields |= {
            "COUNTS": ", ".join(repr(float(count)) for count in counts),
            "REAL": "double",
            "HALF": "0.5",
            "ROUNDED": base,
            "ROUNDED_LEAST": f"{whole}_MIN",
            "ROUNDED_MOST": f"{whole}_MAX",
        }
    return fields | limits
