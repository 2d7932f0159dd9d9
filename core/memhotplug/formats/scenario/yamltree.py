"""YAML text as a tree in which every key and value knows its line and column.

Nothing is resolved here: a scalar stays text, and whoever reads it decides what it is, so that the
surprises of YAML 1.1 (``on`` is true, ``010`` is 8, ``1:30`` is 90) cannot happen. The tree is built
from parser events instead of composed nodes: limits then hold while the text is read, not after a
hostile file has already filled the memory.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

import yaml

from memhotplug.errors import InputError, words_of
from memhotplug.formats.scenario.refusal import cut

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_NODES",
    "MappingNode",
    "Node",
    "ScalarNode",
    "SequenceNode",
    "parse_tree",
    "read_tree",
]

MAX_BYTES: Final = 8 << 20
MAX_DEPTH: Final = 32
MAX_NODES: Final = 1_000_000

_NULLS: Final = frozenset(("", "~", "null", "Null", "NULL"))
_CORE: Final = "tag:yaml.org,2002:"
_CORE_TAGS: Final = {"scalar": ("str", "int", "bool", "null"), "list": ("seq",), "mapping": ("map",)}
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WANTED: Final = "a scenario, which begins with 'schema: 1'"


class ScalarNode:
    """A word, number or text as it stands in the file; ``line`` and ``column`` count from 1."""

    __slots__ = ("column", "line", "quoted", "text")

    def __init__(self, text: str, *, quoted: bool = False, line: int = 0, column: int = 0) -> None:
        self.text = text
        self.quoted = quoted
        self.line = line
        self.column = column

    @property
    def is_null(self) -> bool:
        """Whether nothing is there: an empty value, ``~`` or ``null``, unquoted."""
        return not self.quoted and self.text in _NULLS

    def __repr__(self) -> str:
        return f"ScalarNode({self.text!r}, quoted={self.quoted}, line={self.line}, column={self.column})"


class SequenceNode(list["Node"]):
    """A list of nodes, with the place where it begins."""

    __slots__ = ("column", "line")

    def __init__(self, line: int = 0, column: int = 0) -> None:
        super().__init__()
        self.line = line
        self.column = column


class MappingNode(dict[str, "Node"]):
    """A mapping from text to nodes; ``key_places`` has (line, column) of each key, ``end`` of its end."""

    __slots__ = ("column", "end", "key_places", "line")

    def __init__(self, line: int = 0, column: int = 0) -> None:
        super().__init__()
        self.line = line
        self.column = column
        self.end = (line, column)
        self.key_places: dict[str, tuple[int, int]] = {}


Node: TypeAlias = ScalarNode | SequenceNode | MappingNode


def read_tree(path: str | Path, *, wanted: str = _WANTED) -> MappingNode:
    """Return the tree of the YAML file at ``path``.

    Args:
        wanted: what the file should be, said where no mapping is on top.

    Raises:
        InputError: the file cannot be read, is too big, is not UTF-8, or not a scenario's YAML.
    """
    file = str(path)
    try:
        with open(file, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError("a scenario file that can be read", got=words_of(error), file=cut(file, 4096)) from error
    _check_length(len(data), file)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        _refuse_at("UTF-8 text", f"byte 0x{data[error.start]:02x}", file, data[: error.start].decode("utf-8"))
    return parse_tree(text, file, wanted=wanted)


def parse_tree(text: str, file: str | None = None, *, wanted: str = _WANTED) -> MappingNode:
    """Return the tree of YAML text; ``file`` is only named in errors.

    Raises:
        InputError: the text is not one plain YAML document with a mapping on top.
    """
    _check_length(len(text), file)
    text = text.removeprefix("\ufeff")
    bad = _FORBIDDEN.search(text)
    if bad is not None:
        _refuse_at("text without control characters", f"U+{ord(bad[0]):04X}", file, text[: bad.start()])
    builder = _Builder(file, wanted)
    try:
        for event in yaml.parse(text, _LOADER):
            builder.feed(event)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, file) from error
    except yaml.YAMLError as error:
        raise InputError(f"YAML that can be read ({cut(str(error))})", file=file) from error
    return builder.finish()


def _check_length(length: int, file: str | None) -> None:
    if length > MAX_BYTES:
        raise InputError("a scenario of at most 8 MiB", got="a bigger file", file=file)


def _refuse_at(expected: str, got: str, file: str | None, before: str) -> NoReturn:
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    raise InputError(expected, got=got, file=file, line=line, column=column)


def _syntax_error(error: yaml.MarkedYAMLError, text: str, file: str | None) -> InputError:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = text.split("\n")
    there = lines[line - 1] if line <= len(lines) else ""
    if there[column - 1 : column] == "\t":
        return InputError("spaces: YAML does not indent with tabs", got="a tab", file=file, line=line, column=column)
    context = error.context or ""
    if error.context_mark is not None and error.context_mark.line + 1 != line:
        context += f" from line {error.context_mark.line + 1}"
    problem = f"{error.problem} {context}".strip()
    return InputError(f"valid YAML ({cut(problem, 200)})", file=file, line=line, column=column)


def _mark(event: yaml.Event) -> tuple[int, int]:
    mark: Any = event.start_mark
    return mark.line + 1, mark.column + 1


class _Builder:
    """Puts the parser's events together; the first thing that a scenario may not contain ends it."""

    def __init__(self, file: str | None, wanted: str) -> None:
        self._file = file
        self._wanted = wanted
        self._root: Node | None = None
        self._stack: list[SequenceNode | MappingNode] = []
        self._keys: list[tuple[str, int, int] | None] = []
        self._documents = 0
        self._nodes = 0

    def feed(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._add(self._scalar(event))
        elif isinstance(event, yaml.MappingStartEvent):
            self._check(event, "mapping")
            self._open(MappingNode(*_mark(event)))
        elif isinstance(event, yaml.SequenceStartEvent):
            self._check(event, "list")
            self._open(SequenceNode(*_mark(event)))
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close(event)
        elif isinstance(event, yaml.AliasEvent):
            self._refuse("the value itself: aliases (*) are not accepted", f"*{event.anchor}", event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._refuse("one YAML document only", "a second one", event)

    def finish(self) -> MappingNode:
        if isinstance(self._root, MappingNode):
            return self._root
        raise InputError(self._wanted, got="nothing", file=self._file, line=1, column=1)

    def _refuse(self, expected: str, got: str, where: yaml.Event | Node) -> NoReturn:
        line, column = _mark(where) if isinstance(where, yaml.Event) else (where.line, where.column)
        raise InputError(expected, got=cut(got), file=self._file, line=line, column=column)

    def _check(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, kind: str) -> None:
        if event.anchor is not None:
            self._refuse("the value without an anchor (&)", f"&{event.anchor}", event)
        if event.tag is None or event.tag == "!":
            return
        if not event.tag.startswith(_CORE) or event.tag.removeprefix(_CORE) not in _CORE_TAGS[kind]:
            self._refuse("a value without a tag", event.tag.replace(_CORE, "!!"), event)

    def _scalar(self, event: yaml.ScalarEvent) -> ScalarNode:
        self._check(event, "scalar")
        line, column = _mark(event)
        quoted = bool(event.style) or event.tag in ("!", _CORE + "str")
        node = ScalarNode(event.value, quoted=quoted, line=line, column=column)
        bad = _FORBIDDEN.search(event.value)  # an escape in double quotes can still make one
        if bad is not None and not "\x01" <= bad[0] <= "\xff":
            self._refuse("text without NUL and lone surrogates", f"U+{ord(bad[0]):04X}", event)
        return node

    def _count(self, node: Node) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse("a scenario of at most a million values", "more", node)

    def _open(self, node: SequenceNode | MappingNode) -> None:
        if len(self._stack) >= MAX_DEPTH:
            self._refuse(f"at most {MAX_DEPTH} levels of nesting", "more", node)
        self._add(node)
        self._stack.append(node)
        self._keys.append(None)

    def _close(self, event: yaml.Event) -> None:
        node = self._stack.pop()
        self._keys.pop()
        if isinstance(node, MappingNode):
            node.end = _mark(event)

    def _add(self, node: Node) -> None:
        self._count(node)
        if not self._stack:
            self._add_root(node)
            return
        parent = self._stack[-1]
        if isinstance(parent, SequenceNode):
            parent.append(node)
            return
        key = self._keys[-1]
        if key is None:
            self._keys[-1] = self._key(parent, node)
            return
        parent[key[0]] = node
        parent.key_places[key[0]] = key[1:]
        self._keys[-1] = None

    def _add_root(self, node: Node) -> None:
        if isinstance(node, MappingNode):
            self._root = node
            return
        if isinstance(node, SequenceNode):
            self._refuse(self._wanted, "a list", node)
        self._refuse(self._wanted, "nothing" if node.is_null else node.text, node)

    def _key(self, parent: MappingNode, node: Node) -> tuple[str, int, int]:
        if not isinstance(node, ScalarNode):
            kind = "a list" if isinstance(node, SequenceNode) else "a mapping"
            self._refuse("a word as key", kind, node)
        if node.text == "<<" and not node.quoted:
            self._refuse("a key: merge keys (<<) are not accepted", "<<", node)
        if node.text in parent:
            first = parent.key_places[node.text][0]
            self._refuse(f"each key once; it is already in line {first}", node.text, node)
        return node.text, node.line, node.column
