"""srnn energy: what networks cost, by four models beside each other."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SrnnError
from ..measure.energy.estimate import MODELS
from ..measure.energy.page import NOTHING, digits, markdown, times
from ..measure.energy.technology import DEFAULT

if TYPE_CHECKING:
    from rich.table import Table

UNITS = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"))
"""In pJ, the largest first."""

DESCRIPTION = """\
Operations and energy of a network, beside others on the same task and beside baselines of its sizes.

  srnn energy runs/ecg                                     a trained network, rates measured on the validation split
  srnn energy runs/ecg runs/ecg-lstm runs/ecg-lif          others compared with it: energy, error, efficiency
  srnn energy runs/ecg --baselines rnn,gru,lstm,bilstm     baselines of the same sizes, untrained
  srnn energy runs/ecg-* runs/lstm-* --out results/energy  several seeds: a page with means and spreads
  srnn energy paper/shd --rates 0.076 --input-rate 0.076   a recipe with given firing rates; needs no data

paper: its rules and constants (3.1 / 0.1 pJ), one average rate. fp32: each layer's rate, 4.6 / 0.9 pJ, analog input as MACs.
neurobench: its effective operations at these prices. memory: operations, memory traffic and addressing, by a technology.
docs/energy.md says what each of them leaves out.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "networks",
        metavar="RUN|RECIPE",
        nargs="+",
        help="run folders or recipes of one task; the first is compared with",
    )
    parser.add_argument(
        "--baselines", metavar="NAMES", default="",
        help="baselines of its sizes, with commas: rnn, gru, lstm, bilstm, relu, lif, feedforward",
    )  # fmt: skip
    parser.add_argument(
        "--technology", metavar="NAME|FILE", default=DEFAULT,
        help="prices of the memory model: a shipped technology, or a TOML file (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--rates",
        metavar="R,...",
        help="firing rates of a recipe's hidden layers, one for all or one for each; no data are read",
    )
    parser.add_argument(
        "--input-rate",
        metavar="R",
        help="with --rates: spikes per channel and step of the input (default: analog input)",
    )
    parser.add_argument(
        "--split", choices=("train", "validation", "test"), default="validation",
        help="where rates are measured (default: validation)",
    )  # fmt: skip
    parser.add_argument("--data-dir", type=Path, metavar="D", help="folder with the data sets (default: SRNN_DATA)")
    parser.add_argument(
        "--out", type=Path, metavar="DIR",
        help="also write energy.json and energy.md, where seeds of one recipe are one row",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(arguments: argparse.Namespace) -> int:
    rates = None if arguments.rates is None else [_rate("--rates", word) for word in arguments.rates.split(",")]
    input_rate = None if arguments.input_rate is None else _rate("--input-rate", arguments.input_rate)
    baselines = [name.strip() for name in arguments.baselines.split(",") if name.strip()]

    from ..measure.energy.subjects import compare_energy

    found = compare_energy(
        arguments.networks,
        baselines,
        split=arguments.split,
        data_dir=arguments.data_dir,
        technology=arguments.technology,
        rates=rates,
        input_rate=input_rate,
    )
    if arguments.out is not None:
        _write(arguments, found)
    if arguments.json:
        print(json.dumps(found))
    else:
        show_energy(found)
    return 0


def _write(arguments: argparse.Namespace, found: dict[str, Any]) -> None:
    from ..files import locked, write_atomically

    words = [*(Path(name).name for name in arguments.networks)]
    for option in ("baselines", "technology", "rates", "input_rate", "split"):
        value = getattr(arguments, option)
        if value and str(value) not in (DEFAULT, "validation"):
            words += [f"--{option.replace('_', '-')}", str(value)]
    with locked(arguments.out):
        write_atomically(arguments.out / "energy.json", (json.dumps(found) + "\n").encode())
        write_atomically(arguments.out / "energy.md", markdown(found, f"srnn energy {' '.join(words)}").encode())


def _rate(option: str, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise SrnnError(f"{option} takes spikes per neuron and step, between 0 and 1, not {word!r}.")
    return value


def show_energy(found: dict[str, Any]) -> None:
    """Print the comparison as tables."""
    from ..terminal import open_console

    console = open_console()
    given, reports, rows = found["input"], found["networks"], found["compared_with_first"]
    names = _short([report["name"] for report in reports])
    kind = f"spikes, {given['density']:.4g} per channel and step" if given["spikes"] else "analog"
    length = f"; {given['steps_per_sequence']:g} steps a sequence" if given["steps_per_sequence"] else ""
    where = f" ({found['split']} split)" if found["split"] else ""
    console.print(f"task {found['task']}{where}; input: {kind}{length}", highlight=False, soft_wrap=True)
    console.print(f"memory model: {found['technology']['name']}", highlight=False, soft_wrap=True)
    console.print(_network_table(names, reports, rows))
    console.print(_operations_table(names, reports))
    for period in ("step", "sequence", "second"):
        cells = [[_energy(report["models"][name], period) for name in MODELS] for report in reports]
        if any(cell != NOTHING for row in cells for cell in row):
            console.print(_by_model(f"energy of a {period}", names, cells))
    if len(reports) > 1:
        for title, key in (("energy ratio", "energy"), ("efficiency: energy ratio x error ratio", "efficiency")):
            cells = [[times(row[key][name]) for name in MODELS] for row in rows]
            known = [index for index, row in enumerate(cells) if any(cell != NOTHING for cell in row)]
            if len(known) > 1:
                chosen = [names[index] for index in known], [cells[index] for index in known]
                console.print(_by_model(f"{title}, to {names[0]}", *chosen))
    for note in dict.fromkeys(report["note"] for report in reports if report["note"]):
        of = ", ".join(name for name, report in zip(names, reports, strict=True) if report["note"] == note)
        console.print(f"{of}: {note}", highlight=False, soft_wrap=True)


def _short(names: list[str]) -> list[str]:
    """Last parts of the names, where these still differ: run folders may lie deep, and a table is narrow."""
    last = [Path(name).name for name in names]
    return last if len(set(last)) == len(last) else names


def _table(title: str, columns: list[str]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", overflow="fold")
    return table


def _by_model(title: str, names: list[str], rows: list[list[str]]) -> Table:
    table = _table(title, ["network", *MODELS])
    for name, row in zip(names, rows, strict=True):
        table.add_row(name, *row)
    return table


def _network_table(names: list[str], reports: list[dict[str, Any]], rows: list[dict[str, Any]]) -> Table:
    table = _table("networks", ["network", "accuracy", "error ratio", "rate", "spikes", "parameters", "bytes"])
    for name, report, row in zip(names, reports, rows, strict=True):
        rate, spikes = report["firing_rate"], report["spikes"]
        table.add_row(
            name,
            NOTHING if report["accuracy"] is None else f"{report['accuracy']:.2%}",
            times(row["error"]),
            NOTHING if rate is None else f"{rate['mean']:.4f}",
            NOTHING if spikes is None else f"{spikes['per_step']:.4g}",
            f"{report['parameters']:,}",
            f"{report['footprint_bytes']:,}",
        )
    return table


def _operations_table(names: list[str], reports: list[dict[str, Any]]) -> Table:
    columns = ["network", "paper", "fp32", "neurobench", "neurobench, dense"]
    table = _table("operations of a step: MAC + AC", columns)
    for name, report in zip(names, reports, strict=True):
        models = report["models"]
        effective = models["neurobench"]
        table.add_row(
            name,
            _counts(models["paper"], "mac", "ac"),
            _counts(models["fp32"], "mac", "ac"),
            _counts(effective, "effective_macs", "effective_acs"),
            NOTHING if effective is None else f"{effective['dense']:,.0f}",
        )
    return table


def _counts(model: dict[str, Any] | None, macs: str, acs: str) -> str:
    return NOTHING if model is None else f"{model[macs]:,.0f} + {model[acs]:,.0f}"


def _energy(model: dict[str, Any] | None, period: str) -> str:
    """With the unit in which the number is at least 1: "326 pJ", "1.87 nJ"."""
    if model is None or model["energy_pj"][period] is None:
        return NOTHING
    pj = model["energy_pj"][period]
    factor, unit = next(((f, u) for f, u in UNITS if pj >= f), (1.0, "pJ"))
    return f"{digits(pj / factor)} {unit}"
