"""The JSON object: all keys, their order, and numbers that agree with one another."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.commands.plan.conftest import Ask, Document, Plan

from memhotplug.commands.plan.text import answer_lines

GIB = 1 << 30
MIB = 1 << 20

KEYS = [
    "schema", "verdict", "reason", "risks", "machine", "question", "memmap", "free", "largest_single_add", "safe_steps",
    "sizes", "zones", "movable_to_kernel", "removable_blocks", "gigantic_pages", "uevents", "policies",
    "rules_of_thumb", "flips_under", "flips_to", "fits_from_boot_bytes", "remedies", "min_free_kbytes",
    "auto_movable_ratio", "failed_request",
    "driver_result", "warnings", "assumptions",
]  # fmt: skip
REASON = ["rule", "node", "zone", "short_bytes", "text"]
INNER = {
    "machine": ["source", "arch", "kernel", "page_size", "memory_block_size", "boot_bytes", "managed_bytes"],
    "question": ["sizes", "driver", "policy", "node", "address", "slots", "online"],
    "reason": REASON,
    "memmap": [
        "bytes", "pages", "made_pages", "self_hosted_pages", "allocated_pages", "source", "order", "blocks", "by_order",
        "fallback_pages", "page_table_pages", "page_tables",
        "block_object_pages", "self_hosted_bytes", "allocated_bytes", "by_zone", "by_node",
    ],
    "free": [
        "before_bytes", "lowest_bytes", "after_bytes",
        "kernel_before_bytes", "kernel_lowest_bytes", "kernel_after_bytes",
    ],
    "largest_single_add": ["clean_bytes", "with_fallback_bytes", "capped", "searched_bytes", "limit"],
    "sizes": ["requested_bytes", "added_bytes", "online_bytes", "usable_bytes"],
    "removable_blocks": ["removable", "of"],
    "uevents": ["add", "online", "node", "total", "kept_online_bytes"],
}  # fmt: skip
POLICY = [
    "kind", "name", "current", "verdict", "rule", "memmap", "lowest_free_bytes", "largest_clean_bytes",
    "largest_clean_is_capped", "added_bytes", "online_bytes", "usable_bytes", "zones",
]  # fmt: skip

DOCUMENTS = [
    {"boot": GIB, "size": 2 * GIB},
    {"boot": GIB, "size": 128 * GIB},
    {"boot": GIB, "size": 40 * GIB, "online": "movable"},
    {"boot": GIB, "size": GIB, "kernel": "v2-2019"},
    {"boot": GIB, "size": GIB, "kernel": "linux-6.1"},
    {"boot": 4 * GIB, "size": 4 * GIB, "arch": "s390", "driver": "sclp"},
    {"boot": 4 * GIB, "size": 4 * GIB, "driver": "virtio_mem"},
    {"boot": 4 * GIB, "size": GIB, "driver": "sclp"},
]


@pytest.fixture(params=DOCUMENTS, ids=lambda keywords: "-".join(str(value) for value in keywords.values()))
def document(request: pytest.FixtureRequest, ask: Ask) -> Document:
    """Return one of several answers."""
    keywords = dict(request.param)
    return ask(keywords.pop("boot"), keywords.pop("size"), **keywords)


def test_every_key_is_there_in_its_order(document: Document) -> None:
    """On every verdict, null or empty where it does not apply."""
    assert list(document) == KEYS
    assert {name: list(document[name]) for name in INNER} == INNER
    assert list(document["largest_single_add"]["limit"]) == REASON
    for policy in document["policies"]:
        assert list(policy) == POLICY + (["safe_steps"] if policy["kind"] == "online" else [])
    for rule in document["rules_of_thumb"]:
        assert list(rule) == ["name", "source", "kind", "allows_bytes"]
    assert json.loads(json.dumps(document)) == document


def test_numbers_agree_with_one_another(document: Document) -> None:
    """Usable is part of online, online of added, added of requested; free memory is lowest at its lowest point."""
    sizes, free, memmap = document["sizes"], document["free"], document["memmap"]

    assert sizes["usable_bytes"] <= sizes["online_bytes"] <= sizes["added_bytes"] <= sizes["requested_bytes"]
    assert free["lowest_bytes"] <= min(free["before_bytes"], free["after_bytes"])
    assert free["kernel_lowest_bytes"] <= free["lowest_bytes"]
    assert sum(memmap["page_tables"].values()) == memmap["page_table_pages"]
    assert sum(memmap["by_zone"].values()) == memmap["allocated_bytes"]
    page = document["machine"]["page_size"]
    assert memmap["pages"] * page == memmap["bytes"]
    assert memmap["made_pages"] == memmap["self_hosted_pages"] + memmap["allocated_pages"] <= memmap["pages"]
    assert memmap["allocated_pages"] * page == memmap["allocated_bytes"]
    assert document["verdict"] == {"fits": "fits"}.get(document["reason"]["rule"], document["verdict"])


def test_as_asked_is_marked_and_says_the_same_as_the_answer(document: Document) -> None:
    """Exactly one way to online is the one that was asked about."""
    asked = [one for one in document["policies"] if one["kind"] == "online" and one["current"]]

    assert [one["name"] for one in asked] == [document["question"]["online"]]
    assert asked[0]["verdict"] == document["verdict"]
    assert asked[0]["largest_clean_bytes"] == document["largest_single_add"]["clean_bytes"]
    assert asked[0]["safe_steps"] == document["safe_steps"]
    assert asked[0]["usable_bytes"] == document["sizes"]["usable_bytes"]


def test_policies_of_each_kernel(ask: Ask) -> None:
    """Mainline kernels have modes, the 2019 series flags; auto-movable exists since 5.15."""
    names = {
        kernel: [one["name"] for one in ask(GIB, GIB, kernel=kernel)["policies"]]
        for kernel in ("v2-2019", "linux-5.13", "linux-6.1", "linux-6.12")
    }
    ways = ["movable", "kernel", "auto", "none"]

    assert names["v2-2019"] == ["mhp_flags=none", "mhp_flags=device", "mhp_flags=memblock", *ways]
    assert names["linux-6.1"] == ["memmap_on_memory=N", "memmap_on_memory=Y", *ways, "auto-movable"]
    assert names["linux-6.12"] == [
        "memmap_on_memory=N",
        "memmap_on_memory=Y",
        "memmap_on_memory=force",
        *ways,
        "auto-movable",
    ]
    assert names["linux-5.13"][-4:] == ways


def test_rules_of_thumb_name_their_sources(ask: Ask) -> None:
    """Seven rules, the most careful first."""
    document = ask(GIB, GIB)
    boot, present, free = GIB, document["machine"]["boot_bytes"], document["free"]["kernel_before_bytes"]

    assert [(one["name"], one["source"], one["allows_bytes"]) for one in document["rules_of_thumb"]] == [
        ("maxMemory = 4x", "oVirt", 3 * boot),
        ("auto_movable_ratio 301", "Linux, mm/memory_hotplug.c (v5.15)", present * 301 // 100),
        ("3 to 4x if all movable", "virtio-mem user guide", 4 * boot),
        ("total <= 10x", "Qubes OS", 9 * boot),
        ("32x free", "openEuler KVM guide", 32 * free),
        ("48x boot", "Kata Containers", 48 * boot),
        ("64x free", "arithmetic", 64 * free),
    ]


@pytest.mark.parametrize("gib", [4, 5, 7])
def test_the_kernel_memory_that_the_balance_lacks_is_exact(ask: Ask, gib: int) -> None:
    """With so much more Movable keeps 301 percent, with a page less it does not."""
    document = ask(GIB, gib * GIB, online="movable")
    risk = document["risks"][0]
    present = {zone["zone"]: zone["present_bytes"] // 4096 for zone in document["zones"]}
    kernel = sum(pages for zone, pages in present.items() if zone != "Movable")

    assert risk["rule"] == "zone-ratio"
    enough = kernel + risk["short_bytes"] // 4096
    assert present["Movable"] * 100 <= enough * 301
    assert present["Movable"] * 100 > (enough - 1) * 301


@pytest.mark.parametrize(("slots", "there"), [(1, "there is 1"), (2, "there are 2")])
def test_devices_beyond_the_slots_are_told(ask: Ask, slots: int, there: str) -> None:
    """Whatever their size."""
    document = ask(GIB, *[128 * MIB] * 3, slots=slots)

    assert document["reason"]["text"] == f"3 devices need as many slots; {there}"
    assert document["verdict"] == "does-not-fit"


def test_several_risks_are_all_named(ask: Ask) -> None:
    """56 GiB movable on 1 GiB: too little kernel memory is left, and the balance is off."""
    document = ask(GIB, 56 * GIB, online="movable")

    assert [risk["rule"] for risk in document["risks"]] == ["watermark", "zone-ratio"]
    assert document["reason"] == document["risks"][0]
    assert document["removable_blocks"] == {"removable": 448, "of": 448}


@pytest.mark.parametrize(
    ("arguments", "status", "verdict"),
    [("--add 12G", 0, "fits"), ("--add 12G --online movable", 3, "risky"), ("--add 15G", 4, "does-not-fit")],
)
def test_exit_status_says_the_verdict(arguments: str, status: int, verdict: str, plan: Plan) -> None:
    """0, 3 and 4; with --json as without."""
    command = ["--boot", "256M", *arguments.split()]

    assert plan(*command)[0] == status
    got, out, err = plan(*command, "--json")
    assert (got, json.loads(out)["verdict"], err) == (status, verdict, "")


def test_the_same_question_gives_the_same_bytes(plan: Plan) -> None:
    """Nothing depends on time, chance or the order of a set."""
    assert plan("--boot", "1G", "--add", "3G", "--json") == plan("--boot", "1G", "--add", "3G", "--json")


def test_gigantic_pages_are_counted_in_whole_aligned_gib(ask: Ask) -> None:
    """Self-hosted memmap sits in every block; plain, the first GiB has the kernel's first slab."""
    plain = ask(GIB, 4 * GIB)
    hosted = ask(GIB, 4 * GIB, cmdline="memory_hotplug.memmap_on_memory=1")

    assert (plain["gigantic_pages"], hosted["gigantic_pages"]) == (3, 0)


