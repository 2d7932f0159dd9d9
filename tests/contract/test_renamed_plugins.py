"""A plugin under another name is the same plugin: nobody knows a built-in one by its name.

Four built-in drivers and two architectures are copied, called otherwise, and found through the entry points of
distributions of their own beside the project's. Whatever is asked of a copy must come out as it does for the original,
to the byte.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import lzma
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

import memhotplug_drivers
from memhotplug import manager
from memhotplug.cli import main
from memhotplug.manager.discovery import discovered

COPIES: Final = {"acpi": "my_dimms", "hv_balloon": "my_balloon", "pseries": "my_lpar", "virtio_mem": "my_region"}
PACKAGE: Final = "copied_drivers"
ARCHES: Final = {"x86_64": "my_pc", "powerpc": "my_power"}
RECORDINGS: Final = Path(__file__).resolve().parents[1] / "data" / "recordings"

ADD: Final = "schema: 1\nmachine: {{arch: {arch}, kernel: {kernel}, memory: 4G{machine}}}\n{drivers}steps:\n{steps}"


def scenario(arch: str, steps: str, kernel: str = "linux-6.12", machine: str = "", drivers: str = "") -> str:
    """Return a scenario; DRIVER in it stands for the driver's name, and steps are separated by semicolons."""
    lines = "".join(f"  - {step.strip()}\n" for step in steps.split(";"))
    more = f", {machine}" if machine else ""
    return ADD.format(arch=arch, kernel=kernel, machine=more, drivers=f"{drivers}\n" if drivers else "", steps=lines)


_LIFE: Final = "add: {driver: DRIVER, name: m, size: 1G}; online: {range: m, zone: movable}; eject: {range: m}"
_LMBS: Final = "add: {driver: DRIVER, name: m, size: 3G}; offline: {range: block 5}; eject: {range: m}"
_ON: Final = "cmdline: memory_hotplug.memmap_on_memory=1"
_KERNELS: Final = ("v2-2019", "linux-6.1", "linux-6.19")

RUN: Final = [
    *(("acpi", scenario("x86_64", _LIFE, kernel)) for kernel in _KERNELS),
    ("acpi", scenario("arm64", _LIFE, machine=_ON)),
    ("acpi", scenario("x86_64", "add: {driver: DRIVER, resources: [256M, 128M]}", "v2-2019")),
    ("acpi", scenario("x86_64", "add: {driver: DRIVER, size: 100M, fails: EINVAL}")),
    ("acpi", scenario("x86_64", "add: {driver: DRIVER, size: 1G}", drivers="drivers: {DRIVER: {mhp_flags: none}}")),
    ("acpi", scenario("s390", "add: {driver: DRIVER, size: 1G, fails: ENODEV}")),
    *(("hv_balloon", scenario("x86_64", "add: {driver: DRIVER, name: m, size: 300M}", kernel)) for kernel in _KERNELS),
    ("hv_balloon", scenario("x86_64", "add: {driver: DRIVER, name: m, size: 300M, backed: 200M}; online: {range: m};"
                            "add: {driver: DRIVER, size: 100M, address: 0x10c800000}")),
    ("hv_balloon", scenario("arm64", "add: {driver: DRIVER, size: 1G, fails: ENODEV}")),
    *(("pseries", scenario("powerpc", _LMBS, kernel)) for kernel in _KERNELS),
    ("pseries", scenario("powerpc", "add: {driver: DRIVER, size: 256M, fails: EINVAL}")),
    ("pseries", scenario("x86_64", "add: {driver: DRIVER, size: 1G, fails: ENODEV}")),
    *(("virtio_mem", scenario("x86_64", _LIFE, kernel)) for kernel in ("linux-5.13", "linux-6.12", "linux-6.19")),
    ("virtio_mem", scenario("x86_64", "add: {driver: DRIVER, name: m, size: 200M, device_size: 1G};"
                            "online: {range: m, zone: movable};"
                            "add: {driver: DRIVER, resize: m, size: 700M}; resize: {range: m, size: 6M}")),
    ("virtio_mem", scenario("x86_64", "add: {driver: DRIVER, name: m, size: 512M, force_bbm: true};"
                            "eject: {range: m}")),
    ("virtio_mem", scenario("arm64", "add: {driver: DRIVER, size: 1G, fails: ENODEV}", "linux-5.15")),
]  # fmt: skip

