"""Names in C: what a library may be called, how the variables and coefficients of a neuron's author
are renamed, and texts that stand in comments and strings."""

from __future__ import annotations

import re
import unicodedata

from ...errors import SrnnError, option
from ...nn.equations import Node, Record, unused


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KEYWORDS = _words("""
auto break case char const continue default do double else enum extern float for goto if inline
int long register restrict return short signed sizeof static struct switch typedef union
unsigned void volatile while
""")
_TAKEN = _words("""
main makefile count checked clean assert complex ctype errno fenv inttypes iso646 limits locale
math setjmp signal stdarg stdbool stddef stdint stdio stdlib string tgmath time wchar wctype
""")
"""Files and targets besides the library's own, and the headers of C, which -I. would hide."""
_DEVICES = re.compile(r"aux|con|nul|prn|(com|lpt)[0-9]", re.IGNORECASE)
"""Names that no file can have on Windows, whatever its ending."""
_WORDS = _KEYWORDS | _words("""
bool catch delete explicit export friend mutable namespace new operator private protected public
template this throw typename using virtual
add subtract multiply scale rescale narrow saturated expf fabsf int8_t int16_t int32_t h j z psi
drive own_weight state parameters traces input sum filtered incoming arriving incoming_turn
arriving_turn bias scale slopes
""")
"""Names that equations cannot have in C: words of C, of C++, which reads the header too, and of the
library itself."""
_RESERVED = re.compile(
    r"_[A-Z_]\w*|U?INT\d+_(MAX|MIN)|FLT_\w+|NAN|INFINITY"
    r"|\w+_(at|delay)|from_\w+|\w+_by_\w+"
)
"""Keywords of later C, macros of the headers that a library includes, and names that it makes."""
_ABOUT = 300
"""Characters of a description that are shown."""
_NAME_LENGTH = 31
_WHEN = re.compile(r"(-s\d+)?-\d{8}-\d{6}$")
"""The end of a run's name: its seed, and when it began."""


def identifier(text: str) -> str:
    """A name for ``export_c`` from any text, such as a run's name without its seed and date."""
    text = _WHEN.sub("", text)
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")
    name = name if name[:1].isalpha() else f"net_{name}".rstrip("_")
    return (f"{name}_net" if _is_taken(name) else name)[:_NAME_LENGTH]


def check_name(name: str) -> None:
    """SrnnError unless it may begin C identifiers."""
    shape = rf"[A-Za-z][A-Za-z0-9_]{{0,{_NAME_LENGTH - 1}}}"
    if not isinstance(name, str) or not re.fullmatch(shape, name):
        raise SrnnError(
            f"{name!r} cannot begin C identifiers; use a letter, then letters, digits and _, "
            f"at most {_NAME_LENGTH} in all ({option('name')}).",
            "value",
            "name",
        )
    if _is_taken(name):
        raise SrnnError(
            f"A library cannot be called {name!r}, which is a keyword of C, a device of Windows, "
            f"or a file, target or header that the library needs; choose another {option('name')}.",
            "value",
            "name",
        )


def _is_taken(name: str) -> bool:
    return name in _KEYWORDS or name.lower() in _TAKEN or bool(_DEVICES.fullmatch(name))


def in_c(own: Record) -> Record:
    """The record of equations with names that C can use: the author's own, as far as possible."""
    taken = {"s"}  # what the layer calls its emission, too
    names = {name: name if name == "s" else unused(_free(name), taken) for name in own.arguments}
    made = dict[Node, Node]()
    for node in own.nodes:
        made[node] = Node(
            node.operation,
            tuple(map(made.__getitem__, node.operands)),
            names.get(node.value, node.value),
        )
        if node.operands:
            made[node].name = _free(node.name)
    return Record(tuple(names.values()), tuple(map(made.__getitem__, own.results)), own.all_named)


def _free(name: str) -> str:
    """The name with letters that are not ASCII written out, tau for a Greek one."""
    letters = unicodedata.normalize("NFKD", name)
    plain = ""
    for letter in letters:
        if letter.isascii():
            plain += letter
        elif not unicodedata.combining(letter):
            word = re.sub(r"\W", "_", unicodedata.name(letter).rpartition(" ")[2])
            plain += word.lower() if letter.islower() else word
    if plain in _WORDS or _RESERVED.fullmatch(plain):
        return f"{plain}_"
    return plain


def one_comment(about: str) -> str:
    """A text that cannot end the comment in which it stands: no */, not even where a trigraph or a
    backslash joins two lines."""
    return re.sub(r"[^ -~]|/\*|\*/|\?\?|\\", "_", about[:_ABOUT])


def c_string(text: str) -> str:
    """Any text as a C string literal in UTF-8: what every compiler takes as it is stays, the rest
    becomes octal digits."""
    plain = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\?')  # ??/ is a backslash to some
    letters = (chr(byte) if byte in plain else f"\\{byte:03o}" for byte in in_bytes(text))
    return f'"{"".join(letters)}"'


def in_bytes(text: str) -> bytes:
    """Any text in UTF-8, with what it cannot hold written out."""
    return text.encode("utf-8", "backslashreplace")
