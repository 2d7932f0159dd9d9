"""The file system's answers to each request of the kernel, without a mount: texts, attributes and errnos."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from memhotplug import Machine
from memhotplug.live.machine import LiveMachine

if TYPE_CHECKING:
    from memhotplug.live.filesystem import FileSystem

Alive = Callable[..., LiveMachine]
_MEMORY = "/sys/devices/system/memory"
_STATE = f"{_MEMORY}/memory32/state"


@pytest.fixture
def mount(alive: Alive, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FileSystem]:
    """Return a function that makes the file system of a machine with a DIMM, for a user with some uid."""
    try:
        from memhotplug.live import filesystem
    except (ImportError, OSError) as problem:
        pytest.skip(f"no libfuse: {problem}")

    def make(uid: int = 0, live: LiveMachine | None = None) -> FileSystem:
        monkeypatch.setattr("mfusepy.fuse_get_context", lambda: (uid, uid, 1))
        return filesystem.FileSystem(live or alive())

    return make


@pytest.fixture
def files(mount: Callable[..., FileSystem]) -> FileSystem:
    """Return the file system as root sees it."""
    return mount()


def number(action: Callable[..., Any], *arguments: Any) -> str:
    """Return the name of the errno with which a request fails."""
    with pytest.raises(OSError) as caught:  # noqa: PT011  # its number is what is compared
        action(*arguments)
    return errno.errorcode[caught.value.errno or 0]


def opened(files: FileSystem, path: str, flags: int = os.O_RDONLY) -> int:
    """Return the handle of an open file."""
    return int(files.open(path, flags))


def test_a_file_is_shown_anew_from_its_beginning_only(files: FileSystem) -> None:
    """Whoever reads on gets the rest of what was shown, whatever has happened since."""
    handle, other = opened(files, _STATE), opened(files, _STATE, os.O_WRONLY)
    assert files.read(_STATE, 3, 0, handle) == b"off"
    assert files.write(_STATE, b"online_movable\n", 0, other) == 15
    assert files.read(_STATE, 100, 3, handle) == b"line\n"
    assert files.read(_STATE, 100, 8, handle) == b""
    assert files.read(_STATE, 100, 0, handle) == b"online\n"
    assert files.read(_STATE, 2, 5, handle) == b"e\n"


def test_each_open_file_has_a_text_of_its_own(files: FileSystem) -> None:
    """Handles are never the same, and one that was released is forgotten."""
    first, second = opened(files, _STATE), opened(files, _STATE)
    assert first != second
    files.read(_STATE, 100, 0, first)
    files.write(_STATE, b"online", 0, opened(files, _STATE, os.O_RDWR))
    assert files.read(_STATE, 100, 0, second) == b"online\n"
    assert files.read(_STATE, 100, 1, first) == b"ffline\n"
    assert files.release(_STATE, first) == files.release(_STATE, 999) == 0
    assert files.read(_STATE, 100, 1, first) == b"nline\n"


@pytest.mark.parametrize(
    ("path", "flags", "name"),
    [
        (_STATE, os.O_RDONLY, None), (_STATE, os.O_WRONLY, None), (_STATE, os.O_RDWR, None),
        (f"{_MEMORY}/block_size_bytes", os.O_RDONLY, None), (f"{_MEMORY}/block_size_bytes", os.O_WRONLY, "EACCES"),
        (f"{_MEMORY}/block_size_bytes", os.O_RDWR, "EACCES"),
        (f"{_MEMORY}/probe", os.O_WRONLY, None), (f"{_MEMORY}/probe", os.O_RDONLY, "EACCES"),
        (f"{_MEMORY}/probe", os.O_RDWR, "EACCES"),
        (f"{_MEMORY}/memory99/state", os.O_RDONLY, "ENOENT"), ("/", os.O_RDONLY, None), (_MEMORY, os.O_RDONLY, None),
    ],
)  # fmt: skip
def test_a_file_is_opened_for_what_it_can(files: FileSystem, path: str, flags: int, name: str | None) -> None:
    """EACCES even for root: there is no function that could read or write it."""
    if name is None:
        assert files.open(path, flags) > 0
    else:
        assert number(files.open, path, flags) == name


@pytest.mark.parametrize(
    ("path", "data", "name"),
    [
        (_STATE, b"nonsense", "EINVAL"),
        (_STATE, b"offline", "EINVAL"),
        (f"{_MEMORY}/memory31/state", b"offline", "EBUSY"),
        (f"{_MEMORY}/memory99/state", b"online", "ENODEV"),
        (f"{_MEMORY}/soft_offline_page", b"lots", "EINVAL"),
        (f"{_MEMORY}/hard_offline_page", b"0x10000000000", "ENXIO"),
        (f"{_MEMORY}/auto_online_blocks", b"maybe", "EINVAL"),
        (f"{_MEMORY}/probe", b"0x8000001", "EINVAL"),
        (f"{_MEMORY}/probe", b"0x100000000", "EEXIST"),
        (f"{_MEMORY}/block_size_bytes", b"1", "EACCES"),
        (_MEMORY, b"1", "EISDIR"),
    ],
)
def test_a_store_that_fails_is_its_errno(files: FileSystem, path: str, data: bytes, name: str) -> None:
    """As write(2) has it."""
    assert number(files.write, path, data, 0, 1) == name


@pytest.mark.parametrize(("uid", "name"), [(0, "EIO"), (1000, "EPERM")])
def test_who_is_root_may_give_up_pages(mount: Callable[..., FileSystem], uid: int, name: str) -> None:
    """Whoever writes is asked, not whoever opened; page 0 is the kernel's."""
    assert number(mount(uid).write, f"{_MEMORY}/soft_offline_page", b"0x1000", 0, 1) == name


