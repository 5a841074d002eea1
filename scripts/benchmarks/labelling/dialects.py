"""A change to a file, said in the form in which a client's model says it.

Requests and answers are those that pass the gateway, in the form of the endpoint that the client
uses, and so is what it says of the edit in its next request. The words are the clients' own, as
they are published (capture-and-guarantees 1 and 2).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tests.support.played_home import Exchange

Said = Literal["applied", "failed", "declined"]
Json = dict[str, Any]
CONTEXT = 2
"""Lines around a change that an edit repeats."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an answer changes in one file."""

    path: str
    """From the project's root."""
    root: str
    """The project's directory, for clients that name files by their whole path."""
    language: str
    before: str
    """The file's text; "" if there is no such file yet."""
    after: str
    code: str
    """The code that a chat answer shows: the function or functions, whole."""

    def hunk(self) -> tuple[str, str, int]:
        """The old and the new lines of the change with some around them, and where they begin.

        With as many around them as make the old text the only one of its kind.
        """
        old, new = self.before.splitlines(True), self.after.splitlines(True)
        head = _common(old, new)
        tail = _common(old[head:][::-1], new[head:][::-1])
        around = CONTEXT
        while True:
            start, rest = max(0, head - around), max(0, tail - around)
            was = "".join(old[start : len(old) - rest])
            if self.before.count(was) == 1 or (start == 0 and rest == 0):
                return was, "".join(new[start : len(new) - rest]), start
            around += 1


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one client has its model write to files."""

    name: str
    answer: Callable[[Change], Exchange]
    result: Callable[[Change, Exchange, Said], Exchange] | None = None
    """The next request, which says what became of the edit; None if the client says nothing."""
    whole: bool = False
    """Whether the whole file is given."""
    edit: bool = False
    """Whether it is a tool's edit, which the client carries out, and not code to be pasted."""


# --- forms of endpoints ---------------------------------------------------------------------------


def chat(answer: str, asked: str = "Please change it.", *before: Json) -> Exchange:
    """Ollama's chat."""
    messages = [*before, {"role": "user", "content": asked}]
    told = {"model": "m", "message": {"role": "assistant", "content": answer}, "done": True}
    return Exchange(
        "/api/chat",
        {"model": "m", "messages": messages, "stream": False},
        json.dumps(told | {"done_reason": "stop"}),
    )


def openai_call(name: str, arguments: Json) -> Exchange:
    """A tool call in chat completions."""
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return Exchange(
        "/v1/chat/completions",
        {"model": "m", "messages": [{"role": "user", "content": "Please change it."}]},
        json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}),
    )


def openai_result(words: Mapping[Said, str]) -> Callable[[Change, Exchange, Said], Exchange]:
    def result(change: Change, exchange: Exchange, said: Said) -> Exchange:
        message = json.loads(exchange.response)["choices"][0]["message"]
        told = {"role": "tool", "tool_call_id": "call_1", "content": _word(words[said], change)}
        messages = [*exchange.request["messages"], message, told]
        done = {"role": "assistant", "content": "Done."}
        return Exchange(
            "/v1/chat/completions",
            {"model": "m", "messages": messages},
            json.dumps({"choices": [{"index": 0, "message": done, "finish_reason": "stop"}]}),
        )

    return result


