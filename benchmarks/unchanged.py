"""Has a change altered what must stay? The outputs of this checkout against those of another one of
the project.

    git worktree add ../before COMMIT
    python -m benchmarks.unchanged keep ../before --out kept/before
    python -m benchmarks.unchanged keep . --out kept/after
    python -m benchmarks.unchanged compare kept/before kept/after

Kept as text, so that a difference can be read: the bits of short trainings (a digest of every
tensor, the log without its times), the files of exports, and the numbers of commands that print
JSON. Speeds: ``python -m benchmarks.versions``.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

PRETRAINED = (
    "digits",
    "ecg",
    "ecg-large",
    "ecg-records",
    "smnist-delays",
    "speech-commands-mini",
    "spoken-digits-spikes",
)
SMALL = (
    "--network.hidden",
    "[16,16]",
    "--network.recurrent",
    "[false,true]",
    "--training.epochs",
    "1",
)
#: Trainings of an epoch, each of which takes seconds: what is varied in the recipe of the digits.
TRAININGS: dict[str, tuple[str, ...]] = {
    "alif": (),
    "lif": ("--network.neuron", "{name: lif}"),
    "adlif-norm": ("--network.neuron", "{name: adlif}", "--network.norm", "batch"),
    "cubalif": ("--network.neuron", "{name: cubalif}"),
    "brf-delays": (
        "--network.neuron",
        "{name: brf}",
        "--network.delays",
        '{recurrent: "uniform(0, 20)"}',
    ),
    "liquid": ("--network.neuron", "{name: liquid}"),
    "bidirectional": ("--network.bidirectional", "true"),
    "linear": ("--network.surrogate", "linear"),
    "mixed": (
        "--training.augment.mix",
        "0.4",
        "--training.augment.time_shift",
        "3",
        "--training.average",
        "0.9",
    ),
    "tbptt": ("--training.rule", "tbptt", "--training.window", "16"),
    "fptt": ("--training.rule", "tbptt", "--training.window", "16", "--training.fptt.alpha", "0.1"),
    "e-prop": ("--training.rule", "e-prop"),
    "d-rtrl": ("--training.rule", "d-rtrl"),
    "pruned": ("--training.prune.sparsity", "0.5"),
    "quantised": ("--training.quantise", "int8"),
    "lstm": ("--baseline", "lstm"),
}
#: Trainings that need data sets beside the checkout (SRNN_DATA).
ON_DATA: dict[str, tuple[str, ...]] = {
    "ecg": ("ecg", "--training.epochs", "1"),
    "ecg-bidirectional": ("ecg-bidirectional", "--training.epochs", "1"),
    "paper-ecg": ("paper/ecg", "--training.epochs", "1"),
}
VOLATILE = re.compile(
    r"seconds|minutes|time|_ms$|^run$|path|commit|version|machine|threads|samples_per_s|latency|date|written"
)


@dataclass
class Kept:
    """What is kept, a text for each name."""

    folder: Path

    def text(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(normal(text))

    def tree(self, name: str, folder: Path) -> None:
        """Every file of a folder: its text, or a digest of what it holds."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.text(f"{name}/{path.relative_to(folder)}", described(path))


def normal(text: str) -> str:
    """A text without the project's version and the folders of this machine."""
    text = re.sub(r"\b0\.\d+\.\d+(\.dev\d+)?(\+[\w.]+)?", "VERSION", text)
    return re.sub(r"/[\w./-]*/(work|kept)-\w+", "WORK", text)


def described(path: Path) -> str:
    """A file as text that can be compared: digests of the arrays that a binary file holds."""
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        return digests(load_file(path))
    if path.suffix == ".onnx":
        import onnx

        return onnx.printer.to_text(onnx.load_model_from_string(path.read_bytes()))
    data = path.read_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError:
        return hashlib.sha256(data).hexdigest() + "\n"


def digests(arrays: dict[str, Any]) -> str:
    import numpy as np

    lines = []
    for name, value in sorted(arrays.items()):
        array = np.asarray(value)
        data = array.tobytes() if array.dtype != object else repr(array.tolist()).encode()
        lines.append(
            f"{name} {array.dtype} {array.shape} {hashlib.sha256(data).hexdigest()[:16]}\n"
        )
    return "".join(lines)


def stable(value: Any) -> Any:
    """JSON without what differs from run to run."""
    if isinstance(value, dict):
        return {key: stable(inner) for key, inner in value.items() if not VOLATILE.search(key)}
    return [stable(inner) for inner in value] if isinstance(value, list) else value


def command(*words: str) -> str:
    """What ``srnn WORDS`` prints on standard output, and its exit code; JSON without what is
    volatile."""
    from srnn.cli.main import main

    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            code = main(list(words))
        except SystemExit as error:
            code = error.code
    if code:
        return f"exit code {code}\n{errors.getvalue()}"
    text = out.getvalue()
    if "--json" not in words:
        return text
    objects = [
        stable(json.loads(line))
        for line in text.splitlines()
        if line.startswith("{") and line.endswith("}")
    ]
    return json.dumps(objects or stable(json.loads(text)), indent=1, sort_keys=True) + "\n"


