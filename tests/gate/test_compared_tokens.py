"""Where a person began to write is not compared: the version that answered was wrong just there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

import numpy as np

from qi_learn.gate.compared_tokens import as_compared
from qi_learn.gate.ledger import NextLook
from qi_learn.gate.mixed_model import CAUTIOUS, correlation_of
from qi_learn.gate.superiority import Superiority, measure_superiority
from qi_learn.records import Example, SuiteNll

WORDS, EXAMPLES, SESSIONS, PARTS, LENGTH = 30, 300, 60, 2, 4
LOOK = NextLook(correlation=CAUTIOUS + correlation_of(0.08, 40))


def example(person_mask: Sequence[bool]) -> Example:
    ids = tuple(range(len(person_mask)))
    own = tuple(person_mask)
    return Example("e", "", "", "", (), ids, (True,) * len(ids), person_mask=own)


def compared(person_mask: Sequence[bool]) -> tuple[bool, ...]:
    return example(person_mask).compared_mask


def test_the_first_token_of_each_part_is_left_out() -> None:
    own = (True, True, False, True, False, True, True, True)
    assert compared(own) == (False, True, False, False, False, False, True, True)
    assert compared(()) == ()


def test_a_part_of_one_token_leaves_nothing_to_compare() -> None:
    masks = [(False, True, False), (True, True, True), ()]
    examples = [example(mask) for mask in masks]
    assert [e.can_judge for e in examples] == [False, True, False]
    assert [e.person_mask for e in as_compared(examples)] == [(False,) * 3, (False, True, True), ()]


def test_a_version_that_is_as_good_is_not_better_where_the_other_one_was_corrected() -> None:
    """The live version answered; a person wrote on where its likeliest token was a wrong one."""
    rng = np.random.default_rng(4)
    live, candidate, mask = [], [], []
    for _ in range(EXAMPLES):
        parts = [_part(rng) for _ in range(PARTS)]
        live.append([nll for part in parts for nll, _ in part])
        candidate.append([nll for part in parts for _, nll in part])
        mask.append([own for _ in parts for own in [False, *[True] * LENGTH]])
    all_of_it = _judged(live, candidate, mask)
    assert all_of_it.sure, "what was wrong: nothing better, and surely better"
    rest = _judged(live, candidate, [compared(own) for own in mask])
    assert not rest.sure
    assert abs(rest.fall.mean) < 2 * rest.fall.error < all_of_it.fall.mean


def _part(rng: np.random.Generator) -> list[tuple[float, float]]:
    """NLL of a token that was kept and of those that a person wrote, by two models as good."""
    part: list[tuple[float, float]] = []
    while len(part) <= LENGTH:
        true = 2.5 * rng.standard_normal(WORDS)
        token = int((true + rng.gumbel(size=WORDS)).argmax())
        both = [true + rng.standard_normal(WORDS) for _ in range(2)]
        wrong = int(both[0].argmax()) != token
        if (len(part) == 1 and not wrong) or (len(part) == 0 and wrong):
            continue  # what is right is kept, and where it is not the person begins
        one, other = (float(np.log(np.exp(z).sum()) - z[token]) for z in both)
        part.append((one, other))
    return part


def _judged(
    live: list[list[float]], candidate: list[list[float]], masks: Sequence[Sequence[bool]]
) -> Superiority:
    units = tuple(f"s{n % SESSIONS}" for n in range(EXAMPLES))
    ids, tokens = tuple(map(str, range(EXAMPLES))), tuple(map(sum, masks))

    def suite(rows: list[list[float]]) -> SuiteNll:
        nll = tuple(sum(compress(row, mask)) for row, mask in zip(rows, masks, strict=True))
        return SuiteNll("gate", ids, units, nll, tokens, nll, tokens, nll, tokens)

    found = measure_superiority(suite(candidate), suite(live), LOOK)
    assert found is not None
    return found
