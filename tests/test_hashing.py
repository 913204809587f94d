"""The hash families against published and computed vectors, other implementations and big integers."""

from __future__ import annotations

import gzip
import math
import pickle
import random
from pathlib import Path

import numpy as np
import oracle
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import MANY

import ringward as rw

VECTORS = Path(__file__).parent / "data" / "vectors"
BUFFER = (VECTORS / "buffer.bin").read_bytes()
SEEDS = (0, 1, 0x9E3779B97F4A7C15, 2**63, 2**64 - 1)
LENGTHS = (*range(1101), 65_536, 70_000)
ROUNDS = {"SipHash-1-3": (1, 3), "SipHash-2-4": (2, 4)}


def rows_of(name: str) -> list[list[str]]:
    """Return the rows of a vector file without its comments and its header."""
    opener = gzip.open if name.endswith(".gz") else open
    with opener(VECTORS / name, "rt", encoding="ascii") as file:
        lines = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    assert lines[0][0] == "algo"
    return lines[1:]


def both_ways(hash_function: object, inputs: list[bytes]) -> list[int]:
    """Return the hashes of inputs, having checked that one key and many agree."""
    bulk = rw.hash_keys(inputs, hash_function)
    assert bulk.dtype == np.uint64
    assert bulk.shape == (len(inputs),)
    assert [hash_function(data) for data in inputs] == bulk.tolist()
    return bulk.tolist()


# ---- XXH3 ------------------------------------------------------------------------------------------


def test_xxh3_agrees_with_every_vector() -> None:
    """Every row of the vector file is met, by one key and in bulk."""
    rows = rows_of("xxh3_64.tsv.gz")
    assert len(rows) == 2158
    for seed in {row[1] for row in rows}:
        mine = [row for row in rows if row[1] == seed]
        inputs = [BUFFER[int(o) : int(o) + int(n)] for _, _, o, n, _ in mine]
        assert both_ways(rw.XXH3(seed=int(seed, 16)), inputs) == [int(row[4], 16) for row in mine]


@pytest.mark.parametrize("seed", SEEDS)
def test_xxh3_agrees_with_the_xxhash_package_at_every_length(seed: int) -> None:
    """Lengths 0 to 1,100, 65,536 and 70,000 cross every change of path inside XXH3."""
    noise = random.Random(seed).randbytes(70_000)
    inputs = [noise[:length] for length in LENGTHS]
    expected = [oracle.xxh3(data, seed) for data in inputs]
    assert both_ways(rw.XXH3(seed=seed), inputs) == expected


@pytest.mark.parametrize("length", [1, 7, 8, 9, 16, 17, 33, 129, 240, 241, 300])
def test_xxh3_agrees_for_byte_arrays_of_full_width(length: int) -> None:
    """A fixed-width S array of keys without a padded tail gives what the xxhash package gives."""
    rng = random.Random(length)
    inputs = [bytes(rng.choices(range(1, 256), k=length)) for _ in range(67)]
    found = rw.hash_keys(np.array(inputs, dtype=f"S{length}"), rw.XXH3(seed=7))
    assert found.tolist() == [oracle.xxh3(data, 7) for data in inputs]


@given(data=st.binary(max_size=300), seed=st.integers(0, 2**64 - 1))
@MANY
def test_xxh3_agrees_with_the_xxhash_package_for_any_seed(data: bytes, seed: int) -> None:
    """Any bytes and any seed give what the xxhash package gives."""
    assert rw.XXH3(seed=seed)(data) == oracle.xxh3(data, seed)
    assert rw.hash_keys([data], rw.XXH3(seed=seed))[0] == oracle.xxh3(data, seed)


def test_xxh3_with_seed_0_is_what_hash_keys_uses_unless_told() -> None:
    """The default of hash_keys is XXH3 with seed 0, and so is the default of XXH3's seed."""
    inputs = ["", "event1", "é" * 40]
    expected = [oracle.xxh3(key.encode()) for key in inputs]
    assert rw.hash_keys(inputs).tolist() == expected
    assert rw.hash_keys(inputs, rw.XXH3()).tolist() == expected
    assert rw.hash_keys(inputs, hash=rw.XXH3(seed=0)).tolist() == expected


