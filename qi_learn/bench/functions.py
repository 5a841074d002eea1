"""Real code for the demonstration: the functions of an installed package.

Each comes with the question that a person would ask for it. The invariant: a module's text with
functions taken out (`skeleton`) and put back (`with_function`) is the author's text again, byte for
byte. A function for which that does not hold, also for an answer that starts at the left margin, is
not offered.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qi_learn.code_text import reindent
from qi_learn.errors import NotFound

MIN_LINES, MAX_LINES = 3, 25
MAX_CHARACTERS = 560
"""About 160 tokens of Python."""
SKIPPED_DIRECTORIES = {"tests", "test", "_vendor", "vendor", "__pycache__"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class DemoFunction:
    """A function or method as its author wrote it.

    `source` is lines `start` to `end` (from 1, both included) of the file.
    """

    module: str
    file: str
    """Path from the directory that holds the package: `rich/table.py`."""
    name: str
    """Qualified: `Table.add_row`."""
    class_name: str | None
    signature: str
    """Decorators and `def` line, without the colon."""
    summary: str
    """First line of the docstring; empty if there is none."""
    source: str
    start: int
    end: int
    indent: str


@dataclass(frozen=True, slots=True)
class DemoSession:
    """One module as one session of work.

    The functions asked for, in the file's order, and those kept aside to measure with.
    """

    module: str
    asked: tuple[DemoFunction, ...]
    held_out: tuple[DemoFunction, ...]


def package_functions(package: Path, *, max_characters: int = MAX_CHARACTERS) -> list[DemoFunction]:
    """The functions of 3 to 25 lines of a package's directory, by file and line.

    Raises NotFound if there is no Python file.
    """
    files = [
        path
        for path in sorted(package.rglob("*.py"))
        if not SKIPPED_DIRECTORIES & set(path.relative_to(package).parts[:-1])
    ]
    if not files:
        raise NotFound(
            f"There is no Python file below {package}.",
            "Give the directory of an installed package or of a repository.",
        )
    functions: list[DemoFunction] = []
    for path in files:
        text = path.read_bytes().decode("utf-8", "replace")
        file = path.relative_to(package.parent).as_posix()
        functions += functions_in(text, file, max_characters=max_characters)
    return functions


def functions_in(
    text: str, file: str, *, max_characters: int = MAX_CHARACTERS
) -> list[DemoFunction]:
    """The functions of one file that the demonstration can use; none if it does not parse."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return []
    if "\r" in text or "\f" in text:
        return []  # line numbers would not be ours
    lines = _lines(text)
    nodes = list(_definitions(tree))
    times = Counter(name for name, _, _ in nodes)
    once = (
        _function(node, name, holder, file, lines)
        for name, holder, node in nodes
        if times[name] == 1
    )
    return [function for function in once if _fits(function, max_characters)]


def names_in(text: str) -> set[str]:
    """Qualified names of all functions of a file's text; empty if it does not parse."""
    try:
        return {name for name, _, _ in _definitions(ast.parse(text))}
    except (SyntaxError, ValueError, RecursionError):
        return set()


def _lines(text: str) -> list[str]:
    """Lines as Python counts them: only a line feed ends one."""
    return [line + "\n" for line in text.split("\n")[:-1]] + (
        [last] if (last := text.rsplit("\n", 1)[-1]) else []
    )


def _definitions(tree: ast.Module) -> Iterator[tuple[str, str | None, Function]]:
    """(qualified name, class or None, node) of the functions of the module and of its classes.

    Nested functions belong to theirs.
    """
    for node in tree.body:
        if isinstance(node, Function):
            yield node.name, None, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, Function):
                    yield f"{node.name}.{inner.name}", node.name, inner


def _span(node: Function) -> tuple[int, int]:
    return min(
        [node.lineno, *(d.lineno for d in node.decorator_list)]
    ), node.end_lineno or node.lineno


def _function(
    node: Function, name: str, holder: str | None, file: str, lines: Sequence[str]
) -> DemoFunction:
    start, end = _span(node)
    source = "".join(lines[start - 1 : end])
    indent = source[: len(source) - len(source.lstrip(" \t"))]
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    summary = (ast.get_docstring(node) or "").split("\n", 1)[0].strip()
    return DemoFunction(
        module, file, name, holder, _signature(node), summary, source, start, end, indent
    )


