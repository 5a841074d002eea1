"""What people and models do to code: written in another style, with other names, by half.

Each returns the text unchanged if it knows nothing to do; the caller plays something else then.
What is made parses where the text did, as far as the language lets it be told from its brackets.
"""

from __future__ import annotations

import ast
import difflib
import random
import re
import textwrap
from collections import Counter

from scripts.benchmarks.labelling.definitions import masked

JOINED = 110
"""The longest line that another style makes of a wrapped one."""
_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        def class return import from self cls None True False for while with not and or if elif
        else try except finally raise lambda yield async await pass break continue in is as func
        var const let type struct interface map range nil go defer chan select switch case
        default fn pub impl mut ref use mod where match loop move dyn Self Some Option Result Ok
        Err static final public private protected void int long boolean String this new throw
        throws extends implements instanceof null true false undefined function typeof export
        number string any unknown never object readonly keyof infer super print len str list
        dict set tuple bool float error byte uint8 int64 usize u8 u32 u64 i32 isize unsafe crate
        package enum trait
        """,
    )
)
"""Words that are no names, in one language or another."""


def restyled(text: str, language: str) -> str:
    """The same code in a style that a formatter would not leave so."""
    text = _joined(text)
    if language == "python":
        return _other_quotes(text, '"', "'")
    if language in ("typescript", "javascript"):
        marks = ('"', "'") if text.count('"') > text.count("'") else ("'", '"')
        return _reindented(_without_semicolons(_other_quotes(text, *marks)))
    if language == "go":
        return text.replace("\t", "    ")
    return _reindented(text)


def _joined(text: str) -> str:
    """Lines that were wrapped within brackets as one line, without the comma at their end."""
    lines = text.split("\n")
    out: list[str] = []
    i = 0
    while i < len(lines):
        line = lines[i]
        end = _closing_line(lines, i) if line.rstrip().endswith(("(", "[")) else None
        if end is not None:
            inner = " ".join(part.strip() for part in lines[i + 1 : end]).rstrip(",")
            joined = line.rstrip() + inner + lines[end].strip()
            plain = not re.search(r"//|#|/\*|\"\"\"|`", joined)
            if plain and len(joined) <= JOINED:
                out.append(joined)
                i = end + 1
                continue
        out.append(line)
        i += 1
    return "\n".join(out)


def _closing_line(lines: list[str], at: int) -> int | None:
    """The line on which the bracket closes that a line ends with; None if not within ten."""
    depth = 0
    for i in range(at, min(len(lines), at + 10)):
        bare = re.sub(r"\"[^\"\n]*\"|'[^'\n]*'", "", lines[i])
        depth += sum(bare.count(c) for c in "([") - sum(bare.count(c) for c in ")]")
        if i > at and depth <= 0:
            return i
        if i == at and depth != 1:
            return None
    return None


def _other_quotes(text: str, old: str, new: str) -> str:
    return re.sub(rf"(?<![\w{old}]){old}([^\"'`\\\n]+){old}(?!{old})", rf"{new}\1{new}", text)


def _without_semicolons(text: str) -> str:
    lines = text.split("\n")
    return "\n".join(
        line[:-1]
        if line.endswith(";")
        and not line.lstrip().startswith("for")
        and not after.lstrip().startswith(("(", "[", "`", "/", "+", "-", "*"))
        else line
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
    )


def _reindented(text: str) -> str:
    """Indented by twice as much, or by half if that is much."""
    widths = [len(m.group()) for m in re.finditer(r"(?m)^ +(?=\S)", text)]
    if not widths:
        return text
    base = min(widths) if not re.match(r"\S", text) else 0
    wide = any(w - base == 2 for w in widths)

    def other(match: re.Match[str]) -> str:
        more = len(match.group()) - base
        return " " * (base + (2 * more if wide else more // 2)) if more > 0 else match.group()

    return re.sub(r"(?m)^ +(?=\S)", other, text)


def renamed(text: str, language: str, called: str, chance: random.Random, count: int = 2) -> str:
    """The code with other names for some of what it uses several times."""
    bare = text if language == "python" else masked(text, language)
    words = Counter(re.findall(r"(?<![.\w$\"'@:])[a-z]\w{2,}\b(?!['\"])", bare))
    usual = sorted(w for w, n in words.items() if 2 <= n <= 8 and w not in _WORDS and w != called)
    for word in chance.sample(usual, min(count, len(usual))):
        other = f"{word}_in" if language in ("python", "rust") else f"{word}In"
        text = re.sub(rf"(?<![\w$.\"'])({word})(?![\w$\"'])", other, text)
    return text


def without_hints(text: str) -> str:
    """A Python function without its annotations."""
    body = textwrap.dedent(text)
    margin = text[: len(text) - len(text.lstrip(" "))]
    try:
        function = ast.parse(body).body[0]
    except (SyntaxError, IndexError):
        return text
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or not body.isascii():
        return text
    lines = body.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    cuts = []
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    for one in (*every, arguments.vararg, arguments.kwarg):
        if one is not None and (hint := one.annotation) is not None:
            start = starts[one.lineno - 1] + one.col_offset + len(one.arg)
            cuts.append((start, starts[(hint.end_lineno or 0) - 1] + (hint.end_col_offset or 0)))
    if (hint := function.returns) is not None:
        end = starts[(hint.end_lineno or 0) - 1] + (hint.end_col_offset or 0)
        start = body.rfind("->", 0, starts[hint.lineno - 1] + hint.col_offset)
        cuts.append((len(body[:start].rstrip()), end))
    for start, end in sorted(cuts, reverse=True):
        body = body[:start] + body[end:]
    return textwrap.indent(body, margin)


def halved(text: str, language: str) -> str:
    """The function up to the middle of its body, and closed."""
    if language == "python":
        return _half_of_python(text)
    hidden = masked(text, language)
    lines, bare = text.split("\n"), hidden.split("\n")
    depth, ends = 0, []
    for i, line in enumerate(bare):
        depth += line.count("{") - line.count("}") + line.count("(") - line.count(")")
        if depth == 1 and i > 0 and line.rstrip().endswith((";", "}")):
            ends.append(i)
    inner = [i for i in ends if 3 <= i + 1 < len(lines) - 4]
    if not inner:
        return text
    cut = min(inner, key=lambda i: abs(i - len(lines) / 2))
    return "\n".join([*lines[: cut + 1], lines[-2], ""])


def _half_of_python(text: str) -> str:
    body = textwrap.dedent(text)
    try:
        function = ast.parse(body).body[0]
    except (SyntaxError, IndexError):
        return text
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return text
    ends = [s.end_lineno or 0 for s in function.body]
    if len(ends) < 3:
        return text
    lines = text.split("\n")
    inner = [end for end in ends[:-1] if end >= 3]
    if not inner:
        return text
    return "\n".join([*lines[: min(inner, key=lambda e: abs(e - len(lines) / 2))], ""])


def elided(old: str, new: str, language: str) -> str:
    """The new code with a remark in the place of what did not change, as models write it."""
    was, now = old[:-1].split("\n"), new[:-1].split("\n")
    mark = "# ... existing code ..." if language == "python" else "// ... existing code ..."
    out: list[str] = []
    at, hidden = 0, 0
    for block in difflib.SequenceMatcher(None, was, now, autojunk=False).get_matching_blocks():
        out += now[at : block.b]
        run = now[block.b : block.b + block.size]
        head, tail = (3 if block.b == 0 else 1), 1
        if block.size > head + tail + 3:
            line = next((each for each in run[head:] if each.strip()), "")
            margin = line[: len(line) - len(line.lstrip())]
            out += [*run[:head], margin + mark, *run[-tail:]]
            hidden += 1
        else:
            out += run
        at = block.b + block.size
    return "\n".join(out) + "\n" if hidden else new


def reindent(text: str, margin: str) -> str:
    """The text with the first indentation of another."""
    return textwrap.indent(textwrap.dedent(text), margin)
