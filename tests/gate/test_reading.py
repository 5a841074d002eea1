"""NLL of suites under a random model's own file: what is read, what is known, and what it cost."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qi_learn.errors import Stopped
from qi_learn.gate.best import PastVersions, past_versions
from qi_learn.gate.cache import NllCache, digest_of
from qi_learn.gate.likelihood_rules import earlier_work_check, earlier_work_rise
from qi_learn.gate.measurements import Likelihoods
from qi_learn.gate.reading import FileReader, build_of, measure_nll, suite_of
from qi_learn.outside.llama_cpp import load_vocabulary
from qi_learn.outside.llama_cpp_nll import Scorer, SequenceNll, Text, score_sequences
from qi_learn.records import Example
from tests.support.tiny_models import write_tiny_model

ADD = "def add(a, b):\n    return a + b\n"


def example(name: str, *, prompt: int = 4, target: int = 6, **more: Any) -> Example:
    made = random.Random(name)
    ids, own = ([made.randrange(10, 380) for _ in range(n)] for n in (prompt, target))
    given: dict[str, Any] = {"hash": f"h-{name}", "session": f"s-{name}", **more}
    mask = (True,) * target
    return Example(
        name,
        prompt="p",
        target="t",
        prompt_ids=tuple(ids),
        target_ids=tuple(own),
        code_mask=mask,
        **given,
    )


def test_nll_is_llama_cpps_per_example(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf")
    with load_vocabulary(path) as vocabulary:
        texts = [
            ("Write add.", ADD),
            ("Write one.", "x = 1\n"),
            ("Write more.", "for i in range(9):\n    print(i)\n"),
        ]
        cut = [
            (
                vocabulary.prompt_ids(p),
                vocabulary.tokenize(t, add_special=False, parse_special=False),
            )
            for p, t in texts
        ]
    examples = [
        replace(
            example(str(i)),
            prompt_ids=tuple(p),
            target_ids=tuple(t),
            code_mask=tuple(j % 2 == 0 for j in range(len(t))),
        )
        for i, (p, t) in enumerate(cut)
    ]
    measured = measure_nll(path, "gate", examples, context=256)
    direct = score_sequences(
        path, [(e.prompt_ids, e.target_ids, e.code_mask) for e in examples], context=256
    )
    assert measured.ids == ("0", "1", "2")
    assert measured.units == ("s-0", "s-1", "s-2")
    assert measured.nll == pytest.approx([s.nll for s in direct])
    assert measured.tokens == tuple(len(t) for _, t in cut)
    assert measured.code_tokens == tuple((len(t) + 1) // 2 for _, t in cut)
    assert measured.per_token == pytest.approx(sum(s.nll for s in direct) / sum(measured.tokens))
    assert all(0 < c < n for c, n in zip(measured.code_nll, measured.nll, strict=True))


def test_an_empty_suite_needs_no_model(tmp_path: Path) -> None:
    measured = measure_nll(tmp_path / "none.gguf", "old", [], context=10)
    assert measured.ids == ()
    assert math.isnan(measured.per_token)


def test_sessions_are_the_units_however_few(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "tiny.gguf")
    measured = measure_nll(
        path,
        "gate",
        [example(str(i), session=f"s{i % 3}") for i in range(16)],
        context=64,
    )
    assert measured.units == tuple(f"s{i % 3}" for i in range(16))


def test_what_was_measured_is_cached_for_good(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "a.gguf", "llama", seed=1)
    examples = [example(str(i), session=f"s{i}") for i in range(4)]
    cache = tmp_path / "cache"
    first = measure_nll(path, "gate", examples[:3], context=64, cache=cache)
    (file,) = cache.iterdir()
    file.write_text(file.read_text() + '[1, "torn')
    again = measure_nll(path, "old", examples, context=64, cache=cache)
    assert again.nll[:3] == first.nll
    assert again.nll == pytest.approx(measure_nll(path, "gate", examples, context=64).nll, abs=1e-3)
    other = measure_nll(
        write_tiny_model(tmp_path / "b.gguf", "llama", seed=2),
        "gate",
        examples,
        context=64,
        cache=cache,
    )
    assert other.nll != again.nll, "another file has its own numbers"
    assert len(list(cache.iterdir())) == 2


def test_numbers_of_another_llama_cpp_are_not_taken(
    tmp_path: Path,
) -> None:
    path = write_tiny_model(tmp_path / "a.gguf", seed=1)
    one, cache = example("one"), tmp_path / "cache"
    measure_nll(path, "gate", [one], context=64, cache=cache)
    (file,) = cache.iterdir()
    with FileReader(path, context=64, cache=cache) as reader:
        assert reader.to_read([one]) == 0
    build, number, *_ = file.read_text().splitlines()
    other = number.replace('"', '"0', 1)  # a key of another build
    file.write_text("\n".join((build, other, "")))
    with FileReader(path, context=64, cache=cache) as reader:
        assert reader.to_read([one]) == 9
    assert build_of(0) != build_of(99)


def test_the_persons_tokens_are_known_at_every_temperature(tmp_path: Path) -> None:
    path, cache = write_tiny_model(tmp_path / "a.gguf", seed=1), tmp_path / "cache"
    one = example("one", person_mask=(False, True, True, False, False, False))
    plain = measure_nll(path, "gate", [one], context=64, cache=cache)
    assert (plain.person_nll, plain.person_tokens, plain.temperature) == ((), (), 1.0)
    at = measure_nll(path, "gate", [one], context=64, cache=cache, temperature=1.25)
    assert (at.person_tokens, at.temperature) == ((2,), 1.25)
    assert at.nll == plain.nll
    with FileReader(path, context=64, cache=cache) as reader:
        assert reader.nll("gate", [one], 1.25) == at
        assert reader.nll("old", [one]).nll == plain.nll
        assert reader.evaluated == 0
        assert reader.nll("gate", [one], 1.5).person_nll != at.person_nll
        assert reader.evaluated == 0
    text = one.prompt_ids, one.target_ids, one.code_mask, one.person_mask
    with Scorer(path, context=64) as scorer:
        for factor, known in ((1.25, at), (1.5, reader.nll("gate", [one], 1.5))):
            (direct,) = scorer.score([Text(*text)], temperature=factor)
            assert known.person_nll[0] == pytest.approx(direct.person_nll, abs=2e-5)
    cold = measure_nll(path, "gate", [one], context=64, temperature=1.0)
    assert 0 < cold.person_nll[0] < cold.nll[0]


def test_a_temperature_is_fitted_once_and_what_it_read_is_known(tmp_path: Path) -> None:
    path, cache = write_tiny_model(tmp_path / "a.gguf", seed=1), tmp_path / "cache"
    dev = [example(str(n), target=20) for n in range(3)]
    with FileReader(path, context=64, cache=cache) as reader:
        fitted = reader.temperature(dev)
    with FileReader(path, context=64, cache=cache) as reader:
        assert reader.temperature(dev) == fitted
        assert reader.to_read(dev) == 0
        reader.nll("dev", dev)
        assert reader.evaluated == 0


def test_an_example_has_the_temperature_of_the_sessions_that_are_not_its_own(
    tmp_path: Path,
) -> None:
    """And what is kept of it depends on the file and the example alone, not on the set."""
    path, cache = write_tiny_model(tmp_path / "a.gguf", seed=1), tmp_path / "cache"
    gate = [example(str(n), person_mask=(True,) * 6, session=f"s{n % 3}") for n in range(6)]
    beside = [example("ordinary", target=20)]
    with FileReader(path, context=64, cache=cache) as reader:
        whole = reader.nll_of_other_sessions("gate", gate, beside)
        read = reader.evaluated
    with FileReader(path, context=64, cache=cache) as reader:
        assert reader.nll_of_other_sessions("gate", gate, beside) == whole
        for session in range(3):
            others = [e for e in gate if e.session != f"s{session}"]
            at = reader.nll_of_other_sessions("gate", others, beside).temperature
            assert reader.nll("gate", gate, at).person_nll[session] == whole.person_nll[session]
        assert (reader.evaluated, read) == (0, 6 * 9 + 23)
        alone = reader.nll_of_other_sessions("gate", gate[:1], ())
    assert (
        alone.person_nll == measure_nll(path, "g", gate[:1], context=64, temperature=1).person_nll
    )


def test_an_example_that_is_there_twice_is_read_once(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "a.gguf")
    one = example("one")
    twin = replace(one, id="twin")
    with FileReader(path, context=64) as reader:
        suite = reader.nll("gate", [one, twin])
        assert suite.ids == ("one", "twin")
        assert suite.nll[0] == suite.nll[1]
        assert reader.evaluated == 9


def test_reading_gives_way_before_each_text(tmp_path: Path) -> None:
    path, read = write_tiny_model(tmp_path / "a.gguf"), list[int]()

    def pause() -> None:
        read.append(len(read))
        if len(read) == 3:
            raise Stopped("told to stop")

    cache = tmp_path / "cache"
    with (
        FileReader(path, context=64, cache=cache, pause=pause) as reader,
        pytest.raises(Stopped),
    ):
        reader.nll("gate", [example(str(n)) for n in range(5)])
    assert read == [0, 1, 2]
    with FileReader(path, context=64, cache=cache) as reader:
        assert reader.to_read([example(str(n)) for n in range(5)]) == 3 * 9, "two are known"


def test_what_other_versions_did_on_earlier_work(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    base, first, second = (
        write_tiny_model(tmp_path / f"{seed}.gguf", seed=seed) for seed in (1, 2, 3)
    )
    old = [example(str(n)) for n in range(60)]
    measure_nll(first, "old", old[:50], context=64, cache=cache)
    measure_nll(second, "old", old[:49], context=64, cache=cache)
    lived = [digest_of(path) for path in (base, first, second, first)]
    now = lived[:1]
    past = past_versions(old, directory=cache, digests=[*lived, ""], but=now, build=build_of(0))
    assert past.missing == 1, "the second was measured on too few"
    (of_first,) = past.nll
    assert of_first[:50] == measure_nll(first, "old", old[:50], context=64).nll
    assert all(map(math.isnan, of_first[50:]))
    other = past_versions(old, directory=cache, digests=lived, but=now, build="another")
    assert (other.nll, other.missing) == ((), 2)
    few = past_versions(old[:6], directory=cache, digests=lived, but=now, build=build_of(0))
    assert len(few.nll) == 2, "all that there is of earlier work is enough"
    assert past_versions([], directory=cache, digests=lived, but=now, build="x").nll == ()


def test_a_version_measured_under_another_build_is_known_by_its_difference_to_the_base(
    tmp_path: Path,
) -> None:
    """Two builds are two keys of one cache: here the GPU's, which there is none of."""
    cache = tmp_path / "cache"
    base, version = (write_tiny_model(tmp_path / f"{n}.gguf", seed=n) for n in (1, 2))
    old = [example(str(n)) for n in range(4)]
    before = measure_nll(version, "old", old[:3], context=64, cache=cache)
    at_base = measure_nll(base, "old", old, context=64, cache=cache)
    digests = [digest_of(base), digest_of(version)]
    new = build_of(99)
    here = NllCache(cache, digests[0], new)
    for number, one in enumerate(old):
        here.put_text(one, SequenceNll(at_base.nll[number] + 0.5, 6, 0.0, 0))

    def past(base: str) -> PastVersions:
        return past_versions(
            old[:3], directory=cache, digests=digests, but=digests[:1], build=new, base=base
        )

    (of_version,) = past(digests[0]).nll
    assert of_version == pytest.approx([nll + 0.5 for nll in before.nll])
    assert past("").missing == 1
    NllCache(cache, digests[1], new).put_text(old[0], SequenceNll(1.25, 6, 0.0, 0))
    assert past(digests[0]).nll[0] == pytest.approx([1.25, *of_version[1:]])
    assert NllCache(cache, digests[1], new).builds == (build_of(0), new)


