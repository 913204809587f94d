"""Instruction sets: every level that the machine has computes the same bits, and the environment picks one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import levels_child
import pytest
import xxhash

import ringward as rw

CHILD = Path(levels_child.__file__)
EDGES = CHILD.with_name("edges_child.py")


def run(level, *arguments):
    """A child interpreter with RINGWARD_CPU set, or unset for None."""
    environment = {name: value for name, value in os.environ.items() if name != "RINGWARD_CPU"}
    if level is not None:
        environment["RINGWARD_CPU"] = level
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)


def test_every_level_computes_the_same_bits():
    told = {level: run(level, str(CHILD)) for level in rw.cpu().levels}
    assert [child.stderr for child in told.values()] == [""] * len(told)
    words = {level: child.stdout.split() for level, child in told.items()}
    assert [level for level, _ in words.values()] == list(told), "a level was not forced"
    assert len({digest for _, digest in words.values()}) == 1, words


@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
@pytest.mark.parametrize("width", [*range(1, 18), 40])
def test_padded_keys_hash_as_the_bytes_without_the_padding(width, seed):
    keys = levels_child.padded(999, width, seed)
    for array in (keys, keys[::3], keys[::-1]):
        expected = [xxhash.xxh3_64_intdigest(key, seed) for key in array.tolist()]
        assert rw.hash_keys(array, rw.XXH3(seed)).tolist() == expected


@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
@pytest.mark.parametrize("width", [*range(1, 18), 40, 300])
@pytest.mark.parametrize("size", [1, 8, 64, 999])
def test_keys_of_one_size_hash_as_their_bytes(size, width, seed):
    for column in levels_child.of_one_size(size, width, 1):
        expected = [xxhash.xxh3_64_intdigest(key, seed) for key in column.to_pylist()]
        assert rw.hash_keys(column, rw.XXH3(seed)).tolist() == expected


@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 63, 1_000])
def test_integers_hash_as_their_eight_bytes(size, seed):
    keys = levels_child.integers(size, size)
    expected = [xxhash.xxh3_64_intdigest(key.tobytes(), seed) for key in keys]
    assert rw.hash_keys(keys, rw.XXH3(seed)).tolist() == expected


def test_the_widest_level_is_the_default():
    child = run(None, "-c", "import ringward as rw; c = rw.cpu(); print(c.level == c.levels[-1], *c.levels)")
    assert child.stdout.split() == ["True", *rw.cpu().levels]
    assert rw.cpu().levels[0] == "baseline"


def test_an_empty_variable_is_none():
    assert run("", "-c", "import ringward as rw; print(rw.cpu().level)").stdout.strip() == rw.cpu().levels[-1]


def test_a_level_that_is_not_there_is_an_error_that_names_those_that_are():
    child = run("avx1024", "-c", "import ringward")
    assert child.returncode != 0
    assert child.stderr.splitlines()[-1] == (
        "ringward.errors.ArgumentError: the environment variable RINGWARD_CPU must be one of "
        f"{', '.join(rw.cpu().levels)} (was 'avx1024')"
    )


@pytest.mark.parametrize("level", rw.cpu().levels)
def test_columns_at_the_edges_of_memory_are_not_read_beyond(level):
    """The first and last bytes of a column may be the first and last ones of a page; a few keys are all tail."""
    child = run(level, "-X", "faulthandler", str(EDGES))
    assert (child.returncode, child.stdout.strip()) == (0, level), child.stderr


@pytest.mark.skipif(os.name != "posix", reason="pages are protected by mprotect")
def test_whoever_touches_what_is_beyond_the_edge_dies():
    """So the test above can fail."""
    child = run(None, str(EDGES), "beyond")
    assert (child.returncode < 0, child.stdout) == (True, "")
