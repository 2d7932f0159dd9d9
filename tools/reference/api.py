"""The pages of the Python interfaces: ``memhotplug``, and ``memhotplug.plugin`` for authors of plugins."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Final, ForwardRef

from tools.reference.docstrings import attributes_of, render
from tools.reference.markdown import code, fence, made_by, prose, table

import memhotplug
from memhotplug import plugin

__all__ = ["plugin_page", "python_page", "signature"]

_WIDE: Final = 110


def python_page() -> str:
    """Return the page of ``memhotplug``."""
    lines = [
        made_by("api"),
        "# Python",
        "",
        "What `import memhotplug` offers. [Scenarios](../scenarios.md) say what each keyword means: they are the same.",
        "",
        "```python",
        "from memhotplug import Machine, MemoryHotplugError",
        "```",
    ]
    for name in sorted(memhotplug.__all__, key=_order):
        if not name.startswith("__"):
            lines += ["", *_entry(name, getattr(memhotplug, name), "memhotplug")]
    return "\n".join(lines) + "\n"


def plugin_page() -> str:
    """Return the page of ``memhotplug.plugin``."""
    everything = {name: getattr(plugin, name) for name in plugin.__all__}
    records = [name for name, value in everything.items() if is_dataclass(value)]
    classes = [name for name, value in everything.items() if inspect.isclass(value) and name not in records]
    functions = [name for name, value in everything.items() if inspect.isroutine(value)]
    constants = [name for name in everything if name not in {*records, *classes, *functions}]
    lines = [made_by("api"), "# memhotplug.plugin", "", prose(inspect.getdoc(plugin) or "")]
    for title, names in (("Records", records), ("Classes", classes), ("Functions", functions), ("Values", constants)):
        lines += ["", f"## {title}"]
        for name in names:
            lines += ["", *_entry(name, everything[name], plugin.__name__)]
    return "\n".join(lines) + "\n"


def signature(name: str, function: Any) -> str:
    """Return how a function is called, ``self`` and ``cls`` apart; long ones are one argument a line."""
    found = inspect.signature(function)
    parts: list[str] = []
    for parameter in found.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not any(part.startswith("*") for part in parts):
            parts.append("*")
        if parameter.name not in ("self", "cls"):
            parts.append(_parameter(parameter))
    answer = "" if found.return_annotation is found.empty else f" -> {_type(found.return_annotation)}"
    text = f"{name}({', '.join(parts)}){answer}"
    if len(text) <= _WIDE:
        return text
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){answer}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = "*" * ((parameter.kind is parameter.VAR_POSITIONAL) + 2 * (parameter.kind is parameter.VAR_KEYWORD))
    said = "" if parameter.annotation is parameter.empty else f": {_type(parameter.annotation)}"
    default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
    return f"{stars}{parameter.name}{said}{default}"


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _order(name: str) -> tuple[int, str]:
    first = ("Machine", "Memory", "Page", "PAGE_DTYPE", "PageFlag", "MemoryHotplugError")
    return (first.index(name) if name in first else len(first), name)


def _entry(name: str, value: Any, home: str) -> Iterator[str]:
    """Yield what a page says of one name, which is imported from ``home``."""
    imports = f"from {home} import {name}"
    yield from (f"### {name}", "")
    if inspect.isclass(value):
        yield from _class(value, imports)
    elif inspect.isroutine(value):
        yield from (fence(signature(name, value)), "", render(inspect.getdoc(value) or "", imports=imports))
    else:
        yield _value(value)


def _value(value: Any) -> str:
    """Return what a constant is: its fields, what it says of itself, or its type."""
    if getattr(value, "names", None):
        return f"A NumPy dtype with the fields {', '.join(map(code, value.names))}."
    if isinstance(value, ForwardRef):
        whole = value.__forward_arg__.replace("npt.", "numpy.typing.").replace("np.", "numpy.")
        return f"A type alias of {code(whole)}."
    if hasattr(value, "__origin__"):
        return f"A type alias of {code(_path(_unwrapped(value.__origin__)))}."
    if " object at 0x" in repr(value):
        return f"A {code(_path(type(value)))}."
    return code(str(value))


def _unwrapped(origin: Any) -> type:
    """Return the class behind an alias that is a statement of its own, as newer versions of NumPy have them."""
    while hasattr(origin, "__value__"):
        origin = origin.__value__.__origin__
    kind: type = origin
    return kind


def _path(kind: type) -> str:
    return f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"


def _class(value: type, imports: str) -> Iterator[str]:
    doc = _own_doc(value)
    if is_dataclass(value):
        yield from (render(doc, attributes=False, imports=imports), "", *_fields(value, doc))
    else:
        yield render(doc, imports=imports)
    if issubclass(value, enum.Enum):
        yield from ("", *table(("member", "value"), ((code(one.name), code(_number(one.value))) for one in value)))
    for name, member in _members(value).items():
        function = getattr(member, "__func__", member)
        text = inspect.getdoc(function) or ""
        if text:
            yield from ("", f"#### {value.__name__}.{name}", "")
            if not isinstance(member, property):
                yield from (fence(signature(name, function)), "")
            yield render(text, imports=imports)


def _members(value: type) -> dict[str, Any]:
    """Return the public methods and properties, those of the project's own base classes first."""
    ours = [kind for kind in reversed(value.__mro__) if kind.__module__.startswith("memhotplug")]
    found = {name: member for kind in ours for name, member in vars(kind).items() if _is_method(member)}
    return {name: member for name, member in found.items() if not name.startswith("_")}


def _own_doc(value: type) -> str:
    doc = value.__doc__ or ""
    return "" if doc.startswith(f"{value.__name__}(") else doc


def _is_method(member: object) -> bool:
    return isinstance(member, (classmethod, staticmethod, property)) or inspect.isfunction(member)


def _fields(value: Any, doc: str) -> Iterator[str]:
    said = attributes_of(doc)
    rows = [
        (code(one.name), code(str(one.type).replace("'", "")), _default(one), prose(said.get(one.name, "")))
        for one in fields(value)
        if not one.name.startswith("_")
    ]
    yield from table(("attribute", "type", "default", ""), rows)


def _default(one: Field[Any]) -> str:
    if one.default is not MISSING:
        return code(_number(one.default)) if one.default not in ("", ()) else "empty"
    return "" if one.default_factory is MISSING else "empty"


def _number(value: object) -> str:
    return hex(value) if isinstance(value, int) and not isinstance(value, bool) and value > 4095 else str(value)
