"""Compiles plain functions to machine code with Numba, and keeps it on disk for the next process.

Each compiled form of a function, its machine code for one signature, is a piece of
``files.code_cache``, under a name that changes with everything that it depends on. A form that is
missing, or that calls a missing ``part``, is compiled; one that cannot be kept is compiled in each
process, with one warning.

Why not Numba's own cache? Measured with Numba 0.68 and the loops written as modules:

- Numba links a function into each of its callers and optimises it there again. Compiling a default
  network took 26 to 30 s of a core's time instead of 17 to 19, and each further neuron 6 to 9 s
  instead of 4. Later starts took as long as here.
- Nothing reveals damage: a file that is cut, and often one with a wrong bit, ends every start.
- Processes that compile a function for two types at once share its index without a lock. It may
  then name the machine code for one type under the other.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import inspect
import linecache
import os
import pickle
import re
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec
from types import CodeType, FunctionType
from typing import Any

from .errors import SrnnError
from .files import code_cache
from .progress import COMPILING, saying

_only_kept = ContextVar("_only_kept", default=False)


class CannotCompile(SrnnError):
    """A backend's compiler does not understand a neuron's or a surrogate's functions."""


class _NotKept(Exception):
    """Raised within ``is_kept``, if the call would have to compile something first."""


def has_numba() -> bool:
    """Whether Numba is there and compiles; to be called before it is imported."""
    return not why_no_numba()


def why_no_numba() -> str:
    """Why Numba compiles nothing, in half a sentence; empty if it does.

    SrnnError if the current folder would configure it: a file there may come from anyone (an
    unpacked archive, a clone), and Numba's settings name files to be written and processors to
    compile for.
    """
    if "numba" in sys.modules:
        numba: Any = import_module("numba")  # which waits if another thread is importing it

        if numba.config.DISABLE_JIT:
            return "NUMBA_DISABLE_JIT is set"
        return ""
    if os.path.isfile(".numba_config.yaml"):
        raise SrnnError(
            "Numba would take settings from .numba_config.yaml in the "
            "current folder, which may be anybody's; start from another "
            "folder, or set its NUMBA_... environment variables instead.",
            "resource",
            ".numba_config.yaml",
        )
    if os.environ.get("NUMBA_DISABLE_JIT", "").strip() not in ("", "0"):  # to measure coverage
        return "NUMBA_DISABLE_JIT is set"
    if find_spec("numba"):
        return ""
    return "Numba is not installed"


# ---- compiling -----------------------------------------------------------------------------------


def compiled(function: Callable[..., Any], depends_on: str = "", **options: Any) -> Any:
    """The compiled form of a function.

    It is compiled at its first call for each signature, unless it is found on disk.

    Args:
        function: the plain function.
        depends_on: a text that changes with whatever the machine code depends on besides the
            function's own file and closure.
        options: those of ``numba.njit``.
    """
    why_no_numba()
    import numba  # costs more than everything else here

    _announce()
    dispatcher: Any = numba.njit(**options)(function)
    dispatcher._cache = _DiskCache(function, (depends_on, sorted(options.items())))
    return dispatcher


@functools.cache
def _announce() -> None:
    """From now on people who wait for compiling get a line, whichever caller needs it."""
    from numba.core import event as events

    class Announced(events.Listener):
        """Counts the seconds of all pieces together: each is short, and there are many."""

        def __init__(self) -> None:
            self.spent, self.depth = 0.0, 0
            self.work = ExitStack()

        def on_start(self, event: Any) -> None:
            self.depth += 1
            if self.depth == 1 and isinstance(
                getattr(event.data["dispatcher"], "_cache", None), _DiskCache
            ):
                self.work.callback(self.add, time.monotonic())
                self.work.enter_context(saying(COMPILING, self.spent))
                # Nothing of what a compiler builds is garbage before it is done: looking for it
                # takes a tenth of the time that compiling takes.
                if gc.isenabled():
                    gc.disable()
                    self.work.callback(gc.enable)

        def on_end(self, event: Any) -> None:
            self.depth -= 1
            if self.depth == 0:
                self.work.close()

        def add(self, begun: float) -> None:
            self.spent += time.monotonic() - begun

    events.register("numba:compile", Announced())


@functools.cache
def loop(function: Callable[..., Any]) -> Any:
    """The compiled form of a loop over arrays, made once per process.

    It runs without the GIL, so that threads can work side by side.
    """
    return compiled(function, nogil=True, error_model="numpy")


def part(function: Callable[..., Any], depends_on: str = "", **options: Any) -> Any:
    """A function for compiled ones to call that is itself compiled only once for each signature.

    It is kept on disk like them. Numba would compile it again into each of its callers, which is
    slow for a large function. It must not raise, because its callers do not check for that, and it
    takes positional arguments only.

    Args:
        function: the plain function.
        depends_on: as for ``compiled``.
        options: those of ``numba.njit``.

    Returns:
        What compiled functions call.
    """
    from numba.core import cgutils
    from numba.extending import intrinsic

    options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    dispatcher = compiled(function, depends_on, **options)

    def typing(context: Any, *arguments: Any) -> Any:
        dispatcher.compile(arguments)
        form = dispatcher.overloads[arguments]
        name = dispatcher._cache.name(arguments, form.library.codegen)
        _publish(name, form)

        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            convention, types = context.call_conv, (signature.return_type, signature.args)
            kind = convention.get_function_type(*types)
            callee = cgutils.get_or_insert_function(builder.module, kind, name)
            _, result = convention.call_function(builder, callee, *types, values)
            return result

        return form.signature, emit

    # Numba reads from the signature what to do with arguments; starred ones would become a tuple.
    own = inspect.signature(function)
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    typing.__signature__ = own.replace(parameters=[context, *own.parameters.values()])
    return intrinsic(functools.update_wrapper(typing, function))


