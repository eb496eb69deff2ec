"""Windows as code for files meets it, for tests on other systems: what is open can neither be
removed nor renamed, a folder is not opened nor replaced, and what a descriptor writes as text has
other ends of lines."""

from __future__ import annotations

import errno
import os
from types import SimpleNamespace
from typing import Any

import pytest

O_BINARY = 0x8000


def files_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``srnn.files`` writes with is as there."""
    from srnn.files import unfinished, writing

    opened, as_text = set[int](), set[int]()

    def open_(path: Any, flags: int, mode: int = 0o777) -> int:
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied")
        handle = os.open(path, flags & ~O_BINARY, mode)
        opened.add(handle)
        (as_text.discard if flags & O_BINARY else as_text.add)(handle)
        return handle

    def write(handle: int, content: bytes) -> int:
        return os.write(handle, content.replace(b"\n", b"\r\n") if handle in as_text else content)

    def check_closed(path: Any) -> None:
        for handle in opened:
            try:
                same = os.path.samestat(os.fstat(handle), os.lstat(path))
            except OSError:  # closed, or another's by now
                continue
            if same:
                raise PermissionError(errno.EACCES, "Used by another process")

    def unlink(path: Any) -> None:
        check_closed(path)
        os.unlink(path)

    def replace(path: Any, target: Any) -> None:
        check_closed(path)
        if os.path.isdir(target):
            raise PermissionError(errno.EACCES, "Access is denied")
        os.replace(path, target)

    theirs = {
        "name": "nt",
        "O_BINARY": O_BINARY,
        "open": open_,
        "write": write,
        "unlink": unlink,
        "replace": replace,
    }
    for module in (unfinished, writing):
        monkeypatch.setattr(module, "os", SimpleNamespace(**{**vars(os), **theirs}))
