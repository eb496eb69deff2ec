"""Operations and energy of a network, compared with others on the same task and with baselines of the same sizes.

  srnn energy runs/ecg                                     a trained network, rates measured on the validation split
  srnn energy ecg                                          a pretrained network (srnn models); with --rates the recipe
  srnn energy runs/ecg runs/ecg-lstm runs/ecg-lif          others compared with it: energy, error, efficiency
  srnn energy runs/ecg --baselines rnn,gru,lstm,bilstm     baselines of the same sizes, untrained
  srnn energy runs/ecg-* runs/lstm-* --out results/energy  several seeds: a page with means and spreads
  srnn energy paper/shd --rates 0.076 --input-rate 0.076   a recipe with given firing rates; needs no data

paper: the paper's rules and constants (3.1 / 0.1 pJ), one average rate. fp32: each layer's rate, 4.6 / 0.9 pJ, analog input as
MACs. neurobench: NeuroBench's effective operations at these prices. memory: operations, memory traffic and addressing, by a
technology.
docs/energy.md says what each of them leaves out.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from ..errors import SrnnError
from ..measure.energy.page import markdown, word
from ..measure.energy.prices import DEFAULT
from ..text import json_text
from .options import again
from .show import tell
from .show_energy import show_energy

SHARED = ("--split", "--data", "--data-dir", "--json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "networks",
        metavar="RUN|RECIPE",
        nargs="+",
        help="run folders, pretrained networks or recipes of one task; all others are compared with the first",
    )
    parser.add_argument(
        "--baselines", metavar="NAMES", default="",
        help="baselines of the same sizes, comma-separated: rnn, gru, lstm, bilstm, relu, lif, feedforward",
    )  # fmt: skip
    parser.add_argument(
        "--technology", metavar="NAME|FILE", default=DEFAULT,
        help="prices of the memory model: a shipped technology, or a TOML file (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--rates",
        metavar="R,...",
        help="firing rates of a recipe's hidden layers, one for all layers or one for each; no data are read",
    )
    parser.add_argument(
        "--input-rate",
        metavar="R",
        help="with --rates: spikes per channel and step of the input (default: analog input)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR",
        help="also write energy.json and energy.md, in which the seeds of one recipe share a row",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    rates = None if arguments.rates is None else [_rate("--rates", word) for word in arguments.rates.split(",")]
    input_rate = None if arguments.input_rate is None else _rate("--input-rate", arguments.input_rate)
    baselines = [name.strip() for name in arguments.baselines.split(",") if name.strip()]

    from ..files import check_folder
    from ..measure.energy.subjects import compare_energy

    if arguments.out is not None:
        check_folder(arguments.out)  # before anything is measured
    comparison = compare_energy(
        arguments.networks,
        baselines,
        split=arguments.split,
        data=arguments.data,
        data_dir=arguments.data_dir,
        technology=arguments.technology,
        rates=rates,
        input_rate=input_rate,
    )
    if arguments.out is not None:
        _write(arguments, comparison)
    return tell(arguments, comparison, lambda: show_energy(comparison))


def _write(arguments: argparse.Namespace, comparison: dict[str, Any]) -> None:
    from ..files import locked, write_atomically

    data = None if arguments.data is None else word(str(arguments.data))
    technology = None if arguments.technology == DEFAULT else word(arguments.technology)
    given = {"networks": [*map(word, arguments.networks)], "data": data, "technology": technology}
    words = again(arguments, ("out", "data_dir", "json"), **given)
    with locked(arguments.out):
        write_atomically(arguments.out / "energy.json", (json_text(comparison) + "\n").encode())
        write_atomically(arguments.out / "energy.md", markdown(comparison, shlex.join(["srnn", *words])).encode())


def _rate(option: str, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise SrnnError(f"{option} takes spikes per neuron and step, between 0 and 1, not {word!r}.")
    return value
