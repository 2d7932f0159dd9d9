"""Random scenarios to record, by seed: what finds the differences that nobody thought of.

    python -m tools.record.generate --arch x86_64 --seed 1 --count 20 -o scenarios/

The same seed, architecture and version of this file give the same scenario, to the byte. What a scenario does is
possible in general; that a kernel refuses some of it is what one wants to record. Every scenario can be read by
:mod:`tools.record.scenario`.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from tools.record.arch import ARCHITECTURES, GuestArch
from tools.record.scenario import parse

__all__ = ["generate", "main"]

_ONLINE_TYPES: Final = ("online", "online", "online_kernel", "online_movable", "online_movable")
_PARAMETERS: Final = "/sys/module/memory_hotplug/parameters"
_AUTO_ONLINE: Final = "/sys/devices/system/memory/auto_online_blocks"
_MIB: Final = 1 << 20

_BOOT: Final = {"x86_64": (512, 768, 1024, 2048), "ppc64el": (1024, 2048), "arm64": (1024, 2048), "s390x": (1024, 2048)}
_BLOCK: Final = {"x86_64": 128, "ppc64el": 256, "arm64": 128, "s390x": 256}  # MiB; 64K pages of arm64: 512


@dataclass(slots=True)
class _Life:
    """What a scenario has made so far: DIMMs with their blocks, and how many steps are left."""

    arch: GuestArch
    block: int
    boot_blocks: int
    dimms: dict[str, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    devices: list[str] = field(default_factory=list)
    nodes: int = 1
    number: int = 0

    def present(self) -> list[str]:
        return [name for name in self.dimms if name not in self.gone]


def generate(arch: str, seed: int) -> dict[str, Any]:
    """Return one scenario as a plain mapping.

    Raises:
        KeyError: there is no such architecture.
    """
    dice = random.Random(f"{arch} {seed}")
    machine = ARCHITECTURES[arch]
    boot = dice.choice(_BOOT[arch])
    life = _Life(arch=machine, block=_BLOCK[arch], boot_blocks=max(boot // _BLOCK[arch], 1))
    document: dict[str, Any] = {
        "name": f"{arch}-random-{seed}",
        "what": f"random operations, seed {seed}",
        "arch": arch,
        "memory": f"{boot}M",
    }
    document |= _guest(dice, life, boot)
    document["cmdline"] = " ".join(_cmdline(dice, life))
    document["watch_boot_blocks"] = dice.choice((0, 2, 4)) if machine.has_dimms else 4
    document["timeout"] = 900
    document["steps"] = [step for _ in range(dice.randrange(6, 16)) for step in _step(dice, life)]
    parse(document)  # what cannot be recorded is a fault of this file
    return document


def _guest(dice: random.Random, life: _Life, boot: int) -> dict[str, Any]:
    """Return nodes and devices of a guest."""
    keys: dict[str, Any] = {}
    if life.arch.name in ("x86_64", "ppc64el") and dice.random() < 0.3:
        half = boot // 2 // life.block * life.block
        second = dice.choice((True, False))  # else the second node has no memory yet
        sizes = (half, boot - half) if second and half else (boot, 0)
        keys["numa"] = [{"memory": f"{sizes[0]}M", "cpus": 1}, {"memory": f"{sizes[1]}M"} if sizes[1] else {}]
        life.nodes = 2
    if life.arch.has_virtio_mem and dice.random() < 0.25:
        device = {
            "device": "vm0",
            "size": dice.choice(("2G", "4G")),
            "block_size": dice.choice(("2M", "2M", "4M", "128M")),
        }
        keys["virtio_mem"] = [device | ({"node": 1} if life.nodes > 1 and dice.random() < 0.5 else {})]
        life.devices.append("vm0")
    return keys


def _cmdline(dice: random.Random, life: _Life) -> Iterator[str]:
    state = dice.choice(("offline", "offline", "online", "online_movable", "online_kernel", None))
    if state is not None:
        yield f"memhp_default_state={state}"
    if dice.random() < 0.5:
        yield f"memory_hotplug.memmap_on_memory={dice.choice(('1', '1', 'force', '0'))}"
    if dice.random() < 0.3:
        yield "memory_hotplug.online_policy=auto-movable"
        if dice.random() < 0.6:
            yield f"memory_hotplug.auto_movable_ratio={dice.choice((50, 100, 150, 301, 1000))}"
    if dice.random() < 0.15:
        yield dice.choice(("movablecore=256M", "kernelcore=50%", "movable_node"))
    if life.arch.name == "ppc64el" and dice.random() < 0.3:
        yield "disable_radix"


def _step(dice: random.Random, life: _Life) -> Iterator[dict[str, Any]]:
    """Yield the next step, or a few that belong together."""
    if not life.arch.has_dimms:
        yield _boot_step(dice, life)
        return
    kinds = ["add", "add", "online", "online", "offline", "remove", "write", "boot", "hog"]
    kinds += ["resize", "resize"] if life.devices else []
    kind = dice.choice(kinds)
    present = life.present()
    if kind == "add" or (kind in ("online", "offline", "remove") and not present):
        yield _add(dice, life)
    elif kind in ("online", "offline"):
        yield _change(dice, life, kind, dice.choice(present))
    elif kind == "remove":
        name = dice.choice(present)
        if dice.random() < 0.6:
            yield {"offline": {"blocks": name}}
        life.gone.add(name)
        yield {"remove": name}
    elif kind == "resize":
        yield {"resize": {"device": "vm0", "size": f"{dice.choice((0, 128, 200, 256, 512, 1000, 1024, 2048))}M"}}
    elif kind == "hog":
        yield {"hog": f"{dice.choice((16, 50, 100))}M"}
    elif kind == "write":
        yield _write(dice)
    else:
        yield _boot_step(dice, life)


def _add(dice: random.Random, life: _Life) -> dict[str, Any]:
    name = f"d{life.number}"
    life.number += 1
    blocks = dice.choice((1, 1, 2, 3, 4, 8))
    size = blocks * life.block
    if life.arch.name == "x86_64" and dice.random() < 0.08:
        size += 64  # no whole blocks: the kernel refuses it
        blocks = 0
    life.dimms[name] = blocks
    add: dict[str, Any] = {"dimm": name, "size": f"{size}M"}
    if life.nodes > 1 and dice.random() < 0.6:
        add["node"] = dice.randrange(life.nodes)
    if life.arch.name == "x86_64" and dice.random() < 0.15:
        add["address"] = f"{dice.choice((5, 6, 8, 16)) * 1024 + 512 * life.number}M"
    return {"add": add}


def _change(dice: random.Random, life: _Life, kind: str, name: str) -> dict[str, Any]:
    count = life.dimms[name]
    blocks: Any = name
    if count > 1 and dice.random() < 0.6:
        chosen = dice.sample(range(count), dice.randrange(1, count + 1))
        blocks = [f"{name}[{index}]" for index in chosen]
    change: dict[str, Any] = {"blocks": blocks}
    if kind == "online":
        change["type"] = dice.choice(_ONLINE_TYPES)
    if dice.random() < 0.2:
        change["each"] = True
    return {kind: change}


def _boot_step(dice: random.Random, life: _Life) -> dict[str, Any]:
    """Return a change of boot memory: its highest blocks go offline and come back elsewhere."""
    top = min(life.boot_blocks, 4)
    blocks = [f"boot[{-1 - index}]" for index in dice.sample(range(top), dice.randrange(1, top + 1))]
    if dice.random() < 0.5:
        return {"offline": {"blocks": blocks}}
    if dice.random() < 0.2:
        return _write(dice)
    return {"online": {"blocks": blocks, "type": dice.choice(_ONLINE_TYPES)}}


def _write(dice: random.Random) -> dict[str, Any]:
    path, values = dice.choice(
        (
            (_AUTO_ONLINE, ("offline", "online", "online_movable", "online_kernel", "nonsense")),
            (f"{_PARAMETERS}/online_policy", ("contig-zones", "auto-movable", "nonsense")),
            (f"{_PARAMETERS}/auto_movable_ratio", ("0", "100", "301", "-1")),
            (f"{_PARAMETERS}/auto_movable_numa_aware", ("Y", "N")),
        )
    )
    return {"write": {"path": path, "value": dice.choice(values)}}


def main(arguments: list[str] | None = None) -> int:
    """Write scenarios; return the exit status."""
    parser = argparse.ArgumentParser(prog="generate", description="Write random scenarios for the recorder, by seed.")
    parser.add_argument("--arch", choices=sorted(ARCHITECTURES), required=True)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many, each with the next seed")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="a folder; without it all go to stdout")
    options = parser.parse_args(arguments)
    for seed in range(options.seed, options.seed + options.count):
        document = generate(options.arch, seed)
        text = yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=120)
        if options.output is None:
            sys.stdout.write(f"---\n{text}")
            continue
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / f"{document['name']}.yaml").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
