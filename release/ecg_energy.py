"""What a step of ECG costs, beside networks that do not spike:

    python -m release.ecg_energy RUN ...    measures into results/ecg-energy/measured.json; needs the
                                            paper's file, and runs of ecg, of its twin
                                            (--baseline relu) and of the LSTM of 18 units
    python -m release.ecg_energy            writes the table of results/ecg-energy/README.md from that
                                            file, results/ecg, results/device and the card of ecg

The twin is the same network without spikes: its units pass on max(0, membrane). It is read with
weights of 8 bits and outputs of as many bits as its row says, both rounded after training; the
LSTM with 8 bits of either.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from srnn.data.datasets import Split
from srnn.measure.energy.compared import compare_energy
from srnn.model.opening import open_trained
from srnn.model.trained import Trained
from srnn.training.compression.evaluation import evaluate_int8

from .results_table import RESULTS, Table, percent, read, replaced, validated

FOLDER = RESULTS / "ecg-energy"
MEASURED = FOLDER / "measured.json"
NETWORKS = {
    "srnn": "ecg",
    "lstm-18": "results/ecg/lstm-18/recipe.yaml",
    "gru": "results/ecg/gru/recipe.yaml",
    "lstm": "results/ecg/lstm/recipe.yaml",
}
"""The spiking network first; an LSTM of as many parameters, and cells with settings of their
own."""
TECHNOLOGIES = {"float32": "horowitz-45nm", "int8": "horowitz-45nm-int8"}
BITS = (8, 4, 3, 2)
METRIC = "accuracy_labelled"
MULTIPLICATION, ADDITION = 3.7, 0.9
"""pJ, float32, 45 nm (Horowitz 2014); together a multiply-add of 4.6."""


# ---- measuring -----------------------------------------------------------------------------------


def measure(runs: Sequence[str]) -> dict[str, Any]:
    """Energies of all networks, and for each of the runs its accuracy with few bits."""
    of: dict[str, list[str]] = {"srnn": [], "twin": [], "lstm-18": []}
    for run in runs:
        of[kind(run)].append(run)
    names = [*NETWORKS, "twin"]
    networks: dict[str, dict[str, Any]] = {name: {} for name in names}
    compared: dict[str, Any] = {}
    for technology, prices in TECHNOLOGIES.items():
        subjects = [*NETWORKS.values(), of["twin"][0]]
        compared[technology] = compare_energy(subjects, technology=prices)
        for name, report in zip(names, compared[technology]["networks"], strict=True):
            models = report["models"]
            networks[name] |= {
                "parameters": report["parameters"],
                "arithmetic_pj": models["fp32"]["energy_pj"]["step"],
                f"memory_{technology}_pj": models["memory"]["energy_pj"]["step"],
            }
    first = compared["float32"]["networks"][0]
    return {
        "seeds": {name: [open_trained(run).seed for run in found] for name, found in of.items()},
        "firing_rate": first["firing_rate"]["mean"],
        "pays_below": {
            technology: one["break_even"]["relu"]["memory"] for technology, one in compared.items()
        },
        "networks": networks,
        "twin_by_bits": {str(bits): [rounded(run, bits) for run in of["twin"]] for bits in BITS},
        "int8": {
            "srnn": [evaluate_int8(open_trained(run)).report[METRIC] for run in of["srnn"]],
            "lstm-18": [rounded_lstm(run) for run in of["lstm-18"]],
        },
    }


def kind(run: str) -> str:
    """Which of the networks a run has trained."""
    network = open_trained(run).recipe.network
    if network.model == "lstm":
        return "lstm-18"
    return "twin" if network.neuron["name"] == "relu" else "srnn"


def rounded_lstm(run: str) -> float:
    """The LSTM's accuracy of labelled steps on validation, with weights and outputs of 8 bits."""
    trained = open_trained(run)
    (layer,), readout = trained.network.layers, trained.network.readout
    weights = [
        _int8(getattr(layer.cell, name).detach().numpy())
        for name in ("weight_ih_l0", "weight_hh_l0")
    ]
    biases = (layer.cell.bias_ih_l0 + layer.cell.bias_hh_l0).detach().numpy()
    last, bias = _int8(readout.weight_in.detach().numpy()), readout.bias.detach().numpy()

    def answers(x: Any) -> Any:
        return (_lstm_outputs(*weights, biases, x) @ last.T + bias).argmax(2)

    return _share_right(trained, trained.task.load("validation"), answers)


