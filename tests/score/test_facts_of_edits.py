"""What is true of an answer that asks for an edit: of what it puts there, not of its marks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qi_learn.records import AnswerSource
from qi_learn.score.answer_facts import find_facts
from qi_learn.score.names_index import NamesIndex

BLOCK = "<<<<<<< SEARCH\nRATE = 1\n=======\nVAT = 19\n>>>>>>> REPLACE\n"
PLAIN = "```python\nVAT = 19\n```\n"


def test_the_marks_of_a_block_are_no_code_that_does_not_parse(tmp_path: Path) -> None:
    answer = f"tax.py\n```python\n{BLOCK}```\n"
    source = AnswerSource("T", None, 1.0, answer, (("VAT = 19\n", None),))
    facts = find_facts(source, NamesIndex(tmp_path), 2.0)
    assert (facts.parses, facts.lines) == (None, 1)
    plain = replace(source, answer=PLAIN, suggested=(("VAT = 19\n", "python"),))
    assert find_facts(plain, NamesIndex(tmp_path), 2.0).parses is True
    broken = replace(source, answer=PLAIN.replace("=", "= ="), suggested=())
    assert find_facts(broken, NamesIndex(tmp_path), 2.0).parses is False
