"""What a network costs on microcontrollers:
``python -m benchmarks.devices NETWORK [NETWORK ...] --out DIR``.

A network is a pretrained one's name, or NAME=PATH of a run's folder or a model's file. It is
exported to C in float32 and in int8, compiled for a Cortex-M0+, a Cortex-M4F and an RV32IMAC
(``-Os``, the distribution's compilers), and run on boards that QEMU emulates over whole sequences
of the validation split: sound as 16-bit samples, through the front end in C; else the network's
input. Told are

    labels         steps whose class equals that of the same C on this machine; and of sequences, that of the network in Python
    flash          code and constants of the library, with what it links: software floating point, <math.h>
    RAM            state, front end and decision, and the deepest stack of a whole run
    instructions   executed for a step: by the front end, and by network and decision, as boards.py counts them

Two sequences tell little of a network: ``--labels 200`` compares that many on this machine instead,
whose labels are those of the boards, with their true labels, and adds the table to DIR's
devices.json and devices.md.

Beside them an LSTM of as many hidden units with random weights: in such C on the same boards
(float32), and the bytes of its ONNX model. Needs gcc, and the Debian packages gcc-arm-none-eabi
libnewlib-arm-none-eabi qemu-system-arm gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf
qemu-system-misc.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import machine
from .boards import (
    LARGE_M0,
    PROCESSORS,
    SUPPORT,
    Processor,
    called,
    command,
    compiled,
    linked,
    sizes,
)
from .device_lstm import c_source, onnx_model
from .device_page import table

if TYPE_CHECKING:
    from srnn.model.trained import Trained

HERE = Path(__file__).parent
DEVICES = {
    "Cortex-M0+": LARGE_M0,
    **{name: PROCESSORS[name] for name in ("Cortex-M4F", "RV32IMAC")},
}
Format = Literal["float32", "int8"]
FORMATS: tuple[Format, ...] = ("float32", "int8")


@dataclass(frozen=True)
class Golden:
    """Recorded sequences: what a device is given, by format, and the class of each in Python."""

    blocks: dict[Format, list[np.ndarray]]
    """Of each sequence, (blocks, samples or inputs)."""
    labels: list[int]
    rate: int | None
    """Samples a second, of sound."""


def recorded(trained: Trained, count: int, data_dir: Path | None) -> Golden:
    """The first sequences of the validation split."""
    import torch

    from srnn.data.batches import Sequences
    from srnn.data.spikes import Spikes

    assert trained.inputs_as is not None
    path = trained.task.signal()
    split = Sequences(trained.task, "validation", data_dir)
    where = np.linspace(0, len(split) - 1, count).astype(int)
    if path.has_c and path.as_trained and path.channels == 1:
        return _sounds(trained, where, data_dir)
    batch = split.take(where)
    x = (batch.x.dense(torch.float32) if isinstance(batch.x, Spikes) else batch.x).numpy()
    lengths = [x.shape[1]] * len(x) if batch.lengths is None else batch.lengths.tolist()
    whole = [one[:length] for one, length in zip(x, lengths, strict=True)]
    dtype = np.int8 if trained.inputs_as.bound == 128 else np.int16
    with torch.no_grad():
        scores = [
            trained.loss.scores(trained.network.run(torch.from_numpy(one[None])).output)
            for one in whole
        ]  # type: ignore[operator]
    labels = [int(one.argmax(-1).ravel()[-1]) for one in scores]
    integers = [trained.inputs_as.encode(one).astype(dtype) for one in whole]
    return Golden(
        {"float32": [one.astype(np.float32) for one in whole], "int8": integers}, labels, None
    )


def _sounds(trained: Trained, where: np.ndarray, data_dir: Path | None) -> Golden:
    from srnn.deploy.streaming.decoder import Decoder

    signals = trained.recipe.create_task().load("validation", data_dir).signals
    assert signals is not None
    decoder, blocks, labels = Decoder.of(trained.folded()), [], []
    for index in where:
        sound = np.clip(
            np.rint(np.asarray(signals[int(index)])[:, 0] * 32768), -32768, 32767
        ).astype(np.int16)
        session = decoder.open(whole=True)  # the C ends no sequence of its own accord
        decided = [
            *session.push(sound[:, None] / np.float32(32768)).winners,
            *session.finish().winners,
        ]
        labels.append(int(decided[-1]))
        hop = session.encoder.hop
        blocks.append(sound[: len(sound) // hop * hop].reshape(-1, hop))
    rate = trained.task.signal().rate
    return Golden({"float32": blocks, "int8": blocks}, labels, None if rate is None else int(rate))


def given(blocks: list[np.ndarray]) -> bytes:
    """What devices.c reads."""
    return b"".join(
        np.uint32(len(one)).tobytes() + np.ascontiguousarray(one).tobytes() for one in blocks
    )


def told(output: bytes) -> tuple[np.ndarray, list[int], int]:
    """(labels, instructions of front end and network, bytes of stack) of what devices.c writes."""
    labels, result = np.frombuffer(output[:-20], np.int8), np.frombuffer(output[-20:], np.uint32)
    return (
        labels,
        [int(result[0]) | int(result[1]) << 32, int(result[2]) | int(result[3]) << 32],
        int(result[4]),
    )


def run(
    processor: Processor, folder: Path, name: str, defines: list[str], sequences: bytes
) -> dict[str, Any]:
    """A library on a board: labels, bytes, instructions."""
    (folder / "support.h").write_text(SUPPORT)
    board = folder / "board.c"
    board.write_text((HERE / "devices.c").read_text())
    objects = [
        compiled(processor, board, *defines, "-DBOARD"),
        compiled(processor, folder / f"{name}.c", "-ffunction-sections"),
    ]
    image = linked(processor, objects, math=True)
    done = subprocess.run(
        command(processor, image, "-icount", "shift=0"),
        input=sequences,
        capture_output=True,
        check=True,
    )
    labels, instructions, stack = told(done.stdout)
    text, data, _ = sizes(processor, image)
    return {
        "labels": labels, "flash_bytes": text + data - sizes(processor, objects[0])[0], "stack_bytes": stack,
        "instructions": [count / int((labels >= 0).sum()) for count in instructions],
    }  # fmt: skip


def on_host(folder: Path, name: str, defines: list[str], sequences: bytes) -> np.ndarray:
    """The labels of the same C on this machine."""
    program = folder / "host"
    (folder / "host.c").write_text((HERE / "devices.c").read_text())
    sources = [str(folder / "host.c"), str(folder / f"{name}.c")]
    called(
        "gcc",
        "-std=c99",
        "-O2",
        "-ffp-contract=off",
        *defines,
        f"-I{folder}",
        "-o",
        str(program),
        *sources,
        "-lm",
    )
    return told(subprocess.run([program], input=sequences, capture_output=True, check=True).stdout)[
        0
    ]


def _defines(name: str, inputs: int, outputs: int, *more: str) -> list[str]:
    return [
        f'-DHEADER="{name}.h"',
        f"-DPREFIX={name}",
        f"-DINPUTS={inputs}",
        f"-DOUTPUTS={outputs}",
        *more,
    ]


def measure(
    name: str, trained: Trained, count: int, data_dir: Path | None, folder: Path
) -> dict[str, Any]:
    """Everything about one network."""
    from srnn.deploy.export.model import export_c

    golden, network = recorded(trained, count, data_dir), trained.spiking("exported")
    layers = [network.inputs, *trained.recipe.network.hidden, network.outputs]
    sizes = (network.inputs, network.outputs)
    found: dict[str, Any] = {
        "network": name, "layers": layers, "rate": golden.rate, "sequences": count, "split": "validation", "formats": {},
    }  # fmt: skip
    hop = [] if golden.rate is None else [f"-DENCODER={golden.blocks['float32'][0].shape[1]}"]
    for format in FORMATS:
        report = export_c(trained, folder / format, format, name="net")
        defines, sequences = (
            _defines("net", *sizes, "-DDECISION", *hop),
            given(golden.blocks[format]),
        )
        here = on_host(folder / format, "net", defines, sequences)
        ends = np.flatnonzero(here < 0)
        record = {
            "constants_bytes": report["flash_bytes"], "ram_bytes": report["ram_bytes"], "steps": int((here >= 0).sum()),
            "as_in_python": int((here[ends - 1] == golden.labels).sum()), "devices": {},
        }  # fmt: skip
        for device, processor in DEVICES.items():
            one = run(processor, folder / format, "net", defines, sequences)
            one["labels_that_differ"] = int((one.pop("labels") != here).sum())
            record["devices"][device] = one
        found["formats"][format] = record
        found["lstm"] = found.get("lstm", {}) | {format: report["lstm_of_the_same_size"]}
    (folder / "lstm").mkdir()
    for file, text in c_source(layers[0], layers[1:-1], layers[-1]).items():
        (folder / "lstm" / file).write_text(text)
    x = (
        np.random.default_rng(0).normal(size=(3, layers[0])).astype(np.float32)
    )  # a dense network's cost is the same for any
    for device, processor in DEVICES.items():
        one = run(processor, folder / "lstm", "lstm", _defines("lstm", *sizes), given([x]))
        found["lstm"][device] = {
            "flash_bytes": one["flash_bytes"],
            "instructions": one["instructions"][1],
        }
    found["lstm"]["onnx_bytes"] = onnx_model(layers[0], layers[1:-1], layers[-1]).ByteSize()
    return found


def labels(name: str, trained: Trained, count: int, data_dir: Path | None) -> dict[str, Any]:
    """How many sequences, each of which has a class, get the right one: in Python, in C on this
    machine, and from the integer model."""
    from srnn.data.batches import Sequences
    from srnn.deploy.export.model import export_c
    from srnn.nn.fixedpoint.decision import integer_scores
    from srnn.nn.fixedpoint.device import device_network
    from srnn.nn.fixedpoint.integer import quantise

    assert trained.inputs_as is not None
    split, golden = (
        Sequences(trained.task, "validation", data_dir),
        recorded(trained, count, data_dir),
    )
    true = split.take(np.linspace(0, len(split) - 1, count).astype(int)).y.numpy().ravel()
    network, encoder = trained.spiking("exported"), trained.task.signal()
    said: dict[str, np.ndarray] = {"python": np.array(golden.labels)}
    hop = [] if golden.rate is None else [f"-DENCODER={golden.blocks['float32'][0].shape[1]}"]
    defines = _defines("net", network.inputs, network.outputs, "-DDECISION", *hop)
    for format in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / format
            export_c(trained, library, format, name="net")
            here = on_host(library, "net", defines, given(golden.blocks[format]))
        said[format] = here[np.flatnonzero(here < 0) - 1]
    small, model = quantise(device_network(network), trained.inputs_as), list[int]()
    for blocks in golden.blocks["int8"]:
        x = blocks
        if golden.rate is not None:
            x = trained.inputs_as.encode(encoder.whole(blocks.reshape(-1, 1) / np.float32(32768)))
        outputs = small.run(x[None].astype(int)).output[0]
        scores = integer_scores(outputs, small.output_bits, trained.decision.loss)
        model.append(int(scores[-1].argmax()))
    said["integer model"] = np.array(model)
    return {
        "network": name,
        "split": "validation",
        "sequences": count,
        "right": {who: int((found == true).sum()) for who, found in said.items()},
        "as_in_python": {who: int((said[who] == said["python"]).sum()) for who in FORMATS},
        "int8_as_its_model": int((said["int8"] == said["integer model"]).sum()),
    }


def _of_labels(found: dict[str, Any]) -> str:
    """The table of what ``labels`` found; empty where that was not asked."""
    if "labels" not in found:
        return ""
    head = (
        "network | sequences | right: Python, float32 | C, float32 | C, int8 | integer model | "
        "as in Python: C, float32 | C, int8"
    )
    rows = []
    for one in found["labels"]["networks"]:
        right, same = one["right"], one["as_in_python"]
        numbers = [one["sequences"], *right.values(), *same.values()]
        rows.append(" | ".join([one["network"], *map(str, numbers)]))
    about = found["labels"]
    return (
        f"\nMore sequences, on a desktop, whose C answers as a board's does: `{about['command']}`, "
        f"commit {about['machine']['commit']}.\n\n{table(head, rows)}\n"
    )


def page(found: dict[str, Any]) -> str:
    """The tables, in markdown."""
    rows, beside = [], []
    for one in found["networks"]:
        name, lstm = f"{one['network']}, {'-'.join(map(str, one['layers']))}", one["lstm"]
        for format, record in one["formats"].items():
            for device, on in record["devices"].items():
                front, network = (f"{value:,.0f}" for value in on["instructions"])
                rows.append(
                    f"{name} | {format} | {device} | "
                    f"{record['steps'] - on['labels_that_differ']:,} of {record['steps']:,}; "
                    f"{record['as_in_python']} of {one['sequences']} | {on['flash_bytes']:,} | "
                    f"{record['ram_bytes']:,} + {on['stack_bytes']:,} | "
                    f"{front if one['rate'] else '-'} | {network}"
                )
        instructions = " | ".join(f"{lstm[device]['instructions']:,.0f}" for device in DEVICES)
        flash = " | ".join(f"{lstm[format]['flash_bytes']:,}" for format in FORMATS)
        beside.append(
            f"{name} | {lstm['onnx_bytes']:,} | {flash} | "
            f"{lstm['float32']['multiply_adds_per_step']:,} | {instructions}"
        )
    head = (
        "network | numbers | device | labels: steps; sequences as in Python | flash, bytes | RAM, "
        "bytes: structs + stack | "
        "front end, instructions a step | network"
    )
    other = (
        "as many LSTM units as | ONNX, bytes | constants, float32 | constants, int8 | "
        "multiply-adds a step | "
        + " | ".join(f"{device}, instructions a step, float32" for device in DEVICES)
    )
    compilers = " and ".join(found["compilers"])
    return (
        f"# On microcontrollers\n\nMade by `{found['command']}`, commit "
        f"{found['machine']['commit']}; {compilers}; "
        f"{found['emulator']}. What is measured: "
        f"benchmarks/devices.py.\n\n{table(head, rows)}\n{_of_labels(found)}\n{table(other, beside)}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.devices", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument(
        "networks",
        nargs="+",
        metavar="NETWORK",
        help="a pretrained network's name, or NAME=PATH of a run's folder or a model's file",
    )
    parser.add_argument(
        "--sequences", type=int, default=4, help="of the validation split (default: 4)"
    )
    parser.add_argument(
        "--labels",
        type=int,
        metavar="N",
        help="compare so many sequences on this machine instead, and add that to what DIR holds",
    )
    parser.add_argument(
        "--data-dir", type=Path, help="folder with the data sets (default: SRNN_DATA)"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for devices.json and devices.md"
    )
    options = parser.parse_args()
    from srnn.model.opening import open_trained

    if options.labels:
        found = json.loads((options.out / "devices.json").read_text())
        compared = [
            labels(
                name or Path(path).name, open_trained(Path(path)), options.labels, options.data_dir
            )
            for name, _, path in (text.rpartition("=") for text in options.networks)
        ]
        found["labels"] = {
            "command": f"python -m benchmarks.devices {' '.join(options.networks)} --labels "
                       f"{options.labels} --out DIR",
            "machine": machine.describe(),
            "networks": compared,
        }  # fmt: skip
        return _write(options.out, found)
    records = []
    for text in options.networks:
        name, _, path = text.rpartition("=")
        with tempfile.TemporaryDirectory() as folder:
            trained = open_trained(Path(path))
            records.append(
                measure(
                    name or Path(path).name,
                    trained,
                    options.sequences,
                    options.data_dir,
                    Path(folder),
                )
            )
        print(json.dumps(records[-1]), flush=True)
    names = " ".join(
        f"{one['network']}=runs/{one['network']}" if "=" in text else text
        for one, text in zip(records, options.networks, strict=True)
    )
    versions = [
        called(prefix + "gcc", "--version").splitlines()[0]
        for prefix in sorted({p.prefix for p in DEVICES.values()})
    ]
    found = {
        "machine": machine.describe(), "compilers": versions, "networks": records,
        "emulator": called("qemu-system-arm", "--version").splitlines()[0],
        "command": f"python -m benchmarks.devices {names} --sequences {options.sequences} --out "
                   "DIR",
    }  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    _write(options.out, found)


def _write(out: Path, found: dict[str, Any]) -> None:
    (out / "devices.json").write_text(json.dumps(found, indent=1) + "\n")
    (out / "devices.md").write_text(page(found))


if __name__ == "__main__":
    main()
