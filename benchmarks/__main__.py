"""The command: ``python -m benchmarks``. See docs/benchmarks.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import environments, machine, storage
from .catalogue import BASE, CATALOGUE, Entry
from .driver import Failed, Field
from .measures.agreement import agreement
from .measures.latency import latency
from .measures.limit import limit
from .measures.memory import memory
from .measures.scaling import SWEEPS, scaling
from .measures.speed import Plan, compare_all
from .nets import LONG, NETS, Net, quick
from .report import KINDS, render

#: Against whom the sweeps run: the baselines that everyone has, and the strongest peer.
SCALED = ("eager", "jax", "lstm")
#: Who trains the very long sequence.
LONG_RUNNERS = ("srnn", "srnn-bits", "eager", "jax", "lstm")


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure srnn and its peers on this CPU."
    )
    p.add_argument(
        "--what",
        nargs="+",
        choices=(*KINDS, "all"),
        default=["all"],
        help="what to measure (default: all)",
    )
    p.add_argument(
        "--nets",
        nargs="+",
        choices=tuple(NETS),
        default=list(NETS),
        help="networks for speed, memory and agreement",
    )
    p.add_argument("--peers", nargs="+", choices=tuple(CATALOGUE), default=list(CATALOGUE), metavar="NAME",
                   help=f"contestants beside {BASE}: {', '.join(CATALOGUE)} (default: "
                        "all)")  # fmt: skip
    p.add_argument(
        "--sweeps",
        nargs="+",
        choices=tuple(SWEEPS),
        default=list(SWEEPS),
        help="what is varied for scaling",
    )
    p.add_argument(
        "--rounds",
        type=int,
        default=5,
        help="paired measurements per contestant and network (default: 5)",
    )
    p.add_argument(
        "--threads", type=int, default=2, help="threads and cores of each contestant (default: 2)"
    )
    p.add_argument(
        "--timeout",
        type=float,
        default=900.0,
        help="seconds that one command of a contestant may take",
    )
    p.add_argument(
        "--quick",
        action="store_true",
        help="small networks and one round, to try everything; the numbers mean nothing",
    )
    p.add_argument("--wait-policy", choices=("passive", "active"), default="",
                   help="OMP_WAIT_POLICY of all contestants (default: unset, as on a user's "
                        "machine)")  # fmt: skip
    p.add_argument(
        "--env-dir",
        type=Path,
        default=None,
        help="folder for the peers' environments (default: the cache)",
    )
    p.add_argument("--out", type=Path, default=Path("results/benchmarks/benchmarks.json"),
                   help="JSON file; benchmarks.md and plots are written beside it (default: "
                        "%(default)s)")  # fmt: skip
    p.add_argument("--add", action="store_true",
                   help="keep the results of other networks, contestants and kinds in the JSON "
                        "file")  # fmt: skip
    p.add_argument(
        "--render",
        action="store_true",
        help="measure nothing; write the page and the plots again from the JSON file",
    )
    return p


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(arguments)
    if options.rounds < 1 or options.threads < 1:
        say("--rounds and --threads must be at least 1.")
        return 2
    if options.render:
        if not options.out.exists():
            say(f"{options.out} does not exist; measure first.")
            return 2
        publish(json.loads(options.out.read_text()), options.out)
        return 0
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    if options.threads > cores:
        say(f"--threads {options.threads}, but there are only {cores} cores.")
        return 2
    with tempfile.TemporaryDirectory(prefix="srnn-benchmarks-") as work:
        return measure(options, arguments, Path(work))


def measure(options: argparse.Namespace, arguments: list[str], work: Path) -> int:
    """Everything that was asked for; the JSON is written after every part, so that little is lost
    if a run is cut short."""
    kinds = (
        KINDS if "all" in options.what else tuple(kind for kind in KINDS if kind in options.what)
    )
    peers = [CATALOGUE[name] for name in CATALOGUE if name in options.peers and name != BASE]
    base = CATALOGUE[BASE]
    found = machine.describe()  # before anything of ours makes the machine busy
    pythons, missing = environments.prepare(
        {entry.environment for entry in peers},
        options.env_dir or environments.default_folder(),
        say,
    )
    for name, why in missing.items():
        say(f"  {name}: {why}")
    field = Field(pythons, missing, work, options.threads, options.timeout, options.wait_policy)
    plan = Plan(1, 0.05, 2) if options.quick else Plan(options.rounds)
    nets = [quick(NETS[name]) if options.quick else NETS[name] for name in options.nets]
    shd, long = (quick(net) if options.quick else net for net in (NETS["shd"], LONG))
    results: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": found,
        "settings": {
            "command": " ".join(["python -m benchmarks", *_shown(arguments)]),
            "rounds": plan.rounds, "threads": options.threads, "quick": options.quick,
            "OMP_WAIT_POLICY": options.wait_policy or "unset", "dtype": "float32",
        },
        "contestants": {entry.name: {"label": entry.label, "differs": entry.differs} for entry in (base, *peers)},
        "versions": {},
    }  # fmt: skip
    if options.add and options.out.exists():
        results = storage.start_from(json.loads(options.out.read_text()), results)
    if (found["load_before"] or 0) > machine.IDLE:
        say(
            f"The machine is not idle (load {found['load_before']:.1f}): do not publish these "
            "numbers."
        )
    began = time.monotonic()

    def part(kind: str, records: list[dict[str, Any]]) -> None:
        storage.add(results, kind, records)
        results["versions"] |= field.versions
        results["minutes"] = round((time.monotonic() - began) / 60, 1)
        storage.write(results, options.out)

    for kind in kinds:
        for net in nets if kind in ("agreement", "speed", "limit", "memory") else [shd]:
            say(
                f"{kind}: {net.label} {net.size}, firing rates "
                f"{' / '.join(f'{rate:g}' for rate in net.rates)}"
            )
            part(kind, one(kind, base, peers, net, field, plan, options.quick, options.sweeps))
        if kind == "memory":
            say(f"memory: {long.label} {long.size}")
            part(kind, memory(_only(LONG_RUNNERS, [base, *peers]), long, field, say))
    publish(results, options.out)
    say(f"{results.get('minutes', 0)} minutes. Results in {options.out.parent}.")
    return 0


def one(
    kind: str,
    base: Entry,
    peers: list[Entry],
    net: Net,
    field: Field,
    plan: Plan,
    is_quick: bool,
    sweeps: list[str],
) -> list[dict[str, Any]]:
    """One kind of measurement on one net. Where ours itself fails there is nothing to compare, and
    the record says why."""
    here = [entry for entry in peers if kind in entry.kinds]
    try:
        if kind == "agreement":
            return agreement(base, [entry for entry in here if entry.exact], net, field, say)
        if kind == "speed":
            return compare_all(base, here, net, ["train", "forward"], field, plan, say)
        if kind == "limit":
            return limit(net, field.threads, say)
        if kind == "memory":
            return memory([base, *here], net, field, say)
        if kind == "latency":
            return latency([base, *here], net, field, plan, say)
        return scaling(base, _only(SCALED, peers), net, field, plan, say, sweeps, is_quick)
    except Failed as failure:
        say(f"  {base.name}: {failure}")
        return [
            {
                "contestant": base.name,
                "net": net.name,
                "size": net.size,
                "what": "train",
                "failed": str(failure),
            }
        ]


def _only(names: Sequence[str], entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.name in names]


def _shown(arguments: list[str]) -> list[str]:
    """The arguments as they may be published: without folders of this machine."""
    shown, skip = [], False
    for argument in arguments:
        folder = argument.split("=")[0] in ("--env-dir", "--out")
        if not (folder or skip):
            shown.append(argument)
        skip = folder and "=" not in argument
    return shown


def publish(results: dict[str, Any], out: Path) -> None:
    """The page and the plots, beside the JSON."""
    page = render(results)
    try:
        from .plots import draw

        plots = draw(results, out.parent)
    except ImportError as error:
        say(f"No plots: {error}.")
        plots = []
    for name in plots:
        page += f"\n![{name.removesuffix('.svg')}]({name})\n"
    out.with_suffix(".md").write_text(page)


if __name__ == "__main__":
    raise SystemExit(main())
