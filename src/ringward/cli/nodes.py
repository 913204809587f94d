"""Node lists and hash keys, from files."""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import ringward as rw
from ringward.cli.sources import InputError, byte_source, decoded_lines

__all__ = ["read_hash_key", "read_nodes"]

COLUMNS = ("name", "weight", "zone")
_COMMENT = re.compile(r"(?:^|\s)#")
_HASH_KEY_BYTES = 16
_HASH_KEY_FILE_BYTES_MAX = 1024

Entry = tuple[int | None, dict[str, Any]]  # the line, where there is one, and what Node takes


def read_nodes(path: str) -> list[rw.Node]:
    """The nodes of a list, in its order.

    Parameters
    ----------
    path : str
        Lines, `.csv` or `.toml`; each may be packed by gzip.

    Raises
    ------
    InputError
        With the line of what is wrong.
    """
    suffixes = Path(path.lower()).suffixes
    with byte_source(path) as source:
        lines = decoded_lines(source)
        if ".toml" in suffixes:
            return _nodes_of(source.name, _toml_entries(source.name, "".join(lines)))
        if ".csv" in suffixes:
            return _nodes_of(source.name, _csv_entries(source.name, lines))
        return _nodes_of(source.name, _line_entries(source.name, lines))


def _nodes_of(name: str, entries: Iterable[Entry]) -> list[rw.Node]:
    nodes: dict[str, rw.Node] = {}
    for line, entry in entries:
        try:
            node = rw.Node(**entry)
        except rw.RingwardError as error:
            place = "" if line is not None else f"node {entry['name']!r}: "
            raise InputError(name, f"{place}{error}", line) from error
        if node.name in nodes:
            raise InputError(name, f"node {node.name!r} is listed twice", line)
        nodes[node.name] = node
    if not nodes:
        raise InputError(name, "no nodes")
    return list(nodes.values())


def _line_entries(name: str, lines: Iterable[str]) -> Iterator[Entry]:
    for number, line in enumerate(lines, 1):
        text = _COMMENT.split(line)[0].strip()
        if "," in text or "\t" in text:
            raise InputError(name, "one name a line; weights and zones need a .csv or .toml file", number)
        if text:
            yield number, {"name": text}


def _csv_entries(name: str, lines: Iterable[str]) -> Iterator[Entry]:
    reader = csv.reader(lines, strict=True)
    header: list[str] | None = None
    try:
        for row in reader:
            fields = [field.strip() for field in row]
            if not any(fields):
                continue
            if header is None:
                header = _checked_header(name, fields, reader.line_num)
            elif len(fields) != len(header):
                raise InputError(name, f"{len(fields)} columns where the header has {len(header)}", reader.line_num)
            else:
                yield reader.line_num, _csv_entry(name, dict(zip(header, fields, strict=True)), reader.line_num)
    except csv.Error as error:
        raise InputError(name, str(error), reader.line_num) from error


def _checked_header(name: str, header: list[str], line: int) -> list[str]:
    if "name" not in header or len(set(header)) < len(header) or set(header) - set(COLUMNS):
        given = ", ".join(header)
        raise InputError(name, f"the header must be name and, if wanted, weight and zone (was: {given})", line)
    return header


def _csv_entry(name: str, fields: dict[str, str], line: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": fields["name"]}
    if fields.get("weight"):
        try:
            entry["weight"] = float(fields["weight"])
        except ValueError:
            raise InputError(name, f"weight must be a number (was {fields['weight']!r})", line) from None
    if fields.get("zone"):
        entry["zone"] = fields["zone"]
    return entry


def _toml_entries(name: str, text: str) -> Iterator[Entry]:
    try:
        nodes = tomllib.loads(text).get("nodes")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(name, str(error)) from error
    if isinstance(nodes, dict):
        for node, weight in nodes.items():
            yield None, {"name": node, "weight": weight}
        return
    if not isinstance(nodes, list):
        raise InputError(name, "neither [[nodes]] nor [nodes]")
    for number, entry in enumerate(nodes, 1):
        if not isinstance(entry, dict) or "name" not in entry or set(entry) - set(COLUMNS):
            raise InputError(name, f"node {number} must have a name and, if wanted, a weight and a zone")
        yield None, entry


def read_hash_key(path: str) -> bytes:
    """The 16 bytes of a secret hash key: a file of just these, or of 32 hexadecimal digits."""
    with Path(path).open("rb") as file:  # never unpacked: a random key may begin like a gzip file
        data = file.read(_HASH_KEY_FILE_BYTES_MAX)
    if len(data) == _HASH_KEY_BYTES:
        return data
    try:
        key = bytes.fromhex(data.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != _HASH_KEY_BYTES:
        raise InputError(path, f"must hold 16 bytes or 32 hexadecimal digits (holds {len(data)} bytes)") from None
    return key
