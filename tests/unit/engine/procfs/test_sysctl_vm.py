"""/proc/sys/vm: what its files take and show, as real kernels answered, and what allocations make of it."""

from __future__ import annotations

import pytest

from memhotplug import Machine, MemoryHotplugError

VM = "/proc/sys/vm"
DEFAULTS = {"min_free_kbytes": "45056", "watermark_scale_factor": "10", "lowmem_reserve_ratio": "256\t256\t32\t0\t0"}


def guest(kernel: str = "linux-6.12", arch: str = "x86_64", memory: str = "4G", cmdline: str = "") -> Machine:
    """Return a machine."""
    return Machine.boot(arch=arch, kernel=kernel, memory=memory, cmdline=cmdline)


def shown(machine: Machine, name: str) -> str:
    """Return what a file shows, without its newline."""
    text = machine.read(f"{VM}/{name}")
    assert text.endswith("\n")
    return text[:-1]


@pytest.mark.parametrize("name", DEFAULTS)
def test_files_show_what_the_kernel_has_by_itself(name: str) -> None:
    """Two zones of 11 pageblocks each are 45056 kB; ratios are tab-separated, one for each zone it is built with."""
    assert shown(guest(), name) == DEFAULTS[name]


@pytest.mark.parametrize(
    ("arch", "zones"), [("powerpc", [32, 0]), ("s390", [256, 32, 0]), ("arm64", [256, 256, 32, 0])]
)
def test_ratios_are_of_the_zones_that_an_architecture_has(arch: str, zones: list[int]) -> None:
    """Device has one too, where there is such a zone."""
    found = [*map(int, shown(guest(arch=arch), "lowmem_reserve_ratio").split("\t"))]
    assert found in (zones, [*zones, 0])


@pytest.mark.parametrize(
    ("text", "kbytes"),
    [
        ("20000", 20000),
        ("20000\n", 20000),
        (" 70000 12", 70000),
        ("0x10", 16),
        ("010", 8),
        ("0", 0),
        ("2147483647", 2147483647),
    ],
)
def test_numbers_are_read_as_the_kernel_reads_them(text: str, kbytes: int) -> None:
    """Octal and hexadecimal; what follows the first number is ignored."""
    machine = guest()
    machine.write(f"{VM}/min_free_kbytes", text)
    assert shown(machine, "min_free_kbytes") == str(kbytes)


@pytest.mark.parametrize("text", ["-5", "abc", "\n", " ", "12k", "08", "2147483648", "1.5", "0x", "+3"])
def test_other_text_is_refused_and_changes_nothing(text: str) -> None:
    """EINVAL, as recorded of the first two."""
    machine = guest()
    before = machine.to_dict()
    with pytest.raises(MemoryHotplugError) as refused:
        machine.write(f"{VM}/min_free_kbytes", text)
    assert refused.value.name == "EINVAL"
    assert str(refused.value) == f"EINVAL: min_free_kbytes takes a number from 0 to 2147483647, not {text!r}"
    assert machine.to_dict()["zones"] == before["zones"]
    assert shown(machine, "min_free_kbytes") == DEFAULTS["min_free_kbytes"]


def test_a_write_of_nothing_counts_as_one_of_what_there_is() -> None:
    """It was recorded as ok, and no online lowered the value after it."""
    machine = guest(memory="1G")
    machine.write("/sys/kernel/mm/transparent_hugepage/enabled", "never")
    machine.write(f"{VM}/min_free_kbytes", "9000")
    machine.write(f"{VM}/min_free_kbytes", "")
    assert machine.kernel.state.vm.user_min_free_kbytes == 9000
    assert shown(machine, "min_free_kbytes") == "9000"


