"""What the library says to mistakes of a first day: payloads that a codec cannot hold, a reset to nowhere, groups to delete."""

from __future__ import annotations

import asyncio
import math

import pytest

import ringward as rw
from ringward.events import MsgspecCodec, Processor, aio

CIRCLE: list[object] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize("payload", [{1, 2}, b"x", object(), {(1, 2): 3}, math.nan, [math.inf], CIRCLE, "\udce9"])
def test_what_json_cannot_hold_is_a_typed_error_that_names_the_payload(payload):
    with Processor(codec="json") as p:
        for call in (lambda: p.publish("k", payload), lambda: p.publish_many(["k"], [payload])):
            with pytest.raises((rw.ArgumentError, rw.ArgumentTypeError), match="payload must be what JSON can hold"):
                call()
        assert p.stats().tail == 0


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_what_msgspec_cannot_hold_is_a_typed_error_that_names_the_payload(form):
    pytest.importorskip("msgspec")
    with Processor(codec=MsgspecCodec(format=form)) as p:
        for payload in (object(), 2**70 if form == "msgpack" else object(), "\udce9"):
            with pytest.raises((rw.ArgumentError, rw.ArgumentTypeError), match=f"payload must be what {form} can hold"):
                p.publish("k", payload)
        assert p.stats().tail == 0


def test_a_payload_that_a_codec_refuses_is_redacted():
    with Processor(codec="json", redact=lambda _text: "***") as p:
        with pytest.raises(rw.ArgumentTypeError, match="payload must be") as caught:
            p.publish("k", {"secret"})
        assert "secret" not in str(caught.value)


def test_a_reset_must_say_where_to_and_names_its_own_argument():
    with Processor() as p:
        p.consumer("g")(lambda _event: None)
        p.publish("k", b"x")
        assert p.run(until="idle", timeout_s=30)
        with pytest.raises(TypeError, match="to"):
            p.reset("g")
        assert p.stats().groups["g"].lag == {}
        for wrong in ("start", 7, None):
            with pytest.raises((rw.ArgumentError, rw.ArgumentTypeError)) as caught:
                p.reset("g", wrong)
            assert caught.value.argument == "to"
        p.reset("g", "beginning")
        assert sum(p.stats().groups["g"].lag.values()) == 1


def test_a_group_is_deleted_by_name_but_not_under_its_own_consumer():
    with Processor() as p:
        p.store.open_group("old", 0)
        p.consumer("g")(lambda _event: None)
        p.delete_group("old")
        assert set(p.stats().groups) == {"g"}
        with pytest.raises(rw.ArgumentError, match="without a consumer"):
            p.delete_group("g")
        with pytest.raises(rw.UnknownGroupError):
            p.delete_group("old")


def test_the_asyncio_processor_deletes_groups_and_resets_too():
    async def main():
        async with aio.Processor() as p:
            p._engine.store.open_group("old", 0)
            await p.reset("old", "beginning")
            with pytest.raises(TypeError):
                await p.reset("old")
            await p.delete_group("old")
            return (await p.stats()).groups

    assert asyncio.run(main()) == {}
