"""What bfloat16 products on the CPU's way back cost in exactness and gain in time: ``python -m benchmarks.bf16``.

``torch.set_float32_matmul_precision("medium")`` beside "highest", where the processor has AVX512-BF16. Times are the
processor's, of one thread: what else runs on the machine disturbs them least. Parts of an earlier run that are not asked for
stay, and so do trainings of other recipes and seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from srnn.api import train
from srnn.nn.kernels.cpu import weights
from srnn.nn.kernels.cpu.compiler import bf16_pairs
from srnn.nn.kernels.cpu.simd import PAIRS, TILES
from srnn.nn.surrogates import Linear, Surrogate
from srnn.text import markdown_table

from .contestants.ours import Ours
from .driver import ROOT
from .machine import describe
from .measures.limit import products_loop
from .measures.statistics import summary
from .nets import NETS, Net, file_for, load, quick

sys.path.insert(0, str(ROOT / "tests"))  # for the random layers of the tests

FINE, COARSE = "highest", "medium"
PARTS = ("products", "layer", "gradients", "steps", "training")


def seconds(call: Callable[[], Any], times: int) -> float:
    """The processor's, of the median call."""
    found = []
    for _ in range(times):
        began = time.process_time()
        call()
        found.append(time.process_time() - began)
    return statistics.median(found)


def alternated(calls: dict[str, Callable[[], Any]], times: int, rounds: int) -> dict[str, Any]:
    """FINE, COARSE, FINE, ...: each time of the second by the mean of the two of the first beside it; above 1, it is slower."""
    for call in calls.values():
        call()
    fine, coarse = [seconds(calls[FINE], times)], []
    for _ in range(rounds):
        coarse.append(seconds(calls[COARSE], times))
        fine.append(seconds(calls[FINE], times))
    ratios = [2 * b / (before + after) for before, b, after in zip(fine, coarse, fine[1:], strict=False)]
    return {"ratio": summary(ratios), "ratios": ratios, "fine_s": summary(fine), "coarse_s": summary(coarse)}


