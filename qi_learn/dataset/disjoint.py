"""Suites without what a data set trains on.

What a person works on may hold a text that models are measured with: a package of ours that they
maintain, a snippet that everybody knows. Measured on it a training would look harmless, or good. So
it is left out by its content, and where most of its lines are in what is trained on
(`dataset/telling_lines.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from qi_learn.dataset.general_suites import GeneralSuites, SuiteExamples
from qi_learn.dataset.telling_lines import is_known, telling_lines
from qi_learn.records import Example, Snapshot
from qi_learn.records.suites import FEW


@dataclass(frozen=True, slots=True)
class DisjointSuites:
    """Suites of which nothing is trained on."""

    suites: SuiteExamples
    dropped: Mapping[str, int]
    """How many examples of a suite were left out; a suite that lost none is not named."""
    lost: tuple[str, ...] = ()
    """Suites that are left out whole, since too little of them was left."""


def disjoint(suites: SuiteExamples, *snapshots: Snapshot) -> DisjointSuites:
    """The suites without what these data sets train on, or were steered by."""
    hashes = {example.hash for snapshot in snapshots for example in _trained(snapshot)}
    lines = {
        line for snapshot in snapshots for text in _texts(snapshot) for line in telling_lines(text)
    }
    kept = {
        name: tuple(e for e in examples if e.hash not in hashes and not _shares(e, lines))
        for name, examples in suites.items()
    }
    dropped = {name: len(suites[name]) - len(kept[name]) for name in suites}
    lost = tuple(name for name, count in dropped.items() if count and len(kept[name]) < FEW)
    return DisjointSuites(
        {name: examples for name, examples in kept.items() if name not in lost},
        {name: count for name, count in dropped.items() if count},
        lost,
    )


def notes_of(general: GeneralSuites, found: DisjointSuites) -> tuple[str, ...]:
    """What a verdict should say of suites that are not whole, a sentence each."""
    absent = [f"{_words(name)} was not measured: {why}" for name, why in general.left_out.items()]
    shared = [
        f"{_words(name)} was not measured: {count} of its texts are in what was trained on"
        if name in found.lost
        else f"{_words(name)}: without {count} of its texts, which are in what was trained on"
        for name, count in found.dropped.items()
    ]
    return (*absent, *shared)


def _words(suite: str) -> str:
    return f"the general suite {suite.replace('_', ' ')}"


def _trained(snapshot: Snapshot) -> Iterator[Example]:
    yield from snapshot.split("train")
    yield from snapshot.split("dev")
    yield from (*snapshot.replay, *snapshot.anchors, *snapshot.yardsticks)


def _shares(example: Example, lines: Set[str]) -> bool:
    """Whether a text is known by its lines, or its code, which a call has in one line of JSON."""
    return is_known(example.target, lines) or is_known(example.kept_code, lines)


def _texts(snapshot: Snapshot) -> Iterator[str]:
    for example in _trained(snapshot):
        yield from (example.target, example.kept_code)
    for pair in snapshot.pairs:
        yield from (pair.chosen, pair.rejected)
