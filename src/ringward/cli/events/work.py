"""`ringward events work`: handle events by a function."""

from __future__ import annotations

import os
import traceback
from typing import Any

import click

from ringward.cli.events.logs import logged
from ringward.cli.events.running import Leaving, Within, finished, leaving, run_options
from ringward.cli.events.status_line import watched
from ringward.cli.events.store import file_options, group_option, json_option, opened
from ringward.cli.output import echo_json, note, plain_name, tidy
from ringward.errors import ArgumentError, ArgumentTypeError
from ringward.events import Hooks, Processor, Retry, Stream
from ringward.events.engine.handlers import Handler
from ringward.events.model.notifications import Died
from ringward.events.processor import Start
from ringward.events.worker import load_handler

__all__ = ["work"]

_TRACE_MOST = 10_000  # characters


class _FirstDeath(Hooks):
    """Ends the command as soon as an event of this process dies."""

    def __init__(self, leave: Leaving) -> None:
        self._leave = leave

    def dead(self, told: Died) -> None:
        self._leave()


@click.command()
@file_options
@group_option
@click.option("--handler", required=True, metavar="PKG.MOD:FUNC", help="The function to call with each event.")
@click.option(
    "--path",
    "folders",
    multiple=True,
    metavar="DIR",
    help="Look for the handler's module here first; repeatable. `--path .` is the working directory.",
)
@click.option(
    "--members",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    metavar="N",
    help="How many threads of this process share the partitions with other processes.",
)
@click.option(
    "--member", "names", multiple=True, metavar="NAME", help="Name of a member, instead of --members; repeatable."
)
@click.option(
    "--attempts",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    metavar="N",
    help="Deliveries of a failing event before it is dead.",
)
@click.option(
    "--on-dead",
    type=click.Choice(["park", "skip"]),
    default="park",
    show_default=True,
    help="Later events of a dead event's key: park them behind it, or handle them without it.",
)
@click.option(
    "--fail-on-dead",
    is_flag=True,
    help="Exit code 3 if events of the group are dead at the end; without --until, end at the first dead event.",
)
@click.option("--codec", type=click.Choice(["json", "msgspec"]), help="Decodes event.payload.  [default: bytes]")
@click.option("-q", "--quiet", is_flag=True, help="No progress on the terminal, and no summary.")
@run_options
@json_option
def work(
    *,
    file: str,
    stream: Stream | None,
    group: str,
    handler: str,
    folders: tuple[str, ...],
    members: int,
    names: tuple[str, ...],
    attempts: int,
    on_dead: Any,
    fail_on_dead: bool,
    codec: Any,
    quiet: bool,
    start: Start,
    within: Within,
    lease: dict[str, Any],
    verbose: bool,
    as_json: bool,
) -> None:
    """Handle the events of FILE with a function, beside all other processes that do so for the group.

    An exception of the function is a failed attempt. When a process is killed, the others take over its partitions.
    On SIGINT or SIGTERM a process finishes the events in flight and hands its partitions over. A second signal ends
    it at once.
    """
    _check_members(names)
    path = os.path.abspath(file)  # noqa: PTH100 - the module of the handler may change the working directory
    with leaving() as leave:
        function = _loaded(handler, folders, verbose=verbose)
        hooks = _FirstDeath(leave) if fail_on_dead and within.until is None else None
        # Only now may logging be set up: had the handler's module found it done, its own would count for nothing.
        with logged(verbose=verbose), opened(file, stream, path=path, codec=codec, hooks=hooks) as processor:
            leave.of(processor)
            _tell_new(processor, group, quiet=quiet)
            options = {"retry": Retry(attempts=attempts), "on_dead": on_dead, **lease}
            register = processor.consumer(group, members=names or members, start=start, **options)
            try:
                register(function)
            except (ArgumentError, ArgumentTypeError) as error:
                if error.argument != "handler":
                    raise
                raise click.BadParameter(_reason(error), param_hint="--handler") from error
            end: click.ClickException | None = None
            with watched(processor, group, quiet=quiet):
                try:
                    finished(processor, group, within, alive=fail_on_dead)
                except click.ClickException as error:
                    end = error
            try:
                _summary(processor, group, as_json=as_json, quiet=quiet)
            finally:
                if end is not None:  # more than that nobody reads the summary
                    raise end


def _check_members(names: tuple[str, ...]) -> None:
    given = click.get_current_context().get_parameter_source("members")
    if names and given is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("give --members or --member, not both")


def _loaded(name: str, folders: tuple[str, ...], *, verbose: bool) -> Handler:
    try:
        return load_handler(name, folders)
    except ArgumentError as error:
        if error.argument == "folders":
            raise click.BadParameter(_reason(error), param_hint="--path") from error
        if verbose and error.__cause__ is not None:
            click.echo(tidy("".join(traceback.format_exception(error.__cause__)), most=_TRACE_MOST), err=True)
        lost = error.bound.startswith("in a module that can be found")
        hint = "; --path DIR says where else to look, --path . is the working directory" if lost else ""
        raise click.BadParameter(_reason(error) + hint, param_hint="--handler") from error


def _reason(error: ArgumentError | ArgumentTypeError) -> str:
    return plain_name(str(error).removeprefix(f"{error.argument} "))


def _tell_new(processor: Processor, group: str, *, quiet: bool) -> None:
    """A new group handles all that is kept: whoever mistyped the name of an old one should know."""
    if not quiet and group not in {state.name for state in processor.store.groups()}:
        note(f"{group} is a new group")


def _summary(processor: Processor, group: str, *, as_json: bool, quiet: bool) -> None:
    stats = processor.stats().groups[group]
    if as_json:
        told = ("handled", "retries", "deaths", "takeovers")
        echo_json({"group": group, **{name: getattr(stats, name) for name in told}})
    elif not quiet:
        click.echo(f"{group}: {stats.handled:,} handled, {stats.retries:,} retried, {stats.deaths:,} dead")
