"""llama.cpp through qi-learn: tokens, likelihoods against transformers, errors that say why."""

from __future__ import annotations

import logging
import math
import random
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import torch
import transformers

from qi_learn.errors import ModelError, UnsupportedArchitecture
from qi_learn.outside.llama_cpp import Model, batch_threads, load_vocabulary
from qi_learn.outside.llama_cpp_library import default_threads
from qi_learn.outside.llama_cpp_nll import BLOCK, Scorer, Text, score_sequences, tokens_to_read
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
    """To the last bit, short or longer than a block, in whatever order, whatever they share."""
    sequences = [*_random_sequences(12, 200), *_random_sequences(2, 4 * BLOCK, seed=5)]
    prompt, target, code = sequences[-1]
    sequences += [(prompt, target[: n + 1], code[: n + 1]) for n in range(0, len(target), 97)]
    sequences += [([*prompt, *target], [7, 8, 9], [True] * 3)]
    together = score_sequences(model, sequences, context=2048, threads=1)
    alone = [score_sequences(model, [s], context=2048, threads=1)[0] for s in sequences]
    assert together == alone
    turned = score_sequences(model, sequences[::-1], context=4096, threads=2)
    assert turned[::-1] == together


def test_a_common_beginning_is_read_once(model: Path) -> None:
    """In whole blocks in front of what is predicted: those are the same computation in both."""
    rng = random.Random(1)
    talk = [rng.randrange(380) for _ in range(3 * BLOCK + 40)]
    turns = [
        Text(talk[:end], [rng.randrange(380) for _ in range(20)], [True] * 20)
        for end in (BLOCK + 30, 2 * BLOCK + 30, 3 * BLOCK + 30)
    ]
    with Scorer(model, context=1024, threads=1) as scorer:
        together = scorer.score(turns)
        once = scorer.evaluated
    assert once == tokens_to_read(turns)
    assert once == 3 * BLOCK + 30 + 19 + 2 * (30 + 19)
    for turn, number in zip(turns, together, strict=True):
        with Scorer(model, context=1024, threads=1) as scorer:
            assert scorer.score([turn]) == [number]
            assert scorer.evaluated == len(turn.ids) - 1


def test_what_is_predicted_is_read_by_each_itself(model: Path) -> None:
    """One text's answer may be the other's prompt: the logits are then needed once more."""
    ids = [(n * 7) % 380 for n in range(2 * BLOCK + 20)]
    texts = [
        Text(ids[:10], ids[10:], [True] * (len(ids) - 10)),
        Text(ids[:-4], ids[-4:], [True] * 4),
    ]
    with Scorer(model, context=1024, threads=1) as scorer:
        whole, tail = scorer.score(texts)
        assert scorer.evaluated == tokens_to_read(texts)
    assert (whole.tokens, tail.tokens) == (len(ids) - 10, 4)
    assert [whole, tail] == score_sequences(
        model, [(t.prompt, t.target, t.code) for t in texts], context=512, threads=1
    )


def test_a_text_that_was_broken_off_is_not_taken_for_read(model: Path) -> None:
    good = Text([1] * (BLOCK + 2), [2, 3], [True, True])
    with Scorer(model, context=1024, threads=1) as scorer:
        (before,) = scorer.score([good])
        with pytest.raises(ModelError, match="could not evaluate"):
            scorer.score([Text([*[1] * (BLOCK + 1), 100_000], [2, 3], [True, True])])
        assert scorer.score([good]) == [before]


def test_a_vocabulary_with_many_outputs_is_cut_into_parts(model: Path) -> None:
    """If the logits of a whole block would not fit, smaller ones give the same answer."""
    sequences = _random_sequences(4, 200)
    whole = score_sequences(model, sequences, context=1024, threads=1)
    with Scorer(model, context=1024, threads=1) as scorer:
        scorer._block = 7
        parts = scorer.score([Text(*s) for s in sequences])
    for part, score in zip(parts, whole, strict=True):
        assert part.nll == pytest.approx(score.nll, rel=1e-4)


def test_the_token_that_ends_an_answer_is_counted_apart(model: Path) -> None:
    ids, code = list(range(40, 60)), [True] * 20
    bare, ended, between = score_sequences(
        model,
        [([7, 8], ids, code), ([7, 8], [*ids, 2], [*code, False]), ([7, 8, *ids], [2], [False])],
        context=64,
        threads=1,
    )
    assert (bare.nll, bare.tokens, bare.hits) == (ended.nll, ended.tokens, ended.hits)
    assert (bare.end_nll, between.nll, between.tokens) == (0.0, 0.0, 0)
    assert ended.end_nll == pytest.approx(between.end_nll, abs=1e-4)
    assert ended.end_nll > 0


def test_the_persons_tokens_are_measured_at_their_temperature(model: Path) -> None:
    rng = random.Random(3)
    ids = [rng.randrange(380) for _ in range(30)]
    mask = tuple(n % 3 == 0 for n in range(30))
    text = Text([1, 2, 3], ids, [True] * 30, mask)
    single = [Text([1, 2, 3, *ids[:n]], [ids[n]], [True], (True,)) for n in range(0, 30, 3)]
    with Scorer(model, context=64, threads=1) as scorer:
        for temperature in (1.0, 0.7, 1.4):
            (whole,) = scorer.score([text], temperature=temperature)
            each = scorer.score(single, temperature=temperature)
            assert whole.person_tokens == 10
            assert whole.person_nll == pytest.approx(sum(e.person_nll for e in each), rel=1e-4)
            assert whole.nll == pytest.approx(scorer.score([text])[0].nll)


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


def test_a_model_is_read_by_no_more_threads_than_its_weights_keep_busy(model: Path) -> None:
    cores = default_threads()
    assert [batch_threads(size << 20) for size in (0, 1, 3, 4000)] == [1, 1, 1, cores]
    for asked, used in ((None, 1), (2, 2)):
        with Model(model, context=64, threads=asked) as loaded:
            assert loaded._api.llama_n_threads_batch(loaded._context) == used


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


def test_a_stop_that_comes_while_the_library_calls_back_is_not_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Ctrl-C within its log: the handler runs there, and nothing can be raised through C."""
    path = write_tiny_model(tmp_path / "tiny.gguf")

    class Stopping(logging.Handler):
        told = 0

        def emit(self, record: logging.LogRecord) -> None:
            self.told += 1
            if self.told == 1:
                signal.raise_signal(signal.SIGINT)

    stopping, log = Stopping(), logging.getLogger("qi_learn.outside.llama_cpp_library")
    log.addHandler(stopping)
    try:
        with caplog.at_level(logging.DEBUG, log.name), pytest.raises(KeyboardInterrupt):
            Model(path, context=64)
    finally:
        log.removeHandler(stopping)
    assert stopping.told > 0
    with closing(Model(path, context=64)) as model:
        assert model.context == 64, "it was raised once"
