"""The question as a scenario: ``mhp run`` on it comes out as the verdict says."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from memhotplug.commands.plan.answer import Answer
    from memhotplug.commands.plan.trial import Played, Trial
    from memhotplug.model.extents import Array

__all__ = ["logged_keys", "recorded_keys", "write_scenario"]

_AUTO_ONLINE: Final = "memory/auto_online_blocks"
_CMDLINE: Final = "proc/cmdline"
_PARAMETERS: Final = "sys/module/memory_hotplug/parameters/"


def write_scenario(path: str, answer: Answer) -> None:
    """Write what was asked as a scenario, and beside it what it needs of the machine.

    Raises:
        InputError: no scenario can tell the machine, or a file cannot be written.
    """
    import yaml

    from memhotplug.engine.memory_hotplug.add import plugged_devices
    from memhotplug.errors import InputError
    from memhotplug.output.files import file_at, write_text

    target = file_at(path)
    keys = answer.subject.machine_keys
    if keys is None:
        expected = "a machine that a scenario can tell: --boot, --live, or --from with a snapshot"
        raise InputError(expected, got=answer.subject.source, path="--scenario")
    slots = answer.question.slots
    if slots is not None:  # asked for is what is left of them
        slots += plugged_devices(answer.trial.before.kernel)
    machine = keys(target) | ({} if slots is None else {"slots": slots})
    drivers = _drivers(answer)
    document: dict[str, Any] = {"schema": 1, **_plugins(target.parent), "machine": machine}
    document |= {"drivers": drivers} if drivers else {}
    document["steps"] = list(_steps(answer))
    text = yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    write_text(target, f"# {answer.verdict or 'how much could be added'}: {answer.reason.text}\n{text}")


def _plugins(folder: Path) -> dict[str, list[str]]:
    """Return the plugins that came from files, relative to the scenario."""
    from memhotplug.manager import files_in_use

    files = [os.path.relpath(str(candidate.file), folder) for candidate in files_in_use()]
    return {"plugins": files} if files else {}


def _drivers(answer: Answer) -> dict[str, dict[str, object]]:
    """Return what decides about a driver's flags in its stead."""
    policies = dict(answer.trial.before.kernel.policies)
    if answer.question.policy is not None:
        policies[answer.question.driver] = answer.question.policy
    return {driver: {"policy": key.rpartition(":")[2]} for driver, key in sorted(policies.items())}


def _steps(answer: Answer) -> Iterator[dict[str, dict[str, object]]]:
    """Yield the steps that the trial has played, up to the one that was refused."""
    from memhotplug.commands.plan.trial import onlined_along

    question, trial = answer.question, answer.trial
    along = onlined_along(trial.before.kernel, question)
    if along is not None:
        yield {"write": {"path": _AUTO_ONLINE, "value": along.label}}
    for number, played in enumerate(trial.played):
        add = {
            "driver": question.driver,
            "name": played.name,
            "size": _size(played.size),
            "address": question.address if number == 0 else None,
            "node": question.node,
        }
        yield {"add": {key: value for key, value in add.items() if value is not None}}
        if not played.refused:
            yield from _onlines(trial, played, question.online)
    if trial.problem is None:
        yield from _expectations(answer)


def _size(size: int) -> str | int:
    from memhotplug.commands.plan.sizes import typed_size

    return typed_size(size) if not size % 1024 else size


def _onlines(trial: Trial, played: Played, way: str) -> Iterator[dict[str, dict[str, object]]]:
    """Yield one online step for a device of which all blocks are offline, else one for each run of them."""
    if not len(played.offline):
        return
    blocks = trial.machine.kernel.state.blocks
    index = trial.machine.kernel.state.device_index(played.name)
    whole = len(played.offline) == int((blocks.device == index).sum())
    ranges = [played.name] if whole else [f"block {low}-{high}" for low, high in _runs(played.offline)]
    for words in ranges:
        yield {"online": {"range": words, **({} if way == "auto" else {"zone": way})}}


def _runs(ids: Array) -> list[tuple[int, int]]:
    cuts = np.flatnonzero(np.diff(ids) != 1) + 1
    return [(int(part[0]), int(part[-1])) for part in np.split(ids, cuts)]


def _expectations(answer: Answer) -> Iterator[dict[str, dict[str, object]]]:
    """Yield what does not hold where nothing was refused: blocks that are not where they were asked to go."""
    from memhotplug.commands.plan.judge import misplaced_blocks

    wrong = misplaced_blocks(answer.question, answer.trial)
    if not len(wrong):
        return
    wanted: Mapping[str, Mapping[str, object]] = {
        "none": {"state": "offline"},
        "movable": {"state": "online", "zone": "Movable"},
        "kernel": {"state": "online", "zone": "Normal"},
    }
    for low, high in _runs(wrong):
        yield {"expect": {"range": f"block {low}-{high}", **wanted[answer.question.online]}}


def recorded_keys(
    keys: Mapping[str, object], ref: Mapping[str, object], line: str, copied: Mapping[str, str] | None, path: Path
) -> dict[str, object]:
    """Return the ``machine`` of a scenario about a recorded machine.

    Args:
        ref: path and step of the snapshot.
        line: what goes behind its command line.
        copied: the files of a machine that goes on living or is changed: they are saved beside the scenario, its
            command line apart.
        path: the scenario's file.

    Raises:
        InputError: the copy cannot be written.
    """
    if copied is not None:
        from memhotplug.formats.snapshot.capture import Collected, write_snapshot

        folder = path.with_name(f"{path.stem}-snapshot")
        kept = {name: text for name, text in copied.items() if name != _CMDLINE and not name.startswith(_PARAMETERS)}
        write_snapshot(Collected(files=kept, skipped=()), str(folder), force=True)
        ref = {"path": folder.name}
    else:
        ref = {**ref, "path": os.path.relpath(str(ref["path"]), path.parent)}
    snapshot = ref["path"] if len(ref) == 1 else dict(ref)
    return {**keys, "snapshot": snapshot, **({"cmdline": line} if line else {})}


def logged_keys(keys: Mapping[str, object], log: str, line: str, copied: str | None, path: Path) -> dict[str, object]:
    """Return the ``machine`` of a scenario about a machine of which there is a kernel log.

    Args:
        log: its file. line: what goes behind its command line.
        copied: the text of a log that is no file, or whose command line does not count: it is saved beside the
            scenario, its command line apart.
        path: the scenario's file.

    Raises:
        InputError: the copy cannot be written.
    """
    kept = os.path.relpath(log, path.parent)
    if copied is not None:
        from memhotplug.output.files import write_text

        kept = f"{path.stem}-log.txt"
        lines = (text for text in copied.splitlines() if "ommand line: " not in text)
        write_text(str(path.with_name(kept)), "\n".join(lines) + "\n")
    return {**keys, "snapshot": kept, **({"cmdline": line} if line else {})}
