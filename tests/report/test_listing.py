"""`qi-learn log` and `qi-learn versions`: what was recorded, and which versions there are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qi_learn.deploy import journal
from qi_learn.errors import StoreError
from qi_learn.paths import Paths
from qi_learn.report import listing as history
from qi_learn.report.words import one_line
from tests.support.recorded_home import (
    ESCAPE,
    RUN,
)


def test_the_log_without_a_database(paths: Paths) -> None:
    with pytest.raises(StoreError, match="no database"):
        history.turns(paths, limit=3)
    assert "Nothing was recorded yet" in history.as_text([])


def test_a_text_for_the_terminal_is_one_line_without_commands() -> None:
    assert one_line(f" a\n\tb {ESCAPE} ü \u202e") == "a b \ufffd]0;owned\ufffd ü \ufffd"


def test_versions_say_what_they_are(past: Paths) -> None:
    def pinned_and_retired(d: journal.Deployment | None) -> journal.Deployment:
        assert d is not None
        return replace(
            d,
            releases=(d.releases[0], replace(d.releases[1], pinned=True)),
            chain=("1.0.0",),
            retired=("1.1.0",),
        )

    journal.update(past, pinned_and_retired)
    base, learned = history.versions(past)
    assert (
        base.live,
        base.place,
        base.available,
        learned.live,
        learned.place,
        learned.available,
    ) == (True, 0, True, False, None, False)
    first, second = history.versions_text([base, learned]).splitlines()
    assert first.startswith("-> v1.0.0")
    assert first.endswith("the base's own weights")
    assert second.endswith(f"on top of v1.0.0, run {RUN[:8]}, pinned; its model was deleted")
