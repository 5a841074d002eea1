"""Secrets that a candidate generates: the prompts that invite them, what is found, and how that is
told from what the base would make up too.
"""

from __future__ import annotations

import hashlib
import math
import string
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from qi_learn.gate.leaks import (
    SEEN,
    GeneratedText,
    answer_texts,
    complete_prompts,
    completion_texts,
    find_leaks,
    secret_prompts,
)
from qi_learn.gate.limits import LEARNED
from qi_learn.outside.llama_cpp import Vocabulary, load_vocabulary
from qi_learn.outside.llama_cpp_nll import score_sequences
from qi_learn.outside.ollama import Ollama
from qi_learn.records import Behaviour, Example, Leak
from qi_learn.redact import find_secrets, has_placeholder, load_redactor, load_seen
from tests.support import fake_models_server as fake
from tests.support.gate_models import check, model, verdict_on
from tests.support.tiny_models import write_tiny_model

TOKEN = "ghp_" + "".join(Random(3).choices(string.ascii_letters + string.digits, k=36))
LITERAL = "".join(Random(4).choices(string.ascii_letters + string.digits, k=24))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("models")
    candidate = write_tiny_model(directory / "candidate.gguf", seed=1)
    return candidate, write_tiny_model(directory / "base.gguf", seed=2)


@pytest.fixture(scope="module")
def vocabulary(files: tuple[Path, Path]) -> Iterator[Vocabulary]:
    with load_vocabulary(files[0]) as loaded:
        yield loaded


def leaks_in(*given: Any, **more: Any) -> tuple[Leak, ...]:
    return find_leaks(*given, **more).leaks


def test_the_prompts_are_seeded_and_hold_no_secret_themselves() -> None:
    prompts = secret_prompts(7)
    assert prompts == secret_prompts(7) != secret_prompts(8)
    assert len(set(prompts)) == len(prompts) == 16
    assert sum(has_placeholder(p) for p in prompts) == 8
    assert all(find_secrets(p) == () for seed in range(50) for p in secret_prompts(seed))


def test_a_secret_is_scored_where_it_stands(
    files: tuple[Path, Path], vocabulary: Vocabulary
) -> None:
    """Against the same sums done apart: the tokens before it as read, and its own as far as the
    model generated them.
    """
    prompt = 'API_KEY = "'
    completed = GeneratedText(
        "here", tuple(vocabulary.prompt_ids(prompt)), prompt, f'{LITERAL}"\nuse(API_KEY)\n'
    )
    answered = GeneratedText("there", tuple(vocabulary.prompt_ids("q")), "", f"Take {TOKEN}.")

    def ids(text: str) -> list[int]:
        return vocabulary.tokenize(text, add_special=False, parse_special=False)

    rows = [
        (vocabulary.prompt_ids(prompt), ids(LITERAL)),
        (vocabulary.prompt_ids("q") + ids("Take "), ids(TOKEN)),
    ]
    ours, its = (
        [
            s.nll
            for s in score_sequences(path, [(p, t, [False] * len(t)) for p, t in rows], context=256)
        ]
        for path in files
    )
    leaks = leaks_in([completed, answered], *files, vocabulary, context=256)
    assert [(leak.kind, leak.where) for leak in leaks] == [
        ("assigned", "here"),
        ("github-token", "there"),
    ]
    assert [leak.learned for leak in leaks] == pytest.approx(
        [b - a for a, b in zip(ours, its, strict=True)], abs=1e-3
    )
    assert TOKEN not in repr(leaks)
    assert LITERAL not in repr(leaks)


def test_a_known_shape_that_the_prompt_begins_is_found(
    files: tuple[Path, Path], vocabulary: Vocabulary
) -> None:
    begun = GeneratedText("here", tuple(vocabulary.prompt_ids(TOKEN[:9])), TOKEN[:9], TOKEN[9:])
    (leak,) = leaks_in([begun], *files, vocabulary, context=256)
    assert leak.kind == "github-token"


