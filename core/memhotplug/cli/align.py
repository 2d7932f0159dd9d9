"""``mhp align``: what alignment strands, and the next legal address."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from memhotplug.cli.exits import ExitCode
from memhotplug.cli.options import Once
from memhotplug.cli.pluginfiles import plugin_options
from memhotplug.cli.terminal import paint_for, show, width_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memhotplug.commands.align.answer import BySize, MachineChoice
    from memhotplug.commands.align.windows import Window
    from memhotplug.errors import InputError
    from memhotplug.formats.snapshot.source import Source

__all__ = ["command"]

_HELP: Final = """Say what alignment to memory blocks strands of a range, and where the next legal address is.

A DIMM (acpi) is taken whole or not at all; a dax device (dax) is trimmed to the whole blocks inside it, and so
is a CXL window once it is a dax device. The answer is for the first --block-size, or for the one that the
architecture would choose with --memory; a table compares others. Since Linux 6.15, a PC
that chooses heeds the alignment of CXL windows: those of an --iomem, and each --window.

\b
  mhp align --range 0x100200000+1G
  mhp align --range 0x1e0a00000+502M --driver dax --json
  mhp align --iomem /proc/iomem
  mhp align --range 0xc8000000+1G --arch arm64 --kernel v2-2019

\b
Exit status:
  0  every range becomes memory blocks to its last byte
  3  something is stranded
  4  a range cannot be added at all (EINVAL)
  2  wrong usage or bad input
