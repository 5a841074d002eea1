"""Gemini CLI and Qwen Code: replace or edit, write_file.

google-gemini/gemini-cli and QwenLM/qwen-code, packages/core/src/tools/{edit,write-file}.ts: Qwen
Code calls `edit` what was `replace`.
"""

from __future__ import annotations

from collections.abc import Iterator

from qi_learn.edits.edit import Called, Edit, replaced, written


def _replace(call: Called) -> Iterator[Edit]:
    old, new = call.said("old_string"), call.said("new_string")
    return replaced(call.said("file_path"), old, new)


def _write_file(call: Called) -> Iterator[Edit]:
    return written(call.said("file_path"), call.said("content"))


TOOLS = {"replace": _replace, "edit": _replace, "write_file": _write_file}
