"""What a client says of its samples: in the address of a request, or in the first message of a
stream.

    names      names of the channels, which an array does not state: ax,ay,az
    units      their units, in the same order, empty where they are not known: m/s2,m/s2,
    rate, channels, missing, longest_gap        as of srnn predict

All values are texts (numbers in a message are numbers, too). What is not said is not known, as in a
file that does not state it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...data.gaps import DEFAULT, LONGEST_GAP, Gaps
from ...data.recordings import NO_OVERRIDES, ReadingOverrides, Recording, match, read_recording
from ...data.signals import SignalPath
from ...data.units import parse_channels
from ...errors import SrnnError, nearest

FILE_KEYS = ("rate", "channels", "missing", "longest_gap")
"""What is said of files, which state names and units themselves."""
STREAM_KEYS = ("rate", "channels", "names", "units")
"""What is said of streams, in which nothing may be missing."""
ARRAY_KEYS = ("rate", "channels", "missing", "longest_gap", "names", "units")


@dataclass(frozen=True)
class ClientMetadata:
    """What a client says of its samples."""

    reading: ReadingOverrides = NO_OVERRIDES
    names: tuple[str, ...] | None = None
    units: tuple[str | None, ...] | None = None

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> ClientMetadata:
        """What is asked under keys of ``ARRAY_KEYS``. SrnnError for values that mean nothing."""
        given = {key: text for key in ARRAY_KEYS if (text := _text(asked, key))}
        numbers = {key: _number(key, given[key]) for key in ("rate", "longest_gap") if key in given}
        policy: Any = given.get("missing", DEFAULT.missing)
        chosen = None
        if "channels" in given:
            chosen = parse_channels(given["channels"], "channels")
        names, units = (_list(given[key]) if key in given else None for key in ("names", "units"))
        return cls(
            ReadingOverrides(
                numbers.get("rate"), chosen, Gaps(policy, numbers.get("longest_gap", LONGEST_GAP))
            ),
            names,
            units and tuple(unit or None for unit in units),
        )

    def of_channels(self, path: SignalPath) -> int:
        """The channels that samples for a path have."""
        for stated in (self.names, self.units):
            if stated is not None:
                return len(stated)
        return path.channels

    def match(self, name: str, samples: npt.NDArray[Any], path: SignalPath) -> Recording:
        """Samples (T, channels) as the path takes them; see ``recordings.match``."""
        given = Recording(samples, None, self.names, self.units, name)
        read = read_recording(given, self.reading.gaps)
        return match(read, path, self.reading)

    def check_stream(self, path: SignalPath) -> None:
        """SrnnError where the samples of a stream contradict the path: what is live is not
        resampled."""
        rate = self.reading.rate
        if rate is not None and rate != path.rate:
            if path.rate is None:
                wanted = "a signal that is not in time"
            else:
                wanted = f"{path.rate:g} Hz"
            raise SrnnError(
                f"A stream is not resampled: the network reads {wanted}, not {rate:g} Hz."
            )
        self.match("The signal", np.zeros((1, self.of_channels(path)), np.float32), path)


NO_METADATA = ClientMetadata()


def check_keys(asked: Iterable[str], known: Sequence[str]) -> None:
    """SrnnError for a key in the address of a request that is not known there."""
    for key in asked:
        if key not in (*known, "token"):
            raise SrnnError(f"The address has an unknown key '{key[:40]}'.{nearest(key, known)}")


def _text(asked: Mapping[str, Any], key: str) -> str:
    value = asked.get(key)
    if isinstance(value, bool) or not isinstance(value, (str, int, float, type(None))):
        raise SrnnError(f"'{key}' must be a text, such as ax,ay.")
    if value is None:
        return ""
    return str(value).strip()


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _number(key: str, text: str) -> Any:
    """A rate, or a whole number of samples."""
    try:
        if key == "rate":
            return float(text)
        return int(text)
    except ValueError as error:
        what = "a number of samples"
        if key == "rate":
            what = "a number of samples per second"
        raise SrnnError(f"The {key} must be {what}, not {text[:50]!r}.") from error
