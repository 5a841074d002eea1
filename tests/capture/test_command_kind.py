"""The table of command kinds, and the words of the shells' hooks that are written from it: a hook
writes down every line in which the table knows a command.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.capture.command_kind import FORMS, kind_of, listed_kind
from qi_learn.capture.command_words import WRAPPERS
from scripts.hook_patterns import SHELLS, hook, main, path_of

INTERACTIVE = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"], "fish": ["-i"]}
CLASSES = {"[0-9.]": "12.1", "[A-Za-z0-9_]": "staging_2"}
"""A text of each character class that the forms use."""


def examples(form: str) -> list[str]:
    """Every text that a form stands for; one text for a class, two for `.*`."""
    texts, rest = _sequence(form)
    assert rest == "", f"{form}: what follows {rest!r} is not understood here"
    return texts


def _sequence(form: str) -> tuple[list[str], str]:
    """The texts of a form as far as an unopened `)` or a `|`, and what is left of it."""
    parts: list[list[str]] = []
    while form and form[0] not in ")|":
        if form[0] == "(":
            part, form = _group(form[1:])
        elif form[0] == "[":
            end = form.index("]") + 1
            assert form[end] == "+"
            part, form = [CLASSES[form[:end]]], form[end + 1 :]
        elif form.startswith(".*"):
            part, form = ["", "-q a/b "], form[2:]
        else:
            escaped = form[0] == "\\"
            assert escaped or form[0] not in ".+*^$", form
            part, form = [form[escaped]], form[1 + escaped :]
        if form.startswith("?"):
            part, form = ["", *part], form[1:]
        parts.append(part)
    return ["".join(texts) for texts in itertools.product(*parts)], form


def _group(form: str) -> tuple[list[str], str]:
    texts, rest = _sequence(form)
    while rest[0] == "|":
        more, rest = _sequence(rest[1:])
        texts += more
    return texts, rest[1:]


EXAMPLES = {kind: [e for form in forms for e in examples(form)] for kind, forms in FORMS.items()}


def lines() -> Iterator[str]:
    """Every example, alone, with words after it, behind wrappers and interpreters; and what is only
    like it.
    """
    for example in itertools.chain.from_iterable(EXAMPLES.values()):
        yield from (example, f"{example} -x a.b", f"/usr/local/bin/{example}", f"nice {example}")
        yield from (f"{example}x", f"x{example}", f"echo {example}")
    for wrapper in WRAPPERS:
        yield from (f"{wrapper} pytest", f"{wrapper} -n 5 A=b make", wrapper, f"{wrapper}s pytest")
    for python in ("python", "python3", "python3.12", "pypy3", "pythonw.exe", "/x/bin/python"):
        yield from (f"{python} -m mypy a", f"{python} -I -B -m pytest", f"{python} a.py -m pytest")
    yield from ("env A=1 nice -n 5 cargo test", "coverage run -m pytest", "uv run -m pytest")
    yield from ("ls", "git push", "make-it", "python -c pytest", "pythonic -m pytest", "")


def test_each_form_tells_its_kind() -> None:
    """An example may be of an earlier kind; a form with no other example would never be seen."""
    order = list(FORMS)
    for kind, forms in FORMS.items():
        for form in forms:
            kinds = [kind_of(text.split()) for text in examples(form)]
            assert kind in kinds, form
            assert all(order.index(told) <= order.index(kind) for told in kinds), form


def test_the_hooks_are_what_the_table_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out
    for shell in SHELLS:
        assert path_of(shell).read_text("utf-8") == hook(shell)


def test_a_difference_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for shell in SHELLS:
        shutil.copy(path_of(shell), tmp_path)
    monkeypatch.setattr("scripts.hook_patterns.HOOKS", tmp_path)
    zsh = tmp_path / "qi-learn.zsh"
    zsh.write_text(zsh.read_text("utf-8").replace("vercel 1 ", ""), "utf-8")
    assert main(["--check"]) == 1
    assert capsys.readouterr().out.startswith("hooks/qi-learn.zsh is not")
    assert main([]) == 0
    assert main(["--check"]) == 0


LINES = (
    *("A=b pytest", "A=b C=d env E=f make 1", "time -p pytest", "../bin/py.test 3", "sudo make"),
    *("cd web && npm test", "true;pytest", "true|make", "x; uv run -q pytest", "pytest 2>&1|cat"),
    *("g++-12 a.cc && ./a", "python3 -m pytest", "true; python -B -m mypy a", "x\t;\tmake"),
)
"""Lines of several commands, and with something before them, that hold one of ours."""
NOT_OURS = (
    *("ls", "git push", "git status --short", "cd web && ls -l | cat", "echo done; date", ""),
    *("mysql -p secret", "vim makefile", "for i in 1 2; do echo; done", "A=b ls", "sudo ls"),
    *("1password get", "2to3 x", "3d && 7z x", "- x", "* x", "@ x", "'' x"),
)


def test_what_is_typed_is_of_the_kind_of_its_words_behind_assignments() -> None:
    for line in lines():
        kind = listed_kind(line)
        assert (kind or "other") == kind_of(line.split()), line
        assert listed_kind(f"A=b C=d {line}") == kind, line
    assert [listed_kind(line) for line in ("ruff check", "ls", "A=b", "")] == ["other", *[None] * 3]


_FISH = """while read -l x
    if string match -rq -- $_qi_learn_named $x
        set -q _qi_learn_at_$_qi_learn_head; and echo yes; and continue
        set -q _qi_learn_before_$_qi_learn_head; or begin; echo no; continue; end
    end
    string match -qr -- $_qi_learn_any $x; and echo yes; or echo no
end <FILE"""
_BASH = """asked='[[ -z $on || $BASH_COMMAND == @(on=*|eval *) ]] || { _qi_learn_debug; false; }'
shopt -s extdebug # nothing of the lines runs, as the trap fails
trap "$asked" DEBUG
while IFS= read -r x; do
    _qi_learn_armed=1
    on=1
    eval "$x"
    on=
    [[ $_qi_learn_armed == 3 ]] && echo yes || echo no
done <FILE"""
ASKED = {
    "bash": _BASH,
    "zsh": "while IFS= read -r x; do _qi_learn_preexec $x '' $x;"
    " [[ -n $_qi_learn_line ]] && echo yes || echo no; done <FILE",
    "fish": _FISH,
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_hook_writes_down_every_line_that_may_hold_a_command_of_ours(
    shell: str, tmp_path: Path
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"NOT TESTED: {shell} is not installed here")
    ours = [line for line in dict.fromkeys(lines()) if listed_kind(line) is not None]
    assert len(ours) > 500
    asked = [*ours, *LINES, *NOT_OURS]
    (tmp_path / "lines").write_text("".join(f"{line}\n" for line in asked), "utf-8")
    done = subprocess.run(
        [
            *(shell, *INTERACTIVE[shell], "-c"),
            f". {path_of(shell)}; {ASKED[shell]}".replace("FILE", f"{tmp_path}/lines"),
        ],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    told = dict(zip(asked, done.stdout.split(), strict=True))
    assert [line for line in (*ours, *LINES) if told[line] != "yes"] == [], done.stderr
    assert [line for line in NOT_OURS if told[line] != "no"] == []
