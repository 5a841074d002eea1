"""What models may still say, asked side by side."""

from __future__ import annotations

from threading import Thread

from qi_learn.gate.purse import Purse


def test_a_purse_is_never_exceeded_by_threads_that_share_it() -> None:
    purse, taken = Purse(10_000), []

    def spend() -> None:
        share = purse.share(0.5)
        while share.reserve(10):
            assert purse.left >= 0
            share.settle(10, 7)
            taken.append(7)

    threads = [Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 <= purse.left < 40
    assert purse.left + sum(taken) == 10_000
    assert not purse.share(1.0).reserve(40)


def test_a_series_that_used_up_its_share_goes_on_no_further() -> None:
    share = Purse(1000).share(0.1)
    assert share.reserve(90)
    share.settle(90, 90)
    assert share.reserve(90), "its last answer may exceed it"
    share.settle(90, 90)
    assert not share.reserve(1)
