"""What the tests of recorded machines share: the shipped recordings, and one of them in other containers."""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from memhotplug.formats.snapshot import SnapshotFiles, SnapshotMeta, Source

RECORDINGS = Path(__file__).parents[3] / "data" / "recordings"
MEMORY = "sys/devices/system/memory"
NODE = "sys/devices/system/node"


@pytest.fixture(scope="session")
def recordings() -> list[Path]:
    """Return every shipped recording."""
    return sorted(RECORDINGS.glob("*.json.xz"))


@pytest.fixture
def document() -> dict[str, Any]:
    """Return a fresh copy of one small recording, for a test to break."""
    value: dict[str, Any] = json.loads(lzma.decompress((RECORDINGS / "x86_64-6.12-mom-1-b.json.xz").read_bytes()))
    return value


@pytest.fixture
def texts(document: dict[str, Any]) -> dict[str, str]:
    """Return the machine files after one block was onlined in Normal, as a real directory has them."""
    files: dict[str, str] = dict(document["steps"][2]["files"])
    files["proc/cmdline"] = document["meta"]["cmdline"] + "\n"
    files["proc/sys/kernel/osrelease"] = document["meta"]["kernel_release"] + "\n"
    for name, value in document["meta"]["memory_hotplug_parameters"].items():
        files[f"sys/module/memory_hotplug/parameters/{name}"] = value + "\n"
    return files


@pytest.fixture
def save(tmp_path: Path) -> Callable[[object], str]:
    """Return a function that writes a document as JSON and gives the path."""

    def write(value: object) -> str:
        path = tmp_path / "recording.json"
        path.write_text(json.dumps(value))
        return str(path)

    return write


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    """Return a function that lays machine files out as a directory, with node links as sysfs has them."""

    def write(files: Mapping[str, str]) -> Path:
        root = tmp_path / "snap"
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.startswith(f"{MEMORY}/memory") and name.endswith("/node"):
                path.with_name(f"node{text.strip()}").symlink_to(f"../../node/node{text.strip()}")
            else:
                path.write_text(text)
        return root

    return write


@pytest.fixture
def pack(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes machine files into a tar archive below ``prefix``."""

    def write(files: Mapping[str, str], name: str = "snap.tar.gz", prefix: str = "") -> Path:
        path = tmp_path / name
        compression = name.rsplit(".", 1)[1]
        mode: Any = "w" if compression == "tar" else f"w:{compression}"
        with tarfile.open(path, mode) as tar:
            for member, text in files.items():
                info = tarfile.TarInfo(prefix + member)
                info.size = len(text.encode())
                tar.addfile(info, io.BytesIO(text.encode()))
        return path

    return write


@pytest.fixture
def snapshot() -> Callable[..., SnapshotFiles]:
    """Return a function that makes opened snapshot files without a file system."""

    def make(files: Mapping[str, str], **meta: Any) -> SnapshotFiles:
        return SnapshotFiles(
            source=Source(file="snap"), kind="directory", step=None, meta=SnapshotMeta(**meta), files=dict(files)
        )

    return make