def products(size: int, rounds: int) -> dict[str, Any]:
    """Eight rows times a square matrix, in cache, as the loops multiply: by each instruction that this processor has."""
    rng, width, loop = np.random.default_rng(0), size + -size % 16, products_loop()
    matrix = rng.standard_normal((size, size), dtype=np.float32)
    left, out = torch.randn(8, width), torch.empty(8 * width).numpy()
    times = max(1, 20_000_000 // (8 * width * size))
    fine = out, left.numpy().reshape(-1), weights.packed(matrix), width, width, size, times
    result: dict[str, Any] = {"size": size, "ways": {}}
    for way, dtype in {"AVX512-BF16": PAIRS, "AMX": TILES}.items():
        if dtype == TILES and bf16_pairs() != TILES:
            continue
        factors = weights.factors(8, width, dtype)
        stride = len(factors) // 8
        factors.reshape(8, stride)[:, : width // 2] = left.bfloat16().view(torch.int16).numpy().view(dtype)
        coarse = out, factors, weights.packed(matrix, dtype), width, stride, (size + 1) // 2, times
        found = alternated({FINE: lambda: loop(*fine), COARSE: lambda coarse=coarse: loop(*coarse)}, 5, rounds)
        result["ways"][way] = found
        result["macs_per_s"] = times * 8 * width * size / found["fine_s"]["median"]
    return result


def network(net: Net, dtype: str, precision: str, folder: Path, surrogate: Surrogate | None = None) -> Ours:
    ours = Ours(load(file_for(net, folder)), {"backend": "fast", "surrogate": surrogate}, dtype)
    torch.set_float32_matmul_precision(precision)
    return ours


def gradients(net: Net, folder: Path) -> dict[str, Any]:
    """The error of all gradients together, in the Euclidean norm, of 8 sequences; and spikes that differ from float64's."""
    net = replace(net, batch=min(net.batch, 8))
    exact = network(net, "float64", FINE, folder).solution()
    fine, coarse = (network(net, "float32", precision, folder).solution() for precision in (FINE, COARSE))
    names = [name for name in exact if name != "loss" and not name.startswith("spikes")]
    layers = [name for name in exact if name.startswith("spikes")]
    assert all((fine[name] == coarse[name]).all() for name in layers)

    def error(got: dict[str, Any], expected: dict[str, Any]) -> float:
        squares = [(float(((got[n] - expected[n]) ** 2).sum()), float((expected[n] ** 2).sum())) for n in names]
        return (sum(a for a, _ in squares) / sum(b for _, b in squares)) ** 0.5

    return {
        "net": net.label, "size": net.size, "highest_to_float64": error(fine, exact), "medium_to_float64": error(coarse, exact),
        "medium_to_highest": error(coarse, fine), "spikes": int(sum(exact[name].sum() for name in layers)),
        "differ": int(sum((exact[name] != fine[name]).sum() for name in layers)),
    }  # fmt: skip


def steps(net: Net, rounds: int, folder: Path, linear: bool) -> dict[str, Any]:
    """A training step (forward, loss, gradients), and the forward pass without gradients; with the nets' multi-Gaussian surrogate
    or the ``linear`` one."""
    ours = network(net, "float32", FINE, folder, Linear() if linear else None)

    def step(precision: str) -> None:
        torch.set_float32_matmul_precision(precision)
        ours.train()

    calls = {precision: lambda precision=precision: step(precision) for precision in (FINE, COARSE)}
    for call in calls.values():
        call()
    times = max(3, min(20, round(0.5 / seconds(calls[FINE], 2))))
    found = alternated(calls, times, rounds)
    label = net.label + ", linear surrogate" * linear
    return {"net": label, "size": net.size, "forward_s": seconds(ours.forward, times), **found}


def layer(sizes: tuple[int, int, int]) -> dict[str, Any]:
    """The layer of ``benchmarks.gpu precision``, by this backend."""
    from support.kernels import cast, differentiate

    from .measures.exactness import compare, problem

    double = problem(*sizes)
    single, exact = cast(double, torch.float32), differentiate(double, "reference")
    rows = {"the reference in float32": compare(exact, differentiate(single, "reference"))}
    for label, precision in (('float32 ("highest", the default)', FINE), ('bf16 going back ("medium")', COARSE)):
        torch.set_float32_matmul_precision(precision)
        rows[label] = compare(exact, differentiate(single, "cpu"))
    return {"sizes": sizes, "rows": rows}


def training(recipe: str, seed: int, precision: str, overrides: dict[str, Any], data: Path | None) -> dict[str, Any]:
    """A whole training: its best accuracy on validation."""
    torch.set_float32_matmul_precision(precision)
    with tempfile.TemporaryDirectory() as folder:
        model = train(recipe, folder, overrides, seed=seed, data_dir=data, examples=False)
    return {"recipe": recipe, "seed": seed, "precision": precision, "accuracy": model.about["result"]["accuracy"]}


def page(results: dict[str, Any]) -> str:
    """Every part that was measured, as a table."""
    lines = [
        "# Products of bfloat16 numbers on the CPU's way back", "",
        f'{results["machine"]["cpu"]}: `torch.set_float32_matmul_precision("medium")` beside "highest". Seconds are the '
        "processor's, of one thread, alternated; a ratio is of the time with to the mean of both times without beside it, the "
        "median ± the quartiles' distance: below 1, faster.", "",
    ]  # fmt: skip
    if "products" in results:
        ways = list(results["products"][0]["ways"])
        rows = [
            [str(row["size"]), f"{row['macs_per_s'] / 1e9:.0f}"]
            + [
                f"{1 / row['ways'][way]['ratio']['median']:.2f}x ± {row['ways'][way]['ratio']['iqr']:.2f}"
                for way in ways
            ]
            for row in results["products"]
        ]
        lines += ["## The instruction", "", "Eight rows times a square matrix, in cache.", ""]
        columns = ["neurons", "float32, G multiply-adds/s", *(f"{way}, faster by" for way in ways)]
        lines += [*markdown_table(columns, rows), ""]
    if "steps" in results:
        rows = [
            [
                f"{row['net']} {row['size']}", *(f"{1000 * row[side]['median']:.1f}" for side in ("fine_s", "coarse_s")),
                f"{row['ratio']['median']:.3f} ± {row['ratio']['iqr']:.3f}", f"{1 / row['ratio']['median']:.2f}x",
            ]
            for row in results["steps"]
        ]  # fmt: skip
        lines += ["## A training step", "", "Forward, loss and all gradients, without the optimiser.", ""]
        lines += [*markdown_table(["", "float32, ms", "bf16, ms", "ratio", "faster by"], rows), ""]
    if "layer" in results:
        from .measures.exactness import table

        (record,) = results["layer"]
        batch, count, size = record["sizes"]
        lines += [
            "## Exactness", "",
            f"A recurrent ALIF layer, {batch} sequences, {count} steps, {size} neurons, against the reference in float64, as for "
            "the [GPU](../gpu/precision.md); gradients as relative errors in the Euclidean norm.", "",
            table(record["rows"]),
        ]  # fmt: skip
    if "gradients" in results:
        rows = [
            [f"{row['net']} {row['size']}", f"{row['differ']:,} of {row['spikes']:,}",
             *(f"{row[name]:.1e}" for name in ("highest_to_float64", "medium_to_float64", "medium_to_highest"))]
            for row in results["gradients"]
        ]  # fmt: skip
        lines += [
            "The networks that are timed: all gradients together, of 8 sequences. Where spikes of float32 differ from float64's, "
            "that is what decides; the last column is of the products alone, at the same spikes.", "",
            *markdown_table(
                ["", "spikes that differ", "float32 to float64", "bf16 to float64", "bf16 to float32"], rows
            ), "",
        ]  # fmt: skip
    if "training" in results:
        lines += ["## Whole trainings", "", "The best epoch's accuracy on validation, each seed both ways.", ""]
        lines += [*markdown_table(["recipe", "seed", "float32", "bf16"], trainings(results["training"])), ""]
    return "\n".join([*lines, "Made by " + ", ".join(f"`{command}`" for command in results["commands"]) + ".", ""])


def trainings(records: list[dict[str, Any]]) -> list[list[str]]:
    """A row for each recipe and seed, and for each recipe their means."""
    rows, found = [], {(r["recipe"], r["seed"], r["precision"]): r for r in records}
    for recipe in dict.fromkeys(r["recipe"] for r in records):
        pairs = {
            seed: (found[recipe, seed, FINE], found[recipe, seed, COARSE])
            for name, seed, precision in sorted(found) if name == recipe and precision == COARSE
        }  # fmt: skip
        if not pairs:
            continue
        rows += [[recipe, str(seed), *(f"{r['accuracy']:.2%}" for r in pair)] for seed, pair in pairs.items()]
        columns = zip(*pairs.values(), strict=True)
        rows.append([recipe, "mean", *(f"{statistics.mean(r['accuracy'] for r in column):.2%}" for column in columns)])
    return rows


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bf16", description="bfloat16 products in the CPU's backward pass: accuracy and time"
    )
    parser.add_argument("--what", nargs="+", default=PARTS, choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--nets", nargs="+", default=[*NETS], choices=[*NETS])
    parser.add_argument("--recipes", nargs="+", default=["digits"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=9, help="pairs per measurement (default: 9)")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument(
        "--quick", action="store_true", help="small networks, to try everything; the numbers mean nothing"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "bf16", metavar="FOLDER")
    options = parser.parse_args(words)
    if bf16_pairs() is None:
        print("This processor has neither AVX512-BF16 nor AMX that may be used: nothing to measure.", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "bf16.json"
    before = torch.get_float32_matmul_precision(), torch.get_num_threads()
    results: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"commands": []}
    given = sys.argv[1:] if words is None else words
    results["machine"], command = describe(), " ".join(["python -m benchmarks.bf16", *given])
    results["commands"] = list(dict.fromkeys([*results["commands"], command]))
    nets = [quick(NETS[name]) if options.quick else NETS[name] for name in options.nets]
    rounds, overrides = (1, {"training.epochs": 1}) if options.quick else (options.rounds, {})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measures: dict[str, Iterable[Any]] = {
            "products": (products(size, rounds) for size in (36, 128, 256, 300, 400)),
            "layer": (layer(sizes) for sizes in ((4, 10, 24) if options.quick else (16, 100, 128),)),
            "gradients": (gradients(net, folder) for net in nets),
            "steps": (steps(net, rounds, folder, linear) for net in nets for linear in (False, True)),
            "training": (
                training(recipe, seed, precision, overrides, options.data_dir)
                for recipe in options.recipes for seed in options.seeds for precision in (FINE, COARSE)
            ),
        }  # fmt: skip
        torch.set_num_threads(1)
        try:
            for part in options.what:
                asked = {(name, seed) for name in options.recipes for seed in options.seeds}
                results[part] = [
                    record for record in results.get(part, ())
                    if part == "training" and (record["recipe"], record["seed"]) not in asked
                ]  # fmt: skip
                for record in measures[part]:
                    results[part].append(record)
                    print(part, json.dumps(record)[:500], flush=True)
                    path.write_text(json.dumps(results, indent=1) + "\n")
                    (options.out / "README.md").write_text(page(results))
        finally:
            torch.set_float32_matmul_precision(before[0])
            torch.set_num_threads(before[1])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
