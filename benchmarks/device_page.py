"""device.md: what ``device.py`` measured, as tables."""

from __future__ import annotations

from typing import Any


def page(found: dict[str, Any]) -> str:
    """The tables, in markdown."""
    records, about = found["networks"], found["machine"]
    where = f"{about['cpu']}, one core, commit {about['commit']}"
    changed = " with uncommitted changes in src" if about.get("uncommitted_source") else ""
    parts = [
        "# From theory to what runs",
        f"Made by `{found['command']}` on {where}{changed}. What is measured: "
        "benchmarks/device.py.",
        _times(records), _operations(records), _bytes(records), _agreement(records),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def table(head: str, rows: list[str]) -> str:
    """Of a head and rows whose cells have " | " between them."""
    columns = head.count("|") + 1
    return "\n".join([f"| {head} |", "| --- " * columns + "|", *(f"| {row} |" for row in rows)])


def _name(record: dict[str, Any]) -> str:
    return f"{record['network']}, {'-'.join(map(str, record['layers']))}"


def _times(records: list[dict[str, Any]]) -> str:
    rows = []
    for r in records:
        for name in r["compilers"]:
            ns = {part: r[part]["ns"][name] for part in ("float32", "int8", "lstm")}
            shown = [f"{times['plain']:,.0f} ({times['fast']:,.0f})" for times in ns.values()]
            ratios = [ns["lstm"][flags] / ns["float32"][flags] for flags in ("plain", "fast")]
            rows.append(
                f"{_name(r)} | {name} | {' | '.join(shown)} | {ratios[0]:.1f} ({ratios[1]:.1f})"
            )
    timed = table(
        "network | compiler | C float32, ns a step | C int8 | LSTM, C float32 | LSTM over network, "
        "float32",
        rows,
    )
    calls = [
        f"{_name(r)} | {r['onnxruntime_ns']:,.0f} | {r['lstm']['onnxruntime_ns']:,.0f} | "
        f"{r['python_ns']:,.0f}"
        for r in records
    ]
    called = table("network | onnxruntime, ns a step | onnxruntime, LSTM | `Stream.push`", calls)
    return (
        f"{timed}\n\nIn brackets: all that the compiler can (`-O3 -march=native -ffast-math`); "
        "else the exported Makefile's "
        f"flags. Called from Python, one step a call:\n\n{called}"
    )


def _operations(records: list[dict[str, Any]]) -> str:
    rows = []
    for r in records:
        counted, theory, worst = r["float32"]["counted"], r["theory"], r["float32"]["promised"]
        products = counted["synaptic_multiplies"]  # each of them adds, too
        heard = (
            theory["synaptic_adds_per_step"]
            + theory["synaptic_multiply_adds_per_step"]
            - theory["unheard_per_step"]
        )
        cells = [
            r["network"], f"{r['sequences']} of {r['steps']} steps, "
                          f"{r['split']}", f"{counted['synaptic_adds']:,.1f}",
            f"{heard:,.1f} + "
            f"{theory['unheard_per_step']:,.1f}", f"{products:,.1f}", f"{worst['synaptic_adds']:,}",
            f"{counted['neuron_adds']:,.0f}, "
            f"{counted['neuron_multiplies']:,.0f}", f"{r['lstm']['multiply_adds']:,}",
        ]  # fmt: skip
        rows.append(" | ".join(cells))
    head = (
        "network | sequences | additions for what is sent, a step, counted by the C | theory: "
        "heard + never heard | "
        "of them multiplied, too | at most, says the header | neurons: additions, multiplications "
        "| LSTM's multiply-adds"
    )
    return (
        f"{table(head, rows)}\n\nThe theory counts what a layer sends to itself at the step at "
        "which it is sent. What is sent at "
        "the last step of a sequence would be heard one step later, or after its delay: the C, "
        "which stops there, has not added "
        "it. That is the part that is never heard: the larger, the shorter the sequences. The rest "
        "is what the C counted; but a "
        "network whose initial state is random (the published ones) begins there at a drawn state, "
        "on a device at its mean."
    )


def _bytes(records: list[dict[str, Any]]) -> str:
    def sizes(record: dict[str, Any], kind: str) -> str:
        parts = [
            record["float32"],
            record["lstm"]["float32"],
            record["int8"],
            record["lstm"]["int8"],
        ]
        return " | ".join(f"{part[kind]:,}" for part in parts)

    head = "network | float32 | LSTM, float32 | int8 | LSTM, int8"
    flash = table(
        f"flash, bytes: {head}", [f"{_name(r)} | {sizes(r, 'flash_bytes')}" for r in records]
    )
    ram = table(f"RAM, bytes: {head}", [f"{_name(r)} | {sizes(r, 'ram_bytes')}" for r in records])
    return f"{flash}\n\n{ram}\n\nAn LSTM in int8: weights of one byte, biases and state of four."


def _agreement(records: list[dict[str, Any]]) -> str:
    rows = []
    for r in records:
        a = r["agreement"]
        for name, row in a["by_compiler"].items():
            exact = [
                "yes" if row[key] else "NO"
                for key in ("c_equals_its_model", "int8_equals_its_model")
            ]
            rows.append(
                f"{r['network']} | {a['sequences']}, {a['steps']:,} steps, {r['split']} | {name} | "
                f"{a['spikes']:,} | "
                f"{row['spikes_that_differ']:,}, in {row['sequences_with_such_spikes']} | "
                f"{row['decisions_that_differ']:,} of "
                f"{a['decisions']:,} | {exact[0]} | {exact[1]} | "
                f"{a['int8_decisions_that_differ']:,}"
            )
    head = (
        "network | whole sequences | compiler | spikes of the reference | differ in float32 C, in "
        "sequences | "
        "decisions that differ | scores are its model's, to the bit | "
        "int8: scores and spikes are the integer model's, to the bit | int8: decisions unlike the "
        "reference's"
    )
    onnx = []
    for r in records:
        a = r["agreement"]
        onnx.append(
            f"{r['network']} | {a['sequences']} | {a['onnx_greatest_difference']:.1e} | "
            f"{a['greatest_output']:,.1f} | "
            f"{a['onnx_decisions_that_differ']:,} of {a['decisions']:,}"
        )
    named = (
        "network | whole sequences, onnxruntime | greatest difference of an output | of "
        "outputs up to | decisions that differ"
    )
    return f"{table(head, rows)}\n\n{table(named, onnx)}"
