"""The way in, of ``srnn`` and ``python -m srnn``: whenever it is interrupted, that is one line and exit code 130.

Imports as little as can be, for an interrupt before ``main`` has begun is Python's own affair.
"""

import os
import signal
import sys
from typing import Any, NoReturn


def _stop(*_: Any) -> NoReturn:
    """End at once."""
    os.write(2, b"srnn: stopped\n")
    os._exit(130)


def _interrupt(number: int, frame: Any) -> NoReturn:
    """KeyboardInterrupt, for the command to clean up and say how to continue; the end at once while a module is imported: there
    the exception may be swallowed, become another, or pass through C++ (torch's), which aborts."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            _stop()
        frame = frame.f_back
    raise KeyboardInterrupt


def main() -> int:
    """``cli.main``, guarded from its import to the end of the process."""
    try:
        heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a shell's background job ignores it
        if heeded:
            signal.signal(signal.SIGINT, _interrupt)
        from .cli.main import main as run

        try:
            return run()
        finally:
            if heeded:  # what is left to run is the interpreter's end, which would print the exception
                signal.signal(signal.SIGINT, _stop)
    except KeyboardInterrupt:
        _stop()


if __name__ == "__main__":
    sys.exit(main())
