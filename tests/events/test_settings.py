"""What everybody must obey stands in the store: retention, id window; and what stamps of wrong clocks mean."""

from __future__ import annotations

import asyncio
import time

import apsw
import pytest
from command import fails, run, run_json

import ringward as rw
from ringward.events import MemoryStore, Processor, Retention, Settings, SqliteStore, Stream, aio
from ringward.events.stores.sqlite import schema
from ringward.events.stores.sqlite.log import SqliteLog
from ringward.events.stores.stamps import PLAUSIBLE_MS, Knot, LogTime, WallClock

DAY = 86_400
FOREVER = Retention(age_s=None)
NOW = PLAUSIBLE_MS / 1000 + 700 * DAY


class Time:
    """A clock of the day, which can be set, and one that cannot."""

    def __init__(self, wall=NOW):
        self.passed, self.off = 1000.0, wall - 1000.0

    def wall(self):
        """Tell the time of day."""
        return self.passed + self.off

    def now(self):
        """Tell the monotonic time."""
        return self.passed


@pytest.fixture
def times():
    return Time()


@pytest.fixture(params=["memory", "sqlite"])
def opened(request, tmp_path, times):
    """A function that opens a store; on SQLite the same file again, after closing it."""
    stores = []

    def make(**options):
        if request.param == "memory":
            if not stores:
                stores.append(MemoryStore(Stream(4), clock=times.wall, now=times.now, **options))
            return stores[0]
        while stores:
            stores.pop().close()
        stores.append(SqliteStore(tmp_path / "a.db", Stream(4), clock=times.wall, now=times.now, **options))
        return stores[0]

    make.kind = request.param
    yield make
    for store in stores:
        store.close()


def publish(store, count=1, ids=None):
    entries = [store.stream.entry("k", b"x", None if ids is None else f"{ids}{i}", None) for i in range(count)]
    return store.append("p", entries)


# --- settings


def test_a_process_with_defaults_deletes_nothing_that_the_store_is_to_keep(tmp_path):
    """`ringward events work` with its 7 days pruned what the application kept for ever, and forgot its ids."""
    path, long_ago = tmp_path / "a.db", lambda: time.time() - 8 * DAY
    store = SqliteStore(path, id_window_s=90 * DAY, clock=long_ago)
    with Processor(store, retention=FOREVER) as p:
        p.publish_many(["k"] * 10, [b"x"] * 10, [f"order-{i}" for i in range(10)])
        p.consumer("audit")(lambda event: None)
        p.run(until="idle", timeout_s=30)
    with Processor(path) as p:
        assert p.prune() == 0
        assert p.publish("k", b"x", id="order-5").duplicate
    with Processor(SqliteStore(path, id_window_s=90 * DAY), retention=FOREVER) as p:
        assert p.store.settings() == (FOREVER, 90 * DAY)


def test_settings_of_another_process_are_not_overruled(tmp_path):
    path = tmp_path / "a.db"
    Processor(path, retention=FOREVER).close()
    with pytest.raises(rw.ArgumentError, match=r"retention must be what the store is set to.*configure\(\)"):
        Processor(path, retention=Retention(count=5))
    with Processor(path) as p:
        p.configure(id_window_s=5)
    with pytest.raises(rw.ArgumentError, match=r"id_window_s must be what the store is set to, 5\.0"):
        SqliteStore(path, id_window_s=6)
    with Processor(path) as p:  # nothing is held by those that were refused
        assert p.store.settings() == (FOREVER, 5.0)
        assert p.store._others() == 0


def test_what_is_configured_is_obeyed_by_the_next_prune_of_whoever(opened, times):
    store = opened()
    assert store.settings() == Settings()
    publish(store, 10, "id")
    assert store.configure(retention=Retention(count=4)) == (Retention(count=4), 7 * DAY)
    assert store.prune(100) == 6
    assert store.configure(id_window_s=0).retention == Retention(count=4)
    store.prune(100)
    assert [receipt.duplicate for receipt in publish(store, 10, "id")] == [False] * 6 + [True] * 4
    for wrong in ({"retention": 5}, {"id_window_s": -1}, {"id_window_s": "x"}, {"retention": {"count": 1}}):
        with pytest.raises((rw.ArgumentError, rw.ArgumentTypeError)):
            store.configure(**wrong)
    assert store.settings() == (Retention(count=4), 0)


