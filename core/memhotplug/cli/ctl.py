"""``mhp ctl``: talks to a machine that runs in ``mhp exec`` or ``mhp mount``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from memhotplug.cli.exits import ExitCode, say
from memhotplug.cli.options import OnceGroup

if TYPE_CHECKING:
    from memhotplug.live.client import Client

__all__ = ["command"]

_HELP: Final = """Talk to a machine that runs in 'mhp exec' or 'mhp mount'.

Inside exec the variable MHP_CTL says where it is; from outside, --socket does. The socket speaks QMP.

\b
  mhp ctl add dimm0 1G                 a driver adds memory, the usual one
  mhp ctl add vm0 256M --driver virtio_mem --set device_size=2G
  mhp ctl resize vm0 512M
  mhp ctl eject dimm0
  mhp ctl list
  mhp ctl events                       uevents and QEMU's events, as they come
  mhp ctl qmp query-memory-devices

\b
Exit status:
  0  done
  1  the machine refused
  2  wrong usage, or no machine to talk to
"""


@click.group(cls=OnceGroup, help=_HELP, short_help="Talk to a live machine.")
@click.option("--socket", "path", metavar="PATH", help="The control socket; default $MHP_CTL.")
@click.pass_context
def command(context: click.Context, path: str | None) -> None:
    """Remember which machine is meant."""
    context.obj = path


def _client(context: click.Context) -> Client:
    from memhotplug.live.client import Client

    return Client(context.obj)


def _do(context: click.Context, name: str, arguments: dict[str, Any]) -> tuple[int, Any]:
    from memhotplug.live.client import Refused

    with _client(context) as client:
        try:
            return ExitCode.OK, client.execute(name, arguments)
        except Refused as refused:
            say(str(refused))
            return ExitCode.FAILURE, None


def _operate(context: click.Context, op: str, **args: Any) -> int:
    given = {key: value for key, value in args.items() if value is not None}
    return _do(context, "x-mhp", {"op": op, "args": given})[0]


@command.command("add", help="Have a driver add memory.")
@click.argument("name")
@click.argument("size")
@click.option("--driver", metavar="DRIVER", help="Who adds it; default the architecture's usual driver.")
@click.option("--node", type=click.IntRange(min=0), help="Its node.")
@click.option("--address", metavar="ADDRESS", help="Where it begins.")
@click.option("--set", "keys", multiple=True, metavar="KEY=VALUE", help="A key of the driver.")
@click.pass_context
def _add(
    context: click.Context,
    name: str,
    size: str,
    driver: str | None,
    node: int | None,
    address: str | None,
    keys: tuple[str, ...],
) -> int:
    own = dict(key.partition("=")[::2] for key in keys)
    return _operate(context, "add", driver=driver, name=name, size=size, node=node, address=address, **own)


@command.command("eject", help="Ask the driver to take a device out.")
@click.argument("name")
@click.pass_context
def _eject(context: click.Context, name: str) -> int:
    return _operate(context, "eject", range=name)


@command.command("resize", help="Ask for another size of a device.")
@click.argument("name")
@click.argument("size")
@click.pass_context
def _resize(context: click.Context, name: str, size: str) -> int:
    return _operate(context, "resize", range=name, size=size)


@command.command("list", help="Show the memory blocks.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def _list(context: click.Context, as_json: bool) -> int:
    status, blocks = _do(context, "x-mhp-blocks", {})
    if as_json and blocks is not None:
        print(json.dumps({"schema": 1, "ok": True, "blocks": blocks}))
        return status
    for block in blocks or ():
        print(f"memory{block['id']:<8} {block['start']:#018x} {block['state']:<8} {block['device'] or '-'}")
    return status


@command.command(
    "events",
    help="Print events as they come: kobject uevents as udevadm monitor does, QEMU's as JSON.",
    short_help="Print uevents and QEMU's events as they come.",
)
@click.option("--count", type=click.IntRange(min=1), help="End after so many.")
@click.pass_context
def _events(context: click.Context, count: int | None) -> int:
    with _client(context) as client:
        for number, event in enumerate(client.events(), 1):
            data = event["data"]
            if event["event"] == "X_MHP_UEVENT":
                print(f"KERNEL {data['action']:<8} {data['devpath']} (memory)", flush=True)
            else:
                print(json.dumps({"event": event["event"], "data": data}), flush=True)
            if number == count:
                break
    return ExitCode.OK


@command.command("qmp", help="Do a QMP command, with its arguments as a JSON object.")
@click.argument("name")
@click.argument("arguments", required=False)
@click.pass_context
def _qmp(context: click.Context, name: str, arguments: str | None) -> int:
    from memhotplug.formats.jsonread import parse_json

    try:
        given: Any = parse_json(arguments or "{}")
    except ValueError:
        raise click.UsageError("the arguments are no JSON") from None
    status, answer = _do(context, name, given)
    if answer is not None:
        sys.stdout.write(json.dumps(answer) + "\n")
    return status
