"""Texts from outside in logs, errors, traces and the dead-letter queue: short, neutral, redacted."""

from __future__ import annotations

import logging
import re
import time
from contextlib import closing
from pathlib import Path

import pytest

import ringward as rw
from ringward.events import Hooks, Processor, Retry, SqliteStore
from ringward.events.health import Health
from ringward.events.model.dead_letter import ERROR_MOST
from ringward.events.texts import Texts
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


CARD = "4111111111111111"


def no_cards(text):
    """Hide what looks like a card, whole."""
    return re.sub(r"\d{16}", "[card]", text)


@pytest.mark.parametrize("before", [0, 1925, 1936, 1950, 1995, 65_520, 65_530, 65_600])
def test_an_error_is_redacted_before_it_is_cut(before):
    # It was cut first: thirteen digits of the card were no card any more.
    texts = Texts(no_cards)
    error = ValueError("x" * before + CARD + " tail" * 10_000)
    for text in (texts.error(error), texts.line(error), texts.trace(error)):
        assert "4111" not in text
        assert len(texts.error(error)) <= ERROR_MOST
    assert "4111" not in texts.value([0] * (before // 3) + [int(CARD)])


def test_the_end_of_a_text_that_was_too_long_to_look_at_is_not_told():
    texts = Texts(lambda text: no_cards(text).replace("x", ""))
    assert texts.error(ValueError("x" * 65_530 + CARD)) == "ValueError: [redacted]… (65,546 characters)"


def test_health_tells_what_may_be_told_of_the_errors_of_a_store(monkeypatch):
    with Processor(redact=redact) as p:

        def fails():
            raise OSError(f"no mailbox {MAIL}\x1b[31m")

        monkeypatch.setattr(p.store, "groups", fails)
        assert "no mailbox <mail>\\x1b[31m" in p.health().reasons[0].text
        assert MAIL not in str(p.health())
    assert told(Health().with_reason("degraded", HOSTILE * 1000).reasons[0].text) == []


def test_paths_and_names_of_files_act_on_no_terminal(tmp_path, caplog):
    folder = tmp_path / "a\x1b[31m"
    folder.mkdir()
    path = folder / "events.db"
    with closing(SqliteStore(path, clock=lambda: time.time() + 4e8)) as store:
        store.append("p", [store.stream.entry("k", b"", None, None)])
    with Processor(path) as p:
        path.rename(folder / "moved.db")
        with pytest.raises(rw.StoreFailedError, match="moved") as failed:
            p.publish("k", b"")
        assert told(str(failed.value)) == []
        assert "\\x1b[31m" in str(failed.value)
    assert [record.event for record in caplog.records] == ["clock"]
    assert told(caplog.records[0].getMessage()) == []
    for kind in (rw.StoreFormatError, rw.StoreUnavailableError, rw.StoreFullError, rw.TransactionError):
        assert told(str(kind(HOSTILE))) == []


def test_all_that_is_logged_goes_one_way():
    """`logs.py`, which makes lines neutral and lets no error of logging through."""
    folder = Path(rw.__file__).parent / "events"
    assert [path.name for path in folder.rglob("*.py") if "getLogger(" in path.read_text("utf-8")] == ["logs.py"]


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
