"""A listening socket, and file descriptors for its connections."""

from __future__ import annotations

import contextlib
import socket

from ...errors import SrnnError, option

BACKLOG = 2048
"""Connections that may wait in the kernel."""

OWN_DESCRIPTORS = 256
"""Descriptors for the page, for batches, and for other purposes."""


def bind(host: str, port: int, shared: bool = False) -> socket.socket:
    """A socket with its address, for ``listen``: a port in use is reported at once.

    SrnnError if it cannot have the address.
    """
    if ":" in host:
        family = socket.AF_INET6
    else:
        family = socket.AF_INET
    # asyncio sends small messages at once (TCP_NODELAY) only if the protocol is named; else the
    # kernel holds them for up to .2 s.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)

    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            if not hasattr(socket, "SO_REUSEPORT"):
                raise SrnnError(
                    f"This system cannot share a port between servers ({option('share_port')})."
                )
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host.strip("[]"), port))
    except (OSError, UnicodeError) as error:
        bound.close()
        raise _refusal(host, port, error) from error
    except SrnnError:
        bound.close()
        raise

    return bound


def listen(bound: socket.socket) -> None:
    """Let anyone who reads the address connect. SrnnError if another server was faster."""
    try:
        bound.listen(BACKLOG)
    except OSError as error:
        host, port = bound.getsockname()[:2]
        bound.close()
        raise _refusal(host, port, error) from error


def raise_descriptors(connections: int) -> None:
    """Raise this process's soft limit on open files for so many connections, as far as it may."""
    try:
        import resource
    except ImportError:  # Windows
        return

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OWN_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)

    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS refuses more than a limit of its own.
        with contextlib.suppress(OSError, ValueError, OverflowError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _refusal(host: str, port: int, error: Exception) -> SrnnError:
    reason = getattr(error, "strerror", None) or error
    return SrnnError(
        f"Cannot listen on {host}:{port} ({reason}); choose another {option('port')} or "
        f"{option('host')}."
    )
