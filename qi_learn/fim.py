"""Fill in the middle: what stands before and behind the gap, read from a prompt's own markers.

An editor that asks with `raw` (or through `/v1/completions`) writes the markers of the model into
the prompt itself. Every family of models has its own, and some put the suffix first:

    prefix, suffix, middle   Qwen, CodeGemma, Granite, StarCoder, StableCode, CodeLlama, DeepSeek
    suffix, prefix, middle   Mellum, CodeGeeX, Seed-Coder; StarCoder and CodeLlama in their "SPM"
    suffix, prefix           Codestral

Of several gaps (files of context in front) the last one is asked for. Where what is written behind
the last marker is more than white space, the completion goes on from there.

The code around a gap may hold markers too: a tokenizer's file, a list of templates. What marks the
gap is told by where it stands: it begins the prompt or a line, ends the prompt, and has seldom
quotation marks on both sides, as a marker in code has. So each way to read the prompt has a price
(how odd it would be), and the cheapest one is taken. Where another one is nearly as cheap, the gap
is not certain, and of the line at the cursor nothing is claimed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Gap:
    """The two sides of the place that a completion fills."""

    prefix: str
    suffix: str
    certain: bool = field(default=True, compare=False)
    """Whether no other way to read the prompt is nearly as good."""


@dataclass(frozen=True, slots=True)
class Markers:
    """The markers of one family; `spaced` if it puts a space on their inner sides."""

    prefix: str
    suffix: str
    middle: str = ""
    spaced: bool = False


FAMILIES = (
    Markers("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    Markers("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    Markers("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    Markers("<[fim-prefix]>", "<[fim-suffix]>", "<[fim-middle]>"),
    Markers("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
    Markers("<|fim▁begin|>", "<|fim▁hole|>", "<|fim▁end|>"),
    Markers("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),
    Markers("<PRE>", "<SUF>", "<MID>", spaced=True),
    Markers("[PREFIX]", "[SUFFIX]"),
)
MOST = 60
"""Markers that are weighed; of more, those that are the least like code."""
CLOSE = 2
"""The price by which another reading must be dearer, or the gap is not certain."""
FAR = 6
"""The same of a gap with others in front of it, which may be code that shows what a gap is."""
NEAR = 200
"""Characters between two markers of one list in the code."""
_QUOTES, _EDGES = "'\"`", "'\"`{}\\"
_TAG = re.compile(r"<[^<>\s]{1,40}>\s*\Z")
"""A special token, which may stand in front of a gap."""
_ASSISTANTS_TURN = re.compile(
    r"(?:<\|im_start\|>assistant|<\|start_header_id\|>assistant<\|end_header_id\|>|\[/INST\]"
    r"|<start_of_turn>model|<\|assistant\|>|<\|start_of_role\|>assistant<\|end_of_role\|>"
    r"|<｜Assistant｜>|<\|start\|>assistant(?:<\|channel\|>\w+)?(?:<\|message\|>)?"
    r"|###\s*(?:Response|Assistant)\s*:)"
    r"\s*(?:<think>\s*(?:</think>\s*)?)?\Z"
)


def find_gap(prompt: str) -> Gap | None:
    """The gap that a prompt asks to fill; None if it has no markers of one."""
    readings = [
        reading
        for markers in FAMILIES
        if markers.suffix in prompt
        for reading in _cheapest(prompt, markers)
    ]
    if not readings:
        return None
    # of several families the one whose marker begins the prompt: the others' are within the code
    readings = [reading for reading in readings if reading.opened] or readings
    best = min(readings, key=lambda reading: reading.price)
    others = (reading.price for reading in readings if reading.place != best.place)
    far = best.price + (FAR if best.later else CLOSE)
    return best.gap(prompt, certain=all(price >= far for price in others))


def is_chat(prompt: str) -> bool:
    """Whether a raw prompt ends where an assistant's turn in a conversation begins.

    Such a prompt was rendered by the client: what answers it is no continuation of code.
    """
    return _ASSISTANTS_TURN.search(prompt[-2000:]) is not None


@dataclass(frozen=True, slots=True)
class _Marker:
    """A marker in a prompt: `prompt[start:end]`."""

    kind: Literal["prefix", "suffix", "middle"]
    start: int
    end: int
    quoted: bool
    """Whether quotation marks stand on both sides."""
    as_code: int
    """The price of taking it for a part of the code."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A way to read a prompt: the markers that open the gap, divide it and end it."""

    price: int
    markers: Markers
    first: _Marker
    second: _Marker
    middle: _Marker | None
    opened: bool
    """Whether a marker of its family begins the prompt, be it this gap's or that of one before."""
    later: bool
    """Whether this is the last of several gaps, if those in front of it are any."""

    @property
    def place(self) -> tuple[int, int]:
        """Where the two sides of the gap meet: what is before it ends, what is behind it begins."""
        ends = self.middle.start if self.middle is not None else 0
        if self.first.kind == "prefix":
            return self.second.start, ends
        return self.first.start, ends

    def gap(self, prompt: str, *, certain: bool) -> Gap:
        stop, rest = len(prompt), ""
        if self.middle is not None:
            stop, rest = self.middle.start, prompt[self.middle.end :]
        sides = prompt[self.first.end : self.second.start], prompt[self.second.end : stop]
        prefix, suffix = sides if self.first.kind == "prefix" else sides[::-1]
        if self.markers.spaced:
            prefix, suffix = prefix.removeprefix(" ").removesuffix(" "), suffix.removesuffix(" ")
            rest = rest.removeprefix(" ")
        return Gap(prefix + rest if rest.strip() else prefix, suffix, certain)


