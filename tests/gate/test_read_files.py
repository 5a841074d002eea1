"""Suites under the files of several models: what is read, once, and within the limit."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from qi_learn.errors import ModelError
from qi_learn.gate.best import past_versions
from qi_learn.gate.cache import digest_of
from qi_learn.gate.measured_suites import Sizes, Suites
from qi_learn.gate.read_files import FilesRead, ReadingDevice, measure_files
from qi_learn.gate.reading import build_of, measure_nll
from qi_learn.records import Example
from qi_learn.records.suites import ORDINARY
from tests.support.tiny_models import write_tiny_model

LIMITS = Sizes(read=100_000, answer=32, context=256, longest=4096)


def example(name: str, *, prompt: int = 30, target: int = 12) -> Example:
    drawn = random.Random(name)
    ids, own = (tuple(drawn.randrange(10, 380) for _ in range(n)) for n in (prompt, target))
    mask = (True,) * target
    person = tuple(n % 4 < 2 for n in range(target))
    more = {"session": f"s-{name}", "person_mask": person}
    return Example(name, f"h-{name}", "p", "t", ids, own, mask, **more)  # type: ignore[arg-type]


def examples(name: str, count: int) -> tuple[Example, ...]:
    return tuple(example(f"{name}{n}") for n in range(count))


SUITES = Suites(
    gate=examples("g", 5),
    old=examples("o", 4),
    general={ORDINARY: examples("p", 10), "prose": examples("e", 3)},
    questions=(),
    helped=(),
)
ALL = 5 + 4 + 10 + 3


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    directory = tmp_path_factory.mktemp("files")
    return {
        name: write_tiny_model(directory / f"{name}.gguf", seed=seed)
        for seed, name in enumerate(("candidate", "live"))
    }


def test_every_suite_of_every_model_is_read_once(files: Mapping[str, Path]) -> None:
    read = measure_files(files, SUITES, LIMITS)
    assert set(read.models) == {"candidate", "live"}
    assert [e.id for e in read.suites.everything] == [
        e.id
        for e in (*SUITES.gate, *SUITES.old, *SUITES.general[ORDINARY], *SUITES.general["prose"])
    ]
    assert read.tokens == 2 * ALL * 41, "ordinary texts are not read again for the temperature"
    candidate, live = read.models["candidate"], read.models["live"]
    assert candidate.gate.ids == live.gate.ids == tuple(e.id for e in SUITES.gate)
    assert candidate.gate.person_tokens == (3,) * 5, "the first of each part is left out"
    assert candidate.gate.temperature > 1, "random tokens are likeliest where all are alike"
    assert candidate.old.person_nll == (), "earlier work is held against NLL at temperature 1"
    assert {name: s.suite for name, s in candidate.general.items()} == {
        ORDINARY: ORDINARY,
        "prose": "prose",
    }


def test_what_is_known_is_not_read_again(files: Mapping[str, Path], tmp_path: Path) -> None:
    limits = replace(LIMITS, cache=tmp_path / "known")
    first = measure_files(files, SUITES, limits)
    again = measure_files(files, SUITES, limits)
    assert again.tokens == 0
    assert again.models == first.models
    later = replace(SUITES, old=SUITES.gate, gate=examples("n", 2))
    assert measure_files(files, later, limits).tokens == 2 * 2 * 41


def test_what_a_version_was_measured_on_is_found_again_as_earlier_work(
    tmp_path: Path,
) -> None:
    """Three cycles with prompts that are cut: the best is over every version that was live."""
    base, *versions = (write_tiny_model(tmp_path / f"{seed}.gguf", seed=seed) for seed in range(4))
    limits = replace(LIMITS, cache=tmp_path / "known")
    sets = [tuple(example(f"{n}-{i}", prompt=600) for i in range(4)) for n in range(3)]

    def cycle(number: int, live: Path) -> FilesRead:
        old = tuple(e for gate in sets[:number] for e in gate)
        suites = replace(SUITES, gate=sets[number], old=old)
        return measure_files({"new": versions[number], "live": live, "base": base}, suites, limits)

    cycle(0, base)
    cycle(1, versions[0])
    read = cycle(2, versions[1])
    assert {len(e.prompt_ids) for e in (*read.suites.gate, *read.suites.old)} == {256}
    old = (256 + 12 - 1) * 8
    assert read.tokens <= 3 * 4 * (256 + 11) + old + 13 * 41, "old by the new one alone"
    digests = [digest_of(path) for path in (base, *versions[:2])]
    past = past_versions(
        read.suites.old,
        directory=tmp_path / "known",
        digests=digests,
        but=(digests[2], digests[0]),
        build=build_of(0),
    )
    assert (len(past.nll), past.missing) == (1, 0)


def test_both_models_read_the_same_part_if_not_all_can_be_read(
    files: Mapping[str, Path],
) -> None:
    many = replace(SUITES, old=examples("m", 100))
    read = measure_files(files, many, replace(LIMITS, read=4000))
    assert read.tokens <= 4000
    assert read.models["candidate"].old.ids == read.models["live"].old.ids
    assert 10 < len(read.suites.old) < 50
    assert len(read.suites.gate) == 5
    assert any("earlier work" in note for note in read.suites.notes)


def test_a_gpu_that_is_not_there_changes_nothing_but_the_key(
    files: Mapping[str, Path], tmp_path: Path
) -> None:
    """This llama.cpp may have none; then all layers are on the CPU whatever is asked."""
    plain = measure_files(files, SUITES, LIMITS)
    other = measure_files(files, SUITES, LIMITS, ReadingDevice(gpu_layers=99))
    assert other.gpu_layers == 99
    assert other.models["live"].gate.nll == pytest.approx(plain.models["live"].gate.nll, rel=1e-2)


def test_ordinary_texts_that_were_measured_at_one_temperature_only_are_read_again_and_paid_for(
    files: Mapping[str, Path], tmp_path: Path
) -> None:
    """As those of a gate by rules before these: their NLL is known, and nothing else."""
    limits = replace(LIMITS, cache=tmp_path / "known")
    for path in files.values():
        measure_nll(path, "x", SUITES.general[ORDINARY], context=256, cache=limits.cache)
    suites = replace(
        SUITES, gate=examples("new", 20), old=(), general={ORDINARY: examples("p", 10)}
    )
    again, fresh = 2 * 8 * 41, 2 * 41
    read = measure_files(files, suites, replace(limits, read=again + 10 * fresh))
    assert (read.tokens, len(read.suites.gate)) == (again + 10 * fresh, 10)
    assert measure_files(files, suites, replace(limits, read=10 * fresh)).tokens == 10 * fresh


def test_a_file_that_a_gpu_does_not_take_is_read_on_the_cpu_and_both_count(
    files: Mapping[str, Path], tmp_path: Path
) -> None:
    """The second file is there only after the first attempt on it."""
    late, texts = tmp_path / "late.gguf", []

    def pause() -> None:
        texts.append(1)
        if len(texts) > ALL and not late.exists():
            shutil.copyfile(files["live"], late)

    two = {"candidate": files["candidate"], "live": late}
    read = measure_files(two, SUITES, LIMITS, ReadingDevice(gpu_layers=99, pause=pause))
    assert read.gpu_layers == 0
    assert read.tokens == 3 * ALL * 41
    assert read.models == measure_files(files, SUITES, LIMITS).models
    late.unlink()
    texts.clear()
    limits = replace(LIMITS, read=3 * ALL * 41 - 300)
    less = measure_files(two, SUITES, limits, ReadingDevice(gpu_layers=99, pause=pause))
    assert less.tokens <= 3 * ALL * 41 - 300


def test_what_is_not_the_gpus_fault_is_not_tried_again(files: Mapping[str, Path]) -> None:
    """A text with a token that the model does not have."""
    texts: list[int] = []
    wrong = replace(example("wrong"), target_ids=(10**6,) * 12)
    device = ReadingDevice(gpu_layers=99, pause=lambda: texts.append(1))
    suites = replace(SUITES, gate=(wrong,), old=(), general={})
    with pytest.raises(ModelError):
        measure_files(files, suites, LIMITS, device)
    assert len(texts) == 1


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    for layers in (0, 99):
        with pytest.raises(ModelError):
            measure_files({"m": broken}, SUITES, LIMITS, ReadingDevice(gpu_layers=layers))


def test_the_fixed_texts_are_measured_of_every_model_and_read_once(
    files: Mapping[str, Path],
) -> None:
    fixed = (*SUITES.general["prose"][:2], example("f"))
    read = measure_files(files, replace(SUITES, fixed=fixed), LIMITS)
    assert read.tokens == 2 * (ALL + 1) * 41, "two of them are in another suite"
    for model in read.models.values():
        assert model.fixed.suite == "fixed"
        assert model.fixed.ids == tuple(e.id for e in fixed)
        assert model.fixed.nll[:2] == model.general["prose"].nll[:2]
    assert read.models["candidate"].fixed.nll != read.models["live"].fixed.nll
