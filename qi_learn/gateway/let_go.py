"""What an error holds, let go: the frames that it went through, and with them whole bodies.

asyncio keeps an error in the future that was waited for, the error keeps the frames, and the frame
that waited keeps the future. So an exchange that ended in an error would stay, with its request and
its answer, until Python's collector looks for such circles, which may be many exchanges later.
"""

from __future__ import annotations


def let_go(error: BaseException) -> None:
    """Take the frames from an error that was dealt with, and from those that led to it."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            waiting += (one.__cause__, one.__context__)
