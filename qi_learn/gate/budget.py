"""What a gate may read, and what of the suites that is enough for.

A gate reads at most `gate.max_read`, all models and suites together, prompts included. What was
measured before costs nothing, and what texts have in common at their beginning costs once.

Of the prompts of fresh and earlier work `PROMPT` tokens are read (which ones: `prompt_cut`),
whatever else there is to read: what is fresh work now is earlier work of the next cycle, and only a
text that was cut the same has a number by every version that was measured on it. If that is not
enough, examples are left out, evenly from the whole sequence, so that neither old nor new ones are
lost; of each suite FEW are kept first, as far as `LEAST_GENERAL` pays for that.

The invariant: one answer for all models of a comparison, so that differences can be paired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from qi_learn.gate.prompt_cut import (
    NO_MARKS,
    PromptMarks,
    answers_since,
    cut_prompt,
    inserted_since,
)
from qi_learn.records import Example
from qi_learn.records.suites import FEW, ORDINARY, SPILL_OVER
from qi_learn.stats import evenly

Examples = tuple[Example, ...]
TokensOf = Callable[[Sequence[Example]], int]
"""Tokens that all models together have to read for these examples."""

SUITES, SCALE, LEAKS = 0.88, 0.02, 0.04
"""Of what a gate may read, the parts for the suites, for dev at one scale (there are four), and for
texts that look like secrets; together all of it.
"""
PROMPT = 256
"""Tokens that prompts of fresh and earlier work are cut to: with 150 tokens of target a gate set of
50 texts fits beside the general suites, under three models.
"""
PROMPTS = (4096, 2048, 1024, 512, 256, 128)
"""Tokens that prompts of dev are cut to, tried in turn."""
GENERAL, GATE = 0.5, 0.7
"""Largest shares: of everything for the general suites; of what is left beside FEW texts of each of
them for fresh work. Earlier work gets the rest.
"""
LEAST_GENERAL = 0.6
"""The share of everything that FEW texts of each general suite may take."""
LAST = (ORDINARY, *SPILL_OVER)
"""General suites that are thinned last: one is what temperatures are fitted on too, and what the
others show is lost among other suites.
"""
FIXED = 0.1
"""Of everything, the share above which what is only reported is not read."""


@dataclass(frozen=True, slots=True)
class Readable:
    """What every model reads."""

    gate: Examples
    old: Examples
    general: Mapping[str, Examples]
    notes: tuple[str, ...]
    """What was cut or left out, in words."""
    fixed: Examples = ()
    """Whole, or empty: a part of it could not be compared with what other versions had."""
    earlier: int = 0
    """The examples of earlier work that there are, read or not."""

    @property
    def everything(self) -> Examples:
        """All of it."""
        return (*self.gate, *self.old, *_all(self.general), *self.fixed)


def allot(
    tokens: int,
    *,
    gate: Examples,
    old: Examples,
    general: Mapping[str, Examples],
    cost: TokensOf,
    fixed: Examples = (),
    reserved: int = 0,
    marks: PromptMarks = NO_MARKS,
) -> Readable:
    """As much of the suites as `tokens` are enough for.

    `cost`: of what may have been measured before; `reserved`: what is spent in any case. `marks`:
    by which prompts are cut inside their parts.
    """
    tokens -= reserved
    fresh, earlier = (tuple(_shortened(e, PROMPT, marks) for e in part) for part in (gate, old))
    least = _least(general, int(LEAST_GENERAL * tokens), cost)
    whole = fixed if cost(fixed) <= FIXED * tokens else ()
    for_earlier = cost(evenly(earlier, FEW))
    left = tokens - _cost(least, cost) - cost(whole)
    fresh = _thinned(fresh, _for_fresh(fresh, left, for_earlier, cost), cost)
    left -= cost(fresh)
    left += _cost(least, cost)
    thinned = _more(general, least, min(int(GENERAL * tokens), left - for_earlier), cost)
    left -= _cost(thinned, cost)
    earlier = _thinned(earlier, left, cost)
    notes = (
        *_cut("fresh work", gate, fresh),
        *_cut("earlier work", old, earlier),
        *_cut_general(general, thinned),
    )
    if len(whole) < len(fixed):
        notes += ("the fixed texts were not read, to keep to gate.max_read",)
    return Readable(fresh, earlier, thinned, notes, whole, len(old))


def shortened(
    examples: Examples, tokens: int, cost: TokensOf, marks: PromptMarks = NO_MARKS
) -> Examples:
    """The examples, with prompts no longer than what `tokens` are enough for; at last fewer."""
    if cost(examples) <= tokens:
        return examples
    for longest in PROMPTS:
        cut = tuple(_shortened(e, longest, marks) for e in examples)
        if cost(cut) <= tokens:
            return cut
    return _thinned(cut, tokens, cost)


def beginning(examples: Examples, tokens: int, marks: PromptMarks = NO_MARKS) -> Examples:
    """Of an example as much of the target as `tokens` are enough for, behind a short prompt.

    For where something must be read and not one example can be read whole: the shortest of them.
    """
    shortest = min(examples, key=lambda e: (len(e.target_ids), e.id), default=None)
    if shortest is None:
        return ()
    cut = _shortened(shortest, PROMPTS[-1], marks)
    room = max(1, tokens - len(cut.prompt_ids))
    return (
        replace(
            cut,
            target_ids=cut.target_ids[:room],
            code_mask=cut.code_mask[:room],
            person_mask=cut.person_mask[:room],
        ),
    )


def within(examples: Sequence[Example], *, context: int, marks: PromptMarks = NO_MARKS) -> Examples:
    """The examples that fit the context.

    A prompt that is too long for it is cut (`prompt_cut`), a target that leaves no room for any
    prompt is left out.
    """
    return tuple(
        _shortened(e, context - len(e.target_ids), marks)
        for e in examples
        if 0 < len(e.target_ids) < context
    )


def _shortened(example: Example, prompt: int, marks: PromptMarks) -> Example:
    answers, inserted = answers_since(example), inserted_since(example)
    cut = cut_prompt(example.prompt_ids, prompt, marks, answers=answers, inserted=inserted)
    return example if cut is example.prompt_ids else replace(example, prompt_ids=cut)


# --- how many -------------------------------------------------------------------------------------


def _for_fresh(fresh: Examples, left: int, for_earlier: int, cost: TokensOf) -> int:
    """What fresh work may cost; `for_earlier` is kept for FEW texts of earlier work."""
    if not for_earlier:
        return left
    return min(max(int(GATE * left), cost(evenly(fresh, FEW))), left - for_earlier)


def _thinned(examples: Examples, tokens: int, cost: TokensOf) -> Examples:
    """As many of the examples, taken evenly, as cost no more than `tokens`."""
    return evenly(
        examples, _most(len(examples), lambda count: cost(evenly(examples, count)) <= tokens)
    )


def _least(general: Mapping[str, Examples], tokens: int, cost: TokensOf) -> dict[str, Examples]:
    """FEW texts of each suite; if that is too much, fewer, of those of `LAST` last."""
    counts = [(count, FEW) for count in range(FEW, 0, -1)]
    counts += [(0, count) for count in range(FEW, -1, -1)]
    parts = (
        {name: evenly(suite, pair[name in LAST]) for name, suite in general.items()}
        for pair in counts
    )
    return next(part for part in parts if not _all(part) or _cost(part, cost) <= tokens)


def _more(
    general: Mapping[str, Examples], least: Mapping[str, Examples], tokens: int, cost: TokensOf
) -> dict[str, Examples]:
    """The largest share of each suite that costs no more than `tokens`, its least part in it."""

    def part(share: int) -> dict[str, Examples]:
        return {
            name: _and_more(least[name], suite, len(suite) * share // 100)
            for name, suite in general.items()
        }

    return part(_most(100, lambda share: _cost(part(share), cost) <= tokens))


def _and_more(least: Examples, suite: Examples, count: int) -> Examples:
    """`least` and so many others of the suite that it is `count`, in the suite's order."""
    chosen = {e.id for e in least}
    others = [e for e in suite if e.id not in chosen]
    chosen |= {e.id for e in evenly(others, max(0, count - len(least)))}
    return tuple(e for e in suite if e.id in chosen)