def test_what_cannot_be_read_is_its_errno(files: FileSystem) -> None:
    """A file that went away meanwhile is ENODEV, a directory EISDIR."""
    handle = opened(files, _STATE)
    files._live.perform("eject", {"range": "dimm0"})
    assert number(files.read, _STATE, 100, 0, handle) == "ENODEV"
    assert number(files.read, _MEMORY, 100, 0, opened(files, _MEMORY)) == "EISDIR"


def test_a_directory_lists_names_and_types(files: FileSystem) -> None:
    """Itself and its parent first; links are links."""
    found = {name: stat.S_IFMT(mode) for name, mode, _ in files.readdir(f"{_MEMORY}/memory32", 0)}
    assert list(found)[:2] == [".", ".."]
    assert (found["."], found[".."], found["state"], found["node0"], found["subsystem"]) == (
        stat.S_IFDIR,
        stat.S_IFDIR,
        stat.S_IFREG,
        stat.S_IFLNK,
        stat.S_IFLNK,
    )
    assert {place for _, _, place in files.readdir(_MEMORY, 0)} == {0}
    assert number(lambda: list(files.readdir(_STATE, 0))) == "ENOTDIR"
    assert number(lambda: list(files.readdir("/nowhere", 0))) == "ENOENT"


def test_everything_that_is_listed_can_be_looked_at(files: FileSystem) -> None:
    """With the type that the list said, down to the last file."""
    seen = 0

    def walk(path: str) -> None:
        nonlocal seen
        for name, mode, _ in files.readdir(path or "/", 0):
            if name in (".", ".."):
                continue
            seen += 1
            below = f"{path}/{name}"
            told = files.getattr(below)["st_mode"]
            assert stat.S_IFMT(told) == stat.S_IFMT(mode), below
            if stat.S_ISLNK(told):
                assert files.readlink(below)
            if stat.S_ISDIR(told) and not name.startswith("memory3"):
                walk(below)

    walk("")
    assert seen > 300


