"""The catalogue as an extra: what it adds, and that its absence is said."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from qi_learn.redact import catalogue_line
from qi_learn.redact.catalogue import MODULE, Catalogue, installed_catalogue
from qi_learn.redact.redactor import Redactor
from tests.support.secret_vectors import judge, vectors

INSTALLED = importlib.util.find_spec(MODULE) is not None
KEY = "A3-" + "-".join(("MX1TF3", "7NUFOY", "6F0DQ", "BOA48", "8800D", "AAIKC"))
"""A shape that our own rules do not know."""


def test_which_rules_are_in_use_is_said() -> None:
    line = catalogue_line()
    assert (installed_catalogue() is not None) == INSTALLED
    assert ("kingfisher-secret-scanner" in line) == INSTALLED
    assert ("own rules alone" in line) != INSTALLED


@pytest.mark.skipif(not INSTALLED, reason="needs the extra `secrets`")
def test_the_catalogue_adds_shapes_and_harms_nothing(tmp_path: Path) -> None:
    own = Redactor(b"k" * 32)
    both = Redactor(b"k" * 32, Catalogue(tmp_path / "rules"))
    text = f"é key {KEY} and ü"
    assert own.text(text) == text
    out = both.text(text)
    assert out.startswith("é key [REDACTED:service-key:")
    assert out.endswith("] and ü")
    assert both.text(out) == out
    aside = [vector for vector in vectors() if vector.aside]
    judged, alone = judge(aside, both.text), judge(aside, own.text)
    assert judged.recall >= alone.recall
    assert judged.precision >= 0.97
