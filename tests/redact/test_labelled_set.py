"""Recall and precision on the labelled set; the part kept aside was not seen by who wrote rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_learn.redact import Redactor, find_secrets
from tests.support.secret_vectors import (
    Judged,
    Vector,
    files,
    judge,
    judge_files,
    remains,
    vectors,
)

REDACTOR = Redactor(b"k" * 32)  # our own rules alone
VECTORS = vectors()
LEAST = 0.97


def figures(judged: Judged) -> str:
    lines = [f"missed {v.family}: {v.text!r}" for v, _ in judged.missed]
    return "\n".join(lines + [f"wrong {v.family}: {v.text!r} -> {o!r}" for v, o in judged.wrong])


def test_the_set_has_400_of_each_and_no_text_twice() -> None:
    assert sum(bool(v.secrets) for v in VECTORS) >= 400
    assert sum(not v.secrets for v in VECTORS) >= 400
    assert len({v.text for v in VECTORS}) == len(VECTORS)
    for labelled in (True, False):
        part = [v for v in VECTORS if v.aside and bool(v.secrets) == labelled]
        assert len(part) >= 100
        assert len({v.family for v in part}) >= 10


@pytest.mark.parametrize("aside", [True, False], ids=["aside", "seen"])
def test_recall_and_precision(aside: bool) -> None:
    judged = judge((v for v in VECTORS if v.aside == aside), REDACTOR.text)
    assert judged.recall >= LEAST, figures(judged)
    assert judged.precision >= LEAST, figures(judged)


def test_recall_and_precision_on_whole_files() -> None:
    """Lines and secrets of files that were kept aside, too."""
    judged = judge_files(files(), REDACTOR.text)
    assert judged.found + len(judged.missed) >= 200
    assert judged.recall >= LEAST
    assert judged.precision >= LEAST


def test_the_judge_can_find_fault() -> None:
    vector = Vector("f", "key = abcdefgh, other", ("abcdefgh",))
    assert judge([vector], lambda text: text).missed
    assert judge([vector], lambda _: "key = [REDACTED:assigned:0000]efgh, other").missed
    assert judge([vector], lambda _: "[REDACTED:assigned:0000]").recall == 1
    assert judge([Vector("f", "nothing", ())], lambda _: "[REDACTED:assigned:0000]").wrong
    line = Vector("f", "a = abcdefgh\nb = plain", ("abcdefgh",))
    assert judge_files([line], lambda _: "[REDACTED:assigned:0000]").wrong
    assert remains("abcdefgh", "xx efgh")
    assert not remains("abcdefgh", "xx fgh")


@pytest.mark.parametrize("frame", ["{}", "{}\n", "é {} ü", "```\n{}\n```", "İstanbul\n{}", "\t{}"])
def test_what_is_found_is_found_in_any_text(frame: str) -> None:
    judged = judge(
        (
            Vector(v.family, frame.format(v.text), v.secrets)
            for v in VECTORS
            if v.secrets and "netrc" not in v.family and not v.aside
        ),
        REDACTOR.text,
    )
    assert judged.recall >= LEAST, figures(judged)


def test_redacting_twice_changes_nothing_more_and_no_placeholder() -> None:
    for vector in [*VECTORS, *files()]:
        once = REDACTOR.text(vector.text)
        assert REDACTOR.text(once) == once
        assert find_secrets(once) == ()


@given(st.lists(st.sampled_from([v.text for v in VECTORS]), min_size=2, max_size=5), st.booleans())
def test_texts_put_together_hide_as_much(texts: list[str], close: bool) -> None:
    whole = REDACTOR.text(("\n" if close else "\n\n").join(texts))
    assert REDACTOR.text(whole) == whole
    for vector in VECTORS:
        if vector.text in texts and vector.secrets and vector.family.startswith("services"):
            for secret in vector.secrets:
                if remains(secret, whole):
                    assert remains(secret, REDACTOR.text(vector.text))


def test_a_json_value_is_judged_by_its_key() -> None:
    rows = {
        "env": [{"name": "API_KEY", "value": "aB3dE5fG7hJ9kL1mN3pQ5rS7"}],
        "password": "aB3$dE5fG7(hJ9",
        "tokenizer": "Qwen/Qwen2.5-Coder-7B-Instruct",
        "page_token": "aB3dE5fG7hJ9kL1mN3pQ5rS7",
        "names": [{"name": "region", "value": "eu-west-1"}],
    }
    out = REDACTOR.value(rows)
    assert out["env"][0]["value"].startswith("[REDACTED:assigned:")
    assert out["env"][0]["name"] == "API_KEY"
    assert out["password"].startswith("[REDACTED:assigned:")
    assert {k: out[k] for k in ("tokenizer", "page_token", "names")} == {
        k: rows[k] for k in ("tokenizer", "page_token", "names")
    }
