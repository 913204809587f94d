"""`ringward events compact`: give the space that a file does not use back."""

from __future__ import annotations

import click

from ringward.cli.events.store import file_options, json_option, opened
from ringward.cli.output import echo_json
from ringward.events import Stream

__all__ = ["compact"]


@click.command()
@file_options
@json_option
def compact(*, file: str, stream: Stream | None, as_json: bool) -> None:
    """Give the unused space of FILE back to the file system.

    Other processes may have it open and continue. A file that was made by an early version is rewritten; writers
    wait meanwhile.
    """
    with opened(file, stream) as processor:
        before, after = processor.compact()
    if as_json:
        echo_json({"file": file, "before": before, "after": after})
        return
    click.echo(f"{file}: {before:,} bytes before, {after:,} now")
