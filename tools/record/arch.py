"""What differs between the architectures that can be recorded: QEMU's machine, console, and how memory comes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from memhotplug.units import parse_size

__all__ = ["ARCHITECTURES", "GuestArch"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GuestArch:
    """One architecture as a QEMU guest.

    Attributes:
        name: as the recording's ``meta.arch`` has it (Debian's port, but x86_64).
        binary, machine, cpu: QEMU's program, ``-machine`` and ``-cpu`` (None: QEMU's default).
        console: the kernel's console device.
        serial: QEMU's options that connect that console with standard input and output.
        compiler: the Debian cross compiler that links the guest's init.
        section_size: the kernel's SECTION_SIZE by page size, in bytes.
        later_section_size: (major, minor) of the release from which on it is another one, and that one.
        has_dimms: whether pc-dimm devices can be added; else only boot memory changes state.
        has_virtio_mem: whether virtio-mem devices can be resized.
        add_is_acknowledged: whether QEMU reports that the guest is through with an add (ACPI_DEVICE_OST).
    """

    name: str
    binary: str
    machine: str
    cpu: str | None = None
    console: str
    serial: tuple[str, ...] = ("-serial", "stdio")
    vga: bool = True
    compiler: str
    section_size: dict[int, int]
    later_section_size: tuple[tuple[int, int], int] | None = None
    has_dimms: bool
    has_virtio_mem: bool = False
    add_is_acknowledged: bool = False

    def section_bytes(self, page_size: int, release: str) -> int | None:
        """Return the section size of a kernel, None if it is not known.

        >>> ARCHITECTURES["s390x"].section_bytes(4096, "6.12.107-s390x") >> 20
        256
        """
        version = re.match(r"(\d+)\.(\d+)", release)
        if self.later_section_size is not None and version is not None:
            since, size = self.later_section_size
            if (int(version[1]), int(version[2])) >= since:
                return size
        return self.section_size.get(page_size)


_4K, _16K, _64K = 1 << 12, 1 << 14, 1 << 16

#: name -> how to run it. Section sizes: arch/*/include/asm/sparsemem.h (v6.12).
ARCHITECTURES = {
    arch.name: arch
    for arch in (
        GuestArch(
            name="x86_64",
            binary="qemu-system-x86_64",
            machine="pc",
            console="ttyS0",
            compiler="x86_64-linux-gnu-gcc",
            section_size={_4K: parse_size("128M")},
            has_dimms=True,
            has_virtio_mem=True,
            add_is_acknowledged=True,
        ),
        GuestArch(
            name="ppc64el",
            binary="qemu-system-ppc64",
            machine="pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off",
            cpu="power9",
            console="hvc0",
            compiler="powerpc64le-linux-gnu-gcc",
            section_size={_4K: parse_size("16M"), _64K: parse_size("16M")},
            has_dimms=True,
        ),
        GuestArch(
            name="arm64",
            binary="qemu-system-aarch64",
            machine="virt",
            cpu="cortex-a57",
            console="ttyAMA0",
            compiler="aarch64-linux-gnu-gcc",
            section_size={_4K: parse_size("128M"), _16K: parse_size("128M"), _64K: parse_size("512M")},
            has_dimms=False,
        ),
        GuestArch(
            name="s390x",
            binary="qemu-system-s390x",
            machine="s390-ccw-virtio",
            console="ttysclp0",
            serial=("-chardev", "stdio,id=con0", "-device", "sclpconsole,chardev=con0"),
            vga=False,
            compiler="s390x-linux-gnu-gcc",
            section_size={_4K: parse_size("256M")},
            later_section_size=((6, 14), parse_size("128M")),
            has_dimms=False,
        ),
    )
}
