"""What became of suggestions by client; a client with nothing but rejections is a capture fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.records import Fate, Suggestion
from qi_learn.report.status_lines import clients
from qi_learn.store import feedback, turns
from qi_learn.store.client_rates import client_rates
from qi_learn.store.database import Store, open_store
from tests.support.recorded_home import a_turn
from tests.support.redacted import as_redacted


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store.db") as opened:
        yield opened


def suggested(store: Store, client: str | None, fate: Fate | None, count: int) -> None:
    for n in range(count):
        id = f"{client}-{fate}-{n}"
        turns.save_turn(store, as_redacted(a_turn(id, at=100.0 + n, client=client)))
        placed = 110.0 if fate in ("kept", "edited", "rejected") else None
        made = Suggestion(id, 0, "x = 1", 3, 8, placed_at=placed, inferred=fate, fate=fate)
        feedback.save_suggestions(store, as_redacted([made]))


def test_fates_are_counted_by_client_whatever_its_version(store: Store) -> None:
    suggested(store, "aider/0.86", "kept", 3)
    suggested(store, "aider/0.87.1", "unknown", 2)
    suggested(store, "OpenAI/Python", "edited", 1)
    suggested(store, None, None, 1)
    found = {rates.client: rates for rates in client_rates(store)}
    assert list(found) == ["aider", "(no name)", "OpenAI/Python"]
    aider = found["aider"]
    assert (aider.suggestions, aider.placed, aider.kept, aider.unknown) == (5, 3, 3, 2)
    assert found["(no name)"].decided == 0
    assert "aider: 5 suggestions, 60% found in files, 0% rejected, 40% unknown" in "\n".join(
        clients(client_rates(store))
    )


@pytest.mark.parametrize(
    ("rejected", "kept", "faulty"), [(18, 2, True), (17, 3, False), (10, 0, False), (40, 4, True)]
)
def test_a_client_of_which_nine_in_ten_are_rejected_is_called_a_fault(
    store: Store, rejected: int, kept: int, faulty: bool
) -> None:
    suggested(store, "tool/1", "rejected", rejected)
    suggested(store, "tool/1", "kept", kept)
    suggested(store, "tool/1", "unknown", 100)
    (rates,) = client_rates(store)
    assert rates.faulty is faulty
    assert any("fault of capturing" in line for line in clients([rates])) is faulty
