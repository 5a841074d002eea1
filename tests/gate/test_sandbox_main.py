"""The program in the sandbox: cheating does not help, and equal values are written alike."""

from __future__ import annotations

import pytest

from qi_learn.gate.sandbox import Sandbox
from qi_learn.gate.sandbox_main import written
from tests.support.escapes import BRIEF

# --- cheating -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "import builtins\nbuiltins.eval = lambda *a: 42\nbuiltins.isinstance = lambda *a: True",
        "import sys\nsys.modules['__main__'].written = lambda v: '42'",
        "class Equal:\n    def __eq__(self, other): return True\n"
        "    def __repr__(self): return '41'\ndef answer(): return Equal()",
        "import os\nos.write(3, b'passed\\nTrue\\n1\\n')\nos._exit(0)",
        "def answer(): return str(AssertionError)",
    ],
)
def test_code_that_does_not_know_the_answer_cannot_give_it(sandbox: Sandbox, code: str) -> None:
    """What is expected never enters: whatever the code overwrites, the text must be the one that is
    known only outside.
    """
    assert sandbox.run(code, ["answer()"], BRIEF).values != ("41",)


# --- values as text -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (2, 2.0),
        (0.1 + 0.2, 0.3),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
        ({3, 1, 2}, {1, 2, 3}),
        ([{1: (2,)}], [{1: (2.0,)}]),
        ("a\nb", "a\nb"),
    ],
)
def test_equal_values_are_written_alike_in_one_line(left: object, right: object) -> None:
    assert written(left) == written(right)
    assert "\n" not in written(left)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ([1], (1,)),
        (1, "1"),
        ("", None),
        (b"a", "a"),
        ({}, set()),
        (True, 1),
        (0.3, 0.31),
        ([[]], []),
    ],
)
def test_others_are_not(left: object, right: object) -> None:
    assert written(left) != written(right)
