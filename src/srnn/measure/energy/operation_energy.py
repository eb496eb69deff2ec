"""What operations cost: each model is a list of prices that applies to the one record of counts
(``counting.py``).

paper        the paper's rules and prices (3.1 / 0.1 pJ), one average rate: for comparison with its tables
fp32         each layer's own rates, float32 (4.6 / 0.9 pJ), analog input as MACs
neurobench   NeuroBench's effective operations at the float32 prices
memory       operations, memory traffic and addressing, by a technology

All are for 45 nm (Horowitz 2014). The paper's MAC is an int32 multiplication alone.

Technologies are small TOML files, each number with its source. Your own file may start from a
shipped one and give only what differs; docs/energy.md has an example.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...errors import SrnnError, is_number, naming, nearest
from ...files import TEXT, read_text, reading
from ...registry import is_name
from ...text import brief
from .counting import LayerCounts

Prices = Mapping[str, float]
"""pJ per operation or access, by the name of its count."""

PAPER_MAC_PJ, PAPER_AC_PJ = 3.1, 0.1
FP32_MAC_PJ, FP32_AC_PJ = 4.6, 0.9

PAPER: Prices = {"paper_macs": PAPER_MAC_PJ, "paper_acs": PAPER_AC_PJ}
FP32: Prices = {
    "synaptic_macs": FP32_MAC_PJ,
    "neuron_macs": FP32_MAC_PJ,
    "synaptic_acs": FP32_AC_PJ,
}
NEUROBENCH: Prices = {"effective_macs": FP32_MAC_PJ, "effective_acs": FP32_AC_PJ}
INT8: Prices = {"synaptic_macs": 3.2, "neuron_macs": 3.2, "rescalings": 3.2, "synaptic_acs": 0.1}
"""For int8 weights, int32 sums and states; a MAC is a multiplication plus an addition. Used by
``srnn compress``, not a model."""

MODELS = ("paper", "fp32", "neurobench", "memory")


def parts(counts: LayerCounts, prices: Prices) -> dict[str, float]:
    """Energies of a network's operations.

    Args:
        counts: its operations in a step.
        prices: pJ each, by the name of the count.

    Returns:
        pJ by the name of the count.
    """
    return {name: float(getattr(counts, name) * price) for name, price in prices.items()}


def picojoules(counts: LayerCounts, prices: Prices) -> float:
    """The energy of a network's operations.

    Args:
        counts: its operations in a step.
        prices: pJ each, by the name of the count.

    Returns:
        pJ of all priced counts together.
    """
    return sum(parts(counts, prices).values())


# ---- technologies ---------------------------------------------------------------------------------------------------------

FOLDER = Path(__file__).parent / "technologies"
DEFAULT = "horowitz-45nm"


def _is_amount(value: object) -> bool:
    return is_number(value) and 0 <= value < float("inf")


_TEXT = (lambda value: isinstance(value, str), "text")
_BITS = (lambda value: type(value) is int and 1 <= value <= 2**20, "an integer of bits")
_AMOUNT = (_is_amount, "a number of at least 0")
_AMOUNTS = (
    lambda value: isinstance(value, list) and value and all(map(_is_amount, value)),
    "a list of numbers of at least 0",
)
_SETTINGS: Mapping[str, tuple[Callable[[Any], Any], str]] = {
    "name": _TEXT,
    "word_bits": _BITS,
    "weights": (("on_chip", "off_chip").__contains__, '"on_chip" or "off_chip"'),
    "mac.pj": _AMOUNT,
    "ac.pj": _AMOUNT,
    "address.pj": _AMOUNT,
    "on_chip.bytes": _AMOUNTS,
    "on_chip.pj": _AMOUNTS,
    "on_chip.access_bits": _BITS,
    "off_chip.pj": _AMOUNT,
    "off_chip.access_bits": _BITS,
}
"""What each setting must be; settings in a table by the table's name and their own."""
_SECTIONS = tuple(dict.fromkeys(key.partition(".")[0] for key in _SETTINGS if "." in key))
_KNOWN = {**_SETTINGS, "base": _TEXT, **{f"{section}.source": _TEXT for section in _SECTIONS}}


