"""The options that commands share: how to route, and where a file has its keys."""

from __future__ import annotations

import codecs
import functools
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
import numpy as np

import ringward as rw
from ringward.cli.inputs import Layout, plain_int
from ringward.cli.nodes import read_hash_key, read_nodes
from ringward.texts import shown

__all__ = ["Choice", "Seconds", "key_options", "membership_options", "router_from", "strategy_options", "text_options"]

Command = Callable[..., None]

_ROUTERS: dict[str, Callable[..., rw.Router]] = {
    "ring": rw.HashRing,
    "partitioned": rw.PartitionedRing,
    "table": rw.PartitionTable,
    "primary": rw.PrimaryBackup,
}
_SEED_MAX = (1 << 64) - 1
_SECONDS_MOST = min(threading.TIMEOUT_MAX, 1e8)  # three years
_DELIMITERS_BY_NAME = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}


@dataclass(frozen=True, slots=True)
class _Flag:
    """A flag that belongs to some strategies, and the argument of their constructors it is."""

    flag: str
    argument: str
    strategies: tuple[str, ...]


_FLAGS = {
    "points": _Flag("--points", "points_per_node", ("ring", "partitioned")),
    "weight_unit": _Flag("--weight-unit", "weight_unit", ("ring", "partitioned")),
    "part_size": _Flag("--part-size", "part_size", ("partitioned",)),
    "partitions": _Flag("--partitions", "partitions", ("table",)),
    "replicas": _Flag("--replicas", "replicas", ("table",)),
    "spread_zones": _Flag("--spread-zones", "spread", ("ring",)),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A strategy with its options, as chosen by flags.

    Attributes
    ----------
    strategy : str
        "ring", "partitioned", "table" or "primary".
    options : dict
        Arguments of the router's constructor.
    """

    strategy: str
    options: dict[str, Any]

    def router(self, nodes: list[rw.Node]) -> rw.Router:
        """A router of this strategy."""
        return _ROUTERS[self.strategy](nodes, **self.options)


class Seconds(click.FloatRange):
    """A time that can be waited for: no nan, and not for ever."""

    name = "seconds"

    def __init__(self, least: float = 0.0) -> None:
        super().__init__(least, _SECONDS_MOST)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds from text."""
        seconds: float = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return seconds

    def get_metavar(self, *_about: Any, **_more: Any) -> str:
        """What help shows."""
        return "SECONDS"


def _choice(strategy: str, hash: str, seed: int | None, hash_key_file: str | None, **flags: Any) -> Choice:
    options: dict[str, Any] = {}
    for name, value in flags.items():
        if value is None or value is False:
            continue
        flag = _FLAGS[name]
        if strategy not in flag.strategies:
            raise click.UsageError(f"{flag.flag} needs --strategy {' or '.join(flag.strategies)} (was {strategy})")
        options[flag.argument] = "zone" if name == "spread_zones" else value
    if strategy == "partitioned" and "part_size" not in options:
        raise click.UsageError("--strategy partitioned needs --part-size")
    if hash == "siphash":
        if hash_key_file is None or seed is not None:
            raise click.UsageError("--hash siphash needs --hash-key-file, and takes no --seed")
        options["hash"] = rw.SipHash(read_hash_key(hash_key_file))
    else:
        if hash_key_file is not None:
            raise click.UsageError("--hash-key-file needs --hash siphash")
        options["hash"] = rw.XXH3(seed or 0)
    return Choice(strategy, options)


def _decorated(command: Command, options: list[Callable[[Command], Command]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def strategy_options(command: Command) -> Command:
    """Add the flags of strategies and hashes; the command gets them as `choice`."""
    names = ("strategy", *_FLAGS, "hash", "seed", "hash_key_file")

    @functools.wraps(command)
    def chosen(**given: Any) -> None:
        choice = _choice(**{name: given.pop(name) for name in names})
        command(choice=choice, **given)

    strategies = click.Choice(tuple(_ROUTERS))
    return _decorated(
        chosen,
        [
            click.option("--strategy", type=strategies, default="ring", show_default=True, help="How keys find nodes."),
            click.option(
                "--points", type=click.IntRange(1), metavar="N", help="ring, partitioned: points of a node of weight 1."
            ),
            click.option(
                "--weight-unit",
                type=float,
                metavar="W",
                help="ring, partitioned: the weight that gets --points; 1e12 for weights in bytes, 0.001 for small ones.",
            ),
            click.option("--part-size", type=click.IntRange(1), metavar="N", help="partitioned: most nodes in a part."),
            click.option("--partitions", type=click.IntRange(1), metavar="N", help="table: number of partitions."),
            click.option("--replicas", type=click.IntRange(1), metavar="N", help="table: nodes in a row."),
            click.option("--spread-zones", is_flag=True, help="ring: candidates take distinct zones first."),
            click.option(
                "--hash",
                type=click.Choice(["xxh3", "siphash"]),
                default="xxh3",
                show_default=True,
                help="How keys are hashed; siphash uses a secret, for keys that strangers choose.",
            ),
            click.option("--seed", type=click.IntRange(0, _SEED_MAX), metavar="N", help="xxh3: its seed."),
            click.option("--hash-key-file", metavar="FILE", help="siphash: 16 bytes or 32 hexadecimal digits."),
        ],
    )


def membership_options(command: Command) -> Command:
    """Add --nodes, --down and the flags of strategies; the command gets a `router`."""

    @strategy_options
    @functools.wraps(command)
    def with_router(choice: Choice, nodes: str, down: tuple[str, ...], **given: Any) -> None:
        command(router=router_from(choice, nodes, down), **given)

    return _decorated(
        with_router,
        [
            click.option(
                "--nodes",
                required=True,
                metavar="FILE",
                help="The node list: one name on each line; `ringward --help` has other forms.",
            ),
            click.option("--down", multiple=True, metavar="NAME", help="A node that is down; may be repeated."),
        ],
    )


def router_from(choice: Choice, nodes: str, down: tuple[str, ...] = ()) -> rw.Router:
    """The chosen router of a node list, some of its nodes marked down."""
    router = choice.router(read_nodes(nodes))
    if down:
        router.mark_down(*down)
    return router


def key_options(command: Command) -> Command:
    """Add the flags that say where a file has its keys; the command gets them as `layout`."""

    @functools.wraps(command)
    def with_layout(
        *,
        key: str | None,
        no_header: bool,
        int_keys: bool,
        format: str | None,
        binary: np.dtype[Any] | None,
        delimiter: str | None,
        encoding: str | None,
        nulls: str | None,
        **given: Any,
    ) -> None:
        if binary is not None and (key is not None or int_keys):
            raise click.UsageError("--binary takes neither --key nor --int")
        if key is None and (no_header or delimiter or format not in {None, "lines"}):
            raise click.UsageError("--no-header, --format and --delimiter need --key")
        if key is not None and format == "lines":
            raise click.UsageError("--format lines takes no --key: each line is a key")
        if no_header and plain_int(key or "") is None:
            raise click.UsageError(f"--key must be a column's number with --no-header (was {shown(key)})")
        layout = Layout(key, not no_header, int_keys, format, binary, delimiter, encoding, nulls)
        command(layout=layout, **given)

    return _decorated(
        with_layout,
        [
            click.option(
                "--key", metavar="COLUMN", help="The column of the keys. Without it, each line of text is a key."
            ),
            click.option("--no-header", is_flag=True, help="The first row is data; --key is a number from 1."),
            click.option("--int", "int_keys", is_flag=True, help="Keys are decimal integers: 42 and '42' differ."),
            click.option(
                "--format",
                type=click.Choice(["csv", "tsv", "lines", "parquet", "arrow"]),
                help="What the file holds.  [default: by its first bytes and its name]",
            ),
            text_options,
            click.option(
                "--nulls",
                type=click.Choice(["raise", "skip", "empty"]),
                help="Rows without a key: refuse them, leave them without an owner, or (of text) take the empty text as a key.",
            ),
            click.option(
                "--binary",
                metavar="DTYPE",
                callback=_integer_dtype,
                help="The file holds only integers of this NumPy type: '>u4', '<i8' ...",
            ),
        ],
    )


def text_options(command: Command) -> Command:
    """Add the flags that say how text is written; the command gets `delimiter` and `encoding`."""
    return _decorated(
        command,
        [
            click.option(
                "--delimiter",
                metavar="CHAR",
                callback=_one_character,
                help="What separates columns of text: ';', '|', tab ...",
            ),
            click.option(
                "--encoding",
                metavar="NAME",
                callback=_text_encoding,
                help="Encoding of text: cp1252, utf-16 ...  [default: UTF-8; UTF-16 by its mark]",
            ),
        ],
    )


def _one_character(_ctx: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    if text is None:
        return None
    char = _DELIMITERS_BY_NAME.get(text, text)
    if len(char) != 1 or char in '"\r\n\0' or char.isalnum():
        raise click.BadParameter(f"must be one character such as ';' or '|', or tab (was {shown(text)})")
    return char


def _text_encoding(_ctx: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    if text is None:
        return None
    try:
        " ".encode(text)  # refuses what is no encoding of text, such as hex
        found = codecs.lookup(text)
    except (LookupError, UnicodeError, ValueError):
        found = None
    if found is None or found.incrementaldecoder is None:
        raise click.BadParameter(f"must be an encoding that Python has, such as cp1252 (was {shown(text)})")
    return found.name


def _integer_dtype(_ctx: click.Context, _option: click.Parameter, text: str | None) -> np.dtype[Any] | None:
    if text is None:
        return None
    try:
        dtype = np.dtype(text)
    except (TypeError, ValueError, SyntaxError):
        dtype = None
    if dtype is None or dtype.kind not in "iu":
        raise click.BadParameter(f"must be a NumPy integer type, such as '>u4' (was {shown(text)})")
    return dtype
