"""What is recorded of an exchange if texts are not wanted: its counts, as the server gave them.

They are found by their names in the answer's bytes, the last of each. No text can be taken for one:
within a JSON string every quotation mark has a backslash before it.
"""

from __future__ import annotations

import re
from typing import Any

_NUMBERS = {
    "prompt_tokens": rb'"(?:prompt_eval_count|prompt_tokens|input_tokens)"\s*:\s*(\d{1,12})\b',
    "answer_tokens": rb'"(?:eval_count|completion_tokens|output_tokens)"\s*:\s*(\d{1,12})\b',
}
_REASON = re.compile(rb'"(?:done_reason|finish_reason|stop_reason)"\s*:\s*"(\w{1,40})"')


def bare_facts(answer: bytes | bytearray) -> dict[str, Any]:
    """Counts of tokens, why the model stopped, and that there are no texts."""
    facts: dict[str, Any] = {"metadata": True}
    for name, pattern in _NUMBERS.items():
        if found := re.findall(pattern, answer):
            facts[name] = int(found[-1])
    if reasons := _REASON.findall(answer):
        facts["done_reason"] = reasons[-1].decode("ascii", "replace")
    return facts
