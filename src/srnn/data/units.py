"""Channels: their units, what one is in another of its kind; a column's title -> its name and unit;
a choice of them.

    split_title("Acc X (m/s²)")     ("Acc X", "m/s2")
    split_title("ecg_mV")           ("ecg", "mV")
    conversion("g", "m/s2")         9.80665
    parse_channels("az,1")          ["az", 0]

Only the units of this table are looked for in titles: "acc (left)" is a name.
"""

from __future__ import annotations

import math
import re

from ..errors import SrnnError

KINDS: dict[str, dict[str, float]] = {
    "acceleration": {"m/s2": 1.0, "g": 9.80665, "mg": 9.80665e-3},
    "angular rate": {"rad/s": 1.0, "deg/s": math.pi / 180},
    "voltage": {"V": 1.0, "mV": 1e-3, "uV": 1e-6},
    "magnetic flux density": {"T": 1.0, "mT": 1e-3, "uT": 1e-6},
}
"""Kind of a quantity -> its units, each in the first one."""
_SPELLINGS = {
    "m/s2": "m/s^2 m/s² m/s**2 m/s/s m/sec2 m/sec^2 ms-2 ms^-2 ms2",
    "deg/s": "dps °/s deg/sec degrees/s",
    "rad/s": "rad/sec rads/s",
    "uV": "µV μV microvolt",
    "mV": "millivolt",
    "V": "volt",
    "uT": "µT μT",
}
_UNITS = {
    spelling: unit
    for units in KINDS.values()
    for unit in units
    for spelling in (unit, *_SPELLINGS.get(unit, "").split())
}
_CASELESS = {spelling.lower(): unit for spelling, unit in _UNITS.items()}
_IN_BRACKETS = re.compile(r"(.*\S)\s*[(\[]\s*([^()\[\]]+?)\s*[)\]]")
_BEHIND = re.compile(r"(.*[^_\s])[_\s]+(\S+)")
_NEVER_BEHIND = ("V", "T")  # lead_V is a lead


def known_unit(text: str) -> str | None:
    """A unit of the table in its usual spelling; None for anything else."""
    return _UNITS.get(text) or _CASELESS.get(text.lower())


def spellings(unit: str) -> tuple[str, ...]:
    """The ways to write a unit, the given one first."""
    return unit, *(spelling for spelling, known in _UNITS.items() if known == unit != spelling)


def split_title(title: str) -> tuple[str, str | None]:
    """The name and the unit (None: not stated) in the title of a column: ax (m/s2), ax [g],
    ecg_mV.
    """
    if found := _IN_BRACKETS.fullmatch(title):
        unit = known_unit(found[2])
        if unit is not None:
            return found[1], unit
    if found := _BEHIND.fullmatch(title):
        unit = _UNITS.get(found[2])  # as it is written: in acc_MG, MG hardly is a unit
        if unit is not None and unit not in _NEVER_BEHIND:
            return found[1], unit
    return title, None


def conversion(given: str, wanted: str) -> float | None:
    """The factor from one unit to another.

    Args:
        given: a unit of the table, or any other.
        wanted: the unit to convert to.

    Returns:
        1 for the same one; None where there is none: they are of two kinds, or not known.
    """
    if given == wanted:
        return 1.0
    one, other = known_unit(given), known_unit(wanted)
    for units in KINDS.values():
        if one in units and other in units:
            return units[one] / units[other]
    return None


def parse_channels(text: str, option: str = "--channels") -> list[int | str]:
    """Chosen channels: names, or numbers, which people count from 1 and programs from 0.

    Args:
        text: the choice, with commas between channels.
        option: what chose them, for messages.

    Returns:
        Names, and numbers from 0.

    Raises:
        SrnnError: ``value``: an empty name, or 0.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts) or any(part.isdecimal() and int(part[:9]) == 0 for part in parts):
        raise SrnnError(
            f"{option} takes names of channels, or numbers counted from 1, such as ax,ay or 2,1, "
            f"not {text!r}.",
            "value",
            "channels",
        )
    number = re.compile(r"[1-9]\d{0,3}", re.ASCII)
    return [int(part) - 1 if number.fullmatch(part) else part for part in parts]
