"""Texts from outside in logs, errors, traces and the dead-letter queue: short, neutral, redacted."""

from __future__ import annotations

import logging

import pytest

import ringward as rw
from ringward.events import Hooks, Processor, Retry
from ringward.events.texts import ERROR_MOST, Texts
from ringward.texts import neutral, shortened, shown

HOSTILE = "\x1b[2J\x1b]0;title\x07\r\nFAKE ERROR line\u202eelif\x9b31m\0\u2028"
ONCE = Retry(attempts=1)
MAIL = "ann@example.org"


def told(text):
    """Whether a text can do something to a terminal or a log."""
    return [char for char in text if not char.isprintable()]


def test_a_neutral_text_has_nothing_that_a_terminal_acts_on_and_keeps_the_rest():
    assert told(neutral(HOSTILE)) == []
    assert "FAKE ERROR line\\u202eelif" in neutral(HOSTILE)
    for text in ("", "plain", "größer 漢字 🎉", "back\\slash"):
        assert neutral(text) is text
    assert neutral("a\nb\tc\x1b", keep="\n\t") == "a\nb\tc\\x1b"
    neutral("caf\udce9\ud800").encode()


def test_a_value_is_shown_short_and_never_raises():
    class Bad:
        def __repr__(self):
            raise SystemExit

    class Loud:
        def __repr__(self):
            return HOSTILE * 1000

    deep = []
    for _ in range(100_000):
        deep = [deep]
    for value in ("x" * 10**6, b"x" * 10**6, HOSTILE, Bad(), Loud(), deep, 10**5000, list(range(10**5)), "caf\udce9"):
        text = shown(value)
        assert told(text) == []
        assert len(text) < 300
        text.encode()
    assert shown("key") == "'key'"
    assert shortened("abc", 2) == "ab… (3 characters)"


def test_errors_name_a_value_short_and_neutral():
    with Processor() as p:
        p.publish("k", b"1", id=HOSTILE)
        with pytest.raises(rw.ConflictError) as caught:
            p.publish("k", b"2", id=HOSTILE)
        assert caught.value.id == HOSTILE
        assert told(str(caught.value)) == []
        with pytest.raises(rw.ArgumentTypeError) as wrong:
            p.publish("k", b"", headers={HOSTILE * 1000: 1})
        assert told(str(wrong.value)) == []
        assert len(str(wrong.value)) < 400


def run_failing(error, key="k", **options):
    """What becomes of an event whose handler raises that."""
    with Processor(**options) as p:

        @p.consumer("g\x1b[31m", retry=ONCE)
        def handle(event):
            raise error

        p.publish(key, b"")
        assert p.run(until="idle", timeout_s=30)
        return p.dead("g\x1b[31m")[0]


def test_logs_have_one_line_a_record_and_nothing_that_a_terminal_acts_on(caplog):
    with caplog.at_level(logging.DEBUG, "ringward.events"):
        dead = run_failing(ValueError(HOSTILE * 1000))
    assert len(dead.error) <= ERROR_MOST
    assert dead.error.endswith(f"({len(HOSTILE) * 1000:,} characters)")
    assert told(dead.error.replace("\n", "")) == []
    assert [record.event for record in caplog.records if record.levelno >= logging.WARNING] == [
        "handler_failed",
        "dead",
    ]
    for record in caplog.records:
        assert told(record.getMessage()) == []
        text = logging.Formatter().format(record)
        assert told(text.replace("\n", "")) == []
        assert len(text) < 20_000
    (failed,) = [record for record in caplog.records if record.event == "handler_failed"]
    assert "in handle" in failed.exc_text
    assert failed.exc_info[0] is ValueError


def redact(text):
    """Hide the address."""
    return text.replace(MAIL, "<mail>")


def test_what_is_redacted_reaches_no_log_no_error_and_no_letter(caplog):
    class Watched(Hooks):
        def dead(self, told):
            raise RuntimeError(f"about {MAIL}: {told.error}")

    cause = ValueError(f"cause {MAIL}")
    error = RuntimeError(f"no mailbox {MAIL}")
    error.__cause__ = cause
    with caplog.at_level(logging.DEBUG, "ringward.events"):
        dead = run_failing(error, MAIL, redact=redact, hooks=Watched())
    assert dead.error == "RuntimeError: no mailbox <mail>"
    assert dead.key == MAIL
    assert {"handler_failed", "dead", "hook_failed"} <= {record.event for record in caplog.records}
    for record in caplog.records:
        assert MAIL not in logging.Formatter().format(record)
        assert MAIL not in str(record.__dict__)
        assert record.exc_info is None
    with Processor(redact=redact) as p:
        p.publish("k", b"1", id=MAIL)
        with pytest.raises(rw.ConflictError, match="<mail>") as caught:
            p.publish("k", b"2", id=MAIL)
        assert MAIL not in str(caught.value)
        assert caught.value.id == MAIL
        with pytest.raises(rw.ConflictError, match="<mail>"):
            p.publish_many(["k"], [b"2"], [MAIL])


@pytest.mark.parametrize("bad", [lambda _: 1 / 0, lambda _: None, lambda _: 7, lambda: "x"])
def test_a_function_to_redact_that_fails_hides_all(bad):
    assert run_failing(ValueError(MAIL), redact=bad).error == "ValueError: [redacted]"


def test_an_error_whose_traceback_cannot_be_formatted_is_told_all_the_same():
    class BadError(Exception):
        def __str__(self):
            raise MemoryError

        @property
        def __cause__(self):
            raise RuntimeError

    texts = Texts()
    assert texts.error(BadError()) == "BadError: (its text raises MemoryError)"
    assert "BadError" in texts.trace(BadError())
    many = ExceptionGroup("g", [ValueError(n) for n in range(5000)])
    assert len(texts.trace(many)) < 12_000