def jobs(kept: Kept, work: Path) -> Iterator[tuple[str, Any]]:
    """(name, what to do) of all that is kept."""
    for name, settings in TRAININGS.items():
        yield (
            f"train/{name}",
            lambda n=name, s=settings: training(kept, work, n, ("digits", *SMALL, *s)),
        )
    for name, words in ON_DATA.items():
        yield f"train/{name}", lambda n=name, w=words: training(kept, work, n, w)
    for name in PRETRAINED:
        yield f"export/{name}", lambda n=name: exports(kept, work, n)
        yield f"commands/{name}", lambda n=name: commands(kept, work, n)
    yield "learning C", lambda: learning(kept, work)


def training(kept: Kept, work: Path, name: str, words: Sequence[str]) -> None:
    run = work / f"run-{name}"
    said = command("train", *words, "--seed", "7", "--out", str(run))
    if said.startswith("exit code"):
        kept.text(f"train/{name}/refused.txt", said)
        return
    for file in sorted(run.glob("*.safetensors")):
        kept.text(f"train/{name}/{file.name}.txt", described(file))
    records = [
        stable(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()
    ]
    kept.text(f"train/{name}/metrics.json", json.dumps(records, indent=1, sort_keys=True))
    kept.text(f"train/{name}/evaluate.json", command("evaluate", str(run), "--json"))


def exports(kept: Kept, work: Path, name: str) -> None:
    for form, words in {
        "c": ("c", "--name", "net"),
        "c-int8": ("c", "--name", "net", "--format", "int8"),
        "c-arduino": ("c", "--name", "net", "--layout", "arduino"),
        "onnx": ("onnx",),
        "nir": ("nir",),
    }.items():
        out = work / f"export-{name}-{form}"
        if form in ("onnx", "nir"):
            out.mkdir()
            target = out / f"net.{form}"
        else:
            target = out
        said = command("export", *words[:1], name, "--out", str(target), *words[1:])
        kept.text(f"export/{name}/{form}/said.txt", said)
        if out.exists():
            kept.tree(f"export/{name}/{form}", out)


def commands(kept: Kept, work: Path, name: str) -> None:
    example = work / f"{name}.npy"
    kept.text(
        f"commands/{name}/card.json", command("models", name, "--json", "--example", str(example))
    )
    kept.text(f"commands/{name}/predict.json", command("predict", name, str(example), "--json"))
    kept.text(
        f"commands/{name}/over-time.csv",
        command("predict", name, str(example), "--over-time", "--csv"),
    )
    kept.text(
        f"commands/{name}/stream.json",
        command("stream", name, str(example), "--json", "--report", "change"),
    )
    kept.text(
        f"commands/{name}/energy.json", command("energy", name, "--json", "--baselines", "lstm")
    )


def learning(kept: Kept, work: Path) -> None:
    for rule in ("readout", "e-prop"):
        out = work / f"learn-{rule}"
        command("export", "c", "ecg", "--out", str(out), "--learn", rule, "--name", "net")
        if out.exists():
            kept.tree(f"learning/{rule}", out)


def keep(folder: Path, only: str = "") -> None:
    """What the package that is imported puts out, of the jobs whose names contain ``only``."""
    kept = Kept(folder)
    with tempfile.TemporaryDirectory(prefix="work-") as work:
        back = Path.cwd()
        os.chdir(work)  # so that a run's folder has the same name in both
        for name, do in jobs(kept, Path(work)):
            if only not in name:
                continue
            print(name, file=sys.stderr, flush=True)
            do()
        os.chdir(back)


def compare(before: Path, after: Path, lines: int) -> int:
    """Print what differs; the number of files that do."""
    names = {
        str(path.relative_to(folder))
        for folder in (before, after)
        for path in folder.rglob("*")
        if path.is_file()
    }
    different = 0
    for name in sorted(names):
        texts = [
            (folder / name).read_text() if (folder / name).exists() else ""
            for folder in (before, after)
        ]
        if texts[0] == texts[1]:
            continue
        different += 1
        changes = list(
            difflib.unified_diff(
                *(text.splitlines() for text in texts), "before", "after", lineterm="", n=0
            )
        )
        print(f"--- {name}: {len(changes)} lines of differences")
        print("\n".join(line[:200] for line in changes[2 : 2 + lines]))
    print(f"{len(names)} files compared, {different} differ.")
    return different


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.unchanged", description=(__doc__ or "").partition("\n")[0]
    )
    actions = parser.add_subparsers(dest="action", required=True)
    keeping = actions.add_parser("keep", help="write what a checkout's package puts out")
    keeping.add_argument("checkout", type=Path)
    keeping.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    keeping.add_argument(
        "--only",
        default="",
        metavar="TEXT",
        help="only what has this in its name, such as train/lif",
    )
    comparing = actions.add_parser("compare", help="show what differs between two such folders")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.add_argument(
        "--lines", type=int, default=12, help="lines of each difference (default: 12)"
    )
    options = parser.parse_args(argv)
    if options.action == "compare":
        return 1 if compare(options.before, options.after, options.lines) else 0
    source = options.checkout.resolve() / "src"
    if not (source / "srnn" / "__init__.py").is_file():
        parser.error(f"{options.checkout} is not a checkout of srnn: it has no src/srnn.")
    program = (
        "import sys, pathlib; from benchmarks.unchanged import keep; "
        "keep(pathlib.Path(sys.argv[1]), sys.argv[2])"
    )
    paths = os.pathsep.join([str(source), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", program, str(options.out.resolve()), options.only]
    return subprocess.run(words, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
