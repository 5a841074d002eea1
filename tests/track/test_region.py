"""Every function of an installed package pasted in some form, replaced by its author's, and found
again to the character.
"""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path

import pytest

from qi_learn.bench.functions import (
    DemoFunction,
    package_functions,
    sessions,
    skeleton,
    with_function,
    written,
)
from qi_learn.track.definitions import definitions
from qi_learn.track.match import Saved, added_lines, find
from qi_learn.track.region import (
    Region,
    Trace,
    around,
    defines,
    find_again,
    region_at,
    text_of,
)
from qi_learn.track.run_of_lines import track


def _pasted(function: DemoFunction, other: DemoFunction, chance: random.Random) -> str:
    """The function as a model may have written it."""
    code, foreign = written(function), written(other)
    wrapped = "class X:\n" + "".join(f"    {line}\n" if line else "\n" for line in code.split("\n"))
    forms = (
        *(
            code,
            code[: chance.randint(30, len(code) - 5)],
            foreign,
            foreign[: chance.randint(30, len(foreign) - 5)],
        ),
        *(
            code.replace("self", "this").replace("return", "yield"),
            wrapped,
            f"import os\n\n{code}\n\nprint(1, 2, 3, 4)\n",
        ),
    )
    return chance.choice(forms)


def test_what_takes_a_suggestions_place_is_found_to_the_character() -> None:
    package = Path(next(iter(importlib.util.find_spec("rich").submodule_search_locations)))  # type: ignore[union-attr, arg-type]
    functions = package_functions(package)
    chance = random.Random(7)
    found = 0
    for session in sessions(functions)[:12]:
        source = (package.parent / session.asked[0].file).read_text()
        text = skeleton(source, session.asked)
        for function in session.asked:
            code = _pasted(function, chance.choice(functions), chance)
            pasted, kept = (
                with_function(text, function, code),
                with_function(text, function, written(function)),
            )
            match = find(code, text, Saved(pasted), min_tokens=8, min_similarity=0.8)
            assert match is not None, code
            region = region_at(pasted, function.file, match.start, match.end)
            lines = pasted.split("\n")
            trace = Trace(
                text_of(lines, region), region.name, *around(lines, region), defines(code)
            )
            again = find_again(
                trace, kept, function.file, old=pasted, added=Saved(kept).added_since(text)[0]
            )
            assert again is not None
            assert text_of(kept.split("\n"), again) + "\n" == function.source, code
            found += 1
            text = kept
        assert text == source
    assert found > 60


@pytest.mark.parametrize(
    ("old", "new", "place", "expected"),
    [
        ("a b R S c d", "a b X c d", (2, 4), (2, 3)),
        ("a b R S c d", "n a b R S c d", (2, 4), (3, 5)),  # only moved
        ("a b R S c d", "a b R S c m d", (2, 4), (2, 4)),
        ("a b R S c d", "n a b X Y Z c m d", (2, 4), (3, 6)),
        ("a b R S c d", "a b c d", (2, 4), (2, 2)),  # gone
        ("R S c d", "X c e", (0, 2), (0, 1)),
        ("a R", "a X Y", (1, 2), (1, 3)),
        ("a b R S c d", "a B X c d e", (2, 4), (1, 3)),  # the line above changed with it
        ("a b } R } c } d", "n a b } X } c } d", (3, 4), (4, 5)),  # braces are everywhere
        ("a b R S c d", "c d a b R T", (2, 4), None),  # the other way round
    ],
)
def test_followed_between_the_lines_that_stay(
    old: str, new: str, place: tuple[int, int], expected: tuple[int, int] | None
) -> None:
    assert track(old.split(), new.split(), *place) == expected


def test_added_lines_are_those_that_were_not_there() -> None:
    assert added_lines(["a", "b", "c"], ["a", "x", "b", "c", "y"]) == {1, 4}
    assert added_lines([], ["a"]) == {0}
    assert added_lines(["a", "b"], ["a", "b"]) == set()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (
            "@a\n@b\ndef f():\n    pass\n\n\nclass C:\n    def m(self):\n        def inner():\n    "
            "        pass\n",
            ["f", "C", "C.m", "C.m.inner"],
        ),
        ("if x:\n    async def g(): pass\n", ["g"]),
        ("x = 1\n", []),
        ("def f(:\n", None),
        ('def f():\n    """open\n\ndef g():\n    """Doc."""\n', None),
    ],
)
def test_definitions_of_a_file(text: str, names: list[str] | None) -> None:
    found = definitions(text, "x.py")
    assert (None if found is None else [d.name for d in found]) == names
    assert definitions(text, "x.lua") is None


def test_a_region_is_the_definition_where_the_suggestion_is_most_of_it() -> None:
    text = "x = 1\n\n\ndef f(a):\n    b = a + 1\n    return b * 2\n\n\ny = 2\n"
    assert region_at(text, "a.py", 3, 6) == Region(3, 6, "f")
    assert region_at(text, "a.py", 3, 5) == Region(3, 6, "f")
    assert region_at(text, "a.py", 4, 5) == Region(4, 5)
    assert region_at(text, "a.py", 0, 6) == Region(0, 6)
    assert region_at(text, "a.go", 3, 6) == Region(3, 6)
