"""Files that appear under their name when they are whole: whoever reads at any moment sees the old one or the new one.

Each writer has a temporary name of its own, so that several processes that write the same file cannot mix their bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from ..errors import SrnnError

_SUFFIX = ".tmp"


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the file by ``content``, on disk when this returns. SrnnError when that fails; then the old file is still there.

    A name that is there and no ordinary file (/dev/stdout, a pipe) is written to, for nothing can take its place.
    """
    temporary = None
    try:
        if path.exists() and not path.is_file():
            with open(path, "wb") as file:
                file.write(content)
            return
        target = path.resolve()  # a link stays one, and its file is replaced
        temporary = temporary_beside(target)
        with open(temporary, "xb") as file:
            if target.exists():
                shutil.copymode(target, temporary)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        temporary = None
        _sync_folder(target.parent)
    except (OSError, ValueError) as error:
        raise SrnnError(f"Cannot write {path}: {getattr(error, 'strerror', None) or error}.") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def write_json(path: Path, content: Any) -> None:
    """Write a value as JSON, to be read by people too; as ``write_atomically``."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def temporary_beside(target: Path) -> Path:
    """A name in the same folder that no other writer has; it begins as ``target``'s, so that one sees whose it is."""
    return target.with_name(f".{target.name[:100]}-{secrets.token_hex(6)}{_SUFFIX}")


def is_leftover(path: Path) -> bool:
    """Whether a file is what a killed ``write_atomically`` leaves behind."""
    return path.name.startswith(".") and path.name.endswith(_SUFFIX)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left in a folder. Only while nobody else writes there."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if is_leftover(path):
            with contextlib.suppress(OSError):
                path.unlink()


def _sync_folder(folder: Path) -> None:
    """Put a new name on disk too, where the system has a way to."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
