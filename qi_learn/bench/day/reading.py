"""How likely files find what a person wrote: each definition as the example that it would become.

The text is the history's, in the form in which it was asked for. The person's tokens are those that
the played answer did not have: none of an accepted one, all of what was written by hand. NLL is
taken at temperature 1, in nats.

Few-shot is the base with the two definitions before it that were asked most alike in its prompt, as
the gate chooses them (`gate/suite.py`), of those that the product could have learned too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qi_learn.bench.day.forms import FormName
from qi_learn.bench.day.play import Played, kept_as_it_was
from qi_learn.bench.packed_file import text_of
from qi_learn.dataset.examples import Serving, example_of
from qi_learn.dataset.select import Learnable
from qi_learn.dataset.target import Skipped, Target, target_of
from qi_learn.errors import ServerError
from qi_learn.gate.suite import with_few_shots
from qi_learn.outside.llama_cpp_nll import Scorer
from qi_learn.records import Example, Feedback, LearningInteraction, Outcome, Snapshot

CONTEXT = 2048


@dataclass(frozen=True, slots=True)
class AskedCode:
    """A played definition as it is measured."""

    played: Played
    example: Example
    with_shots: Example
    """The same with earlier ones in the prompt; as it is if none fits."""


@dataclass(frozen=True, slots=True)
class CodeNll:
    """One definition under one file, nats."""

    person: float
    code: float


class AskedCodes:
    """Makes what is measured, in the order of the work."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._earlier: dict[FormName, list[Example]] = {}

    def of(self, played: Played) -> AskedCode | None:
        """A definition as it is measured; None if it cannot be written in this vocabulary."""
        example = example_to_measure(played, self._serving)
        if example is None or len(example.prompt_ids) + len(example.target_ids) > CONTEXT:
            return None
        form = played.planned.question.form
        earlier = self._earlier.setdefault(form, [])
        asked = AskedCode(played, example, self._helped(example, earlier))
        if played.draw != "rejected":
            earlier.append(example)
        return asked

    def _helped(self, example: Example, earlier: Sequence[Example]) -> Example:
        room = CONTEXT - len(example.target_ids)
        before = Snapshot("", 0.0, "", examples=tuple(earlier))
        for helped in with_few_shots(before, (example,), room=room):
            try:
                prompt = self._serving.server.render(helped.ask["endpoint"], helped.ask["body"])
            except ServerError:
                continue  # a template that does not take such a conversation
            ids = tuple(self._serving.vocabulary.prompt_ids(prompt))
            if len(ids) <= room:
                return replace(helped, prompt=prompt, prompt_ids=ids)
        return example


def example_to_measure(played: Played, serving: Serving) -> Example | None:
    """The example of a definition's true text; None if the base cannot be asked or write it."""
    turn, suggestions = kept_as_it_was(played.planned)
    interaction = LearningInteraction(
        turn, suggestions, Feedback(), Outcome(), "code_generation", "simple", "", ()
    )
    target = target_of(interaction)
    if isinstance(target, Skipped):
        return None
    served = None if played.draw == "by_hand" else _served(target, played)
    target = replace(target, served=served)
    session = played.planned.code.session
    try:
        example = example_of(Learnable(interaction, target, "", session, False), serving)
    except ServerError:
        return None  # a form that the base does not know after all
    return None if isinstance(example, Skipped) else example


def _served(target: Target, played: Played) -> Target:
    """The same answer with the piece that was suggested."""
    if played.draw == "accepted":
        return replace(target, served=None)
    if target.calls:
        return replace(target, arguments=(played.suggested,), served=None)
    (start, end), *_ = target.spans
    text = target.text[:start] + played.suggested + target.text[end:]
    return Target(text, ((start, start + len(played.suggested)),))


def read_codes(file: Path, examples: Sequence[Example]) -> list[CodeNll]:
    """The examples under a file. Raises ModelError."""
    if not examples:
        return []
    longest = max(len(e.prompt_ids) + len(e.target_ids) for e in examples)
    with Scorer(file, context=longest) as scorer:
        found = scorer.score([text_of(example) for example in examples])
    return [CodeNll(one.person_nll, one.code_nll) for one in found]


def tokens_of_person(example: Example) -> int:
    """How many of its tokens are the person's."""
    return sum(example.person_mask)


def read_all(files: Mapping[str, Path], asked: Sequence[AskedCode]) -> dict[str, list[CodeNll]]:
    """Everything under every file; one with two names is read once."""
    examples = [one.example for one in asked]
    known: dict[Path, list[CodeNll]] = {}
    for file in files.values():
        if file not in known:
            known[file] = read_codes(file, examples)
    return {name: known[file] for name, file in files.items()}


def read_with_shots(base: Path, asked: Sequence[AskedCode]) -> list[float]:
    """NLL of the person's tokens under the base with shots; 0 for a text that has none.

    Those are not read: with two more in its prompt, a text takes thrice as long.
    """
    own = [n for n, one in enumerate(asked) if tokens_of_person(one.example)]
    found = [0.0] * len(asked)
    read = read_codes(base, [asked[n].with_shots for n in own])
    for n, nll in zip(own, read, strict=True):
        found[n] = nll.person
    return found
