"""Completions that a client stopped reading: what it took is learned, the rest is nothing.

Continue, llama.vscode and others stop reading at the line they want, which ends the request.
"""

from __future__ import annotations

from typing import Any

from qi_learn.dataset.select import judged
from qi_learn.dataset.target import Target, target_of
from qi_learn.records import Message
from qi_learn.settings import Settings
from qi_learn.store.feedback import load_interaction, save_score, scored_turns
from qi_learn.store.learnables import load_turn_evidence
from tests.support.redacted import as_redacted
from tests.support.scored import score_now
from tests.support.tracked_code import FILE, MARK, World

LINE = "    return math.fsum(map(abs, values)) / max(1, len(values))"
BEFORE, AFTER = FILE.split(MARK)
HEAD = "def mean(values):\n"


def ask(world: World, answer: str, *, cancelled: bool = True, **more: Any) -> str:
    prompt = f"<|fim_prefix|>{BEFORE}{HEAD}<|fim_suffix|>\n{AFTER}<|fim_middle|>"
    return world.ask(
        answer,
        fenced=False,
        endpoint="/api/generate",
        messages=(Message("prompt", prompt),),
        request={"raw": True},
        cancelled=cancelled,
        complete=not cancelled,
        **more,
    )


def with_body(body: str) -> str:
    return f"{BEFORE}{HEAD}{body}\n{AFTER}"


def learned(world: World, turn: str) -> list[str]:
    """The turns over a settled text's threshold that the data set takes; this one is scored."""
    save_score(world.store, as_redacted(score_now(world.store, turn, Settings(), world.now)))
    found = scored_turns(world.store, threshold=0.5)
    return [t for t in found if judged(load_turn_evidence(world.store, t)).key is not None]


def test_a_completion_that_was_cut_at_a_line_and_taken_is_learned_as_it_was_taken(
    world: World,
) -> None:
    turn = ask(world, f"{LINE}\n\n\ndef vari")
    world.save("stats.py", with_body(LINE))
    world.commit()
    fate = world.fate(turn)
    assert (fate.text, fate.fate, fate.final_text) == (LINE, "kept", LINE)
    assert learned(world, turn) == [turn]
    target = target_of(load_interaction(world.store, turn))
    assert isinstance(target, Target)
    assert target.text == LINE
    assert judged(load_turn_evidence(world.store, turn)).key is not None


def test_what_the_person_made_of_it_is_learned(world: World) -> None:
    turn = ask(world, f"{LINE}\n    # and")
    world.save("stats.py", with_body(LINE))
    changed = LINE.replace("max(1, len(values))", "max(2, len(values))")
    world.save("stats.py", with_body(changed))
    world.commit()
    assert world.fate(turn).fate == "edited"
    assert learned(world, turn) == [turn]
    target = target_of(load_interaction(world.store, turn))
    assert isinstance(target, Target)
    assert target.text == changed


def test_one_that_was_taken_in_no_file_is_nothing_though_its_place_was_saved_without_it(
    world: World,
) -> None:
    turn = ask(world, f"{LINE}\n\n\ndef vari")
    whole = ask(world, LINE, cancelled=False)
    world.save("stats.py", with_body("    raise NotImplementedError"))
    assert (world.fate(turn).sign, world.fate(whole).sign) == (None, "left_out")
    world.work(world.settings.window + 61)
    world.save("stats.py", with_body("    raise NotImplementedError()"))
    world.work(world.settings.window + 61)
    assert (world.fate(turn).fate, world.fate(whole).fate) == ("unknown", "rejected")
    assert learned(world, turn) == []


def test_a_chat_that_was_stopped_is_not_learned_whatever_was_placed(world: World) -> None:
    block = f"Here:\n\n```python\ndef mean(values):\n{LINE}\n```\nAnd al"
    turn = world.ask(block, fenced=False, cancelled=True, complete=False)
    world.save("stats.py", with_body(LINE))
    world.commit()
    assert world.fate(turn).fate == "kept"
    assert learned(world, turn) == []
    assert judged(load_turn_evidence(world.store, turn)).key is None
