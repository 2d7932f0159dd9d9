"""The files of /proc: which there are, iomem and the command line."""

from __future__ import annotations

from collections.abc import Callable

from memhotplug import Machine
from memhotplug.engine.procfs import cmdline, files, iomem
from memhotplug.model.resources import Resource

Boot = Callable[..., Machine]


def test_files_are_listed_with_their_modes(boot: Boot) -> None:
    """Only root may read pagetypeinfo, parameters can be written; nothing in /proc has a size."""
    found = {file.path: file for file in files(boot(kernel="linux-6.12").kernel)}
    shown = ("buddyinfo", "cmdline", "iomem", "meminfo", "pagetypeinfo", "vmstat", "zoneinfo")
    parameters = ("sys/vm/lowmem_reserve_ratio", "sys/vm/min_free_kbytes", "sys/vm/watermark_scale_factor")
    assert sorted(found) == sorted(f"proc/{name}" for name in (*shown, *parameters))
    assert {path for path, file in found.items() if file.private} == {"proc/pagetypeinfo"}
    writable = {path for path, file in found.items() if file.mode == 0o644}
    assert writable == {f"proc/{name}" for name in parameters}
    assert {file.mode for path, file in found.items() if not (file.private or path in writable)} == {0o444}
    assert {file.size for file in found.values()} == {0}


def test_each_file_shows_its_own(boot: Boot) -> None:
    """One reader for each, not the last for all."""
    kernel = boot(kernel="linux-6.12").kernel
    shown = [file.show(kernel, ()) for file in files(kernel) if file.show is not None]
    assert len(set(shown)) == 10
    assert all(text.endswith("\n") for text in shown)


def test_iomem_is_a_tree_of_inclusive_ranges(boot: Boot) -> None:
    """Eight digits at least, two blanks for each level."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="acpi", size="256M", address="0x200000000")
    lines = iomem(machine.kernel).splitlines()
    assert lines[0].startswith("00000000-")
    assert lines[-1] == "200000000-20fffffff : System RAM"


def test_what_lies_inside_of_another_range_is_indented(boot: Boot) -> None:
    """Two blanks for each level."""
    machine = boot(kernel="linux-6.12")
    innermost = Resource(start=5 << 30, end=(5 << 30) + 4095, name="innermost")
    inner = Resource(start=5 << 30, end=(6 << 30) - 1, name="inner", children=(innermost,))
    outer = Resource(start=4 << 30, end=(8 << 30) - 1, name="outer", children=(inner,))
    machine.kernel.state.resources.request(outer)
    assert iomem(machine.kernel).splitlines()[-3:] == [
        "100000000-1ffffffff : outer",
        "  140000000-17fffffff : inner",
        "    140000000-140000fff : innermost",
    ]


def test_drivers_name_their_memory(boot: Boot) -> None:
    """System RAM, of which driver, within the region of which device."""
    machine = boot(kernel="linux-6.12")
    machine.add_memory(driver="virtio_mem", size="256M", device_size="1G", address="0x200000000")
    machine.add_memory(driver="dax", name="dax2.0", size="256M", address="0x300000000")
    assert iomem(machine.kernel).splitlines()[1:] == [
        "200000000-23fffffff : virtio0",
        "  200000000-20fffffff : System RAM (virtio_mem)",
        "300000000-30fffffff : dax2.0",
        "  300000000-30fffffff : System RAM (kmem)",
    ]


def test_the_command_line_is_what_was_given(boot: Boot) -> None:
    """Flags without a value have none."""
    assert cmdline(boot(kernel="linux-6.12").kernel) == "\n"
    machine = boot(kernel="linux-6.12", cmdline="movable_node memhp_default_state=online")
    assert cmdline(machine.kernel) == "movable_node memhp_default_state=online\n"


def test_a_recorded_command_line_is_shown_as_it_was(boot: Boot) -> None:
    """With all that the model does not know."""
    machine = boot(kernel="linux-6.12", cmdline="quiet")
    machine.kernel.recorded = {"proc/cmdline": "BOOT_IMAGE=/vmlinuz root=/dev/vda  quiet\n"}
    assert cmdline(machine.kernel) == "BOOT_IMAGE=/vmlinuz root=/dev/vda  quiet\n"
