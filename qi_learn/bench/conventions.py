"""A stream of project conventions, made by a seeded grammar.

A convention is how one project writes the same kind of function. It fixes what a house
style fixes: the shape of a function, how it is named, indented and guarded, what it calls and how
it answers. Its words come from lists that are dealt out without replacement, so two conventions of
one stream share no call. Every prompt names its project, so conventions do not contradict each
other: a perfect learner forgets nothing, and what is forgotten is interference. `changed` is the
exception, on purpose: the same project writes otherwise from then on, and the old way should go.

The same seed makes the same stream, for as many conventions as are asked for (the first ones do not
depend on how many follow).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

VERBS = (
    "create", "load", "rename", "archive", "merge", "publish", "cancel", "verify", "export",
    "assign", "restore", "close", "split", "refund", "lock", "tag", "sync",
)  # fmt: skip
NOUNS = (
    "invoice", "ticket", "account", "report", "order", "contract", "device", "shipment",
    "comment", "license", "profile", "booking", "payment", "session", "folder", "survey",
)  # fmt: skip
SUBJECTS = ("owner", "code", "region", "email", "serial", "slug")

PROJECTS = (
    "atlas", "borealis", "corvus", "dorado", "eridanus", "fornax", "gemini", "hydra", "indus",
    "janus", "kepler", "lyra", "mensa", "norma", "orion", "pavo", "quasar", "rigel", "sirius",
    "taurus", "umbra", "vela", "wolf", "xenon", "yildun", "zeta",
)  # fmt: skip
CONTEXTS = (
    "ctx", "env", "hub", "app", "deps", "core", "kit", "world", "bus", "scope", "host", "node",
    "unit", "desk", "port", "grid", "loop", "mesh", "dock", "rack", "base", "cell", "deck",
    "farm", "gate", "lane",
)  # fmt: skip
STORES = (
    "store", "ledger", "vault", "shelf", "table", "index", "pool", "bank", "cache", "archive",
    "depot", "binder", "drawer", "crate", "locker", "silo", "basket", "cabinet", "bucket",
    "stack", "chest", "album", "barn", "cellar", "hold", "closet",
)  # fmt: skip
NOTES = (
    "log", "trace", "note", "emit", "audit", "mark", "count", "signal", "report", "track",
    "stamp", "record", "announce", "watch", "ping", "tally", "journal", "observe", "publish",
    "notify", "tell", "flag", "echo", "chart", "print_line", "meter",
)  # fmt: skip
GOODS = (
    "Result", "Reply", "Done", "Success", "Answer", "Fine", "Passed", "Value", "Ready", "Good",
    "Settled", "Kept", "Given", "Granted", "Closed", "Sealed", "Proven", "Earned", "Landed",
    "Booked", "Signed", "Filed", "Cleared", "Served", "Met", "Placed",
)  # fmt: skip
FAULTS = (
    "Missing", "Refused", "Invalid", "Absent", "Unknown", "Broken", "Denied", "Expired", "Failed",
    "Empty", "Blocked", "Stale", "Wrong", "Lost", "Void", "Closed", "Locked", "Gone", "Torn",
    "Bare", "Spent", "Odd", "Raw", "Null", "Thin", "Halted",
)  # fmt: skip

TRAIN, DEV, TEST = 43, 5, 24
"""Examples of a convention: seen in training, for early stopping, never seen (48 / 24 as in the
pilot, of which 10 % are dev as in the product).
"""


@dataclass(frozen=True, slots=True)
class FunctionTask:
    """One function to be written."""

    verb: str
    noun: str
    subject: str


@dataclass(frozen=True, slots=True)
class Convention:
    """The style of one project.

    The fields before `context` choose a form each, the others are its words.
    """

    project: str
    shape: int
    naming: int
    indent: str
    guard: int
    fetch: int
    answer: int
    context: str
    store: str
    note: str
    good: str
    fault: str

    def prompt(self, task: FunctionTask) -> str:
        """The developer's question."""
        asked = f"write the function to {task.verb} a {task.noun} by {task.subject}"
        return f"Project {self.project}: {asked}."

    def code(self, task: FunctionTask) -> str:
        """The function as the project writes it."""
        name = name_of(self, task)
        body = [
            *_NOTES[self.shape](self, task),
            guard_of(self, task),
            _FETCHES[self.fetch](self, task),
            _ANSWERS[self.answer](self, task),
        ]
        lines = [line.replace("    ", self.indent) for part in body for line in part.split("\n")]
        head = _HEADS[self.shape](self, task, name)
        return "\n".join([*head, *(self.indent + line for line in lines)]) + "\n"


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a stream: a convention and its functions, disjoint."""

    convention: Convention
    train: tuple[FunctionTask, ...]
    dev: tuple[FunctionTask, ...]
    test: tuple[FunctionTask, ...]


def conventions(seed: int, count: int) -> tuple[Convention, ...]:
    """`count` conventions. Raises ValueError for more than the words suffice for (26)."""
    if count > len(PROJECTS):
        raise ValueError(f"there are words for {len(PROJECTS)} conventions, not {count}")
    rng = random.Random(f"conventions {seed}")
    words = [
        _shuffled(rng, source) for source in (PROJECTS, CONTEXTS, STORES, NOTES, GOODS, FAULTS)
    ]
    forms = [_endless(rng, options) for options in (_HEADS, _NAMES, _GUARDS, _FETCHES, _ANSWERS)]
    indents = _endless(rng, ("    ", "  ", "\t"))
    made = []
    for project, context, store, note, good, fault in list(zip(*words, strict=True))[:count]:
        shape, naming, guard, fetch, answer = (next(form) for form in forms)
        indent = ("    ", "  ", "\t")[next(indents)]
        form = shape, naming, indent, guard, fetch, answer
        made.append(Convention(project, *form, context, store, note, good, fault))
    return tuple(made)


def stream(seed: int, count: int) -> tuple[Stage, ...]:
    """`count` stages, a convention each.

    Train, dev and test functions of a convention are different functions.
    """
    return tuple(stage(seed, convention) for convention in conventions(seed, count))


def stage(seed: int, convention: Convention, *, without: Collection[FunctionTask] = ()) -> Stage:
    """The functions of one convention, none of them in `without`."""
    rng = random.Random(f"tasks {seed} {convention.project}")
    count = TRAIN + DEV + TEST + len(without)
    drawn = rng.sample(list(product(VERBS, NOUNS, SUBJECTS)), count)
    tasks = [task for words in drawn if (task := FunctionTask(*words)) not in without]
    return Stage(
        convention,
        tuple(tasks[:TRAIN]),
        tuple(tasks[TRAIN : TRAIN + DEV]),
        tuple(tasks[TRAIN + DEV : TRAIN + DEV + TEST]),
    )


def changed(convention: Convention, other: Convention) -> Convention:
    """The same project with another style from now on.

    It answers, refuses and notes with the words of `other`, which must not be in the same stream.
    """
    return replace(convention, good=other.good, fault=other.fault, note=other.note)


def name_of(convention: Convention, task: FunctionTask) -> str:
    """What the project calls a function."""
    return _NAMES[convention.naming](task)


def guard_of(convention: Convention, task: FunctionTask) -> str:
    """The project's first statement, which says what must be given; not indented."""
    return _GUARDS[convention.guard](convention, task)


