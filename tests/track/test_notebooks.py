"""Notebooks: code that was pasted into a cell, or put there by a tool, is found and followed."""

from __future__ import annotations

import json

import pytest

from qi_learn.track.notebooks import code_of
from tests.support.tracked_code import AUTHORS, SUGGESTED, World

TITLE = {"cell_type": "markdown", "metadata": {}, "source": ["# Numbers\n", "Words."]}


def notebook(*codes: str, outputs: str = "") -> str:
    """A notebook as Jupyter writes it."""
    cells = [
        {
            "cell_type": "code",
            "execution_count": 1,
            "id": f"c{n}",
            "metadata": {},
            "outputs": [{"output_type": "stream", "name": "stdout", "text": [outputs]}],
            "source": code.splitlines(keepends=True),
        }
        for n, code in enumerate(codes)
    ]
    whole = {"cells": [TITLE, *cells], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1) + "\n"


@pytest.fixture
def work(world: World) -> World:
    world.begin("work.ipynb", notebook("import math"))
    return world


def test_code_pasted_into_a_cell_is_found_and_followed(work: World) -> None:
    turn = work.ask(SUGGESTED)
    pasted = SUGGESTED.rstrip("\n")
    work.save("work.ipynb", notebook("import math", pasted))
    placed = work.fate(turn)
    assert (placed.state, placed.region, placed.similarity) == ("placed", pasted, 1.0)
    work.save("work.ipynb", notebook("import math", pasted, outputs="2.5\n"))
    work.commit()
    assert (work.fate(turn).final_text, work.feedback(turn).accepted) == (SUGGESTED, True)


def test_a_cell_that_is_rewritten_has_its_own_final_text(work: World) -> None:
    turn = work.ask(SUGGESTED)
    work.save("work.ipynb", notebook("import math", SUGGESTED))
    work.save("work.ipynb", notebook("import math", AUTHORS))
    work.commit()
    assert work.fate(turn).final_text == AUTHORS


def test_a_tool_s_edit_of_a_cell_is_found_in_its_notebook(work: World) -> None:
    arguments = {
        "notebook_path": str(work.repo.root / "work.ipynb"),
        "cell_id": "c1",
        "new_source": "x = math.pi",
    }
    call = {"id": "toolu_1", "function": {"name": "NotebookEdit", "arguments": arguments}}
    turn = work.ask("", fenced=False, answer_extra={"tool_calls": [call]})
    work.save("work.ipynb", notebook("import math", "x = math.pi"))
    assert (work.fate(turn).match_method, work.fate(turn).region) == ("path", "x = math.pi")


def test_running_a_cell_changes_no_code() -> None:
    codes = ("a = 1\nprint(a)\n", "b = 2")
    assert code_of(notebook(*codes), "n.ipynb") == code_of(notebook(*codes, outputs="1"), "n.ipynb")
    assert code_of(notebook(*codes), "n.ipynb") == "# Numbers\nWords.\n\na = 1\nprint(a)\n\nb = 2\n"


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"cells": 3}', '{"cells": [1, {"source": 2}]}'])
def test_what_is_no_notebook_raises_nothing(text: str) -> None:
    code_of(text, "n.ipynb")
    assert code_of(text, "n.json") == text
