"""The system resources of a server: a listening socket, and file descriptors."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import replace

from ...errors import SrnnError
from .limits import Limits

BACKLOG = 2048
"""Connections that may wait in the kernel."""
SPARE_CONNECTIONS = 64
"""Connections besides the streams: for the page, batches, and those that are being refused."""
OWN_DESCRIPTORS = 96
"""Descriptors for other purposes, and for connections that have just been accepted or closed."""


def listen(host: str, port: int, shared: bool = False) -> socket.socket:
    """Open a listening socket, so that a port in use is reported before the server claims to run. SrnnError if it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small messages at once (TCP_NODELAY) only where the protocol is named; the kernel else keeps them up to .2 s.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            if not hasattr(socket, "SO_REUSEPORT"):
                raise SrnnError("This system cannot share a port between servers (--share-port).")
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((host.strip("[]"), port))
        listening.listen(BACKLOG)  # whoever reads the address may connect at once
    except (OSError, UnicodeError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise SrnnError(f"Cannot listen on {host}:{port} ({reason}); choose another --port or --host.") from error
    return listening


def fit_descriptors(limits: Limits) -> tuple[Limits, str]:
    """Limits for which this process has enough file descriptors, and a message where these allow fewer streams.

    The soft limit is raised as far as the hard one allows. SrnnError if they allow no stream.
    """
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return limits, ""
    own = SPARE_CONNECTIONS + OWN_DESCRIPTORS + _open_descriptors()
    wanted = int(limits.streams) + own
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    most = wanted if hard == unlimited else min(wanted, hard)
    if soft != unlimited and soft < most:
        with contextlib.suppress(OSError, ValueError):  # refused, as by macOS beyond its own limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    if soft == unlimited or soft >= wanted:
        return limits, ""
    streams = soft - own
    if streams < 1:
        raise SrnnError(f"'ulimit -n' allows {soft} open files, and a server needs more than {own}: raise it.")
    return replace(limits, streams=streams), (
        f"at most {streams} streams instead of {int(limits.streams)}: 'ulimit -n' allows {soft} open files"
    )


def _open_descriptors() -> int:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return len(os.listdir(folder))
    return 16
