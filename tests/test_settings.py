"""Settings: defaults, file, environment. Every problem is named at once, with the closest name, and
every key is documented.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from qi_learn.errors import SettingsError
from qi_learn.paths import Paths
from qi_learn.report.config import as_text
from qi_learn.report.doctor import examine
from qi_learn.settings import GateSettings, Settings, settings_table
from qi_learn.settings_file import (
    changed_in_file,
    commented_defaults,
    documented,
    load_settings,
    retired_keys,
)


def _file(tmp_path: Path, text: str) -> Path:
    place = tmp_path / "config.toml"
    place.write_text(text)
    return place


def test_an_absent_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "none.toml", env={}) == Settings()


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    place = _file(tmp_path, "[train]\nmin_interactions = 70\nquality_threshold = 0.6\n")
    settings = load_settings(
        place,
        env={
            "QI_LEARN__TRAIN__MIN_INTERACTIONS": "80",
            "QI_LEARN__GATEWAY__ANSWER_FOR": "a, b:7b",
            "QI_LEARN__TRAIN__AUTO": "no",
        },
    )
    assert (
        settings.train.min_interactions,
        settings.train.quality_threshold,
        settings.train.auto,
    ) == (80, 0.6, False)
    assert settings.gateway.answer_for == ("a", "b:7b")


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    place = _file(
        tmp_path,
        '[train]\nmin_interaction = 70\nmax_hours = "long"\n[gatway]\nport = 1\n[gateway]\nhost = '
        '"0.0.0.0"\n',
    )
    with pytest.raises(SettingsError) as caught:
        load_settings(place, env={})
    said = str(caught.value)
    for part in (
        "min_interactions",
        "max_hours",
        "gatway",
        "gateway`?",
        "loopback",
        "qi-learn config",
    ):
        assert part in said
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        "[train\n",
        "train = 3\n",
        "\x00",
        "[train]\nmin_interactions = true\n",
        "[train]\nmin_interactions = 1.5\n",
        "[gateway]\nanswer_for = [1]\n",
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError):
        load_settings(_file(tmp_path, text), env={})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[gateway]\nrecord = "yes"\n', "write `record = true` under [gateway]"),
        ('[gateway]\nrecord = "false"\n', "write `record = false` under [gateway]"),
        ("[gateway]\nrecord = 1\n", "write `record = true` under [gateway]"),
        ('[gateway]\nrecord = "maybe"\n', "write `record = true` under [gateway]"),
        ('[gateway]\nport = "11435"\n', "write `port = 11435` under [gateway]"),
        ('[gateway]\nanswer_for = "a, b"\n', 'write `answer_for = ["a", "b"]` under [gateway]'),
        ('[train]\nmax_hours = "2.5"\n', "write `max_hours = 2.5` under [train]"),
        ("[train]\nmax_hours = nan\n", "is not a number"),
        ("[serve]\nalias = 3\n", "is not a text"),
    ],
)
def test_nothing_is_guessed(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(_file(tmp_path, text), env={})
    assert told in str(caught.value)
    assert str(tmp_path / "config.toml") in str(caught.value)


def test_a_process_says_what_its_file_changed(tmp_path: Path) -> None:
    text = '[train]\nrank = 16\n[gateway]\nanswer_for = ["a"]\nport = 11435\n'
    assert changed_in_file(_file(tmp_path, text)) == {
        "train.rank": 16,
        "gateway.answer_for": ["a"],
    }
    assert changed_in_file(_file(tmp_path, "[train")) == {}


def test_the_shipped_file_lists_every_key_and_means_the_defaults(tmp_path: Path) -> None:
    text = commented_defaults()
    assert load_settings(_file(tmp_path, text), env={}) == Settings()
    uncommented = "\n".join(
        line.removeprefix("# ") if " = " in line and line.startswith("# ") else line
        for line in text.splitlines()
    )
    given = tomllib.loads(
        "\n".join(
            line
            for line in uncommented.splitlines()
            if not line.startswith("#") and (" = " in line or line.startswith("["))
        )
    )
    assert {s: set(v) for s, v in given.items()} == {
        s: set(v) for s, v in settings_table(Settings()).items()
    }


def test_every_key_says_what_it_means() -> None:
    table = {section: set(keys) for section, (_, keys) in documented().items()}
    assert table == {section: set(keys) for section, keys in settings_table(Settings()).items()}
    assert [section for section, (about, _) in documented().items() if not about] == []
    assert [
        f"{section}.{key}"
        for section, (_, keys) in documented().items()
        for key, words in keys.items()
        if not words
    ] == []


def test_the_defaults_in_the_docs_are_the_defaults() -> None:
    """Read as a person would: the table's cells, without the code that wrote them."""
    root = next(p for p in Path(__file__).resolve().parents if (p / "pyproject.toml").exists())
    docs = (root / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    told = {}
    for part in docs.split("\n## ")[1:]:
        section = part.split("\n", 1)[0]
        rows = re.findall(r"^\| `(\w+)` \| `(.*?)` \|", part, re.MULTILINE)
        told[section] = tomllib.loads("\n".join(f"{key} = {value}" for key, value in rows))
    assert told == {
        s: {k: list(v) if isinstance(v, tuple) else v for k, v in keys.items()}
        for s, keys in settings_table(Settings()).items()
    }


def test_a_key_that_older_versions_had_counts_for_nothing_and_that_is_said(tmp_path: Path) -> None:
    place = _file(tmp_path, "[gate]\nmax_tokens = 3000\nmin_examples = 30\n")
    settings = load_settings(place, env={"QI_LEARN__GATE__MAX_TOKENS": "20000"})
    assert settings.gate == GateSettings(min_examples=30)
    (said,) = retired_keys(place, env={})
    assert said.startswith("gate.max_tokens counts for nothing any more: gate.max_read ")
    assert retired_keys(None, env={"QI_LEARN__GATE__MAX_TOKENS": "20000"}) == (said,)
    assert retired_keys(_file(tmp_path, "[gate]\nmax_read = 70000\n"), env={}) == ()
    paths = Paths.under(tmp_path)
    paths.settings_file.parent.mkdir(parents=True)
    paths.settings_file.write_text("[gate]\nmax_tokens = 20000\n")
    assert f"# {said}\n" in as_text(paths, settings, env={})
    settled = next(found for found in examine(paths) if found.name == "settings")
    assert settled.ok
    assert said in settled.what


def test_a_gate_that_could_read_too_little_is_no_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gate\.max_read must be at least 60000"):
        load_settings(_file(tmp_path, "[gate]\nmax_read = 59999\n"), env={})


@pytest.mark.parametrize(
    ("key", "least"),
    [
        ("min_examples", 2),
        ("answer_tokens", 8),
        ("max_read", 60_000),
        ("max_generated", 2_000),
        ("night_tokens", 5_000),
    ],
)
def test_the_least_value_of_a_setting_of_the_gate_is_on_its_page_and_in_its_error(
    tmp_path: Path, key: str, least: int
) -> None:
    load_settings(_file(tmp_path, f"[gate]\n{key} = {least}\n"), env={})
    with pytest.raises(SettingsError) as caught:
        load_settings(_file(tmp_path, f"[gate]\n{key} = {least - 1}\n"), env={})
    assert f"at least {least}, and is {least - 1}" in caught.value.what
    page = (Path(__file__).parent.parent / "docs" / "reference" / "settings.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{key}` |")]
    assert f"at least {least}" in row.lower()


