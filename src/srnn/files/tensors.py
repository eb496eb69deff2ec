"""The header of a safetensors file, checked before the safetensors library reads it."""

from __future__ import annotations

from pathlib import Path

from ..errors import SrnnError
from .limits import LIMITS
from .reading import parse_json, reading


def read_metadata(content: bytes, source: Path | str, what: str) -> dict[str, str]:
    """The texts that a safetensors file keeps beside its tensors. SrnnError: it has no sound header, or one beyond its limits."""
    limits = LIMITS["tensors"]
    end = 8 + int.from_bytes(content[:8], "little")
    if not 8 < end <= min(len(content), 8 + limits.bytes):
        raise SrnnError(
            f"{source} cannot be read as {what}: its header is cut off, or longer than {limits.bytes} bytes."
        )
    header = parse_json(content[8:end], source, what)
    if isinstance(header, dict) and len(header) - 1 > (limits.items or 0):
        raise SrnnError(f"{source} cannot be read as {what}: it contains more than {limits.items} tensors.")
    with reading(source, what):
        return {str(name): str(text) for name, text in header["__metadata__"].items()}
