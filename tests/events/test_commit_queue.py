"""Which of the threads that write commits for all, and how long it waits for others."""

from __future__ import annotations

import signal
import sys
import threading
import time

import pytest
from waiting import until

import ringward as rw
from ringward._core import CommitQueue, Job

RESIGNED_MOST = 63
LONG = 20.0  # a commit of so many seconds: half of it is waited for at most, which no test takes


class Writers:
    """Threads that write, and which jobs were in a commit."""

    def __init__(self):
        self.queue = CommitQueue()
        self.commits = []
        self.threads = []

    def write(self, **options):
        """Write in this thread; what it takes."""
        begun = time.perf_counter()
        job = Job(lambda: None, **options)
        if self.queue.join(job):
            jobs = self.queue.collect(job)
            self.commits.append({each.thread for each in jobs})
            self.queue.served(jobs, job, -1)
            self.queue.pass_on(job)
        assert job.done
        return time.perf_counter() - begun

    def begin(self, **options):
        """Write in a thread of its own, and wait until it has come to the queue."""
        before = self.queue.waiting
        thread = threading.Thread(target=self.write, kwargs=options, daemon=True)
        self.threads.append(thread)
        thread.start()
        until(lambda: self.queue.waiting > before or not thread.is_alive())
        return thread

    def served(self, *threads):
        """Let a commit of these threads have ended now, after a long time."""
        jobs = [Job(None, thread=thread) for thread in threads]
        self.queue.served(jobs, jobs[0], -1)
        self.queue.commit_s = LONG

    def held(self, thread=None):
        """CommitQueue, so that all others queue up; what `release` takes."""
        job = Job(lambda: None, thread=thread)
        assert self.queue.join(job)
        assert self.queue.collect(job) == [job]
        return job

    def release(self, job):
        """CommitQueue no more."""
        self.queue.served([job], job, -1)
        self.queue.pass_on(job)
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def writers():
    return Writers()


@pytest.fixture
def interrupted():
    """A function that lets this thread be interrupted soon; SIGINT itself is ignored in the background."""
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    timer = threading.Timer(0.05, signal.pthread_kill, (threading.get_ident(), signal.SIGUSR1))
    yield timer.start
    timer.join()
    signal.signal(signal.SIGUSR1, before)


def test_a_thread_that_nobody_writes_beside_never_waits(writers):
    writers.served(threading.get_ident())
    assert writers.write() < LONG / 10
    assert writers.write() < LONG / 10


def test_who_comes_first_waits_for_who_was_served_with_it_and_the_last_one_leads(writers):
    me = threading.get_ident()
    writers.served(me)
    first = writers.begin()
    second = writers.begin()
    assert first.is_alive()  # waits for me
    assert second.is_alive()
    assert writers.commits == []
    writers.write()
    first.join(10)
    second.join(10)
    assert writers.commits == [{me, first.ident, second.ident}]


def test_what_survives_a_kill_only_waits_for_nobody(writers):
    writers.served(-1)
    assert writers.write(sync=False) < LONG / 10


def test_the_wait_is_bounded_and_given_up_when_it_is_in_vain(writers):
    for vain in (1, 3, 7):
        writers.served(-1)
        writers.queue.commit_s = 0.1
        assert 0.04 < writers.write() < LONG / 10
        for _ in range(vain):
            writers.served(-1)
            assert writers.write() < LONG / 10
    assert vain < RESIGNED_MOST
    writers.queue.vain = RESIGNED_MOST
    writers.served(-1)
    writers.queue.commit_s = 0.1
    writers.write()
    assert writers.queue.resigned == RESIGNED_MOST


def test_a_wait_that_was_worth_it_makes_patient_again(writers):
    writers.queue.vain = 3
    writers.served(threading.get_ident())
    writers.begin()
    writers.write()
    assert writers.queue.vain == 0


def test_after_a_long_pause_nobody_is_waited_for(writers):
    writers.served(-1)
    writers.queue.served_at -= LONG
    assert writers.write() < LONG / 10


def test_who_came_meanwhile_waits_for_the_leader_to_come_again(writers):
    job = writers.held()
    writers.queue.commit_s = LONG
    first = writers.begin()
    writers.queue.served([job], job, -1)
    writers.queue.pass_on(job)
    time.sleep(0.02)
    assert first.is_alive()
    writers.write()
    first.join(10)
    assert writers.commits == [{threading.get_ident(), first.ident}]