@pytest.mark.parametrize("value", [1e300, 1e18, 2**61])
def test_what_lasts_longer_than_there_is_time_is_for_ever(opened, value):
    """A long window was more milliseconds than SQLite's integers."""
    store = opened()
    publish(store, 3, "id")
    store.configure(retention=Retention(age_s=value, count=0), id_window_s=value)
    assert store.prune(10) == 3
    assert all(receipt.duplicate for receipt in publish(store, 3, "id"))


def test_a_file_of_the_first_version_gets_settings(tmp_path, monkeypatch):
    path = tmp_path / "a.db"
    with monkeypatch.context() as old:
        old.setattr(schema, "STEPS", schema.STEPS[:1])
        old.setattr(schema, "VERSION", 1)
        old.setattr(SqliteStore, "configure", lambda *_, **__: None)
        old.setattr(SqliteLog, "begin_time", lambda *_, **__: None)
        store = SqliteStore(path)
        publish(store, 3, "id")
        store.close()
    with Processor(path, retention=FOREVER) as p:
        assert p.store._file.read("PRAGMA user_version") == [(2,)]
        assert p.verify() == []
        assert p.prune() == 0
        assert all(receipt.duplicate for receipt in publish(p.store, 3, "id"))


def test_the_asyncio_processor_configures_too():
    async def main():
        async with aio.Processor(retention=FOREVER) as p:
            return await p.configure(id_window_s=1)

    assert asyncio.run(main()) == (FOREVER, 1.0)


def test_the_command_shows_and_sets_what_a_file_keeps(tmp_path):
    path = tmp_path / "a.db"
    Processor(path).close()
    assert "kept for 7 days; ids for 7 days" in run("events", "configure", path)
    options = ["--retention-age", "none", "--retention-bytes", "2Gi", "--id-window", "90d"]
    told = run_json("events", "configure", path, *options)
    assert told["retention"] == {"age_s": None, "bytes": 2 << 30, "count": None}
    assert told["id_window_s"] == 90 * DAY
    told = run_json("events", "configure", path, "--retention-count", "5")
    assert told["retention"] == {"age_s": None, "bytes": 2 << 30, "count": 5}
    for option, value in (("--retention-age", "x"), ("--id-window", "none"), ("--retention-count", "-1")):
        assert "must be a" in fails("events", "configure", path, option, value, code=2)


# --- clocks


def test_a_clock_that_jumps_ahead_is_believed_when_it_has_stood(times):
    clock = WallClock(times.wall, times.now)
    times.off += 3650 * DAY
    assert clock() == pytest.approx(NOW)
    assert "jumped ahead by 315,360,000 s" in clock.told()[0]
    assert clock.told() == []
    times.passed += 59
    assert clock() == pytest.approx(NOW + 59)
    times.passed += 2
    assert clock() == pytest.approx(NOW + 61 + 3650 * DAY)
    times.off -= 3650 * DAY
    assert clock() == pytest.approx(NOW + 61)


@pytest.mark.parametrize("reading", [float("nan"), float("inf"), -1e30, 1e30])
def test_no_reading_of_a_clock_stops_events(opened, times, reading):
    store = opened()
    publish(store)
    times.wall = lambda: reading
    store._log._clock._wall = times.wall
    publish(store)
    store.prune(10)
    first, second = (row[7] for row in store.rows([1, 2]))
    assert first <= second <= first + 1000


def test_one_stamp_of_a_clock_ten_years_ahead_does_no_harm(opened, times):
    """Nothing was pruned for ten years, and "reset to a time" replayed everything."""
    store = opened()
    store.configure(retention=Retention(age_s=1), id_window_s=1)
    times.off += 3650 * DAY
    publish(store, 1, "future")
    times.off -= 3650 * DAY
    publish(store, 1000)
    times.passed += 3
    assert store.seq_at(int(times.wall() * 1000) - 1000) == 1001
    publish(store)
    assert store.prune(5000) == 1001
    assert not publish(store, 1, "future")[0].duplicate


