"""Files written by a shell's script, as far as that is certain.

`cat > FILE <<'END'` and `tee`, `apply_patch` in a script, `sed -i` with two plain texts. Codex's
own rules for the patch are those of openai/codex, codex-rs/apply-patch/src/invocation.rs: nothing
else may stand in its script but a `cd` in front. Heredocs are bash's: without quotes around its
end, one in which anything would be put in the place of something (`$`, a backtick, a backslash) is
not read.

Not read: what stands behind a condition, a loop, a function, an exit or a line that goes on in the
next one; names with variables or patterns; what other programs write.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from itertools import chain

from qi_learn.edits.apply_patch import TOOLS as PATCH
from qi_learn.edits.apply_patch import patch_edits
from qi_learn.edits.edit import Called, Edit

TOOLS = {
    *("bash", "Bash", "shell", "sh", "exec", "exec_command", "shell_command", "local_shell"),
    *("run_terminal_cmd", "run_in_terminal", "execute_command", "execute_bash", "terminal"),
    *("run_shell_command", "run_terminal_command", "run_command", "execute_shell_command"),
    *("RunCommand", "cmd", "command"),
}
_WORD = r"""('[^'\n]*'|"[^"$`\\\n]*"|[\w./~+@%:,=\-]+)"""
_END = r"""<<(-?)[ \t]*(?:'(\w+)'|"(\w+)"|\\?(\w+))"""
_QUOTED_END = re.compile(r"""<<-?[ \t]*['"\\]""")
_HEREDOC = re.compile(_END)
_TO = (
    re.compile(rf"cat[ \t]*(>>?)[ \t]*{_WORD}[ \t]*{_END}[ \t]*"),
    re.compile(rf"cat[ \t]*{_END}[ \t]*(>>?)[ \t]*{_WORD}[ \t]*"),
    re.compile(rf"tee(?:[ \t]+(-a))?[ \t]+{_WORD}[ \t]*{_END}[ \t]*(?:>[ \t]*/dev/null)?[ \t]*"),
)
_CD = re.compile(rf"cd[ \t]+{_WORD}[ \t]*(?:&&[ \t]*|;[ \t]*|$)")
_MKDIR = re.compile(rf"mkdir(?:[ \t]+-p)?(?:[ \t]+{_WORD})+[ \t]*&&[ \t]*")
_UNSURE = re.compile(
    r"[ \t]*(?:if|elif|else|for|while|until|case|function|select|exit|return|exec|trap|\{|\(|[\w-]+"
    r"[ \t]*\(\)|!|\[)(?:[ \t;(]|$)|.*(?:\|\||\\$)"
)
_SED = re.compile(
    r"""sed[ \t]+(?:-i(?:\.\w+)?|-i[ \t]+(?:''|""))(?:[ \t]+-e)?[ \t]+"""
    rf"""(?:'([^'\n]*)'|"([^"$`\\\n]*)")[ \t]+{_WORD}[ \t]*"""
)
_PLAIN = re.compile(r"[^\\.*\[\]^$+?(){}|]+")
_ARGUMENTS = ("command", "cmd", "script", "input", "code")


def call_edits(call: Called) -> Iterator[Edit]:
    """The edits of a shell's call: a script, the words of a command, or several scripts."""
    given = next((call.arguments[a] for a in _ARGUMENTS if call.arguments.get(a)), None)
    given = given or call.arguments.get("commands") or call.text
    where = call.said("workdir", "cwd", "working_directory") or ""
    if isinstance(given, str):
        yield from script_edits(given, where)
    elif isinstance(given, (list, tuple)) and all(isinstance(word, str) for word in given):
        if call.arguments.get("commands"):
            yield from chain.from_iterable(script_edits(script, where) for script in given)
        else:
            yield from _words_edits(list(given), where)


def _words_edits(words: Sequence[str], where: str) -> Iterator[Edit]:
    """The edits of a command in words: `bash -lc SCRIPT`, or `apply_patch PATCH`."""
    if len(words) == 2 and words[0] in PATCH:
        yield from _in(where, patch_edits(words[1].split("\n")))
        return
    shell = posixpath.basename(words[0])
    if len(words) >= 3 and shell in ("bash", "sh", "zsh") and words[-2] in ("-c", "-lc", "-ic"):
        yield from script_edits(words[-1], where)


def script_edits(script: str, where: str = "") -> Iterator[Edit]:
    """The edits of a script that is run in a directory (`where`, "" if it is not known)."""
    lines = script.replace("\r\n", "\n").split("\n")
    number = 0
    while number < len(lines):
        line = lines[number].strip()
        number += 1
        if _UNSURE.match(line):
            return
        line, where = _moved(line, where)
        opened = _HEREDOC.search(line) if len(line) < 1000 else None
        if opened is None:
            if "<<" in line and "<<<" not in line:
                return
            yield from _in(where, _sed(line))
            continue
        end = opened[2] or opened[3] or opened[4]
        body, number = _body(lines, number, end, tabs=bool(opened[1]))
        if body is None:
            return
        yield from _in(where, _heredoc(line, body))


def _moved(line: str, where: str) -> tuple[str, str]:
    """What of a line is left behind the `cd` and `mkdir` in front of it, and where it runs."""
    for _ in range(8):
        if moved := _CD.match(line):
            where = posixpath.join(where, _unquoted(moved[1]))
        elif not (moved := _MKDIR.match(line)):
            break
        line = line[moved.end() :]
    return line, where


def _body(
    lines: Sequence[str], first: int, end: str, *, tabs: bool
) -> tuple[list[str] | None, int]:
    """The lines of a heredoc, and the number of the line behind it; None if it has no end."""
    for number in range(first, len(lines)):
        if (lines[number].lstrip("\t") if tabs else lines[number]) == end:
            body = lines[first:number]
            return ([line.lstrip("\t") for line in body] if tabs else list(body)), number + 1
    return None, len(lines)


def _heredoc(line: str, body: Sequence[str]) -> Iterator[Edit]:
    literal = _QUOTED_END.search(line) or not any(set("$`\\") & set(each) for each in body)
    if not literal:
        return
    if line.split("<<")[0].strip() in PATCH:
        yield from patch_edits(body)
        return
    for form in _TO:
        if read := form.fullmatch(line):
            name = next(
                (g for g in read.groups() if g and g[0] not in "><" and _is_name(g, line)), None
            )
            if name is not None:
                yield Edit(_unquoted(name), None, "\n".join([*body, ""]))
            return


def _is_name(group: str, line: str) -> bool:
    """Whether a group is the file's name: not the heredoc's end, nor an option."""
    ends = _HEREDOC.search(line)
    return group not in ("-", "-a") and (ends is None or group not in ends.groups())


def _sed(line: str) -> Iterator[Edit]:
    if not (read := _SED.fullmatch(line)):
        return
    script, name = read[1] if read[1] is not None else read[2], read[3]
    if len(script) < 4 or script[0] != "s":
        return
    parts = script[2:].split(script[1])
    if len(parts) != 3 or parts[2] not in ("", "g"):
        return
    old, new = parts[:2]
    if _PLAIN.fullmatch(old) and not set("\\&") & set(new):
        yield Edit(_unquoted(name), old, new)


def _unquoted(word: str) -> str:
    return word[1:-1] if word[:1] in ("'", '"') else word


def _in(where: str, edits: Iterator[Edit]) -> Iterator[Edit]:
    """Edits of files that are named from a directory."""
    for edit in edits:
        if where and edit.path and not edit.path.startswith("~"):
            yield Edit(posixpath.join(where, edit.path), edit.old, edit.new)
        else:
            yield edit
