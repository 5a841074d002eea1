"""What would be taken out of a text, shown so that the secrets themselves are not.

Also a home that is looked through again by the rules of today.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from qi_learn.daemon.alone import alone, complete_forgetting
from qi_learn.daemon.lock import locked
from qi_learn.daemon.look_through import LookReceipt, look_through, read_receipt
from qi_learn.errors import DaemonError
from qi_learn.outside.disk_room import refuse_full_home
from qi_learn.paths import Paths
from qi_learn.redact import secret_spans

WAIT_SECONDS = 1800.0
"""How long the command waits for the daemon: it goes on without it."""
SHOWN = 2
"""Characters of a secret that are shown: enough to recognise one's own, useless to another."""


@dataclass(frozen=True, slots=True)
class RedactedPlace:
    """A secret in a text: on which line it begins, of what kind, how long, its first characters."""

    line: int
    kind: str
    length: int
    begins: str


def check_text(text: str) -> tuple[RedactedPlace, ...]:
    """The places of a text from which something would be taken before it is stored."""
    return tuple(
        RedactedPlace(
            text.count("\n", 0, span.start) + 1,
            span.kind,
            span.end - span.start,
            text[span.start : span.start + SHOWN],
        )
        for span in secret_spans(text)
    )


def redact_again(paths: Paths) -> LookReceipt:
    """Look through all that is stored, by the daemon if one runs, else as the daemon; what changed.

    Raises DaemonError if the daemon does not come to its end in half an hour, StoreError if the
    database cannot be written.
    """
    if locked(paths):
        return _asked_for(paths)
    if not paths.database.exists():
        refuse_full_home(paths)
    with alone(paths.ensure()) as store:
        complete_forgetting(paths, store)
        for _ in look_through(paths, store, time.time()):
            pass
    return _told(paths)


def _asked_for(paths: Paths) -> LookReceipt:
    paths.redaction_rules.unlink(missing_ok=True)
    until = time.monotonic() + WAIT_SECONDS
    while not paths.redaction_rules.exists() and time.monotonic() < until and locked(paths):
        time.sleep(0.1)
    return _told(paths)


def _told(paths: Paths) -> LookReceipt:
    if (receipt := read_receipt(paths)) is None:
        raise DaemonError(
            "The daemon has not looked through everything yet.",
            "It goes on by itself in idle moments; `qi-learn redact --again` waits for it again.",
        )
    return receipt
