"""A thousand streams in a loop of one process: ``python -m benchmarks.streams --out results/streams``.

All streams take one step, then the next, as where a thousand sensors send at the same rate:

    one call       ``Stream(model, streams=1000)``: encoded steps, all streams in one compiled call
    with signals   the same, of raw samples: one encoder, whose channels are those of all streams
    a call each    a thousand ``Stream(model)``: the same steps, a call for each
    sessions       a thousand ``model.stream()``: raw samples, which they encode, to decisions; one sample for each call
    sessions, 25   the same, 25 samples for each call

One core. A round runs each once, in another order each time, so that whatever else the machine does
is shared out; told are medians of microseconds for one step of one stream, and of the ratios within
a round. That the classes are the same is checked first.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import srnn
from srnn.deploy.streaming import Decoder
from srnn.text import markdown_table

from .machine import describe
from .measures.statistics import summary
from .storage import publish

BLOCK = 25
"""Samples of a call where they are not pushed one by one: a tenth of a second."""
ONE, RAW, EACH = "one call", "with signals", "a call each"
SESSIONS, BLOCKS = "sessions", f"sessions, {BLOCK}"

Array = np.ndarray[Any, Any]


def signals(model: srnn.Model, streams: int, samples: int) -> Array:
    """(samples, streams, channels): the model's example, which each stream takes from another place
    on, again and again."""
    example = np.load(srnn.example(model.name))
    places = np.arange(samples)[:, None] + np.arange(streams) * len(example) // streams
    return np.ascontiguousarray(example[places % len(example)])


def encoded(decoder: Decoder, x: Array) -> Array:
    """The same as the network's steps, (samples, streams, inputs); the last ones, which encoders
    hold back, are 0."""
    steps = np.zeros((*x.shape[:2], decoder.signal.inputs), np.float32)
    for stream in range(x.shape[1]):
        known = decoder.open().encode(x[:, stream])
        steps[: len(known), stream] = known
    return steps


def contestants(model: srnn.Model, x: Array) -> dict[str, tuple[int, Callable[[int], Any]]]:
    """By name: how many steps a call of it takes, and that call, which is given the first."""
    count = x.shape[1]
    decoder = Decoder.of(model)
    steps = encoded(decoder, x)
    many, after = (srnn.Stream(model, streams=count) for _ in range(2))
    path: Any = decoder.signal
    together = replace(path, channels=count * x.shape[2], names=None, units=None)
    encoder = together.stream()
    singles = [srnn.Stream(model) for _ in range(count)]
    sessions, others = ([decoder.open() for _ in range(count)] for _ in range(2))

    def push_raw(first: int) -> list[Array]:
        known = encoder.push(x[first].reshape(1, -1))
        return [after.push(row) for row in known.reshape(-1, count, path.inputs)]

    def push(all_of_them: list[Any], first: int, samples: int) -> list[Array]:
        return [
            session.push(x[first : first + samples, number]).scores
            for number, session in enumerate(all_of_them)
        ]

    return {
        ONE: (1, lambda first: many.push(steps[first])),
        RAW: (1, push_raw),
        EACH: (1, lambda first: [one.push(row) for one, row in zip(singles, steps[first], strict=True)]),
        SESSIONS: (1, lambda first: push(sessions, first, 1)),
        BLOCKS: (BLOCK, lambda first: push(others, first, BLOCK)),
    }  # fmt: skip


def check(calls: dict[str, tuple[int, Callable[[int], Any]]], steps: int) -> None:
    """AssertionError unless all say the same of these first steps. (Here it is compiled, too.)"""
    answers: dict[str, Array] = {}
    for name, (size, call) in calls.items():
        told = [call(first) for first in range(0, steps, size)]
        if name in (ONE, EACH):
            answers[name] = np.stack([np.stack(list(one)) for one in told], 1)
        elif name == RAW:
            answers[name] = np.stack([one for several in told for one in several], 1)
        else:
            answers[name] = np.stack([np.concatenate(rows) for rows in zip(*told, strict=True)])
    known = answers[SESSIONS].shape[1]
    for found in answers.values():
        assert np.array_equal(found[:, :known], answers[SESSIONS].astype(found.dtype))


def measure(model: srnn.Model, streams: int, rounds: int) -> dict[str, Any]:
    """Microseconds for one step of one stream by contestant, and their ratios to the first."""
    first = BLOCK
    calls = contestants(model, signals(model, streams, first + BLOCK * rounds))
    check(calls, first)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    order = random.Random(0)
    for number in range(rounds):
        start = first + BLOCK * number
        for name in order.sample([*calls], len(calls)):
            size, call = calls[name]
            begun = time.perf_counter()
            for step in range(start, start + BLOCK, size):
                call(step)
            taken[name].append(1e6 * (time.perf_counter() - begun) / BLOCK / streams)
    ratios = {
        name: summary([a / b for a, b in zip(times, taken[ONE], strict=True)])
        for name, times in taken.items()
    }
    return {
        name: {"us_per_step": summary(times), "times_one_call": ratios[name]}
        for name, times in taken.items()
    }


def page(about: dict[str, Any]) -> str:
    rows = [
        [name, f"{one['us_per_step']['median']:.3g}", f"{one['times_one_call']['median']:.3g}"]
        for name, one in about["rows"].items()
    ]
    table = "\n".join(markdown_table(["", "microseconds per step of a stream", "times"], rows))
    machine = about["machine"]
    return (
        f"# {about['streams']:,} streams in a loop\n\n"
        f"`{about['model']}`, on one core of {machine['cpu']}, at a load of "
        f"{machine['load_before']:.1f} on {machine['cores']} cores. {about['rounds']} rounds of "
        f"{BLOCK} steps; medians, and medians of the ratios to the first row.\n\n{table}\n\n"
        "The first row and the third push the network's own steps, the others raw samples. "
        "Sessions encode and score each for itself. All give the same scores, to the same "
        "bits.\n\n"
        f"Made by `{about['command']}`.\n"
    )


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="ecg-records")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(words)
    machine = describe()  # before this makes it busy
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    model = srnn.load(arguments.model)
    rows = measure(model, arguments.streams, arguments.rounds)
    command = f"python -m benchmarks.streams --out {arguments.out}"
    about = {
        "command": command,
        "model": model.name,
        "streams": arguments.streams,
        "rounds": arguments.rounds,
        "machine": machine,
        "rows": rows,
    }
    publish(about, page(about), arguments.out, "streams")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