def _most(count: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `count` that fits, where 0 is taken to."""
    if fits(count):
        return count
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _cost(suites: Mapping[str, Examples], cost: TokensOf) -> int:
    """Of suites that are read one after another, so that nothing is shared between two."""
    return sum(cost(suite) for suite in suites.values())


def _all(suites: Mapping[str, Examples]) -> Examples:
    return tuple(example for suite in suites.values() for example in suite)


# --- in words -------------------------------------------------------------------------------------


def _cut(what: str, whole: Examples, part: Examples) -> Iterator[str]:
    """What was taken away of a suite, if anything was."""
    if len(part) < len(whole):
        yield (
            f"of {what} {len(part)} of {len(whole)} examples were read, to keep to gate.max_read"
        )
    before = {e.id: len(e.prompt_ids) for e in whole}
    if shorter := sum(len(e.prompt_ids) < before[e.id] for e in part):
        longest = max(len(e.prompt_ids) for e in part)
        yield f"of {what} {shorter} prompts were cut to {longest} tokens"


def _cut_general(whole: Mapping[str, Examples], part: Mapping[str, Examples]) -> Iterator[str]:
    there, read = len(_all(whole)), len(_all(part))
    if read < there:
        yield (f"of the general suites {read} of {there} texts were read, to keep to gate.max_read")
    if few := [name for name, suite in part.items() if len(suite) < min(FEW, len(whole[name]))]:
        counts = ", ".join(f"{len(part[name])} of {name.replace('_', ' ')}" for name in few)
        yield f"too few texts of some suites were read, to keep to gate.max_read: {counts}"