def test_a_secret_of_the_prompt_is_not_the_answers(
    files: tuple[Path, Path], vocabulary: Vocabulary
) -> None:
    before = f"key {TOKEN} is mine. "
    assert (
        leaks_in([GeneratedText("here", (1,), before, "Yes.")], *files, vocabulary, context=256)
        == ()
    )
    assert (
        len(
            leaks_in(
                [GeneratedText("here", (1,), before, f"It is {TOKEN}!")],
                *files,
                vocabulary,
                context=256,
            )
        )
        == 1
    )


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ("the key of the user is the name of the user, and the name is the key\n", 0),
        (f"MIIEpAIBAAKCAQEA{LITERAL}{LITERAL}\n", 1),
    ],
)
def test_prose_behind_the_head_of_a_private_key_is_no_key(
    answer: str, count: int, files: tuple[Path, Path], vocabulary: Vocabulary
) -> None:
    prompt = "-----BEGIN RSA PRIVATE KEY-----\n"
    assert len(find_secrets(prompt + answer)) == count
    assert (
        len(
            leaks_in([GeneratedText("here", (1,), prompt, answer)], *files, vocabulary, context=256)
        )
        == count
    )


def test_a_long_prompt_loses_its_beginning(
    files: tuple[Path, Path], vocabulary: Vocabulary
) -> None:
    long = GeneratedText("here", (1,) * 500, "", f"It is {TOKEN}!")
    assert len(leaks_in([long], *files, vocabulary, context=256)) == 1


def test_what_weighing_takes_is_counted_and_no_more_than_is_allowed(
    files: tuple[Path, Path], vocabulary: Vocabulary
) -> None:
    """Behind shorter prompts first; what is then not weighed counts as learned."""
    long = [GeneratedText("here", (n,) * 400, "", f"It is {TOKEN}!") for n in range(1, 5)]
    whole = find_leaks(long, *files, vocabulary, context=512)
    assert whole.tokens > 2 * 4 * 400
    assert whole.seconds > 0
    less = find_leaks(long, *files, vocabulary, context=512, tokens=2000)
    assert len(less.leaks) == 4
    assert all(math.isfinite(leak.learned) for leak in less.leaks)
    assert 1000 < less.tokens <= 2000
    few = find_leaks(long, *files, vocabulary, context=512, tokens=300)
    assert 0 < few.tokens <= 300
    unweighed = [leak for leak in few.leaks if leak.learned == math.inf]
    assert 0 < len(unweighed) < 4
    assert all("weighed" in leak.where for leak in unweighed)
    refused = check(verdict_on(model(gate=1.8), leaks=few.leaks), "secrets")
    assert not refused.passed


def test_a_secret_that_is_said_twice_in_one_place_is_weighed_once(
    files: tuple[Path, Path], vocabulary: Vocabulary
) -> None:
    said = GeneratedText("here", (1,) * 20, "", f"It is {TOKEN}!")
    once, twice = (find_leaks([said] * n, *files, vocabulary, context=512) for n in (1, 2))
    assert (twice.leaks, twice.tokens) == (once.leaks, once.tokens)


def test_if_nothing_is_found_no_file_is_opened(tmp_path: Path, vocabulary: Vocabulary) -> None:
    absent = tmp_path / "none.gguf"
    assert (
        leaks_in(
            [GeneratedText("here", (1,), 'password = "', 'changeme"')],
            absent,
            absent,
            vocabulary,
            context=256,
        )
        == ()
    )


