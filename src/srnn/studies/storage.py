"""Where a sweep's state is stored: in a journal file that all workers append to, or in a database (optuna's storages)."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import SrnnError, need
from ..files import append_line, cut_lines

_BEGINNING = b'{"op_code":'
LOCK_GRACE = 5
"""Seconds after which the journal's lock is taken over; its holder must be dead, as writing a line takes milliseconds."""


def open_storage(address: str | None, out: Path) -> Any:
    """The storage at an address such as postgresql://user@host/database; without one the file journal.log in ``out``.

    SrnnError when optuna or the database's driver is not installed, or the database does not answer.
    """
    import_optuna()
    if address is None:
        from optuna.storages import journal

        path = (out / "journal.log").absolute()  # the lock links to it: a relative link would point elsewhere

        class Journal(journal.JournalFileBackend):
            """A journal that only grows by whole lines: a line torn by a full disk would corrupt all that follow."""

            def append_logs(self, logs: list[dict[str, Any]]) -> None:
                with _holding(lock, path):
                    append_line(path, "\n".join(json.dumps(log, separators=(",", ":")) for log in logs))

        try:
            out.mkdir(parents=True, exist_ok=True)
            posix = os.name == "posix"  # Windows lets few make links
            kind = journal.JournalFileSymlinkLock if posix else journal.JournalFileOpenLock
            lock = kind(str(path), grace_period=LOCK_GRACE)
            with _holding(lock, path):
                cut_lines(path)
            backend = Journal(str(path), lock)
            _mend(path, lock)
            storage = journal.JournalStorage(backend)
            storage.get_all_studies()  # reads all of it
            return storage
        except SrnnError:
            raise
        except OSError as error:
            raise SrnnError(f"Cannot write the sweep's journal {path}: {error.strerror or error}.") from error
        except Exception as error:  # whatever optuna makes of lines that are not its own
            raise SrnnError(f"{path} is not a sweep journal, or is corrupt: {error}.") from error
    # A plain database name selects today's driver, not the one that was the default ten years ago.
    if address.startswith(("postgresql://", "postgres://")):
        address = f"postgresql+psycopg://{address.partition('://')[2]}"
    try:
        return _open_database(address)
    except ImportError as error:
        raise SrnnError(
            f"The storage {_shown(address)} needs a driver ({error.__cause__ or error}): install it; for PostgreSQL: "
            'pip install "srnn[postgres]".'
        ) from error
    except Exception as error:  # whatever the database's driver raises: SQLAlchemy's errors, ValueError for an address
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SrnnError(f"The storage {_shown(address)} cannot be used: {_shown(reason)}") from error


def import_optuna() -> Any:
    """Import optuna with its logging silenced. SrnnError when it is not installed."""
    optuna = need("optuna", "A sweep", "sweep")
    optuna.logging.set_verbosity(logging.WARNING)
    return optuna


def _open_database(address: str) -> Any:
    """optuna's storage in a database. If several workers create its tables at once, one succeeds and the others retry."""
    import optuna
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    for _ in range(4):
        try:
            return optuna.storages.get_storage(address)
        except (IntegrityError, ProgrammingError):
            time.sleep(random.uniform(0.2, 1.0))
    return optuna.storages.get_storage(address)


@contextlib.contextmanager
def _holding(lock: Any, path: Path) -> Iterator[None]:
    """Hold the journal's lock. SrnnError if it cannot be released (a full disk), for which optuna raises a RuntimeError; if
    another process has taken it over because this one was suspended, nothing is left to release."""
    lock.acquire()
    try:
        yield
    finally:
        try:
            lock.release()
        except RuntimeError as error:
            if not isinstance(error.__context__, FileNotFoundError):
                raise SrnnError(f"Cannot release the lock of {path}: {error.__context__ or error}.") from error


def _mend(path: Path, lock: Any) -> None:
    """Drop an unfinished last line, which a machine that loses power leaves; its writer never continued.

    ValueError when the file begins or ends with anything but a journal line.
    """
    with _holding(lock, path), open(path, "r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        lines = content[:whole].splitlines()
        if not whole and content[: len(_BEGINNING)] != _BEGINNING[: len(content)]:
            raise ValueError("it does not begin as optuna's journals do")
        for line in (*lines[:1], *lines[-1:]):  # optuna passes over the last one for as long as nothing follows it
            if "op_code" not in dict(json.loads(line)):
                raise ValueError("it contains a line that optuna did not write")
        if whole < len(content):
            file.truncate(whole)


def _shown(text: str) -> str:
    """An address, or a message about it, without its password. That may contain an @, after which a driver looks for the port."""
    return re.sub("'[^']*@", "'***@", re.sub("(://[^:/]*):.*@", r"\1:***@", text, flags=re.DOTALL))
