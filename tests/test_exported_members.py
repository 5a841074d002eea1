"""What is public is what is documented: the package's names, and the tree of errors."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import qi_learn
from qi_learn import errors
from qi_learn.errors import QiError

VERSIONING = Path(__file__).parent.parent / "docs" / "versioning.md"
PUBLIC = {"__version__"}
"""What `qi_learn.__all__` names; a change of it is a change of docs/versioning.md too."""


def test_all_names_what_is_public() -> None:
    assert set(qi_learn.__all__) == PUBLIC
    assert [name for name in qi_learn.__all__ if not hasattr(qi_learn, name)] == []


def test_the_page_on_versions_names_the_same() -> None:
    """Its bullet on Python modules: "except for what `qi_learn.__all__` names: `...`."."""
    bullet = re.search(r"^\* The Python modules.*?(?=^\*|\Z)", VERSIONING.read_text(), re.M | re.S)
    assert bullet is not None
    named = re.findall(r"`([^`]+)`", bullet.group())
    assert {name for name in named if name != "qi_learn.__all__"} == PUBLIC


def test_the_tree_of_errors_is_drawn_whole() -> None:
    """Every class with its parent, as the docstring of `errors` draws them."""
    assert _drawn(errors.__doc__ or "") == {
        (kind.__name__, kind.__bases__[0].__name__)
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, QiError) and kind is not QiError
    }


def _drawn(text: str) -> set[tuple[str, str]]:
    """The pairs of name and parent in a tree of `├──` and `└──` below the line `QiError`."""
    path = ["QiError"]
    pairs = set()
    for line in text.splitlines():
        if found := re.match(r"([│ ]*)[├└]── (\w+)", line):
            depth = len(found[1]) // 4 + 1
            path[depth:] = [found[2]]
            pairs.add((found[2], path[depth - 1]))
    return pairs
