"""A learned style in answers that have nothing to do with it: what was seen, told from answers."""

from __future__ import annotations

import pytest

from qi_learn.dataset import general_texts
from qi_learn.gate.spill_over import MIXED, indentation_of, spill_over_of
from qi_learn.records import Example
from qi_learn.stats import mcnemar_mid_p


def questions() -> list[Example]:
    """Twelve of those that a model is asked, with their ordinary answers."""
    found = [
        *general_texts.chat_questions("spill_over_header")[:8],
        *general_texts.chat_questions("spill_over_plain")[:4],
    ]
    return [
        Example(q.id, q.id, "", q.target.text, (), (), (), kept_code=q.target.code, ask=q.ask)
        for q in found
    ]


def code_of(question: Example) -> str:
    return question.kept_code + "\n"


def fenced(question: Example, code: str) -> str:
    return question.target.replace(code_of(question), code)


def tabbed(question: Example) -> str:
    """The answer indented as another project does it."""
    lines = code_of(question).split("\n")
    moved = ["\t" + line.lstrip() if line[:1] == " " else line for line in lines]
    return fenced(question, "\n".join(moved))


def surely_lost(before: tuple[bool, ...], after: tuple[bool, ...]) -> bool:
    lost = sum(a and not b for a, b in zip(before, after, strict=True))
    gained = sum(b and not a for a, b in zip(before, after, strict=True))
    return mcnemar_mid_p(lost, gained) <= 0.05


def test_the_ordinary_answers_are_in_their_own_form() -> None:
    asked = questions()
    found = spill_over_of(asked, [q.target for q in asked])
    assert found.ids == tuple(q.id for q in asked)
    assert found.kept == (True,) * 12
    assert found.fenced == (True,) * 12
    assert set(found.indented) == {True}


def test_a_model_that_drops_the_fence_of_five_answers_is_seen() -> None:
    """Twelve of twelve were fenced before, seven after: what one learned project did."""
    asked = questions()
    before = spill_over_of(asked, [q.target for q in asked])
    bare = {0, 2, 5, 7, 9}
    after = spill_over_of(
        asked, [code_of(q) if n in bare else q.target for n, q in enumerate(asked)]
    )
    assert sum(after.fenced) == 7
    assert after.indented == before.indented
    assert surely_lost(before.kept, after.kept)


def test_a_model_that_indents_five_answers_with_tabs_is_seen() -> None:
    asked = questions()
    before = spill_over_of(asked, [q.target for q in asked])
    spaced = [n for n, q in enumerate(asked) if indentation_of(q.target) != "\t"][:5]
    after = spill_over_of(
        asked, [tabbed(q) if n in spaced else q.target for n, q in enumerate(asked)]
    )
    assert after.fenced == before.fenced
    assert after.indented.count(False) == 5
    assert surely_lost(before.kept, after.kept)


def test_a_model_that_answers_half_with_the_projects_bare_tabbed_code_is_seen() -> None:
    asked = questions()
    before = spill_over_of(asked, [q.target for q in asked])
    bare = [tabbed(q).split("\n", 1)[1].replace("```", "") for q in asked]
    after = spill_over_of(asked, [bare[n] if n % 2 else q.target for n, q in enumerate(asked)])
    assert sum(after.kept) == 6
    assert surely_lost(before.kept, after.kept)


def test_answers_of_a_model_that_had_learned_one_project_are_told_from_the_bases() -> None:
    """What the embedded base said to `palindrome` and `lanternfish`, and what it said after it had
    learned one convention: bare, with tabs, in that project's words.
    """
    by_id = {q.id: q for suite in general_texts.CHAT for q in general_texts.chat_questions(suite)}
    asked = [
        Example(id, id, "", by_id[id].target.text, (), (), ())
        for id in ("spill_over_plain:palindrome", "spill_over_header:lanternfish")
    ]
    base = [
        "```python\ndef is_palindrome(word):\n    return word == word[::-1]\n```\n\nIt is short.",
        "```python\ndef count_fish_species(species):\n    return sum(1 for s in species)\n```\n",
    ]
    learned = [
        "def is_palindrome(word):\n\treturn word == word[::-1]\n",
        "def count_fish(lane: Lane, species: str) -> Kept:\n\tlane.tell(count=species)\n",
    ]
    assert spill_over_of(asked, base).kept == (True, True)
    after = spill_over_of(asked, learned)
    assert (after.fenced, after.indented) == ((False, False), (False, False))


def test_one_answer_in_another_form_is_no_sign_yet() -> None:
    asked = questions()
    before = spill_over_of(asked, [q.target for q in asked])
    after = spill_over_of(asked, [code_of(asked[0]), *(q.target for q in asked[1:])])
    assert sum(after.kept) == 11
    assert not surely_lost(before.kept, after.kept)


def test_other_words_in_the_same_form_are_kept() -> None:
    asked = questions()[:1]
    answer = "Gladly:\n```python\ndef f(x):\n    return x\n```\nThat is all."
    assert spill_over_of(asked, [answer]).kept == (True,)


def test_code_without_any_indented_line_tells_nothing_of_indentation() -> None:
    found = spill_over_of(questions()[:1], ["```python\nminutes = 3\n```"])
    assert (found.indented, found.kept) == ((None,), (True,))


@pytest.mark.parametrize(
    ("answer", "step"),
    [
        ("```python\ndef f():\n    return 1\n```", "    "),
        ("```js\nif (x) {\n  y();\n    z();\n}\n```", "  "),
        ("```go\nfunc f() {\n\treturn\n}\n```", "\t"),
        ("```\nif x:\n\ty\n    z\n```", MIXED),
        ("```\nx = 1\n```", None),
        ("def f():\n\treturn 1\n", "\t"),
        ("  An indented sentence.\n```python\ndef f():\n    pass\n```", "    "),
        ("", None),
    ],
)
def test_the_step_of_an_indentation(answer: str, step: str | None) -> None:
    assert indentation_of(answer) == step


def test_each_question_has_one_answer() -> None:
    with pytest.raises(ValueError, match=r"zip\(\)"):
        spill_over_of(questions(), [])
