"""Long and odd texts are compared within bounds; one that is not compared says nothing."""

from __future__ import annotations

import random
import resource
import sys

import pytest

from qi_learn.track.match import NotCompared, Saved, added_lines
from tests.support.tracked_code import FILE, SUGGESTED, World, with_mean


def test_lines_that_both_texts_have_once_cut_a_long_text_into_pieces() -> None:
    old = [f"row {n}" for n in range(60_000)]
    new = list(old)
    chosen = sorted(random.Random(0).sample(range(60_000), 300))
    for n in chosen:
        new[n] = f"another {n}"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert added_lines(old, new) == set(chosen)
    unit = 1 if sys.platform == "darwin" else 1024
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit
    assert grown < 300_000_000, "the matrix alone would be 450 MB"


def test_a_regenerated_text_is_not_compared() -> None:
    old, new = ["12"] * 150_000, ["13", "12"] * 75_000
    with pytest.raises(NotCompared):
        added_lines(["begin", *old], ["start", *new, "end"])


def test_only_what_was_added_is_cut_into_tokens() -> None:
    text = "\n".join(f"value_{n} = {n}" for n in range(10_000))
    saved = Saved(f"{text}\nnew_line = 1")
    assert saved.added_since(text)[0] == {10_000}
    assert len(saved.tokens._found) == 1


def test_a_regenerated_file_passes_no_suggestion_by(world: World) -> None:
    world.begin("numbers.txt", "12\n" * 100_000)
    turn = world.ask(SUGGESTED)
    world.save("numbers.txt", "13\n12\n" * 70_000)
    assert world.fate(turn).touched_at is None, "not seen is unknown, never rejected"
    world.save("stats.py", with_mean(SUGGESTED))
    assert world.fate(turn).state == "placed"


def test_a_file_of_equal_lines_around_a_region_is_followed_quickly(world: World) -> None:
    turn = world.ask(SUGGESTED)
    lines = "    }\n\n" * 8_000
    world.save("stats.py", f"{lines}{SUGGESTED}{lines}{FILE}")
    world.save(
        "stats.py", f"{lines}{SUGGESTED.replace('total = 0', 'total = 0.0')}{lines}", restarted=True
    )
    world.wait(700)
    assert world.fate(turn).state == "settled"
