"""How long a new process takes to its first prediction:
``python -m benchmarks.first_prediction --out results/first-prediction``.

    without torch   import srnn, load the pretrained network, predict its example
    with torch      the same, after "import torch", as in a program that has it anyway
    compiling       as without torch, where nothing has been compiled before: the first start on a machine
    training        where nothing has been compiled before: one step of training a default network of the same sizes

Every process is new; the first two ways alternate, and find the loops compiled. Told are medians:
seconds until the first prediction, the processor time of that, the seconds of a second prediction,
and the peak of the process's memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import srnn
from srnn.text import markdown_table

from .machine import describe
from .measures.statistics import summary
from .storage import publish

ROOT = Path(__file__).parents[1]
_PREDICT = """
import srnn
imported = time.perf_counter()
model = srnn.load({model!r})
loaded = time.perf_counter()
model.predict({example!r})
done = time.perf_counter()
model.predict({example!r})
again = time.perf_counter()
parts = {{"import_s": imported - begun, "load_s": loaded - imported, "predict_s": done - loaded,
          "second_s": again - done}}
"""
_TRAIN = """
import srnn
import torch
net = srnn.SRNN({inputs}, [{hidden}], {outputs})
net(torch.rand(8, 50, {inputs}))[0].mean().backward()
done = time.perf_counter()
parts = {{}}
"""
_BEGIN = "import time; begun = time.perf_counter(); import json, resource, sys\n"
_END = """
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"first_s": done - begun, "processor_s": used.ru_utime + used.ru_stime,
                  "peak_mib": used.ru_maxrss / 1024, "torch": "torch" in sys.modules, **parts}))
"""
WAYS = {
    "without torch": _PREDICT,
    "with torch": f"import torch{_PREDICT}",
    "compiling": _PREDICT,
    "training": _TRAIN,
}
COLD = ("compiling", "training")


def once(code: str, cold: bool) -> dict[str, Any]:
    """What a new process says of itself. ``cold``: it finds nothing compiled."""
    with tempfile.TemporaryDirectory(prefix="srnn-cold-") as folder:
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONWARNINGS": "ignore"}
        if cold:
            environment["NUMBA_CACHE_DIR"] = folder
        done = subprocess.run(
            [sys.executable, "-c", _BEGIN + code + _END],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
    said = [line for line in done.stderr.splitlines() if line.startswith("srnn: ")]
    return {**json.loads(done.stdout), "said": said}


def measure(name: str, rounds: int) -> dict[str, Any]:
    """Each way's numbers, summarised over its processes."""
    model = srnn.load(name)
    described = {
        "model": name,
        "example": str(srnn.example(name)),
        "inputs": model.task.inputs,
        "outputs": model.task.outputs,
        "hidden": ", ".join(map(str, model.recipe.network.hidden)),
    }
    codes = {way: code.format(**described) for way, code in WAYS.items()}
    once(codes["without torch"], cold=False)  # compiles what is missing
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in codes}
    for number in range(rounds):
        for way, code in codes.items():
            if way not in COLD or number < max(rounds // 3, 1):
                found[way].append(once(code, way in COLD))
                print(f"{way}: {found[way][-1]['first_s']:.2f} s", file=sys.stderr, flush=True)
    return {way: _summary(rows) for way, rows in found.items()}


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = {
        key: summary([row[key] for row in rows])
        for key, value in rows[0].items()
        if isinstance(value, float)
    }
    return {**numbers, "torch": rows[0]["torch"], "said": rows[0]["said"]}


def page(about: dict[str, Any]) -> str:
    def cells(way: str, one: dict[str, Any]) -> list[str]:
        second = one.get("second_s")
        return [
            way,
            f"{one['first_s']['median']:.2f}",
            f"{one['processor_s']['median']:.2f}",
            "-" if second is None else f"{1000 * second['median']:.0f}",
            f"{one['peak_mib']['median']:.0f}",
        ]

    head = ["", "seconds", "of a processor", "second prediction, ms", "peak memory, MiB"]
    table = "\n".join(markdown_table(head, [cells(*item) for item in about["rows"].items()]))
    machine = about["machine"]
    return (
        f"# The first prediction of a new process\n\n`{about['model']}`, on {machine['cpu']}, "
        f"{machine['cores']} cores, at a load of {machine['load_before']:.1f}; medians of "
        f"{about['rounds']} processes, of those that compile {max(about['rounds'] // 3, 1)}.\n\n"
        f"{table}\n\nThe last two rows find nothing compiled, as at the first start on a machine: "
        "the one compiles what predicts, the other what trains a default network. Where a wait is "
        f'longer than two seconds, the program says: "{"; ".join(about["rows"]["compiling"]["said"])}".'
        f"\n\nMade by `{about['command']}`.\n"
    )


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="ecg-records")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args(words)
    machine = describe()  # before this makes it busy
    about = {
        "command": f"python -m benchmarks.first_prediction --out {arguments.out}",
        "model": arguments.model,
        "rounds": arguments.rounds,
        "machine": machine,
        "rows": measure(arguments.model, arguments.rounds),
    }
    publish(about, page(about), arguments.out, "first-prediction")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
