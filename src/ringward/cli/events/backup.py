"""`ringward events backup`: a whole copy, while everything runs."""

from __future__ import annotations

import os

import click

from ringward.cli.events.store import file_options, json_option, opened
from ringward.cli.output import echo_json
from ringward.events import Stream

__all__ = ["backup"]


@click.command()
@file_options
@click.argument("to")
@click.option("--overwrite", is_flag=True, help="Replace a file of that name.")
@json_option
def backup(*, file: str, stream: Stream | None, to: str, overwrite: bool, as_json: bool) -> None:
    """Copy FILE to TO, as it is at one moment, while everything runs.

    TO gets its name once it is complete and on the disk, and can be opened like FILE.
    """
    with opened(file, stream) as processor:
        processor.backup(to, overwrite=overwrite)
    size = os.stat(to).st_size  # noqa: PTH116 - a path as it was given
    if as_json:
        echo_json({"file": file, "to": to, "bytes": size})
    else:
        click.echo(f"{to}: {size:,} bytes, a copy of {file}")
