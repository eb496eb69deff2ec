"""From the JSON to a Markdown page. Nothing is measured here, and nothing is left out that was
tried."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from srnn.text import markdown_table

from .catalogue import BASE, CATALOGUE
from .machine import IDLE
from .nets import LONG, NETS

MIB = 2**20
KINDS = ("agreement", "speed", "limit", "memory", "latency", "scaling")
Record = Mapping[str, Any]
WHAT = {
    "train": "Forward and backward",
    "forward": "Forward only",
    "stream": "a call a step",
    "loop": "compiled loop",
}


def render(results: Mapping[str, Any]) -> str:
    """The page."""
    parts = ["# Benchmarks", _intro(results)]
    for what in ("train", "forward"):
        parts += _speed(results, what)
    parts += _limit(results)
    parts += _memory(results)
    parts += _latency(results)
    parts += _scaling(results)
    parts += _agreement(results)
    parts += _contestants(results)
    parts += _failures(results)
    return "\n\n".join(part for part in parts if part) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(markdown_table(header, rows))


def label(name: str) -> str:
    return CATALOGUE[name].label if name in CATALOGUE else name


def in_order(names: Iterable[str]) -> list[str]:
    """Contestants in the catalogue's order."""
    found = set(names)
    return [name for name in CATALOGUE if name in found]


def nets_in(records: Iterable[Record]) -> list[str]:
    """Nets in their usual order."""
    found = {record["net"] for record in records}
    return [name for name in (*NETS, LONG.name) if name in found]


def net_label(name: str) -> str:
    return LONG.label if name == LONG.name else NETS[name].label


def number(value: float) -> str:
    """Three digits, no exponent."""
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def milliseconds(seconds: float) -> str:
    return number(1000 * seconds)


def base_seconds(records: Iterable[Record]) -> tuple[float, float] | None:
    """Ours, median and least over all comparisons among these records (of one net and measure)."""
    records = list(records)
    blocks = [record["ours_s"] for record in records if "ours_s" in record]
    if blocks:
        return statistics.median(block["median"] for block in blocks), min(
            block["min"] for block in blocks
        )
    alone = [record["warm_s"] for record in records if "warm_s" in record]
    return (alone[0], alone[0]) if alone else None


def _intro(results: Mapping[str, Any]) -> str:
    machine, settings = results["machine"], results["settings"]
    memory = machine["memory_bytes"]
    lines = [
        f"{machine['cpu']} ({', '.join(machine['simd']) or 'no known SIMD'}), {machine['cores']} "
        "cores"
        + (f", {memory / 2**30:.0f} GiB" if memory else "")
        + f"; threads and cores per contestant: {settings['threads']}; {machine['system']}"
        + f"; commit {machine['commit'] or 'unknown'}"
        + (" with uncommitted changes" if machine["uncommitted_source"] else "")
        + f"; {results['date']}.",
        f"float32. {settings['rounds']} rounds, alternated; ratios are medians of the paired "
        "ratios. "
        f"Made by `{settings['command']}`; how to read it: docs/benchmarks.md.",
    ]
    earlier = [f"`{run['settings']['command']}` ({run['date']}, commit "
               f"{run['machine']['commit'] or 'unknown'}{_load(run['machine'])})"
               for run in results.get("earlier", [])]  # fmt: skip
    if earlier:
        lines.append(f"Parts of it were measured before, by {', '.join(earlier)}.")
    if settings["quick"]:
        lines.append("**A trial run on shrunk networks (`--quick`): these numbers mean nothing.**")
    if busy := _load(machine):
        lines.append(f"**The machine was not idle before the start{busy}.**")
    return "\n\n".join(lines)


def _load(machine: Mapping[str, Any]) -> str:
    """What to say of a machine on which something else ran; nothing of an idle one."""
    load = machine["load_before"] or 0
    return f", load {load:.1f}" if load > IDLE else ""


def _speed(results: Mapping[str, Any], what: str) -> list[str]:
    records = [record for record in results.get("speed", []) if record["what"] == what]
    if not records:
        return []
    nets = nets_in(records)
    found = {(record["contestant"], record["net"]): record for record in records}
    sizes = {record["net"]: record["size"] for record in records}

    def cell(name: str, net: str) -> str:
        record = found.get((name, net))
        if record is None:
            return "-"
        if "failed" in record:
            return "failed"
        if name == BASE:
            ours = base_seconds(record for record in records if record["net"] == net)
            return f"{milliseconds(ours[0])} [{milliseconds(ours[1])}]" if ours else "-"
        ratio, seconds = record["ratio"], record["peer_s"]
        times = f"{milliseconds(seconds['median'])} [{milliseconds(seconds['min'])}]"
        return f"{times} (**{ratio['median']:.3g}x** ± {ratio['iqr']:.2g})"

    names = in_order(record["contestant"] for record in records)
    rows = [[label(name), *(cell(name, net) for net in nets)] for name in names]
    return [
        f"## {WHAT[what]}, ms per batch",
        "median [least] (**ratio** to srnn ± interquartile range); above 1: slower than srnn.",
        table(["", *(f"{net_label(net)}<br>{sizes[net]}" for net in nets)], rows),
        *([_rates(records, nets), _first_calls(records, nets)] if what == "train" else []),
    ]


