"""Rule 4 on one answer: it ends, does not loop, and brings its code as it was asked for.

Code comes in a container: a fence, the argument of a tool call, or bare (raw completions, fill in
the middle). If the kept answer has code, so must the answer, in the same container, and it must
parse if the kept code does. An answer without code where code was kept is not coherent, nor is one
that leaves out the fence: an editor finds nothing in it.

An answer that was cut, where the kept one would have been too, is judged by what is there. What is
finished of it (a closed fence, a whole call) must parse. What is not must parse as far as it goes.
Fences must have more than a fraction of what the kept answer has by then. And if by then the kept
answer has begun its code, so must the answer have, in the same container.

Not covered: whether the code is right (`execution`), and languages other than Python, whose code
counts as parsing. Of what a cut left unfinished: calls, and code that continues a prompt with which
the kept code does not parse.
"""

from __future__ import annotations

import codeop
import re
import warnings
from collections.abc import Sequence
from typing import Any, Literal

from qi_learn.code_text import Block, code_blocks, loops, parses
from qi_learn.edits.dialects import called_edits
from qi_learn.lexer import code_tokens
from qi_learn.outside.ollama_answer import Answer
from qi_learn.records import Example

Container = Literal["fence", "tool", "raw", "none"]
LEAST = 0.25
"""Of the code that the kept answer has when both are cut: less in fences is a fragment.

A shorter solution is no fault, a single line of a class is, in front of much talk or behind it.
"""
_CALL = 9
"""Characters in front of a tool's name by which a call is known, as many as `{"name":"` has."""


def is_coherent(example: Example, answer: Answer, *, cut: int | None) -> bool:
    """Whether a greedy answer to an example's question is coherent.

    `cut`: the tokens behind which it was cut, and the kept answer would have been too: then it need
    not end, nor what it has begun parse. None if it was not.
    """
    wanted = container_of(example)
    text = answer.text or answer.tool_text
    if cut is not None and wanted == "tool" and not text.strip():
        return answer.answer_tokens > 0  # servers hold back a call until it is whole
    if not text.strip() or loops(text):
        return False
    if cut is not None:
        return _coherent_so_far(example, answer, wanted, cut)
    return (
        answer.done_reason == "stop"
        and _in_container(answer, wanted)
        and not _broken(example, answer, wanted)
    )


def container_of(example: Example) -> Container:
    """The container of an example's kept code; `none` if it has no code."""
    if not example.kept_code.strip():
        return "none"
    if fenced(example.target):
        return "fence"
    bare = example.target.strip() == example.kept_code.strip()
    return "tool" if example.ask.get("body", {}).get("tools") and not bare else "raw"


def tool_codes(answer: Answer) -> tuple[str, ...]:
    """The texts that an answer's calls of tools would put into files.

    What an edit takes away, and where, is no code of it, nor is what stands there already.
    """
    edits = called_edits({"tool_calls": answer.calls})
    return tuple(edit.new for edit in edits if edit.new.strip() and edit.new != edit.old)


def fenced(text: str) -> tuple[Block, ...]:
    """The blocks of a text that stand in a fence."""
    return tuple(block for block in code_blocks(text) if block.start > 0)


def _in_container(answer: Answer, wanted: Container) -> bool:
    if wanted == "tool":
        return bool(tool_codes(answer))
    if wanted == "fence":
        return bool(fenced(answer.text))
    return wanted == "none" or not fenced(answer.text)


def _broken(example: Example, answer: Answer, wanted: Container) -> bool:
    """Whether code does not parse although the kept code does."""
    body = example.ask.get("body", {})
    if wanted == "raw" and isinstance(suffix := body.get("suffix"), str):
        before = str(body.get("prompt", ""))
        kept, own = (before + part + suffix for part in (example.kept_code, answer.text))
        return parses(kept, None) is not False and parses(own, None) is False
    if parses(example.kept_code, None) is False:
        return False
    if wanted == "raw":
        return parses(answer.text, None) is False
    if wanted == "tool":
        return any(parses(code, None) is False for code in tool_codes(answer))
    blocks = fenced(answer.text)
    return any(not b.closed or parses(b.text, b.language) is False for b in blocks)


