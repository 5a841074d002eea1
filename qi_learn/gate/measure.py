"""How a served model behaves: it is asked greedily, through the API.

The invariant that makes pairing possible: for one sequence of examples every model is asked the
same questions, in the same order (the records of it: `measurements`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qi_learn.code_text import code_blocks, similarity, tokens_similarity
from qi_learn.errors import ServerError
from qi_learn.gate.answer_cache import AnswerCache, RatedAnswer
from qi_learn.gate.coherence import finished_code, is_coherent, kept_so_far, tool_codes
from qi_learn.gate.purse import Allowance, unlimited
from qi_learn.gate.spill_over import spill_over_of
from qi_learn.lexer import code_tokens
from qi_learn.outside.ollama import Ollama
from qi_learn.outside.ollama_answer import Answer
from qi_learn.records import Behaviour, Example
from qi_learn.stats import median

ASKED_ANEW = 4
"""Questions about its work that a model is asked even if its answers are known: for its speed."""


def measure_behaviour(
    server: Ollama,
    model: str,
    examples: Sequence[Example],
    *,
    answer_tokens: int,
    allowance: Allowance | None = None,
    usual: bool = False,
    known: AnswerCache | None = None,
) -> Behaviour:
    """Greedy answers of a served model to the examples' questions.

    Each answer is at most `answer_tokens` long. If the reference answer itself is longer than that,
    being cut is no fault: such an answer need not end, and is compared with as much of the kept
    code as it has itself, or if its code is finished, as the kept answer has by then. Speed is the
    median over the answers, so that one slow moment of the machine does not count. When the
    `allowance` is used up, the other questions are left out, and so is one that the server does not
    take, as it is longer than its context.

    `usual`: no training was about these questions, and the answers must also look as usual
    (`spill_over`). `known`: what was rated before; the texts of such answers are empty. Raises
    ServerError.
    """
    allowance, known = allowance or unlimited(), known or AnswerCache(None)
    rated: dict[str, RatedAnswer] = {}
    anew = 0 if usual else ASKED_ANEW
    for number, example in enumerate(examples):
        found = known.get(example, usual=usual) if number >= anew else None
        if found is None:
            if not allowance.reserve(answer_tokens):
                break
            try:
                answer = server.ask(_greedy(example.ask, answer_tokens), model)
            except ServerError as error:
                allowance.settle(answer_tokens, 0)
                if error.status != 400:
                    raise
                continue  # it does not fit into the context: so for every model
            allowance.settle(answer_tokens, answer.answer_tokens)
            found = _rate(example, answer, answer_tokens, usual=usual)
            known.put(example, found, usual=usual)
        rated[example.id] = found
    speeds = [found.tokens_per_second for found in rated.values()]
    return Behaviour(
        ids=tuple(rated),
        similarity=tuple(found.similarity for found in rated.values()),
        coherent=tuple(found.coherent for found in rated.values()),
        answers=tuple(found.text for found in rated.values()),
        tokens_per_second=median([speed for speed in speeds if speed > 0]),
    )


def _rate(example: Example, answer: Answer, answer_tokens: int, *, usual: bool) -> RatedAnswer:
    """What an answer is worth; if it is to look as `usual`, that too."""
    cut = _cut_at(example, answer, answer_tokens)
    ordinary = not usual or spill_over_of([example], [answer.text]).kept[0]
    timed = answer.answer_tokens > 0 and answer.seconds > 0
    return RatedAnswer(
        similarity=_likeness(example, answer, cut),
        coherent=ordinary and is_coherent(example, answer, cut=cut),
        text="\n".join(part for part in (answer.text, answer.tool_text) if part),
        tokens_per_second=answer.answer_tokens / answer.seconds if timed else 0.0,
    )


def _greedy(ask: Mapping[str, Any], answer_tokens: int) -> Mapping[str, Any]:
    options = {
        **(ask["body"].get("options") or {}),
        "temperature": 0,
        "seed": 0,
        "num_predict": answer_tokens,
    }
    return {**ask, "body": {**ask["body"], "options": options}}


def _cut_at(example: Example, answer: Answer, answer_tokens: int) -> int | None:
    """The tokens behind which it was cut, if the reference answer would have been cut too."""
    cut = answer.done_reason == "length" and len(example.target_ids) > answer_tokens
    return answer_tokens if cut else None


def _likeness(example: Example, answer: Answer, cut: int | None) -> float:
    """Of what is cut, as much of the kept code counts as the answer has itself.

    If its code is finished, it is compared with what the kept answer has by then.
    """
    code, kept = _code(answer), example.kept_code
    size = len(code_tokens(code))
    if cut is None or not size:  # an empty answer is compared with all that was kept
        return similarity(code, kept)
    if finished_code(example, answer) is not None:
        size = max(size, kept_so_far(example, cut))
    return tokens_similarity(code_tokens(code), code_tokens(kept)[:size])


def _code(answer: Answer) -> str:
    """The answer's code: its blocks, else what its tool calls write, else all of it.

    All of it, because a raw completion is code without a fence.
    """
    if blocks := code_blocks(answer.text):
        return "\n".join(block.text for block in blocks)
    return "\n".join(tool_codes(answer)) if answer.calls else answer.text
