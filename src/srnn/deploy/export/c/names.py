"""Names in C: what a library may be called, and what a neuron's author may have called its variables and coefficients."""

from __future__ import annotations

import re
import unicodedata

from ....errors import SrnnError
from ....nn.equations import equations
from ....nn.fixedpoint.integer import IntegerLayer
from ....nn.network.frozen import FrozenLayer

_KEYWORDS = frozenset(
    ("auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern", "float",
     "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed", "sizeof", "static",
     "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", "while")
)  # fmt: skip
_TAKEN = frozenset(
    ("main", "makefile", "count", "checked", "clean", "assert", "complex", "ctype", "errno", "fenv", "inttypes", "iso646",
     "limits", "locale", "math", "setjmp", "signal", "stdarg", "stdbool", "stddef", "stdint", "stdio", "stdlib", "string",
     "tgmath", "time", "wchar", "wctype")
)  # fmt: skip
"""Files and targets beside the library's own, and the headers of C, which -I. would hide."""
_CPP = frozenset(
    ("bool", "catch", "delete", "explicit", "export", "friend", "mutable", "namespace", "new", "operator", "private",
     "protected", "public", "template", "this", "throw", "typename", "using", "virtual")
)  # fmt: skip
"""Words of C++, which reads the header, too."""
_INTEGERS = frozenset(("add", "subtract", "multiply", "rescale", "narrow", "int8_t", "int16_t", "int32_t"))
"""What a step in fixed point calls."""
_TRACES = frozenset(("h", "z", "psi", "drive", "own_weight", "traces"))
"""What the code of a layer's traces calls its own."""
_SUMS = frozenset(("sum", "filtered"))
"""What it keeps besides a trace for each variable."""
_RINGS = frozenset(("incoming", "arriving", "incoming_turn", "arriving_turn"))
"""What delays add to a layer's state."""
_ARRAYS = re.compile(r"bias|scale|psi|slopes|from_\w+|(incoming|arriving)_delay")
"""What of a layer is called so besides its coefficients."""
_RESERVED = re.compile(r"_[A-Z]\w*|U?INT\d+_(MAX|MIN)|FLT_\w+|NAN|INFINITY")
"""Keywords of later C, and macros of the headers that a library includes."""
_NAME_LENGTH = 31


def identifier(text: str) -> str:
    """A name for ``export_c`` made of any text, such as a model's name."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")
    name = name if name[:1].isalpha() else f"net_{name}".rstrip("_")
    name = f"{name}_net" if name in _KEYWORDS or name.lower() in _TAKEN else name
    return name[:_NAME_LENGTH]


def check_name(name: str) -> None:
    """SrnnError unless it may begin C identifiers."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,30}", name) or name in _KEYWORDS:
        raise SrnnError(f"{name!r} cannot begin C identifiers; use a letter, then letters, digits and _ (--name).")
    if name.lower() in _TAKEN:
        raise SrnnError(
            f"A library cannot be called {name!r}: that is a file, target or header that it needs (--name)."
        )


def array_name(layer: str, coefficient: str) -> str:
    """Of a coefficient's array."""
    return f"{layer}_{coefficient}" + ("_" if _ARRAYS.fullmatch(coefficient) else "")


def check_equations(layer: FrozenLayer, learns: bool) -> None:
    """SrnnError where the author of a neuron's step has given a name that C, or the library's own code, has for something else.

    ``learns``: whether the layer's traces are written, too.
    """
    neuron, own = layer.neuron, equations(type(layer.neuron))
    variables = neuron.variables()
    taken = _KEYWORDS | {f"{name}_at" for name in variables} | (_TRACES if learns else frozenset())
    taken |= _INTEGERS if isinstance(layer, IntegerLayer) else frozenset(("expf", "fabsf"))
    in_state = _CPP | (_RINGS if layer.delays else frozenset()) | (_SUMS if learns else frozenset())
    for name in (*own.arguments, *own.names.values()):
        if name in taken or _RESERVED.fullmatch(name) or (name in variables and name in in_state):
            raise SrnnError(
                f"In C '{name}' means something else than in the equations of the neuron '{neuron.name}': rename it there, or "
                "export ONNX."
            )
