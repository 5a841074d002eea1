"""Which lines anybody would write there: imports in many languages, and no calls that look so."""

from __future__ import annotations

import pytest

from qi_learn.track.boilerplate import is_boilerplate


@pytest.mark.parametrize(
    "line",
    [
        *("import os", "from . import x", "use std::io;", "import (", 'import{a} from "b"'),
        *("using namespace std;", "using x = int;", 'require "x"', "include Foo", "package main"),
        *("extern crate a;", "return total", "}", "self.rows = rows"),
    ],
)
def test_what_anybody_writes_says_nothing(line: str) -> None:
    assert is_boilerplate(f"    {line}")


@pytest.mark.parametrize(
    "line",
    [
        *("use(key, 3)", "include = [1]", "require(x > 0)", "from = 3", "package.run()"),
        *('import("x").then(go)', "use.it()", "include (x)", "using(var a = b)"),
    ],
)
def test_a_call_or_a_name_that_is_called_so_is_code(line: str) -> None:
    assert not is_boilerplate(line)
