"""The entry point of ``srnn`` and ``python -m srnn``: an interrupt at any time gives one line and
exit code 130.

It imports as little as possible, because an interrupt before ``main`` begins is handled by Python
itself.
"""

import os
import signal
import sys
from typing import Any, NoReturn


def _stop(*_: Any) -> NoReturn:
    os.write(2, b"srnn: stopped\n")
    os._exit(130)


def _interrupt(number: int, frame: Any) -> NoReturn:
    """Raise KeyboardInterrupt, so that the command can clean up and print how to continue; but end at
    once while a module is being imported: there the exception may be swallowed, turned into
    another, or pass through torch's C++, which aborts."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            _stop()
        frame = frame.f_back
    raise KeyboardInterrupt


def _again(unraisable: Any) -> None:
    """Interrupt again, a moment later, if nothing could catch the exception: it was raised while
    Python cleared memory (a weak reference's callback), where exceptions are only printed."""
    if unraisable.exc_type is not KeyboardInterrupt:
        return sys.__unraisablehook__(unraisable)
    import threading

    # A process's signal also ends a sleep of the main thread, which one of this thread's own would
    # not.
    if os.name == "posix":
        send, where = (os.kill, [os.getpid()])
    else:
        send, where = (signal.raise_signal, [])
    timer = threading.Timer(0.01, send, [*where, signal.SIGINT])
    timer.daemon = True
    timer.start()


def main() -> int:
    """``cli.main``, guarded from its import to the end of the process."""
    try:
        # A shell's background job ignores it.
        heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if heeded:
            signal.signal(signal.SIGINT, _interrupt)
            sys.unraisablehook = _again
        # A supervisor that ignores the ends of its children passes that on; no child's exit code
        # would be known.
        if os.name == "posix" and signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        from .cli.main import main as run

        try:
            return run()
        finally:
            if heeded:  # only the interpreter's shutdown is left, and it would print the exception
                signal.signal(signal.SIGINT, _stop)
    except KeyboardInterrupt:
        _stop()


if __name__ == "__main__":
    sys.exit(main())
