"""Rule 4 on one answer: it ends, does not loop, and brings its code as it was asked for.

Code comes in a container: a fence, the argument of a tool call, or bare (raw completions, fill in
the middle). If the kept answer has code, so must the answer, in the same container, and it must
parse if the kept code does. An answer without code where code was kept is not coherent, nor is one
that leaves out the fence: an editor finds nothing in it.

Not covered: whether the code is right (`execution`), and languages other than Python, whose code
counts as parsing.
"""

from __future__ import annotations

from typing import Literal

from qi_learn.code_text import Block, code_blocks, loops, parses
from qi_learn.edits.dialects import called_edits
from qi_learn.outside.ollama_answer import Answer
from qi_learn.records import Example

Container = Literal["fence", "tool", "raw", "none"]


def is_coherent(example: Example, answer: Answer, *, cut: bool) -> bool:
    """Whether a greedy answer to an example's question is coherent.

    `cut`: it was cut, and the kept answer would have been too: then it need not end or parse.
    """
    text = answer.text or answer.tool_text
    if not text.strip() or loops(text):
        return False
    wanted = container_of(example)
    if cut:
        return _in_container_so_far(example, answer, wanted)
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


def _in_container_so_far(example: Example, answer: Answer, wanted: Container) -> bool:
    """The same of an answer that was cut: a fence may still come that the kept answer has later."""
    if wanted == "fence" and not fenced(answer.text):
        return len(answer.text) <= fenced(example.target)[0].start
    return wanted == "tool" or _in_container(answer, wanted)


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