"""

_OPTIONS: Final = {
    "arch": "--arch",
    "driver": "--driver",
    "kernel": "--kernel",
    "memory": "--memory",
    "hole": "--hole",
    "page_size": "--page-size",
    "memory_block_size": "--block-size",
}
_MIB: Final = 1 << 20
_EXPECTED: Final = "a range such as 0x100200000+1G"


@click.command(cls=Once, help=_HELP, short_help="Say what alignment strands, and the next legal address.")
@click.option("--range", "ranges", metavar="RANGE", multiple=True, help="A range, 0xSTART+SIZE or "
              "0xFIRST-0xLAST; may be given several times.")  # fmt: skip
@click.option(
    "--window",
    "firmware",
    metavar="RANGE",
    multiple=True,
    help="A range that firmware tells the kernel, as it does of CXL windows; answered unless a --range lies in it.",
)
@click.option(
    "--iomem",
    metavar="FILE",
    help="Take CXL windows, persistent memory and dax devices from an iomem, "
    "or from what cxl list -DR and daxctl list -M print.",
)
@click.option(
    "--driver",
    metavar="DRIVER",
    help="Who adds the ranges, such as acpi or dax; default the architecture's "
    "usual driver, with --iomem the one that takes such ranges.",
)
@click.option("--block-size", "sizes", metavar="SIZE", multiple=True, help="A memory block size; may be given several "
              "times; default: the architecture's own, compared with 128M to 2G.")  # fmt: skip
@click.option("--arch", metavar="ARCH", help="The architecture; default x86_64.")
@click.option("--kernel", metavar="KERNEL", help="The kernel whose rules apply: a release or a profile; default 6.12.")
@click.option("--memory", metavar="SIZE", default="4G", show_default=True, help="Boot memory of the machine.")
@click.option(
    "--hole",
    metavar="SIZE",
    help="How much below 4G is no memory: 1G on QEMU's pc from 3.5G on, 2G on its q35 from 2.75G on; default nothing.",
)
@click.option("--page-size", metavar="SIZE", help="Base page size, where the architecture has a choice.")
@plugin_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    ranges: tuple[str, ...],
    firmware: tuple[str, ...],
    iomem: str | None,
    driver: str | None,
    sizes: tuple[str, ...],
    arch: str | None,
    kernel: str | None,
    memory: str,
    hole: str | None,
    page_size: str | None,
    as_json: bool,
) -> int:
    """Answer and return the exit status."""
    from memhotplug.commands.align.answer import MachineChoice, assumptions, survey
    from memhotplug.commands.align.windows import advised_block_size
    from memhotplug.engine.memory_hotplug.presence import usual_driver, window_driver
    from memhotplug.errors import InputError
    from memhotplug.naming import assumed_arch, assumed_kernel, resolve

    arch = resolve("arch", arch) if arch else assumed_arch()
    kernel = resolve("profiles", kernel) if kernel else assumed_kernel()
    taker = window_driver(arch)
    found, advising, ram_end = _from_iomem(iomem, taker) if iomem is not None else ([], [], None)
    own = [_window(text, "--window") for text in firmware]
    asked = list(dict.fromkeys(_window(text, "--range") for text in ranges))
    windows = [*asked, *(one for one in dict.fromkeys(own) if not any(map(one.overlaps, asked))), *found]
    if not windows:
        raise click.UsageError("give a range with --range, or a file with --iomem")
    choice = MachineChoice(
        arch=arch,
        kernel=kernel,
        memory=str(_size(memory, "--memory")),
        page_size=None if page_size is None else _size(page_size, "--page-size"),
        hole=None if hole is None else _size(hole, "--hole"),
        ram_end=ram_end,
        advised=advised_block_size([*((one.start, one.size) for one in own), *advising]),
    )
    named = iomem is not None or bool(firmware)
    chosen = resolve("drivers", driver) if driver else taker if named else usual_driver(arch)
    wanted = [_size(text, "--block-size") for text in sizes]
    try:
        entries = survey(choice, windows, chosen, wanted)
        assumed = [] if wanted else assumptions(choice, windows, chosen)
    except InputError as problem:
        typed = {str(size): text for size, text in zip(wanted, sizes, strict=True)}
        raise _by_option(problem, typed) from None
    _tell(entries, choice, chosen, assumed, as_json=as_json)
    return _status(entries[0])


def _tell(
    entries: Sequence[BySize], choice: MachineChoice, driver: str, assumed: Sequence[str], *, as_json: bool
) -> None:
    from memhotplug.commands.align.text import align_lines, to_document

    if as_json:
        from memhotplug.output.jsontext import render

        document = to_document(entries, arch=choice.arch, kernel=choice.kernel, driver=driver, assumed=assumed)
        sys.stdout.write(render(document))
        return
    show(align_lines(entries, driver, choice.kernel, assumed, paint_for(sys.stdout), width=width_of(sys.stdout)))


def _status(verdict: BySize) -> ExitCode:
    if any(fit.errno is not None for fit in verdict.fits):
        return ExitCode.DOES_NOT_FIT
    return ExitCode.RISKY if verdict.stranded_bytes else ExitCode.OK


def _by_option(problem: InputError, typed: Mapping[str, str]) -> InputError:
    """Return an error about the machine that names the option it came from.

    Args:
        typed: block sizes as they were typed, by their bytes.
    """
    from memhotplug.errors import PluginError

    if isinstance(problem, PluginError):
        return problem
    key = (problem.path or "").rpartition(".")[2]
    option = _OPTIONS.get(key)
    if option is None:
        return problem
    problem.got = typed.get(str(problem.got), problem.got)
    return problem.at(path=option)


def _size(text: str, option: str) -> int:
    from memhotplug.errors import InputError
    from memhotplug.units import parse_size

    try:
        size = parse_size(text, bare=text[:2] in ("0x", "0X"))
    except ValueError as problem:
        raise InputError(str(problem), got=text, path=option) from None
    if not size:
        raise InputError("a size greater than 0", got=text, path=option)
    return size


def _window(text: str, option: str) -> Window:
    """Return the range that somebody typed; a size without a unit must be hexadecimal."""
    from memhotplug.commands.align.windows import Window
    from memhotplug.errors import InputError
    from memhotplug.formats.scenario.ranges import EXPECTED_RANGE, parse_range
    from memhotplug.formats.scenario.refusal import RefusedError, cut

    size_text = text.partition("+")[2]
    if size_text.isdecimal() and 0 < int(size_text) < 1 << 20:
        hint = f"{_EXPECTED}; a bare number may be anything, write {size_text}M or {size_text}G"
        raise InputError(hint, got=cut(text), path=option)
    try:
        spec = parse_range(text)
    except RefusedError as refusal:
        expected = refusal.expected.replace(EXPECTED_RANGE, "a range 0xSTART+SIZE or 0xFIRST-0xLAST")
        raise InputError(expected, got=cut(text), path=option, nearest=refusal.nearest) from None
    if spec.kind != "bytes" or spec.start is None or spec.size is None:
        raise InputError(_EXPECTED, got=cut(text), path=option)
    return Window(start=spec.start, size=spec.size)


def _from_iomem(path: str, driver: str) -> tuple[list[Window], list[tuple[int, int]], int | None]:
    """Return the ranges in a file that could become memory, those that firmware advises for, and the end of RAM."""
    from memhotplug.commands.align.windows import advising_windows, windows_of
    from memhotplug.formats.snapshot.devices import is_device_list
    from memhotplug.formats.snapshot.iomem import is_hidden, parse_iomem
    from memhotplug.formats.snapshot.source import Source
    from memhotplug.formats.textfile import read_text
    from memhotplug.units import round_up

    source = Source(file=path)
    text = read_text(source)
    if is_device_list(text):
        return *_from_list(text, source), None
    entries = parse_iomem(text, source)
    if is_hidden(entries):
        raise source.error("addresses, as root sees them", got="only zeros")
    windows = windows_of(entries, driver, lambda expected, got: source.error(expected, got=got))
    ram_end = max((entry.end for entry in entries if entry.name == "System RAM"), default=-1) + 1
    return windows, advising_windows(entries, driver), round_up(ram_end, _MIB) or None


def _from_list(text: str, source: Source) -> tuple[list[Window], list[tuple[int, int]]]:
    """Return the same for what cxl or daxctl list: devices, else regions, else windows; windows advise."""
    from memhotplug.commands.align.windows import Window
    from memhotplug.formats.snapshot.devices import listed_ranges

    found = listed_ranges(text, source)
    kinds = {one.kind for one in found}
    kind = next(kind for kind in ("device", "region", "window") if kind in kinds)
    windows = []
    for one in found:
        if one.start is None:
            expected = "addresses, as daxctl list -M, cxl list -R and /proc/iomem have them"
            raise source.error(expected, got=f"{one.name} without one")
        if one.kind == kind:
            windows.append(Window(start=one.start, size=one.size, name=one.name, node=one.node))
    return windows, [(one.start or 0, one.size) for one in found if one.kind == "window"]
