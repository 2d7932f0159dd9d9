"""What is kept free on a machine that was recorded: told by its files, or by its watermarks."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from memhotplug import Machine
from memhotplug.errors import InputError
from memhotplug.formats.snapshot import open_snapshot, read_recording
from memhotplug.live.export import export
from memhotplug.model.vm_sysctls import HugePages, VmSysctls

RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"
SYSCTLS = RECORDINGS / "x86_64-6.12-vm-sysctls.json.xz"
HUGE = RECORDINGS / "x86_64-6.1-huge-pages.json.xz"


def begun(path: Path, step: int, folder: Path, **files: str) -> Machine:
    """Return the machine of a step, as a snapshot of it would be taken over; further files by path, / as __."""
    tree = dict(read_recording(path).snapshot(step).files)
    tree |= {"proc/sys/kernel/osrelease": "6.12.0-amd64\n", "proc/cmdline": "\n"}
    tree |= {name.replace("__", "/"): text for name, text in files.items()}
    archive = folder / "machine.tar"
    with tarfile.open(archive, "w") as tar:
        for name, text in tree.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return Machine.boot(snapshot=str(archive), arch="x86_64", kernel="linux-6.12")


def kept(machine: Machine) -> tuple[int, int, HugePages | None]:
    """Return what is kept free, what counts as written, and who has huge pages."""
    state = machine.kernel.state
    return state.min_free_kbytes, state.vm.user_min_free_kbytes, state.huge_pages


def said(machine: Machine) -> list[str]:
    """Return the warnings about it."""
    return [text for text in machine.kernel.journal.warnings if "vm." in text]


def test_what_the_kernel_computed_counts_as_written_by_nobody(tmp_path: Path) -> None:
    """At boot the largest zone tells, to 4 kB: what it manages has changed since."""
    machine = begun(SYSCTLS, 0, tmp_path)
    assert kept(machine) == (45052, -1, HugePages.ALWAYS)
    assert machine.kernel.state.vm == VmSysctls()
    assert said(machine) == []


def test_what_no_kernel_computes_was_written(tmp_path: Path) -> None:
    """150000 kB, shared out among two zones to the page, and said."""
    machine = begun(SYSCTLS, 5, tmp_path)
    assert kept(machine) == (150000, 150000, None)
    text = "inferred: vm.min_free_kbytes was set to 150000; by itself this kernel has about 3344 or 45056"
    assert said(machine) == [text]


def test_it_stays_when_a_block_goes_online(tmp_path: Path) -> None:
    """As the recorded kernel kept it."""
    machine = begun(SYSCTLS, 5, tmp_path)
    machine.online("block 34", zone="kernel")
    assert [zone.wmark for zone in machine.kernel.state.zones()][:3] == [
        (545, 681, 817),
        (32296, 40370, 48444),
        (4657, 5821, 6985),
    ]


def test_files_tell_where_marks_do_not(tmp_path: Path) -> None:
    """The factor of 300 moves no mark of step 8, where min_free_kbytes makes a larger gap."""
    blind = begun(SYSCTLS, 8, tmp_path)
    assert blind.kernel.state.vm.watermark_scale_factor == 10
    told = begun(SYSCTLS, 8, tmp_path, proc__sys__vm__watermark_scale_factor="300\n")
    assert told.kernel.state.vm.watermark_scale_factor == 300


def test_marks_tell_the_factor_where_it_makes_them(tmp_path: Path) -> None:
    """At step 10 every gap is 3 % of what the zone manages."""
    assert begun(SYSCTLS, 10, tmp_path).kernel.state.vm.watermark_scale_factor == 300


def test_files_tell_exactly(tmp_path: Path) -> None:
    """All of them, in the order of the zones that the kernel has."""
    machine = begun(
        SYSCTLS, 0, tmp_path,
        proc__sys__vm__min_free_kbytes="45053\n",
        proc__sys__vm__lowmem_reserve_ratio="64\t256\t8\t0\t0\n",
        sys__kernel__mm__transparent_hugepage__enabled="always [madvise] never\n",
    )  # fmt: skip
    assert kept(machine) == (45053, -1, HugePages.MADVISE)
    assert machine.kernel.state.vm.lowmem_reserve_ratio == (64, 256, 8, 0)


def test_a_list_of_sysctl_tells_too_and_files_tell_more(tmp_path: Path) -> None:
    """As support archives have it."""
    listed = (
        "vm.lowmem_reserve_ratio = 256\t256\t32\t0\t0\nvm.min_free_kbytes = 45056\nvm.watermark_scale_factor = 77\n"
    )
    machine = begun(SYSCTLS, 0, tmp_path, **{"sos_commands__kernel__sysctl_-a": listed})
    assert kept(machine)[0] == 45056
    assert machine.kernel.state.vm.watermark_scale_factor == 77
    both = begun(
        SYSCTLS, 0, tmp_path,
        **{"sos_commands__kernel__sysctl_-a": listed, "proc__sys__vm__watermark_scale_factor": "11\n"},
    )  # fmt: skip
    assert both.kernel.state.vm.watermark_scale_factor == 11


def test_without_huge_pages_the_small_figure_is_the_kernels_own(tmp_path: Path) -> None:
    """256 MiB at boot."""
    total, written, mode = kept(begun(HUGE, 0, tmp_path))
    assert (written, mode) == (-1, HugePages.NEVER)
    assert 1400 < total < 1600


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("proc/sys/vm/min_free_kbytes", "many\n", "numbers"),
        ("proc/sys/vm/lowmem_reserve_ratio", "", "numbers"),
        ("proc/sys/vm/watermark_scale_factor", "-1\n", "numbers"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always madvise never\n", "[always], [madvise] or [never]"),
    ],
)
def test_files_that_tell_nothing_are_named(name: str, text: str, expected: str, tmp_path: Path) -> None:
    """With what they show."""
    with pytest.raises(InputError) as refused:
        begun(SYSCTLS, 0, tmp_path, **{name.replace("/", "__"): text})
    assert (refused.value.expected, refused.value.path) == (expected, name)


def test_they_are_part_of_a_snapshot(tmp_path: Path) -> None:
    """Exported, read again, and the same."""
    machine = begun(SYSCTLS, 5, tmp_path)
    tree = tmp_path / "tree"
    export(machine.kernel, str(tree))
    files = open_snapshot(tree).files
    assert files["proc/sys/vm/min_free_kbytes"] == "150000\n"
    assert files["sys/kernel/mm/transparent_hugepage/enabled"] == "[always] madvise never\n"
