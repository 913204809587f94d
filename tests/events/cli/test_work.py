"""`ringward events work`, dead letters and replay."""

from __future__ import annotations

import os
import time
from pathlib import Path

from command import fails, run, run_json
from event_commands import POSIX, consumed, handlers, lines, program

from ringward.events import Processor

FAILING = """
from pathlib import Path

def handle(event):
    if event.key == "N3" and not Path("fixed").exists():
        raise ValueError("no such plane: " + event.key)
"""


def test_work_dead_redrive_and_drop(filled):
    """From a failing key to an empty queue, as a person would do it."""
    handlers(FAILING)
    command = [
        "events",
        "work",
        "e.db",
        "--group",
        "g",
        "--handler",
        "my_handlers:handle",
        "--path",
        ".",
        "--until",
        "idle",
    ]
    assert run(*command, "--attempts", "1", "--members", "2") == "g: 24 handled, 0 retried, 1 dead\n"
    text = run("events", "dead", "e.db", "--group", "g").splitlines()
    assert text[0] == "g: 1 dead, 5 parked behind them or to be delivered again"
    assert text[3].split(maxsplit=5) == ["4", "dead", "N3", "3", "1", "ValueError: no such plane: N3"]
    assert [line.split()[:2] for line in text[4:]] == [[str(seq), "parked"] for seq in range(9, 31, 5)]
    listed = run("events", "dead", "e.db", "--group", "g", "--limit", "2")
    assert listed.endswith("\nand 4 more: see --limit\n")
    entries = lines(run("events", "dead", "e.db", "--group", "g", "--json", "--payload-as", "json"))
    assert [entry["payload"] for entry in entries] == [row for row in filled if row["tail"] == "N3"]
    assert (entries[0]["state"], entries[0]["attempts"]) == ("dead", 1)
    one = run("events", "dead", "e.db", "--group", "g", "--seq", "4")
    assert 'payload         {"tail":"N3","dest":"to 3","no":"3"}\n' in one
    assert "error           ValueError: no such plane: N3\n" in one
    assert fails("events", "dead", "e.db", "--group", "g", "--seq", "5").endswith("not in the dead-letter queue of g")

    assert fails("events", "redrive", "e.db", "--group", "g", "--seq", "9") == "g: seq 9 is not dead"
    assert fails("events", "drop", "e.db", "--group", "g", "--seq", "5") == "g: seq 5 is not in the dead-letter queue"
    assert run_json("events", "drop", "e.db", "--group", "g", "--seq", "9") == {"group": "g", "dropped": 1}
    assert run("events", "redrive", "e.db", "--group", "g", "--all") == "g: 1 redriven\n"
    Path("fixed").touch()
    assert run_json(*command) == {"group": "g", "handled": 5, "retries": 0, "deaths": 0, "takeovers": 0}
    assert run("events", "dead", "e.db", "--group", "g") == "g: 0 dead, 0 parked behind them or to be delivered again\n"
    assert run("events", "redrive", "e.db", "--group", "g", "--all") == "g: 0 redriven\n"


def test_work_goes_on_past_a_dead_event_when_told(filled):
    """--on-dead skip: later events of the key do not wait."""
    handlers(FAILING)
    flags = [
        "--handler",
        "my_handlers:handle",
        "--path",
        ".",
        "--until",
        "idle",
        "--attempts",
        "1",
        "--on-dead",
        "skip",
    ]
    assert run_json("events", "work", "e.db", "--group", "g", *flags, "--member", "a")["deaths"] == 6
    with Processor("e.db") as p:
        assert [name for name, _ in p.store.view("g").members] == ["a"]


def test_work_decodes_payloads(filled):
    """--codec json and msgspec."""
    handlers("from pathlib import Path\ndef handle(event):\n    Path(event.payload['no']).touch()\n")
    for codec in ("json", "msgspec"):
        flags = ["--handler", "my_handlers:handle", "--path", ".", "--until", "idle", "--codec", codec]
        assert run_json("events", "work", "e.db", "--group", codec, *flags)["handled"] == 30
        assert all(Path(str(number)).exists() for number in range(30))
        for number in range(30):
            Path(str(number)).unlink()


def test_work_that_is_not_idle_in_time_fails(filled):
    """With one line that says how much waits."""
    handlers("def handle(event):\n    raise ValueError\n")
    flags = ["--handler", "my_handlers:handle", "--path", ".", "--until", "idle", "--timeout", "0.3"]
    assert fails("events", "work", "e.db", "--group", "g", *flags) == "not idle after 0.3 s: 30 events of g wait"


def test_reset_replays(filled):
    """From a seq, a time, the beginning, or not at all."""
    consumed()
    assert run("events", "reset", "e.db", "--group", "g", "--to", "27") == "g: goes on at seq 28; 3 events wait\n"
    assert sorted(event["seq"] for event in consumed()) == [28, 29, 30]
    for to, count in {"beginning": 30, "2001-01-01": 30, "end": 0}.items():
        assert run_json("events", "reset", "e.db", "--group", "g", "--to", to)["waiting"] == count
    assert consumed() == []
    message = fails("events", "reset", "e.db", "--group", "g", "--to", "31")
    assert message == "--to must be at least 0 and at most 30, the last seq (was 31)"


@POSIX
def test_two_workers_share_and_one_that_is_told_to_end_hands_over(table):
    """The other goes on at once, well before the lease is over."""
    handlers(
        "import os, time\n"
        "def handle(event):\n"
        "    time.sleep(0.01)\n"
        "    with open(f'{os.environ[\"WHO\"]}.log', 'a') as log:\n"
        "        log.write(f'{event.seq} {event.key}\\n')\n"
    )
    flags = ["work", "e.db", "--group", "g", "--handler", "my_handlers:handle", "--path", ".", "--lease", "30"]
    with Processor("e.db") as p:
        p.store.open_group("g", 0)
        with (
            program(*flags, env={**os.environ, "WHO": "a"}) as first,
            program(*flags, env={**os.environ, "WHO": "b"}) as second,
        ):
            deadline = time.monotonic() + 60
            while len(p.stats().groups["g"].members) < 2 and time.monotonic() < deadline:
                time.sleep(0.02)
            p.publish_many([f"k{i % 20}" for i in range(200)], [b""] * 200)
            while not (Path("a.log").exists() and Path("b.log").exists()) and time.monotonic() < deadline:
                time.sleep(0.01)
            first.terminate()
            assert first.communicate(timeout=60)[0].endswith(b" 0 retried, 0 dead\n")
            assert first.returncode == 0
            while p.stats().groups["g"].lag and time.monotonic() < deadline:
                time.sleep(0.02)
            second.terminate()
            assert second.wait(60) == 0
    seqs = [int(line.split()[0]) for name in "ab" for line in Path(f"{name}.log").read_text().splitlines()]
    assert sorted(seqs) == list(range(1, 201))
