"""A home looked through again by new rules: after an upgrade by itself, or when it is asked for.

`redaction.rules`, beside the database, says by which rules all of it was last looked through, and
what that changed. If it is missing or names others, the daemon does it in idle rounds, slice by
slice; one that is killed begins again. `qi-learn redact --again` removes the file and waits for it.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, field

from qi_learn import codec, logs
from qi_learn.errors import QiError
from qi_learn.paths import Paths, replace_file
from qi_learn.redact import Redactor, rules_version
from qi_learn.rundir.directory import RunDirectory, run_directories
from qi_learn.spool import LEFT
from qi_learn.store import bad_lines
from qi_learn.store.backup_secrets import any_secret, remove_backups_with_secrets
from qi_learn.store.database import Store
from qi_learn.store.forget import compact, empty_wal
from qi_learn.store.own_redactor import redactor_of
from qi_learn.store.redact_again import redact_rows

logger = logging.getLogger(__name__)
SLICE_SECONDS = 0.02
"""How long one idle round looks."""
PAUSE_SECONDS = 0.05
"""How long the daemon sleeps between two of them, if nothing else comes."""
LOOK_SECONDS = 5.0
"""How often it is looked at most whether it is asked for."""
AGAIN_SECONDS = 60.0
"""How long one that failed is not tried again."""
RENDERED = "rendered.jsonl"
"""The cache of rendered prompts in a run's directory."""


@dataclass(frozen=True, slots=True)
class LookReceipt:
    """What a look through a home changed."""

    rules: str
    """The version of the rules."""
    at: float
    rewritten: Mapping[str, int] = field(default_factory=dict)
    """Rows by table, and lines of files by kind."""
    removed: tuple[str, ...] = ()
    """Files that were removed: copies of an older schema, texts of data sets, caches of them."""


def read_receipt(paths: Paths) -> LookReceipt | None:
    """The receipt of the last look; None if there was none, or it is damaged."""
    try:
        return codec.loads(LookReceipt, paths.redaction_rules.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def look_through(paths: Paths, store: Store, now: float) -> Iterator[None]:
    """Look through the whole home, slice by slice; the receipt is written last.

    Raises StoreError if the database cannot be written, OSError if a file cannot.
    """
    redactor = redactor_of(store)
    done: Counter[str] = Counter()
    for slice_ in redact_rows(store, redactor, now):
        done += slice_
        yield
    if done:
        compacted = compact(store)
        while not compacted:  # a reader of the database is in the way
            yield
            compacted = empty_wal(store)
        yield
    growing = {
        f"{row['name'].removesuffix(LEFT)}.{row['head'][:8]}"
        for row in store.rows("SELECT name, head FROM spool_positions")
    }
    done["lines of spool/bad"] += bad_lines.redact_again(paths.spool / "bad", redactor, but=growing)
    removed = [*(yield from remove_backups_with_secrets(paths.database, redactor))]
    yield
    for run in run_directories(paths.runs):
        removed += yield from _without_secrets(run, redactor)
        yield
    done["lines of logs"] += _redact_logs(paths, redactor)
    receipt = LookReceipt(rules_version(), now, dict(+done), tuple(removed))
    replace_file(paths.redaction_rules, json.dumps(asdict(receipt)) + "\n")


def _without_secrets(
    run: RunDirectory, redactor: Redactor
) -> Generator[None, None, tuple[str, ...]]:
    """Remove a run's files of texts if one holds a secret; returns their names.

    The manifest stays, which has no text. Such a data set is not replayed any more.
    """
    files = [run.path / RENDERED, *sorted(run.snapshot.glob("*.jsonl"))]
    texts = [path for path in files if path.exists()]
    for path in texts if run.ended else ():
        with path.open(encoding="utf-8", errors="replace") as lines:
            holds = yield from any_secret(lines, redactor)
        if holds:
            for each in texts:
                each.unlink(missing_ok=True)
            return tuple(f"{run.run_id}/{each.name}" for each in texts)
    return ()


def _redact_logs(paths: Paths, redactor: Redactor) -> int:
    """Look through the logs; how many lines were rewritten.

    One that is written to is begun anew, and what it had is the older file beside it.
    """
    count = 0
    for path in sorted(paths.logs.glob("*.log*"), reverse=True):  # what is put aside comes last
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        clean = [redactor.text(line) for line in lines]
        changed = sum(new != old for new, old in zip(clean, lines, strict=True))
        if not changed:
            continue
        count += changed
        place = path
        if path.suffix == ".log":
            logs.shift(path)
            place = logs.beside(path, 1)
        replace_file(place, "".join(f"{line}\n" for line in clean))
        if place != path:
            os.truncate(path, 0)
    return count


class RedactAgain:
    """Looks through the home in idle rounds, if the rules are others than the last time."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._rules = rules_version()
        self._work: Iterator[None] | None = None
        self._asked = self._other_rules()
        self._next = 0.0

    @property
    def left(self) -> bool:
        """Whether something is left to look at now."""
        return self._work is not None or (self._asked and time.monotonic() >= self._next)

    @property
    def behind(self) -> bool:
        """Whether some of what is stored was not looked through by the rules of today."""
        return self._work is not None or self._asked

    def step(self, store: Store, now: float) -> bool:
        """Go on for a moment; whether something may have been changed.

        What fails is logged, and begun again later.
        """
        if self._work is None and not self._due():
            return False
        self._asked = True
        if self._paths.forgetting.exists():  # it goes by the hashes that it wrote down: begin anew
            self._work, self._next = None, time.monotonic() + LOOK_SECONDS
            return False
        self._work = self._work or look_through(self._paths, store, now)
        over = time.monotonic() + SLICE_SECONDS
        try:
            for _ in self._work:
                if time.monotonic() >= over:
                    return True
            self._asked = False
            self._next = time.monotonic() + LOOK_SECONDS
            self._tell()
        except (QiError, OSError) as error:
            logger.warning("what is stored could not be redacted again: %s", error)
            self._next = time.monotonic() + AGAIN_SECONDS
        self._work = None
        return True

    def _due(self) -> bool:
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + LOOK_SECONDS
        return self._asked or self._other_rules()

    def _other_rules(self) -> bool:
        """Whether it was last looked through by other rules, or never."""
        known = read_receipt(self._paths)
        return known is None or known.rules != self._rules

    def _tell(self) -> None:
        known = read_receipt(self._paths)
        if known is not None and (known.rewritten or known.removed):
            counts = dict(known.rewritten)
            logger.info("redacted again: %s, removed: %s", counts, known.removed or "nothing")
