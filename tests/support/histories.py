"""Histories of a small package: releases in folders, and the same as a day's work."""

from __future__ import annotations

from pathlib import Path

from qi_learn.bench.day.history import WrittenCode

HEAD = "import ledger\n\n\n"


def function(name: str, amount: int, *, noted: bool = True) -> str:
    note = f"    ledger.note('{name}')\n" if noted else ""
    return f"def {name}(value):\n{note}    total = value + {amount}\n    return total\n"


def written(number: int, *, before: bool = False, session: str = "") -> WrittenCode:
    """The number-th function; `before`: it stood there without its note."""
    name = f"step_{number}"
    return WrittenCode(
        session or f"day {number // 4}",
        1_700_000_000.0 + 86400.0 * (number // 4),
        "steps.py",
        name,
        "python",
        "Note every step",
        function(name, number, noted=False) if before else None,
        function(name, number),
        1,
        HEAD,
        "\n\ndef last():\n    pass\n",
    )


def releases(directory: Path, count: int, each: int = 2) -> Path:
    """So many releases, of which each brings a file of `each` functions, and checks what those of
    the release before return.
    """
    texts: dict[str, str] = {}
    for number in range(count):
        if number:
            last = f"part_{number - 1}.py"
            checked = f"return ledger.checked(total, {number})"
            texts[last] = texts[last].replace("return total", checked)
        texts[f"part_{number}.py"] = HEAD + "\n\n".join(
            function(f"step_{n}", n) for n in range(number * each, (number + 1) * each)
        )
        for file, text in texts.items():
            path = directory / f"small-1.{number}.0" / "small" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return directory