@dataclass(frozen=True)
class Technology:
    """Energies in pJ. The names are those of its file: ``on_chip_pj`` is ``pj`` in the table
    ``on_chip``."""

    name: str
    word_bits: int
    """Bits of a weight, a state variable, a constant or an event."""
    weights: Literal["on_chip", "off_chip"]
    """Where weights, biases and constants are; states and events are always on the chip."""
    mac_pj: float
    ac_pj: float
    address_pj: float
    """The addition that finds the next address."""
    on_chip_bytes: tuple[float, ...]
    """Capacities for which the energy of an access is given, ascending."""
    on_chip_pj: tuple[float, ...]
    """Energy of one access of ``on_chip_access_bits`` bits, for each of these capacities."""
    on_chip_access_bits: int
    off_chip_pj: float
    """Energy of one access of ``off_chip_access_bits`` bits."""
    off_chip_access_bits: int
    sources: Mapping[str, str]
    """Where each number comes from."""

    def prices(self, counts: LayerCounts) -> Prices:
        """The memory model's prices for a network: one memory holds all weights, biases and
        constants, another all states."""
        weight = self.on_chip_word(counts.weight_words)
        state = self.on_chip_word(counts.state_words)
        if self.weights == "off_chip":
            weight = self.off_chip_pj * self.word_bits / self.off_chip_access_bits
        return {
            "synaptic_macs": self.mac_pj,
            "neuron_macs": self.mac_pj,
            "synaptic_acs": self.ac_pj,
            "additions": self.ac_pj,
            "weight_reads": weight,
            "state_accesses": state,
            "signal_accesses": state,
            "addresses": self.address_pj,
        }

    def on_chip_word(self, words: float) -> float:
        """pJ to read or write a word in an on-chip memory of so many words.

        Linear between the given capacities; constant below the smallest; above the largest, the
        last line continues.
        """
        size, given, energy = words * self.word_bits / 8, self.on_chip_bytes, self.on_chip_pj
        if size <= given[0] or len(given) == 1:
            value = energy[0]
        else:
            upper = next((i for i, limit in enumerate(given) if size <= limit), len(given) - 1)
            slope = (energy[upper] - energy[upper - 1]) / (given[upper] - given[upper - 1])
            value = energy[upper - 1] + slope * (size - given[upper - 1])
        return value * self.word_bits / self.on_chip_access_bits


def technologies() -> list[str]:
    """Names of the shipped technologies."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_technology(spec: str | Path = DEFAULT) -> Technology:
    """A shipped technology by its name, or one from a TOML file. SrnnError for one that is missing,
    incomplete or wrong."""
    with reading(str(spec), "a technology"):
        content = _read(spec, seen=())
        for key in _SETTINGS:
            if key not in content:
                raise SrnnError(
                    f'{spec}: "{key}" is missing; add it, or start from a shipped one: '
                    f'base = "{DEFAULT}".',
                    "missing",
                    key,
                )
        as_floats = {_AMOUNT: float, _AMOUNTS: lambda values: tuple(map(float, values))}
        values = {
            key: as_floats.get(form, lambda as_it_is: as_it_is)(content[key])
            for key, form in _SETTINGS.items()
        }
        capacities = list(values["on_chip.bytes"])
        increasing = capacities == sorted(set(capacities))
        if not increasing or len(capacities) != len(values["on_chip.pj"]):
            message = f"{spec}: on_chip.bytes must increase, with one on_chip.pj for each."
            raise SrnnError(message, "value", "on_chip.bytes")
        sources = {section: content.get(f"{section}.source", "not said") for section in _SECTIONS}
        return Technology(
            **{key.replace(".", "_"): value for key, value in values.items()}, sources=sources
        )


def _read(spec: str | Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The settings of the file, on top of those of its base."""
    shipped = FOLDER / f"{spec}.toml"
    if is_name(spec, technologies(), "technology"):
        path = shipped
    else:
        path = Path(spec)
    if not path.is_file():
        raise SrnnError(
            f"There is no technology '{spec}', and no such file."
            f"{nearest(str(spec), technologies())}",
            "name",
            "technology",
        )
    if path.resolve() in seen:
        raise SrnnError(f"{path}: a technology cannot be its own base.", "value", "base")
    with reading(path, "a technology in TOML"):
        tables = tomllib.loads(read_text(path, "a technology", TEXT))
    settings: dict[str, Any] = {}
    for key, value in tables.items():
        known = [name.partition(".")[2] for name in _KNOWN if name.startswith(f"{key}.")]
        if "." in key or (key not in _KNOWN and not known):
            names = {name.partition(".")[0] for name in _KNOWN}
            near = nearest(key, names)
            raise SrnnError(f'{path}: a technology has no "{key}".{near}', "name", key)
        if known and not isinstance(value, dict):
            message = f'{path}: "{key}" must be a table with {", ".join(known)}.'
            raise SrnnError(message, "value", key)
        for name, part in value.items() if known else (("", value),):
            full = f"{key}.{name}" if known else key
            if known and name not in known:
                near = nearest(name, known)
                raise SrnnError(f'{path}: "{key}" has no "{name}".{near}', "name", full)
            good, rule = _KNOWN[full]
            if not good(part):
                message = f"{path}: {full} must be {rule}, not {brief(part)}."
                raise SrnnError(message, "value", full)
            settings[full] = part
    if "base" in settings:
        with naming(f"{path}, base"):
            base = _read(settings["base"], (*seen, path.resolve()))
        for section in {key.partition(".")[0] for key in settings if "." in key}:
            base.pop(f"{section}.source", None)  # the source of the base's numbers
        settings = base | {"name": path.stem} | settings
    return settings
