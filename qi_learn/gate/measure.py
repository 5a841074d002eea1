"""How a served model behaves: it is asked greedily, through the API.

The invariant that makes pairing possible: for one sequence of examples every model is asked the
same questions, in the same order (the records of it: `measurements`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qi_learn.code_text import code_blocks, similarity, tokens_similarity
from qi_learn.gate.budget import Allowance, unlimited
from qi_learn.gate.coherence import is_coherent
from qi_learn.gate.suite import with_shots
from qi_learn.lexer import code_tokens
from qi_learn.outside.ollama import Answer, Ollama
from qi_learn.records import Behaviour, Example
from qi_learn.stats import median


def measure_behaviour(
    server: Ollama,
    model: str,
    examples: Sequence[Example],
    *,
    answer_tokens: int,
    shots: Sequence[Example] = (),
    allowance: Allowance | None = None,
) -> Behaviour:
    """Greedy answers of a served model to the examples' questions.

    `shots` go into the prompt, and each answer is at most `answer_tokens` long. If the reference
    answer itself is longer than that, being cut is no fault: such an answer need not end or parse,
    and is compared with as much of the kept code as it has itself. Speed is the median over the
    answers, so that one slow moment of the machine does not count. When the `allowance` is used
    up, the other questions are left out. Raises ServerError.
    """
    allowance = allowance or unlimited()
    pairs: list[tuple[Example, Answer]] = []
    for example in examples:
        if not allowance.covers(answer_tokens):
            break
        ask = with_shots(example.ask, shots) if shots else example.ask
        pairs.append((example, server.ask(_greedy(ask, answer_tokens), model)))
        allowance.spend(pairs[-1][1].answer_tokens)
    answers = [answer for _, answer in pairs]
    return Behaviour(
        ids=tuple(e.id for e, _ in pairs),
        similarity=tuple(_likeness(e, a, cut=_is_cut(e, a, answer_tokens)) for e, a in pairs),
        coherent=tuple(is_coherent(e, a, cut=_is_cut(e, a, answer_tokens)) for e, a in pairs),
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