def _lstm_outputs(own: Any, back: Any, bias: Any, x: Any, levels: int = 127) -> Any:
    """(B, T, units) what the units pass on, -1 to 1, rounded to so many levels of either sign."""
    h = c = np.zeros((len(x), back.shape[1]), np.float32)
    outputs = np.zeros((*x.shape[:2], back.shape[1]), np.float32)
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ own.T + h @ back.T + bias, 4, axis=1)
        c = expit(f) * c + expit(i) * np.tanh(g)
        h = np.round(expit(o) * np.tanh(c) * levels) / levels
        outputs[:, t] = h
    return outputs


def rounded(run: str, bits: int) -> float:
    """The twin's accuracy of labelled steps on validation, with weights of 8 bits and outputs of so
    many, whose range is the largest output on training."""
    trained = open_trained(run)
    first, readout = (one.directions[name] for one, name in _layers(trained))
    train, validation = (trained.task.load(split) for split in ("train", "validation"))
    largest = max(_outputs(first, part.x).max() for part in _parts(train))
    levels = 2**bits - 1

    def answers(x: Any) -> Any:
        return _answers(readout, _outputs(first, x, largest / levels, levels))

    return _share_right(trained, validation, answers)


def _share_right(trained: Trained, split: Split, answers: Callable[[Any], Any]) -> float:
    """The accuracy of labelled steps, as the recipe's loss counts them; ``answers``: x (B, T,
    inputs) -> (B, T) classes."""
    right = counted = 0
    for part in _parts(split):
        true = part.y.copy()
        true[:, : trained.recipe.loss.start] = -1
        right += int((answers(part.x) == true).sum())
        counted += int((true >= 0).sum())
    return right / counted


def _layers(trained: Any) -> Iterator[tuple[Any, str]]:
    for layer in trained.network.freeze().layers:
        (name,) = layer.directions
        yield layer, name


def _parts(split: Split) -> Iterator[Split]:
    for begin in range(0, len(split), 100):
        yield split.take(np.arange(begin, min(begin + 100, len(split))))


def _int8(weights: Any) -> Any:
    step = np.abs(weights).max() / 127
    return np.round(weights / step) * step


def _outputs(layer: Any, x: Any, step: float = 0.0, levels: int = 0) -> Any:
    """(B, T, units) what the units pass on; with a step, rounded to so many of its multiples."""
    alpha, own, back = layer.coefficients["alpha"], _int8(layer.weight_in), _int8(layer.weight_rec)
    u = s = np.zeros((len(x), layer.size), np.float32)
    outputs = np.zeros((*x.shape[:2], layer.size), np.float32)
    for t in range(x.shape[1]):
        u = alpha * u + (1 - alpha) * (x[:, t] @ own.T + s @ back.T + layer.bias)
        s = np.maximum(u, 0)
        if step:
            s = np.minimum(np.round(s / step), levels) * step
        outputs[:, t] = s
    return outputs


def _answers(layer: Any, outputs: Any) -> Any:
    """(B, T) the class whose membrane is highest."""
    alpha, own = layer.coefficients["alpha"], _int8(layer.weight_in)
    currents = outputs @ own.T + layer.bias
    y, answers = 0.0, np.zeros(outputs.shape[:2], np.int64)
    for t in range(outputs.shape[1]):
        y = alpha * y + (1 - alpha) * currents[:, t]
        answers[:, t] = y.argmax(1)
    return answers


# ---- the page ------------------------------------------------------------------------------------


