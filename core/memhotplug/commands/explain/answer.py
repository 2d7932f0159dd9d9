"""The truth table, asked of the plugins row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from memhotplug.commands.explain.leftout import LeftOut
from memhotplug.commands.explain.passing import passing
from memhotplug.commands.explain.question import (
    Platform,
    Question,
    forget_machines,
    platforms,
)
from memhotplug.commands.explain.trial import (
    Trial,
    Verdict,
    add_by_driver,
    add_with_flags,
    forget_trials,
    hosting_flags,
    not_passed,
    why_not,
)
from memhotplug.engine.boot.parameters import MEMMAP_ON_MEMORY, memmap_settings, under
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.memory_hotplug.presence import absence
from memhotplug.engine.mhp_flags import set_policy
from memhotplug.errors import InputError, PluginError
from memhotplug.keyspec import OWN_POLICY
from memhotplug.manager import choose, names, own_keys
from memhotplug.naming import kernels, newest_kernel, resolve

if TYPE_CHECKING:
    from memhotplug.documents.explain import (
        DriverRow,
        ExplainDocument,
        IdentityDocument,
        ModeRow,
        PlatformRow,
        ReasonedDocument,
        SettingRow,
    )

__all__ = ["explain"]


def explain(question: Question) -> ExplainDocument:
    """Return the answer as the JSON object of ``mhp explain --json``.

    With a driver: its policy under every kernel (or the one asked for). Without: what every kind of
    machine supports under one kernel, and what each driver makes of it. Plugins that do not work and that nobody
    asked for by name are left out.

    Raises:
        InputError: no architecture has what is asked for.
        PluginError: a plugin that was asked for is missing or broken.
    """
    for known in (forget_machines, _booted.cache_clear, forget_trials):
        known()
    one = resolve("profiles", question.kernel) if question.kernel is not None else None
    if question.driver is None:
        chosen, drivers = [one or newest_kernel()], names("drivers")
    else:
        chosen, drivers = [one] if one else kernels(), [resolve("drivers", question.driver)]
    left_out = LeftOut(_asked(question))
    drivers = [driver for driver in drivers if left_out.attempt(partial(_load, driver)) is not None]
    machines = _machines(question, chosen, left_out)
    rows: list[PlatformRow] = []
    if question.driver is None:
        for platform in platforms(question, chosen[0], left_out):
            row = left_out.attempt(partial(_platform, platform))
            rows += [] if row is None else [row]
    found: list[DriverRow] = []
    for driver in drivers:
        for platform in machines:
            found += left_out.attempt(partial(_driver, question, driver, platform)) or []
    return {
        "schema": 1,
        "kernels": chosen,
        "platforms": rows,
        "drivers": found,
        "left_out": left_out.texts,
    }


def _load(driver: str) -> object:
    return choose("drivers", driver).load()


def _asked(question: Question) -> list[str]:
    """Return the plugins that a question names, as messages name them."""
    policy = None if question.policy == OWN_POLICY else question.policy
    words = {"arch": question.arch, "profiles": question.kernel, "drivers": question.driver, "policies": policy}
    return [str(choose(kind, resolve(kind, word))) for kind, word in words.items() if word is not None]


def _machines(question: Question, chosen: Sequence[str], left_out: LeftOut) -> list[Platform]:
    """Return the usual machines of all kernels, kernel by kernel; a kernel that refuses is left out if not all do.

    Raises:
        InputError: there is none.
    """
    found: list[Platform] = []
    first: InputError | None = None
    for kernel in chosen:
        try:
            found += platforms(question, kernel, left_out, defaults_only=True)
        except PluginError:
            raise
        except InputError as refusal:
            first = first or refusal
    first = first or left_out.first
    if not found and first is not None:
        raise first
    return found


def _identity(platform: Platform) -> IdentityDocument:
    return {
        "arch": platform.arch,
        "kernel": platform.kernel,
        "page_size": platform.page_size,
        "mmu": platform.mmu,
        "memory_block_size": platform.block_size,
    }


@cache
def _booted(platform: Platform) -> Sequence[tuple[str, Kernel]]:
    """Return the machine under each setting of the user's switch; all drivers begin from these."""
    kernel = platform.boot()
    settings = memmap_settings(kernel)
    if not settings:
        return [("default", kernel)]
    return [(setting, under(kernel, MEMMAP_ON_MEMORY, setting)) for setting in settings]