def test_integer_arrays_hash_as_eight_bytes_in_every_block_of_a_long_array() -> None:
    """A long integer array, whatever blocks it is worked in, gives XXH3 of 8 bytes for each key."""
    keys = np.arange(-2_500, 2_503, dtype=np.int64) * 3_456_789_012_345
    expected = [oracle.xxh3(oracle.key_bytes(key)) for key in keys.tolist()]
    assert rw.hash_keys(keys).tolist() == expected


# ---- SipHash ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ROUNDS)
def test_siphash_agrees_with_every_vector(algorithm: str) -> None:
    """Every row of the vector file is met, by one key and in bulk."""
    rows = [row for row in rows_of("siphash.tsv.gz") if row[0] == algorithm]
    assert len(rows) == 544
    for key16 in {row[1] for row in rows}:
        mine = [row for row in rows if row[1] == key16]
        inputs = [BUFFER[int(o) : int(o) + int(n)] for _, _, o, n, *_ in mine]
        hash_function = rw.SipHash(bytes.fromhex(key16), rounds=ROUNDS[algorithm])
        assert both_ways(hash_function, inputs) == [int(row[5]) for row in mine]


def test_siphash_2_4_agrees_with_the_official_vectors() -> None:
    """The 64 vectors of the reference implementation are met."""
    rows = rows_of("siphash24_official.tsv")
    assert len(rows) == 64
    hash_function = rw.SipHash(bytes.fromhex(rows[0][1]), rounds=(2, 4))
    inputs = [b"" if row[2] == "-" else bytes.fromhex(row[2]) for row in rows]
    assert both_ways(hash_function, inputs) == [int(row[4]) for row in rows]


def test_siphash_takes_one_and_three_rounds_unless_told() -> None:
    """The default of rounds is (1, 3)."""
    key16 = bytes(range(16))
    assert rw.SipHash(key16)(b"event1") == oracle.siphash(key16, b"event1", (1, 3))
    assert rw.SipHash(key16) == rw.SipHash(key16, rounds=(1, 3))
    assert rw.SipHash(key16) != rw.SipHash(key16, rounds=(2, 4))


@given(
    key16=st.binary(min_size=16, max_size=16),
    data=st.binary(max_size=300),
    rounds=st.sampled_from([(1, 3), (2, 4)]),
)
@MANY
def test_siphash_agrees_with_the_oracle(key16: bytes, data: bytes, rounds: tuple) -> None:
    """Any key and any bytes give what SipHash written out in Python gives."""
    expected = oracle.siphash(key16, data, rounds)
    assert both_ways(rw.SipHash(key16, rounds=rounds), [data]) == [expected]


def test_siphash_of_integers_is_that_of_their_eight_bytes() -> None:
    """Integer arrays, which may take a path of their own, agree with the oracle."""
    key16 = bytes(range(100, 116))
    keys = np.array([0, 1, -1, 2**63 - 1, -(2**63), *range(500)], dtype=np.int64)
    expected = [oracle.siphash(key16, oracle.key_bytes(key)) for key in keys.tolist()]
    assert rw.hash_keys(keys, rw.SipHash(key16)).tolist() == expected


# ---- Multiplicative --------------------------------------------------------------------------------

EXTREMES = (
    1,
    2,
    3,
    2**31 - 1,
    2**32,
    2**32 + 1,
    2**63 - 1,
    2**63,
    2**63 + 1,
    2**64 - 59,
    2**64 - 1,
)
PAIRS = [(m, p) for m in EXTREMES for p in EXTREMES[1:] if math.gcd(m, p) == 1]
INTEGERS = (0, 1, 2, 42, -1, -2, 2**31, 2**32, 2**63 - 1, 2**63, -(2**63), 2**64 - 1)