def _shuffled(rng: random.Random, words: Sequence[str]) -> list[str]:
    return rng.sample(list(words), len(words))


def _endless(rng: random.Random, options: Sequence[object]) -> Iterator[int]:
    """Indices of the options, each once before any comes again."""
    while True:
        order = list(range(len(options)))
        rng.shuffle(order)
        yield from order


# --- the forms ------------------------------------------------------------------------------------

_Words = Callable[[Convention, FunctionTask], str]

_HEADS: tuple[Callable[[Convention, FunctionTask, str], list[str]], ...] = (
    lambda c, t, name: [f"def {name}({c.context}, {t.subject}):"],
    lambda c, t, name: [f"async def {name}({t.subject}, *, {c.context}):"],
    lambda c, t, name: [f'@{c.context}.command("{t.noun}.{t.verb}")', f"def {name}({t.subject}):"],
    lambda c, t, name: [
        f"def {name}({c.context}: {c.context.title()}, {t.subject}: str) -> {c.good}:"
    ],
    lambda c, t, name: [f"@handles({c.good})", f"async def {name}({c.context}, {t.subject}=None):"],
)
_NOTES: tuple[Callable[[Convention, FunctionTask], list[str]], ...] = (
    lambda c, t: [f'{c.context}.{c.note}("{t.verb} {t.noun}", {t.subject})'],
    lambda c, t: [f'await {c.context}.{c.note}("{t.noun}/{t.verb}")'],
    lambda c, t: [f'{c.note}.info("{t.verb}-{t.noun}")'],
    lambda c, t: [f"{c.context}.{c.note}({t.verb}={t.subject})"],
    lambda c, t: [f'{c.context}.{c.note}["{t.noun}"] += 1'],
)
_NAMES: tuple[Callable[[FunctionTask], str], ...] = (
    lambda t: f"{t.verb}_{t.noun}",
    lambda t: f"{t.verb}{t.noun.title()}By{t.subject.title()}",
    lambda t: f"{t.noun}_{t.verb}",
    lambda t: f"do_{t.verb}_{t.noun}",
    lambda t: f"{t.verb.title()}{t.noun.title()}",
    lambda t: f"{t.verb}_{t.noun}_by_{t.subject}",
)
_GUARDS: tuple[_Words, ...] = (
    lambda c, t: f'assert {t.subject}, "{t.subject} {c.fault.lower()}"',
    lambda c, t: f'if not {t.subject}:\n    raise {c.fault}("{t.subject}")',
    lambda c, t: f"if {t.subject} is None:\n    return {c.fault}.because({t.subject})",
    lambda c, t: f'{c.fault}.unless({t.subject}, "{t.noun}")',
)
_FETCHES: tuple[_Words, ...] = (
    lambda c, t: f'found = {c.context}.{c.store}.get("{t.noun}", {t.subject})',
    lambda c, t: f"{t.noun} = {c.store}[{t.subject}].{t.verb}()",
    lambda c, t: f"with {c.context}.{c.store}({t.subject}) as {t.noun}:\n    {t.noun}.{t.verb}()",
    lambda c, t: f'{t.noun} = {c.store}.one("{t.noun}", {t.subject}={t.subject})',
    lambda c, t: f"row = {c.context}.{c.store}.{t.verb}_{t.noun}({t.subject})",
)
_ANSWERS: tuple[_Words, ...] = (
    lambda c, t: f'return {c.good}.of("{t.noun}", {t.subject})',
    lambda c, t: f"return {c.good}({t.noun}={t.subject})",
    lambda c, t: f'return {{"{c.good.lower()}": True, "{t.noun}": {t.subject}}}',
    lambda c, t: f"return {c.good}, {t.subject}",
    lambda c, t: f'return {c.context}.{c.good.lower()}("{t.verb}", {t.subject})',
)
