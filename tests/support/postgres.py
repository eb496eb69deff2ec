"""A throw-away PostgreSQL for tests: made in a temporary folder, reached by a socket in it, gone
afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
)
"""Where distributions put the server's programs, which are seldom in the PATH."""
PORT = 5432
NEEDED = ("initdb", "pg_ctl", "postgres")


class NoServer(Exception):
    """No PostgreSQL can be run here, and why."""


def find_programs() -> Path | None:
    """The folder with the server's programs, or None."""
    folders = []
    if (found := shutil.which("pg_ctl")) is not None:
        folders += [Path(found).parent, Path(found).resolve().parent]
    for pattern in FOLDERS:
        folders += sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)
    return next(
        (folder for folder in folders if all(os.access(folder / name, os.X_OK) for name in NEEDED)),
        None,
    )


@contextmanager
def server() -> Iterator[str]:
    """The address of an empty database of a server that runs until the end. NoServer where there
    can be none."""
    programs = find_programs()
    if programs is None:
        raise NoServer(
            "no PostgreSQL server was found; install one (Debian, Ubuntu: apt-get install "
            "postgresql)"
        )
    # Not pytest's folder: that one is closed to other users, and a socket's path may have no more
    # than some hundred characters.
    folder = Path(tempfile.mkdtemp(prefix="srnn-postgres-"))
    try:
        user = _unprivileged(folder)

        def run(program: str, *arguments: str) -> None:
            log = folder / "run.log"  # no pipe: the server would keep it open
            with open(log, "wb") as file:
                done = subprocess.run([programs / program, "-D", folder / "data", *arguments], cwd=folder, timeout=120,
                                      stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=_environment(), **user)  # fmt: skip
            if done.returncode != 0:
                said = "\n".join(
                    path.read_text() for path in (log, folder / "server.log") if path.exists()
                )
                raise RuntimeError(f"{program} {' '.join(arguments)} failed:\n{said}")

        run(
            "initdb",
            "--username=srnn",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        )
        # No network, only a socket (a port is but a part of its name), in a folder that nobody else
        # may enter; and nothing need outlive a power cut.
        options = (
            f"-c listen_addresses= -c port={PORT} -c unix_socket_directories={folder} -c fsync=off"
        )
        try:
            run(
                "pg_ctl",
                "start",
                "--wait",
                "--log",
                str(folder / "server.log"),
                "--options",
                options,
            )
            yield f"postgresql://srnn@/postgres?host={folder}&port={PORT}"
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                run("pg_ctl", "stop", "--wait", "--mode", "immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged(folder: Path) -> dict[str, Any]:
    """How to run the server: it refuses to be root, so that root runs it as nobody, to whom the
    folder is given."""
    if os.geteuid() != 0:
        return {}
    try:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        subprocess.run(["test", "-w", folder], check=True, **user)
    except (KeyError, OSError, subprocess.CalledProcessError) as error:
        raise NoServer(
            f"PostgreSQL refuses to run as root, and nobody cannot run it in {folder}: {error}"
        ) from error
    return user


def _environment() -> dict[str, str]:
    """Ours, without what a person has set for a database of their own."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "LC_", "LANG"))
    }