def _cheapest(prompt: str, markers: Markers) -> list[_Reading]:
    """The cheapest reading of each place of the gap."""
    found = _found(prompt, markers)
    if len(found) > MOST:
        dear = sorted(found, key=lambda marker: -marker.as_code)[:MOST]
        found = sorted(dear, key=lambda marker: marker.start)
    best: dict[tuple[int, int], _Reading] = {}
    for reading in _readings(prompt, markers, found):  # of two that are as cheap, the later one
        known = best.get(reading.place)
        if known is None or reading.price < known.price:
            best[reading.place] = reading
    return list(best.values())


def _found(prompt: str, markers: Markers) -> list[_Marker]:
    """The markers in a prompt, in order."""
    kinds: dict[str, Literal["prefix", "suffix", "middle"]] = {
        markers.prefix: "prefix",
        markers.suffix: "suffix",
    }
    if markers.middle:
        kinds[markers.middle] = "middle"
    found = []
    for match in re.finditer("|".join(map(re.escape, kinds)), prompt):
        before = prompt[max(0, match.start() - 1) : match.start()]
        after = prompt[match.end() : match.end() + 1]
        quoted = before != "" and before in _QUOTES and after != "" and after in _QUOTES + "\\"
        edged = (before or " ") in _EDGES or (after or " ") in _EDGES
        price = 0 if quoted else 1 if edged else 3
        found.append(_Marker(kinds[match[0]], match.start(), match.end(), quoted, price))
    return found


def _readings(prompt: str, markers: Markers, found: Sequence[_Marker]) -> Iterator[_Reading]:
    """All ways to read a prompt, the last one first."""
    everything, gaps = sum(marker.as_code for marker in found), _gaps_before(found)
    begins = [
        _begins(prompt, marker, behind > 0, markers)
        for marker, behind in zip(found, gaps, strict=True)
    ]
    divides = [_divides(found, number) for number in range(len(found))]
    ends = [_ends(prompt, marker) for marker in found]
    odd = _Sides(found, bool(markers.middle)).odd
    opens = bool(found) and _opens(prompt, found[0])
    for first, second, last in _places(found, bool(markers.middle)):
        later = opens and first > 0
        if (price := begins[first]) is None or (later and found[first].kind != found[0].kind):
            continue  # several gaps are written in one order
        price += everything - gaps[first] + divides[second]
        price -= found[first].as_code + found[second].as_code
        price += odd(first, second) + odd(second, len(found) if last is None else last)
        middle = None
        if last is not None:
            middle, price = found[last], price + ends[last] - found[last].as_code
        yield _Reading(price, markers, found[first], found[second], middle, opens, later)


class _Sides:
    """The markers within each side of a gap.

    Code that speaks of markers speaks of each of them as often. So a side in which one is missing
    has lost it to the reading, and costs as much as there are.
    """

    def __init__(self, found: Sequence[_Marker], has_middle: bool) -> None:
        kinds = ("prefix", "suffix", "middle") if has_middle else ("prefix", "suffix")
        self._before = [[0] * len(kinds)]
        for marker in found:
            counts = zip(kinds, self._before[-1], strict=True)
            self._before.append([count + (kind == marker.kind) for kind, count in counts])

    def odd(self, start: int, end: int) -> int:
        """By how much one kind is seldomer than another between two markers."""
        counts = [b - a for a, b in zip(self._before[start + 1], self._before[end], strict=True)]
        return max(counts) - min(counts)


def _places(found: Sequence[_Marker], has_middle: bool) -> Iterator[tuple[int, int, int | None]]:
    """The markers that may open a gap, divide it and end it; by number, the last ones first."""
    numbers = range(len(found) - 1, -1, -1)
    ends = [n for n in numbers if found[n].kind == "middle"] if has_middle else [None]
    for end in ends:
        sides = [n for n in numbers if found[n].kind != "middle" and (end is None or n < end)]
        for at, second in enumerate(sides):
            for first in sides[at + 1 :]:
                if found[first].kind != found[second].kind:
                    yield first, second, end


def _gaps_before(found: Sequence[_Marker]) -> list[int]:
    """For each marker the price of all before it, if those are whole gaps; else 0."""
    prices, price, whole, sides = [], 0, True, set[str]()
    for marker in found:
        prices.append(price if whole and not sides else 0)
        price += marker.as_code
        if marker.kind == "middle":
            whole, sides = whole and len(sides) == 2, set()
        else:
            whole = whole and marker.kind not in sides
            sides.add(marker.kind)
    return prices


def _begins(prompt: str, marker: _Marker, behind_gaps: bool, markers: Markers) -> int | None:
    """The price of a gap that begins here; None if none does."""
    if not markers.middle:
        return 0 if _opens(prompt, marker) and marker.kind == "suffix" else None
    if _opens(prompt, marker):
        return 0
    before = prompt[max(0, marker.start - NEAR) : marker.start]
    if marker.quoted:
        return None
    if before.endswith("\n") or _TAG.search(before):
        return 1
    return (1 if marker.as_code > 1 else 5) if behind_gaps else None


def _opens(prompt: str, marker: _Marker) -> bool:
    """Whether a prompt begins with a marker, or with a special token and a marker."""
    if marker.start >= NEAR:
        return False
    before = prompt[: marker.start].strip()
    return not before or _TAG.fullmatch(before) is not None


def _divides(found: Sequence[_Marker], number: int) -> int:
    """The price of taking a marker for the place of the gap itself."""
    marker = found[number]
    if not marker.quoted:
        return 0
    others = (found[n] for n in (number - 1, number + 1) if 0 <= n < len(found))
    return 1 + any(o.quoted and abs(o.start - marker.start) < NEAR for o in others)


def _ends(prompt: str, marker: _Marker) -> int:
    """The price of a gap's end that is not the prompt's."""
    return 1 + 2 * marker.quoted if prompt[marker.end :].strip() else 0
