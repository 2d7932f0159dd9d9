"""What an extension costs: each is made in a copy of the tree with so few files, and what lists plugins still holds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PARTS: Final = ("core", "plugins", "drivers", "docs", "tools", "scenarios", "examples", "tests", "bench")
LISTS: Final = (
    "contract/test_every_plugin.py",
    "docs/test_model_doc.py",
    "docs/test_scenarios.py::test_every_architecture_has_a_scenario",
    "plugins/test_releases.py",
    "tools/test_reference.py",
    "unit/cli/test_compare.py",
    "unit/commands/compare/test_question.py",
    "unit/commands/explain/test_support.py",
    "unit/commands/plan/test_input.py",
    "unit/manager/test_plugins.py",
    "unit/test_catalog.py",
    "unit/test_features.py",
    "unit/test_naming.py",
)
"""The tests that know which plugins, releases and files there are."""

Edits = Mapping[str, tuple[str, str]]
"""By file: the text that something is put behind, empty for a new file, and what is put there."""

RELEASE: Final[Edits] = {
    "core/memhotplug/features.py": (
        "    # drivers\n",
        '    "later_rule": Feature((8, 1), "a rule that a later release has"),\n',
    ),
    "drivers/memhotplug_drivers/probe.py": (
        "    block_size = kernel.geometry.memory_block_size\n",
        '    if kernel.has("later_rule"):\n        raise MemoryHotplugError(errno.EPERM, "no more")\n',
    ),
    "pyproject.toml": (
        '[project.entry-points."memhotplug.profiles"]\n',
        '"linux-8.1" = "memhotplug_profiles.releases:linux_8_1"\n',
    ),
    "docs/model.md": ("| profile | what it is |\n|---|---|\n", "| `linux-8.1` | the file probe adds nothing more |\n"),
    "tests/drivers/test_probe.py": (
        "Boot: TypeAlias = Callable[..., Machine]\n",
        "\n\ndef test_the_last_kernel_adds_no_more(boot: Boot, refused: Refused) -> None:\n"
        '    """It refuses."""\n'
        '    problem = refused(boot(kernel="linux-8.1").add_memory, driver="probe", size="128M")\n'
        '    assert str(problem) == "EPERM: no more"\n',
    ),
}
DRIVER: Final[Edits] = {
    "drivers/memhotplug_drivers/sled.py": (
        "",
        '"""Memory of a made-up device."""\n\n'
        "from collections.abc import Mapping, Sequence\n\n"
        "from memhotplug.plugin import AddRequest, DriverTraits, Kernel, KeySpec, PhysRange, hookimpl\n\n\n"
        "@hookimpl\ndef driver_traits() -> DriverTraits:\n"
        '    return DriverTraits(arches={"x86_64": (0, 0)}, absence="it is a PC\'s")\n\n\n'
        "@hookimpl\ndef driver_keys() -> Mapping[str, KeySpec]:\n"
        '    return {"lanes": KeySpec("int", "how many lanes it has", minimum=1)}\n\n\n'
        "@hookimpl\ndef driver_ranges(kernel: Kernel, request: AddRequest) -> Sequence[PhysRange]:\n"
        "    return [PhysRange(start=kernel.state.first_free_address(), size=request.size, nid=request.nid)]\n\n\n"
        "@hookimpl\ndef mhp_flags(kernel: Kernel) -> int:\n    return 0\n",
    ),
    "pyproject.toml": (
        '[project.entry-points."memhotplug.drivers"]\n',
        'sled = "memhotplug_drivers.sled"\n',
    ),
    "tests/drivers/test_sled.py": (
        "",
        '"""The sled."""\n\nfrom memhotplug.testing import DriverContract\n\n\n'
        'class TestSled(DriverContract):\n    """A made-up device."""\n\n'
        '    name = "sled"\n    kernel = "linux-6.12"\n'
        '    machines = ({"arch": "x86_64", "memory": "1G"},)\n    requests = ({"size": "256M"},)\n',
    ),
}
ATTRIBUTE: Final[Edits] = {
    "core/memhotplug/engine/base_memory/memory.py": (
        "_ROOT: Final = (\n",
        '    SysfsFile(path=f"{_MEMORY}/nr_blocks", show=lambda kernel, _: f"{len(kernel.state.blocks)}\\n"),\n',
    ),
    "tests/unit/engine/base_memory/test_nr_blocks.py": (
        "",
        '"""A file of sysfs."""\n\nfrom memhotplug import Machine\n\n\n'
        'def test_it_counts() -> None:\n    """All blocks."""\n'
        '    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="1G")\n'
        '    assert machine.read("memory/nr_blocks") == "8\\n"\n',
    ),
}


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """Return a copy of the tree, without the recordings."""
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "recordings"))
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tmp_path)
    yield tmp_path
    shutil.rmtree(tmp_path)


def environment(tree: Path) -> dict[str, str]:
    """Return variables with which a copy of the tree is what is installed, by the entry points of its own pyproject."""
    project = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))
    info = tree / "site" / "memhotplug-0.1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: memhotplug\nVersion: 0.1.0\n", encoding="utf-8")
    groups = project["project"]["entry-points"].items()
    lines = [f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in one.items()) for group, one in groups]
    (info / "entry_points.txt").write_text("".join(lines), encoding="utf-8")
    folders = [tree / "site", *(tree / folder for folder in project["tool"]["hatch"]["build"]["dev-mode-dirs"])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders)), "PYTHONDONTWRITEBYTECODE": "1"}


def made(tree: Path, edits: Edits) -> None:
    """Make the edits of an extension."""
    for name, (behind, text) in edits.items():
        path = tree / name
        old = path.read_text(encoding="utf-8") if behind else ""
        assert behind in old, name
        path.write_text(old.replace(behind, behind + text, 1) if behind else text, encoding="utf-8")


def pages(tree: Path) -> dict[str, bytes]:
    """Write the reference pages of a tree and return them."""
    words = [sys.executable, "-m", "tools.reference"]
    subprocess.run(words, cwd=tree, env=environment(tree), check=True, timeout=300)
    return {path.name: path.read_bytes() for path in (tree / "docs" / "reference").iterdir()}


@pytest.mark.parametrize(
    ("edits", "limit"),
    [(RELEASE, 5), (DRIVER, 4), (ATTRIBUTE, 4)],
    ids=["a release rule", "a driver", "a file of sysfs"],
)
def test_an_extension_needs_no_more_files(tree: Path, edits: Edits, limit: int) -> None:
    """Whatever lists plugins, releases and files, in code, tests and pages, finds the new one by itself."""
    before = pages(tree)  # of this click: versions of it lay help out differently
    made(tree, edits)
    variables = environment(tree)
    after = pages(tree)
    written = {f"docs/reference/{name}" for name, text in after.items() if text != before[name]}
    own = [name for name in edits if name.startswith("tests/")]
    words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *own]
    done = subprocess.run(
        [*words, *(f"tests/{name}" for name in LISTS)],
        cwd=tree,
        env=variables,
        capture_output=True,
        text=True,
        timeout=900,
    )

    assert done.returncode == 0, done.stdout[-3000:]
    assert len({*edits, *written}) <= limit