PLAN: Final = [
    ("acpi", "--boot 512M --add 4G"),
    ("acpi", "--boot 512M --add 100M"),
    ("acpi", "--boot 1G --add 2G --add 2G --online movable --kernel 6.6"),
    ("acpi", "--boot 2G --add 1G --arch s390"),
    ("hv_balloon", "--boot 512M --add 1G"),
    ("hv_balloon", "--boot 1G --add 100M --online none"),
    ("hv_balloon", "--boot 1G --add 1G --arch arm64"),
    ("pseries", "--boot 2G --add 8G --arch powerpc"),
    ("pseries", "--boot 2G --add 100M --arch powerpc --online movable"),
    ("pseries", "--boot 1G --add 1G"),
    ("virtio_mem", "--boot 512M --add 1G"),
    ("virtio_mem", "--boot 1G --add 6M --online movable"),
    ("virtio_mem", "--boot 1G --add 1G --arch powerpc"),
]

EXPLAIN: Final = [
    (driver, f"--kernel {kernel}{where}")
    for driver, where in (
        ("acpi", " --arch x86_64"),
        ("acpi", " --arch arm64"),
        ("hv_balloon", ""),
        ("pseries", " --page-size 64K"),
        ("virtio_mem", " --arch s390"),
        ("virtio_mem", " --arch x86_64"),
    )  # an architecture that names its drivers does not name the copies
    for kernel in ("linux-5.13", "linux-6.12")
] + [("acpi", "--arch s390 --kernel linux-6.12"), ("virtio_mem", "--arch powerpc --kernel linux-6.12")]

COMPARE: Final = [
    ("acpi", RUN[0][1], "drivers.DRIVER.mhp_flags=none,device,memblock"),
    ("acpi", RUN[1][1], "machine.kernel=linux-6.1,linux-6.12"),
    ("hv_balloon", RUN[8][1], "steps.0.add.size=128M,1G"),
    ("pseries", RUN[13][1], "machine.kernel=v2-2019,linux-6.6"),
    ("virtio_mem", RUN[18][1], "machine.kernel=linux-5.13,linux-6.12"),
]

ALIGN: Final = [
    ("acpi", "--range 0x100200000+1G"),
    ("acpi", "--range 0xc8000000+1G --arch arm64 --kernel v2-2019"),
    ("hv_balloon", "--range 0x108000000+300M"),
    ("pseries", "--range 0x100000000+768M --arch powerpc"),
    ("virtio_mem", "--range 0x140000000+1000M"),
]

CHECK: Final = [
    ("acpi", "x86_64", "[256M]"),
    ("hv_balloon", "x86_64", "[100M]"),
    ("pseries", "powerpc", "[256M]"),
    ("virtio_mem", "x86_64", "[256M]"),
]
"""A driver, and what is tried with it after an empty scenario."""


CONFORM: Final = [
    ("x86_64", "x86_64-6.12-mom-1-a"),
    ("x86_64", "x86_64-6.12-failed-add"),
    ("x86_64", "x86_64-6.12-virtio-mem-mom1-offline"),
    ("x86_64", "x86_64-6.12-virtio-mem-auto-movable"),
    ("powerpc", "ppc64el-6.12-mom-1-r"),
    ("powerpc", "ppc64el-6.12-64k-mix"),
]
"""An architecture, whose usual drivers a replay takes, and a recording of it: recordings name no driver."""

SHOWN: Final = [RUN[3], RUN[8], RUN[13], RUN[18]]
"""What is looked at page by page, as a report and as files: one scenario of each driver."""


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the copies beside the project for the tests of this file."""
    folder = tmp_path_factory.mktemp("site")
    copied(folder, memhotplug_drivers, PACKAGE, "drivers", {name: f".{driver}" for driver, name in COPIES.items()})
    with on_the_path(folder):
        yield


@pytest.fixture
def _architectures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install the copied architectures too; where others are asked about all, they would be one more."""
    folder = tmp_path_factory.mktemp("arches")
    for arch, name in ARCHES.items():
        original = importlib.import_module(manager.choose("arch", arch).target)
        copied(folder, original, f"copied_{name}", "arch", {name: ""})
        edited(folder / f"copied_{name}" / "__init__.py")
    with on_the_path(folder):
        assert set(ARCHES.values()) <= {found.name for found in manager.candidates("arch")}
        yield


