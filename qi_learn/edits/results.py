"""What a client says, in its next request, of the edits that an answer asked for.

Invariant: only the client's own words count. A refusal or a failure stands at the beginning of a
result, where the client puts it: a file that is quoted further on may have the same words in it.
What is in no list here says nothing. Nor do the words with which OpenCode refuses, if no reason of
the person's is behind them: `opencode run` does so by itself. Its plug-in and its log know which.

Words as the clients have them, by dialect: Claude Code (its published tool results), Codex
(codex-rs/core/src/tools), Cline and Roo Code (src/core/prompts/responses.ts), aider
(aider/coders/{base_prompts,editblock_coder,udiff_coder}.py), Continue
(core/llm/constructMessages.ts), OpenCode (packages/opencode/src/{permission,tool}), Copilot
(src/extension/tools), Goose (crates/goose/src/agents), OpenHands (openhands-aci), Gemini CLI and
Qwen Code (packages/core/src), Zed (crates/agent/src/tools), Serena (src/serena/tools).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from qi_learn.edits.edit import calls_of, parsed
from qi_learn.edits.search_replace import blocks_in
from qi_learn.record_class import dataclass
from qi_learn.records import Message, Said
from qi_learn.refusals import CLAUDE_DECLINED, OPENCODE_ANSWERED, OPENCODE_REFUSED

MOST = 2000
"""Characters of a result that are kept."""
_HEAD = 600
"""Characters at a result's beginning in which a client says whether it made the edit."""


@dataclass(frozen=True, slots=True)
class Result:
    """What was said of a call, or of what the answer's text asked for."""

    said: Said | None
    text: str
    call: str | None = None
    """The call it is of; None for what the text asked for."""
    path: str | None = None
    """The file it is of, if the client says that instead."""
    new: str | None = None
    """The text it is of, if the client repeats it."""


_IN_FRONT = re.compile(
    r"\A(?:\s|<tool_use_error>|</?(?:error|result|tool_result|tool_response|output)>|```"
    r"|\[ERROR\]|(?:Tool )?Error:|ERROR:|Observation:|The tool execution failed with the following"
    r" error:)+",
    re.IGNORECASE,
)
_DECLINED = re.compile(
    CLAUDE_DECLINED.replace("'", "['\u2019]") + r"|(?:the )?user denied this operation"
    r"|(?:exec command|patch|edit|tool call|changes?) (?:was )?(?:rejected|declined|denied) by"
    r" (?:the )?user"
    r"|rejected by (?:the )?user\b"
    r"|the user (?:has )?rejected (?:permission|the (?:edit|changes?|patch|tool)|this)"
    r"|(?:the )?user (?:has )?(?:rejected|declined|denied) (?:the|this) "
    r"|the user (?:has )?declined to (?:run this|execute the) tool"
    r"|user declined, reason:"
    r"|the user (?:chose|decided) to skip th"
    r"|user rejected tool use"
    r"|\[operation cancelled\] (?:reason: )?user (?:denied|did not allow|rejected|declined)"
    r"|(?:this )?tool call was cancell?ed by the user"
    r"|permission (?:to run tool )?denied by (?:the )?user"
    r"|(?:the )?action has been rejected by the user"
    r"|user did not allow",
    re.IGNORECASE,
)
_FAILED = re.compile(
    r"string to replace not found|old_?string (?:not found|was not found)|string not found in file"
    r"|no match(?:es)? found|did not appear verbatim|could not find (?:the )?(?:string|old)"
    r"|0 occurrences found|no replacement was (?:performed|made)|no edits were made"
    r"|apply_patch verification failed|failed to (?:find|apply|edit|write|read|parse|create)"
    r"|invalid patch|found \d+ matches|multiple (?:occurrences|matches)"
    r"|has not been read yet|has been (?:modified|unexpectedly modified) since"
    r"|unable to apply|search block .{0,40}(?:not|fail)|hunk failed|patch (?:failed|rejected)"
    r"|file (?:not found|does not exist)|no such file|does not exist"
    r"|the user doesn['\u2019]t want to take this action right now"  # what was to come behind it
    r"|\[operation cancelled\]|user cancell?ed|was interrupted|interrupted by user"
    r"|no changes (?:to make|were made)|are (?:identical|exactly the same)"
    r"|\Atool \S+ not found"
    r"|not executed because|missing value for required parameter|invalid (?:json|tool|arguments)"
    r"|cannot be used in plan mode|access to .{1,200} is blocked",
    re.IGNORECASE,
)
_FAILED_FIRST = re.compile(
    r"(?:error|failed|failure|traceback|exception|cannot|unknown tool|unsupported)\b"
    r"|diff edit failed",
    re.IGNORECASE,
)
_APPLIED = re.compile(
    r"\bfile (?:\S+ )?(?:has been |was )?(?:successfully )?(?:updated|edited|created|written"
    r"|modified|saved|overwritten)"
    r"|the file:? \S.{0,300}? has been (?:updated|edited|created|written)"
    r"|has been updated successfully|successfully (?:edited|modified|wrote|saved|created|overwrote"
    r"|replaced|applied|written|updated|inserted|added)"
    r"|success\. updated the following files|(?:edits?|patch|diff|changes) (?:was |were )?applied"
    r"|wrote file successfully|(?:was|were) successfully (?:saved|edited|applied|written|created)"
    r"|\A(?:edited|created|wrote|updated|inserted|overwrote|saved)\b .{0,300}"
    r"|file_write_result|\"operation\"\s*:\s*\"(?:modified|created)\""
    r"|the user made the following updates to your content|applied \d+ edit"
    r"|\A(?:ok|done|success|done!|replaced|applied|updated|edited|written|saved)\.?\Z",
    re.IGNORECASE | re.DOTALL,
)
_EXIT = re.compile(
    r"(?:exit(?:ed with)? (?:code|status)|exit_code|process exited with code)\W{0,6}(-?\d+)", re.I
)