def anthropic_call(name: str, arguments: Json) -> Exchange:
    use = {"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments}
    told = {"type": "message", "role": "assistant", "content": [use], "stop_reason": "tool_use"}
    return Exchange(
        "/v1/messages",
        {"model": "m", "max_tokens": 4096, "messages": [_user("Please change it.")]},
        json.dumps(told),
    )


def anthropic_result(words: Mapping[Said, str]) -> Callable[[Change, Exchange, Said], Exchange]:
    def result(change: Change, exchange: Exchange, said: Said) -> Exchange:
        use = json.loads(exchange.response)["content"]
        told: Json = {
            "type": "tool_result",
            "tool_use_id": "toolu_1",
            "content": _word(words[said], change),
        }
        if said != "applied":
            told["is_error"] = True
        messages = [
            *exchange.request["messages"],
            {"role": "assistant", "content": use},
            {"role": "user", "content": [told]},
        ]
        done = [{"type": "text", "text": "Done."}]
        return Exchange(
            "/v1/messages",
            {"model": "m", "max_tokens": 4096, "messages": messages},
            json.dumps({"type": "message", "role": "assistant", "content": done}),
        )

    return result


def responses_call(name: str, arguments: Json) -> Exchange:
    call = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": name,
        "arguments": json.dumps(arguments),
        "status": "completed",
    }
    asked = {"type": "message", "role": "user", "content": "Please change it."}
    return Exchange(
        "/v1/responses",
        {"model": "m", "input": [asked]},
        json.dumps({"id": "resp_1", "object": "response", "status": "completed", "output": [call]}),
    )


def responses_result(words: Mapping[Said, str]) -> Callable[[Change, Exchange, Said], Exchange]:
    def result(change: Change, exchange: Exchange, said: Said) -> Exchange:
        (call,) = json.loads(exchange.response)["output"]
        told = {
            "type": "function_call_output",
            "call_id": "call_1",
            "output": _word(words[said], change),
        }
        done = {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Done."}],
        }
        return Exchange(
            "/v1/responses",
            {"model": "m", "input": [*exchange.request["input"], call, told]},
            json.dumps({"object": "response", "status": "completed", "output": [done]}),
        )

    return result


def text_result(words: Mapping[Said, str]) -> Callable[[Change, Exchange, Said], Exchange]:
    """What a client that edits from the answer's text says next, as the user's message."""

    def result(change: Change, exchange: Exchange, said: Said) -> Exchange:
        answer = json.loads(exchange.response)["message"]
        return chat("Done.", _word(words[said], change), *exchange.request["messages"], answer)

    return result


def _user(text: str) -> Json:
    return {"role": "user", "content": text}


def _word(words: str, change: Change) -> str:
    shown = "\n".join(f"{n:6}\t{line}" for n, line in enumerate(change.after.split("\n")[:8], 1))
    whole = f"{change.root}/{change.path}"
    return words.format(path=change.path, whole=whole, shown=shown)


# --- clients --------------------------------------------------------------------------------------


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
    head = _common(was, now)
    tail = _common(was[head:][::-1], now[head:][::-1])
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


