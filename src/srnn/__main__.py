"""The way in, of ``srnn`` and ``python -m srnn``: whenever it is interrupted, that is one line and exit code 130.

Imports as little as can be, for an interrupt before ``main`` has begun is Python's own affair.
"""

import os
import signal
import sys
from typing import Any, NoReturn


def _stop(*_: Any) -> NoReturn:
    """End at once. For when nothing is begun yet, or all is done: there an exception might be swallowed (by an import in C, by a
    destructor), or be printed by whatever it stops."""
    os.write(2, b"srnn: stopped\n")
    os._exit(130)


def main() -> int:
    """``cli.main``, guarded from its import to the end of the process."""
    try:
        heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # a shell's background job ignores it
        if heeded:
            signal.signal(signal.SIGINT, _stop)
        from .cli import main as run

        if heeded:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # commands clean up, and say how to continue
        try:
            return run()
        finally:
            if heeded:
                signal.signal(signal.SIGINT, _stop)
    except KeyboardInterrupt:
        _stop()


if __name__ == "__main__":
    sys.exit(main())
