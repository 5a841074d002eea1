"""The table of command kinds, and the shells' hooks that are written from it: both tell the same
kind, for every form of the table.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.capture.command_kind import FORMS, WRAPPERS, kind_of
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
    zsh.write_text(zsh.read_text("utf-8").replace("vercel '11'", ""), "utf-8")
    assert main(["--check"]) == 1
    assert capsys.readouterr().out.startswith("hooks/qi-learn.zsh is not")
    assert main([]) == 0
    assert main(["--check"]) == 0


def test_bash_knows_the_usual_kind_of_a_plain_line(tmp_path: Path) -> None:
    """What it tells of a line of plain words without a look at the forms is what the table says."""
    if shutil.which("bash") is None:
        pytest.skip("NOT TESTED: bash is not installed here")
    asked = [line for line in dict.fromkeys(lines()) if line]
    (tmp_path / "lines").write_text("".join(f"{line}\n" for line in asked), "utf-8")
    script = f""". {path_of("bash")}; while IFS= read -r x; do
        word=${{x%% *}} kind=${{_qi_learn_usual[${{x%% *}}]-}}
        [[ $x == ${{_qi_learn_rare[$word]-}} ]] && kind=
        echo "${{kind:-none}}"; done <{tmp_path}/lines"""
    done = subprocess.run(
        ["bash", *INTERACTIVE["bash"], "-c", script],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    told = list(zip(asked, done.stdout.split(), strict=True))
    assert [(x, kind) for x, kind in told if kind not in ("none", kind_of(x.split()))] == []
    assert {x for x, kind in told if kind != "none"} >= {"pytest", "make", "mypy", "pytest -x a.b"}


_EACH = 'while IFS= read -r x; do REPLY=none; _qi_learn_kind "$x"; echo "$REPLY"; done <FILE'
EACH = {
    "bash": _EACH,
    "zsh": _EACH,
    "fish": "while read -l x; _qi_learn_kind $x; and echo $_qi_learn_reply; or echo none; end"
    " <FILE",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_hooks_tell_the_same_kind_for_every_form(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"NOT TESTED: {shell} is not installed here")
    asked = list(dict.fromkeys(lines()))
    assert len(asked) > 1000
    (tmp_path / "lines").write_text("".join(f"{line}\n" for line in asked), "utf-8")
    script = f". {path_of(shell)}; {EACH[shell]}".replace("FILE", f"{tmp_path}/lines")
    done = subprocess.run(
        [shell, *INTERACTIVE[shell], "-c", script],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    told = [kind if kind != "none" else "other" for kind in done.stdout.split()]
    assert len(told) == len(asked), done.stderr
    differing = [
        (line, kind, kind_of(line.split()))
        for line, kind in zip(asked, told, strict=True)
        if kind != kind_of(line.split())
    ]
    assert differing == []
