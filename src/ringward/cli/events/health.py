"""`ringward events health`: whether all is well with a file, for those who watch over it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from ringward.cli.events.store import file_options, json_option
from ringward.cli.options import Seconds
from ringward.cli.output import echo_json, plain_name
from ringward.errors import StoreFailedError
from ringward.events import Health, Stream, health_of

__all__ = ["health"]

_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Beyond which a group is not well; None: there is no bound."""

    age_s: float | None
    lag: int | None
    dead: int | None


@click.command()
@file_options
@click.option("--group", metavar="NAME", help="Check this group only.  [default: all groups]")
@click.option("--max-age", "age_s", type=Seconds(), help="How long the oldest event may have waited.")
@click.option("--max-lag", "lag", type=click.IntRange(0), metavar="N", help="How many events may wait in a group.")
@click.option("--max-dead", "dead", type=click.IntRange(0), metavar="N", help="How many events of a group may be dead.")
@click.option(
    "--timeout", "timeout_s", type=Seconds(), default=_TIMEOUT_S, show_default=True, help="How long the check may take."
)
@json_option
@click.pass_context
def health(
    ctx: click.Context,
    *,
    file: str,
    stream: Stream | None,
    group: str | None,
    age_s: float | None,
    lag: int | None,
    dead: int | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Say whether all is well with FILE: exit code 0 if it is; otherwise 1, with the reasons.

    It may be used while others have the file open. It ends in time whatever is wrong, and changes and repairs nothing.
    """
    found, waiting = _looked(file, stream, group, timeout_s)
    found = _bounded(found, waiting, _Bounds(age_s, lag, dead))
    well = found.state == "ok"
    if as_json:
        told = found.to_dict()
        for name, about in told["groups"].items():
            about["waiting"] = waiting.get(name, 0)
        echo_json({"file": file, "ok": well, **told})
    else:
        click.echo(f"{file}: {found.state}")
        for reason in found.reasons:
            click.echo(f"  {plain_name(reason.text)}")
        for text in found.clock:
            if text not in {reason.text for reason in found.reasons}:
                click.echo(f"  {plain_name(text)}")
        for name, about in found.groups.items():
            members = ", ".join(about.members) or "no members"
            click.echo(plain_name(f"{name}: {waiting[name]:,} waiting, {about.dead:,} dead; {members}"))
    if not well:
        ctx.exit(1)


def _looked(file: str, stream: Stream | None, group: str | None, timeout_s: float) -> tuple[Health, Mapping[str, int]]:
    """What there is to see, within a time: whoever holds a lock for ever does not hold this up."""
    found: list[tuple[Health, Mapping[str, int]]] = []

    def look() -> None:
        try:
            found.append(_look(file, stream, group))
        except Exception as error:  # noqa: BLE001 - whatever is wrong is the answer
            found.append((Health().with_reason("failed", str(error) or type(error).__name__), {}))

    thread = threading.Thread(target=look, name="ringward-health", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return found[0] if found else (Health().with_reason("failed", f"no answer within {timeout_s:g} s"), {})


def _look(file: str, stream: Stream | None, group: str | None) -> tuple[Health, Mapping[str, int]]:
    from ringward.events import SqliteStore  # noqa: PLC0415 - needs the extra

    class Looked(SqliteStore):
        """A store that is looked at: what has to be repaired or changed is told."""

        _changes = False

        def _renew(self, _stream: Stream | None) -> None:
            raise StoreFailedError("a write to the file has failed: it is copied anew when a processor opens it")

        def check_writing(self) -> None:
            """Commit nothing: that needs the locks that writers need, and changes nothing."""
            self._file.change(lambda: None)

    if not os.path.lexists(file):
        return Health().with_reason("failed", "no such file"), {}
    if os.path.isdir(file):  # noqa: PTH112 - FILE may be anything
        return Health().with_reason("failed", "a folder"), {}
    if os.path.isfile(file) and not os.path.getsize(file):  # noqa: PTH113, PTH202 - as above
        return Health().with_reason("failed", "an empty file"), {}
    store = Looked(file, stream)
    try:
        found = health_of(store, group=group)
        if group is not None and group not in found.groups and found.state == "ok":
            return found.with_reason("failed", f"no group is named {group!r}"), {}
        waiting = {name: sum(store.unresolved(name).values()) for name in found.groups}
        for name in found.groups:
            view = store.membership(name)
            up = [] if view is None else [(member, about.process) for member, about in view.members if about.up]
            # Others notice within milliseconds: who is still there now, nobody is left to take over from.
            gone = [member for member, process in up if store.hint(process) == "gone"]
            if gone:
                found = found.with_reason("degraded", f"group {name}: the process of {', '.join(gone)} is gone")
        store.check_writing()
        return found, waiting
    finally:
        store.close()


def _bounded(found: Health, waiting: Mapping[str, int], bounds: _Bounds) -> Health:
    for name, about in found.groups.items():
        told: list[tuple[str, Any, Any]] = [
            (f"the oldest event of {name} has waited {about.lag_s:,.0f} s", about.lag_s, bounds.age_s),
            (f"{waiting.get(name, 0):,} events of {name} wait", waiting.get(name, 0), bounds.lag),
            (f"{about.dead:,} events of {name} are dead", about.dead, bounds.dead),
        ]
        for text, value, most in told:
            if most is not None and value > most:
                found = found.with_reason("degraded", f"{text} (at most {most:g})")
    return found
