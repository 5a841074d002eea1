"""A change to a file, said in the form in which a client's model says it.

Requests and answers are those that pass the gateway, in the form of the endpoint that the client
uses (capture-and-guarantees 1 and 2 name the sources).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from dataclasses import dataclass

from scripts.benchmarks.labelling import client_words as words
from scripts.benchmarks.labelling.change import Change, common_lines
from scripts.benchmarks.labelling.endpoints import (
    Result,
    anthropic_call,
    anthropic_result,
    chat,
    openai_call,
    openai_result,
    responses_call,
    responses_result,
    text_result,
)
from tests.support.played_home import Exchange


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one client has its model write to files."""

    name: str
    answer: Callable[[Change], Exchange]
    result: Result | None = None
    """The next request, which says what became of the edit; None if the client says nothing."""
    whole: bool = False
    """Whether the whole file is given."""
    edit: bool = False
    """Whether it is a tool's edit, which the client carries out, and not code to be pasted."""


def _whole(change: Change) -> str:
    return f"{change.root}/{change.path}"


def _block(change: Change) -> Exchange:
    return chat(f"Here it is:\n\n```{change.language}\n{change.code}```\n\nAsk if more is needed.")


def _whole_file(change: Change) -> Exchange:
    return chat(f"{change.path}\n```{change.language}\n{change.after}```\n")


def _search_replace(change: Change) -> Exchange:
    old, new, _ = change.hunk()
    return chat(
        f"{change.path}\n```{change.language}\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n"
        "```\n"
    )


def _unified(change: Change) -> str:
    lines = difflib.unified_diff(
        change.before.splitlines(True),
        change.after.splitlines(True),
        f"a/{change.path}",
        f"b/{change.path}",
    )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def _diff(change: Change) -> Exchange:
    return chat(f"This does it:\n\n```diff\n{_unified(change)}```\n")


def _claude_edit(change: Change) -> Exchange:
    old, new, _ = change.hunk()
    return anthropic_call(
        "Edit", {"file_path": _whole(change), "old_string": old, "new_string": new}
    )


def _claude_write(change: Change) -> Exchange:
    return anthropic_call("Write", {"file_path": _whole(change), "content": change.after})


def _patch(change: Change) -> str:
    old, new, _ = change.hunk()
    was, now = old.splitlines(), new.splitlines()
    head = common_lines(was, now)
    tail = common_lines(was[head:][::-1], now[head:][::-1])
    lines = [f" {line}" for line in was[:head]]
    lines += [f"-{line}" for line in was[head : len(was) - tail]]
    lines += [f"+{line}" for line in now[head : len(now) - tail]]
    lines += [f" {line}" for line in was[len(was) - tail :]] if tail else []
    middle = "\n".join(lines)
    return f"*** Begin Patch\n*** Update File: {change.path}\n@@\n{middle}\n*** End Patch\n"


def _codex(change: Change) -> Exchange:
    return responses_call("apply_patch", {"input": _patch(change)})


def _codex_shell(change: Change) -> Exchange:
    script = f"apply_patch <<'EOF'\n{_patch(change)}EOF\n"
    return responses_call("shell", {"command": ["bash", "-lc", script], "workdir": change.root})


def _opencode(change: Change) -> Exchange:
    old, new, _ = change.hunk()
    return openai_call("edit", {"filePath": _whole(change), "oldString": old, "newString": new})


def _qwen(change: Change) -> Exchange:
    old, new, _ = change.hunk()
    return openai_call("edit", {"file_path": _whole(change), "old_string": old, "new_string": new})


def _openhands(change: Change) -> Exchange:
    old, new, _ = change.hunk()
    return openai_call(
        "str_replace_editor",
        {"command": "str_replace", "path": _whole(change), "old_str": old, "new_str": new},
    )


def _goose(change: Change) -> Exchange:
    old, new, _ = change.hunk()
    return openai_call(
        "developer__text_editor",
        {"command": "str_replace", "path": _whole(change), "old_str": old, "new_str": new},
    )