def test_a_new_node_is_an_event_and_takes_memmap_from_the_old_one(ask: Ask) -> None:
    """Node 1 has nothing when its first memory arrives."""
    document = ask(4 * GIB, GIB, node=1)

    assert document["uevents"]["node"] == 1
    assert document["memmap"]["by_zone"] == {"0 DMA32": 16 << 20}
    assert document["zones"][-1]["node"] == 1


@pytest.mark.parametrize(
    ("question", "lowest"),
    [
        ({}, 951 * MIB - 128 * MIB - 96 * 4096),
        ({"online": "none"}, 951 * MIB - 128 * MIB - 96 * 4096),
        ({"cmdline": "memhp_default_state=online"}, 951 * MIB - 128 * MIB - 96 * 4096),
        ({"driver": "virtio_mem", "online": "kernel"}, 951 * MIB - 2 * MIB - 4096),
        ({"driver": "virtio_mem", "online": "movable"}, 951 * MIB - 128 * MIB - (96 + 8) * 4096),
    ],
    ids=["online", "offline", "kernel onlines", "block by block", "block by block, movable"],
)
def test_the_lowest_point_comes_before_the_new_memory_is_online(
    question: dict[str, Any], lowest: int, ask: Ask
) -> None:
    """Whoever brings it online, and also where each block comes online before the next is added."""
    free = ask(GIB, 8 * GIB, **question)["free"]

    assert free["kernel_before_bytes"] == 951 * MIB
    assert free["kernel_lowest_bytes"] == lowest