def word_of(text: str) -> Said | None:
    """What a tool's result says of the edit; None if nothing."""
    code, text = _unwrapped(text)
    head = _IN_FRONT.sub("", text[:_HEAD], count=1)
    if head.startswith(OPENCODE_REFUSED) and not head.startswith(OPENCODE_ANSWERED):
        return None
    if _DECLINED.match(head):
        return "declined"
    stated = _EXIT.search(head)
    if code is None and stated:
        code = int(stated[1])
    front = _IN_FRONT.match(text)
    told = front is not None and re.search("error|failed", front[0], re.IGNORECASE) is not None
    if told or _FAILED_FIRST.match(head) or code not in (None, 0):
        return "failed"
    first = head.partition("\n")[0]
    for part in (first, head):  # behind the first line the file itself may be shown
        if _FAILED.search(part):
            return "failed"
        if _APPLIED.search(part):
            return "applied"
    return "applied" if code == 0 else None


def _unwrapped(text: str) -> tuple[int | None, str]:
    """A result's exit code and words, if they are wrapped in JSON as several clients do."""
    given = parsed(text) if len(text) < 1_000_000 else None
    if not isinstance(given, Mapping):
        return None, text
    if str(given.get("status")).lower() == "denied":
        return None, "The user denied this operation."
    error = given.get("error")
    if error:
        words = error.get("message") if isinstance(error, Mapping) else error
        return None, f"{'' if _DECLINED.match(str(words)) else 'Error: '}{words}"
    meta = given.get("metadata")
    code = (meta if isinstance(meta, Mapping) else given).get("exit_code")
    words = next((given[n] for n in ("output", "result", "message") if given.get(n)), text)
    whole = code if isinstance(code, int) and not isinstance(code, bool) else None
    return whole, words if isinstance(words, str) else text


def results_of(
    messages: Sequence[Message], *, answer: str, extra: Mapping[str, Any]
) -> tuple[Result, ...]:
    """What a later request of a conversation says of an answer's edits.

    `answer`, `extra`: the answer and what it had beside its text. Empty if the answer is not among
    the messages.
    """
    at = _place_of(messages, answer, extra)
    if at is None:
        return ()
    theirs, own = (calls_of(each) for each in (messages[at].extra, extra))
    behind: list[Message] = []
    for message in messages[at + 1 :]:
        if message.role != "assistant":
            behind.append(message)
        elif message.content.strip() not in _AIDERS_OWN:
            break
    named = {call.id: mine.id for call, mine in zip(theirs, own, strict=False)}
    of_calls = (
        replace(each, call=named.get(each.call, each.call))
        for each in _of_calls(behind, len(theirs))
    )
    return (*of_calls, *_of_text(behind))


def _place_of(messages: Sequence[Message], answer: str, extra: Mapping[str, Any]) -> int | None:
    """The number of the message that is the answer: the last with its calls, or its text.

    Some clients give the calls other ids than the server did (LiteLLM, if that is Ollama).
    """
    ids = {call.id for call in calls_of(extra)}
    named = {id for id in ids if id and not id.startswith("#")}
    said = [(call.name, call.arguments, call.text) for call in calls_of(extra)]
    bare = answer.strip()
    alike = None
    for number in range(len(messages) - 1, -1, -1):
        message = messages[number]
        if message.role != "assistant":
            continue
        theirs = calls_of(message.extra)
        if named & {call.id for call in theirs}:
            return number
        if said:
            same = [(call.name, call.arguments, call.text) for call in theirs] == said
            alike = number if same and alike is None else alike
        elif bare and _is_same(message.content.strip(), bare):
            return number
    return alike