@contextlib.contextmanager
def on_the_path(folder: Path) -> Iterator[None]:
    """Let what is in a folder count as installed inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        discovered.cache_clear()
        yield
    discovered.cache_clear()


def copied(folder: Path, package: ModuleType, name: str, kind: str, entries: Mapping[str, str]) -> None:
    """Install a copy of a package under another name; ``entries`` says which module of it each plugin is."""
    shutil.copytree(Path(str(package.__file__)).parent, folder / name)
    for path in (folder / name).rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(package.__name__, name), encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    lines = "".join(f"{entry} = {name}{module}\n" for entry, module in entries.items())
    (info / "entry_points.txt").write_text(f"[memhotplug.{kind}]\n{lines}", encoding="utf-8")


def edited(module: Path) -> None:
    """Let a copied architecture have the copied drivers; what people call it stays the original's."""
    text = re.sub(r"aliases=\(.*?\)", "aliases=()", module.read_text(encoding="utf-8")).replace("is_assumed=True,", "")
    for usual in ("acpi", "pseries"):
        text = text.replace(f'drivers=("{usual}",)', f'drivers=("{COPIES[usual]}", "{COPIES["virtio_mem"]}")')
    assert COPIES["virtio_mem"] in text
    module.write_text(text, encoding="utf-8")