def _rates(records: list[Record], nets: list[str]) -> str:
    """Measured firing rates; peers with another neuron fire at rates of their own on the same
    weights."""
    names = in_order(record["contestant"] for record in records if record.get("rates"))
    found = {(record["contestant"], record["net"]): record.get("rates", []) for record in records}

    def cell(name: str, net: str) -> str:
        return " / ".join(f"{rate:.3f}" for rate in found.get((name, net), [])) or "-"

    rows = [[label(name), *(cell(name, net) for net in nets)] for name in names]
    return "Firing rates, spikes per neuron and step, layer by layer:\n\n" + table(
        ["", *map(net_label, nets)], rows
    )


def _first_calls(records: list[Record], nets: list[str]) -> str:
    """Seconds of the first training step in a process, for those to whom it is another than the
    second."""
    found = {
        (record["contestant"], record["net"]): record.get("first_call_s") for record in records
    }
    names = [
        name
        for name in in_order(name for name, _ in found)
        if name in (BASE, "eager", "jax", "spyx", "lstm")
    ]
    rows = [[label(name), *(_seconds(found.get((name, net))) for net in nets)] for name in names]
    return (
        "Seconds of the first training step in a process: srnn fetches compiled loops from disk, "
        "JAX compiles.\n\n" + table(["", *map(net_label, nets)], rows)
    )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _limit(results: Mapping[str, Any]) -> list[str]:
    records = results.get("limit", [])
    if not records:
        return []
    kinds = {
        "macs": "products",
        "adds": "additions",
        "neuron_steps": "neurons",
        "bytes": "memory traffic",
    }
    rows = []
    for record in records:
        trained = (
            r
            for r in results.get("speed", [])
            if r["what"] == "train" and r["net"] == record["net"]
        )
        ours = base_seconds(trained)
        rows.append([
            net_label(record["net"]), *(milliseconds(record["parts_s"][kind]) for kind in kinds),
            milliseconds(record["limit_s"]), milliseconds(ours[0]) if ours else "-",
            f"{100 * record['limit_s'] / ours[0]:.0f} %" if ours else "-",
        ])  # fmt: skip
    rates = []
    for record in records:
        of = record["rates"]
        rates.append(
            f"{net_label(record['net'])} {2e-9 * of['macs']:.0f} GFLOP/s in products, "
            f"{1e-9 * of['adds']:.1f} G additions/s, "
            f"{1e9 / of['neuron_steps']:.2f} ns a neuron-step"
        )
    return [
        "## How far from the limit",
        "Least ms of a training step, were each kind of work done at the speed that it has alone "
        "and in cache "
        "(benchmarks/measures/limit.py), beside what srnn takes.",
        table(["", *kinds.values(), "sum", "srnn", "share"], rows),
        f"Measured on one core: {'; '.join(rates)}; a copy moves "
        f"{1e-9 * records[0]['rates']['bytes']:.0f} GB/s on all.",
    ]


def _memory(results: Mapping[str, Any]) -> list[str]:
    records = results.get("memory", [])
    if not records:
        return []
    parts = ["## Memory, MiB"]
    for net in nets_in(records):
        rows = []
        for record in (record for record in records if record["net"] == net):
            if "failed" in record:
                rows.append([label(record["contestant"]), "failed", "", "", "", ""])
                continue
            saved = record.get("saved", {})
            rows.append([
                label(record["contestant"]), _mib(saved.get("total")), _mib(saved.get("without_input")),
                _mib(record["rss_peak"]), _mib(record["rss_peak"] - record["rss_before"]), f"{record['train_s']:.3g}",
            ])  # fmt: skip
        size = next(record["size"] for record in records if record["net"] == net)
        header = [
            "",
            "kept for backward",
            "without the input",
            "peak RSS",
            "rise over the loaded model",
            "s a training step",
        ]
        parts += [f"### {net_label(net)}, {size}", table(header, rows)]
    temporaries = [f"{net_label(record['net'])} "
                   f"{_mib(record['saved']['xla_temporaries'])}" for record in records
                   if "xla_temporaries" in record.get("saved", {}) and record["contestant"] == "jax"]  # fmt: skip
    if temporaries:
        parts.append(
            "What XLA really sets aside for the JAX scan's training step, MiB: "
            f"{', '.join(temporaries)}."
        )
    return parts


