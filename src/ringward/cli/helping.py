"""What `--help` says: whole sentences in lists of commands, and examples."""

from __future__ import annotations

import inspect

import click

__all__ = ["ListedGroup", "examples"]


class ListedGroup(click.Group):
    """A group that lists its commands with whole sentences, which click would cut off."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, _first_sentence(command)) for name, command in found if command is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _first_sentence(command: click.Command) -> str:
    text = " ".join(inspect.cleandoc(command.help or "").partition("\n\n")[0].split())
    return text.partition(". ")[0].removesuffix(".") + "."


def examples(*lines: str) -> str:
    r"""The end of a command's help: examples, each on a line of its own (that is what \b stands for)."""
    heading = "Example:" if len(lines) == 1 else "Examples:"
    return "\n".join(["\b", heading, *(f"  ringward {line}" for line in lines)])
