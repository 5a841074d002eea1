"""Cells are kept as they are finished, and only what is the same measurement is taken for it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from qi_learn.bench.cells import Cell, FinishedCells, Slice, slice_of
from qi_learn.bench.figures import MethodFigures
from qi_learn.bench.learning import Request
from qi_learn.bench.methods import DEFAULT, NAIVE, USUAL
from tests.support.bench_figures import figures_of

CELL = Cell("conventions", "default", 0, 8)


def test_what_was_finished_is_found_by_another_run(tmp_path: Path) -> None:
    made = figures_of("default", retention=math.nan)
    FinishedCells(tmp_path / "cells", {"base": "a", "code": "1"}).put(CELL, made)
    found = FinishedCells(tmp_path / "cells", {"base": "a", "code": "1"}).get(CELL, MethodFigures)
    assert found is not None
    assert math.isnan(found.retention)
    assert found.drift == made.drift
    assert found.gate == made.gate
    assert found.unlearning == made.unlearning


@pytest.mark.parametrize(
    ("conditions", "cell"),
    [
        ({"base": "b", "code": "1"}, CELL),
        ({"base": "a", "code": "2"}, CELL),
        ({"base": "a", "code": "1"}, Cell("conventions", "default", 1, 8)),
        ({"base": "a", "code": "1"}, Cell("conventions", "default", 0, 4)),
        ({"base": "a", "code": "1"}, Cell("edits", "default", 0, 8)),
        ({"base": "a", "code": "1"}, Cell("conventions", "naive", 0, 8)),
    ],
)
def test_another_base_code_seed_size_stream_or_method_is_another_cell(
    tmp_path: Path, conditions: dict[str, str], cell: Cell
) -> None:
    FinishedCells(tmp_path / "cells", {"base": "a", "code": "1"}).put(CELL, figures_of("default"))
    assert FinishedCells(tmp_path / "cells", conditions).get(cell, MethodFigures) is None


def test_a_line_that_a_crash_cut_off_is_measured_again_and_the_others_stand(tmp_path: Path) -> None:
    path, other = tmp_path / "cells", Cell("edits", "naive", 1, 4)
    finished = FinishedCells(path, {})
    finished.put(CELL, figures_of("default"))
    finished.put(other, figures_of("naive"))
    path.write_text(path.read_text()[:-30])
    again = FinishedCells(path, {})
    assert again.get(CELL, MethodFigures) is not None
    assert again.get(other, MethodFigures) is None


def test_slices_share_out_all_cells() -> None:
    request = Request(Path("base"), (NAIVE, DEFAULT), (0, 1, 2))
    cells = request.cells()
    assert len(cells) == len(set(cells)) == 3 * 3 * 4 * 2
    parts = [Slice(n, 5).cells(cells) for n in range(1, 6)]
    assert sorted(map(str, cells)) == sorted(str(cell) for part in parts for cell in part)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_with_fewer_examples_there_may_be_fewer_methods() -> None:
    request = Request(Path("base"), USUAL, (0,), with_fewer=(NAIVE, DEFAULT), streams=("edits",))
    methods = [(cell.shots, cell.method) for cell in request.cells()]
    assert methods[:4] == [(48, method.name) for method in USUAL]
    few = [(shots, name) for shots in (16, 8, 4) for name in ("naive", "default")]
    assert methods[4:] == few


def test_a_slice_is_a_part_of_a_whole() -> None:
    assert slice_of("2/5") == Slice(2, 5)
    for wrong in ("0/5", "6/5", "2", "a/b", "1/0"):
        with pytest.raises(ValueError, match=r".+"):
            slice_of(wrong)
