"""Compact arrays in JSON: a type, a shape, and the bytes as base64. ``assets/base.js`` reads them back.

    {"type": "bits", "shape": [T, N], "data": "..."}                      0 or 1, eight to a byte, the first in the lowest bit
    {"type": "int16", "shape": [T], "data": "..."}                        class numbers, little-endian, -1 for none
    {"type": "levels", "shape": [T, N], "low": a, "high": b, "data": ""}  a + (b - a) * byte / 255
    {"type": "fine", "shape": [T, N], "low": a, "high": b, "data": ""}    as "levels", with two bytes, little-endian, and 65535

Levels are for plots only. Every number printed on a page is a number in the JSON.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

Packed = dict[str, Any]


def pack_bits(values: npt.NDArray[Any]) -> Packed:
    """Pack an array of any shape as bits: whether each value is not 0."""
    return _packed("bits", values.shape, np.packbits(np.asarray(values).ravel() != 0, bitorder="little"))


def pack_numbers(values: npt.NDArray[Any]) -> Packed:
    """Pack integers from -32768 to 32767."""
    return _packed("int16", values.shape, np.asarray(values).astype("<i2"))


def pack_levels(values: npt.NDArray[Any], fine: bool = False) -> Packed:
    """Pack real numbers, rounded to 256 levels from min to max; ``fine``: to 65,536. Values that are not finite become 0."""
    x = np.nan_to_num(np.asarray(values, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = (float(x.min()), float(x.max())) if x.size else (0.0, 0.0)
    top, dtype = (65535, "<u2") if fine else (255, "u1")
    scaled = np.rint((x - low) / (high - low) * top) if high > low else np.zeros(x.shape)
    return _packed("fine" if fine else "levels", x.shape, scaled.astype(dtype)) | {"low": low, "high": high}


def pack_activity(values: npt.NDArray[Any]) -> Packed:
    """Pack as bits if all values are 0 or 1, else as levels."""
    return pack_bits(values) if bool(((values == 0) | (values == 1)).all()) else pack_levels(values)


def _packed(kind: str, shape: tuple[int, ...], data: npt.NDArray[Any]) -> Packed:
    return {"type": kind, "shape": list(shape), "data": base64.b64encode(data.tobytes()).decode("ascii")}
