"""One word, one plugin: aliases, releases, what is assumed, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.kernels import MAINLINE
from tests.registered import ARCHES, DRIVERS

from memhotplug import InputError, Machine, PluginError, manager, naming
from memhotplug.cli import main
from memhotplug.contracts import ArchTraits, DriverTraits


@pytest.mark.parametrize(
    ("kind", "word", "name"),
    [
        ("arch", "x86_64", "x86_64"),
        ("arch", "amd64", "x86_64"),
        ("arch", "x86-64", "x86_64"),
        ("arch", "AMD64", "x86_64"),
        ("arch", "aarch64", "arm64"),
        ("arch", "ppc64le", "powerpc"),
        ("arch", "ppc64el", "powerpc"),
        ("arch", "s390x", "s390"),
        ("arch", "vax", None),
        ("drivers", "kmem", "dax"),
        ("drivers", "cxl", "dax"),
        ("drivers", "virtio-mem", "virtio_mem"),
        ("drivers", "acpi_memhotplug", "acpi"),
        ("drivers", "hyper-v", "hv_balloon"),
        ("drivers", "6.12", None),
        ("profiles", "v2-2019", "v2-2019"),
        ("profiles", "linux-6.12", "linux-6.12"),
        ("profiles", "6.12", "linux-6.12"),
        ("profiles", "v6.12", "linux-6.12"),
        ("profiles", "6.12.3", "linux-6.12"),
        ("profiles", "6.12.107+deb13-amd64", "linux-6.12"),
        ("profiles", "linux-6.13", "linux-6.12"),
        ("profiles", "6.13-rc1", "linux-6.12"),
        ("profiles", "99.1", MAINLINE[-1]),
        ("profiles", "4.18", None),
        ("profiles", "linux", None),
        ("profiles", "6", None),
    ],
)
def test_a_word_means_one_plugin(kind: str, word: str, name: str | None) -> None:
    """The plugin's own name, an alias that it declares, or a release that a mainline profile holds for."""
    assert naming.canonical(kind, word) == name


@pytest.mark.parametrize(
    ("kind", "word", "text"),
    [
        (
            "arch",
            "amd46",
            f"--arch: got amd46, expected one of {ARCHES}; did you mean 'amd64'?",
        ),
        (
            "drivers",
            "kmen",
            f"--driver: got kmen, expected one of {DRIVERS}; did you mean 'kmem'?",
        ),
    ],
)
def test_a_word_that_means_nothing_is_refused_with_the_nearest(kind: str, word: str, text: str) -> None:
    """Aliases count as near, too."""
    with pytest.raises(InputError) as caught:
        naming.resolve(kind, word)
    assert str(caught.value) == text


def test_a_release_before_all_profiles_is_told_so() -> None:
    """It is no misspelling."""
    with pytest.raises(InputError) as caught:
        naming.resolve("profiles", "4.18.0")
    covered = ", ".join(name for name in naming.kernels() if naming.is_mainline(name))
    assert str(caught.value) == f"--kernel: got 4.18.0, expected a kernel release that a profile covers ({covered})"


def test_an_alias_of_two_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is guessed; a plugin's own name comes before anybody's alias; a broken plugin has no alias."""

    def traits(name: str) -> DriverTraits:
        if name == "xen":
            raise PluginError(name, "broken")
        return DriverTraits(aliases=("ram", "dax") if name in ("acpi", "probe") else ())

    monkeypatch.setattr(naming, "driver_traits", traits)
    assert naming.canonical("drivers", "ram") is None
    assert naming.canonical("drivers", "dax") == "dax"


def test_what_is_assumed_is_the_plugins_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """The architecture that says so, else the first; the profile for the release that most machines run."""
    assert (naming.assumed_arch(), naming.assumed_kernel(), naming.first_mainline()) == (
        "x86_64",
        "linux-6.12",
        "linux-5.13",
    )
    monkeypatch.setattr(naming, "arch_traits", lambda _name: ArchTraits())
    assert naming.assumed_arch() == "arm64"
    monkeypatch.setattr(naming, "names", lambda _kind: [])
    with pytest.raises(InputError, match="expected an installed architecture"):
        naming.assumed_arch()
    with pytest.raises(InputError, match="expected an installed profile of mainline Linux"):
        naming.first_mainline()


def test_python_and_scenarios_understand_the_same_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What comes back has the plugins' own names."""
    machine = Machine.boot(arch="amd64", kernel="6.12.3", memory="1G")
    memory = machine.add_memory(driver="kmem", size="128M")
    assert (machine.kernel.arch, machine.kernel.profile.name, memory.name) == ("x86_64", "linux-6.12", "dax0")
    path = tmp_path / "words.yaml"
    path.write_text(
        "schema: 1\n"
        "machine: {arch: amd64, kernel: linux-6.13, memory: 1G}\n"
        "drivers: {kmem: {mhp_flags: none}}\n"
        "steps: [{add: {driver: device_dax, name: d, size: 128M, region: cxl}}]\n",
        encoding="utf-8",
    )
    assert main(["run", "--json", str(path)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["machine"]["arch"], document["machine"]["kernel"]) == ("x86_64", "linux-6.12")
    assert document["memmap"]["self_hosted_pages"] == 0


def test_a_driver_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two policies under two names would be two policies for one driver."""
    path = tmp_path / "twice.yaml"
    path.write_text(
        "schema: 1\n"
        "machine: {arch: x86_64, kernel: 6.12, memory: 1G}\n"
        "drivers: {dax: {mhp_flags: none}, kmem: {mhp_flags: on_memory}}\n",
        encoding="utf-8",
    )
    assert main(["run", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"mhp: {path}:3:35: drivers.kmem: got kmem, expected each driver once; this is dax again\n"
    )


@pytest.mark.parametrize(
    "question", [["explain"], ["plan", "--boot", "2G", "--add", "256M"], ["align", "--range", "0x100000000+1G"]]
)
def test_commands_understand_the_same_words(question: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The same bytes, whichever word was used."""
    answers = []
    for arch, kernel, driver in (("s390", "linux-6.11", "dax"), ("s390x", "6.11.4", "kmem")):
        named = ["--arch", arch, "--kernel", kernel, "--driver", driver, "--json"]
        answers.append((main([*question, *named]), capsys.readouterr().out))
    assert answers[0] == answers[1]
    assert answers[0][1]


def test_recordings_are_of_the_architectures_that_are_installed() -> None:
    """Names, page sizes and zones are the plugins' data; of two that could be meant, neither is."""
    known = naming.architectures()
    assert [known.named(word) for word in ("ppc64el", "s390x", "vax")] == ["powerpc", "s390", None]
    assert known.page_sizes("s390") == (4096,)
    assert known.page_sizes(None) == ()
    assert known.by_zone_end("DMA", 16 << 20) == "x86_64"
    assert known.by_zone_end("DMA", 2 << 30) is None
    assert known.by_zones({"DMA", "DMA32", "Normal"}) == "x86_64"
    assert known.by_zones({"DMA", "Normal"}) is None
    assert set(manager.names("arch")) <= set(known.words)
