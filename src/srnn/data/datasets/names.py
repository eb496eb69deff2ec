"""What files' names say: patterns such as '{label}_{speaker}_{index}', for sound that is converted and for one's own folders.

A field stands for at least one character; {index} matches what is ignored. A pattern has each field at most once, so that
a name of 255 characters has at most some ten thousand possible matches: no pattern is slow, as a regular expression can be.
"""

from __future__ import annotations

import re

from ...errors import SrnnError
from ...text import brief

FIELDS = ("label", "speaker", "index")


class NamePattern:
    """A pattern of names. SrnnError for unknown fields, one that occurs twice, or without any of the ``needed`` ones."""

    def __init__(self, pattern: str, needed: tuple[str, ...] = ("label", "speaker")) -> None:
        parts = re.split(r"\{(\w*)\}", pattern)  # text, field, text, field, ..., text
        fields = parts[1::2]
        for field in fields:
            if field not in FIELDS or fields.count(field) > 1:
                raise SrnnError(
                    f"The pattern {brief(pattern)} may have {{label}}, {{speaker}} and {{index}}, each once."
                )
        if not set(needed) & set(fields):
            names = " or ".join(f"{{{name}}}" for name in needed)
            raise SrnnError(
                f"The pattern {brief(pattern)} extracts nothing: it needs {names}, as in '{{speaker}}_{{index}}'."
            )
        text = "".join(f"(?P<{part}>.+?)" if i % 2 else re.escape(part) for i, part in enumerate(parts))
        self._expression = re.compile(text, re.DOTALL)

    def read(self, name: str) -> dict[str, str] | None:
        """The fields of a name without its suffix, none of which holds the text after it; None where the name does not match."""
        match = self._expression.fullmatch(name) if len(name) <= 255 else None
        return None if match is None else match.groupdict()
