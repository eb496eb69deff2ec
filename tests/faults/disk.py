"""What is on a disk after some calls: all of it (the process was killed), or what a power cut
leaves of it."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

KINDS = ("killed", "torn write", "power cut: content lost", "power cut: names lost")


@dataclass(frozen=True)
class Call:
    """One call that changed a file: c create, t truncate at opening, w write, z set the size, s
    sync, r rename, u unlink, l symlink, m make a folder."""

    kind: str
    path: str
    other: str
    offset: int
    data: bytes
    size: int


def read_trace(content: bytes) -> list[Call]:
    """What shim.c wrote down."""
    calls, at = [], 0
    while at < len(content):
        kind = chr(content[at])
        length, more, offset, size = struct.unpack_from("=QQqQ", content, at + 1)
        at += 33
        path, other = content[at : at + length], content[at + length : at + length + more]
        at += length + more
        data = content[at : at + size] if kind == "w" else b""
        at += len(data)
        calls.append(Call(kind, os.fsdecode(path), os.fsdecode(other), offset, data, size))
    return calls


@dataclass
class _Entry:
    kind: str
    """file, folder or link."""
    data: bytearray = field(default_factory=bytearray)
    synced: bytes = b""
    """What of a file is on disk."""
    target: str = ""


class Disk:
    """A folder's files as a model: what running processes see, and what is on disk."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.names: dict[str, _Entry] = {}
        for path in sorted(root.rglob("*")):
            if path.is_symlink():
                self.names[str(path)] = _Entry("link", target=os.readlink(path))
            elif path.is_dir():
                self.names[str(path)] = _Entry("folder")
            else:
                content = path.read_bytes()
                self.names[str(path)] = _Entry("file", bytearray(content), content)
        self.synced = dict(self.names)

    def apply(self, call: Call, share: float = 1.0) -> None:
        """A call; of a write a share of its bytes."""
        names, path = self.names, call.path
        if call.kind in "ct":
            entry = names.setdefault(path, _Entry("file"))
            if call.kind == "t":
                entry.data.clear()
        elif call.kind == "m":
            names.setdefault(path, _Entry("folder"))
        elif call.kind == "l":
            names[path] = _Entry("link", target=call.other)
        elif call.kind == "u":
            names.pop(path, None)
        elif call.kind == "r":
            for name in [name for name in names if name == path or name.startswith(path + "/")]:
                names[call.other + name[len(path) :]] = names.pop(name)
        elif path in names and call.kind in "wz":
            data = names[path].data
            part = call.data[: int(share * len(call.data))] if share < 1 else call.data
            if call.kind == "z":
                del data[call.offset :]
                data.extend(bytes(call.offset - len(data)))
            else:
                data.extend(bytes(max(0, call.offset - len(data))))
                data[call.offset : call.offset + len(part)] = part
        elif call.kind == "s" and path in names and names[path].kind == "file":
            names[path].synced = bytes(names[path].data)
        elif call.kind == "s":  # the names in a folder
            for name in {*names, *self.synced}:
                if os.path.dirname(name) == path:
                    if name in names:
                        self.synced[name] = names[name]
                    else:
                        self.synced.pop(name, None)

    def leave(self, kind: str, root: Path) -> None:
        """Make the folder ``root`` as this disk is after a kill, or a power cut."""
        names = self.synced if kind == "power cut: names lost" else self.names
        for name, entry in sorted(names.items()):
            path = root / os.path.relpath(name, self.root)
            if not path.parent.is_dir():  # a folder's name was lost, and all in it
                continue
            if entry.kind == "folder":
                path.mkdir(exist_ok=True)
            elif entry.kind == "link":
                path.symlink_to(entry.target)
            else:
                path.write_bytes(entry.data if kind in ("killed", "torn write") else entry.synced)


def crash_points(calls: Sequence[Call], kind: str) -> list[int]:
    """Numbers of calls after which (for a torn write: within which) this kind of end leaves
    something of its own."""
    return [
        i
        for i, call in enumerate(calls)
        if (call.kind == "w" and len(call.data) > 1) or kind != "torn write"
    ]


def leave_after(
    before: Path, calls: Sequence[Call], point: int, kind: str, root: Path, recorded: Path
) -> None:
    """Make in ``root`` what is left when the calls up to ``point``, recorded in ``recorded``, were
    made on ``before``."""
    disk = Disk(before)
    disk.names = {
        name.replace(str(before), str(recorded), 1): entry for name, entry in disk.names.items()
    }
    disk.synced, disk.root = dict(disk.names), str(recorded)
    for call in calls[:point]:
        disk.apply(call)
    disk.apply(calls[point], 0.5 if kind == "torn write" else 1.0)
    disk.leave(kind, root)
    for path in before.rglob("*"):  # what is unchanged keeps its time
        copy = root / path.relative_to(before)
        if path.is_file() and copy.is_file() and copy.read_bytes() == path.read_bytes():
            shutil.copystat(path, copy)
