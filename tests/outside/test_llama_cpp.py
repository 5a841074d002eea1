"""llama.cpp through qi-learn: tokens, likelihoods against transformers, errors that say why."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers

from qi_learn.errors import ModelError, UnsupportedArchitecture
from qi_learn.outside.llama_cpp import BATCH_TOKENS, Model, load_vocabulary
from qi_learn.outside.llama_cpp_nll import score_sequences
from tests.support.tiny_models import CHATML, write_tiny_model

Sequence = tuple[list[int], list[int], list[bool]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "m.gguf", fim=True)


def _random_sequences(count: int, longest: int, *, seed: int = 0) -> list[Sequence]:
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        prompt, target = rng.randint(1, longest // 2), rng.randint(1, longest // 2)
        made.append(
            (
                [rng.randrange(380) for _ in range(prompt)],
                [rng.randrange(380) for _ in range(target)],
                [rng.random() < 0.5 for _ in range(target)],
            )
        )
    return made


def _reference(path: Path, sequence: Sequence) -> tuple[float, float]:
    """The NLL of a target and of its code by transformers in float32, softmax in float64."""
    reference = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    )
    prompt, target, code = sequence
    with torch.no_grad():
        likelihood = torch.log_softmax(
            reference(torch.tensor([prompt + target])).logits[0].double(), -1
        )
    each = [-float(likelihood[len(prompt) + i - 1, token]) for i, token in enumerate(target)]
    return sum(each), sum(n for n, is_code in zip(each, code, strict=True) if is_code)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_likelihoods_are_those_of_transformers(tmp_path: Path, architecture: str) -> None:
    path = write_tiny_model(tmp_path / "m.gguf", architecture, seed=3)  # type: ignore[arg-type]
    sequences = _random_sequences(5, 300, seed=1)
    for sequence, score in zip(
        sequences, score_sequences(path, sequences, context=512, threads=1), strict=True
    ):
        nll, code = _reference(path, sequence)
        assert score.tokens == len(sequence[1])
        assert score.code_tokens == sum(sequence[2])
        assert score.nll / score.tokens == pytest.approx(
            nll / score.tokens, abs=2e-3
        )  # llama.cpp keeps keys and values in 16 bits
        assert score.code_nll == pytest.approx(code, abs=2e-3 * max(1, score.code_tokens))


def test_company_does_not_change_a_likelihood(model: Path) -> None:
    """Sequences share evaluations but not memory: alone or among others, short or longer than a
    batch.
    """
    sequences = [*_random_sequences(12, 200), *_random_sequences(2, 4 * BATCH_TOKENS, seed=5)]
    assert max(len(p) + len(t) for p, t, _ in sequences) > BATCH_TOKENS
    together = score_sequences(model, sequences, context=2048, threads=1)
    alone = [score_sequences(model, [s], context=2048, threads=1)[0] for s in sequences]
    for a, b in zip(together, alone, strict=True):
        assert a.nll == pytest.approx(b.nll, rel=1e-4)
        assert (a.tokens, a.code_tokens) == (b.tokens, b.code_tokens)


def test_sharing_order_and_repetition_give_the_same_numbers(model: Path) -> None:
    sequences = _random_sequences(6, 100)
    once = score_sequences(model, sequences, context=512, threads=1)
    assert score_sequences(model, sequences, context=512, threads=1) == once


def test_a_vocabulary_with_many_outputs_is_cut_into_parts(model: Path) -> None:
    """If the logits of a whole batch would not fit, several evaluations give the same answer."""
    from qi_learn.outside import llama_cpp_nll

    sequences = _random_sequences(4, 200)
    whole = score_sequences(model, sequences, context=1024, threads=1)
    rows = [llama_cpp_nll._Row(*s) for s in sequences]
    with Model(model, context=1024, sequences=4, threads=1) as loaded:
        loaded.outputs = 7
        llama_cpp_nll._score_group(loaded, rows)
    for row, score in zip(rows, whole, strict=True):
        assert row.result().nll == pytest.approx(score.nll, rel=1e-4)


def test_an_empty_prompt_leaves_the_first_token_out(model: Path) -> None:
    ids = list(range(40, 60))
    (bare,) = score_sequences(model, [([], ids, [True] * 20)], context=64, threads=1)
    (led,) = score_sequences(model, [(ids[:1], ids[1:], [True] * 19)], context=64, threads=1)
    assert (bare.tokens, bare.code_tokens) == (19, 19)
    assert bare == led


def test_nothing_to_score(model: Path) -> None:
    assert score_sequences(model, [], context=64) == []
    (empty,) = score_sequences(model, [([1, 2], [], [])], context=64, threads=1)
    assert (empty.nll, empty.tokens) == (0.0, 0)


def test_too_long_and_unknown_ids_are_refused(model: Path) -> None:
    with pytest.raises(ModelError, match="101 tokens and the context is 64"):
        score_sequences(model, [([1], [2] * 100, [False] * 100)], context=64)
    with pytest.raises(ModelError, match="could not evaluate"):
        score_sequences(model, [([1], [100_000, 3], [False] * 2)], context=64, threads=1)
    with pytest.raises(ValueError, match="code mask"):
        score_sequences(model, [([1], [2, 3], [False])], context=64, threads=1)


def test_not_a_number_is_seen(tmp_path: Path) -> None:
    import gguf
    import numpy as np

    path = write_tiny_model(tmp_path / "m.gguf")
    reader = gguf.GGUFReader(path, "r+")
    next(t for t in reader.tensors if t.name == "output_norm.weight").data[:] = np.nan
    reader.data.flush()
    (score,) = score_sequences(path, [([1, 2], [3, 4], [True, True])], context=64, threads=1)
    assert math.isnan(score.nll)


def test_tokens(model: Path) -> None:
    text = "def größer(a):\n    return '≤ 🐍'\n"
    with load_vocabulary(model) as vocabulary:
        ids = vocabulary.tokenize(text, add_special=False, parse_special=True)
        assert b"".join(vocabulary.pieces(ids)).decode() == text
        assert vocabulary.tokenize("<|im_end|>", add_special=False, parse_special=True) == [2]
        assert len(vocabulary.tokenize("<|im_end|>", add_special=False, parse_special=False)) > 2
        assert vocabulary.piece(2, special=False) == b""
        assert (vocabulary.end_of_turn(), vocabulary.eos, vocabulary.adds_bos) == (2, 2, False)
        assert vocabulary.fim() == (3, 4, 5)
        assert vocabulary.chat_template == CHATML
        assert vocabulary.ends_generation(2)
        assert vocabulary.is_control(1)
        assert not vocabulary.is_control(50)


def test_bos_is_added_once(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "m.gguf", add_bos=True)
    with load_vocabulary(path) as vocabulary:
        assert vocabulary.adds_bos
        plain = vocabulary.prompt_ids("if x")
        assert plain[0] == vocabulary.bos
        assert plain.count(vocabulary.bos) == 1
        assert vocabulary.prompt_ids("<|endoftext|>if x") == plain


def test_the_end_of_turn_is_what_the_template_writes(tmp_path: Path) -> None:
    """Without a template the model's own end token. llama.cpp could guess <|endoftext|>."""
    path = write_tiny_model(tmp_path / "m.gguf", template=None)
    with load_vocabulary(path) as vocabulary:
        assert vocabulary.end_of_turn() == vocabulary.eos == 2
        assert vocabulary.fim() is None


