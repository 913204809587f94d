"""Node lists and hash keys, from files."""

from __future__ import annotations

import importlib
import itertools
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import ringward as rw
from ringward.cli.sources import (
    PACKERS,
    STDIN,
    ByteSource,
    InputError,
    beginning,
    byte_source,
    decoded_lines,
    listed,
    table_rows,
)
from ringward.texts import shown

__all__ = ["read_hash_key", "read_nodes"]

COLUMNS = ("name", "weight", "zone")
_COMMENT = re.compile(r"(?:^|\s)#")
_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]*:[^\]]*\]")
_NO_NAME = re.compile(r"""[\s,;|="'<>{}\[\]]|:$|^(?:---|\.\.\.)$""")
_PLAIN_NUMBER = re.compile(r"[0-9.eE+\-]+|nan|inf")  # not all that Python takes: 1_000, other scripts' digits
_HASH_KEY_BYTES = 16
_HASH_KEY_FILE_BYTES_MAX = 1024
_OTHER_MAGIC = (b"PAR1", b"ARROW1", b"SQLite f", b"\xff\xff\xff\xff")
_READ = "a node list is a file of names, one a line, or .csv, .tsv, .toml, .json, .jsonl or .yaml"

Entry = tuple[int | None, dict[str, Any]]  # the line, where there is one, and what Node takes
Lines = Iterator[str]


def read_nodes(path: str) -> list[rw.Node]:
    """The nodes of a list, in its order.

    Parameters
    ----------
    path : str
        Lines of names, `.csv`, `.tsv`, `.toml`, `.json`, `.jsonl` or `.yaml`; each may be packed by gzip or xz. JSON is
        known by its first character too.

    Raises
    ------
    InputError
        With the line of what is wrong.
    """
    if path != STDIN and not Path(path).suffix and not Path(path).exists():  # "node1,node2", or "3"
        raise InputError(path, f"No such file: {_READ}")
    with byte_source(path) as source:
        if beginning(source).startswith(_OTHER_MAGIC):
            raise InputError(source.name, f"no text: {_READ}")
        entries = _entries_by(source.name)
        lines = decoded_lines(source)
        if entries is _line_entries:
            lines, start = _with_start(lines)
            entries = _json_entries if _is_json(start) else entries
        return _nodes_of(source.name, entries(source, lines))


def _entries_by(name: str) -> Callable[[ByteSource, Lines], Iterator[Entry]]:
    """What reads a file of this name."""
    suffixes = [suffix for suffix in Path(name.lower()).suffixes if suffix not in PACKERS]
    return _ENTRIES.get(suffixes[-1], _line_entries) if suffixes else _line_entries


def _nodes_of(name: str, entries: Iterable[Entry]) -> list[rw.Node]:
    nodes: dict[str, rw.Node] = {}
    for line, entry in entries:
        try:
            node = rw.Node(**entry)
        except rw.RingwardError as error:
            place = "" if line is not None else f"node {shown(entry['name'])}: "
            raise InputError(name, f"{place}{error}", line) from error
        if node.name in nodes:
            raise InputError(name, f"node {shown(node.name)} is listed twice", line)
        nodes[node.name] = node
    if not nodes:
        raise InputError(name, "no nodes")
    return list(nodes.values())


def _with_start(lines: Lines) -> tuple[Lines, str]:
    """The lines, and the first of them that is not blank."""
    held = []
    for line in lines:
        held.append(line)
        if line.strip():
            break
    return itertools.chain(held, lines), held[-1].strip() if held else ""


def _is_json(start: str) -> bool:
    return start.startswith("{") or (start.startswith("[") and not _IPV6.match(start) and not start[1:2].isalpha())


def _line_entries(source: ByteSource, lines: Lines) -> Iterator[Entry]:
    first = True
    for number, line in enumerate(lines, 1):
        text = _COMMENT.split(line)[0].strip()
        if not text:
            continue
        if first and text.lower() == "name":
            what = f"{shown(text)} is the header of a table, which needs .csv; a node of this name needs .json"
            raise InputError(source.name, what, number)
        first = False
        if not text.isprintable() or _NO_NAME.search(_IPV6.sub("", text, count=1)):
            what = f"one name a line, without blanks and separators (was {shown(text)})"
            raise InputError(source.name, f"{what}; weights and zones need .csv, .toml, .json or .yaml", number)
        yield number, {"name": text}


def _csv_entries(source: ByteSource, lines: Lines, delimiter: str = ",") -> Iterator[Entry]:
    header: list[str] | None = None
    for line, row in table_rows(source, lines, delimiter):
        fields = [field.strip() for field in row]
        if not any(fields):
            continue
        if header is None:
            header = _checked_header(source.name, fields, line)
        elif len(fields) != len(header):
            raise InputError(source.name, f"{len(fields)} columns where the header has {len(header)}", line)
        else:
            yield line, _csv_entry(source.name, dict(zip(header, fields, strict=True)), line)


