"""What a client states about its samples: in the address of a request, or in the first message of a
stream.

    names      names of the channels, which an array does not state: ax,ay,az
    units      their units, in the same order, empty where they are not known: m/s2,m/s2,
    rate, channels, missing, longest_gap        as of srnn predict

All values are texts (numbers in a message are numbers, too). What is not stated is not known, as
for a file.
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
"""What is stated about files, which hold names and units themselves."""
STREAM_KEYS = ("rate", "channels", "names", "units")
"""What is stated about streams, in which nothing may be missing."""
ARRAY_KEYS = ("rate", "channels", "missing", "longest_gap", "names", "units")


@dataclass(frozen=True)
class ClientMetadata:
    """What a client states about its samples."""

    reading: ReadingOverrides = NO_OVERRIDES
    names: tuple[str, ...] | None = None
    units: tuple[str | None, ...] | None = None

    @classmethod
    def of(cls, query: Mapping[str, Any]) -> ClientMetadata:
        """From the values of ``ARRAY_KEYS``. SrnnError (``value``) for values that mean nothing."""
        given = {
            key: text
            for key in ARRAY_KEYS
            if query.get(key) is not None and (text := str(query[key]).strip())
        }
        numbers: dict[str, Any] = {}
        for key, read, what in (
            ("rate", float, "a number of samples per second"),
            ("longest_gap", int, "a number of samples"),
        ):
            if key in given:
                try:
                    numbers[key] = read(given[key])
                except ValueError as error:
                    problem = f"The {key} must be {what}, not {given[key][:50]!r}."
                    raise SrnnError(problem, "value", key) from error
        policy: Any = given.get("missing", DEFAULT.missing)
        gaps = Gaps(policy, numbers.get("longest_gap", LONGEST_GAP))
        chosen = None
        if "channels" in given:
            chosen = parse_channels(given["channels"], "channels")
        names, units = (
            tuple(part.strip() for part in given[key].split(",")) if key in given else None
            for key in ("names", "units")
        )
        return cls(
            ReadingOverrides(numbers.get("rate"), chosen, gaps),
            names,
            units and tuple(unit or None for unit in units),
        )

    def channel_count(self, path: SignalPath) -> int:
        """The number of channels of samples for a path."""
        for stated in (self.names, self.units):
            if stated is not None:
                return len(stated)
        return path.channels

    def match(self, name: str, samples: npt.NDArray[Any], path: SignalPath) -> Recording:
        """Match samples to a signal path; see ``recordings.match``.

        Args:
            name: what messages call the samples.
            samples: (T, channels).
            path: what the network reads.

        Returns:
            The samples as the path takes them.

        Raises:
            SrnnError: they contradict the path.
        """
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
            problem = f"A stream is not resampled: the network reads {wanted}, not {rate:g} Hz."
            raise SrnnError(problem, "conflict", "rate")
        self.match("The signal", np.zeros((1, self.channel_count(path)), np.float32), path)


NO_METADATA = ClientMetadata()


def check_keys(query: Iterable[str], known: Sequence[str]) -> None:
    """Check the keys in the address of a request.

    Args:
        query: the keys.
        known: those that have a meaning there, beside ``token``.

    Raises:
        SrnnError: ``name``: a key is not known.
    """
    for key in query:
        if key not in (*known, "token"):
            near = nearest(key, known)
            raise SrnnError(f"The address has an unknown key '{key[:40]}'.{near}", "name", key)
