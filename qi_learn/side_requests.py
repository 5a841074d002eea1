"""Requests that a client makes by itself, beside a conversation: for a title, for tags.

Nobody reads their answers as an answer. They are told by their own words, as Open WebUI, Continue,
LibreChat, OpenCode, Claude Code and aider send them: a task about the chat's history, an
instruction for a title of *this* conversation, or a system text that makes the model a maker of
titles. The invariant: what a person asks for, be it code that makes titles, is not taken for one.
"""

from __future__ import annotations

import re

from qi_learn.records import Turn

HEAD = 1500
"""Letters of a text in which its instruction is."""
_CODE = r"(?:function|class|code|component|method|script|test|endpoint|button|page|regex|query|sql)"
_WORDS = rf"(?:(?!\b{_CODE}\b)[^\n]){{0,80}}?"
_THING = r"(?:titles?|tags|follow-up questions|headline|phrase as a header)"
_MATTER = (
    r"(?:(?:the|this|our|following|in this) (?:coding )?"
    r"(?:conversation|chat history|chat|thread|session)|the following query)"
)
_ASKED = re.compile(
    r"\A\W*(?:(?:task:|please|given [^\n]{0,200}?please)\s+)?"
    r"(?:generate|create|write|provide|suggest|reply with|respond with)\b"
    rf"{_WORDS}\b{_THING}\b{_WORDS}\b{_MATTER}\b",
    re.IGNORECASE,
)
_TASK = re.compile(r"\A\W*task:[\s\S]*(?:#+ chat history|<chat_history>)", re.IGNORECASE)
"""A task of Open WebUI: titles, tags, follow-ups, queries for a search."""
_MAKER = re.compile(
    r"\byou are a (?:title|tag|commit message|conversation title) generator\b"
    r"|\bgenerates? (?:concise, )?(?:one-line )?git commit messages\b"
    r"|\banaly[sz]e if this message indicates a new conversation topic\b"
    r"|\btitle \(3-7 words\)[^\n]{0,80}\bcoding session\b"
    r"|\bsummarize this coding conversation in under\b",
    re.IGNORECASE,
)


def is_side_request(turn: Turn) -> bool:
    """Whether a client asked this by itself."""
    asked = [m.content for m in turn.messages if m.role in ("user", "prompt")]
    system = [m.content for m in turn.messages if m.role in ("system", "developer")]
    if isinstance(given := turn.request.get("system"), str):
        system.append(given)
    if any(_MAKER.search(text[:HEAD]) for text in system):
        return True
    last = asked[-1] if asked else ""
    return _ASKED.search(last[:HEAD]) is not None or _TASK.search(last) is not None