@pytest.mark.parametrize(("m", "p"), PAIRS)
def test_multiplicative_is_exact_at_the_extremes(m: int, p: int) -> None:
    """Products near 2^128 and moduli near 2^64 lose no bit, by one key, in lists and in arrays."""
    family = rw.Multiplicative(m, p)
    expected = [oracle.multiplicative(k, m, p) for k in INTEGERS]
    assert [family(k) for k in INTEGERS] == expected
    assert [family.position(k) for k in INTEGERS] == [k % 2**64 * m % p for k in INTEGERS]
    assert rw.hash_keys(list(INTEGERS), family).tolist() == expected
    unsigned = np.array([k % 2**64 for k in INTEGERS], dtype=np.uint64)
    assert rw.hash_keys(unsigned, family).tolist() == expected


@given(
    m=st.integers(1, 2**64 - 1),
    p=st.integers(2, 2**64 - 1),
    keys=st.lists(st.integers(-(2**63), 2**64 - 1), min_size=1, max_size=20),
)
@MANY
def test_multiplicative_agrees_with_big_integers(m: int, p: int, keys: list[int]) -> None:
    """The hash is floor(((k m) mod p) 2^64 / p) for any m and p without a common factor."""
    assume(math.gcd(m, p) == 1)
    family = rw.Multiplicative(m, p)
    assert rw.hash_keys(keys, family).tolist() == [oracle.multiplicative(k, m, p) for k in keys]
    assert [family.position(k) for k in keys] == [oracle.multiplicative_position(k, m, p) for k in keys]


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
@MANY
def test_multiplicative_takes_the_xxh3_of_keys_that_are_no_integers(text: str) -> None:
    """For str and bytes, k is XXH3-64 of the bytes."""
    m, p = 0x9E3779B97F4A7C15, 2**61 - 1
    family = rw.Multiplicative(m, p)
    k = oracle.xxh3(text.encode())
    assert family.position(text) == k * m % p
    assert family(text) == family(text.encode()) == k * m % p * 2**64 // p
    assert rw.hash_keys([text], family)[0] == family(text)


def test_multiplicative_takes_the_smallest_ring_of_all() -> None:
    """A ring of one position is allowed, since 1 has no common factor with anything."""
    family = rw.Multiplicative(5, 1)
    assert [family.position(k) for k in INTEGERS] == [0] * len(INTEGERS)
    assert set(rw.hash_keys(list(INTEGERS), family).tolist()) == {0}


