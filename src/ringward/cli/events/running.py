"""What `consume` and `work` share: how they begin, how they end, and the exit code that tells."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import click

from ringward.cli.events.store import start_from
from ringward.cli.options import Seconds
from ringward.cli.output import CutOffError, DeadError
from ringward.errors import StopTimeoutError
from ringward.events import Processor
from ringward.events.worker import WORK_STOP_S, handle, until_told

__all__ = ["Leaving", "Within", "finished", "leaving", "run_options"]


_LEASE_LEAST_S = 0.01


class Within(NamedTuple):
    """When to end, and how long that may take: as the arguments of `handle`."""

    until: Literal["idle"] | None
    timeout_s: float | None
    stop_timeout_s: float


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What both commands can be told; `lease` and `within` come as groups of arguments."""

    @click.option(
        "--start",
        metavar="WHERE",
        default="beginning",
        show_default=True,
        callback=start_from,
        help="Where a new group begins: beginning, end, after a seq, or at an ISO time.",
    )
    @click.option(
        "--until",
        type=click.Choice(["idle"]),
        help="idle: end when all is handled.  [default: end on SIGINT or SIGTERM]",
    )
    @click.option(
        "--timeout", "timeout_s", type=Seconds(), help="End after this time; exit code 1 if events still wait."
    )
    @click.option(
        "--stop-timeout",
        "stop_timeout_s",
        type=Seconds(),
        default=WORK_STOP_S,
        show_default=True,
        help="How long events in flight may take at the end; exit code 4 if one is cut off.",
    )
    @click.option(
        "--lease",
        "lease_s",
        type=Seconds(_LEASE_LEAST_S),
        default=5.0,
        show_default=True,
        help="A member that is silent for this long loses its partitions.",
    )
    @click.option(
        "-v",
        "--verbose",
        is_flag=True,
        help="Log tracebacks and which member claims and releases which partitions, to stderr.",
    )
    @functools.wraps(command)
    def wrapped(*, until: Any, timeout_s: float | None, stop_timeout_s: float, lease_s: float, **options: Any) -> Any:
        within = Within(until, timeout_s, stop_timeout_s)
        lease = {"lease_s": lease_s, "heartbeat_s": min(1.0, lease_s / 5)}
        return command(within=within, lease=lease, **options)

    return wrapped


class Leaving:
    """What is to be done when the command is told to end."""

    def __init__(self) -> None:
        self._processor: Processor | None = None

    def __call__(self) -> None:
        """Ask to end; while there is no processor yet, end at once: nothing is in flight, and the file may be waited for."""
        if self._processor is None:
            os._exit(0)  # an exception might be swallowed, by whatever is being imported
        self._processor.ask_to_stop()

    def of(self, processor: Processor) -> None:
        """This is what has to stop."""
        self._processor = processor


@contextmanager
def leaving() -> Iterator[Leaving]:
    """The first signal asks to end, from here on; the second ends the process at once."""
    leave = Leaving()
    with until_told(leave, last=signal.SIG_DFL):
        yield leave


def finished(processor: Processor, group: str, within: Within, *, alive: bool = False) -> None:
    """Handle events to the end; anything but a good end is an error with its own exit code.

    Parameters
    ----------
    processor : Processor
    group : str
    within : Within
    alive : bool
        Whether it is such an error that events are dead.
    """
    try:
        waiting = handle(processor, group, *within)
    except StopTimeoutError as error:
        raise CutOffError(str(error)) from error
    if waiting:
        wait = f"1 event of {group} waits" if waiting == 1 else f"{waiting:,} events of {group} wait"
        raise click.ClickException(f"not idle after {within.timeout_s:g} s: {wait}")
    if alive and (dead := sum(letter.state == "dead" for letter in processor.store.dead_letters(group))):
        raise DeadError(f"{dead:,} dead in group {group}: see ringward events dead")
