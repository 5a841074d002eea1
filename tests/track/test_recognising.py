"""What an answer changes is recognised in a saved file, and nothing else is.

Each case is a file before the turn, what was suggested, and the file after a save.
"""

from __future__ import annotations

import textwrap

import pytest

from qi_learn.track.match import Match, Saved, find
from qi_learn.track.region import region_at, text_of

HEAD = '"""Invoices."""\n\nimport csv\n\nRATE = 19\n\n\n'
OLD = textwrap.dedent('''\
    def due(invoices, today):
        """The invoices that are late."""
        late = []
        for invoice in invoices:
            if invoice.day < today:
                late.append(invoice)
        return late
    ''')
MENDED = OLD.replace("invoice.day < today", "invoice.day <= today")
TAIL = textwrap.dedent('''\


    def total(invoices):
        """What all of them cost."""
        return sum(invoice.amount for invoice in invoices)
    ''')
NEW = textwrap.dedent('''\
    def by_customer(invoices, limit):
        """The invoices of each customer."""
        groups = {}
        for invoice in invoices:
            if invoice.amount >= limit:
                groups.setdefault(invoice.customer, []).append(invoice)
        return groups
    ''')
OTHER = textwrap.dedent('''\
    def as_rows(invoices, path):
        """Write them to a file."""
        with open(path, "w") as file:
            writer = csv.writer(file)
            for invoice in invoices:
                writer.writerow([invoice.customer, invoice.amount])
    ''')
FILE = HEAD + OLD + TAIL
BRACES = (
    "fn f(x int) {\n    if x {\n        a(x)\n    }\n    b(x)\n    for {\n        c()\n    }\n}\n"
    "\nfn g() {\n}\n"
)
SPLIT = "def split(self, rv: str) -> t.Sequence[str]:\n    return rv.split(self.list_splitter)\n"
OLD_REMINDED = OLD.replace("late.append(invoice)", "late.append(with_reminder(invoice, today))")
WRAPPED = (
    "\n\ndef as_table(\n    rows,\n    left,\n    right,\n):\n    out = []\n"
    "    for row in chunked(rows, 3):\n        out.append(\n            join(\n"
    "                left,\n                row,\n                right,\n            ),\n"
    "        )\n"
    "    return tidied(\n        out,\n        rows,\n    )\n"
)
UNWRAPPED = (
    "def as_table(rows, left, right):\n    out = []\n    for row in chunked(rows, 3):\n"
    "        out.append(join(left, row, right))\n    return tidied(out, rows)\n"
)
JAVA = (
    "class A {{\n  @Override\n  List<Row> first(List<Row> rows) {{\n    List<Row> found = {0};\n"
    "    log(found{1});\n    return sorted(found, rows);\n  }}\n}}\n"
)
METHOD = "".join(JAVA.splitlines(keepends=True)[1:-1])
DOTTED = (
    "def dotted(version):\n    parts = version.split({0})\n    first = int(parts[0])\n"
    "    if first == 1 and len(parts) > 1:\n        return int(parts[1])\n    return first\n"
)
MANY = (
    "def handler({0}):\n    table = Table(console)\n    rows = {1}\n    return table.filled(rows)\n"
)
OLD_MANY = MANY.format(
    "console: Console, width: int = 80, keys: list[str] = [], safe: bool = True",
    "rows_of(width, keys, safe)",
)
NEW_MANY = MANY.format(
    "console: Console, width: int = 80, code_width: int = 88, max_frames: int = 9, "
    "keys: list[str] = [], safe: bool = True",
    "rows_of(width, code_width, max_frames, keys, safe, self.more)",
)
BARE_MANY = MANY.format(
    "console, width = 80, code_width = 88, max_frames = 9, keys = [], safe = True",
    "rows_of(width, code_width, max_frames, keys, safe)",
)
NEXT = (
    "  public boolean next{0}() throws IOException {{\n    expect(Token.{0});\n"
    "    boolean result = ((Primitive) pop()).getAs{0}();\n"
)
REST = "    if (size > 0) {\n      indices[size - 1]++;\n    }\n    return result;\n"
BOOLEAN = NEXT.format("Boolean")
PAUSED = (
    "def run_next({0}):\n    found = first(queue.of(scope_for({0})), lambda m: m is not {0})\n"
    "    {1}return found.go({0}) if found else resolved(scope_for({0}))\n"
)


