"""What `scripts/bench labels` plays: functions of two releases, and how it counts."""

from __future__ import annotations

import random

import pytest

from scripts.benchmarks.labelling import styles
from scripts.benchmarks.labelling.cases import cases_of, played
from scripts.benchmarks.labelling.change import Change
from scripts.benchmarks.labelling.definitions import definitions
from scripts.benchmarks.labelling.dialects import DIALECTS
from scripts.benchmarks.labelling.judging import Judged, measure, table
from scripts.benchmarks.labelling.likeness import likeness
from scripts.benchmarks.labelling.play import Truth, added_lines, fragments
from scripts.benchmarks.labelling.releases import Package, pinned_packages
from scripts.benchmarks.labelling.samples import samples_of

BY_LANGUAGE = {
    "python": (
        "class Row:\n    @property\n    # how many\n    def cells(self):\n        a = 1\n"
        "        b = 2\n        return a + b\n\n\ndef first(x):\n    y = x\n    z = y\n"
        "    return z\n",
        ["first", "Row.cells"],
    ),
    "go": (
        "// First is it.\nfunc First(a int) int {\n\tif a > 0 {\n\t\treturn a\n\t}\n"
        "\treturn 0\n}\n\n"
        'func (r *Row) Cells() (int, error) {\n\ts := "}"\n\t_ = s\n\treturn 1, nil\n}\n',
        [":First/0", "Row:Cells/1"],
    ),
    "rust": (
        "impl Row {\n    /// How many.\n    pub fn cells(&self) -> usize {\n        let a = 1;\n"
        "        let b = '}';\n        a\n    }\n}\n",
        ["impl Row:cells/0"],
    ),
    "java": (
        "public class Row {\n    @Override\n    public int cells(int a, int b) {\n"
        "        if (a > b) {\n            return a;\n        }\n        return b;\n    }\n}\n",
        ["public class Row:cells/1"],
    ),
    "typescript": (
        "export function first(a: string): string {\n  const b = `}`;\n  call(a, b);\n"
        "  return a\n}\n"
        "\nclass Row {\n  cells(a: number): number {\n    const b = a\n    return b\n  }\n}\n",
        [":first/0", "class Row:cells/0"],
    ),
}


@pytest.mark.parametrize("language", BY_LANGUAGE)
def test_functions_are_found_whole_with_what_stands_above_them(language: str) -> None:
    text, names = BY_LANGUAGE[language]
    found = definitions(text, language)
    assert [d.name for d in found] == names
    assert all("\n".join(text.split("\n")[d.start : d.end]) + "\n" == d.text for d in found)


def test_a_formatters_work_is_no_difference() -> None:
    code = "call(\n    one,\n    two,\n)\nx = 'a'\n"
    assert likeness(code, 'call(one, two)\nx = "a"  # so\n', "python") == 1.0
    assert likeness(code, code.replace("one", "three"), "python") < 0.95
    assert likeness(code, "# nothing but a word\n", "python") == 0.0


@pytest.mark.parametrize("language", ["python", "typescript", "java"])
def test_another_style_says_the_same(language: str) -> None:
    text = BY_LANGUAGE[language][0].replace("a = 1", 'a = call("x")')
    assert likeness(styles.restyled(text, language), text, language) == 1.0


OLD = (
    "import os\n\n\ndef one(a):\n    b = a\n    c = b\n    return c\n\n\n"
    "def last(a):\n    b = [a]\n    return b[0]\n"
)
NEW = OLD.replace("    c = b\n", "    c = b + 1\n    d = c\n")


def test_every_dialect_says_a_change_so_that_it_can_be_made() -> None:
    change = Change("m.py", "/p", "python", OLD, NEW, NEW[11:80])
    old, new, _ = change.hunk()
    assert OLD.count(old) == 1
    assert OLD.replace(old, new) == NEW
    assert fragments(change, NEW) == (new, "    c = b + 1\n    d = c\n")
    assert added_lines(OLD, NEW)[0] == "    c = b + 1\n    d = c\n"
    for dialect in DIALECTS:
        assert "c = b + 1" in dialect.answer(change).response


def _package() -> Package:
    return Package("small", "pypi", "python", ("1", "2"), ("", ""), "", False)


RELEASE = {
    "m.py": "import os\n\n\ndef mean(values, weights):\n    total = 0\n"
    "    for value, weight in zip(values, weights):\n"
    "        total += value * weight\n    return total / sum(weights)\n",
    "other.py": "def spread(values, least, most):\n    low = min(values, default=least)\n"
    "    high = max(values, default=most)\n    return high - low\n",
}


def test_two_releases_give_cases_that_are_played() -> None:
    newer = {
        **RELEASE,
        "m.py": RELEASE["m.py"].replace("total = 0", "total = math.fsum([weights[0]])"),
    }
    samples = samples_of(_package(), RELEASE, newer, random.Random(1))
    assert [s.name for s in samples] == ["mean"]
    cases = {case.kind: case for case in cases_of(_package(), samples, 0)}
    judged = played(cases["after lunch"])
    assert isinstance(judged, Judged), judged
    assert judged.truth.fate == "kept"
    assert judged.truth.finals[0].startswith("def mean")


def _judged(truth: str, said: str | None, *, boilerplate: bool = False) -> Judged:
    placed = said in ("kept", "edited")
    finals = ("x\n",) if placed else ()
    true = Truth("t", truth, ("x",), "/p")
    return Judged("p", "go", "block", "k", boilerplate, true, (said,), placed, finals, "/p")


def test_what_is_counted() -> None:
    numbers = measure(
        [
            _judged("kept", "kept"),
            _judged("kept", "edited"),
            _judged("edited", None),
            _judged("rejected", "rejected"),
            _judged("unknown", "rejected"),
            _judged("unknown", "kept", boilerplate=True),
        ]
    )
    assert numbers.accepted_precision == pytest.approx(2 / 3, abs=1e-3)
    assert numbers.accepted_recall == pytest.approx(2 / 3, abs=1e-3)
    assert (numbers.rejected_precision, numbers.rejected_recall) == (0.5, 1.0)
    assert (numbers.unknown_share, numbers.boilerplate, numbers.cases) == (0.25, 1, 6)
    assert numbers.final_exact == 1.0
    assert any(
        "block" in line for line in table([_judged("kept", "kept")], "dialect", lambda c: c.dialect)
    )


def test_half_of_the_packages_is_kept_aside_in_every_language() -> None:
    packages = pinned_packages()
    assert len(packages) >= 12
    scripts = {"typescript": "script", "javascript": "script"}
    halves = [
        {scripts.get(p.language, p.language) for p in packages if p.aside is aside}
        for aside in (False, True)
    ]
    assert halves[0] == halves[1]
    assert len(halves[0]) == 5
    assert sum(p.aside for p in packages) * 2 == len(packages)
