"""What another Python has, on real installed packages: versions, limits, and nothing imported."""

from __future__ import annotations

import sys
from pathlib import Path

from qi_learn.outside.python_env import Packages, look_into


def write_package(place: Path, name: str, version: str, *wants: str) -> None:
    (place / name).mkdir(parents=True)
    (place / name / "__init__.py").write_text("raise RuntimeError('imported')\n")
    about = place / f"{name}-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {w}\n" for w in wants)
    )


def _python(place: Path, packages: Path) -> str:
    place.write_text(f'#!/bin/sh\nPYTHONPATH={packages} exec {sys.executable} "$@"\n')
    place.chmod(0o755)
    return str(place)


def test_packages_are_found_with_what_they_miss_and_never_imported(tmp_path: Path) -> None:
    wants = (
        "torch<2.15,>=2.4",
        "transformers<=5.17",
        "absent_one>=1",
        'never; extra == "x"',
        "torch>9; python_version < '3'",
    )
    write_package(tmp_path / "site", "unsloth", "2026.10.9", *wants)
    write_package(tmp_path / "site", "unsloth_zoo", "2026.10.9", "torch>=2.4")
    (tmp_path / "site" / "bitsandbytes").mkdir()  # a folder is no package
    found = look_into(
        _python(tmp_path / "python", tmp_path / "site"),
        ("unsloth", "unsloth_zoo", "bitsandbytes", "nowhere"),
    )
    assert found.versions == {"unsloth": "2026.10.9", "unsloth_zoo": "2026.10.9"}
    assert len(found.unmet["unsloth"]) == 2
    assert found.unmet["unsloth"][0].startswith("transformers 5.")
    assert found.unmet["unsloth"][0].endswith("is there, <=5.17 is wanted")
    assert found.unmet["unsloth"][1] == "absent_one is not installed"
    assert [
        found.usable(name) for name in ("unsloth", "unsloth_zoo", "bitsandbytes", "nowhere")
    ] == [False, True, False, False]


def test_an_interpreter_that_does_not_answer_has_nothing(tmp_path: Path) -> None:
    assert look_into(str(tmp_path / "absent"), ("torch",)) == Packages()
    (tmp_path / "broken").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "broken").chmod(0o755)
    assert look_into(str(tmp_path / "broken"), ("torch",)) == Packages()
    assert "torch" in look_into("", ("torch",)).versions
