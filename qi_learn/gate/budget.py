"""What a gate may read and generate, and what of the suites that is enough for.

A gate reads at most `gate.max_tokens` and generates at most `gate.max_generated`, all models and
suites together, prompts included. What was measured before costs nothing, and what texts have in
common at their beginning costs once. If that is not enough, general suites are thinned to half of
it, the prompts of fresh work and dev lose their oldest tokens, and then examples are left out,
evenly from the whole sequence, so that neither old nor new ones are lost.

The invariant: one answer for all models of a comparison, so that differences can be paired.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from qi_learn.records import Example
from qi_learn.stats import evenly

Examples = tuple[Example, ...]
Cost = Callable[[Sequence[Example]], int]
"""Tokens that all models together have to read for these examples."""

PROMPTS = (4096, 2048, 1024, 512, 256, 128)
"""Tokens that prompts are cut to, tried in turn."""
GENERAL, DEV, GATE = 0.5, 0.1, 0.6
"""Largest shares of what is left: of the general suites, of dev behind them, of fresh work behind
both. Earlier work gets the rest.
"""
FIXED = 0.1
"""Of everything, the share above which what is only reported is not read."""


@dataclass(frozen=True, slots=True)
class Readable:
    """What every model reads."""

    gate: Examples
    old: Examples
    general: Mapping[str, Examples]
    dev: Examples
    notes: tuple[str, ...]
    """What was cut or left out, in words."""
    fixed: Examples = ()
    """Whole, or empty: a part of it could not be compared with what other versions had."""

    @property
    def everything(self) -> Examples:
        """All of it."""
        general = (e for s in self.general.values() for e in s)
        return (*self.gate, *self.old, *self.dev, *general, *self.fixed)


def allot(
    tokens: int,
    *,
    gate: Examples,
    old: Examples,
    general: Mapping[str, Examples],
    dev: Examples,
    cost: Cost,
    afresh: Cost,
    fixed: Examples = (),
) -> Readable:
    """As much of the suites as `tokens` are enough for.

    `afresh`: what fresh work and dev cost, of which nothing was measured before.
    """
    together = [e for suite in general.values() for e in suite]
    share = _largest_share(together, int(GENERAL * tokens), cost)
    thinned = {name: evenly(suite, _part(len(suite), share)) for name, suite in general.items()}
    chosen_general = [e for suite in thinned.values() for e in suite]
    whole = fixed if cost(fixed) <= FIXED * tokens else ()
    left = tokens - cost([*chosen_general, *whole])
    chosen = shortened(dev, int(DEV * left), afresh)
    left -= afresh(chosen)
    fresh = shortened(gate, int(GATE * left) if old else left, afresh)
    left -= afresh(fresh)
    earlier = _thinned(old, left, cost)
    notes = (*_cut("fresh work", gate, fresh), *_cut("earlier work", old, earlier))
    if share < 1:
        notes += (f"of the general suites {share:.0%} was read, to keep to gate.max_tokens",)
    if len(whole) < len(fixed):
        notes += ("the fixed texts were not read, to keep to gate.max_tokens",)
    return Readable(fresh, earlier, thinned, chosen, notes, whole)


def shortened(examples: Examples, tokens: int, cost: Cost) -> Examples:
    """The examples, with prompts no longer than what `tokens` are enough for; at last fewer."""
    if cost(examples) <= tokens:
        return examples
    for longest in PROMPTS:
        cut = tuple(_shortened(e, longest) for e in examples)
        if cost(cut) <= tokens:
            return cut
    return _thinned(tuple(_shortened(e, PROMPTS[-1]) for e in examples), tokens, cost)


def within(examples: Sequence[Example], *, context: int) -> Examples:
    """The examples that fit the context.

    A prompt that is too long for it loses its oldest tokens, a target that leaves no room for any
    prompt is left out.
    """
    return tuple(
        _shortened(e, context - len(e.target_ids))
        for e in examples
        if 0 < len(e.target_ids) < context
    )


class Purse:
    """Tokens that may still be generated. For several threads at a time."""

    def __init__(self, tokens: int) -> None:
        self._total, self._left, self._lock = tokens, tokens, threading.Lock()

    @property
    def left(self) -> int:
        """What is left of it."""
        return self._left

    def share(self, part: float) -> Allowance:
        """A part of the whole, for one series of questions."""
        return Allowance(self, int(part * self._total))

    def spend(self, tokens: int) -> None:
        """Take what was generated."""
        with self._lock:
            self._left -= tokens


class Allowance:
    """What one series of questions may still generate; its last answer may exceed it."""

    def __init__(self, purse: Purse, tokens: int) -> None:
        self._purse, self._tokens = purse, tokens

    def covers(self, tokens: int) -> bool:
        """Whether one more answer of so many tokens at most is paid for."""
        return self._tokens > 0 and tokens <= self._purse.left

    def spend(self, tokens: int) -> None:
        """Take what an answer came to."""
        self._tokens -= tokens
        self._purse.spend(tokens)


UNLIMITED = 10**9


def unlimited() -> Allowance:
    """An allowance that nothing exhausts."""
    return Allowance(Purse(UNLIMITED), UNLIMITED)


def _shortened(example: Example, prompt: int) -> Example:
    if len(example.prompt_ids) <= prompt:
        return example
    return replace(example, prompt_ids=example.prompt_ids[-prompt:])


def _thinned(examples: Examples, tokens: int, cost: Cost) -> Examples:
    return evenly(examples, _part(len(examples), _largest_share(examples, tokens, cost)))


def _largest_share(examples: Sequence[Example], tokens: int, cost: Cost) -> float:
    """The largest share of the examples, in hundredths, that costs no more than `tokens`."""
    if cost(examples) <= tokens:
        return 1.0
    low, high = 0, 100
    while high - low > 1:
        middle = (low + high) // 2
        part = evenly(examples, _part(len(examples), middle / 100))
        low, high = (middle, high) if cost(part) <= tokens else (low, middle)
    return low / 100


def _part(count: int, share: float) -> int:
    return count if share == 1 else int(count * share)


def _cut(what: str, whole: Examples, part: Examples) -> list[str]:
    """What was taken away of a suite to keep to the limit."""
    notes = []
    if len(part) < len(whole):
        notes.append(f"of {what} {len(part)} of {len(whole)} examples were read")
    before = {e.id: len(e.prompt_ids) for e in whole}
    if shorter := sum(len(e.prompt_ids) < before[e.id] for e in part):
        longest = max(len(e.prompt_ids) for e in part)
        notes.append(f"the prompts of {shorter} examples of {what} were cut to {longest} tokens")
    return [f"{note}, to keep to gate.max_tokens" for note in notes]