def test_multiplicative_fills_the_ring() -> None:
    """The smallest position is hash 0 and the largest lies in the last 1/p of the ring."""
    p = 1009
    found = rw.hash_keys(np.arange(p), rw.Multiplicative(10, p))
    assert sorted(found.tolist()) == [position * 2**64 // p for position in range(p)]


@pytest.mark.parametrize(("m", "p"), [(2, 4), (6, 9), (2**32, 2**63), (5, 5), (10, 5), (0, 7)])
def test_multiplicative_refuses_a_common_factor(m: int, p: int) -> None:
    """If gcd(m, p) is not 1 whole stretches of the ring would stay empty."""
    with pytest.raises(rw.ArgumentError):
        rw.Multiplicative(m, p)


@pytest.mark.parametrize(("m", "p"), [(1, 0), (2**64, 3), (3, 2**64), (-1, 7), (3, -7)])
def test_multiplicative_refuses_what_is_out_of_bounds(m: int, p: int) -> None:
    """The factor and the modulus are below 2^64, and the modulus is at least 1."""
    with pytest.raises(rw.ArgumentError) as caught:
        rw.Multiplicative(m, p)
    assert caught.value.argument in {"m", "p"}
    assert caught.value.value in {m, p}


@pytest.mark.parametrize(("m", "p"), [(1.0, 7), (3, 7.0), ("3", 7), (3, None)])
def test_multiplicative_refuses_what_is_no_integer(m: object, p: object) -> None:
    """A float or a text for the factor or the modulus is a type error."""
    with pytest.raises(rw.ArgumentTypeError):
        rw.Multiplicative(m, p)


# ---- what all families share -----------------------------------------------------------------------

SECRET = b"top-secret-key-!"
FAMILIES = (
    rw.XXH3,
    lambda: rw.XXH3(seed=2**64 - 1),
    lambda: rw.SipHash(SECRET),
    lambda: rw.SipHash(SECRET, rounds=(2, 4)),
    lambda: rw.Multiplicative(10, 2**61 - 1),
)


@pytest.mark.parametrize("make", FAMILIES)
def test_a_hash_is_a_value(make: object) -> None:
    """Hashes made alike are equal, hash alike as objects, and pickle to equals."""
    assert make() == make()
    assert hash(make()) == hash(make())
    again = pickle.loads(pickle.dumps(make()))
    assert again == make()
    assert again("event1") == make()("event1")


def test_hashes_that_differ_are_unequal() -> None:
    """No two of the families below, nor anything else, are taken for one another."""
    made = [make() for make in FAMILIES] + [rw.XXH3(seed=1), rw.SipHash(bytes(16)), 0, None]
    for i, one in enumerate(made):
        for j, other in enumerate(made):
            assert (one == other) is (i == j)


def test_the_repr_of_siphash_hides_its_key() -> None:
    """Neither the key, nor its hexadecimal form, nor its repr is in the repr or the str."""
    family = rw.SipHash(SECRET)
    for shown in (repr(family), str(family), f"{family}"):
        assert "SipHash" in shown
        for secret in (SECRET.decode(), SECRET.hex(), SECRET.decode()[:8], SECRET.hex()[:16]):
            assert secret not in shown


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_xxh3_refuses_a_seed_that_is_no_64_bit_number(seed: int) -> None:
    """A seed out of bounds is an error that names argument and value."""
    with pytest.raises(rw.ArgumentError) as caught:
        rw.XXH3(seed=seed)
    assert (caught.value.argument, caught.value.value) == ("seed", seed)


@pytest.mark.parametrize("seed", [1.5, "1", None])
def test_xxh3_refuses_a_seed_that_is_no_integer(seed: object) -> None:
    """A seed of another type is a type error."""
    with pytest.raises(rw.ArgumentTypeError):
        rw.XXH3(seed=seed)


@pytest.mark.parametrize("key16", [b"", b"x" * 15, b"x" * 17, b"x" * 32])
def test_siphash_refuses_a_key_that_is_not_16_bytes_without_showing_it(key16: bytes) -> None:
    """A key of another length is an error, whose message does not give the key away."""
    with pytest.raises(rw.ArgumentError) as caught:
        rw.SipHash(key16)
    assert "xxx" not in str(caught.value)
    assert "16" in str(caught.value)


@pytest.mark.parametrize("key16", ["x" * 16, None, 5])
def test_siphash_refuses_a_key_that_is_no_bytes(key16: object) -> None:
    """A key of another type is a type error."""
    with pytest.raises(rw.ArgumentTypeError):
        rw.SipHash(key16)


@pytest.mark.parametrize("rounds", [(0, 3), (1, 0), (1,), (1, 2, 3), (-1, 3)])
def test_siphash_refuses_rounds_that_do_not_mix(rounds: tuple) -> None:
    """Rounds are two positive numbers."""
    with pytest.raises(rw.RingwardError):
        rw.SipHash(SECRET, rounds=rounds)


@pytest.mark.parametrize("wrong", ["xxh3", 0, rw.XXH3, hash])
def test_hash_keys_refuses_what_is_no_hash(wrong: object) -> None:
    """The hash is one of the three families, made: not its name, its class or a function."""
    with pytest.raises(rw.ArgumentTypeError):
        rw.hash_keys(["event1"], wrong)


def test_multiplicative_is_exact_where_the_reciprocal_is_one_off() -> None:
    """With this p about one key in a hundred needs the last correction of the division by a reciprocal."""
    p, m = 2**63 + 2**32 + 1, 5537418059981665169
    ks = [6752966303463696989, *(k * 0x9E3779B97F4A7C15 % 2**64 for k in range(5000))]
    family = rw.Multiplicative(m, p)
    assert [family.position(k) for k in ks] == [k * m % p for k in ks]
    assert rw.hash_keys(np.array(ks, np.uint64), family).tolist() == [k * m % p * 2**64 // p for k in ks]
