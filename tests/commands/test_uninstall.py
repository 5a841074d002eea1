"""`qi-learn uninstall`: the whole home of a person before and after, whatever happens meanwhile."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_learn.commands.uninstall_files import is_ours
from qi_learn.commands.uninstall_git import KNOWN, calls_ours
from qi_learn.commands.uninstall_git import is_ours as is_our_hook
from qi_learn.commands.uninstall_shell import loads_ours
from qi_learn.deploy.journal import candidate_model
from tests.support.command_line import Said
from tests.support.fake_models_server import FakeModels, gguf
from tests.support.installed_home import HOOKS, PersonsHome, look_of_tree

MINE = ["base:latest", "mine:latest"]


@pytest.fixture
def person(tmp_path: Path) -> Iterator[PersonsHome]:
    with FakeModels(tmp_path / "ollama") as models:
        person = PersonsHome(tmp_path, models)
        person.make()
        yield person
        person.terminal.process("daemon", "stop")


def looks(person: PersonsHome) -> dict[str, dict[str, tuple[str, bytes]]]:
    """The person's home, and the two places beside it that are written to."""
    return {name: look_of_tree(person.root / name) for name in ("person", "runtime", "tmp")}


def assert_as_before(person: PersonsHome, before: dict[str, dict[str, tuple[str, bytes]]]) -> None:
    now = looks(person)
    for place, then in before.items():
        assert now[place].keys() - then.keys() == set(), f"left in {place}"
        assert {k: v for k, v in then.items() if now[place].get(k) != v} == {}
    assert person.models.names() == MINE


def uninstall(person: PersonsHome, *words: str) -> Said:
    return person.terminal.process("uninstall", *words)


def test_nothing_is_left_of_a_whole_installation(person: PersonsHome) -> None:
    before = looks(person)
    person.install(daemon=True)
    journal = json.loads(person.paths.deploy.read_text())
    person.models.write_manifest(
        candidate_model(journal["alias"], _run_of_a_crash(person)),
        person.models.manifest("qi-agent:latest").read_bytes(),
    )
    _ask_through_the_gateway(person)
    _append_client(person)

    listed = uninstall(person, "--dry-run")
    assert listed.code == 0
    for part in ("daemon (pid", "gateway (pid", ".bashrc, line", "post-commit", "qi-learn.service"):
        assert f"{part}" in listed.out
    assert "qi-agent:v1.0.0 on" in listed.out
    assert "points a tool at the gateway" in listed.out
    assert "uninstall" in listed.out.splitlines()[-1]
    assert person.terminal.process("daemon", "status").code == 0
    assert person.paths.database.exists()

    done = uninstall(person, "--yes")
    assert (done.code, done.err) == (0, "")
    assert "NOT gone" not in done.out
    assert "\ngoes " not in f"\n{done.out}", "each thing is told once, as it goes"
    (person.home / ".aider.conf.yml").unlink()
    assert_as_before(person, before)
    assert uninstall(person, "--yes").out.startswith("There is nothing of qi-learn")
    assert_as_before(person, before)


def _run_of_a_crash(person: PersonsHome) -> str:
    run = person.paths.runs / "01M8FD1X000000000000000000"
    run.mkdir(parents=True)
    (run / "outcome.json").write_text('{"state": "failed", "reason": "", "version": null}')
    return run.name


def _append_client(person: PersonsHome) -> None:
    url = json.loads(person.paths.gateway_ready.read_text())["url"]
    (person.home / ".aider.conf.yml").write_text(f"ollama-api-base: {url}\n")


