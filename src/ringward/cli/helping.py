"""What `--help` says: whole sentences in lists of commands, and examples; and options that are given twice."""

from __future__ import annotations

import inspect
from contextlib import suppress

import click

__all__ = ["ListedGroup", "examples"]


class ListedGroup(click.Group):
    """A group that lists its commands with whole sentences, which click would cut off, and takes no option twice."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Take in a command, whose usage shows the options that must be given."""
        needed = [param for param in cmd.params if isinstance(param, click.Option) and param.required]
        if needed:
            cmd.options_metavar = " ".join([*(f"{param.opts[0]} {param.metavar}" for param in needed), "[OPTIONS]"])
        super().add_command(cmd, name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments name."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            _refuse_repeats(click.Context(command, parent=ctx, info_name=name), rest)
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, _first_sentence(command)) for name, command in found if command is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _refuse_repeats(ctx: click.Context, args: list[str]) -> None:
    """Of `--key a --key b` click would take b, and say nothing."""
    given: list[click.Parameter] = []
    with suppress(click.UsageError):  # which is told when the arguments are parsed in earnest
        given = ctx.command.make_parser(ctx).parse_args([*args])[2]
    for option in given:
        if isinstance(option, click.Option) and not (option.multiple or option.is_flag) and given.count(option) > 1:
            raise click.UsageError(f"{option.opts[0]} can be given once", ctx)


def _first_sentence(command: click.Command) -> str:
    text = " ".join(inspect.cleandoc(command.help or "").partition("\n\n")[0].split())
    return text.partition(". ")[0].removesuffix(".") + "."


def examples(*lines: str) -> str:
    r"""The end of a command's help: examples, each on a line of its own (that is what \b stands for)."""
    heading = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(["\b", heading, *(f"  ringward {line}" for line in lines)])
