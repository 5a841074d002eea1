"""What is new in a request that is left out, as keyed hashes in the spool (decision 0056).

So the daemon knows it again when a client sends it as the history of a later turn. Nothing of the
text is written.
"""

from __future__ import annotations

import logging
from pathlib import Path

from qi_learn.capture.wire import question_of
from qi_learn.errors import QiError
from qi_learn.gateway.exchange import LONGEST, Exchange
from qi_learn.redact import ensure_key
from qi_learn.said_marks import new_marks
from qi_learn.spool import Spool

logger = logging.getLogger(__name__)


class LeftOutMarks:
    """Writes down by what the messages of requests that are left out are known again."""

    def __init__(self, spool: Spool, key: Path) -> None:
        self._spool = spool
        self._key = key

    def mark(self, exchange: Exchange) -> None:
        """Write the hashes of what is new in a request; never raises."""
        if exchange.unreadable or len(exchange.request) > LONGEST:
            return  # nor is a later one that has it in its history
        try:
            if marks := self._marks(exchange):
                self._spool.append("left_out", {"marks": [mark.hex() for mark in marks]})
        except (QiError, OSError) as error:
            logger.warning("what was said and left out will not be known again: %s", error)

    def _marks(self, exchange: Exchange) -> list[bytes]:
        try:
            messages = question_of(exchange.endpoint, exchange.request.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return []  # what is no question can be no history
        return new_marks(ensure_key(self._key), messages)
