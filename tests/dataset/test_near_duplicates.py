"""What is learned almost word for word does not judge, nor choose; sessions stay whole."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qi_learn.dataset.examples import code_mask, content_hash
from qi_learn.dataset.near_duplicates import (
    LEFT_OUT,
    DistinctSplit,
    note_of,
    split_distinct,
)
from qi_learn.dataset.split import assign
from qi_learn.errors import Refused
from qi_learn.records import Example, Snapshot


def pieces(ids: Sequence[int]) -> list[bytes]:
    """A vocabulary of bytes."""
    return [bytes([number]) for number in ids]


def function(name: str) -> str:
    return (
        f"def load_{name}(path: Path) -> list[{name}]:\n"
        f"    with path.open() as {name}_file:\n"
        f"        rows = csv.reader({name}_file)\n"
        f"        return [make_{name}(row) for row in rows]\n"
    )


def example(n: int, session: str, text: str, own: str | None = None) -> Example:
    """The person wrote `own` of it; all, if nothing else is said."""
    ids = tuple(text.encode())
    at = text.index(own) if own else 0
    span = (at, at + len(text if own is None else own))
    mask = code_mask(text, [span], pieces(ids))
    hash = content_hash(str(n), text)
    return Example(
        f"t{n:05}",
        hash,
        "?",
        text,
        (1,),
        ids,
        mask,
        session=session,
        person_mask=mask,
        kept_code=text,
    )


def work(**sessions: int) -> list[Example]:
    """So many functions of each session, all of them different."""
    numbered = (session for session, count in sessions.items() for _ in range(count))
    return [example(n, session, function(f"thing{n}")) for n, session in enumerate(numbered)]


def split(examples: Sequence[Example], *earlier: Snapshot, min_gate: int = 6) -> DistinctSplit:
    return split_distinct(examples, min_gate=min_gate, pieces=pieces, earlier=earlier)


def sessions_of(found: DistinctSplit) -> dict[tuple[str, str], int]:
    return Counter((e.session, e.split) for e in found.examples)


def test_without_copies_it_is_the_split_of_whole_sessions() -> None:
    examples = work(a=8, b=8, c=2, d=2, e=2)
    found = split(examples)
    assert [e.split for e in found.examples] == assign(
        [e.session for e in examples], [True] * len(examples), min_gate=6
    )
    assert found.left_out == 0


def copied(text: str) -> str:
    """Under another name and indentation, with a line of its own."""
    return "".join(f"  {line}\n" for line in text.splitlines()).replace(
        "def load_", "def read_all_of_"
    )


def test_what_is_mostly_in_one_that_trains_does_not_judge() -> None:
    examples = work(a=8, b=8, c=3, d=3, e=3)
    examples[-1] = example(90, "e", copied(examples[2].target))
    found = split(examples)
    assert sessions_of(found)["e", "gate"] == 2
    assert (examples[-1].id in {e.id for e in found.examples}, found.left_out) == (False, 1)


def test_for_those_that_are_left_out_the_gate_takes_another_session() -> None:
    examples = work(a=8, b=8, c=2, d=2, e=2, f=2)
    examples[-1] = example(90, "f", copied(examples[2].target))
    assert sessions_of(split(examples)) == {
        ("a", "train"): 8,
        ("b", "train"): 6,
        ("b", "dev"): 2,
        ("c", "gate"): 2,
        ("d", "gate"): 2,
        ("e", "gate"): 2,
        ("f", "gate"): 1,
    }


def test_a_session_of_copies_trains() -> None:
    examples = work(a=8, b=8, c=2, d=2, e=2, f=2)
    examples[-2:] = [example(90 + n, "f", copied(examples[n].target)) for n in (1, 2)]
    found = split(examples)
    assert sessions_of(found)["f", "train"] == 2
    assert found.left_out == 0


def test_what_was_trained_on_before_counts_as_well() -> None:
    examples = work(a=8, b=8, c=3, d=3, e=3)
    trained = example(90, "z", copied(examples[-1].target))
    chose, judged = replace(trained, split="dev"), replace(trained, split="gate")
    replayed = Snapshot("r", 0.0, "base", (judged,), replay=(trained,))
    for before, left_out in (
        (Snapshot("r", 0.0, "base", (trained,)), 1),
        (Snapshot("r", 0.0, "base", (chose,)), 1),
        (Snapshot("r", 0.0, "base", (judged,)), 0),
        (replayed, 1),
    ):
        assert split(examples, before).left_out == left_out


def test_another_change_of_a_known_function_is_work_of_its_own() -> None:
    examples = work(a=8, b=8, c=3, d=3, e=3)
    known = examples[2].target
    changed = known.replace("return [", "return sorted(").replace("in rows]", "in rows)")
    examples[-1] = example(90, "e", changed, "return sorted(")
    assert split(examples).left_out == 0
    examples[-1] = example(90, "e", changed, "rows = csv")
    assert split(examples).left_out == 1, "they had written that line before"
    short = known.replace("    with", "    x = 1\n    with")
    examples[-1] = example(90, "e", short, "x = 1")
    assert split(examples).left_out == 0, "a short line tells as well what is theirs"


def test_a_habit_in_another_function_judges() -> None:
    habit = "    logger.info('the work of this function begins')\n"
    examples = [
        example(n, e.session, e.target + habit, habit)
        for n, e in enumerate(work(a=8, b=8, c=3, d=3, e=3))
    ]
    assert split(examples).left_out == 0


def test_lines_that_many_have_are_no_copy_unless_one_has_most() -> None:
    """Each line is in another function that trains."""
    examples = work(a=8, b=8, c=3, d=3, e=3)
    parts = [examples[n].target.splitlines(keepends=True)[n] for n in range(4)]
    examples[-1] = example(90, "e", "".join(parts))
    assert split(examples).left_out == 0
    many = [example(100 + n, "a", function("same")) for n in range(100)]
    more = [*many, *work(b=40, c=20, d=20), example(300, "d", function("same"))]
    assert split(more).left_out == 1


def test_a_copy_that_chooses_trains_if_others_choose() -> None:
    examples = work(a=30, b=4, c=3, d=3, e=3)
    examples[31] = example(90, "b", copied(examples[2].target))
    found = split(examples)
    assert sessions_of(found)["b", "dev"] == 3
    assert found.left_out == 0
    examples[30:34] = [example(90 + n, "b", copied(examples[n].target)) for n in range(4)]
    assert sessions_of(split(examples))["b", "dev"] == 4, "better these than none"


def test_too_few_is_said_with_how_many_were_left_out() -> None:
    examples = work(a=8, b=8, c=3, d=3, e=3)
    for n in range(16, 25):
        examples[n] = example(90 + n, examples[n].session, copied(examples[n - 16].target))
    for n in range(8):
        examples[8 + n] = replace(examples[8 + n], session="a")
    with pytest.raises(Refused, match="9 more say mostly what others say"):
        split(examples)


def called(made: Example, own: str | None = None) -> Example:
    """The same code as the argument of a call, in one line of JSON."""
    code = made.kept_code
    text = json.dumps({"name": "write", "arguments": {"path": "a.py", "content": code}})
    written = json.dumps(own or code)[1:-1]
    at = text.index(written)
    ids = tuple(text.encode())
    mask = code_mask(text, [(at, at + len(written))], pieces(ids))
    hash = content_hash(made.id, text)
    return replace(made, hash=hash, target=text, target_ids=ids, code_mask=mask, person_mask=mask)


def in_fence(made: Example) -> Example:
    return replace(example(int(made.id[1:]), made.session, f"```\n{made.kept_code}```\n"))


def test_code_in_a_call_is_known_again_by_its_lines() -> None:
    examples = [called(e) for e in work(a=8, b=8, c=3, d=3, e=3)]
    assert split(examples).left_out == 0
    known = examples[2].kept_code
    for copy in (
        called(example(90, "e", known)),
        called(example(90, "e", copied(known))),
        in_fence(example(90, "e", copied(known))),
    ):
        assert split([*examples[:-1], copy]).left_out == 1
    in_fences = [in_fence(e) for e in work(a=8, b=8, c=3, d=3, e=3)]
    assert split([*in_fences[:-1], called(example(90, "e", copied(known)))]).left_out == 1


def test_what_the_person_changed_in_a_call_is_work_of_its_own() -> None:
    examples = [called(e) for e in work(a=8, b=8, c=3, d=3, e=3)]
    changed = examples[2].kept_code.replace("return [", 'return "é", [')
    for own, left_out in (('return "é"', 0), ("rows = csv", 1), ("with path", 1)):
        examples[-1] = called(example(90, "e", changed), own)
        assert split(examples).left_out == left_out


def test_if_the_persons_part_of_a_call_is_not_found_all_of_the_code_is_theirs() -> None:
    """Two arguments: the code does not stand in one piece."""
    examples = [called(e) for e in work(a=8, b=8, c=3, d=3, e=3)]
    first, second = examples[2].kept_code, "x = 1\n"
    text = json.dumps({"edits": [first, second]})
    ids = tuple(text.encode())
    two = replace(
        example(90, "e", first + second),
        target=text,
        target_ids=ids,
        person_mask=(True,) * len(ids),
    )
    assert split([*examples[:-1], two]).left_out == 1
    other = replace(two, kept_code=first + "\n".join(f"y{n} = {n}" for n in range(80)))
    assert split([*examples[:-1], other]).left_out == 0


def test_the_same_text_is_found_wherever_it_is() -> None:
    """Each line that tells is in more examples than are looked at; the person's is short."""
    texts = [f"{function('same')}x = {n}\n" for n in range(200)]
    before = [example(n, "a", text, f"x = {n}\n") for n, text in enumerate(texts)]
    copies = [example(200 + n, "e", texts[n], f"x = {n}\n") for n in range(90, 114)]
    found = split([*before, *further(b=60, c=3, d=3, e=3), *copies])
    assert sessions_of(found)["e", "gate"] == 3
    assert found.left_out == len(copies)


