"""Memory and time a step of the learning rules, by the number of steps:
``python -m benchmarks.rules``.

One sequence of random spikes with a label at every step, a network of one recurrent layer of ALIF
neurons, and each rule as training uses it: bptt through the whole sequence and one step of the
optimiser, the others in windows with one after each. Input is made window by window, so that what
grows is the rule's. Each point is a process of its own, which first learns a short sequence, so
that nothing is compiled on the clock:

    seconds_per_step  of all steps, forwards, backwards and the optimiser's
    peak_bytes        growth of the process's resident memory at its peak, from after the short sequence

A point that takes longer than ``--limit`` seconds stops there, with the steps it made (``done``);
bptt's, which cannot stop, is not begun where a tenth of the steps took more than a tenth of the
limit or of ``--memory``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from .machine import describe
from .plots import COLOURS, MARKERS
from .worker import reset_peak, status_bytes

RULES = ("bptt", "tbptt", "e-prop", "d-rtrl")
STEPS = (100, 1_000, 10_000, 100_000, 1_000_000)
INPUTS, OUTPUTS, BATCH = 32, 4, 1


def learn(rule: str, steps: int, neurons: int, window: int, limit: float) -> tuple[int, float]:
    """Learn a sequence of so many steps, or as many as the limit in seconds lets it; how many, and
    seconds."""
    from srnn import ALIF, SRNN, Init, Integrator
    from srnn.training.rules import create_rule
    from srnn.training.windows import WrappedNetwork

    generator = torch.Generator().manual_seed(0)
    network = SRNN(
        INPUTS,
        [neurons],
        OUTPUTS,
        ALIF(),
        Integrator(Init("constant", 20.0)),
        generator=generator,
        norm="none",
    )
    optimizer, trainee = (
        torch.optim.Adam(network.parameters(), 1e-3),
        WrappedNetwork(network, create_rule(rule)),
    )
    past, done, start = (
        trainee.begin(network.initial_state(BATCH, generator)),
        0,
        time.perf_counter(),
    )
    size = steps if rule == "bptt" else window
    while done < steps and time.perf_counter() - start < limit:
        count = min(size, steps - done)
        x = (torch.rand(BATCH, count, INPUTS, generator=generator) < 0.1).float()
        y = torch.randint(0, OUTPUTS, (BATCH, count), generator=generator)
        done += count
        output, ran = trainee(x, None, past, None, done == steps)
        optimizer.zero_grad()
        F.cross_entropy(output.movedim(-1, 1), y).backward()
        optimizer.step()
        past = ran.past
    return done, time.perf_counter() - start


def measure(rule: str, steps: int, neurons: int, window: int, limit: float) -> dict[str, Any]:
    """One point, in this process."""
    torch.set_num_threads(1)
    learn(rule, min(steps, 2 * window), neurons, window, limit)
    reset, before = reset_peak(), status_bytes("VmRSS")
    done, seconds = learn(rule, steps, neurons, window, limit)
    point = {"rule": rule, "steps": steps, "done": done, "seconds_per_step": seconds / done}
    return {**point, "peak_bytes": status_bytes("VmHWM") - before if reset else None}


def in_its_own_process(
    rule: str, steps: int, neurons: int, window: int, limit: float
) -> dict[str, Any]:
    """One point, in a new process."""
    command = [sys.executable, "-m", "benchmarks.rules", "--point", rule, str(steps)]
    command += [f"--neurons={neurons}", f"--window={window}", f"--limit={limit}"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def draw(points: list[dict[str, Any]], path: Path) -> None:
    """Both quantities by steps, a line a rule."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update(
        {"axes.grid": True, "grid.alpha": 0.3, "legend.frameon": False, "svg.hashsalt": "srnn"}
    )
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    quantities = {
        "peak_bytes": ("memory at its peak (MiB)", 2**20),
        "seconds_per_step": ("time a step (µs)", 1e-6),
    }
    for axis, (name, (title, unit)) in zip(axes, quantities.items(), strict=True):
        for rule, colour, marker in zip(RULES, COLOURS, MARKERS, strict=False):
            own = [(p["done"], p[name] / unit) for p in points if p["rule"] == rule and p.get(name)]
            if own:
                axis.loglog(*zip(*own, strict=True), color=colour, marker=marker, ms=4, label=rule)
        axis.set(xlabel="steps of the sequence", ylabel=title)
    axes[1].legend()  # times are never 0; growth of memory can be
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main(arguments: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.rules", description="Memory and time of learning rules."
    )
    p.add_argument("--rules", nargs="+", choices=RULES, default=RULES)
    p.add_argument(
        "--steps", nargs="+", type=int, default=STEPS, help="lengths of the sequences, ascending"
    )
    p.add_argument("--neurons", type=int, default=64)
    p.add_argument(
        "--window",
        type=int,
        default=100,
        help="steps of a window, for all rules except bptt (default: 100)",
    )
    p.add_argument(
        "--limit", type=float, default=300.0, help="seconds that a point may take (default: 300)"
    )
    p.add_argument("--memory", type=float, default=4.0, help="GiB that bptt may take (default: 4)")
    p.add_argument(
        "--out",
        type=Path,
        default=Path("results/learning-rules"),
        help="folder (default: %(default)s)",
    )
    p.add_argument("--point", nargs=2, metavar=("RULE", "STEPS"), help=argparse.SUPPRESS)
    options = p.parse_args(arguments)
    settings = options.neurons, options.window, options.limit
    if options.point:
        print(json.dumps(measure(options.point[0], int(options.point[1]), *settings)))
        return 0
    machine, points = describe(), list[dict[str, Any]]()
    for rule in options.rules:
        before: dict[str, Any] | None = None
        for steps in options.steps:
            if rule == "bptt" and before is not None:
                factor = steps / before["steps"]
                bytes_then, then = (
                    factor * (before["peak_bytes"] or 0),
                    factor * before["seconds_per_step"] * before["steps"],
                )
                if bytes_then > options.memory * 2**30 or then > options.limit:
                    points.append(
                        {
                            "rule": rule,
                            "steps": steps,
                            "skipped": f"about {bytes_then:.3g} bytes, {then:.3g} s",
                        }
                    )
                    continue
            before = in_its_own_process(rule, steps, *settings)
            points.append(before)
            print(json.dumps(before), file=sys.stderr, flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    about = {
        "inputs": INPUTS,
        "neurons": options.neurons,
        "outputs": OUTPUTS,
        "batch": BATCH,
        "window": options.window,
    }
    lines = ",\n".join(json.dumps(point) for point in points)
    about = (
        f'{{"network": {json.dumps(about)},\n"machine": {json.dumps(machine)},\n"points": '
        f"[\n{lines}\n]}}\n"
    )
    (options.out / "rules.json").write_text(about)
    draw(points, options.out / "rules.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
