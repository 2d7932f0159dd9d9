"""A finding as a scenario that ``mhp run --check`` repeats."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from memhotplug.commands.check.laws import where_in_the_kernel
from memhotplug.commands.check.search import Finding, Step
from memhotplug.formats.scenario import Scenario
from memhotplug.formats.scenario.yamltree import MappingNode, Node, SequenceNode
from memhotplug.manager import files_in_use
from memhotplug.output.files import write_text

__all__ = ["steps_of", "write_counterexamples"]


def steps_of(finding: Finding) -> list[dict[str, dict[str, object]]]:
    """Return the way to a finding as the steps of a scenario; refused steps say what they are refused with."""
    return [_step(step) for step in finding.steps]


def _step(step: Step) -> dict[str, dict[str, object]]:
    found = step.move.step()
    if step.errno is not None:
        found[step.move.op]["fails"] = step.errno
    return found


def _way(finding: Finding) -> list[dict[str, dict[str, object]]]:
    """Return the way to a finding; the last step says what it should have ended in, where that is what is wrong."""
    steps = steps_of(finding)
    outcome = finding.broken.outcome
    if outcome is not None:
        ((op, keys),) = steps[-1].items()
        keys = {key: value for key, value in keys.items() if key != "fails"}
        steps[-1] = {op: keys if outcome == "ok" else {**keys, "fails": outcome}}
    return steps


def write_counterexamples(scenario: Scenario, findings: Sequence[Finding], folder: Path) -> list[Path]:
    """Write one scenario for each finding into a folder that exists; return their paths.

    Raises:
        InputError: one cannot be written.
    """
    paths = []
    for number, finding in enumerate(findings):
        name = re.sub(r"[^A-Za-z0-9]+", "-", finding.broken.invariant).strip("-")
        path = folder / f"{number:02}-{name}.yaml"
        write_text(path, _text(scenario, finding, folder))
        paths.append(path)
    return paths


def _text(scenario: Scenario, finding: Finding, folder: Path) -> str:
    document: dict[str, Any] = {key: _plain(node) for key, node in scenario.tree.items() if key != "explore"}
    document["steps"] = [*document.get("steps", ()), *_way(finding)]
    if finding.broken.expect is not None:
        document["steps"].append({"expect": dict(finding.broken.expect)})
    _move_paths(document, scenario.file, folder)
    _name_plugins(document, folder)
    head = [finding.broken.text]
    function = where_in_the_kernel(finding.broken.invariant)
    head += [f"In the kernel: {function}"] if function is not None else []
    comment = "".join(f"# {line}\n" for line in head)
    body = yaml.dump(document, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    return comment + body


def _plain(node: Node) -> object:
    if isinstance(node, MappingNode):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, SequenceNode):
        return [_plain(value) for value in node]
    return node.text if node.quoted else _AsItStood(node.text)


class _AsItStood(str):
    """A scalar without quotes, which is to stay without."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Writes what stood without quotes without quotes."""


def _represent(dumper: _Dumper, text: _AsItStood) -> yaml.ScalarNode:
    tag: str = dumper.resolve(yaml.ScalarNode, str(text), (True, False))  # type: ignore[no-untyped-call]  # no stub
    return dumper.represent_scalar(tag, str(text))


_Dumper.add_representer(_AsItStood, _represent)


def _name_plugins(document: dict[str, Any], folder: Path) -> None:
    """Let the scenario name the plugin files that were given beside it."""
    named = document.get("plugins", [])
    here = {os.path.abspath(folder / path) for path in named}
    given = [os.path.abspath(candidate.file) for candidate in files_in_use() if candidate.file is not None]
    more = [os.path.relpath(path, folder) for path in dict.fromkeys(given) if path not in here]
    if more:
        steps = document.pop("steps")
        document.update(plugins=[*named, *more], steps=steps)


def _move_paths(document: dict[str, Any], file: str | None, folder: Path) -> None:
    """Let paths that were relative to the scenario lead to the same files from another folder."""
    base = os.path.dirname(file or "") or "."

    def moved(path: str) -> str:
        return path if os.path.isabs(path) else os.path.relpath(os.path.join(base, path), folder)

    machine = document["machine"]
    snapshot = machine.get("snapshot")
    if isinstance(snapshot, dict):
        snapshot["path"] = moved(snapshot["path"])
    elif snapshot is not None:
        machine["snapshot"] = moved(snapshot)
    if "plugins" in document:
        plugins = document["plugins"]
        document["plugins"] = [moved(path) for path in (plugins if isinstance(plugins, list) else [plugins])]
