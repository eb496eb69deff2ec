"""``srnn energy``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..errors import SrnnError
from ..measure.energy.operation_energy import DEFAULT
from ..measure.energy.page import in_short, page, section, word
from ..text import json_text
from .options import NO_OPTIONS, Called, Data, DataDir, Json, RecordingOptions, Split
from .show import print_result
from .show_section import show_section


def energy(
    networks: Annotated[list[str], Parameter(name="RUN|RECIPE...")],
    /,
    *,
    split: Split = "validation",
    baselines: str = "",
    technology: str = DEFAULT,
    rates: str | None = None,
    input_rate: str | None = None,
    all: bool = False,
    out: Path | None = None,
    data: Data = None,
    recording: RecordingOptions = NO_OPTIONS,
    data_dir: DataDir = None,
    json: Json = False,
    called: Called,
) -> int:
    """Show operations and energy of a network, compared with others on the same task and with
    baselines of the same sizes.

      srnn energy runs/ecg                                     a trained network, rates measured on the validation split
      srnn energy ecg                                          a pretrained network (srnn models); with --rates the recipe
      srnn energy runs/ecg runs/ecg-lstm runs/ecg-lif          others compared with it: energy, error, efficiency
      srnn energy runs/ecg --baselines rnn,gru,lstm,bilstm     baselines of the same sizes, untrained
      srnn energy runs/ecg-* runs/lstm-* --out results/energy  several seeds: a page with means and spreads
      srnn energy paper/shd --rates 0.076 --input-rate 0.076   a recipe with given firing rates; needs no data

    One table shows the operations of a step, their energy at the paper's prices, and the energy
    with memory; --all, --json and --out give all four models, of which docs/energy.md says what
    each counts and leaves out.

    Args:
        networks: run folders, pretrained networks or recipes of one task; all others are compared
            with the first
        baselines: baselines of the same sizes, comma-separated: rnn, gru, lstm, bilstm, relu, lif,
            feedforward
        technology: prices of the memory model: a shipped technology, or a TOML file
        rates: firing rates of a recipe's hidden layers, comma-separated, one for all layers or one
            for each; no data are read
        input_rate: with --rates: spikes per channel and step of the input (default: analog input)
        all: show all four models, energy per sequence and second, ratios, and break-even rates
        out: also write energy.json and energy.md into this folder, in which the seeds of one recipe
            share a row
    """
    reading = recording.of(data)
    numbers, of_input = None, None
    if rates is not None:
        numbers = [_rate("--rates", text) for text in rates.split(",")]
    if input_rate is not None:
        of_input = _rate("--input-rate", input_rate)

    from ..files import check_folder
    from ..measure.energy.compared import compare_energy

    if out is not None:
        check_folder(out)  # before anything is measured
    comparison = compare_energy(
        networks,
        [name.strip() for name in baselines.split(",") if name.strip()],
        split=split,
        data=data,
        said=reading,
        data_dir=data_dir,
        technology=technology,
        rates=numbers,
        input_rate=of_input,
    )
    if out is not None:
        more = [] if data is None else ["--data", word(str(data))]
        if technology != DEFAULT:
            more += ["--technology", word(technology)]
        left_out = {"--out": 1, "--data-dir": 1, "--json": 0, "--data": 1, "--technology": 1}
        words = called.again(left_out, *more)
        command = shlex.join(word(one) if one in networks else one for one in words)
        _write(out, comparison, command)
    shown = section if all else in_short
    return print_result(json, comparison, lambda: show_section(shown(comparison)))


def _write(folder: Path, comparison: dict[str, Any], command: str) -> None:
    from ..files import locked, write_atomically

    with locked(folder):
        write_atomically(folder / "energy.json", (json_text(comparison) + "\n").encode())
        write_atomically(folder / "energy.md", page(comparison, command).encode())


def _rate(option: str, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise SrnnError(
            f"{option} takes spikes per neuron and step, between 0 and 1, not {word!r}.",
            "value",
            option,
        )
    return value