def _ask_through_the_gateway(person: PersonsHome) -> None:
    url = json.loads(person.paths.gateway_ready.read_text())["url"]
    body = {"model": "base", "stream": False, "messages": [{"role": "user", "content": "Hi"}]}
    request = urllib.request.Request(f"{url}/api/chat", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def test_it_asks_once_and_no_is_no(person: PersonsHome) -> None:
    person.install(daemon=False)
    before = looks(person)
    said = person.terminal.process("uninstall", given="n\n")
    assert (said.code, said.out.count("[y/N]")) == (1, 1)
    assert "Nothing was taken away." in said.out
    assert person.terminal.process("uninstall").code == 1  # nothing to read an answer from
    assert looks(person) == before
    assert person.terminal.process("uninstall", given="y\n").code == 0


def test_a_server_that_is_down_is_told_with_what_to_type(person: PersonsHome) -> None:
    before = looks(person)
    person.install(daemon=False)
    person.models.broken["/api/tags"] = "down"
    said = uninstall(person, "--yes")
    assert said.code == 0
    assert "`ollama rm qi-agent:latest qi-agent:v1.0.0`" in said.out
    person.models.broken.clear()
    for name in ("qi-agent:latest", "qi-agent:v1.0.0"):
        assert name in person.models.names()
        person.models.manifest(name).unlink()
    assert_as_before(person, before)


def test_what_systemd_does_not_answer_for_goes_all_the_same(person: PersonsHome) -> None:
    before = looks(person)
    person.install(daemon=True)
    (person.root / "no-systemd").touch()
    assert uninstall(person, "--yes").code == 0
    assert_as_before(person, before)


def test_killed_after_any_step_and_run_again(person: PersonsHome) -> None:
    before = looks(person)
    person.install(daemon=False)
    steps = uninstall(person, "--dry-run").out.count("would go")
    assert steps > 12
    for step in range(0, steps, 9):
        if step:
            person.install(daemon=False)
        _kill_after(person, step)
        assert uninstall(person, "--yes").code == 0
        assert_as_before(person, before)


def _kill_after(person: PersonsHome, lines: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "qi_learn", "uninstall", "--yes"],
        stdout=subprocess.PIPE,
        env=person.terminal.environment(),
        text=True,
    )
    assert process.stdout is not None
    while lines >= 0 and (line := process.stdout.readline()):
        lines -= line.startswith("Gone")
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    process.wait(60)


def test_the_data_can_stay(person: PersonsHome) -> None:
    before = looks(person)
    person.install(daemon=True)
    _ask_through_the_gateway(person)
    assert uninstall(person, "--yes", "--keep-data").code == 0
    now = looks(person)
    roots = tuple(
        str(path.relative_to(person.home))
        for path in (person.paths.config, person.paths.data, person.paths.state)
    )
    kept = {k for k in now["person"] if not k.startswith(roots)}
    assert kept == before["person"].keys()
    assert now["runtime"] == before["runtime"]
    assert "qi-agent:v1.0.0" in person.models.names()
    assert person.terminal.process("log").code == 0
    assert uninstall(person, "--yes").code == 0
    assert_as_before(person, before)