def test_a_process_that_begins_with_a_clock_ahead_is_found_out_by_the_next(tmp_path, times, caplog):
    def opened():
        return SqliteStore(tmp_path / "a.db", Stream(4), clock=times.wall, now=times.now, id_window_s=7 * DAY)

    store = opened()
    publish(store, 3, "right")
    store.close()
    times.off += 3650 * DAY
    store = opened()
    publish(store, 3, "ahead")
    store.close()
    times.off -= 3650 * DAY
    store = opened()
    assert "time stamp of the last event is 3,650.0 days ahead of the clock" in caplog.text
    publish(store, 3, "new")
    before = int(times.wall() * 1000)
    times.passed += DAY
    publish(store, 1, "later")
    assert store.prune(100) == 0
    assert store.seq_at(before + 1) == 9
    assert store.rows([10])[0][7] == pytest.approx(times.wall() * 1000, abs=1)
    ats = [row[7] for row in store.rows(range(1, 11))]
    assert ats == sorted(ats)
    assert ats[0] == int(NOW * 1000)
    times.passed += 6.5 * DAY
    store.close()
    store = opened()
    assert store.prune(100) == 9
    assert store.seq_at(int(times.wall() * 1000)) == 10
    assert [publish(store, 1, name)[0].duplicate for name in ("right", "new", "later")] == [False, False, True]
    assert store.verify() == []
    store.close()


def test_events_of_a_clock_that_was_not_set_are_not_old(opened, times):
    """What was accepted before the clock was set, a minute ago, was pruned as of 1970."""
    times.off -= NOW - 100
    store = opened()
    publish(store, 3, "id")
    times.off += NOW - 100
    store = opened()
    for _ in range(8):
        times.passed += 10
        assert store.prune(10) == 0
    assert [receipt.duplicate for receipt in publish(store, 4, "id")] == [True] * 3 + [False]
    times.passed += 8 * DAY
    store = opened()
    publish(store)
    assert store.prune(10) == 4
    assert store.prune(10) == 0


def test_a_clock_that_is_not_set_yet_prunes_nothing_and_stamps_go_on(opened, times):
    store = opened()
    publish(store, 3, "id")
    times.off -= NOW - 100
    store = opened()
    publish(store, 3)
    times.passed += DAY
    assert store.prune(10) == 0
    assert publish(store, 1, "id")[0].duplicate
    times.off += NOW - 100
    store = opened()
    publish(store)
    times.passed += DAY
    assert store.prune(10) == 0
    publish(store)
    ats = [row[7] for row in store.rows(range(1, 9))]
    assert ats[-1] == pytest.approx(times.wall() * 1000, abs=1)
    assert ats == sorted(ats)


@pytest.mark.parametrize(
    ("offsets", "most"), [((0, 3600, -7200), 3600), ((0, -30 * DAY), 0), ((0, 3 * DAY, -2 * DAY), 400 * DAY)]
)
def test_processes_whose_clocks_differ_do_not_drive_stamps_ahead_without_end(tmp_path, times, offsets, most):
    stores = [
        SqliteStore(tmp_path / "a.db", Stream(4), clock=lambda off=off: times.wall() + off, now=times.now)
        for off in offsets
    ]
    for _ in range(100):
        for store in stores:
            publish(store)
            store.prune(10)
            times.passed += 60
    for store in stores:
        assert store._file.read("SELECT max(at) FROM ringward_log")[0][0] <= (times.wall() + most) * 1000
        store.close()


def test_log_time_is_rising_and_its_inverse_agrees():
    log_time = LogTime((Knot(1000, 5000), Knot(2000, 9000)))
    stamps = [log_time.stamp_at(time_ms) for time_ms in range(0, 4000, 7)]
    assert stamps == sorted(stamps)
    times = [log_time.time_of(stamp) for stamp in range(0, 12000, 7)]
    assert times == sorted(times)
    for time_ms in range(0, 4000, 7):
        if (stamp := log_time.stamp_at(time_ms)) not in (4999, 8999):
            assert log_time.time_of(stamp) == min(time_ms, 2000 if stamp < 9000 else time_ms)


def test_a_damaged_setting_is_said(tmp_path):
    path = tmp_path / "a.db"
    with Processor(path) as p:
        p.configure(retention=FOREVER)
    with apsw.Connection(str(path)) as other:
        other.execute("UPDATE ringward_settings SET value = '{\"age_s\": -1}'")
    other.close()
    with pytest.raises(rw.StoreFailedError, match="table ringward_settings, name 'retention', column value"):
        Processor(path)