_CLAUDE: dict[Said, str] = {
    "applied": "The file {whole} has been updated. Here's the result of running `cat -n` on a "
    "snippet of the edited file:\n{shown}",
    "failed": "<tool_use_error>String to replace not found in file.</tool_use_error>",
    "declined": "The user doesn't want to proceed with this tool use. The tool use was rejected "
    "(eg. if it was a file edit, the new_string was NOT written to the file). STOP what you are "
    "doing and wait for the user to tell you how to proceed.",
}
_CODEX: dict[Said, str] = {
    "applied": '{{"output":"Success. Updated the following files:\\nM {path}\\n","metadata":'
    '{{"exit_code":0,"duration_seconds":0.1}}}}',
    "failed": "apply_patch verification failed: Failed to find expected lines in {whole}",
    "declined": "patch rejected by user",
}
_OPENCODE: dict[Said, str] = {
    "applied": "Edit applied successfully.",
    "failed": "Error: oldString not found in content",
    "declined": "The user rejected permission to use this specific tool call.",
}
_QWEN: dict[Said, str] = {
    "applied": "Successfully modified file: {whole} (1 replacements).",
    "failed": "Failed to edit, could not find the string to replace.",
    "declined": "[Operation Cancelled] Reason: User did not allow tool call",
}
_OPENHANDS: dict[Said, str] = {
    "applied": "The file {whole} has been edited. Here's the result of running `cat -n` on a "
    "snippet of {whole}:\n{shown}\nReview the changes and make sure they are as expected.",
    "failed": "ERROR:\nNo replacement was performed, old_str `it` did not appear verbatim in "
    "{whole}.",
    "declined": "Action has been rejected by the user.",
}
_GOOSE: dict[Said, str] = {
    "applied": "The file {whole} has been edited, and the section now reads:\n{shown}",
    "failed": "-32602: Invalid params: 'old_str' must appear exactly once in the file, but it does "
    "not appear in the file.",
    "declined": "The user has declined to run this tool. DO NOT attempt to call this tool again.",
}
_COPILOT: dict[Said, str] = {
    "applied": "The following files were successfully edited:\n{whole}",
    "failed": "ERROR: Could not find matching text to replace in {whole}.",
    "declined": "The user chose to skip the tool call, they want to proceed without running it.",
}
_CONTINUE: dict[Said, str] = {
    "applied": "Successfully edited {path}",
    "failed": "string not found in file: it",
    "declined": "This tool call was cancelled by the user. You should clarify next steps, as they "
    "don't wish for you to use this tool.",
}
_CLINE: dict[Said, str] = {
    "applied": "[replace_in_file for '{path}'] Result:\nThe content was successfully saved to "
    "{path}.",
    "failed": "[replace_in_file for '{path}'] Result:\nThe tool execution failed with the "
    "following error:\n<error>\nThe SEARCH block: it does not match anything in the file.\n"
    "</error>",
    "declined": "[replace_in_file for '{path}'] Result:\nThe user denied this operation.",
}
_SHELL: dict[Said, str] = {
    "applied": "",
    "failed": "bash: {path}: Permission denied\nExit code 1",
    "declined": "The user rejected permission to use this specific tool call.",
}

DIALECTS = (
    Dialect("block", _block),
    Dialect("whole file", _whole_file, whole=True),
    Dialect("SEARCH/REPLACE", _search_replace, edit=True),
    Dialect("unified diff", _diff),
    Dialect("Claude Code Edit", _claude_edit, anthropic_result(_CLAUDE), edit=True),
    Dialect("Claude Code Write", _claude_write, anthropic_result(_CLAUDE), True, True),
    Dialect("Codex apply_patch", _codex, responses_result(_CODEX), edit=True),
    Dialect("Codex shell", _codex_shell, responses_result(_CODEX), edit=True),
    Dialect("OpenCode", _opencode, openai_result(_OPENCODE), edit=True),
    Dialect("Qwen Code", _qwen, openai_result(_QWEN), edit=True),
    Dialect("OpenHands", _openhands, openai_result(_OPENHANDS), edit=True),
    Dialect("Goose", _goose, openai_result(_GOOSE), edit=True),
    Dialect("Copilot", _copilot, openai_result(_COPILOT), edit=True),
    Dialect("Continue", _continue, openai_result(_CONTINUE), edit=True),
    Dialect("Cline", _cline, text_result(_CLINE), edit=True),
    Dialect("Cline whole file", _cline_write, text_result(_CLINE), True, True),
    Dialect("Hermes", _hermes, edit=True),
    Dialect("heredoc", _heredoc, openai_result(_SHELL), True, True),
)
BY_NAME = {dialect.name: dialect for dialect in DIALECTS}


def completion(prefix: str, middle: str, suffix: str, *, raw: bool) -> Exchange:
    """A completion: by fields of its own, or by the marks of a model in a raw prompt."""
    if raw:
        prompt = f"<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>"
        request = {"model": "m", "prompt": prompt, "raw": True, "stream": False}
        told = {"model": "m", "response": middle, "done": True, "done_reason": "stop"}
        return Exchange("/api/generate", request, json.dumps(told))
    choice = {"index": 0, "text": middle, "finish_reason": "stop"}
    return Exchange(
        "/v1/completions",
        {"model": "m", "prompt": prefix, "suffix": suffix, "max_tokens": 200},
        json.dumps({"object": "text_completion", "choices": [choice]}),
    )