def found(before: str, suggestion: str, after: str) -> Match | None:
    return find(suggestion, before, Saved(after), min_tokens=8, min_similarity=0.8)


def kept(before: str, suggestion: str, after: str, file: str = "a.py") -> str | None:
    """The text of the region that the suggestion has after the save."""
    match = found(before, suggestion, after)
    if match is None:
        return None
    return text_of(after.split("\n"), region_at(after, file, match.start, match.end)) + "\n"


TAKEN = {
    "a whole function with one line mended": (FILE, MENDED, HEAD + MENDED + TAIL, MENDED),
    "a whole function with a line left out": (
        FILE,
        OLD.replace('    """The invoices that are late."""\n', ""),
        FILE.replace('    """The invoices that are late."""\n', ""),
        OLD.replace('    """The invoices that are late."""\n', ""),
    ),
    "a whole file with three tokens changed": (
        FILE,
        FILE.replace("RATE = 19", "RATE = 20").replace("day < today", "day <= today"),
        FILE.replace("RATE = 19", "RATE = 20").replace("day < today", "day <= today"),
        FILE.replace("RATE = 19", "RATE = 20").replace("day < today", "day <= today"),
    ),
    "one change of two in a function": (
        FILE,
        MENDED.replace("late.append(invoice)", "late.append((invoice.day, invoice))"),
        FILE.replace("late.append(invoice)", "late.append((invoice.day, invoice))"),
        OLD.replace("late.append(invoice)", "late.append((invoice.day, invoice))"),
    ),
    "renamed before the first save": (
        FILE,
        NEW,
        FILE + "\n\n" + NEW.replace("groups", "grouped").replace("limit", "at_least"),
        NEW.replace("groups", "grouped").replace("limit", "at_least"),
    ),
    "type hints before the first save": (
        FILE,
        NEW,
        FILE
        + "\n\n"
        + NEW.replace(
            "(invoices, limit)",
            "(invoices: Sequence[Invoice], limit: Decimal) -> dict[str, list[Invoice]]",
        ).replace("groups = {}", "groups: dict[str, list[Invoice]] = {}"),
        NEW.replace(
            "(invoices, limit)",
            "(invoices: Sequence[Invoice], limit: Decimal) -> dict[str, list[Invoice]]",
        ).replace("groups = {}", "groups: dict[str, list[Invoice]] = {}"),
    ),
    "one of two functions": (FILE, NEW + "\n\n" + OTHER, FILE + "\n\n" + OTHER, OTHER),
    "one of two functions, which changes one that is there": (
        FILE,
        NEW + "\n\n" + MENDED,
        HEAD + MENDED + TAIL,
        MENDED,
    ),
    "the first half of a function": (
        FILE,
        NEW + "".join(f"    groups['x{i}'] = [{i}, len(invoices)]\n" for i in range(8)),
        FILE + "\n\n" + NEW,
        NEW,
    ),
    "a function turned into a method": (
        FILE + "\n\nclass Book:\n    size = 1\n",
        NEW,
        FILE
        + "\n\nclass Book:\n    size = 1\n\n"
        + textwrap.indent(
            NEW.replace("(invoices, limit)", "(self, limit: int) -> dict").replace(
                "in invoices", "in self.invoices"
            ),
            "    ",
        ),
        textwrap.indent(
            NEW.replace("(invoices, limit)", "(self, limit: int) -> dict").replace(
                "in invoices", "in self.invoices"
            ),
            "    ",
        ),
    ),
    "formatted by black": (
        FILE,
        "def pair(left, right):\n"
        "    return {'left': left, 'right': right, 'both': (left + right)}\n",
        FILE + '\n\ndef pair(left, right):\n    return {\n        "left": left,\n'
        '        "right": right,\n        "both": (left + right),\n    }\n',
        'def pair(left, right):\n    return {\n        "left": left,\n'
        '        "right": right,\n        "both": (left + right),\n    }\n',
    ),
    "lines left out": (
        FILE,
        "def due(invoices, today):\n    # ... existing code ...\n"
        "    late.sort(key=lambda invoice: invoice.day)\n    return late\n",
        HEAD
        + OLD.replace(
            "    return late", "    late.sort(key=lambda invoice: invoice.day)\n    return late"
        )
        + TAIL,
        OLD.replace(
            "    return late", "    late.sort(key=lambda invoice: invoice.day)\n    return late"
        ),
    ),
    "lines left out before a bracket that closes": (
        BRACES,
        "fn f(x int) {\n    if x && ready(x) {\n    // ... existing code ...\n}\n",
        BRACES.replace("if x {", "if x && ready(x) {"),
        BRACES.replace("if x {", "if x && ready(x) {").removesuffix("\nfn g() {\n}\n"),
    ),
    "lines left out below the comment that it begins with": (
        f"# Those that are late, oldest first.\n{OLD}",
        "# Those that are late, oldest first.\n# ... existing code ...\n"
        "            late.append(with_reminder(invoice, today))\n    return late\n",
        f"# Those that are late, oldest first.\n{OLD_REMINDED}",
        f"# Those that are late, oldest first.\n{OLD_REMINDED}",
    ),
    "one line changed of code that stands in another wrapping": (
        FILE + WRAPPED,
        UNWRAPPED.replace("(rows, 3)", "(rows, width=left + right)"),
        FILE + WRAPPED.replace("(rows, 3)", "(rows, width=left + right)"),
        WRAPPED.replace("(rows, 3)", "(rows, width=left + right)").lstrip("\n"),
    ),
    "its annotation was there": (
        JAVA.format("take(rows, 1)", ""),
        METHOD.format("take(rows, limitOf(rows), 1)", ""),
        JAVA.format("take(rows, limitOf(rows), 1)", ", rows"),
        METHOD.format("take(rows, limitOf(rows), 1)", ", rows"),
    ),
    "one line changed, under the names that were there": (
        HEAD + DOTTED.format("SIGNS"),
        DOTTED.format("SIGNS, 3").replace("parts", "pieces").replace("first", "major"),
        HEAD + DOTTED.format("SIGNS, 3"),
        DOTTED.format("SIGNS, 3"),
    ),
    "two names that the file did not have, with hints": (
        HEAD + OLD_MANY,
        BARE_MANY,
        HEAD + NEW_MANY,
        NEW_MANY,
    ),
    "half of one like its neighbour": (
        "class A {\n" + NEXT.format("String") + REST + "  }\n}\n",
        BOOLEAN + REST + "  }\n",
        "class A {\n" + NEXT.format("String") + REST + "  }\n\n" + BOOLEAN + "  }\n}\n",
        BOOLEAN + "  }\n",
    ),
    "with other names and without a line": (
        FILE,
        PAUSED.format("mutation", "found = first(found, lambda m: m.paused)\n    "),
        FILE + "\n\n" + PAUSED.format("change", "").replace("found", "waiting"),
        PAUSED.format("change", "").replace("found", "waiting"),
    ),
    "a method put into a class": (
        "class A:\n    def one(self):\n        return compute(1, self.rate, self.size)\n",
        "    def two(self):\n        return compute(2, self.rate, self.size)\n",
        "class A:\n    def one(self):\n        return compute(1, self.rate, self.size)\n\n"
        "    def two(self):\n        return compute(2, self.rate, self.size)\n",
        "    def two(self):\n        return compute(2, self.rate, self.size)\n",
    ),
}