def test_errors_name_the_cause(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model file"):
        load_vocabulary(tmp_path / "absent.gguf")
    garbage = tmp_path / "garbage.gguf"
    garbage.write_bytes(b"not a gguf at all")
    with pytest.raises(ModelError, match=r"cannot load garbage\.gguf: ."):
        load_vocabulary(garbage)
    odd = write_tiny_model(tmp_path / "odd.gguf", "warpdrive")  # type: ignore[arg-type]
    with pytest.raises(UnsupportedArchitecture, match="'warpdrive'"):
        load_vocabulary(odd)
    cut = tmp_path / "cut.gguf"
    whole = write_tiny_model(tmp_path / "whole.gguf").read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"cannot load cut\.gguf"):
        Model(cut, context=64)


def test_the_library_is_quiet(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    score_sequences(model, [([1], [2], [True])], context=64, threads=1)
    with pytest.raises(ModelError):
        load_vocabulary(Path(__file__))
    assert capfd.readouterr() == ("", "")


def test_a_stop_that_comes_while_the_library_is_loaded_stays_a_stop() -> None:
    """The loader turns everything that happens in it into its own error, even a stop signal that
    comes just then.
    """
    script = (
        "import ctypes, sys\n"
        "from qi_learn.errors import Stopped\n"
        "from qi_learn.outside.llama_cpp_library import load_library\n"
        "def loaded(*_, **__): raise Stopped('told to stop')\n"
        "ctypes.CDLL = loaded\n"
        "try: load_library()\n"
        "except Stopped: sys.exit(75)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 75, done.stderr
