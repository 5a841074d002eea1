"""Code, prose and requests in general, as examples: what no training may make worse.

A suite for each language and each form of request, so that what is lost in one is not made up for
by another. The invariant: the same server and vocabulary give the same examples in the same order,
so that models are compared on the same tokens; and nothing of them is trained on (`disjoint`
leaves out what a data set has all the same).

    python_stdlib, python, javascript, go, sql, shell, prose     raw text
    chat, fim, tool_call, completion                             by the form of the request
    spill_over_header, spill_over_plain                          where a learned style turns up

What the served template cannot do (no gap, no tools) cannot become worse: that suite is left out,
and it is said which and why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from qi_learn.dataset import general_texts, reference_code
from qi_learn.dataset.examples import (
    RenderedPrompt,
    Serving,
    Tokenizer,
    code_mask,
    content_hash,
    end_token,
    generic_examples,
    render_target,
)
from qi_learn.dataset.general_texts import GeneralQuestion
from qi_learn.dataset.target import Skipped
from qi_learn.errors import ServerError, ServerUnreachable
from qi_learn.records import Example
from qi_learn.records.suites import FEW, ORDINARY, SPILL_OVER

SuiteExamples = Mapping[str, tuple[Example, ...]]
"""The examples of each suite, by its name."""
FIXED = 4
"""Texts of each of our own raw suites that are measured of every version, whatever else is."""
SPILL_QUESTIONS: Mapping[str, int] = MappingProxyType(dict(zip(SPILL_OVER, (8, 4), strict=True)))
"""How many of their questions are put to a served model. More of those with a header: that is where
a style was seen to spill over.
"""


@dataclass(frozen=True, slots=True)
class GeneralSuites:
    """The suites that a model can be measured on."""

    suites: SuiteExamples
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Why a suite is not there, by its name."""


def general_suites(serving: Serving) -> SuiteExamples:
    """The suites alone (`render_general`)."""
    return render_general(serving).suites


def render_general(serving: Serving) -> GeneralSuites:
    """All suites, rendered by the server that serves.

    Raises ServerError if the server does not render what every model can be asked, or if it cannot
    be reached.
    """
    suites = dict(raw_suites(serving.vocabulary))
    left_out: dict[str, str] = {}
    for name, questions in _questions().items():
        rendered = _rendered(questions, serving, optional=name in ("fim", "tool_call"))
        if isinstance(rendered, Skipped):
            left_out[name] = rendered.reason
        else:
            suites[name] = rendered
    return GeneralSuites(suites, left_out)


def raw_suites(vocabulary: Tokenizer) -> SuiteExamples:
    """The suites of raw texts, which need no server."""
    python = {
        ORDINARY: reference_code.library_texts(),
        "python": reference_code.package_texts(),
    }
    suites = {name: generic_examples(texts, vocabulary) for name, texts in python.items()}
    for name in general_texts.RAW:
        examples = generic_examples(general_texts.raw_texts(name), vocabulary)
        suites[name] = examples if name in general_texts.CODE else tuple(map(_no_code, examples))
    return suites


def fixed_texts(vocabulary: Tokenizer) -> tuple[Example, ...]:
    """The texts that every version is measured on, so that versions far apart can be compared.

    Our own raw texts, the first ones of each suite: they ship with the package, need neither a
    server nor anything that is installed, and are never changed. They are not withheld from a
    person who works on them: what is measured on them decides nothing.
    """
    return tuple(
        example
        for name in general_texts.RAW
        for example in generic_examples(general_texts.raw_texts(name)[:FIXED], vocabulary)
    )


def spill_questions(suites: SuiteExamples) -> tuple[Example, ...]:
    """The questions that tell whether a learned style spills over, at most 12.

    They are the shortest to answer, because an answer is what costs time.
    """
    return tuple(
        example
        for name, count in SPILL_QUESTIONS.items()
        for example in sorted(suites.get(name, ()), key=lambda e: (len(e.target), e.id))[:count]
    )


def _questions() -> dict[str, tuple[GeneralQuestion, ...]]:
    chat = {name: general_texts.chat_questions(name) for name in general_texts.CHAT}
    return {
        **chat,
        "completion": general_texts.completions(),
        "fim": general_texts.gaps(),
        "tool_call": general_texts.tool_requests(),
    }


def _no_code(example: Example) -> Example:
    return replace(
        example, code_mask=(False,) * len(example.target_ids), kept_code="", learning_type=""
    )


def _rendered(
    questions: Sequence[GeneralQuestion], serving: Serving, *, optional: bool
) -> tuple[Example, ...] | Skipped:
    """The questions as examples, or why there are not enough of them."""
    examples: list[Example] = []
    reason = "there are no such questions"
    for question in questions:
        try:
            made = _example(question, serving)
        except ServerError as error:
            # a template that cannot do this refuses it as it likes: with 400, or with 500
            if not optional or isinstance(error, ServerUnreachable):
                raise
            return Skipped(error.what)
        if isinstance(made, Skipped):
            reason = made.reason
        else:
            examples.append(made)
    return tuple(examples) if len(examples) >= FEW else Skipped(reason)


def _example(question: GeneralQuestion, serving: Serving) -> Example | Skipped:
    vocabulary, target = serving.vocabulary, question.target
    prompt = serving.rendered.text(serving.server, serving.model, serving.digest, question.ask)
    asked = RenderedPrompt(question.ask, prompt, tuple(vocabulary.prompt_ids(prompt)), checked=True)
    answer = render_target(target, asked, serving)
    if isinstance(answer, Skipped):
        return answer
    return Example(
        id=question.id,
        hash=content_hash(prompt, answer.text),
        prompt=prompt,
        target=answer.text,
        prompt_ids=asked.ids,
        target_ids=(*answer.ids, end_token(question.ask, vocabulary)),
        code_mask=(*code_mask(answer.text, answer.spans, vocabulary.pieces(answer.ids)), False),
        session=question.id,
        domain="general",
        kept_code=target.code,
        ask=question.ask,
    )
