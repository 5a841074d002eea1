"""The end of a process ends the wait for it, and nothing else does before its time."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from qi_learn.outside.process_end import EndWaiter

LONG = 300.0
SLEEPS = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of it")
def test_the_end_of_one_of_several_processes_ends_the_wait() -> None:
    waiter = EndWaiter()
    with (
        subprocess.Popen(SLEEPS, stdin=subprocess.PIPE) as one,
        subprocess.Popen(SLEEPS, stdin=subprocess.PIPE) as other,
    ):
        threading.Timer(0.2, other.kill).start()
        began = time.monotonic()
        waiter.wait([one.pid, other.pid], LONG)
        assert time.monotonic() - began < LONG / 2
        assert one.poll() is None
        waiter.wait([other.pid], LONG)  # it has ended before: nothing to wait for
        assert other.wait(30) < 0
        waiter.wait([other.pid], LONG)  # no process has that number now: a look each second
        assert time.monotonic() - began < LONG / 2
        one.kill()
    waiter.close()


def test_a_wait_is_woken_from_another_thread_and_stays_so() -> None:
    waiter = EndWaiter()
    threading.Timer(0.2, waiter.wake).start()
    began = time.monotonic()
    waiter.wait([], LONG)
    waiter.wait([], LONG)
    assert time.monotonic() - began < LONG / 2
    waiter.close()


def test_without_an_end_the_time_is_waited_out() -> None:
    waiter = EndWaiter()
    with subprocess.Popen(SLEEPS, stdin=subprocess.PIPE) as one:
        began = time.monotonic()
        waiter.wait([one.pid], 0.3)
        assert time.monotonic() - began >= 0.25
        one.kill()
    waiter.close()