def test_what_is_another_homes_stays(person: PersonsHome) -> None:
    person.install(daemon=False)
    before = looks(person)
    other = PersonsHome(person.root, person.models)
    env = person.terminal.environment() | {"QI_LEARN_HOME": str(person.root / "tmp" / "throw")}
    command = [sys.executable, "-m", "qi_learn"]
    env |= {"QI_LEARN__SERVE__BACKEND": "ollama", "QI_LEARN__SERVE__BASE": "base:latest"}
    env |= {"QI_LEARN__SERVE__OLLAMA": other.models.url, "QI_LEARN__SERVE__ALIAS": "qi-throw"}
    subprocess.run([*command, "init", str(person.project)], env=env, check=True)
    mine = person.root / "tmp" / "throw" / "data" / "photos"
    mine.mkdir()
    said = subprocess.run(
        [*command, "uninstall", "--yes"], env=env, check=False, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    assert "has its use of them" in said.stdout
    assert f"{mine} is not of qi-learn" in said.stdout
    assert sorted(p.name for p in mine.parent.parent.rglob("*")) == ["data", "photos"]
    shutil.rmtree(mine.parent.parent)
    assert looks(person) == before
    assert person.models.names() == sorted([*MINE, "qi-agent:latest", "qi-agent:v1.0.0"])


def test_a_name_with_other_weights_is_anothers(person: PersonsHome) -> None:
    person.install(daemon=False)
    raw = json.loads(person.models.manifest("qi-agent:v1.0.0").read_bytes())
    raw["layers"][0]["digest"] = person.models.put(gguf(say="Another."))
    person.models.write_manifest("qi-agent:v1.0.0", json.dumps(raw).encode())
    said = uninstall(person, "--yes")
    assert "qi-agent:v1.0.0 on" in said.out
    assert "has other weights than ours had: it stays" in said.out
    assert person.models.names() == sorted([*MINE, "qi-agent:v1.0.0"])


def test_backups_are_the_persons_own(person: PersonsHome) -> None:
    person.paths.ensure()
    file = person.home / "my.backup"
    file.touch()
    listed = {"backups": [{"file": str(file), "made": 1.0}, {"file": "/gone", "made": 2.0}]}
    (person.paths.data / "backups.json").write_text(json.dumps(listed))
    said = uninstall(person, "--dry-run").out
    assert f"{file} is a backup that you made" in said
    assert "/gone" not in said
    (person.paths.data / "backups.json").write_text("[]")
    assert "look for backups" in uninstall(person, "--dry-run").out


def test_a_backup_is_told_once_wherever_it_lies_and_however_it_was_named(
    person: PersonsHome,
) -> None:
    person.paths.ensure()
    file = person.paths.data / "my.backup"
    file.touch()
    (person.home / "link").symlink_to(person.paths.data)
    named = (
        file,
        person.home / "link" / file.name,
        file.parent / ".." / file.parent.name / file.name,
    )
    listed = {"backups": [{"file": str(each), "made": 1.0} for each in named]}
    (person.paths.data / "backups.json").write_text(json.dumps(listed))
    said = uninstall(person, "--dry-run").out
    assert said.count("my.backup") == 1, said
    assert f"{file} is a backup that you made" in said
    uninstall(person, "--yes")
    assert file.exists()


# --- what is ours --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "ours"),
    [
        (". /a/qi-learn.bash\n", True),
        ("  source '/a b/qi-learn.zsh'   # tests\r\n", True),
        ('[ -f "$HOME/q/qi-learn.bash" ] && . "$HOME/q/qi-learn.bash"\n', True),
        ("test -r ~/qi-learn.fish; and source ~/qi-learn.fish\n", True),
        (". /a/qi-learn.bash; other\n", False),
        (". /a/qi-learn.bash && other\n", False),
        ("other; . /a/qi-learn.bash\n", False),
        ("# . /a/qi-learn.bash\n", False),
        (". /a/my-qi-learn.bash\n", False),
        ("source qi-learn.bash extra\n", False),
        ("echo qi-learn.bash\n", False),
    ],
)
def test_a_line_of_ours(line: str, ours: bool) -> None:
    assert loads_ours(line.encode()) is ours


@pytest.mark.parametrize(
    ("text", "goes"),
    [
        ("if x; then\n  . /a/qi-learn.bash\nfi\n", False),
        ("if x; then\n  y\n  . /a/qi-learn.bash\nfi\n", True),
        ("if x; then\n  # c\n  . /a/qi-learn.bash\n  y\nfi\n", True),
        ("x \\\n. /a/qi-learn.bash\n", False),
    ],
)
def test_what_would_not_parse_without_it_is_told(
    person: PersonsHome, text: str, goes: bool
) -> None:
    (person.home / "dotfiles" / "bashrc").write_text(text)
    said = uninstall(person, "--yes")
    told = "does more than load a hook" in said.out
    assert told is not goes
    after = (person.home / ".bashrc").read_text()
    assert ("qi-learn.bash" in after) is not goes
    checked = subprocess.run(["bash", "-n", person.home / ".bashrc"], check=False)
    assert checked.returncode == 0


def test_every_hook_for_git_that_there_was_is_known() -> None:
    assert len(KNOWN) >= 3
    assert is_our_hook((HOOKS / "post-commit").read_bytes())
    assert not is_our_hook((HOOKS / "post-commit").read_bytes() + b"echo mine\n")
    assert calls_ours(b'. "/x/site-packages/qi_learn/hooks/post-commit" "$@" || true\n')
    assert not calls_ours(b"/x/husky/hooks/post-commit\n")
    assert not calls_ours(b"rm -rf x; /x/qi_learn/hooks/post-commit\n")


def test_every_name_that_paths_gives_is_ours(person: PersonsHome) -> None:
    paths = person.paths
    names = ("deploy.lock", "qi-learn.db-wal", "qi-learn.db.schema-6.backup", "redaction.key")
    assert all(is_ours(paths, paths.data / name) for name in (*names, "models", "runs"))
    assert is_ours(paths, paths.state / ".daemon.json.12.tmp")
    assert not is_ours(paths, paths.data / "photos")
    assert not is_ours(paths, paths.state / "qi-notes.md")