def _signature(node: Function) -> str:
    word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    decorators = "".join(f"@{ast.unparse(d)}\n" for d in node.decorator_list)
    return f"{decorators}{word} {node.name}({ast.unparse(node.args)}){returns}"


def _fits(function: DemoFunction, max_characters: int) -> bool:
    """Whether a function has the right size, is alone on its lines, and comes back exactly.

    Exactly also if an answer at the left margin takes its place.
    """
    size = function.end - function.start + 1
    return (
        MIN_LINES <= size <= MAX_LINES
        and len(function.source) <= max_characters
        and function.source.endswith("\n")
        and function.source.lstrip().startswith(("def ", "async def ", "@"))
        and reindent(written(function), function.indent) == function.source
    )


def written(function: DemoFunction) -> str:
    """The author's function at the left margin, as an answer has it."""
    return reindent(function.source, "")


def prompt_for(function: DemoFunction) -> str:
    """A person's question for it, with what the file already says about it."""
    owner = f" in the class {function.class_name}" if function.class_name else ""
    purpose = f"\n{function.summary}\n" if function.summary else "\n"
    kind = "method" if function.class_name else "function"
    asked = f"Answer with the {kind} in one Python code block, no explanation."
    return (
        f"File {function.file}: write this {kind}{owner}.\n\n{function.signature}:\n{purpose}\n"
        f"{asked}"
    )


def sessions(
    functions: Sequence[DemoFunction], *, asked: int = 16, held_out: int = 8, minimum: int = 3
) -> list[DemoSession]:
    """One session for each module with at least `minimum` functions, in the order of the modules.

    Of a module every third function is held out (at most `held_out`), spread over the file, and at
    most `asked` of the others are asked for, those with a docstring first, in the file's order.
    """
    modules: dict[str, list[DemoFunction]] = {}
    for function in functions:
        modules.setdefault(function.module, []).append(function)
    return [
        _session(module, own, asked, held_out)
        for module, own in modules.items()
        if len(own) >= minimum
    ]


def _session(module: str, functions: list[DemoFunction], asked: int, held_out: int) -> DemoSession:
    preferred = sorted(functions, key=lambda f: (not f.summary, f.start))[: asked + held_out]
    ordered = sorted(preferred, key=lambda f: f.start)
    aside = ordered[1::3][:held_out]
    return DemoSession(module, tuple(f for f in ordered if f not in aside)[:asked], tuple(aside))


def deal(work: Sequence[DemoSession], sets: int = 2) -> list[list[DemoSession]]:
    """The sessions in `sets` groups of disjoint modules, each in the order given.

    The groups have nearly equal numbers of functions asked for.
    """
    groups: list[list[int]] = [[] for _ in range(sets)]
    for index in sorted(range(len(work)), key=lambda i: (-len(work[i].asked), i)):
        min(groups, key=lambda g: sum(len(work[i].asked) for i in g)).append(index)
    return [[work[i] for i in sorted(group)] for group in groups]


def skeleton(source: str, functions: Sequence[DemoFunction]) -> str:
    """The module's text with these functions taken out.

    A line `...  # Name` (valid Python everywhere) marks the place of each.
    """
    lines = _lines(source)
    for function in sorted(functions, key=lambda f: f.start, reverse=True):
        lines[function.start - 1 : function.end] = [f"{function.indent}{_mark(function)}\n"]
    return "".join(lines)


def _mark(function: DemoFunction) -> str:
    return f"...  # {function.name}"


def with_function(text: str, function: DemoFunction, code: str) -> str:
    """The module's text with `code`, moved to the function's indentation, in its place.

    That is the mark's, or the function's own if it is there already. Raises NotFound if the text
    has neither.
    """
    lines = _lines(text)
    marks = [i for i, line in enumerate(lines) if line.strip() == _mark(function)]
    start, end = (marks[0], marks[0] + 1) if marks else _lines_of(text, function)
    lines[start:end] = [reindent(code.strip("\n"), function.indent) + "\n"]
    return "".join(lines)


def _lines_of(text: str, function: DemoFunction) -> tuple[int, int]:
    try:
        nodes = {name: node for name, _, node in _definitions(ast.parse(text))}
    except (SyntaxError, ValueError, RecursionError):
        nodes = {}
    if function.name not in nodes:
        raise NotFound(
            f"{function.file} has no place for {function.name}.",
            "Start from the module's skeleton.",
        )
    start, end = _span(nodes[function.name])
    return start - 1, end
