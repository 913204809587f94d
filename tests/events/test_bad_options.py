"""Arguments of the wrong type, and out of bounds: each gets a typed error, at once, and changes nothing."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime

import numpy as np
import pytest

import ringward as rw
from ringward.events import (
    Event,
    Hooks,
    JsonCodec,
    MemoryStore,
    MsgspecCodec,
    Options,
    Processor,
    Retention,
    Retry,
    SqliteStore,
    Stream,
    aio,
)
from ringward.events.worker import work

BAD_INT = [None, "1", 1.5, True, math.nan, [1], b"1", np.array([1.5]), np.array(1.5)]
BAD_SECONDS = ["1", True, math.nan, math.inf, -1, [1], b"1", 10**400]
BAD_TEXT = [None, "", 3, b"name", ["name"], "caf\udce9"]


class Half:
    """Encodes only."""

    def encode(self, value):
        """Give nothing useful."""
        return value


class Texts:
    """A codec that encodes to text."""

    def encode(self, value):
        """Give text, which is no bytes."""
        return str(value)

    def decode(self, payload):
        """Give it back."""
        return payload


CONSTRUCTED = [
    (Processor, "producer", BAD_TEXT),
    (Processor, "stream", [3, "stream", Stream]),
    (Processor, "codec", ["yaml", 7, JsonCodec, Half(), MsgspecCodec]),
    (Processor, "retention", [3, {}, Retention]),
    (Processor, "unresolved_bytes", [*BAD_INT, 0, -1]),
    (Processor, "unresolved_count", [*BAD_INT, 0, -1]),
    (Processor, "hooks", [3, object(), ["x"], {}, Hooks, type("Own", (Hooks,), {}), {}, lambda _: None]),
    (Processor, "redact", [3, "x", {}]),
    (Processor, "now", [3, None]),
    (Processor, "chance", [3, None]),
    (Processor, "create", [None, 1, "yes", []]),
    (Processor, "store", [3, object(), ["x"], {}, b"path", MemoryStore, True]),
    (aio.Processor, "concurrency", [*BAD_INT, 0]),
    (aio.Processor, "producer", BAD_TEXT),
    (Retry, "attempts", [*BAD_INT, 0, -1]),
    (Retry, "base_s", [*BAD_SECONDS, None]),
    (Retry, "wait_s_max", [*BAD_SECONDS, None]),
    (Retry, "factor", [*BAD_SECONDS, None, 0.5]),
    (Options, "retry", [3, None, {}, Retry, "often"]),
    (Options, "on_dead", [None, "die", 3, True, ["park"]]),
    *((Options, name, [*BAD_SECONDS, None, 0]) for name in ("lease_s", "heartbeat_s", "handler_timeout_s", "slow_s")),
    *((Options, name, [*BAD_INT, -1]) for name in ("batch", "window", "dead_letters_max", "hung_handlers_max")),
    (Retention, "age_s", BAD_SECONDS),
    (Retention, "bytes", [*(bad for bad in BAD_INT if bad is not None), -1]),
    (Retention, "count", [*(bad for bad in BAD_INT if bad is not None), -1]),
    (Stream, "partitions", [*BAD_INT, 0, 1 << 17]),
    (Stream, "hash", [None, "xxh3", rw.XXH3, 3]),
    (MemoryStore, "stream", [3, "stream", Stream]),
    (MsgspecCodec, "format", [None, "yaml", 3]),
]


@pytest.mark.parametrize(
    ("make", "name", "value"), [(make, name, value) for make, name, values in CONSTRUCTED for value in values]
)
def test_what_is_constructed_with_a_bad_option_is_refused(make, name, value):
    with pytest.raises((rw.ArgumentError, rw.ArgumentTypeError), match=name):
        make(**{name: value})


CONSUMED = [
    ("group", BAD_TEXT),
    (
        "members",
        ["ab", b"ab", True, None, 0, -1, 1.5, [], ["a", "a"], [1], [""], {"a": 1}, 10_001, np.float64(1), object()],
    ),
    ("options", [3, {}, Retry(), Options, "options"]),
    ("start", ["now", datetime.fromisoformat("0001-01-01"), True, None, 1.5, -1, 7, [1], b"end", "", math.nan]),
    ("router", [3, "ring", ["a"]]),
    ("retry", [3, None]),
    ("on_dead", ["die"]),
    ("lease_s", ["5", math.nan]),
    ("retries", [3]),
    ("member", ["a"]),
]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in CONSUMED for value in values])
@pytest.mark.parametrize("kind", [Processor, aio.Processor])
def test_a_consumer_with_a_bad_option_is_refused(kind, name, value):
    """`retry=3` was taken, and the first failure stopped the processor; `members="ab"` were two members."""
    options = {"group": "g", name: value}

    async def coroutine(event):
        """Do nothing."""

    handler = coroutine if kind is aio.Processor else (lambda _: None)
    p = kind()
    with pytest.raises((rw.ArgumentError, rw.ArgumentTypeError)):
        p.consumer(**options)(handler)
    assert p._engine.stats().groups == {}
    p._engine.close()


def test_an_option_that_there_is_not_names_those_that_are_close():
    with Processor() as p, pytest.raises(TypeError, match="did you mean retry") as caught:
        p.consumer("g", retries=3)
    assert isinstance(caught.value, rw.ArgumentTypeError)


def test_members_may_be_what_counts_and_what_names():
    for members in (np.int64(2), ("a", "b"), ["a", "b"], {"a", "b"}, np.array(["a", "b"])):
        with Processor(stream=Stream(partitions=2)) as p:
            p.consumer("g", members=members)(lambda _: None)
            p.start()
            p.stop()
            assert len(p._engine.consumers.of("g").group.members.local) == 2


PUBLISHED = [
    (
        "key",
        [
            None,
            True,
            1.5,
            math.nan,
            [],
            (),
            object(),
            "caf\udce9",
            2**64,
            -(2**63) - 1,
            datetime(2026, 1, 1, tzinfo=UTC),
        ],
    ),
    ("payload", [None, {}, [], "text", 3, 1.5, object(), True]),
    ("id", [True, 1.5, "", b"", "x" * 2000, -1, 2**63, [], "caf\udce9", math.nan]),
    ("headers", [3, "", [], 0, "text", [("a", "b")], {"a": 1}, {1: "a"}, {"a": None}, {b"a": "b"}]),
    ("wait_s", ["1", True, math.nan, math.inf, -1]),
]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in PUBLISHED for value in values])
def test_a_publish_with_a_bad_argument_is_refused_and_stores_nothing(name, value, tmp_path):
    event = {"key": "key", "payload": b"", name: value}
    typed = (rw.ArgumentError, rw.ArgumentTypeError, rw.KeyTypeError, rw.KeyValueError)
    with Processor() as p:
        with pytest.raises(typed):
            p.publish(**event)
        many = {f"{field}s" if field in ("key", "payload", "id") else field: [given] for field, given in event.items()}
        if name == "wait_s":
            many["wait_s"] = value
        with pytest.raises(typed):
            p.publish_many(**many)
        assert p.stats().tail == 0


@pytest.mark.parametrize(
    ("payload", "hint"), [({}, "codec='json'"), ([1], "codec='json'"), (None, "codec='json'"), ("text", ".encode()")]
)
def test_a_payload_that_is_no_bytes_points_to_what_makes_bytes(payload, hint):
    with Processor() as p, pytest.raises(rw.ArgumentTypeError) as caught:
        p.publish("key", payload)
    assert hint in str(caught.value)


def test_a_codec_that_gives_no_bytes_is_refused():
    with Processor(codec=Texts()) as p:
        with pytest.raises(rw.ArgumentTypeError, match="codec"):
            p.publish("key", 3)
        assert p.stats().tail == 0


MANY = [
    ("keys", ["ab", b"ab", 3, None, {"a": 1}, {"a"}]),
    ("payloads", [b"ab", "ab", None, 3, [b""] * 3, {"a": 1}]),
    ("ids", ["ab", 3, [1], b"ab"]),
    ("headers", ["ab", 3, [{}], {"a": "b"}]),
]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in MANY for value in values])
def test_columns_that_are_none_are_refused_and_store_nothing(name, value):
    columns = {"keys": ["a", "b"], "payloads": [b"", b""], name: value}
    with Processor() as p:
        with pytest.raises((rw.ArgumentError, rw.ArgumentTypeError, rw.KeyTypeError)):
            p.publish_many(**columns)
        assert p.stats().tail == 0


CALLED = [
    ("run", {"until": value}) for value in ("empty", True, 1, ["idle"], "")
] + [
    (call, {"timeout_s": value}) for call in ("run", "stop", "drain") for value in ("1", True, math.nan, -1, [1])
] + [
    ("run", {"stop_timeout_s": "1"}),
    ("stop", {"timeout_s": None}),
    *((call, {"group": bad}) for call in ("dead", "redrive") for bad in ("", 3, None, ["g"])),
    *(("drop", {"group": bad, "seqs": [1]}) for bad in ("", 3, None)),
    *(("redrive", {"group": "g", "seqs": bad}) for bad in ("1", 1, True, [True], ["1"], [1.5], {"a": 1}, b"1")),
    *(("drop", {"group": "g", "seqs": bad}) for bad in ("1", 1, None, [True], ["1"], [1.5], b"1")),
    *(("reset", {"group": "g", "to": bad}) for bad in ("now", True, None, 1.5, -1, 10**30)),
    ("reroute", {"group": "g", "router": 3}),
    ("reroute", {"group": "g", "router": None}),
]  # fmt: skip


async def called(call, arguments):
    """Call what may be a coroutine function."""
    result = call(**arguments)
    return await result if asyncio.iscoroutine(result) else result


@pytest.mark.parametrize(("call", "arguments"), CALLED)
@pytest.mark.parametrize("kind", [Processor, aio.Processor])
def test_a_call_with_a_bad_argument_is_refused(kind, call, arguments):
    typed = (rw.ArgumentError, rw.ArgumentTypeError, rw.UnknownGroupError)

    async def main():
        p = kind()

        async def coroutine(event):
            """Do nothing."""

        p.consumer("g")(coroutine if kind is aio.Processor else (lambda _: None))
        try:
            with pytest.raises(typed):
                await called(getattr(p, call), arguments)
        finally:
            await called(p.close, {})

    asyncio.run(main())


@pytest.mark.parametrize(
    "arguments",
    [
        {"members": "ab"},
        {"until": "empty"},
        {"timeout_s": "1"},
        {"retries": 3},
        {"group": 3},
        {"handler": 3},
        {"handler": "nothing"},
        {"path": 3},
    ],
)
def test_work_with_a_bad_argument_is_refused(arguments, tmp_path):
    pytest.importorskip("apsw")
    given = {
        "path": tmp_path / "events.db",
        "group": "g",
        "handler": print,
        "until": "idle",
        "create": True,
        **arguments,
    }
    with pytest.raises((rw.ArgumentError, rw.ArgumentTypeError)):
        work(**given)


@pytest.mark.parametrize(
    ("name", "value"),
    [("stream", 3), ("clock", 3), ("transaction_timeout_s", "1"), ("transaction_timeout_s", math.nan), ("path", 3)],
)
def test_a_file_with_a_bad_option_is_refused(name, value, tmp_path):
    pytest.importorskip("apsw")
    with pytest.raises((rw.ArgumentError, rw.ArgumentTypeError)):
        SqliteStore(**{"path": tmp_path / "events.db", name: value})
    assert list(tmp_path.iterdir()) == []


def test_an_event_is_not_made_by_hand():
    with pytest.raises(TypeError):
        Event(seq=1)
