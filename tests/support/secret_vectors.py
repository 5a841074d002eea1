"""The labelled set: secrets and harmless texts in their contexts, and how one is judged."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.secret_values import is_filler, value

CONTEXTS = Path(__file__).parent.parent / "redact" / "contexts"
REPETITIONS = 2
SLOT = re.compile("«(.*?)»|‹(.*?)›")
"""«a secret of this kind», and ‹a value that is none›."""
PLACEHOLDER = re.compile(r"\[REDACTED:[a-z0-9-]+:[0-9a-f]{4}\]")
OVERREACH = 16
"""So many characters beside a secret may go with it, such as the quotes of a key cut into lines or
the `django-insecure-` before one; one more is a false alarm.
"""


@dataclass(frozen=True, slots=True)
class Vector:
    """A text with the secrets in it; none if it is harmless."""

    family: str
    text: str
    secrets: tuple[str, ...]

    @property
    def aside(self) -> bool:
        """Whether its family was kept aside when the rules were written: by hash, once for all."""
        return hashlib.sha256(self.family.encode()).digest()[0] % 2 == 1


@dataclass(frozen=True, slots=True)
class Judged:
    """Vectors counted: secrets found and missed, texts or words that had to stay and went."""

    found: int
    missed: tuple[tuple[Vector, str], ...]
    wrong: tuple[tuple[Vector, str], ...]

    @property
    def recall(self) -> float:
        return self.found / (self.found + len(self.missed))

    @property
    def precision(self) -> float:
        return self.found / (self.found + len(self.wrong))


def vectors() -> list[Vector]:
    """The whole set, the same every time."""
    return [*_read("secret", labelled=True), *_read("harmless", labelled=False)]


def files() -> list[Vector]:
    """Whole files and sessions, each with many secrets among many lines that have none."""
    return list(_read("files", labelled=True))


def judge_files(files: Iterable[Vector], redact: Callable[[str], str]) -> Judged:
    """As `judge`, but each secret counts, and each line without one that is not left as it was."""
    found, missed, wrong = 0, [], []
    for file in files:
        out = redact(file.text)
        left = set(out.splitlines())
        gone = [secret for secret in file.secrets if not remains(secret, out)]
        found += len(gone)
        missed += [(file, secret) for secret in file.secrets if secret not in gone]
        pieces = {line for secret in file.secrets for line in secret.splitlines()}
        wrong += [
            (file, line)
            for line in file.text.splitlines()
            if not any(piece in line for piece in pieces) and line not in left
        ]
    return Judged(found, tuple(missed), tuple(wrong))


def judge(vectors: Iterable[Vector], redact: Callable[[str], str]) -> Judged:
    found, missed, wrong = 0, [], []
    for vector in vectors:
        out = redact(vector.text)
        if vector.secrets:
            if any(remains(secret, out) for secret in vector.secrets):
                missed.append((vector, out))
            else:
                found += 1
        if _gone_beside(vector, out) > (OVERREACH if vector.secrets else 0):
            wrong.append((vector, out))
    return Judged(found, tuple(missed), tuple(wrong))


def remains(secret: str, out: str) -> bool:
    """Whether half of a line of the secret can still be read."""
    for line in re.split(r"\n|\\n", secret):
        half = max(len(line.strip()) // 2, 4)
        if len(line.strip()) > half and any(
            line[at : at + half] in out for at in range(len(line) - half + 1)
        ):
            return True
    return False


def _gone_beside(vector: Vector, out: str) -> int:
    kept = len(PLACEHOLDER.sub("", out))
    if vector.secrets:
        return len(vector.text) - sum(map(len, vector.secrets)) - kept
    return len(vector.text) - kept if out != vector.text else 0


def _read(name: str, *, labelled: bool) -> Iterator[Vector]:
    seen = set()
    lines = (CONTEXTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    for family, context, number in _contexts(lines):
        for repetition in range(REPETITIONS):
            rng = random.Random(f"{family}/{number}/{repetition}")
            vector = _filled(family, context, rng, labelled=labelled)
            if vector.text not in seen:
                seen.add(vector.text)
                yield vector


def _contexts(lines: list[str]) -> Iterator[tuple[str, str, int]]:
    family, context, number = "", list[str](), 0
    for line in [*lines, "--"]:
        if line == "--" or line.startswith("== "):
            if family and context:
                yield family, "\n".join(context), number
            context, number = [], number + 1
            family = line[3:] if line.startswith("== ") else family
        elif family:
            context.append(line)


def _filled(family: str, context: str, rng: random.Random, *, labelled: bool) -> Vector:
    secrets = []

    def fill(slot: re.Match[str]) -> str:
        made = value(slot[1] or slot[2], rng)
        if labelled and slot[1] and not is_filler(slot[1]):
            secrets.append(made)
        return made

    text = SLOT.sub(fill, context)
    assert secrets or not labelled, f"no secret in a context of {family}"
    return Vector(family, text, tuple(secrets))