@pytest.mark.parametrize("case", TAKEN)
def test_what_was_taken_is_found_and_its_text_is_whole(case: str) -> None:
    before, suggestion, after, final = TAKEN[case]
    assert kept(before, suggestion, after) == final


FORMATTED_TS = textwrap.dedent("""\
    export const byCustomer = (invoices: Invoice[], limit: number) => {
      const groups: Record<string, Invoice[]> = {};
      for (const invoice of invoices) {
        if (invoice.amount >= limit) {
          (groups[invoice.customer] ??= []).push(invoice);
        }
      }
      return groups;
    };
    """)
SUGGESTED_TS = textwrap.dedent("""\
    export const byCustomer = (invoices: Invoice[], limit: number) => {
      const groups: Record<string, Invoice[]> = {}
      for (const invoice of invoices) {
        if (invoice.amount >= limit) {
          (groups[invoice.customer] ??= []).push(invoice)
        }
      }
      return groups
    }
    """)


@pytest.mark.parametrize("more", ["", "\nexport const other = 1;\n"])
def test_a_closing_bracket_is_not_lost_when_prettier_ends_it_with_a_semicolon(more: str) -> None:
    before = "import { Invoice } from './invoice';\n\n"
    after = before + FORMATTED_TS + more
    assert kept(before + more, SUGGESTED_TS, after, "a.ts") == FORMATTED_TS
    match = found(before + more, SUGGESTED_TS, after)
    assert match is not None
    assert match.similarity == 1.0


