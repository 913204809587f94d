"""`ringward events configure`: how long a file keeps events and ids, for everybody."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import click

from ringward.cli.events.store import file_options, json_option, opened
from ringward.cli.output import echo_json
from ringward.events import Retention, Settings, Stream

__all__ = ["configure"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SIZES = {"B": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_NEVER = "none"


def _measure(units: dict[str, int], example: str, *, whole: bool = False) -> Any:
    """A callback that reads a number with a unit, `whole` if it is to be an integer; "none" where there is no limit.

    A unit that was forgotten is none that may be guessed: what is kept too short is deleted.
    """
    known = {unit.lower(): size for unit, size in units.items()}
    need = f"a number with a unit ({', '.join(units)}), as {example}" if all(units) else f"a whole number, as {example}"

    def read(_ctx: click.Context, _option: click.Parameter, text: str | None) -> float | str | None:
        if text is None or text == _NEVER:
            return text
        found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([a-z]*)", text.lower())
        if found is None or found[2] not in known:
            raise click.BadParameter(f"must be {need}, or none (was {text[:40]!r})")
        value = float(found[1]) * known[found[2]]
        if whole and not value.is_integer():
            raise click.BadParameter(f"must be a whole number (was {text!r})")
        return value

    return read


@click.command()
@file_options
@click.option(
    "--retention-age",
    "age",
    metavar="TIME",
    callback=_measure(_UNITS, "90d or 12h"),
    help="How old an event may get that all groups are past, such as 90d or 12h; none: no limit.",
)
@click.option(
    "--retention-bytes",
    "size",
    metavar="SIZE",
    callback=_measure(_SIZES, "500M or 2Gi", whole=True),
    help="How much payload is kept, such as 500M or 2Gi; none: no limit.",
)
@click.option(
    "--retention-count",
    "count",
    metavar="N",
    callback=_measure({"": 1}, "1000000", whole=True),
    help="How many events are kept; none: no limit.",
)
@click.option(
    "--id-window",
    "window",
    metavar="TIME",
    callback=_measure(_UNITS, "90d or 12h"),
    help="How long ids are remembered at least, such as 90d or 12h.",
)
@json_option
def configure(
    *,
    file: str,
    stream: Stream | None,
    age: float | str | None,
    size: float | str | None,
    count: float | str | None,
    window: float | str | None,
    as_json: bool,
) -> None:
    """Set how long FILE keeps events and ids, for all processes that have it open; without options, show the settings.

    Settings without an option stay as they are. An event that a group still needs is never deleted.
    """
    if window == _NEVER:
        raise click.BadParameter("must be a time (was 'none')", param_hint="--id-window")
    with opened(file, stream) as processor:
        keep = processor.store.settings().retention
        changes: dict[str, Any] = {}
        for name, value in (("age_s", age), ("bytes", size), ("count", count)):
            if value is not None:
                number = value if name == "age_s" or value == _NEVER else int(value)
                changes[name] = None if value == _NEVER else number
        settings = processor.configure(
            retention=replace(keep, **changes) if changes else None,
            id_window_s=None if window is None else float(window),
        )
    if as_json:
        echo_json({"file": file, **_described(settings)})
        return
    click.echo(f"{file}: events are kept {_kept(settings.retention)}; ids for {_time(settings.id_window_s)}")


def _described(settings: Settings) -> dict[str, object]:
    keep = settings.retention
    return {
        "retention": {"age_s": keep.age_s, "bytes": keep.bytes, "count": keep.count},
        "id_window_s": settings.id_window_s,
    }


def _kept(keep: Retention) -> str:
    limits = [
        *([] if keep.age_s is None else [f"for {_time(keep.age_s)}"]),
        *([] if keep.bytes is None else [f"up to {keep.bytes:,} bytes of payload"]),
        *([] if keep.count is None else [f"up to {keep.count:,} of them"]),
    ]
    return ", ".join(limits) or "for ever"


def _time(seconds: float) -> str:
    try:
        time = timedelta(seconds=seconds)
    except OverflowError:
        return f"{seconds:g} s"
    return str(time).removesuffix(", 0:00:00") if time.days else f"{seconds:g} s"
