"""What is covered, what is said where the system does not allow it, and what is left alone at the end."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from memhotplug import Machine
from memhotplug.engine.base_memory import Folder
from memhotplug.live import namespace, requirements
from memhotplug.live.view import View


def covered(machine: Machine) -> list[tuple[str, bool]]:
    """Return what a machine's files cover."""
    view = View(machine.kernel)

    def is_folder(path: str) -> bool:
        entry = view.find(path)
        return entry is not None and isinstance(entry.node, Folder)

    def names(path: str) -> list[str]:
        entry = view.find(path)
        assert entry is not None
        return list(view.tree.names(view.kernel, entry))

    return list(namespace.tops(is_folder, names))


def test_the_highest_paths_that_are_not_shared_are_covered() -> None:
    """Whole directories where they are the machine's, single files where not; what a driver brings comes with it."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")
    before = covered(machine)
    sysctls = ("min_free_kbytes", "watermark_scale_factor", "lowmem_reserve_ratio")
    assert before == [
        ("sys/devices/system/memory", True),
        ("sys/devices/system/node", True),
        ("sys/module/memory_hotplug", True),
        ("sys/kernel/debug/notifier-error-inject", True),
        ("sys/kernel/mm/transparent_hugepage/enabled", False),
        *(
            (f"proc/{name}", False)
            for name in ("zoneinfo", "buddyinfo", "pagetypeinfo", "meminfo", "iomem", "vmstat", "cmdline")
        ),
        *((f"proc/sys/vm/{name}", False) for name in sysctls),
    ]
    machine.add_memory(driver="dax", name="dax0.0", size="128M")
    assert set(covered(machine)) - set(before) == {
        ("sys/bus/dax", True),
        ("sys/module/device_dax", True),
        ("sys/module/kmem", True),
        ("sys/devices/platform/hmem.0", True),
        ("sys/dev/char/510:0", False),
        ("dev/dax0.0", False),
    }


@pytest.mark.parametrize(
    ("privileged", "message"),
    [
        (True, "no mount namespaces: Operation not permitted"),
        (False, "no user and mount namespaces: Operation not permitted"),
    ],
)
def test_a_system_without_namespaces_is_said(monkeypatch: pytest.MonkeyPatch, privileged: bool, message: str) -> None:
    """Which kind is missing, and why."""

    def refuse(name: str, *_arguments: object) -> None:
        assert name == "unshare"
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(namespace, "_call", refuse)
    monkeypatch.setattr(namespace, "may_mount", lambda: privileged)
    monkeypatch.setattr(os, "geteuid", lambda: 0 if privileged else 1000)
    with pytest.raises(namespace.NamespaceError) as problem:
        namespace.enter()
    assert str(problem.value) == message


def test_only_another_namespace_s_processes_are_killed() -> None:
    """Neither its own, nor that of an unknown name."""
    namespace.kill_all(namespace.name_of())
    namespace.kill_all("")
    namespace.kill_all("mnt:[1]")


def test_what_works_or_is_no_mount_is_not_unmounted(tmp_path: Path) -> None:
    """A place is given up only when its server is gone."""
    before = Path("/proc/self/mounts").read_text()
    for place in (str(tmp_path), "/proc", str(tmp_path / "missing")):
        namespace.unmount(place)
    assert Path("/proc/self/mounts").read_text() == before


@pytest.mark.parametrize(
    ("exists", "accessible", "message"),
    [
        (False, False, "/dev/fuse is missing: load the module fuse, or pass the device to the container"),
        (True, False, "/dev/fuse cannot be opened: permission denied"),
    ],
)
def test_what_fuse_lacks_is_one_line(
    monkeypatch: pytest.MonkeyPatch, exists: bool, accessible: bool, message: str
) -> None:
    """With what would help."""
    answer: Callable[..., bool] = lambda *_: exists  # noqa: E731  # in place of a function of the library
    monkeypatch.setattr(os.path, "exists", answer)
    monkeypatch.setattr(os, "access", lambda *_: accessible)
    assert requirements.missing() == message


def test_another_system_has_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    """Namespaces and FUSE are Linux's."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert requirements.missing() == "namespaces and FUSE are Linux's, and this is darwin"
