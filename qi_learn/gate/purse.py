"""What a gate may have generated: `gate.max_generated` tokens, all models together.

The invariant: a purse is never exceeded, however many threads take out of it at a time. What an
answer comes to at most is taken before it is asked for, and what it did not come to is given back.
"""

from __future__ import annotations

import threading


class Purse:
    """Tokens that may still be generated. For several threads at a time."""

    def __init__(self, tokens: int) -> None:
        self._total, self._left, self._lock = tokens, tokens, threading.Lock()

    @property
    def left(self) -> int:
        """What is left of it."""
        return self._left

    def share(self, part: float) -> Allowance:
        """A part of the whole, for one series of questions."""
        return Allowance(self, int(part * self._total))

    def take(self, tokens: int) -> bool:
        """Take so many out of it; False, and nothing is taken, if there are fewer."""
        with self._lock:
            if tokens > self._left:
                return False
            self._left -= tokens
            return True

    def give_back(self, tokens: int) -> None:
        """Put in what was taken and not used."""
        with self._lock:
            self._left += tokens


class Allowance:
    """What one series of questions may still generate; its last answer may exceed it.

    The purse that it is a part of is never exceeded. For one thread.
    """

    def __init__(self, purse: Purse, tokens: int) -> None:
        self._purse, self._tokens = purse, tokens

    def reserve(self, tokens: int) -> bool:
        """Take what one more answer comes to at most; False if it is not paid for."""
        return self._tokens > 0 and self._purse.take(tokens)

    def settle(self, reserved: int, used: int) -> None:
        """Give back what an answer did not come to of what was reserved for it."""
        self._tokens -= used
        self._purse.give_back(reserved - used)


UNLIMITED = 10**9


def unlimited() -> Allowance:
    """An allowance that nothing exhausts."""
    return Allowance(Purse(UNLIMITED), UNLIMITED)