REWRITTEN = textwrap.dedent("""\
    def by_customer(invoices, limit):
        result = collections.defaultdict(list)
        big = [x for x in invoices if not x.amount < limit]
        for x in big:
            result[x.customer] += [x]
        return dict(result)
    """)
NOT_TAKEN = {
    "it repeats what is there": (FILE, OLD, FILE + "\n\nx = compute(1, 2, 3, 4)\n"),
    "it repeats what a formatter changes": (
        FILE.replace("late = []", "late = ['a']"),
        OLD.replace("late = []", "late = ['a']"),
        FILE.replace("late = []", 'late = ["a"]'),
    ),
    "the function was changed in another way": (
        FILE,
        MENDED,
        FILE.replace("late.append(invoice)", "late.append(invoice.copy(today))"),
    ),
    "the function was mended in another way": (
        FILE,
        MENDED,
        FILE.replace("invoice.day < today", "invoice.day - GRACE < today"),
    ),
    "another word was put in its place": (
        HEAD + DOTTED.format("SIGNS"),
        DOTTED.format("MARKS"),
        HEAD + DOTTED.format("version"),
    ),
    "it repeats a function, and one like that was written": (
        FILE,
        OLD,
        FILE + "\n\n" + OLD.replace("def due", "def early").replace("<", ">"),
    ),
    "written from the idea": (FILE, NEW, FILE + "\n\n" + REWRITTEN),
    "another function of the kind": (
        FILE,
        NEW,
        FILE
        + "\n\ndef by_day(orders):\n    found = {}\n    for order in orders:\n"
        + "        found[order.day] = order\n    return found\n",
    ),
    "imports": (
        "x = 1\n",
        "import os\nimport sys\nimport json\nimport logging\nfrom pathlib import Path\n",
        "import os\nimport sys\nimport json\nimport logging\nfrom pathlib import Path\nx = 1\n",
    ),
    "a getter": (
        "class A:\n    x = 1\n",
        "    @property\n    def name(self):\n        return self._name\n",
        "class A:\n    x = 1\n\n    @property\n    def name(self):\n        return self._name\n",
    ),
    "a getter in Go": (
        "package a\n",
        "func (s *Server) Name() string {\n\treturn s.name\n}\n",
        "package a\n\nfunc (s *Server) Name() string {\n\treturn s.name\n}\n",
    ),
    "a licence's head": (
        "int x = 1;\n",
        "/*\n * Copyright of somebody.\n * All rights reserved, and so on and on.\n */\n",
        "/*\n * Copyright of somebody.\n * All rights reserved, and so on and on.\n */\n"
        "int x = 1;\n",
    ),
    "an import is its only change": (
        FILE,
        FILE.replace("import csv\n", "import csv\nimport json\n"),
        FILE.replace("import csv\n", "import csv\nimport json\n"),
    ),
    "a part that was there is changed in another way": (
        SPLIT,
        SPLIT.replace("rv.split(self.list_splitter)", "(rv or '').split(self.list_mark)"),
        SPLIT.replace("t.Sequence", "cabc.Sequence"),
    ),
    "few tokens": (FILE, "RATE = 20\n", FILE.replace("RATE = 19", "RATE = 20")),
    "the end of a block": (
        "function f() {\n}\n",
        "    }\n  }\n  return x;\n}\n\nexport { f };\n",
        "function f() {\n  if (a) {\n    if (b) {\n      c(1, 2, 3);\n    }\n  }\n  return x;\n}\n",
    ),
}


@pytest.mark.parametrize("case", NOT_TAKEN)
def test_what_was_not_taken_is_not_found(case: str) -> None:
    before, suggestion, after = NOT_TAKEN[case]
    assert found(before, suggestion, after) is None