def energies() -> Table:
    """A row for each network: accuracy, and nJ a step."""
    measured, device = read(MEASURED), device_of("ecg")
    networks = measured["networks"]
    in_int8 = {**measured["int8"], "twin": measured["twin_by_bits"]["8"]}
    rows = [
        [
            "network",
            "parameters",
            "labelled steps, %",
            "the same in int8, %",
            "arithmetic, float32, nJ",
            "arithmetic of the exported C, nJ",
            "with memory, float32, nJ",
            "with memory, int8, nJ",
        ]
    ]
    titles = {
        "srnn": ("36 SE-adLIF", "ecg", exported(device["float32"]["counted"])),
        "twin": ("the same without spikes: 36 ReLU", "ecg/relu", "-"),
        "lstm-18": ("LSTM, 18 units, as many parameters", "ecg/lstm-18", "-"),
        "gru": ("GRU, 36 units", "ecg/gru", "-"),
        "lstm": ("LSTM, 36 units", "ecg/lstm", lstm_exported(device)),
    }
    for name, (title, folder, in_c) in titles.items():
        one = networks[name]
        summary = read(RESULTS / folder / "summary.json")
        rows.append(
            [
                title,
                f"{one['parameters']:,}",
                validated(summary, METRIC),
                percent(in_int8[name]) if name in in_int8 else "-",
                nanojoules(one["arithmetic_pj"]),
                in_c,
                nanojoules(one["memory_float32_pj"]),
                nanojoules(one["memory_int8_pj"]),
            ]
        )
    return rows


def nanojoules(picojoules: float) -> str:
    return f"{picojoules / 1000:.2f}" if picojoules < 10_000 else f"{picojoules / 1000:.1f}"


def device_of(name: str) -> dict[str, Any]:
    (found,) = (
        one
        for one in read(RESULTS / "device" / "device.json")["networks"]
        if one["network"] == name
    )
    return found


def exported(counted: dict[str, float]) -> str:
    """What the exported C multiplies and adds, counted by itself."""
    multiplications = counted["neuron_multiplies"] + counted["synaptic_multiplies"]
    additions = counted["neuron_adds"] + counted["synaptic_adds"]
    return nanojoules(multiplications * MULTIPLICATION + additions * ADDITION)


def lstm_exported(device: dict[str, Any]) -> str:
    """Multiply-adds of an LSTM in plain C, its gates' own operations left out."""
    return nanojoules(device["lstm"]["multiply_adds"] * (MULTIPLICATION + ADDITION))


def bits() -> Table:
    measured = read(MEASURED)["twin_by_bits"]
    return [
        ["bits of a unit's output", *measured],
        ["labelled steps, %", *(percent(values) for values in measured.values())],
    ]


def times() -> Table:
    """ns a step on a processor, by compiler and flags."""
    rows = [["compiler, flags", "36 SE-adLIF, ns", "LSTM, 36 units, ns", "ratio"]]
    device = device_of("ecg")
    ours, theirs = device["float32"]["ns"], device["lstm"]["ns"]
    for compiler, flags in ours.items():
        for kind, own in flags.items():
            other = theirs[compiler][kind]
            rows.append(
                [f"{compiler}, {FLAGS[kind]}", f"{own:.0f}", f"{other:.0f}", f"{other / own:.1f}"]
            )
    own, other = (min(min(flags.values()) for flags in one.values()) for one in (ours, theirs))
    rows.append(["each at its best", f"{own:.0f}", f"{other:.0f}", f"{other / own:.1f}"])
    return rows


FLAGS = {"plain": "the exported Makefile's", "fast": "`-O3 -march=native -ffast-math`"}
TABLES = {"energies": energies, "bits": bits, "times": times}


if __name__ == "__main__":
    if sys.argv[1:]:
        MEASURED.write_text(json.dumps(measure(sys.argv[1:]), indent=1) + "\n", encoding="utf-8")
    readme = FOLDER / "README.md"
    readme.write_text(replaced(readme.read_text(encoding="utf-8"), TABLES), encoding="utf-8")