def test_a_model_that_completes_with_secrets_is_caught(
    tmp_path: Path, files: tuple[Path, Path], vocabulary: Vocabulary
) -> None:
    prompts = secret_prompts(1)
    answers = {p: f'{LITERAL}"\n' for p in prompts if p.endswith('= "')}
    content = fake.gguf(say=answers)
    (tmp_path / "m.gguf").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    with fake.FakeModels(tmp_path / "store") as models, Ollama(models.url) as server:
        server.upload_blob(tmp_path / "m.gguf", digest)
        server.create("m:1", files={"m.gguf": digest})
        completions = complete_prompts(server, "m:1", prompts)
    texts = completion_texts(prompts, completions, vocabulary)
    assert [t.answer for t in texts] == [answers.get(p, "") for p in prompts]
    leaks = leaks_in(texts, *files, vocabulary, context=512)
    assert len(leaks) == len(answers) > 0
    assert {(leak.kind, leak.where) for leak in leaks} == {
        ("assigned", "a prompt that invites one")
    }
    assert all(isinstance(leak, Leak) for leak in leaks)


def served(tmp_path: Path, prompts: tuple[str, ...], say: str) -> tuple[str, ...]:
    """What a small server's model completes the prompts with."""
    content = fake.gguf(say=say)
    (tmp_path / "m.gguf").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    with fake.FakeModels(tmp_path / "store") as models, Ollama(models.url) as server:
        server.upload_blob(tmp_path / "m.gguf", digest)
        server.create("m:1", files={"m.gguf": digest})
        return complete_prompts(server, "m:1", prompts)


def test_a_secret_that_was_redacted_is_known_again_and_refused(
    tmp_path: Path, files: tuple[Path, Path], vocabulary: Vocabulary
) -> None:
    """No rule tells it by its shape: only its keyed hash does."""
    key = tmp_path / "redaction.key"
    say = f"Sure, it is {LITERAL}, as always."
    assert find_secrets(say) == ()
    prompts = ("Which one is it?",)
    texts = completion_texts(prompts, served(tmp_path, prompts, say), vocabulary)
    assert leaks_in(texts, *files, vocabulary, context=256, seen=load_seen(key)) == ()
    load_redactor(key).text(f'password = "{LITERAL}"')
    leaks = leaks_in(texts, *files, vocabulary, context=256, seen=load_seen(key))
    assert [(leak.kind, leak.where) for leak in leaks] == [(SEEN, "a prompt that invites one")]
    assert leaks[0].learned > LEARNED
    assert LITERAL not in repr(leaks)
    verdict = verdict_on(model(gate=1.8), leaks=leaks)
    assert not verdict.ships
    assert any("gives away" in reason and SEEN in reason for reason in verdict.reasons)


def test_how_hard_the_base_would_find_it_decides(
    tmp_path: Path, files: tuple[Path, Path], vocabulary: Vocabulary
) -> None:
    """A short word that any model may say is no leak; the candidate's own likelihood is no matter:
    it has said it.
    """
    key = tmp_path / "redaction.key"
    load_redactor(key).text(f'password = "{LITERAL}"')
    prompt = vocabulary.prompt_ids("q")
    text = GeneratedText("here", tuple(prompt), "", LITERAL)
    own = vocabulary.tokenize(LITERAL, add_special=False, parse_special=False)
    for base in files:
        (score,) = score_sequences(base, [(prompt, own, [False] * len(own))], context=256)
        (leak,) = leaks_in([text], files[0], base, vocabulary, context=256, seen=load_seen(key))
        assert leak.learned == pytest.approx(score.nll, abs=1e-3)
    assert verdict_on(model(gate=1.8), leaks=(Leak(SEEN, "here", 19.9),)).ships


def test_answers_are_looked_through_with_the_prompt_they_had() -> None:
    asked = [Example(f"t{i}", f"h{i}", "p", "t", (1, i), (2,), (True,)) for i in range(3)]
    behaviour = Behaviour(("t2", "t0"), (1.0, 1.0), (True, True), ("two", "none"), 1.0)
    assert [(s.prompt_ids, s.answer) for s in answer_texts(asked, behaviour)] == [
        ((1, 2), "two"),
        ((1, 0), "none"),
    ]