@pytest.mark.parametrize(("kernel", "largest"), [("linux-5.15", 1000), ("linux-5.18", 3000), ("linux-6.12", 3000)])
def test_the_scale_factor_has_bounds(kernel: str, largest: int) -> None:
    """1 to 10 %, since 5.17 to 30 %."""
    machine = guest(kernel)
    machine.write(f"{VM}/watermark_scale_factor", str(largest))
    assert shown(machine, "watermark_scale_factor") == str(largest)
    for wrong in (0, largest + 1):
        with pytest.raises(MemoryHotplugError, match=rf"from 1 to {largest}, not '{wrong}'"):
            machine.write(f"{VM}/watermark_scale_factor", str(wrong))


@pytest.mark.parametrize(
    ("text", "ratio"),
    [
        ("64 64 8 0 0", "64\t64\t8\t0\t0"),
        ("64 x 8", "64\t256\t32\t0\t0"),
        ("junk", DEFAULTS["lowmem_reserve_ratio"]),
        ("-3 100", "0\t100\t32\t0\t0"),
        ("1 2 3 4 5 6 7", "1\t2\t3\t4\t0"),
    ],
)
def test_ratios_never_refuse(text: str, ratio: str) -> None:
    """Its handler does not look at what the parser returns: what could be read counts."""
    machine = guest()
    machine.write(f"{VM}/lowmem_reserve_ratio", text)
    assert shown(machine, "lowmem_reserve_ratio") == ratio


def test_what_is_kept_free_is_not_given_to_memmap() -> None:
    """An add that fits does not with most of the memory kept free."""
    machine = guest(memory="512M")
    machine.copy().add_memory(driver="acpi", name="d", size="8G")
    machine.write(f"{VM}/min_free_kbytes", "450000")
    with pytest.raises(MemoryHotplugError, match="ENOMEM"):
        machine.copy().add_memory(driver="acpi", name="d", size="8G")
    machine.write(f"{VM}/min_free_kbytes", "10000")
    machine.add_memory(driver="acpi", name="d", size="8G")


def test_the_marks_of_zoneinfo_follow() -> None:
    """One truth, two files."""
    machine = guest()
    machine.write(f"{VM}/min_free_kbytes", "200000")
    zones = machine.kernel.state.zones()
    assert 50000 - 4 <= sum(zone.wmark[0] for zone in zones if zone.kind.label != "Movable") <= 50000
    low = next(zone.wmark[1] for zone in machine.kernel.state.zones() if zone.kind.label == "Normal")
    assert f"        low      {low}\n" in machine.read("/proc/zoneinfo")


def test_the_command_line_sets_them() -> None:
    """sysctl.vm.NAME=, with dots or slashes; what is refused is ignored and said."""
    machine = guest(
        cmdline="sysctl.vm.min_free_kbytes=90000 sysctl/vm/watermark_scale_factor=50 sysctl.vm.lowmem_reserve_ratio=8 "
        "sysctl.vm.swappiness=1 sysctl.net.x=1"
    )
    assert shown(machine, "min_free_kbytes") == "90000"
    assert shown(machine, "watermark_scale_factor") == "50"
    assert shown(machine, "lowmem_reserve_ratio").startswith("8\t256")
    assert [text for text in machine.kernel.journal.warnings if "sysctl" in text] == []
    refused = guest(cmdline="sysctl.vm.watermark_scale_factor=9999")
    assert [text for text in refused.kernel.journal.warnings if "sysctl" in text] == [
        "ignored, as by the kernel: sysctl.vm.watermark_scale_factor=9999 (EINVAL: watermark_scale_factor takes a "
        "number from 1 to 3000, not '9999')"
    ]


def test_kernels_before_5_8_know_no_such_words() -> None:
    """do_sysctl_args() came with 5.8."""
    machine = guest("v2-2019", cmdline="sysctl.vm.min_free_kbytes=90000")
    assert shown(machine, "min_free_kbytes") != "90000"


def test_unknown_files_are_not_there() -> None:
    """ENOENT, as for any path that the model does not have."""
    with pytest.raises(MemoryHotplugError, match="there is no /proc/sys/vm/swappiness"):
        guest().read(f"{VM}/swappiness")
