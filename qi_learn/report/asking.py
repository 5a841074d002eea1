"""Several questions at the same time, each to another process: one that hangs delays none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def at_once(*asks: Callable[[], Any]) -> list[Any]:
    """The answers, in the order of the questions. Raises what the first of them raised that did."""
    answers: list[Any] = [None] * len(asks)
    errors: list[BaseException | None] = [None] * len(asks)

    def ask(at: int) -> None:
        try:
            answers[at] = asks[at]()
        except BaseException as error:  # noqa: BLE001 - raised again where it was asked
            errors[at] = error

    threads = [threading.Thread(target=ask, args=(at,), daemon=True) for at in range(1, len(asks))]
    for thread in threads:
        thread.start()
    ask(0)
    for thread in threads:
        thread.join()
    for error in errors:
        if error is not None:
            raise error
    return answers