def _tsv_entries(source: ByteSource, lines: Lines) -> Iterator[Entry]:
    return _csv_entries(source, lines, "\t")


def _checked_header(name: str, header: list[str], line: int) -> list[str]:
    if "name" not in header or len(set(header)) < len(header) or set(header) - set(COLUMNS):
        given = listed(header)
        raise InputError(name, f"the header must be name and, optionally, weight and zone (was: {given})", line)
    return header


def _csv_entry(name: str, fields: dict[str, str], line: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": fields["name"]}
    if fields.get("weight"):
        weight = fields["weight"]
        try:
            entry["weight"] = float(weight) if _PLAIN_NUMBER.fullmatch(weight) else None
        except ValueError:
            entry["weight"] = None
        if entry["weight"] is None:
            raise InputError(name, f"weight must be a number (was {shown(weight)})", line)
    if fields.get("zone"):
        entry["zone"] = fields["zone"]
    return entry


def _toml_entries(source: ByteSource, lines: Lines) -> Iterator[Entry]:
    try:
        document = tomllib.loads("".join(lines))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(source.name, str(error)) from error
    return _document_entries(source.name, document, "neither [[nodes]] nor [nodes]")


def _json_entries(source: ByteSource, lines: Lines) -> Iterator[Entry]:
    """One document; where that is not what the file is, JSON lines."""
    text = "".join(lines)
    try:
        document = _parsed(text)
    except (ValueError, RecursionError) as error:
        if "\n" in text.strip() and str(error).startswith("Extra data"):
            return _json_line_entries(source, iter(text.splitlines()))
        raise InputError(source.name, f"no JSON: {error}") from error
    return _document_entries(source.name, document, 'neither a list nor an object with "nodes"')


def _json_line_entries(source: ByteSource, lines: Lines) -> Iterator[Entry]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                given = _parsed(line)
            except (ValueError, RecursionError) as error:
                raise InputError(source.name, f"no JSON: {error}", number) from error
            yield number, _checked_entry(source.name, given, number, number)


def _parsed(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice in one object")
    return found


def _yaml_entries(source: ByteSource, lines: Lines) -> Iterator[Entry]:
    try:
        yaml: Any = importlib.import_module("yaml")
    except ModuleNotFoundError as error:
        raise InputError(source.name, "YAML needs PyYAML: pip install 'ringward[yaml]'") from error

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """YAML without what has two meanings: keys that come twice, and aliases, which can stand for gigabytes."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise ValueError("aliases (*) are not read")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            return _once(
                [(self.construct_object(k, deep=True), self.construct_object(v, deep=True)) for k, v in node.value]
            )

    try:
        document = yaml.load("".join(lines), Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InputError(source.name, f"no YAML: {reason}") from error
    return _document_entries(source.name, document, "neither a list nor `nodes:`")


def _document_entries(name: str, document: Any, otherwise: str) -> Iterator[Entry]:
    """The nodes of a document: a list, or one under `nodes`; there a mapping of names to weights too."""
    nodes = document.get("nodes") if isinstance(document, dict) else document
    if isinstance(nodes, dict) and isinstance(document, dict):
        for node, weight in nodes.items():
            yield None, _checked_entry(name, {"name": node, "weight": weight}, len(nodes), None)
        return
    if not isinstance(nodes, list):
        raise InputError(name, otherwise)
    for number, given in enumerate(nodes, 1):
        yield None, _checked_entry(name, given, number, None)


def _checked_entry(name: str, given: Any, number: int, line: int | None) -> dict[str, Any]:
    """What Node takes of a name, or of a mapping."""
    entry = given if isinstance(given, dict) else {"name": given}
    if "name" not in entry or set(entry) - set(COLUMNS):
        raise InputError(name, f"node {number} must have a name and, optionally, a weight and a zone", line)
    for field, value in entry.items():
        if not isinstance(value, str | int | float | None):
            what = "a name, or a mapping with one" if entry is not given else "text or a number"
            raise InputError(name, f"node {number}: {field} must be {what} (was a {type(value).__name__})", line)
    return {field: value for field, value in entry.items() if value is not None or field == "name"}


_ENTRIES: dict[str, Callable[[ByteSource, Lines], Iterator[Entry]]] = {
    ".csv": _csv_entries,
    ".tsv": _tsv_entries,
    ".tab": _tsv_entries,
    ".toml": _toml_entries,
    ".json": _json_entries,
    ".jsonl": _json_line_entries,
    ".ndjson": _json_line_entries,
    ".yaml": _yaml_entries,
    ".yml": _yaml_entries,
}


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