def test_the_environment_cannot_break_on_a_wrong_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"\[train\] must be a table"):
        load_settings(_file(tmp_path, "train = 3\n"), env={"QI_LEARN__TRAIN__SEED": "4"})


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("QI_LEARN__TRAIN__RNAK", "4", "unknown key train.rnak (did you mean `rank`?)"),
        ("QI_LEARN__TRIAN__RANK", "4", "unknown section [trian] (did you mean `train`?)"),
        ("QI_LEARN__GATEWAY__PORT", "99999", "gateway.port must be between 0 and 65535"),
        ("QI_LEARN__TRAIN__RANK", "x", "train.rank = 'x' is not a whole number"),
    ],
)
def test_a_variable_is_blamed_and_not_the_file(
    tmp_path: Path, name: str, value: str, told: str
) -> None:
    file = _file(tmp_path, "[gateway]\nport = 1\n[train]\nrank = 4\n")
    with pytest.raises(SettingsError) as raised:
        load_settings(file, env={name: value})
    assert "config.toml" not in str(raised.value)
    assert f"{told} ({name})" in str(raised.value)
    assert "(line" not in str(raised.value)


def test_config_says_where_a_value_comes_from(tmp_path: Path) -> None:
    paths = Paths.under(tmp_path).ensure()
    paths.settings_file.write_text("[train]\nseed = 3\n")
    env = {"QI_LEARN__GATE__ANSWER_TOKENS": "64"}
    shown = as_text(paths, load_settings(paths.settings_file, env), env)
    assert "seed = 3  # from the file" in shown
    assert "answer_tokens = 64  # from the environment" in shown
    assert "rank = 0\n" in shown
