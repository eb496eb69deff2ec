"""YAML for recipes and sweeps, by PyYAML's safe loader: text, numbers, lists and mappings; no tag
makes an object.

It follows YAML 1.1, where 010 is 8, 1:30 is 90 and ``no`` is false. In addition 1e-2 is a number, a
date is text, and a key that occurs twice is a mistake.
"""

from __future__ import annotations

import functools
import re
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import SrnnError
from .limits import TEXT
from .reading import read_text, reading

REPEATED = 100_000
"""Values that the aliases of a file may stand for: those of aliases of aliases multiply."""
_LARGEST_INTEGER = 2**64
_STRING, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


def read_yaml(path: Path, what: str = "YAML") -> Any:
    """The YAML of a file.

    Args:
        path: the file.
        what: what it should be, with its article, for the message.

    Returns:
        As for ``parse_yaml``.

    Raises:
        SrnnError: ``file``: it is unreadable, too large, or not YAML; the line is named where it is
            known.
    """
    return parse_yaml(read_text(path, what, TEXT), path)


def parse_yaml(text: str, source: Path | str) -> Any:
    """The value of a YAML text.

    Args:
        text: the text.
        source: the file, or another origin of the text, as the message names it.

    Returns:
        Mappings with text as keys, lists, numbers, text.

    Raises:
        SrnnError: ``file``: it is anything else.
    """
    import yaml

    with reading(source, "YAML"):
        try:
            return yaml.load(text, _loader())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            if mark is None:
                where = ""
            else:
                where = f", line {mark.line + 1}"
            problem = (error.problem or error.context or "")[:200]
            raise SrnnError(
                f"{source} is not valid YAML{where}: {problem}.", "file", source
            ) from error


@functools.cache
def _loader() -> Any:
    """The loader's class; made when it is first needed, because PyYAML takes a while to import."""
    import yaml

    def mistake(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
        return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)

    class Loader(yaml.SafeLoader):
        def __init__(self, stream: str) -> None:
            super().__init__(stream)
            self._sizes = dict[yaml.Node, int]()  # of complete nodes, aliases written out
            self._repeated = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            is_alias = self.check_event(yaml.AliasEvent)
            node: Any = super().compose_node(parent, index)
            if not is_alias:
                if isinstance(node, yaml.MappingNode):
                    parts = chain.from_iterable(node.value)
                else:
                    parts = node.value if isinstance(node, yaml.SequenceNode) else ()
                self._sizes[node] = 1 + sum(self._sizes[part] for part in parts)
                return node
            if node not in self._sizes:
                raise mistake("an alias is inside the value that it refers to", node)
            self._repeated += self._sizes[node]
            if self._repeated > REPEATED:
                raise mistake(f"its aliases repeat more than {REPEATED:,} values", node)
            return node

        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            seen = set()
            for key, _ in node.value:
                if key.tag not in (_STRING, _MERGE):
                    raise mistake(f"the key {key.value!r:.80} is not text; quote it", key)
                if key.value in seen:
                    raise mistake(f"the key {key.value!r:.80} occurs twice", key)
                seen.add(key.value)
            return node

        def construct_yaml_int(self, node: Any) -> int:
            value = super().construct_yaml_int(node)
            if abs(value) >= _LARGEST_INTEGER:
                raise mistake("an integer is too large", node)
            return value

    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
    Loader.add_constructor("tag:yaml.org,2002:timestamp", Loader.construct_yaml_str)
    # In YAML 1.1, 1.e-2 is a number but 1e-2 is not. No digit can match in two ways: that would
    # take quadratic time.
    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)[eE][-+]?\d+$"),
        list("-+0123456789."),
    )
    return Loader
