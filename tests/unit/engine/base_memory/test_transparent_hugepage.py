"""/sys/kernel/mm/transparent_hugepage/enabled: who gets huge pages, and what is kept free for them."""

from __future__ import annotations

import pytest

from memhotplug import Machine, MemoryHotplugError

PATH = "/sys/kernel/mm/transparent_hugepage/enabled"


def guest(memory: str = "4G", kernel: str = "linux-6.12", cmdline: str = "") -> Machine:
    """Return a machine."""
    return Machine.boot(arch="x86_64", kernel=kernel, memory=memory, cmdline=cmdline)


@pytest.mark.parametrize(
    ("memory", "cmdline", "text"),
    [
        ("4G", "", "[always] madvise never\n"),
        ("256M", "", "always madvise [never]\n"),
        ("4G", "transparent_hugepage=never", "always madvise [never]\n"),
        ("4G", "transparent_hugepage=madvise", "always [madvise] never\n"),
        ("256M", "transparent_hugepage=madvise", "always madvise [never]\n"),
        ("256M", "transparent_hugepage=always", "always madvise [never]\n"),
    ],
)
def test_it_shows_what_boot_chose(memory: str, cmdline: str, text: str) -> None:
    """hugepage_init() switches them off below 512 MiB, whatever was asked."""
    assert guest(memory, cmdline=cmdline).read(PATH) == text


def kept(machine: Machine) -> int:
    """Return vm.min_free_kbytes."""
    return int(machine.read("/proc/sys/vm/min_free_kbytes"))


def test_switching_moves_what_is_kept_free() -> None:
    """Off and on again, at once."""
    machine = guest()
    with_them = kept(machine)
    machine.write(PATH, "never\n")
    assert machine.read(PATH) == "always madvise [never]\n"
    assert kept(machine) < with_them // 4
    machine.write(PATH, "madvise")
    assert kept(machine) == with_them


def test_before_5_16_it_stayed_until_a_block_came_or_went() -> None:
    """Nothing computed it anew when khugepaged stopped."""
    machine = guest(kernel="linux-5.15")
    before = kept(machine)
    machine.write(PATH, "never")
    assert kept(machine) == before
    machine.add_memory(driver="acpi", name="d", size="128M")
    machine.online("d", zone="movable")
    assert kept(machine) < before // 4


@pytest.mark.parametrize("text", ["on", "", "Always", "never ", "[always]"])
def test_other_words_are_refused(text: str) -> None:
    """EINVAL, as recorded of `on`."""
    machine = guest()
    with pytest.raises(MemoryHotplugError, match=r"EINVAL: enabled takes one of always, madvise, never, not "):
        machine.write(PATH, text)
    assert machine.read(PATH) == "[always] madvise never\n"