def _copilot(change: Change) -> Exchange:
    old, new, _ = change.hunk()
    return openai_call(
        "replace_string_in_file",
        {"filePath": _whole(change), "oldString": old, "newString": new, "explanation": "It."},
    )


def _continue(change: Change) -> Exchange:
    old, new, _ = change.hunk()
    return openai_call(
        "single_find_and_replace",
        {"filepath": change.path, "old_string": old, "new_string": new},
    )


def _cline(change: Change) -> Exchange:
    old, new, _ = change.hunk()
    return chat(
        f"I'll change it.\n\n<replace_in_file>\n<path>{change.path}</path>\n<diff>\n"
        f"------- SEARCH\n{old}=======\n{new}+++++++ REPLACE\n</diff>\n</replace_in_file>"
    )


def _cline_write(change: Change) -> Exchange:
    return chat(
        f"<write_to_file>\n<path>{change.path}</path>\n<content>\n{change.after}</content>\n"
        "</write_to_file>"
    )


def _hermes(change: Change) -> Exchange:
    old, new, _ = change.hunk()
    call = {
        "name": "edit_file",
        "arguments": {"path": change.path, "old_string": old, "new_string": new},
    }
    return chat(f"<tool_call>\n{json.dumps(call)}\n</tool_call>")


def _heredoc(change: Change) -> Exchange:
    command = f"cat > {change.path} <<'EOF'\n{change.after}EOF\n"
    return openai_call("bash", {"command": command, "description": "Write it"})


def _claude_multi(change: Change) -> Exchange:
    old, new, _ = change.hunk()
    edits = [{"old_string": old, "new_string": new}]
    return anthropic_call("MultiEdit", {"file_path": _whole(change), "edits": edits})


def _roo(change: Change) -> Exchange:
    old, new, start = change.hunk()
    return chat(
        f"<apply_diff>\n<path>{change.path}</path>\n<diff>\n<<<<<<< SEARCH\n"
        f":start_line:{start + 1}\n-------\n{old}=======\n{new}>>>>>>> REPLACE\n</diff>\n"
        "</apply_diff>"
    )


def _copilot_patch(change: Change) -> Exchange:
    return openai_call("apply_patch", {"input": _patch(change), "explanation": "It."})


def _named_fence(change: Change) -> Exchange:
    return chat(f"So:\n\n```{change.language} {change.path}\n{change.after}```\n")


DIALECTS = (
    Dialect("block", _block),
    Dialect("whole file", _whole_file, whole=True),
    Dialect("SEARCH/REPLACE", _search_replace, edit=True),
    Dialect("unified diff", _diff),
    Dialect("Claude Code Edit", _claude_edit, anthropic_result(words.CLAUDE), edit=True),
    Dialect("Claude Code Write", _claude_write, anthropic_result(words.CLAUDE), True, True),
    Dialect("Codex apply_patch", _codex, responses_result(words.CODEX), edit=True),
    Dialect("Codex shell", _codex_shell, responses_result(words.CODEX), edit=True),
    Dialect("OpenCode", _opencode, openai_result(words.OPENCODE), edit=True),
    Dialect("Qwen Code", _qwen, openai_result(words.QWEN), edit=True),
    Dialect("OpenHands", _openhands, openai_result(words.OPENHANDS), edit=True),
    Dialect("Goose", _goose, openai_result(words.GOOSE), edit=True),
    Dialect("Copilot", _copilot, openai_result(words.COPILOT), edit=True),
    Dialect("Continue", _continue, openai_result(words.CONTINUE), edit=True),
    Dialect("Cline", _cline, text_result(words.CLINE), edit=True),
    Dialect("Cline whole file", _cline_write, text_result(words.CLINE), True, True),
    Dialect("Claude Code MultiEdit", _claude_multi, anthropic_result(words.CLAUDE), edit=True),
    Dialect("Roo apply_diff", _roo, text_result(words.CLINE), edit=True),
    Dialect("Copilot apply_patch", _copilot_patch, openai_result(words.COPILOT), edit=True),
    Dialect("fence with a path", _named_fence, whole=True),
    Dialect("Hermes", _hermes, edit=True),
    Dialect("heredoc", _heredoc, openai_result(words.SHELL), True, True),
)
BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
