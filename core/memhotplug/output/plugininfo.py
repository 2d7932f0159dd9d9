"""All about one plugin: its file, its hooks, its keys, and where it exists."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from memhotplug.errors import InputError, nearest
from memhotplug.keyspec import KeySpec
from memhotplug.manager import GROUPS, Candidate, arch_traits, candidates, driver_traits, hooks_of, own_keys
from memhotplug.output.tables import HEAD, Paint, plain, table

if TYPE_CHECKING:
    from memhotplug.documents.plugins import KeyDocument, PluginAboutDocument

__all__ = ["about", "about_lines"]

_EVER = "every modelled kernel"
_WITH_KEYS = {"drivers": "add", "arch": "machine"}


def about(name: str) -> list[PluginAboutDocument]:
    """Return what there is to say of each plugin of a name, as plain data; one entry for each kind.

    Raises:
        InputError: there is none.
        PluginError: it cannot be loaded.
    """
    found = [one for one in candidates() if name in (one.name, f"{one.distribution}:{one.name}")]
    if not found:
        known = sorted({candidate.name for candidate in candidates()})
        raise InputError("the name of an installed plugin", got=name, nearest=nearest(name, known))
    return [_one(candidate) for candidate in found]


def _one(candidate: Candidate) -> PluginAboutDocument:
    plugin = candidate.load()
    return {
        "kind": candidate.kind,
        "name": candidate.name,
        "distribution": candidate.distribution or None,
        "version": candidate.version,
        "group": GROUPS[candidate.kind],
        "target": candidate.target,
        "file": _file(plugin),
        "says": (inspect.getdoc(plugin) or _written(plugin) or "").partition("\n")[0] or None,
        "hooks": [hook for hook in (*hooks_of(candidate.kind), *hooks_of("any")) if hasattr(plugin, hook)],
        "keys_of": _WITH_KEYS.get(candidate.kind),
        "keys": _keys(candidate),
        "aliases": list(_aliases(candidate)),
        "exists_on": _exists_on(candidate),
    }


def _file(plugin: object) -> str | None:
    try:
        return inspect.getsourcefile(plugin if inspect.ismodule(plugin) else type(plugin))
    except TypeError:
        return None


def _written(plugin: object) -> str | None:
    """Return the docstring that the source has, which an interpreter with -OO drops; None if there is no source."""
    subject = plugin if inspect.ismodule(plugin) else type(plugin)
    try:
        source = textwrap.dedent(inspect.getsource(subject))
        node = compile(source, "plugin", "exec", ast.PyCF_ONLY_AST, optimize=0)  # 3.14's ast.parse() drops it
    except (OSError, TypeError, SyntaxError):
        return None
    assert isinstance(node, ast.Module)
    first = node if inspect.ismodule(plugin) else node.body[0]
    return ast.get_docstring(first) if isinstance(first, (ast.Module, ast.ClassDef)) else None


def _keys(candidate: Candidate) -> list[KeyDocument]:
    if candidate.kind not in _WITH_KEYS:
        return []
    keys: Mapping[str, KeySpec] = own_keys(candidate.kind, candidate.name)
    return [{"key": key, "kind": spec.kind, "help": spec.help} for key, spec in keys.items()]


def _aliases(candidate: Candidate) -> Sequence[str]:
    if candidate.kind == "drivers":
        return driver_traits(candidate.name).aliases
    return arch_traits(candidate.name).aliases if candidate.kind == "arch" else ()


def _exists_on(candidate: Candidate) -> dict[str, str] | None:
    """Return the architectures that a driver exists on, with the release that has it; None if everywhere."""
    if candidate.kind != "drivers":
        return None
    arches = driver_traits(candidate.name).arches
    if arches is None:
        return None
    return {arch: _EVER if since == (0, 0) else f"{since[0]}.{since[1]}" for arch, since in arches.items()}


def about_lines(
    found: Sequence[PluginAboutDocument], paint: Paint = plain, *, width: int | None = None
) -> Iterator[str]:
    """Yield what :func:`about` returned as people read it."""
    for entry in found:
        yield paint(f"{entry['name']}: {entry['group']}", HEAD)
        if entry["says"]:
            yield f"  {entry['says']}"
        package = f"{entry['distribution']} {entry['version']}" if entry["distribution"] else "a file"
        yield f"  from    {package}, {entry['target']}"
        yield f"  file    {entry['file'] or '-'}"
        yield f"  hooks   {', '.join(entry['hooks']) or '-'}"
        if entry["aliases"]:
            yield f"  also    {', '.join(entry['aliases'])}"
        if entry["kind"] == "drivers":
            yield f"  exists  {_where(entry['exists_on'])}"
        if entry["keys"]:
            yield f"  keys of {entry['keys_of']}:"
            rows = [[f"    {key['key']}", key["kind"], key["help"]] for key in entry["keys"]]
            yield from table(["    KEY", "KIND", "MEANING"], rows, ("    KEY", "KIND", "MEANING"), paint, width=width)


def _where(arches: Mapping[str, str] | None) -> str:
    if arches is None:
        return "everywhere"
    return ", ".join(arch if since == _EVER else f"{arch} since {since}" for arch, since in arches.items())
