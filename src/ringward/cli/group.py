"""The group of commands, and what becomes of their errors."""

from __future__ import annotations

import io
import os
import sys
import warnings
from importlib import import_module
from typing import Any, TextIO

import click

import ringward as rw
from ringward.cli.assign import assign
from ringward.cli.demo.command import demo
from ringward.cli.helping import ListedGroup
from ringward.cli.inspect import explain, report
from ringward.cli.output import INTERRUPTED, tidy
from ringward.cli.plan import plan
from ringward.cli.sources import InputError
from ringward.cli.watch import watch
from ringward.texts import neutral

__all__ = ["group"]


_LATER = {
    "choose": "ringward.cli.choose",
    "events": "ringward.cli.events",
    "simulate": "ringward.cli.simulate",
}  # no other command waits for their imports


class _Group(ListedGroup):
    """Turns errors of the data into one line and exit code 1, and a closed pipe into silence."""

    _code = 1

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_LATER})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _LATER and cmd_name not in self.commands:
            self.add_command(getattr(import_module(_LATER[cmd_name]), cmd_name))
        return super().get_command(ctx, cmd_name)

    def main(self, *args: Any, **options: Any) -> Any:
        try:
            return super().main(*args, **options)
        except BrokenPipeError:  # nobody reads what an error says: its exit code still tells
            _drop_output(sys.stderr)
            sys.exit(self._code)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        try:
            return super().make_context(*args, **extra)
        except click.ClickException as error:
            _tidied(error)
            raise
        except BrokenPipeError:  # --help and --version print before there is a command to invoke
            _drop_output(sys.stdout)
            raise click.exceptions.Exit(0) from None
        except OSError as error:
            _drop_output(sys.stdout)
            raise _failed(error) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return self._invoked(ctx)
        except click.ClickException as error:
            self._code = error.exit_code
            raise

    def _invoked(self, ctx: click.Context) -> Any:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without → is no reason to fail
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _warned  # type: ignore[assignment]
                result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _drop_output(sys.stdout)
            ctx.exit(0)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)  # as shells count it; a command that has something to say about it says it before
        except click.ClickException as error:
            _tidied(error)
            try:
                sys.stdout.flush()
            except OSError:
                _drop_output(sys.stdout)
            raise
        except (InputError, rw.RingwardError) as error:  # some are OSErrors too, whose text says all
            raise click.ClickException(neutral(tidy(str(error)))) from error
        except OSError as error:
            raise _failed(error) from error
        return result


def _tidied(error: click.ClickException) -> None:
    """Make short what an error quotes; its class and context say how it is shown. The help, where no command is given, stays whole."""
    ctx = getattr(error, "ctx", None)
    if ctx is None or error.message != ctx.get_help():
        vars(error).update(message=tidy(error.message))


def _failed(error: OSError) -> click.ClickException:
    where = "the output" if error.filename is None else os.fsdecode(error.filename)
    return click.ClickException(tidy(f"{where}: {error.strerror or error}"))


def _warned(message: Warning | str, *_place: Any) -> None:
    """A warning for who runs a command: where it stands in the code tells them nothing."""
    click.echo(f"Warning: {neutral(tidy(str(message)))}", err=True)


def _drop_output(stream: TextIO) -> None:
    """What is still buffered has no reader: Python must not try to write it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(rw.__version__, prog_name="ringward")
def group() -> None:
    """Which node owns a key, who takes over when it fails, and exactly what moves.

    A node list is a file of names, one a line, with # comments; a .csv file with the columns
    name, weight, zone; a .toml file with [[nodes]] name, weight, zone, or [nodes] name = weight;
    or the same in .json, .jsonl or .yaml. Each command's --help has examples.
    """


for command in (assign, plan, report, explain, watch, demo):
    group.add_command(command)
