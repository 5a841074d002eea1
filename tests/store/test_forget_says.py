"""Which texts `forget --grep` takes for saying it."""

from __future__ import annotations

import unicodedata

import pytest

from qi_learn.store.forget_choice import says

OWL = "Käuzchenhof"


@pytest.mark.parametrize(
    ("pattern", "text", "said"),
    [
        ("falcon", "The Falcons fly", True),
        (OWL, unicodedata.normalize("NFD", f"der {OWL}."), True),
        (unicodedata.normalize("NFD", OWL), f"der {OWL.upper()}.", True),
        ("K.uzchen", unicodedata.normalize("NFD", OWL), True),
        ("Project Peregrine", "of Project\n    Peregrine", True),
        ("Project Peregrine", '{"text": "of Project\\nPeregrine"}', True),
        ("Project Peregrine", "Project X Peregrine", False),
        ("a.b c", "a.b\tc", True),
        ("(", "f(x)", True),
        (" ", "word", False),
        (" ", "two words", True),
    ],
)
def test_a_text_says_it_however_it_is_written(pattern: str, text: str, said: bool) -> None:
    assert says(pattern)(text) is said