@pytest.mark.parametrize(
    ("boot", "rule", "allows"), [(256, "48x boot", 12), (1024, "total <= 10x", 9), (1024, "48x boot", 48)]
)
def test_rules_of_thumb_count_the_memory_that_a_guest_was_given(boot: int, rule: str, allows: int, ask: Ask) -> None:
    """Holes do not matter to who configures a guest; 48 times 256 MiB are 12 GiB."""
    rules = {one["name"]: one["allows_bytes"] for one in ask(boot * MIB, GIB)["rules_of_thumb"]}

    assert rules[rule] == allows * GIB
    assert rules["auto_movable_ratio 301"] < boot * MIB * 301 // 100


def test_pseries_onlines_by_itself_and_that_is_said(ask: Ask) -> None:
    """What was asked for comes too late."""
    document = ask(2 * GIB, GIB, arch="powerpc", driver="pseries", online="movable")

    expected = "pseries itself brings each block online before it adds the next, so --online movable comes too late"
    assert expected in document["assumptions"]
    assert [zone["zone"] for zone in document["zones"] if zone["gained_bytes"]] == ["Normal"]


@pytest.mark.parametrize(
    ("size", "pages", "made", "row"),
    [
        (GIB, 4096, 4096, "memmap         16M in 8 chunks of order 9, 16M from Normal of node 0"),
        (64 * GIB, 262144, 50688, "memmap         1G in 512 chunks of order 9 would be needed; in the end 14M from"),
        (1000 << 20, 4000, 0, "memmap         15.6M in 8 chunks of order 9, none of it allocated"),
    ],
)
def test_what_a_memmap_takes_and_what_was_made_of_it(size: int, pages: int, made: int, row: str, ask: Ask) -> None:
    """The first says nothing of what could be had; a refused add may leave some behind, or nothing."""
    document = ask(256 << 20, size)
    memmap = document["memmap"]
    assert (memmap["pages"], memmap["made_pages"]) == (pages, made)
    assert next(line for line in answer_lines(document) if line.startswith("memmap")).startswith(row[:40])