@pytest.mark.parametrize(
    ("path", "mode", "links", "size"),
    [
        ("/", "drwxr-xr-x", 2, None),
        (_MEMORY, "drwxr-xr-x", 2, None),
        (_STATE, "-rw-r--r--", 1, 4096),
        (f"{_MEMORY}/block_size_bytes", "-r--r--r--", 1, 4096),
        (f"{_MEMORY}/probe", "--w-------", 1, 4096),
        (f"{_MEMORY}/memory32/node0", "lrwxrwxrwx", 1, None),
        ("/proc/meminfo", "-r--r--r--", 1, 0),
    ],
)
def test_attributes_are_those_of_sysfs(files: FileSystem, path: str, mode: str, links: int, size: int | None) -> None:
    """A page each in sysfs, and nothing in procfs; times are nobody's."""
    found = files.getattr(path)
    assert (stat.filemode(found["st_mode"]), found["st_nlink"], found.get("st_size")) == (mode, links, size)
    assert not {"st_mtime", "st_atime", "st_uid"} & found.keys()


def test_attributes_can_be_set_and_stay(files: FileSystem) -> None:
    """Of this file only; -1 leaves an owner, and the type is not to be changed."""
    assert files.chmod(_STATE, 0o600) == 0
    assert files.chown(_STATE, 1000, -1) == 0
    assert files.chown(_STATE, 0xFFFFFFFF, 100) == 0
    assert files.utimens(_STATE, (5, 7)) == 0
    found = files.getattr(_STATE)
    assert (stat.filemode(found["st_mode"]), found["st_uid"], found["st_gid"]) == ("-rw-------", 1000, 100)
    assert (found["st_atime"], found["st_mtime"], found["st_size"]) == (5, 7, 4096)
    files.utimens(_STATE)
    assert (files.getattr(_STATE)["st_atime"], files.getattr(_STATE)["st_mtime"]) == (0, 0)
    other = files.getattr(f"{_MEMORY}/memory33/state")
    assert stat.filemode(other["st_mode"]) == "-rw-r--r--"
    for change in (lambda: files.chmod("/x", 0), lambda: files.chown("/x", 1, 1), lambda: files.utimens("/x")):
        assert number(change) == "ENOENT"


def test_what_was_set_goes_with_its_file(files: FileSystem) -> None:
    """A block that comes back is another one."""
    files.chmod(_STATE, 0o600)
    files.chmod(f"{_MEMORY}/auto_online_blocks", 0o600)
    files._live.doubt(files._doubt)
    files._live.perform("eject", {"range": "dimm0"})
    assert number(files.getattr, _STATE) == "ENOENT"
    files._live.perform("add", {"driver": "acpi", "name": "dimm1", "size": "1G"})
    assert stat.filemode(files.getattr(_STATE)["st_mode"]) == "-rw-r--r--"
    assert stat.filemode(files.getattr(f"{_MEMORY}/auto_online_blocks")["st_mode"]) == "-rw-------"


def test_links_lead_where_sysfs_has_them(files: FileSystem) -> None:
    """Whatever is no link has no target."""
    assert files.readlink(f"{_MEMORY}/memory32/node0") == "../../node/node0"
    assert files.readlink("/sys/devices/system/node/node0/memory32") == "../../memory/memory32"
    assert [number(files.readlink, path) for path in (_STATE, _MEMORY, "/x")] == ["EINVAL", "EINVAL", "ENOENT"]


@pytest.mark.parametrize(
    ("request_name", "arguments", "name"),
    [
        ("mkdir", (f"{_MEMORY}/x", 0o755), "EPERM"), ("rmdir", (_MEMORY,), "EPERM"), ("unlink", (_STATE,), "EPERM"),
        ("rename", (_STATE, "/x"), "EPERM"), ("link", ("/x", _STATE), "EPERM"), ("symlink", ("/x", _STATE), "EPERM"),
        ("mknod", ("/x", 0o600, 0), "EPERM"), ("setxattr", (_STATE, "user.x", b"1", 0), "EPERM"),
        ("removexattr", (_STATE, "user.x"), "EPERM"), ("fallocate", (_STATE, 0, 0, 1, 1), "EPERM"),
        ("create", ("/x", 0o600), "EACCES"), ("getxattr", (_STATE, "user.x"), "ENOTSUP"),
        ("listxattr", (_STATE,), "ENOTSUP"), ("getattr", ("/x",), "ENOENT"), ("truncate", ("/x", 0), "ENOENT"),
    ],
)  # fmt: skip
def test_nothing_can_be_made_removed_or_renamed(
    files: FileSystem, request_name: str, arguments: tuple[object, ...], name: str
) -> None:
    """Each with the errno that kernfs gives."""
    if request_name == "listxattr":
        arguments = (*arguments, "")
    assert number(getattr(files, request_name), *arguments) == name


