"""Pages of runs, as tests read them."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import numpy.typing as npt


def embedded(page: str) -> dict:
    """What a page holds."""
    text = page.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    return json.loads(text)


def unpack(packed: dict[str, Any]) -> npt.NDArray[Any]:
    """Unpack an array, as the page sees it."""
    data, shape = base64.b64decode(packed["data"]), tuple(packed["shape"])
    if packed["type"] == "bits":
        return np.unpackbits(
            np.frombuffer(data, np.uint8), count=int(np.prod(shape)), bitorder="little"
        ).reshape(shape)
    if packed["type"] == "int16":
        return np.frombuffer(data, "<i2").reshape(shape)
    top, dtype = (65535, "<u2") if packed["type"] == "fine" else (255, "u1")
    low, high = packed["low"], packed["high"]
    return low + (high - low) * np.frombuffer(data, dtype).reshape(shape) / top