def test_who_came_meanwhile_leads_when_the_leader_does_not_come_again(writers):
    for vain, waits_s in ((1, 0.04), (0, 0.0)):
        job = writers.held()
        writers.queue.commit_s = 0.1
        first = writers.begin()
        writers.queue.served([job], job, -1)
        begun = time.perf_counter()
        writers.queue.pass_on(job)
        first.join(10)
        assert waits_s < time.perf_counter() - begun < LONG
        assert writers.commits.pop() == {first.ident}
        assert (writers.queue.vain, writers.queue.resigned) == (1, vain)
        writers.queue.served_at = 0.0  # so that `held` does not wait


def test_all_that_came_meanwhile_are_committed_at_once(writers):
    job = writers.held()
    threads = [writers.begin() for _ in range(5)]
    writers.release(job)
    assert writers.commits == [{thread.ident for thread in threads}]


def test_who_wants_to_be_alone_is_and_the_order_stays(writers):
    job = writers.held()
    threads = [writers.begin(alone=alone) for alone in (False, False, True, False, True)]
    a, b, c, d, e = [thread.ident for thread in threads]
    writers.release(job)
    assert writers.commits == [{a, b}, {c}, {d}, {e}]


def test_who_wants_to_be_alone_does_not_wait_for_who_waits(writers):
    writers.served(-1, -2)
    first = writers.begin()
    writers.queue.commit_s = 0.0  # whoever comes after the one that is alone is not waited for
    assert writers.write(alone=True) < LONG / 10
    first.join(10)
    assert writers.commits == [{threading.get_ident()}, {first.ident}]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals for threads")
def test_an_interrupt_leaves_the_queue_in_order(writers, interrupted):
    job = writers.held(thread=-1)
    interrupted()
    with pytest.raises(KeyboardInterrupt):
        writers.write()
    assert writers.queue.waiting == 0
    after = writers.begin()
    writers.release(job)
    assert writers.commits == [{after.ident}]
    assert writers.write() < LONG / 10


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals for threads")
def test_an_interrupt_while_others_are_waited_for_leaves_the_queue_in_order(writers, interrupted):
    writers.served(-1)
    interrupted()
    with pytest.raises(KeyboardInterrupt):
        writers.write()
    assert writers.queue.waiting == 0
    assert writers.write(sync=False) < LONG / 10


def test_many_threads_get_their_own_results_and_nobody_is_left_behind(writers):
    counts = dict.fromkeys(range(8), 0)

    def work(number):
        for n in range(200):
            writers.write(alone=n % 17 == number, sync=n % 5 != number)
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in counts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(counts.values()) == {200}
    assert sum(map(len, writers.commits)) == 1600
    assert writers.queue.waiting == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals for threads")
def test_who_others_count_on_leads_them_to_another_when_it_is_interrupted(writers, interrupted):
    job = writers.held(thread=-1)
    writers.queue.commit_s = LONG
    second = []

    def release():
        until(lambda: writers.queue.waiting == 1)
        second.append(writers.begin())
        writers.queue.served([job], job, -1)
        writers.queue.pass_on(job)
        interrupted()

    releasing = threading.Thread(target=release)
    releasing.start()
    with pytest.raises(KeyboardInterrupt):
        writers.write()
    releasing.join()
    assert writers.queue.waiting == 1
    assert writers.write(sync=False) < LONG / 10
    second[0].join(10)
    assert writers.commits == [{threading.get_ident(), second[0].ident}]


def test_nobody_waits_for_others_while_something_in_a_hurry_waits(writers):
    job = writers.held()
    writers.queue.commit_s = LONG
    threads = [writers.begin(), writers.begin(sync=False)]
    begun = time.perf_counter()
    writers.release(job)
    assert time.perf_counter() - begun < LONG / 10
    assert writers.commits == [{thread.ident for thread in threads}]


def test_a_thread_that_leads_does_not_wait_for_itself(writers):
    # What a signal or the garbage collector calls in the midst of a write waited for the end of that.
    job = writers.held()
    with pytest.raises(rw.TransactionError, match="writing already"):
        writers.write()
    assert writers.queue.waiting == 0
    writers.release(job)
    assert writers.write() < LONG / 10
