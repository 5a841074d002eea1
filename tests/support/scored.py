"""Score a turn at once, as the daemon does in two steps."""

from __future__ import annotations

from pathlib import Path

from qi_learn.records import Score
from qi_learn.score.answer_facts import find_facts
from qi_learn.score.names_index import NamesIndex
from qi_learn.score.suggestion_score import score_turn
from qi_learn.settings import Settings
from qi_learn.store import score_queue
from qi_learn.store.database import Store
from qi_learn.store.feedback import domain_share


def score_now(store: Store, turn_id: str, settings: Settings, now: float) -> Score:
    """The turn's scores from everything known of it; its facts are kept."""
    index = NamesIndex(Path(store.path).parent / "names")
    facts = find_facts(score_queue.load_source(store, turn_id), index, now)
    score_queue.save_facts(store, [facts])
    turn = score_queue.load_scorable(store, turn_id)
    share = domain_share(store, turn.project, turn.domain) if turn.project and turn.domain else None
    return score_turn(turn, settings.score, now, domain_share=share)
