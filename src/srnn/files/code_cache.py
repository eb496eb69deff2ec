"""Machine code on disk: pieces with a name, in folders that only this user and root may write to.

Whoever can write such a file runs code as this user. So its folder is checked each time before a
file is read: once per process would not do, because a folder in /tmp may be removed as old, and
then made by anyone. All checks of a start together take 1 to 3 ms.

A file begins with a digest of the rest, not to make it safe but to reveal damage: a damaged file
counts as missing.

The folder is ``srnn/__pycache__``, or, if that cannot be written, one in the user's cache. The
environment variable NUMBA_CACHE_DIR names another place instead of both. The first of the two is
read even if it cannot be written: an administrator who installs srnn and then calls
``srnn info --warm`` compiles for everyone.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import SrnnError
from .writing import write_atomically

MOST = 256 * 2**20
"""Bytes that a folder may hold; beyond them, the files written longest ago are removed.

A compiled function takes some hundred KiB.
"""

_SUFFIX = ".compiled"


def pieces(name: str) -> Iterator[memoryview]:
    """The undamaged pieces that are kept under a name, from the preferred folder first."""
    for folder in _candidates():
        if not _why_not(folder):
            content = _read(folder / f"{name}{_SUFFIX}")
            if content is not None:
                yield content


def keep(name: str, content: bytes) -> None:
    """Keep a piece in the first folder that can be written.

    Args:
        name: its file's name, without suffix.
        content: the machine code.

    Raises:
        SrnnError: ``file``: no folder can be written or is safe; the message names the last one's
            reason.
    """
    reason = "there is no folder for it"
    for folder in _candidates():
        reason = _why_not(folder)
        if reason:
            continue
        path = folder / f"{name}{_SUFFIX}"
        try:
            write_atomically(path, _digest(path, content) + content, mode=0o644)
            _forget_oldest(folder)
            return
        except SrnnError as error:
            reason = _cannot_write(folder, error.__cause__ or error)
    raise SrnnError(reason, "file")


def folder_in_use() -> str | None:
    """Where new machine code is kept; None: nowhere."""
    for folder in _candidates():
        if not _why_not(folder) and os.access(folder, os.W_OK):
            return str(folder)
    return None


def _read(path: Path) -> memoryview | None:
    """A file's piece; None if there is none, or it is damaged."""
    try:
        if not path.is_file():  # a pipe would never end
            return None
        content = memoryview(path.read_bytes())
    except (OSError, MemoryError):
        return None
    size = hashlib.sha256().digest_size
    if content[:size] != _digest(path, content[size:]):
        return None
    return content[size:]


def _digest(path: Path, content: bytes | memoryview) -> bytes:
    """The digest of a file's name and content, so that one under another's name counts as damaged.

    A careless copy might give a machine another processor's code.
    """
    digest = hashlib.sha256(path.name.encode())
    digest.update(content)
    return digest.digest()


def _forget_oldest(folder: Path) -> None:
    """Keep a folder within ``MOST`` bytes."""
    total = 0
    with contextlib.suppress(OSError):  # another process forgets, too
        files = [(path.stat(), path) for path in folder.glob(f"*{_SUFFIX}")]
        for status, path in sorted(files, key=lambda file: file[0].st_mtime_ns, reverse=True):
            total += status.st_size
            if total > MOST:
                path.unlink()


# ---- where, and whom we trust --------------------------------------------------------------------


def _candidates() -> Iterator[Path]:
    """Where machine code may lie, the preferred place first."""
    # Not Numba's own setting of that name, which a file in the current folder can change.
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        yield Path(named) / "srnn"
        return
    yield Path(__file__).parents[1] / "__pycache__"
    with contextlib.suppress(RuntimeError):  # there is no home folder
        local = os.environ.get("XDG_CACHE_HOME" if os.name == "posix" else "LOCALAPPDATA")
        yield (Path(local) if local else Path.home() / ".cache") / "srnn" / "compiled"


def _why_not(folder: Path) -> str:
    """Why a folder, which is made if missing, is not to be used; empty if it may be."""
    try:
        for each in reversed((folder, *folder.parents)):
            if not each.is_dir():
                each.mkdir(0o755, exist_ok=True)
        # Nobody but this user and root may put anything into the folder, or another in its place:
        # they own it and every folder above, and nobody else may write to them. Above it, a folder
        # that all may write to is allowed if users can replace only their own files in it (the
        # sticky bit, as in /tmp). A group with this user as its only member counts as the user. On
        # systems with other permissions (Windows), every folder is trusted.
        above = {*folder.absolute().parents, *folder.resolve().parents}
        ours = all(_only_ours(os.stat(each), sticky=True) for each in above)
        if ours and _only_ours(os.stat(folder)):
            return ""
        return f"others may write to {folder}"
    except OSError as error:
        return _cannot_write(folder, error)


def _cannot_write(folder: Path, error: BaseException) -> str:
    """One text for all files of a folder, so that it appears once."""
    return f"{folder} cannot be written ({getattr(error, 'strerror', None) or error})"


def _only_ours(status: os.stat_result, sticky: bool = False) -> bool:
    """Whether a folder belongs to this user or root, and no others may write to it.

    ``sticky``: others may write to a folder in which they cannot touch files of others.
    """
    if os.name != "posix":
        return True
    if status.st_uid not in (0, os.geteuid()):
        return False
    if sticky and status.st_mode & stat.S_ISVTX:
        return True
    by_group = bool(status.st_mode & stat.S_IWGRP) and not _alone(status.st_gid)
    by_all = bool(status.st_mode & stat.S_IWOTH)
    return not (by_group or by_all)


@functools.cache
def _alone(group: int) -> bool:
    """Whether a group is the private one that many systems give each user.

    Such a group has the user's name and no other members.
    """
    import grp
    import pwd

    try:
        user, entry = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    private = user.pw_gid == group and entry.gr_name == user.pw_name
    return private and set(entry.gr_mem) <= {user.pw_name}
