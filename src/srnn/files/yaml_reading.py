"""YAML for recipes and sweeps: text, numbers, lists and mappings; no objects are built, and aliases cannot blow up.

PyYAML's safe loader, which counts while nodes are composed, so that whatever is too large or too deep is refused before anything
is built from it. It follows YAML 1.1, where 010 is 8, 1:30 is 90 and ``no`` is false; but a date is text.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

from ..errors import SrnnError
from .limits import LIMITS
from .reading import read_text, reading

_TAGS = ("null", "bool", "int", "float", "seq", "map", "str")
"""The safe loader's tags that are read: nothing here needs binary data, sets and ordered mappings."""
_LONGEST_NUMBER = 100
"""Characters; Python's int takes quadratic time for more digits, and does not turn them back into text."""
_LARGEST_INTEGER = 2**64


def read_yaml(path: Path, what: str = "YAML") -> Any:
    """The YAML of a file. SrnnError, which names the file, and the line where that is known: unreadable, too large, not YAML."""
    return parse_yaml(read_text(path, what, LIMITS["yaml"]), path)


def parse_yaml(text: str, source: Path | str) -> Any:
    """YAML -> mappings with text as keys, lists, numbers, text. SrnnError, which names ``source``, for anything else."""
    import yaml

    maximum = LIMITS["yaml"].bytes
    if len(text) > maximum or len(text.encode(errors="replace")) > maximum:
        raise SrnnError(f"{source} is too large for YAML: at most {maximum} bytes are read.")
    with reading(source, "YAML"):
        try:
            return yaml.load(text, _loader())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = "" if mark is None else f", line {mark.line + 1}"
            raise SrnnError(
                f"{source} is not valid YAML{where}: {(error.problem or error.context or '')[:200]}."
            ) from error


@functools.cache
def _loader() -> Any:
    """The loader's class; made when it is first needed, because PyYAML takes a while to import."""
    import yaml
    from yaml.constructor import ConstructorError

    wrong = functools.partial(ConstructorError, None, None)

    class Loader(yaml.SafeLoader):
        def __init__(self, stream: str) -> None:
            super().__init__(stream)
            self._limits = LIMITS["yaml"]
            self._depth = self._nodes = self._characters = 0
            self._sizes: dict[int, tuple[int, int]] = {}
            """(nodes, characters) of each complete node, by its id: what an alias to it amounts to."""
            self._keys: dict[int, list[yaml.Node]] = {}
            """The keys that a mapping has itself, without those that are merged into it later."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            mark, begun = self.peek_event().start_mark, (self._nodes, self._characters)
            alias = self.check_event(yaml.AliasEvent)
            self._count(1, 0, mark)
            self._depth += 1
            if self._depth > self._limits.depth:
                raise wrong(f"it is nested more than {self._limits.depth} levels deep", mark)
            node = super().compose_node(parent, index)
            self._depth -= 1
            if alias:
                if id(node) not in self._sizes:
                    raise wrong("an alias is inside the value that it refers to", mark)
                self._count(*self._sizes[id(node)], mark)
            else:
                self._count(0, len(node.value) if isinstance(node, yaml.ScalarNode) else 0, mark)
                self._sizes[id(node)] = (self._nodes - begun[0], self._characters - begun[1])
            if isinstance(node, yaml.MappingNode):
                self._keys.setdefault(id(node), [key for key, _ in node.value])
            return node

        def _count(self, nodes: int, characters: int, mark: Any) -> None:
            self._nodes += nodes
            self._characters += characters
            values, text = self._limits.items, self._limits.unpacked
            if self._nodes > values or self._characters > text:
                what = f"{values:,} values or {text:,} characters, including expanded aliases"
                raise wrong(f"it contains more than {what}", mark)

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except (yaml.YAMLError, RecursionError):
                raise
            except Exception as error:  # not a number after all
                raise wrong(str(error) or type(error).__name__, node.start_mark) from error

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key in self._keys.get(id(node), ()) if isinstance(node, yaml.MappingNode) else ():
                name = "<<" if key.tag.endswith(":merge") else self.construct_object(key, deep=True)
                if not isinstance(name, str):
                    raise wrong(f"the key {key.value!r:.80} is not text; quote it", key.start_mark)
                if name in seen:
                    raise wrong(f"the key {name!r:.80} occurs twice", key.start_mark)
                seen.add(name)
            return super().construct_mapping(node, deep)

        def construct_scalar(self, node: Any) -> Any:
            number = node.tag.endswith((":int", ":float"))
            if number and len(node.value) > _LONGEST_NUMBER:
                raise wrong(f"a number may have at most {_LONGEST_NUMBER} characters", node.start_mark)
            value = super().construct_scalar(node)
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise wrong(
                    "a text contains half a character (a lone surrogate), like a file's name that is not UTF-8",
                    node.start_mark,
                )
            return value

        def construct_yaml_int(self, node: Any) -> int:
            value = super().construct_yaml_int(node)
            if abs(value) >= _LARGEST_INTEGER:
                raise wrong("an integer is too large", node.start_mark)
            return value

    constructors: dict[Any, Any] = {None: yaml.SafeLoader.construct_undefined}
    for tag in _TAGS:
        constructors[f"tag:yaml.org,2002:{tag}"] = yaml.SafeLoader.yaml_constructors[f"tag:yaml.org,2002:{tag}"]
    constructors["tag:yaml.org,2002:timestamp"] = yaml.SafeLoader.construct_yaml_str
    constructors["tag:yaml.org,2002:int"] = Loader.construct_yaml_int
    Loader.yaml_constructors = constructors
    # In YAML 1.1, 1.e-2 is a number but 1e-2 is not. No digit can match in two ways: that would take quadratic time.
    Loader.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)[eE][-+]?\d+$"),
        list("-+0123456789."),
    )
    return Loader