def test_truncation_does_nothing(files: FileSystem) -> None:
    """As open(2) with O_TRUNC has it done before each write of a shell."""
    assert files.truncate(_STATE, 0) == files.truncate(_STATE, 100, 1) == 0
    assert files.read(_STATE, 100, 0, opened(files, _STATE)) == b"offline\n"


def test_there_is_no_room_for_anything(files: FileSystem) -> None:
    """statfs(2) says no free blocks, and how long names may be."""
    assert files.statfs("/") == {"f_bsize": 4096, "f_frsize": 4096, "f_namemax": 255}


def test_a_device_node_has_its_numbers(mount: Callable[..., FileSystem]) -> None:
    """A character device below /dev, which nobody can read; the link to its directory is by number."""
    machine = Machine.boot(arch="x86_64", kernel="linux-6.12", memory="4G")
    for region in (0, 1):
        machine.add_memory(driver="dax", name=f"dax{region}.0", size="128M", mode="devdax")
    files = mount(live=LiveMachine(machine))
    for number in (0, 1):
        told = files.getattr(f"/dev/dax{number}.0")
        assert (stat.filemode(told["st_mode"]), os.major(told["st_rdev"]), os.minor(told["st_rdev"])) == (
            "crw-------",
            510,
            number,
        )
        assert "st_size" not in told
        assert files.readlink(f"/sys/dev/char/510:{number}") == (f"../../devices/platform/hmem.{number}/dax{number}.0")
    assert {name: stat.S_IFMT(mode) for name, mode, _ in files.readdir("/dev", 0)} == {
        ".": stat.S_IFDIR,
        "..": stat.S_IFDIR,
        "dax0.0": stat.S_IFCHR,
        "dax1.0": stat.S_IFCHR,
    }
    assert number_of_read(files, "/dev/dax0.0") == "ENXIO"


def number_of_read(files: FileSystem, path: str) -> str:
    """Return the errno with which reading fails."""
    return number(files.read, path, 10, 0, 1)


def test_a_link_or_a_folder_is_not_read(files: FileSystem) -> None:
    """The kernel resolves links itself; whoever asks all the same is refused."""
    assert number_of_read(files, f"{_MEMORY}/memory32/node0") == "EINVAL"
    assert number_of_read(files, f"{_MEMORY}/probe") == "EACCES"
    assert number_of_read(files, "/nowhere") == "ENODEV"


def test_handles_count_up_and_begin_without_a_text(files: FileSystem) -> None:
    """Whoever reads from the middle at first is shown the file, too."""
    assert [opened(files, _STATE) for _ in range(3)] == [1, 2, 3]
    assert files.read(_STATE, 100, 3, 2) == b"line\n"


class _Library:
    """Stands for libfuse, which must not be called for a mount that has gone."""

    def __init__(self) -> None:
        self.told: list[bytes] = []

    def fuse_invalidate_path(self, fuse: object, path: bytes) -> int:
        self.told.append(path)
        return 0


def test_nothing_is_said_of_paths_once_the_mount_has_gone(
    mount: Callable[..., FileSystem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """libfuse frees what it knows of paths before it tells that the end has come; whoever asked it then crashed."""
    library = _Library()
    files = mount()
    device, other_end = os.pipe()  # hangs up as a /dev/fuse does whose file system is unmounted
    monkeypatch.setattr("mfusepy._libfuse", library)
    monkeypatch.setattr(files, "_fuse", object())
    monkeypatch.setattr(files, "_device", device)

    files._forget([_STATE[1:]])
    assert library.told == [_STATE.encode()]
    os.close(other_end)
    files._forget([_STATE[1:]])
    assert library.told == [_STATE.encode()]
    files.destroy("/")
    files._forget([_STATE[1:]])
    assert library.told == [_STATE.encode()]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(device)
