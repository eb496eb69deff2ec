"""Arrays in JSON, small: a type, a shape, and the bytes as base64. ``assets/base.js`` reads them back.

    {"type": "bits", "shape": [T, N], "data": "..."}                      0 or 1, eight to a byte, the first in the lowest bit
    {"type": "int16", "shape": [T], "data": "..."}                        class numbers, little-endian, -1 for none
    {"type": "levels", "shape": [T, N], "low": a, "high": b, "data": ""}  a + (b - a) * byte / 255
    {"type": "fine", "shape": [T, N], "low": a, "high": b, "data": ""}    the same with two bytes, little-endian, and 65535

Levels are for what is drawn. Every number that is printed on a page stands in the JSON as a number.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

Packed = dict[str, Any]


def pack_bits(values: npt.NDArray[Any]) -> Packed:
    """What is not 0, whatever the shape."""
    return _packed("bits", values.shape, np.packbits(np.asarray(values).ravel() != 0, bitorder="little"))


def pack_numbers(values: npt.NDArray[Any]) -> Packed:
    """Whole numbers from -32768 to 32767."""
    return _packed("int16", values.shape, np.asarray(values).astype("<i2"))


def pack_levels(values: npt.NDArray[Any], fine: bool = False) -> Packed:
    """Real numbers, rounded to 256 levels from the lowest to the highest; ``fine``: to 65,536. What is not finite becomes 0."""
    x = np.nan_to_num(np.asarray(values, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = (float(x.min()), float(x.max())) if x.size else (0.0, 0.0)
    top, dtype = (65535, "<u2") if fine else (255, "u1")
    scaled = np.rint((x - low) / (high - low) * top) if high > low else np.zeros(x.shape)
    return _packed("fine" if fine else "levels", x.shape, scaled.astype(dtype)) | {"low": low, "high": high}


def pack_activity(values: npt.NDArray[Any]) -> Packed:
    """Bits where all values are 0 or 1, else levels."""
    return pack_bits(values) if bool(((values == 0) | (values == 1)).all()) else pack_levels(values)


def unpack(packed: Packed) -> npt.NDArray[Any]:
    """The array again, as the page sees it."""
    data, shape = base64.b64decode(packed["data"]), tuple(packed["shape"])
    if packed["type"] == "bits":
        return np.unpackbits(np.frombuffer(data, np.uint8), count=int(np.prod(shape)), bitorder="little").reshape(shape)
    if packed["type"] == "int16":
        return np.frombuffer(data, "<i2").reshape(shape)
    top, dtype = (65535, "<u2") if packed["type"] == "fine" else (255, "u1")
    low, high = packed["low"], packed["high"]
    return low + (high - low) * np.frombuffer(data, dtype).reshape(shape) / top


def _packed(kind: str, shape: tuple[int, ...], data: npt.NDArray[Any]) -> Packed:
    return {"type": kind, "shape": list(shape), "data": base64.b64encode(data.tobytes()).decode("ascii")}