_published: dict[str, Any] = {}
"""Parts that this process has, by name: their callers hold their addresses, so they stay."""


def _publish(name: str, form: Any) -> None:
    """Let machine code that is loaded later call a part by its name."""
    import llvmlite.binding as llvm

    if name not in _published:
        llvm.add_symbol(name, form.library.get_pointer_to_function(form.fndesc.llvm_func_name))
        _published[name] = form


def is_kept(call: Callable[[], object]) -> bool:
    """Whether everything that a call runs is compiled already, in this process or on disk.

    The call is really made, and ends where it would compile; so let it be a small one.
    """
    token = _only_kept.set(True)
    try:
        call()
    except _NotKept:
        return False
    finally:
        _only_kept.reset(token)
    return True


# ---- what is kept --------------------------------------------------------------------------------


class _DiskCache:
    """Compiled forms of one function on disk, as Numba loads and saves them.

    These are the methods of Numba's ``FunctionCache``.
    """

    def __init__(self, function: Any, depends_on: object) -> None:
        self._function, self._depends_on = function, depends_on

    @property
    def cache_path(self) -> str | None:
        return code_cache.folder_in_use()

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The compiled form for a signature.

        Args:
            signature: the types of the arguments.
            target: Numba's context for the processor.

        Returns:
            The form; None if it has to be compiled.
        """
        target.refresh()
        form = _load(self.name(signature, target.codegen()), target)
        if form is None and _only_kept.get():
            raise _NotKept
        return form

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep a compiled form on disk; if that is impossible, there is one warning.

        Args:
            signature: the types of the arguments.
            result: the form, Numba's CompileResult.
        """
        from numba.core.serialize import dumps

        if result.lifted or result.library.has_dynamic_globals:  # good for this process only
            return
        try:
            parts = _PART.findall(result.library.get_llvm_str())
            content = dumps((parts, result._reduce()))
        except Exception as error:
            _say(f"this Numba cannot save it ({type(error).__name__})")
            return
        try:
            code_cache.keep(self.name(signature, result.codegen), content)
        except SrnnError as error:
            _say(str(error))

    def name(self, signature: Any, codegen: Any) -> str:
        """The name of the form for a signature. It changes with everything that the machine code
        depends on.

        Args:
            signature: the types of the arguments.
            codegen: Numba's code generator for the processor.

        Returns:
            The name, valid in a file's name and in machine code.
        """
        import llvmlite
        import numba

        processor = codegen.magic_tuple()  # with its features
        versions = (numba.__version__, llvmlite.__version__, sys.implementation.cache_tag)
        function = (_fingerprint(self._function), self._depends_on)
        digest = hashlib.sha256(repr((str(signature), processor, function, versions)).encode())
        return f"{self._function.__name__}-{digest.hexdigest()[:40]}"


_PART = re.compile(r"^declare .*@(\w+-[0-9a-f]{40})\(", re.MULTILINE)
"""The name of a part, in the text of machine code that calls it."""


def _fingerprint(value: Any) -> object:
    """What machine code depends on in a function and all that its closure holds.

    Its text is the same in every process. A function's pickle is not: in one compiled from source,
    other names share an object than in one read from a .pyc, so the second process would compile
    everything again.
    """
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        source = _source_digest(value.__code__.co_filename)
        return (
            value.__qualname__,
            source,
            *map(_fingerprint, (value.__code__, value.__defaults__, *cells)),
        )
    if isinstance(value, CodeType):
        return value.co_code, value.co_names, _fingerprint(value.co_consts)
    if isinstance(value, tuple):
        return tuple(map(_fingerprint, value))
    if hasattr(value, "__wrapped__"):  # a part
        return _fingerprint(value.__wrapped__)
    from numba.core.serialize import dumps

    return hashlib.sha256(dumps(value)).hexdigest()


@functools.cache
def _source_digest(path: str) -> str:
    """The digest of a file, or of a generated function's text, kept where debuggers look for it."""
    return hashlib.sha256("".join(linecache.getlines(path)).encode()).hexdigest()


def _load(name: str, target: Any) -> Any:
    """A kept form, loaded after the parts that it calls; None if it or one of them is missing."""
    from numba.core.compiler import CompileResult

    for content in code_cache.pieces(name):
        # Whatever else may be wrong with a file (a patched Numba wrote it) is no reason to stop.
        with contextlib.suppress(Exception):
            parts, reduced = pickle.loads(content)
            for part in parts:
                form = _published.get(part) or _load(part, target)
                if form is None:
                    raise LookupError(part)  # calling an unpublished part would end the process
                _publish(part, form)
            return CompileResult._rebuild(target, *reduced)
    return None


@functools.cache  # once for each reason
def _say(reason: str) -> None:
    warnings.warn(
        f"Compiled code is not kept, so each start compiles again: {reason}. "
        "Set NUMBA_CACHE_DIR to a folder that only you can write to.",
        RuntimeWarning,
        stacklevel=2,
    )