def test_who_updates_llama_cpp_in_every_cycle_does_not_forget_for_ever(tmp_path: Path) -> None:
    """Each version is worse by 0.018 nat a token than the one before, and so is the candidate."""
    old = [example(str(n), session=f"s{n % 10}") for n in range(60)]
    rng, lost, lived = random.Random(1), 0.0, list[str]()
    for cycle in range(12):
        build = f"llama.cpp {cycle}"
        noise = [rng.gauss(0, 0.05) for _ in old]

        worse = {"base": 0.4, f"v{len(lived)}": lost, "new": lost + 0.018}
        measured = {
            name: [6 * (2.0 + by + n + rng.gauss(0, 0.01)) for n in noise]
            for name, by in worse.items()
        }
        for digest, nll in measured.items():
            known = NllCache(tmp_path, digest, build)
            for one, value in zip(old, nll, strict=True):
                known.put_text(one, SequenceNll(value, 6, 0.0, 0))
        past = past_versions(
            old,
            directory=tmp_path,
            digests=[*lived, f"v{len(lived)}"],
            but=(f"v{len(lived)}", "base"),
            build=build,
            base="base",
        )
        assert past.missing == 0
        models = [_likelihoods(old, measured[name]) for name in ("new", f"v{len(lived)}", "base")]
        rise = earlier_work_rise(*models, past=past.nll)
        if earlier_work_check(models[0].old, rise).passed:
            lived.append(f"v{len(lived)}")
            lost += 0.018
    assert lost < 0.05, "what was wrong: the best began anew under each build"


def _likelihoods(old: list[Example], nll: list[float]) -> Likelihoods:
    numbers = [SequenceNll(value, 6, 0.0, 0) for value in nll]
    return Likelihoods(suite_of("gate", (), ()), suite_of("old", old, numbers), {})