def both(driver: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Return what the original and the copy answer, exit status first, the copy's name turned back into the other."""
    answers = []
    for name in (driver, COPIES[driver]):
        status = main([word.replace("DRIVER", name) for word in words])
        out, err = capsys.readouterr()
        answers.append(f"{status}\n{out}\n{err}".replace(COPIES[driver], driver))
    return answers[0], answers[1]


def test_copies_are_found_like_any_plugin() -> None:
    """Through the entry points of another distribution."""
    found = {found.name: (found.distribution, found.target) for found in manager.candidates("drivers")}
    for driver, copy in COPIES.items():
        assert found[copy] == (PACKAGE, f"{PACKAGE}.{driver}")
        assert found[driver] == ("memhotplug", f"memhotplug_drivers.{driver}")
    assert len(RUN) + len(PLAN) + len(EXPLAIN) + len(COMPARE) >= 50


@pytest.mark.parametrize("number", range(len(RUN)))
def test_run(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every step, block, zone and page of memmap, and every refusal."""
    driver, text = RUN[number]
    path = tmp_path / "s.yaml"
    answers = []
    for name in (driver, COPIES[driver]):
        path.write_text(text.replace("DRIVER", name), encoding="utf-8")
        status = main(["run", "--json", str(path)])
        answers.append(f"{status}\n{capsys.readouterr().out}".replace(COPIES[driver], driver))
    assert answers[0] == answers[1]
    assert answers[0].startswith("0\n"), answers[0][-600:]


@pytest.mark.parametrize(("driver", "question"), PLAN)
def test_plan(driver: str, question: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Verdict, reason, costs, the largest add, policies and assumptions."""
    original, copy = both(driver, ["plan", *question.split(), "--driver", "DRIVER", "--json"], capsys)
    assert original == copy
    assert '"verdict"' in original


@pytest.mark.parametrize(("driver", "question"), EXPLAIN)
def test_explain(driver: str, question: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where it exists, what it passes, and why not."""
    original, copy = both(driver, ["explain", *question.split(), "--driver", "DRIVER", "--json"], capsys)
    assert original == copy
    assert original.startswith("0\n")


@pytest.mark.parametrize(("driver", "text", "vary"), COMPARE)
def test_compare(driver: str, text: str, vary: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Side by side."""
    path = tmp_path / "s.yaml"
    answers = []
    for name in (driver, COPIES[driver]):
        path.write_text(text.replace("DRIVER", name), encoding="utf-8")
        status = main(["compare", "--json", str(path), "--vary", vary.replace("DRIVER", name)])
        answers.append(f"{status}\n{capsys.readouterr().out}".replace(COPIES[driver], driver))
    assert answers[0] == answers[1]
    assert answers[0][0] in "01"


@pytest.mark.parametrize(("driver", "question"), ALIGN)
def test_align(driver: str, question: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is stranded, and where the next legal address is."""
    original, copy = both(driver, ["align", *question.split(), "--driver", "DRIVER", "--json"], capsys)
    assert original == copy
    assert original[0] in "034"


@pytest.mark.parametrize(("driver", "arch", "sizes"), CHECK)
def test_check(driver: str, arch: str, sizes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same machines are reached by the same operations, and each is as many laws long."""
    path = tmp_path / "s.yaml"
    answers = []
    for name in (driver, COPIES[driver]):
        explore = f"explore: {{drivers: [{name}], sizes: {sizes}, blocks: 4}}"
        path.write_text(
            scenario(arch, "allocate: {name: w, size: 4M, zone: kernel}", drivers=explore), encoding="utf-8"
        )
        status = main(["check", "--json", "--depth", "3", "--operations", "300", str(path)])
        answers.append(f"{status}\n{capsys.readouterr().out}".replace(COPIES[driver], driver))
    assert answers[0] == answers[1]
    assert answers[0].startswith("0\n"), answers[0][-600:]


@pytest.mark.parametrize(("driver", "text", "vary"), COMPARE[2:])
def test_sweep(driver: str, text: str, vary: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every column of every case."""
    answers = []
    for name in (driver, COPIES[driver]):
        path, results = tmp_path / "s.yaml", tmp_path / f"{name}.sqlite"
        path.write_text(text.replace("DRIVER", name), encoding="utf-8")
        assert main(["sweep", str(path), "--vary", vary, "--jobs", "1", "-o", str(results)]) == 0
        assert main(["sweep", "--export", str(tmp_path / "t.csv"), str(results)]) == 0
        capsys.readouterr()
        answers.append((tmp_path / "t.csv").read_text(encoding="utf-8").replace(COPIES[driver], driver))
    assert answers[0] == answers[1]
    assert answers[0].count("\n") == 3


@pytest.mark.usefixtures("_architectures")
@pytest.mark.parametrize(("arch", "recording"), CONFORM)
def test_conform(arch: str, recording: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A machine of a copied architecture that has the copied drivers is replayed as the original is."""
    told = json.loads(lzma.decompress((RECORDINGS / f"{recording}.json.xz").read_bytes()))
    path = tmp_path / "r.json"
    answers = []
    for name in (arch, ARCHES[arch]):
        told["meta"]["arch"] = name
        path.write_text(json.dumps(told), encoding="utf-8")
        status = main(["conform", str(path), "--json"])
        answers.append(f"{status}\n{capsys.readouterr().out}".replace(ARCHES[arch], arch))
    assert answers[0] == answers[1]
    assert answers[0].startswith("0\n"), answers[0][-600:]


@pytest.mark.parametrize(("driver", "text"), SHOWN)
def test_page_report_and_export(driver: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every struct page, the whole report, and every file that the machine shows."""
    path = tmp_path / "s.yaml"
    answers = []
    for name in (driver, COPIES[driver]):
        path.write_text(text.replace("DRIVER", name), encoding="utf-8")
        report, files = tmp_path / "report.html", tmp_path / f"{name}-files"
        assert main(["page", str(path), "m", "--step", "0", "--json"]) == 0
        assert main(["report", str(path), "-o", str(report)]) == 0
        assert main(["export", str(path), "-o", str(files)]) == 0
        shown = {str(one.relative_to(files)): one.read_text() for one in sorted(files.rglob("*")) if one.is_file()}
        told = f"{capsys.readouterr().out}{report.read_text(encoding='utf-8')}{shown}"
        answers.append(told.replace(COPIES[driver], driver))
    assert answers[0] == answers[1]
    assert len(answers[0]) > 10_000
