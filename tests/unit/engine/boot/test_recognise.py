"""Which kernel a recorded machine has: its release, unless its parameters show that a vendor has put in more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from memhotplug import InputError, Machine
from memhotplug.engine.boot.recognise import recognise_arch, recognise_kernel
from memhotplug.formats.snapshot import RecordedMachine, open_snapshot
from memhotplug.naming import read_machine

RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"
X86 = RECORDINGS / "x86_64-6.12-mom-0-a.json.xz"
GROUPS = {"memmap_on_memory": "N", "online_policy": "contig-zones", "auto_movable_ratio": "301"}


def _machine(release: str | None, **parameters: str) -> RecordedMachine:
    machine = read_machine(open_snapshot(X86, 0))
    return replace(machine, kernel_release=release, parameters=parameters)


@pytest.mark.parametrize(
    ("release", "parameters", "profile", "text"),
    [
        ("5.14.0-503.11.1.el9_5.x86_64", GROUPS, "linux-5.15",
         "and it shows online_policy, which came with linux-5.15: its vendor has put that in"),
        ("6.4.0-150600.23.25-default", {**GROUPS, "memmap_on_memory": "force"}, "linux-6.6",
         "and it shows memmap_on_memory=force, which came with linux-6.6: its vendor has put that in"),
        ("5.14.0-503.11.1.el9_5.x86_64", {}, "linux-5.13",
         "; what its vendor has put in of newer ones does not show: --kernel names another"),
        ("6.4.0-150600.23.25-default", GROUPS, "linux-6.2",
         "; what its vendor has put in of newer ones does not show: --kernel names another"),
        ("4.18.0-553.el8_10.x86_64", GROUPS, "linux-5.15",
         "and it shows online_policy, which came with linux-5.15: its vendor has put that in"),
        ("4.18.0-553.el8_10.x86_64", {"memmap_on_memory": "Y"}, "linux-5.13",
         "and it shows memmap_on_memory, which came with linux-5.13: its vendor has put that in"),
        ("4.18.0-553.el8_10.x86_64", {}, "linux-5.13",
         ", which is older than that and never hosts a memmap in the memory it describes"),
        ("6.1.0-53-amd64", GROUPS, "linux-6.1", ""),
        ("6.12.107+deb13-amd64", GROUPS, "linux-6.12", ""),
    ],
)  # fmt: skip
def test_the_parameters_tell_what_a_vendor_has_put_in(
    release: str, parameters: dict[str, str], profile: str, text: str
) -> None:
    """auto_movable_ratio means memory groups, force means 6.6; without either it is said that nothing shows."""
    found = recognise_kernel(_machine(release, **parameters))
    joint = "" if not text or text[0] in ";," else ", "
    assert (found.profile, found.text) == (profile, f"kernel {profile}: the recorded kernel is {release}{joint}{text}")
    assert found.older is (release.startswith("4.18") and not parameters)


def test_without_a_release_the_parameters_still_count() -> None:
    """The assumed kernel has all of them."""
    found = recognise_kernel(_machine(None, **GROUPS))
    assert (found.profile, found.text) == ("linux-6.12", "kernel linux-6.12: none was recorded")


def test_the_dma_zone_tells_the_architecture_where_nothing_else_does() -> None:
    """It ends at 16 MiB on x86_64 alone."""
    machine = replace(_machine(None), arch=None)
    assert recognise_arch(machine) == "x86_64"
    assert recognise_arch(replace(machine, zones=())) is None


def test_a_scenario_takes_both_from_its_snapshot() -> None:
    """And says which kernel that is; an architecture that is another one is refused."""
    path = {"path": str(X86), "step": 0}
    machine = Machine.boot(snapshot=path)
    assert (machine.kernel.arch, machine.kernel.profile.name) == ("x86_64", "linux-6.12")
    text = "inferred: kernel linux-6.12: the recorded kernel is 6.12.107+deb13-amd64"
    assert text in machine.kernel.journal.warnings
    assert Machine.boot(snapshot=path, kernel="6.1").kernel.profile.name == "linux-6.1"
    with pytest.raises(InputError, match="expected a machine of architecture arm64"):
        Machine.boot(snapshot=path, arch="arm64")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"memory": "1G"}, "boot.arch: expected a name; the key is missing"),
        ({"memory": "1G", "arch": "x86_64"}, "boot.kernel: expected a name; the key is missing"),
        ({"snapshot": str(X86), "rzm": "1G"}, "boot.rzm: got rzm, expected one of the keys: arch, "),
        ({"snapshot": str(X86), "hole": "1G"}, "boot.hole: got hole, expected no hole beside a snapshot, which has "),
        (
            {"snapshot": str(X86), "advised_block_size": "1G"},
            "boot.advised_block_size: got advised_block_size, expected no advised block size beside a snapshot",
        ),
    ],
)
def test_only_a_snapshot_stands_in_for_them(keywords: dict[str, str], message: str) -> None:
    """Boot memory tells nothing; and what is fixed at boot is fixed in a snapshot."""
    with pytest.raises(InputError) as caught:
        Machine.boot(**keywords)
    assert str(caught.value).startswith(message)


def test_a_release_that_is_none_is_refused_with_the_file() -> None:
    """Whoever reads that knows which file to look into."""
    with pytest.raises(InputError) as caught:
        recognise_kernel(_machine("garbage"))
    assert str(caught.value).startswith(f"{X86}: got garbage, expected a kernel release that a profile covers (")
