"""Generic code by construction: enough of it, always the same, and never a probe from an anchor's
file.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections import Counter
from itertools import pairwise
from pathlib import Path

from qi_learn.dataset import reference_code


def test_there_are_240_anchors_of_40_modules_and_64_probes_of_others() -> None:
    anchors, probes = reference_code.anchors(), reference_code.probes()
    assert set(Counter(a.module for a in anchors).values()) == {6}
    assert (len(anchors), len({a.module for a in anchors})) == (240, 40)
    assert (len(probes), len({p.module for p in probes})) == (64, 16)
    assert not {a.module for a in anchors} & {p.module for p in probes}
    assert not set(reference_code.ANCHORS) & set(
        reference_code.PROBES
    )  # holds for the reserves too, whatever a Python lacks
    assert len({t.id for t in (*anchors, *probes)}) == 304


def test_yardsticks_come_from_files_of_their_own() -> None:
    yardsticks = reference_code.yardsticks()
    assert (len(yardsticks), len({y.module for y in yardsticks})) == (16, 16)
    assert not {y.module for y in yardsticks} & {
        t.module for t in (*reference_code.anchors(), *reference_code.probes())
    }
    assert all(y.id == f"yardstick:{y.module}:0" for y in yardsticks)


def test_texts_are_pieces_of_the_source_that_do_not_overlap() -> None:
    root = Path(sysconfig.get_paths()["stdlib"])
    for text in (*reference_code.anchors(), *reference_code.probes(), *reference_code.yardsticks()):
        place = root / text.module.replace(".", "/")
        source = (place / "__init__.py" if place.is_dir() else place.with_suffix(".py")).read_text(
            encoding="utf-8"
        )
        assert source.count(text.text) == 1
        assert len(text.text) >= reference_code.TEXT_CHARACTERS
        assert text.text.split(None, 1)[0] in ("def", "class", "async")
    by_module: dict[str, list[tuple[int, int]]] = {}
    for text in reference_code.anchors():
        place = root / text.module.replace(".", "/")
        start = (
            (place / "__init__.py" if place.is_dir() else place.with_suffix(".py"))
            .read_text(encoding="utf-8")
            .index(text.text)
        )
        by_module.setdefault(text.module, []).append((start, start + len(text.text)))
    for spans in by_module.values():
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_another_process_makes_the_same_texts() -> None:
    script = (
        "import hashlib\n"
        "from qi_learn.dataset import reference_code as g\n"
        "texts = repr((g.anchors(), g.probes(), g.yardsticks()))\n"
        "print(hashlib.sha256(texts.encode()).hexdigest())\n"
    )
    environments = [{"PYTHONHASHSEED": seed, "PYTHONPATH": "."} for seed in ("1", "2")]
    digests = [
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env
        ).stdout
        for env in environments
    ]
    assert digests[0] == digests[1]


def test_a_missing_module_is_replaced_by_the_next() -> None:
    names = ("no_such_module", "argparse", "heapq", "textwrap")
    assert {t.module for t in reference_code._collect("anchor", names, 2, 2)} == {
        "argparse",
        "heapq",
    }
