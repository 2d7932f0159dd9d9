"""What a notebook shows of a machine."""

from __future__ import annotations

from xml.etree import ElementTree

from memhotplug import Machine

HOSTING = {"arch": "x86_64", "kernel": "linux-6.12", "memory": "1G", "cmdline": "memory_hotplug.memmap_on_memory=1"}


def parsed(machine: Machine) -> ElementTree.Element:
    """Return the HTML, which is well-formed."""
    return ElementTree.fromstring(machine._repr_html_().replace("&ensp;", " "))


def test_a_machine_is_its_map() -> None:
    """The repr above it, a bar for each part, which says what it is."""
    machine = Machine.boot(**HOSTING)
    machine.add_memory(driver="acpi", name="d", size="512M")
    machine.online("block 32-33", zone="movable")
    found = parsed(machine)
    assert found[0].text == repr(machine)[1:-1]
    titles = [title.text for title in found.iter("title")]
    assert titles[-2:] == [
        "0x100000000-0x10fffffff, 256M, Movable, blocks 32-33, d, memmap 4M in it",
        "0x110000000-0x11fffffff, 256M, offline, blocks 34-35, d, memmap 4M in it",
    ]
    assert "Movable" in "".join(found[-1].itertext())


def test_names_cannot_break_out() -> None:
    """Scenarios allow no such name, but drivers and recordings bring names of their own."""
    machine = Machine.boot(**HOSTING)
    machine.add_memory(driver="acpi", name="d", size="512M")
    machine.kernel.state.put_device(0, name='"><script>alert(1)</script>')
    assert "<script>" not in machine._repr_html_()
    parsed(machine)


def test_each_node_has_a_bar() -> None:
    """And 64 TiB are a few kilobytes."""
    machine = Machine.boot(**{**HOSTING, "memory": [{"node": 0, "size": "1G"}, {"node": 1, "size": "1G"}]})
    machine.add_memory(driver="acpi", size="16T")
    assert [svg.get("aria-label") for svg in parsed(machine).iter("svg")] == ["memory of node 0", "memory of node 1"]
    assert len(machine._repr_html_()) < 10_000
