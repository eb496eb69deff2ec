"""What an operation and a memory access cost: technologies as small TOML files, each number with its source.

A file of the user's own may start from a shipped one and say only what differs::

    base = "horowitz-45nm"
    name = "int8 weights, 45 nm"
    word_bits = 8
    mac = {pj = 0.23, source = "Horowitz 2014: int8 multiplication 0.2 + addition 0.03"}
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...errors import SrnnError, nearest
from ...files import LIMITS, read_text, reading
from ...text import brief

if TYPE_CHECKING:
    from .counting import LayerCounts
    from .prices import Prices

FOLDER = Path(__file__).parent / "technologies"
DEFAULT = "horowitz-45nm"

_KEYS = ("name", "base", "word_bits", "weights", "mac", "ac", "address", "on_chip", "off_chip")
_SECTIONS = {
    "mac": ("pj",),
    "ac": ("pj",),
    "address": ("pj",),
    "on_chip": ("bytes", "pj", "access_bits"),
    "off_chip": ("pj", "access_bits"),
}


@dataclass(frozen=True)
class Technology:
    """Energies in pJ."""

    name: str
    word_bits: int
    """Bits of a weight, a state variable, a constant or an event."""
    weights: Literal["on_chip", "off_chip"]
    """Where weights, biases and constants lie; states and events are always on the chip."""
    mac_pj: float
    ac_pj: float
    address_pj: float
    """The addition that finds the next address."""
    sram_bytes: tuple[float, ...]
    """Capacities for which an access's energy is known, rising."""
    sram_pj: tuple[float, ...]
    """Of one access of ``sram_bits`` bits at each of them."""
    sram_bits: int
    dram_pj: float
    """Of one access of ``dram_bits`` bits."""
    dram_bits: int
    sources: Mapping[str, str]
    """Where each number comes from."""

    def prices(self, counts: LayerCounts) -> Prices:
        """The memory model's prices for a network: one memory holds all weights, biases and constants, another all states."""
        weight, state = self.weight_word(counts.weight_words), self.sram_word(counts.state_words)
        return {
            "synaptic_macs": self.mac_pj, "neuron_macs": self.mac_pj, "synaptic_acs": self.ac_pj, "additions": self.ac_pj,
            "weight_reads": weight, "state_accesses": state, "signal_accesses": state, "addresses": self.address_pj,
        }  # fmt: skip

    def sram_word(self, words: float) -> float:
        """pJ to read or write a word in an on-chip memory of so many words.

        Straight lines between the known capacities; below the smallest its energy, above the largest the last line continues.
        """
        size, known, energy = words * self.word_bits / 8, self.sram_bytes, self.sram_pj
        if size <= known[0] or len(known) == 1:
            value = energy[0]
        else:
            upper = next((i for i, limit in enumerate(known) if size <= limit), len(known) - 1)
            slope = (energy[upper] - energy[upper - 1]) / (known[upper] - known[upper - 1])
            value = energy[upper - 1] + slope * (size - known[upper - 1])
        return value * self.word_bits / self.sram_bits

    def weight_word(self, words: float) -> float:
        """pJ to read a word of a weight memory of so many words."""
        if self.weights == "off_chip":
            return self.dram_pj * self.word_bits / self.dram_bits
        return self.sram_word(words)


def technologies() -> list[str]:
    """Names of the shipped ones."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_technology(spec: str | Path = DEFAULT) -> Technology:
    """A shipped technology by its name, or one from a TOML file. SrnnError for one that is missing, incomplete or wrong."""
    with reading(str(spec), "a technology"):
        return _load(_read(spec, seen=()), str(spec))


def _load(content: dict[str, Any], source: str) -> Technology:
    for key in (*(key for key in _KEYS if key != "base"),):
        if key not in content:
            raise SrnnError(f'{source}: "{key}" is missing; say it, or start from a shipped one: base = "{DEFAULT}".')
    if content["weights"] not in ("on_chip", "off_chip"):
        raise SrnnError(f'{source}: weights is "on_chip" or "off_chip", not {brief(content["weights"])}.')
    on_chip, off_chip = content["on_chip"], content["off_chip"]
    capacities, energies = _numbers(source, "on_chip.bytes", on_chip), _numbers(source, "on_chip.pj", on_chip)
    if len(capacities) != len(energies) or list(capacities) != sorted(set(capacities)):
        raise SrnnError(f"{source}: on_chip.bytes must rise, with one on_chip.pj for each.")
    return Technology(
        name=str(content["name"]),
        word_bits=_bits(source, "word_bits", content),
        weights=content["weights"],
        mac_pj=_number(source, "mac.pj", content["mac"]),
        ac_pj=_number(source, "ac.pj", content["ac"]),
        address_pj=_number(source, "address.pj", content["address"]),
        sram_bytes=capacities,
        sram_pj=energies,
        sram_bits=_bits(source, "on_chip.access_bits", on_chip),
        dram_pj=_number(source, "off_chip.pj", off_chip),
        dram_bits=_bits(source, "off_chip.access_bits", off_chip),
        sources={key: str(content[key].get("source", "not said")) for key in _SECTIONS},
    )


def _read(spec: str | Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The file's content over that of its base."""
    shipped = FOLDER / f"{spec}.toml"
    path = shipped if str(spec) in technologies() else Path(spec)
    if not path.is_file():
        raise SrnnError(f"There is no technology '{spec}', and no such file.{nearest(str(spec), technologies())}")
    if path.resolve() in seen:
        raise SrnnError(f"{path}: a technology cannot be its own base.")
    text = read_text(path, "a technology", LIMITS["toml"])
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        raise SrnnError(f"{path} is no technology file (TOML): {error}.") from error
    for key, value in content.items():
        if key not in _KEYS:
            raise SrnnError(f'{path}: a technology has no "{key}".{nearest(key, _KEYS)}')
        if key in _SECTIONS:
            _check_section(path, key, value)
    if "base" in content:
        try:
            base = _read(str(content["base"]), (*seen, path.resolve()))
        except SrnnError as error:
            raise SrnnError(f"{path}, base: {error}") from error
        content = base | {
            key: base[key] | value if key in _SECTIONS and key in base else value for key, value in content.items()
        }
    return content


def _check_section(path: Path, key: str, value: object) -> None:
    known = (*_SECTIONS[key], "source")
    if not isinstance(value, dict):
        raise SrnnError(f'{path}: "{key}" is a table with {", ".join(known)}.')
    for name in value:
        if name not in known:
            raise SrnnError(f'{path}: "{key}" has no "{name}".{nearest(name, known)}')


def _number(source: str, key: str, section: Mapping[str, Any]) -> float:
    value = section.get(key.rpartition(".")[2])
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise SrnnError(f"{source}: {key} must be a number of at least 0, not {brief(value)}.")
    return float(value)


def _bits(source: str, key: str, section: Mapping[str, Any]) -> int:
    value = section.get(key.rpartition(".")[2])
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 2**20:
        raise SrnnError(f"{source}: {key} must be an integer of bits, not {brief(value)}.")
    return value


def _numbers(source: str, key: str, section: Mapping[str, Any]) -> tuple[float, ...]:
    name = key.rpartition(".")[2]
    values = section.get(name)
    if not isinstance(values, list) or not values:
        raise SrnnError(f"{source}: {key} must be a list of numbers, not {brief(values)}.")
    return tuple(_number(source, key, {name: value}) for value in values)
