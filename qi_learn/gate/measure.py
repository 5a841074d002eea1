"""Numbers for the gate: NLL of a packed file, and how a served model behaves.

NLL (by llama.cpp) says how surprised the file is by given text; the served model is asked greedily,
through the API.

Both are of the very file that would be served. The invariant that makes pairing possible: for one
sequence of examples every model is measured on the same tokens and asked the same questions, in the
same order (the records of it: `measurements`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qi_learn.code_text import code_blocks, loops, parses, similarity, tokens_similarity
from qi_learn.gate.cache import NllCache
from qi_learn.gate.suite import within
from qi_learn.lexer import code_tokens
from qi_learn.outside.llama_cpp_nll import SequenceNll, score_sequences
from qi_learn.outside.ollama import Answer, Ollama
from qi_learn.records import Behaviour, Example, SuiteNll
from qi_learn.stats import choose_units, median


def measure_nll(
    path: Path,
    suite: str,
    examples: Sequence[Example],
    *,
    max_tokens: int,
    context: int,
    threads: int | None = None,
    cache: Path | None = None,
) -> SuiteNll:
    """NLL of each example's target under the GGUF at `path`, teacher-forced, in nats.

    At most `max_tokens` target tokens are measured (see `suite.within`). NaN if the model's output
    is not a number: the gate refuses it. `cache`: directory of what was measured before. Raises
    ModelError if the file cannot be used.
    """
    fitting = within(examples, max_tokens=max_tokens, context=context)
    if not fitting:
        scored = []
    elif cache is not None:
        scored = NllCache(cache, path).score(fitting, context=context, threads=threads)
    else:
        scored = score_sequences(
            path,
            [(e.prompt_ids, e.target_ids, e.code_mask) for e in fitting],
            context=context,
            threads=threads,
        )
    return suite_of(suite, fitting, scored)


def suite_of(suite: str, examples: Sequence[Example], scored: Sequence[SequenceNll]) -> SuiteNll:
    """Scores as the gate compares them, one an example."""
    return SuiteNll(
        suite=suite,
        ids=tuple(e.id for e in examples),
        units=choose_units([e.id for e in examples], [e.session for e in examples]),
        nll=tuple(s.nll for s in scored),
        tokens=tuple(s.tokens for s in scored),
        code_nll=tuple(s.code_nll for s in scored),
        code_tokens=tuple(s.code_tokens for s in scored),
    )


def measure_behaviour(
    server: Ollama,
    model: str,
    examples: Sequence[Example],
    *,
    answer_tokens: int,
) -> Behaviour:
    """Greedy answers of a served model to the examples' questions.

    Each answer is at most `answer_tokens` long. If the reference
    answer itself is longer than that, being cut is no fault: such an answer need not end or parse,
    and is compared with as much of the kept code as it has itself. Speed is the median over the
    answers, so that one slow moment of the machine does not count. Raises ServerError.
    """
    answers = [server.ask(_greedy(e.ask, answer_tokens), model) for e in examples]
    pairs = list(zip(examples, answers, strict=True))
    return Behaviour(
        ids=tuple(e.id for e in examples),
        similarity=tuple(_likeness(e, a, cut=_is_cut(e, a, answer_tokens)) for e, a in pairs),
        coherent=tuple(_coherent(e, a, cut=_is_cut(e, a, answer_tokens)) for e, a in pairs),
        answers=tuple("\n".join(part for part in (a.text, a.tool_text) if part) for a in answers),
        tokens_per_second=median(
            [a.answer_tokens / a.seconds for a in answers if a.answer_tokens > 0 and a.seconds > 0]
        ),
    )


def _greedy(ask: Mapping[str, Any], answer_tokens: int) -> Mapping[str, Any]:
    options = {
        **(ask["body"].get("options") or {}),
        "temperature": 0,
        "seed": 0,
        "num_predict": answer_tokens,
    }
    return {**ask, "body": {**ask["body"], "options": options}}


def _is_cut(example: Example, answer: Answer, answer_tokens: int) -> bool:
    """True if the answer was cut, and the reference answer would have been cut too."""
    return answer.done_reason == "length" and len(example.target_ids) > answer_tokens


def _likeness(example: Example, answer: Answer, *, cut: bool) -> float:
    code, kept = _code(answer), example.kept_code
    size = len(code_tokens(code))
    if cut and size:  # an empty answer is compared with all that was kept, not with nothing
        return tokens_similarity(code_tokens(code), code_tokens(kept)[:size])
    return similarity(code, kept)


def _code(answer: Answer) -> str:
    """The answer's code: its blocks, else the texts of its tool calls, else all of it.

    All of it, because a raw completion is code without a fence.
    """
    blocks = code_blocks(answer.text)
    return "\n".join(b.text for b in blocks) if blocks else answer.tool_text or answer.text


def _coherent(example: Example, answer: Answer, *, cut: bool) -> bool:
    """True if the answer is not empty, ends within the limit, does not loop, and parses.

    It need not parse if the kept code does not parse either.
    """
    text = answer.text or answer.tool_text
    if not text.strip() or loops(text):
        return False
    if cut:
        return True
    return answer.done_reason == "stop" and not (
        _has_broken_block(answer.text) and not _does_not_parse(example.kept_code)
    )


def _has_broken_block(text: str) -> bool:
    return any(not b.closed or parses(b.text, b.language) is False for b in code_blocks(text))


def _does_not_parse(code: str) -> bool:
    return parses(code, None) is False