def further(**sessions: int) -> list[Example]:
    return [
        example(400 + n, e.session, function(f"other{n}")) for n, e in enumerate(work(**sessions))
    ]


def test_what_has_no_telling_line_is_known_by_all_of_it() -> None:
    short = [example(n, "a", f"return x{n}\nend\n") for n in range(30)]
    copies = [example(200 + n, "e", f"  return x{n}\n  end\n") for n in range(24)]
    others = [example(300 + n, "e", f"return y{n}\nend\n") for n in range(8)]
    examples = [*short, *further(b=8, c=3, d=3, e=3), *copies, *others]
    found = split(examples)
    assert sessions_of(found)["e", "gate"] == 3 + len(others), "another short text judges"
    assert found.left_out == len(copies)
    trained = tuple(called(replace(e, session="z")) for e in others)
    before = Snapshot("r", 0.0, "base", trained)
    assert split(examples, before).left_out == len(copies) + len(others)


TEXTS = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 20), st.booleans()), min_size=30, max_size=80
)


@settings(deadline=None, max_examples=50)
@given(TEXTS)
def test_whatever_is_copied_sessions_are_whole_and_nothing_is_lost(
    of: list[tuple[int, int, bool]],
) -> None:
    examples = [
        example(n, f"s{session}", function(f"f{text}"))
        if own
        else replace(example(n, f"s{session}", function(f"f{text}")), person_mask=())
        for n, (session, text, own) in enumerate(of)
    ]
    try:
        found = split(examples, min_gate=4)
    except Refused:
        return
    judging = {e.session for e in found.examples if e.split == "gate"}
    others = {e.session for e in found.examples if e.split != "gate"}
    assert not judging & others
    assert len(found.examples) + found.left_out == len(examples)
    left = {e.id for e in examples} - {e.id for e in found.examples}
    assert all(e.session in judging for e in examples if e.id in left)
    judged = {e.target for e in found.examples if e.split == "gate"}
    assert not judged & {e.target for e in found.examples if e.split != "gate"}
    assert sum(e.person_wrote for e in found.examples if e.split == "gate") >= 4
    assert split(examples, min_gate=4) == found


def test_ten_thousand_examples_take_seconds() -> None:
    texts = [function(f"f{n if n % 20 else n % 9000}").encode() for n in range(10_000)]
    mask, nothing = (True, True), len(texts)
    examples = [
        Example(f"t{n:05}", f"h{n}", "?", text.decode(), (1,), (n, nothing), mask, person_mask=mask)
        for n, text in enumerate(texts)
    ]
    examples = [replace(e, session=f"s{n // 20}") for n, e in enumerate(examples)]
    began = time.process_time()
    found = split_distinct(
        examples, min_gate=25, pieces=lambda ids: [texts[i] if i < nothing else b"" for i in ids]
    )
    assert time.process_time() - began < 5
    assert found.left_out == 50


def test_a_verdict_says_how_many_were_left_out() -> None:
    snapshot = Snapshot("r", 0.0, "base", ())
    assert note_of(snapshot) == ()
    assert note_of(replace(snapshot, dropped={LEFT_OUT: 1})) == (
        "1 of the new examples was left out of those that judge: it says mostly what another says "
        "that trains, or trained before",
    )
    assert "7 of the new examples were" in note_of(replace(snapshot, dropped={LEFT_OUT: 7}))[0]