def _is_same(sent: str, answer: str) -> bool:
    """Whether a message is an answer as it was, or up to where its client stopped reading."""
    return sent == answer or (len(sent) >= 40 and answer.startswith(sent))


def _of_calls(behind: Sequence[Message], calls: int) -> Iterator[Result]:
    """The results of tools; those without an id are in the order of the calls.

    If the answer had no calls but in its text, they are of what stands there.
    """
    results = [message for message in behind if message.role == "tool"]
    for number, message in enumerate(results):
        id = message.extra.get("tool_call_id")
        own = calls > 0 and (id or number < calls)
        call = str(id or f"#{number}") if own else None
        yield Result(word_of(message.content), message.content[:MOST], call=call)


_HEADED = re.compile(
    r"^\[(?:write_to_file|replace_in_file|apply_diff|insert_content|search_and_replace|new_rule"
    r"|search_replace|edit_file|execute_command) (?:for '([^'\n]{1,300})'|to '([^'\n]{1,300})')?"
    r"[^\n\]]*\] Result:[ \t]*$",
    re.MULTILINE,
)
_RAN = re.compile(r"\A(?:EXECUTION RESULT of \[\w+\]:|<tool_response>)\s*")
_TAKEN = re.compile(
    r"\AI (?:committed the changes with git hash|updated the files\.)"
    r"|\AThe changes have been (?:applied|committed)"
)
_AIDERS_OWN = frozenset(("Ok.", "Ok, any changes I propose will be to those files."))
"""Answers that aider puts between its messages itself (aider/coders/base_coder.py)."""
_UNDONE = re.compile(r"\AI did `git reset --hard HEAD~1` to discard the last edits\.")
_NO_EDITS = re.compile(r"\AI didn't see any properly formatted edits")
_NOT_MATCHED = re.compile(
    r"^## SearchReplaceNoExactMatch: This SEARCH block failed to exactly match lines in (.+)$"
    r"|^UnifiedDiff(?:NoMatch|NotUnique): ",
    re.MULTILINE,
)
_OTHERS_APPLIED = re.compile(
    r"^# The other \d+ (?:SEARCH/REPLACE blocks?|hunks?) (?:were|was) applied", re.MULTILINE
)
_AIDER_FAILED = re.compile(r"\A#? ?\d+ SEARCH/REPLACE blocks? failed to match!|\AUnifiedDiffNo")


def _of_text(behind: Sequence[Message]) -> Iterator[Result]:
    """What a person's client says of edits that stood in the answer's text."""
    if any(message.role == "user" and _UNDONE.match(message.content) for message in behind):
        yield Result("declined", "undone")
        return
    for message in behind:
        text = message.content
        if message.role != "user" or not text:
            continue
        heads = list(_HEADED.finditer(text))
        for head, end in zip(heads, _ends(heads, text), strict=True):
            part = text[head.end() : end].strip()
            yield Result(word_of(part), part[:MOST], path=head[1] or head[2])
        if heads:
            continue
        if ran := _RAN.match(text):
            part = text[ran.end() :]
            yield Result(word_of(part), part[:MOST])
        elif _AIDER_FAILED.match(text):
            yield from _aider_failed(text)
        elif _TAKEN.match(text):
            yield Result("applied", text[:MOST])
        elif _NO_EDITS.match(text):
            yield Result("failed", text[:MOST])


def _ends(heads: Sequence[re.Match[str]], text: str) -> list[int]:
    """Where what stands under each heading ends: at the next one."""
    return [*(head.start() for head in heads[1:]), len(text)][: len(heads)]


def _aider_failed(text: str) -> Iterator[Result]:
    """The blocks that aider could not find, as it repeats them; the others if it took them."""
    heads = list(_NOT_MATCHED.finditer(text))
    for head, end in zip(heads, _ends(heads, text), strict=True):
        part = text[head.start() : end]
        repeated = next(iter(blocks_in(part)), None)
        new = repeated.new if repeated else None
        yield Result("failed", part[:MOST], path=head[1], new=new)
    if _OTHERS_APPLIED.search(text):
        yield Result("applied", text[:MOST])
