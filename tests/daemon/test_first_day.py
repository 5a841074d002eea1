"""The fates of a first working day, played through spool, watcher and intake.

Labelled by what was done: kept, edited, taken back with a sign, or nothing that could be told. What
was taken is never called rejected, and what stands is the final text.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.first_day_changed import CHANGED
from tests.support.first_day_completions import COMPLETIONS
from tests.support.first_day_drops import DROPS
from tests.support.first_day_edits import EDITS
from tests.support.first_day_forms import FORMS
from tests.support.first_day_languages import LANGUAGES
from tests.support.first_day_places import PLACES
from tests.support.played_day import TAKEN, Day, Scene, final, said
from tests.support.played_home import PlayedHome

ROWS = [
    pytest.param(scene, language, id=f"{scene.__name__}-{language}")
    for scene, languages in (
        *(*PLACES, *FORMS, *EDITS, *DROPS),
        *(*COMPLETIONS, *CHANGED, *LANGUAGES),
    )
    for language in languages
]


@pytest.mark.parametrize(("scene", "language"), ROWS)
def test_the_fate_is_the_true_one(tmp_path: Path, scene: Scene, language: str) -> None:
    with PlayedHome(tmp_path) as home:
        true = scene(Day(home, language))
        word = said(home, true.turn)
        assert word in true.words, home.suggestions(true.turn)
        if word in TAKEN and true.final is not None:
            assert final(home, true.turn).strip("\n") == true.final.strip("\n")
        if word in TAKEN and true.project is not None:
            assert home.project_of(true.turn) == str(true.project)