# --- comments and attributes at the ends ----------------------------------------------------------

DOCUMENTED = """\
impl Version {
    /// Compares.
    ///
    /// let mut versions = [
    ///     "1.20.0+c144a98".parse().unwrap(),
    ///     "1.20.0".parse().unwrap(),
    ///     "1.0.0".parse().unwrap(),
"""
COMPLETED = """\
    ///     "1.0.0-alpha".parse().unwrap(),
    /// ];
    ///
    /// assert_eq!(versions, [
    ///     "1.0.0".parse().unwrap(),
    ///     "1.20.0".parse().unwrap(),
    /// ]);
    pub fn cmp_precedence(&self, other: &Self) -> Ordering {
        Ord::cmp(
            &(self.major, self.minor, self.patch, &self.pre),
            &(other.major, other.minor, other.patch, &other.pre),
        )
    }
"""
RESET = """\
    /**
     * Resets the stream to the point when mark was last called.
     *
     * @throws IOException If no position has been marked
     * or the read limit has been exceeded since.
     */
    @Override
    public synchronized void reset() throws IOException {
        if (mark < 0) {
            throw new IOException("No position has been marked");
        }
        if (position > mark + readLimit) {
            throw new IOException("no longer valid");
        }
        position = mark;
        eof = false;
    }
"""
RECALLED = RESET.replace("Resets the stream to the point when mark was last called", "Goes back")
RECALLED = RECALLED.replace("     * or the read limit has been exceeded since.\n", "")
RECALLED = RECALLED.replace("If no position has been marked\n", "if there is none\n")
TESTS = """\
#[test]
fn check_one() {
    assert_eq!(one().len(), 10);
}

#[test]
fn check_last() {
    assert_eq!(last().len(), 3);
}
"""
HALF_TEST = """\
#[test]
fn check_split() {
    let mut v1: Vec<_> = (0..1000).collect();
    for m in 1..100 {
        let a: Vec<_> = v1.split_mut(|x| x % m == 0).collect();
        let b: Vec<_> = v2.par_split_mut(|x| x % m == 0).collect();
        assert_eq!(a, b);
    }
"""
WHOLE_TEST = f"""{HALF_TEST}
    let mut v = [10, 40, 30, 20, 60, 50];
    v.par_split_mut(|num| num % 3 == 0).for_each(|group| {{
        group[group.len() - 1] = 1;
    }});
    assert_eq!(v, [10, 40, 1, 20, 1, 1]);
}}
"""


def lines_found(suggestion: str, before: str, after: str) -> str:
    match = find(suggestion, before, Saved(after), min_tokens=8, min_similarity=0.6)
    return "" if match is None else "\n".join(after.split("\n")[match.start : match.end])


def test_comments_above_that_were_there_are_not_of_a_completion_that_repeats_them() -> None:
    after = DOCUMENTED + COMPLETED + "}\n"
    assert (
        lines_found(COMPLETED.strip("\n").lstrip(), DOCUMENTED + "}\n", after) == COMPLETED.rstrip()
    )


def test_comments_that_came_with_code_typed_from_memory_are_of_it() -> None:
    head = "class Stream {\n"
    assert lines_found(RECALLED, f"{head}}}\n", f"{head}{RESET}}}\n") == RESET.rstrip()


def test_comments_within_an_answer_are_found_above_what_they_stand_above() -> None:
    asked = "use std::cmp::Ordering;\n\n" + DOCUMENTED.split("\n", 1)[1] + COMPLETED
    head = "use std::fmt;\n\nimpl Version {\n    fn zero() -> Self {\n        Version(0)\n    }\n"
    documented = DOCUMENTED.split("\n", 1)[1] + COMPLETED
    after = f"use std::cmp::Ordering;\n{head}\n{documented}}}\n"
    assert lines_found(asked, f"{head}}}\n", after) == documented.rstrip()


def test_the_attribute_of_the_next_test_is_not_of_the_one_before_it() -> None:
    last = "#[test]\nfn check_last"
    after = TESTS.replace(last, f"{HALF_TEST}}}\n\n{last}")
    assert lines_found(WHOLE_TEST, TESTS, after) == f"{HALF_TEST}}}"