def _platform(platform: Platform) -> PlatformRow:
    """Return what a kind of machine supports, whoever asks, for one memory block."""
    geometry = platform.boot().geometry
    modes = [
        _mode(mode, add_with_flags(kernel, bit, platform.block_size), kernel, platform.block_size)
        for setting, kernel in _booted(platform)
        for mode, bit in _modes(setting, kernel)
    ]
    return {
        **_identity(platform),
        "is_default": platform.is_default,
        "pages_per_block": geometry.pages_per_block,
        "memmap_bytes": geometry.pages_per_block * geometry.struct_page_size,
        "memmap_pages": geometry.memmap_pages(geometry.pages_per_block),
        "modes": modes,
    }


def _modes(setting: str, kernel: Kernel) -> list[tuple[str, int]]:
    """Return name and flags of each way to ask for self-hosting under one setting."""
    flags = hosting_flags(kernel)
    if len(flags) == 1:
        return [(setting, next(iter(flags.values())))]
    return list(flags.items())


def _mode(mode: str, trial: Trial, kernel: Kernel, size: int) -> ModeRow:
    memmap = kernel.geometry.memmap_pages(kernel.geometry.pages_per_block)
    verdict = None if trial.hosts else why_not(kernel, trial, size)
    return {
        "mode": mode,
        "supported": trial.hosts,
        "reserved_pages": trial.reserved if trial.hosts else None,
        "wasted_pages": trial.reserved - memmap if trial.hosts else None,
        **_reason(verdict),
    }


def _reason(verdict: Verdict | None) -> ReasonedDocument:
    if verdict is None:
        return {"rule": None, "source": None}
    return {"rule": verdict.rule, "source": verdict.source}


def _driver(question: Question, driver: str, platform: Platform) -> list[DriverRow]:
    """Return a driver's policy on one kind of machine; nothing if the driver does not exist there."""
    machines = [(word, _decided(question, driver, kernel)) for word, kernel in _booted(platform)]
    # Whoever names both a driver and an architecture is told why the one does not exist on the other.
    if question.arch is None or question.driver is None:
        machines = [(word, kernel) for word, kernel in machines if not _is_absent(driver, kernel)]
    if not machines:
        return []
    return [_policy(platform, driver, options, machines) for options in _options(driver, machines[0][1])]


def _decided(question: Question, driver: str, kernel: Kernel) -> Kernel:
    """Return a machine on which the policy that was asked for decides."""
    if question.policy is None or question.policy == OWN_POLICY:
        return kernel
    twin = kernel.copy()
    set_policy(twin, driver, resolve("policies", question.policy))
    return twin


def _options(driver: str, kernel: Kernel) -> list[Mapping[str, object]]:
    """Return what a device of the driver may say itself about self-hosting, as keys of an add."""
    spec = own_keys("drivers", driver).get(MEMMAP_ON_MEMORY)
    if spec is None or spec.kind != "bool":
        return [{}]
    off: Mapping[str, object] = {MEMMAP_ON_MEMORY: False}
    refused = add_by_driver(kernel, driver, kernel.geometry.memory_block_size, off).error
    return [{}] if refused is not None else [off, {MEMMAP_ON_MEMORY: True}]


def _is_absent(driver: str, kernel: Kernel) -> bool:
    """Return whether a machine does not have a driver: by its traits, or because it refuses any add so."""
    return (
        absence(kernel, driver) is not None
        or add_by_driver(kernel, driver, kernel.geometry.memory_block_size, {}).absent
    )


def _policy(
    platform: Platform, driver: str, options: Mapping[str, object], machines: Sequence[tuple[str, Kernel]]
) -> DriverRow:
    settings = [_setting(setting, kernel, driver, options, platform.block_size) for setting, kernel in machines]
    flags = 0
    for _, passed in settings:
        flags |= passed
    kernel = machines[0][1]
    key = kernel.policies.get(driver)
    return {
        "driver": driver,
        "policy": None if key is None else key.partition(":")[2],
        **_identity(platform),
        "options": dict(options),
        "flags": [name for name, bit in kernel.profile.flags.items() if flags & bit],
        "settings": [row for row, _ in settings],
    }


def _setting(
    setting: str, kernel: Kernel, driver: str, options: Mapping[str, object], block: int
) -> tuple[SettingRow, int]:
    """Return what becomes of a driver's adds under one setting, and the flags that it passes for any of them."""
    one = add_by_driver(kernel, driver, block, options)
    several = add_by_driver(kernel, driver, 2 * block, options)
    failing, size = (one, block) if not one.hosts else (several, 2 * block)
    verdict = None if failing.hosts else why_not(kernel, failing, size, driver)
    tried = passing(kernel, driver, options)
    unsaid = verdict is None or verdict == not_passed(kernel, driver)
    if unsaid and tried.exceptions is not None:
        verdict = not_passed(kernel, driver, tried.exceptions)
    row: SettingRow = {"setting": setting, "one_block": one.hosts, "several_blocks": several.hosts, **_reason(verdict)}
    return row, one.flags | several.flags | tried.flags
