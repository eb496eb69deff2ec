"""The one exception for a user's mistake, what it is about, and the "did you mean" that its messages
end with. Values of settings are checked by ``check`` (``files/conversion.py``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from numbers import Real
from typing import Any, Literal, TypeGuard, get_args

from .text import brief, one_line

Kind = Literal[
    "value",
    "name",
    "missing",
    "exists",
    "conflict",
    "data",
    "file",
    "unsupported",
    "package",
    "resource",
]
"""What is wrong, for programs that act on it:

- ``value``: a setting, an argument or an option has a value or a type that is not valid.
- ``name``: there is no key, recipe, class, channel, or other thing of this name.
- ``missing``: a file, a folder, a required setting or a part of what was given is not there.
- ``exists``: something would be overwritten.
- ``conflict``: settings that are each valid do not go together, or one has no effect here.
- ``data``: recordings, arrays or labels have a shape, a size or contents that cannot be used.
- ``file``: a file cannot be read or written, or does not hold what it should.
- ``unsupported``: this network, format or platform cannot do what was asked.
- ``package``: a package or a tool is not installed, or does not work.
- ``resource``: memory, disk, time, the network, a device or another process stands in the way.
"""
KINDS: tuple[Kind, ...] = get_args(Kind)


class SrnnError(Exception):
    """A user's mistake: bad input, a missing file, an unknown name.

    The message is ONE clear line that says what is wrong and what to do about it. The command line
    prints it to standard error and ends with exit code 2; a library user catches it. Line breaks in
    the message (a quoted third-party error, a file name with a newline in it) are folded to spaces,
    control characters are written out, and the middle of a very long one is left out, so the
    promise of one line holds whatever was put in.

        try:
            srnn.fit(x, y, epochs=0)
        except srnn.SrnnError as error:
            print(error.kind, error.field)  # value epochs

    Args:
        message: the line.
        kind: what is wrong, one of ``KINDS``.
        field: what it is about: the argument (``"epochs"``; of a command ``--epochs`` is the same), the recipe's key
            (``"training.optimizer.lr"``), the column, channel or label, or the file's path; ``""`` if
            it is about no single one.
    """

    def __init__(self, message: str, kind: Kind = "value", field: object = "") -> None:
        super().__init__(one_line(str(message)))
        self.kind: Kind = kind
        name = one_line(str(field))
        self.field = name[2:].replace("-", "_") if name.startswith("--") else name


@contextmanager
def naming(where: object) -> Iterator[None]:
    """The block's SrnnErrors begin with ``where`` they are from: a file, a key, the number of a
    sequence."""
    try:
        yield
    except SrnnError as error:
        raise SrnnError(f"{where}: {error}", error.kind, error.field) from error


@contextmanager
def naming_once(where: object) -> Iterator[None]:
    """As ``naming``, but an error that names it already stays as it is."""
    try:
        yield
    except SrnnError as error:
        if str(where) in str(error):
            raise
        raise SrnnError(f"{where}: {error}", error.kind, error.field) from error


_AT_A_COMMAND_LINE = [False]


@contextmanager
def command_line() -> Iterator[None]:
    """Within it, messages call options as they are called on the command line (``option``)."""
    before, _AT_A_COMMAND_LINE[0] = _AT_A_COMMAND_LINE[0], True
    try:
        yield
    finally:
        _AT_A_COMMAND_LINE[0] = before


def option(name: str, flag: bool = False) -> str:
    """What a message calls an option: ``--out`` on the command line, ``out`` in Python.

    Args:
        name: the option's name in Python.
        flag: whether it is one without a value: ``--resume``, ``resume=True``.
    """
    return either(f"--{name.replace('_', '-')}", f"{name}=True" if flag else name)


def either(at_a_command_line: str, in_python: str) -> str:
    """That one of two texts which its reader can use.

    Args:
        at_a_command_line: for readers who typed a command.
        in_python: for readers who called a function.
    """
    if _AT_A_COMMAND_LINE[0]:
        return at_a_command_line
    return in_python


def lacks_memory(error: BaseException) -> bool:
    """Whether the error says that memory ran out: a MemoryError, or torch's RuntimeError, which
    only its text gives away."""
    words = ("allocate memory", "not enough memory", "out of memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


def nearest(name: object, candidates: Iterable[str], command: str = "") -> str:
    """The end of an "unknown name" message, with its leading space.

    Args:
        name: what the user wrote (anything; it is compared as text).
        candidates: the names that exist.
        command: the command that lists them, if there are too many for one line.

    Returns:
        ``" Did you mean 'x'?"`` when one of the candidates is close, otherwise
        ``" There are: a, b, c."``, or with a command ``" See 'srnn recipes'."``, or
        ``" There are none."`` when there is nothing to choose from.
    """
    names = sorted(set(candidates))
    if not names:
        return " There are none."
    import difflib  # not for every ``srnn --help``

    folded = {candidate.casefold(): candidate for candidate in names}
    close = difflib.get_close_matches(str(name)[:100].casefold(), list(folded), n=1, cutoff=0.6)
    if close:
        return f" Did you mean {folded[close[0]]!r}?"
    if command:
        return f" See '{command}'."
    return f" There are: {', '.join(names)}."


def need(package: str, what: str, extra: str) -> Any:
    """Import and return a package of an extra.

    Args:
        package: its name.
        what: what needs it, with which the message begins.
        extra: the extra of srnn that installs it.

    Raises:
        SrnnError: it is missing or does not work (package).
    """
    try:
        return import_module(package)
    except ImportError as error:
        install = (
            f'pip install "srnn[{extra}]"; in a copy of the source pip install ".[{extra}]", '
            'or ".[all]" for all extras'
        )
        raise SrnnError(f"{what} needs {package}: {install}.", "package", package) from error
    except OSError as error:  # its library in C is missing
        said = f"{package} is installed, but does not work: {error}"
        raise SrnnError(said, "package", package) from error


def require(condition: bool, key: str, rule: str, value: object) -> None:
    """Raise SrnnError (value) unless a condition holds: for rules between settings.

    What one setting may be is stated by its type (``check``).

    Args:
        condition: whether the rule is kept.
        key: the setting.
        rule: what it must be, for the message.
        value: what it is.
    """
    if not condition:
        raise SrnnError(f"'{key}' must be {rule}, not {brief(value)}.", "value", key)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a real number that a float can hold, Python's or numpy's; truth values do
    not count."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        float(value)
    except OverflowError:  # an integer of 310 digits
        return False
    return True