# --- answers that were cut ------------------------------------------------------------------------


def kept_so_far(example: Example, cut: int) -> int:
    """How much code (in `code_tokens`) the kept answer has in its first `cut` tokens."""
    whole = sum(example.code_mask)
    return round(len(code_tokens(example.kept_code)) * sum(example.code_mask[:cut]) / max(1, whole))


def finished_code(example: Example, answer: Answer) -> tuple[str, ...] | None:
    """The code in fences of an answer that was cut behind it.

    None if some of it is unfinished, or may be: what a server holds back behind a call is not seen.
    """
    blocks = fenced(answer.text) if container_of(example) == "fence" else ()
    return tuple(block.text for block in blocks) if blocks and blocks[-1].closed else None


def _coherent_so_far(example: Example, answer: Answer, wanted: Container, cut: int) -> bool:
    begun = any(example.code_mask[:cut])
    if wanted == "tool" and not answer.calls:
        return not begun or _call_in_text(example, answer.text) is not False
    if wanted == "fence" and not fenced(answer.text):
        return not begun or len(answer.text) <= fenced(example.target)[0].start
    if wanted == "raw" and fenced(answer.text):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a model's `is 1` or `\d` nobody needs to know
        if _broken_so_far(example, answer, wanted):
            return False
    return wanted != "fence" or not _a_fragment(example, answer, cut)


def _a_fragment(example: Example, answer: Answer, cut: int) -> bool:
    """Whether the fences of an answer have hardly any of what the kept answer has by the cut.

    Of an open one its text counts, by its share of the answer: what a comment or a docstring is
    about follows behind the cut.
    """
    finished = finished_code(example, answer)
    if finished is not None:
        return len(code_tokens("\n".join(finished))) < LEAST * kept_so_far(example, cut)
    inside = sum(len(block.text) for block in fenced(answer.text)) / len(answer.text)
    return inside * cut < LEAST * sum(example.code_mask[:cut])


def _broken_so_far(example: Example, answer: Answer, wanted: Container) -> bool:
    """Whether code that the cut left does not parse as far as it goes, although the kept does."""
    if wanted == "raw":
        body = example.ask.get("body", {})
        before, after = (str(body.get(key) or "") for key in ("prompt", "suffix"))
        kept_parses = parses(before + example.target + after, None) is not False
        return kept_parses and not _may_go_on(before + answer.text)
    if wanted == "none" or parses(example.kept_code, None) is False:
        return False
    if wanted == "tool":
        return any(parses(code, None) is False for code in tool_codes(answer))
    return any(
        parses(b.text, b.language) is False and (b.closed or not _may_go_on(b.text))
        for b in fenced(answer.text)
    )


def _may_go_on(code: str) -> bool:
    """Whether Python code that was cut parses as far as its last whole line.

    The last line may be anything, and so may one that goes on in it (behind a backslash).
    """
    lines = code.split("\n")[:-1]
    while lines and lines[-1].rstrip().endswith("\\"):
        lines.pop()
    whole = "".join(f"{line}\n" for line in lines)
    try:
        if not parses(whole, None):  # else compiling may find fault with what stands alone
            codeop.compile_command(whole, symbol="exec")
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return False
    return True


def _call_in_text(example: Example, text: str) -> bool | None:
    """Whether a text begins a call as the kept answer does; None if that is not known."""
    names = "|".join(re.escape(name) for name in _tools(example.ask.get("body", {})))
    pattern = re.compile(rf"\S(?<![\w.])(?:{names})\b")
    named = list(pattern.finditer(example.target)) if names else []
    if not named:
        return None
    said = "".join(text.split())
    openings = {"".join(example.target[: name.start() + 1].split())[-_CALL:] for name in named}
    return any(
        opening in said or any(said.endswith(opening[:n]) for n in range(1, len(opening)))
        for opening in openings
    )


def _tools(body: dict[str, Any]) -> Sequence[str]:
    functions = (tool.get("function") or {} for tool in body.get("tools") or ())
    return [str(function["name"]) for function in functions if function.get("name")]
