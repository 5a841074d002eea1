"""What is recognised in the saves of a real project, and the text that is final in the end."""

from __future__ import annotations

import pytest

from tests.support.tracked_code import FILE, SUGGESTED, World, with_mean

IMPORTS = "from collections import Counter\nimport statistics\n"
WITH_IMPORTS = (
    IMPORTS
    + "\n\n"
    + SUGGESTED.replace("total = 0", "total = statistics.fmean(Counter(values).elements())")
)


def test_imports_that_went_to_the_head_of_the_file_belong_to_the_final_text(world: World) -> None:
    turn = world.ask(WITH_IMPORTS)
    body = WITH_IMPORTS.removeprefix(IMPORTS + "\n\n")
    world.save("stats.py", with_mean(body).replace("import math\n", "import math\n" + IMPORTS))
    world.commit()
    fate = world.fate(turn)
    assert (fate.similarity, fate.final_text) == (1.0, WITH_IMPORTS)
    assert fate.region == body.rstrip("\n")
    world.save("stats.py", with_mean(body.replace("values", "numbers")))
    world.commit()
    assert world.fate(turn).final_text == body.replace("values", "numbers"), "one was taken out"


def test_imports_that_stay_above_the_code_are_in_its_region(world: World) -> None:
    turn = world.ask(WITH_IMPORTS)
    world.save("means.py", WITH_IMPORTS)
    world.commit()
    assert (world.fate(turn).head, world.fate(turn).final_text) == ((), WITH_IMPORTS)


CODE = (
    "fn mean(values []f64) f64 {\n    mut total := 0.0\n    for value in values {\n"
    "        total += value * weight_of(value)\n    }\n    count := f64(values.len)\n"
    "    println('the mean of ${count} values')\n    return total / count\n}\n"
)
"""A language without a grammar here."""


def test_typed_line_by_line_with_a_save_after_each(world: World) -> None:
    above, below = "module stats\n\n", "\nfn last() int {\n    return 9\n}\n"
    world.begin("stats.v", above + below)
    turn = world.ask(CODE)
    lines = CODE.splitlines(keepends=True)
    for n in range(1, len(lines) + 1):
        world.save("stats.v", above + "".join(lines[:n]) + below, after=2)
    world.commit()
    assert (world.fate(turn).similarity, world.fate(turn).final_text) == (1.0, CODE)


def test_half_of_it_taken_and_then_edited_is_still_half_of_it(world: World) -> None:
    world.begin("stats.v", "module stats\n\nfn last() int {\n    return 9\n}\n")
    turn = world.ask(CODE)
    half = "".join(CODE.splitlines(keepends=True)[:5]) + "    return total\n}\n"
    world.save("stats.v", "module stats\n\n" + half + "\nfn last() int {\n    return 9\n}\n")
    edited = half.replace("0.0", "f64(0)")
    world.save("stats.v", "module stats\n\n" + edited + "\nfn last() int {\n    return 9\n}\n")
    world.commit()
    fate = world.fate(turn)
    assert fate.final_text == edited
    assert 0.5 <= (fate.similarity or 0) < 0.98


def test_one_line_mended_in_a_whole_function(world: World) -> None:
    old = FILE[FILE.index("def median") : FILE.index("\n\n...  # mean")]
    mended = old.replace("len(ordered) // 2", "(len(ordered) - 1) // 2")
    turn = world.ask(mended)
    other = world.ask(old.replace("sorted(values)", "list(values)"))
    world.save("stats.py", FILE.replace(old, mended))
    world.commit()
    assert (world.fate(turn).final_text, world.fate(turn).name) == (
        mended.rstrip() + "\n",
        "median",
    )
    assert world.fate(other).placed_at is None


IMPL = (
    "impl<I: Iterator> Combinations<I> {\n"
    "    pub fn n(&self) -> usize {\n"
    "        self.pool.len()\n"
    "    }\n"
    "}\n"
)
NTH = (
    "    pub fn try_nth(&mut self, n: usize) -> Result<Item, usize> {\n"
    "        for i in 0..n {\n"
    "            if self.increment_indices() {\n"
    "                return Err(i + 1);\n"
    "            }\n"
    "        }\n"
    "        if self.first {\n"
    "            if self.increment_indices() {\n"
    "                return Err(n);\n"
    "            }\n"
    "        }\n"
    "    }\n"
)


@pytest.mark.parametrize("file", ["combinations.rs", "combinations.zig"])
@pytest.mark.parametrize("around", ["", "broken {\n"])
def test_the_brace_that_ends_the_block_around_is_not_of_the_code(
    world: World, file: str, around: str
) -> None:
    """Whether the file's definitions are known or not."""
    before, after = around + IMPL, around + IMPL.removesuffix("}\n") + "\n" + NTH + "}\n"
    world.begin(file, before)
    turn = world.ask(NTH)
    world.save(file, after)
    assert world.fate(turn).region == NTH.rstrip("\n")
    world.save(file, "// Text.\n" + after)
    world.commit()
    assert world.fate(turn).final_text == NTH
    assert world.fate(turn).fate == "kept"
