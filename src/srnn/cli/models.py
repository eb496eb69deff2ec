"""``srnn models``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..terminal import open_console
from ..text import digits
from .options import Json
from .show import percent, print_result, show_table

if TYPE_CHECKING:
    from ..model.pretrained import Card


def models(
    name: str | None = None,
    /,
    *,
    example: Path | None = None,
    overwrite: bool = False,
    json: Json = False,
) -> int:
    """List the pretrained networks, or show the card of one.

    Wherever a command takes a MODEL, it also takes one of their names.

      srnn models                                   a table of them
      srnn models ecg-records                       the card of one: what it reads, how good it is, what it must not be used for
      srnn models ecg-records --example heart.npy   also write a recording to try it on
      srnn stream ecg-records heart.npy

    Args:
        name: a pretrained network, to show its card (default: a table of all)
        example: write its example to this file, of its kind: .npy, or .csv where channels have
            names
        overwrite: replace the file in --example
    """
    from dataclasses import asdict

    from ..errors import SrnnError
    from ..files import check_new, whole_file
    from ..model import pretrained

    if name is None:
        if example is not None:
            raise SrnnError(
                "Which network's example? srnn models NAME --example FILE.", "missing", "name"
            )
        cards = {one: pretrained.read_card(one) for one in pretrained.pretrained_names()}
        plain = {one: asdict(card) for one, card in cards.items()}
        return print_result(json, plain, lambda: _show_table(cards))
    card = pretrained.read_card(name)
    if example is not None:
        kept = pretrained.example(name)
        if example.suffix != kept.suffix:
            raise SrnnError(
                f"The example is a {kept.suffix} file; give --example "
                f"a name that ends in {kept.suffix}, not {example}.",
                "value",
                "example",
            )
        check_new(example, overwrite, ours=not example.is_dir(), name="example")
        with whole_file(example, named=True) as file:
            file.write(kept.read_bytes())
    return print_result(json, asdict(card), lambda: show_card(name, card))


def _show_table(cards: dict[str, Card]) -> None:
    rows = []
    for name, card in cards.items():
        rate = "-"
        if card.rate is not None:
            rate = f"{card.rate:g} Hz" if card.rate < 1000 else f"{card.rate / 1000:g} kHz"
        accuracies = map(_short, (card.validation, card.validation_int8, card.test))
        flash = [
            f"{card.bytes[kind] / 1000:.0f}" if kind in card.bytes else "-"
            for kind in ("float32", "int8")
        ]
        energy = digits(card.energy_nj["fp32"]["decision"])
        rows.append((name, rate, *accuracies, f"{card.parameters:,}", "/".join(flash), energy))
    columns = ("network", "input", "val", "int8", "test", "parameters", "C, kB", "nJ")
    show_table("pretrained networks", columns, rows, padding=(0, 0))
    console = open_console()
    for name, card in cards.items():
        console.print(f"{name}:", style="bold", end=" ")
        console.print(f"{card.hears} ({card.licence})", soft_wrap=True)
        for line in card.live_in_words[:1]:
            console.print(f"  live, {line}", soft_wrap=True)
    console.print(
        "\nAccuracy in percent: on validation (which chose the network), on validation "
        "in int8, on test. C, kB: flash of the C export in float32 and int8. nJ: energy "
        "of a decision in float32 (srnn energy, model fp32). srnn models NAME shows the "
        "card: splits, other energies, licence, and what a network must not be used for."
    )


def show_card(name: str, card: Card) -> None:
    """Print the card of a pretrained network.

    Args:
        name: the network's.
        card: its card.
    """
    console = open_console()
    seeds = ", ".join(f"{seed}: {percent(value)}" for seed, value in card.seeds.items())
    energies = (
        f"{model} {digits(one['step'])} and {digits(one['decision'])}"
        for model, one in card.energy_nj.items()
    )
    lines = {
        name: card.hears,
        "signal": card.signal,
        "decides": card.decides,
        card.metric: f"{percent(card.validation)} on validation"
        + (f", in int8 {percent(card.validation_int8)}" if card.validation_int8 is not None else "")
        + (f"; {percent(card.test)} on test" if card.test is not None else ""),
        **({"live": "\n".join(card.live_in_words)} if card.live else {}),
        "split": card.split,
        "selected by": card.selected_by,
        "seeds": f"{seeds}; seed {card.seed} is shipped; standard deviation {percent(card.spread)}",
        "others": card.others,
        "parameters": f"{card.parameters:,}; bytes: "
        + ", ".join(f"{k} {v:,}" for k, v in card.bytes.items()),
        "energy": f"nJ per step and per decision: {'; '.join(energies)}",
        "data": f"{card.data}, {card.licence}. {card.attribution}",
        "not for": card.not_for,
        "made by": "\n".join(card.made_by),
    }
    for title, text in lines.items():
        console.print(f"{title}:", style="bold", end=" ")
        console.print(text, soft_wrap=True)


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f}"
