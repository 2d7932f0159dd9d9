"""Events of the notifier chain have the kernel's numbers, and flags of a page a bit each."""

from __future__ import annotations

from memhotplug.contracts.events import MemoryEvent, MemoryNotify, PageFlag


def test_events_have_the_kernel_s_numbers() -> None:
    """include/linux/memory.h."""
    assert [(event.name, event.value) for event in MemoryEvent] == [
        ("MEM_ONLINE", 1),
        ("MEM_GOING_OFFLINE", 2),
        ("MEM_OFFLINE", 4),
        ("MEM_GOING_ONLINE", 8),
        ("MEM_CANCEL_ONLINE", 16),
        ("MEM_CANCEL_OFFLINE", 32),
        ("MEM_PREPARE_ONLINE", 64),
        ("MEM_FINISH_OFFLINE", 128),
    ]


def test_a_notification_is_of_no_memmap_unless_it_is_said() -> None:
    """As the kernel's own struct, which is zeroed."""
    assert MemoryNotify(event=MemoryEvent.MEM_ONLINE, start_pfn=0, nr_pages=32768).altmap_pages == 0


def test_no_two_flags_share_a_bit() -> None:
    """Each can be told from all others."""
    bits = [flag.value for flag in PageFlag]
    assert all(bit & (bit - 1) == 0 for bit in bits)
    assert len(set(bits)) == len(bits)
