"""What several commands' options have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

__all__ = ["Once", "OnceGroup", "Size", "Target"]

# Generic since click 8.4; the class itself is all that older ones have.
if TYPE_CHECKING:
    _IntType = click.ParamType[int]
else:
    _IntType = click.ParamType


class Once(click.Command):
    """A command that refuses an option that is given twice, unless it is made for that."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and refuse what would be dropped in silence."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for param in order:
            if isinstance(param, click.Option) and not _takes_several(param) and order.count(param) > 1:
                raise click.UsageError(f"{param.opts[0]} is given twice; only one would count", ctx)
        return super().parse_args(ctx, args)


def _takes_several(option: click.Option) -> bool:
    return option.multiple or option.count or option.is_flag


class OnceGroup(Once, click.Group):
    """A group that refuses the same, as its commands do."""

    command_class = Once


class Size(_IntType):
    """A size with a unit."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes; a bare number is refused with a hint."""
        if isinstance(value, int):
            return value
        from memhotplug.units import parse_size

        try:
            size = parse_size(value, bare=False)
        except ValueError as problem:
            self.fail(f"got {value!r}, expected {problem}", param, ctx)
        if not size:
            self.fail(f"got {value!r}, expected a size greater than 0", param, ctx)
        return size


class Target(click.Path):
    """A file or folder that is written. ``-`` is no name for one: where commands read, it is standard input."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, of the type that was asked for."""
        if value == "-":
            self.fail("got '-', expected a path (standard output is /dev/stdout)", param, ctx)
        return super().convert(value, param, ctx)