def _mib(size: float | None) -> str:
    return "-" if size is None else number(size / MIB)


def _latency(results: Mapping[str, Any]) -> list[str]:
    records = results.get("latency", [])
    if not records:
        return []
    base = next(
        (
            r
            for r in records
            if r["contestant"] == BASE and r["what"] == "stream" and "us_per_step" in r
        ),
        None,
    )
    rows = []
    for record in records:
        what = WHAT[record["what"]]
        if "failed" in record:
            rows.append([label(record["contestant"]), what, "failed", "", ""])
            continue
        found = record["us_per_step"]
        ratio = f"{number(found['median'] / base['us_per_step']['median'])}x" if base else "-"
        rows.append(
            [
                label(record["contestant"]),
                what,
                number(found["median"]),
                number(found["min"]),
                ratio,
            ]
        )
    return [f"## One live stream, microseconds a step, one thread ({records[0]['size']})",
            table(["", "", "median", "least", "to srnn, a call a step"], rows)]  # fmt: skip


def _scaling(results: Mapping[str, Any]) -> list[str]:
    from .measures.scaling import TITLES

    records = results.get("scaling", [])
    parts = ["## Scaling, forward and backward", "ms per batch (ratio to srnn)."] if records else []
    for sweep, title in TITLES.items():
        of_sweep = [record for record in records if record["sweep"] == sweep]
        values = sorted({record["value"] for record in of_sweep})
        names = in_order(record["contestant"] for record in of_sweep)
        if not values:
            continue
        rows = [
            [label(name), *(_scaling_cell(of_sweep, name, value) for value in values)]
            for name in names
        ]
        parts.append(table([title, *(f"{value:g}" for value in values)], rows))
    return parts


def _scaling_cell(of_sweep: list[Record], name: str, value: float) -> str:
    here = [record for record in of_sweep if record["value"] == value]
    record = next((record for record in here if record["contestant"] == name), None)
    if record is None:
        return "-"
    if "failed" in record:
        return "failed"
    if name == BASE:
        ours = base_seconds(here)
        return milliseconds(ours[0]) if ours else "-"
    return f"{milliseconds(record['peer_s']['median'])} ({record['ratio']['median']:.3g}x)"


def _agreement(results: Mapping[str, Any]) -> list[str]:
    records = results.get("agreement", [])
    if not records:
        return []
    rows = [
        [label(r["contestant"]), net_label(r["net"]), r["dtype"], r["verdict"],
         *([f"{r['loss']:.1e}", f"{r['gradients']:.1e}", f"{r['spikes_differing']} of "
                                                         f"{r['spikes']}"]
           if "loss" in r else [r.get("failed", ""), "", ""])]
        for r in records
    ]  # fmt: skip
    return ["## The same function?", "Largest relative difference to srnn, on 8 sequences with the "
                                     "same weights.",
            table(["", "net", "dtype", "verdict", "loss", "gradients", "spikes that differ"], rows)]  # fmt: skip


def _contestants(results: Mapping[str, Any]) -> list[str]:
    measured = {r["contestant"] for kind in KINDS for r in results.get(kind, [])}
    names = in_order(measured & set(results["contestants"]))
    versions = {
        name: ", ".join(
            f"{key} {value}" for key, value in results["versions"].get(name, {}).items()
        )
        for name in names
    }
    rows = [[label(name), CATALOGUE[name].differs, versions[name]] for name in names]
    return [
        "## Who, and in what they differ from srnn's ALIF network",
        table(["", "differs", "versions"], rows),
    ]


def _failures(results: Mapping[str, Any]) -> list[str]:
    """Every contestant that could not do something, with the reason."""
    seen: dict[tuple[str, str, str], list[str]] = {}
    for kind in KINDS:
        for record in results.get(kind, []):
            for key in ("failed", "saved_failed"):
                if key in record:
                    nets = seen.setdefault((record["contestant"], kind, record[key]), [])
                    nets += (
                        [net_label(record["net"])] if net_label(record["net"]) not in nets else []
                    )
    rows = [
        [label(name), kind, ", ".join(nets), reason.replace("|", "/")]
        for (name, kind, reason), nets in seen.items()
    ]
    return ["## Not measured", table(["", "what", "net", "why"], rows)] if rows else []
