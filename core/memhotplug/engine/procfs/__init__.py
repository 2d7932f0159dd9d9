"""The files of /proc that memory hotplug moves, in the modelled kernel's own format and order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from memhotplug.contracts import SysfsFile
from memhotplug.engine.kernel import Kernel
from memhotplug.engine.procfs import sysctl_vm
from memhotplug.engine.procfs.meminfo import meminfo, vmstat
from memhotplug.engine.procfs.zoneinfo import buddyinfo, pagetypeinfo, zoneinfo
from memhotplug.model.resources import Resource

__all__ = ["cmdline", "files", "iomem"]


def iomem(kernel: Kernel) -> str:
    """Return /proc/iomem as root sees it. Models: kernel/resource.c:r_show()."""
    claims = [claim for known in kernel.state.claims.values() for claim in known if claim.name]
    entries = list(kernel.state.resources)
    for claim in sorted(claims, key=lambda claim: claim.size):  # the inner ones first
        inside = [entry for entry in entries if claim.start <= entry.start and entry.end <= claim.end]
        entries = [entry for entry in entries if entry not in inside]
        entries.append(claim._replace(children=tuple(sorted(inside, key=lambda entry: entry.start))))
    return "".join(line for entry in sorted(entries, key=lambda entry: entry.start) for line in _resource(entry, 0))


def _resource(entry: Resource, depth: int) -> Iterator[str]:
    yield f"{'  ' * depth}{entry.start:08x}-{entry.end:08x} : {entry.name}\n"
    for child in entry.children:
        yield from _resource(child, depth + 1)


def cmdline(kernel: Kernel) -> str:
    """Return /proc/cmdline."""
    told = kernel.recorded.get("proc/cmdline")
    return told or " ".join(f"{name}={value}" if value else name for name, value in kernel.params.items()) + "\n"


def files(_kernel: Kernel) -> Iterator[SysfsFile]:
    """Yield the files."""
    readers: dict[str, Callable[[Kernel], str]] = {
        "zoneinfo": zoneinfo,
        "buddyinfo": buddyinfo,
        "pagetypeinfo": pagetypeinfo,
        "meminfo": meminfo,
        "iomem": iomem,
        "vmstat": vmstat,
        "cmdline": cmdline,
    }
    for name, reader in readers.items():
        yield SysfsFile(
            path=f"proc/{name}",
            show=lambda kernel, _, reader=reader: reader(kernel),  # type: ignore[misc]  # one for each
            private=name == "pagetypeinfo",
            size=0,
        )
    yield from sysctl_vm.files()
