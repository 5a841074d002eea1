"""Secrets in the person's own files: none is stored, and what stands there is found again."""

from __future__ import annotations

import textwrap

import pytest

from qi_learn.redact import has_placeholder
from qi_learn.store.database import Store
from qi_learn.store.own_redactor import redactor_of
from qi_learn.track.clean_texts import CleanTexts
from qi_learn.workspace.file_history import FileHistory
from tests.support.tracked_code import World

SECRET = "sk-proj-" + "aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY1zA2" * 3
OTHER = "sk-proj-" + "Zz9yX8wV7uT6sR5qP4oN3mL2kJ1iH0gF9eD8" * 3
ASKED = textwrap.dedent('''\
    def client():
        """Talks to the service, with the key of this account."""
        api_key = "YOUR_KEY_HERE"
        return Service(api_key=api_key, retries=3)
    ''')
BEGUN = '"""The service."""\n\nfrom service import Service\n\n\n'
NEAR = f'TOKEN = "{OTHER}"\n\n\n'


def stored(store: Store) -> bytes:
    """All bytes of the database and what lies beside it."""
    return b"".join(path.read_bytes() for path in store.path.parent.glob(f"{store.path.name}*"))


def assert_not_stored(store: Store, *secrets: str) -> None:
    data = stored(store)
    assert [secret for secret in secrets if secret.encode() in data] == []


def filled(secret: str) -> str:
    return ASKED.replace("YOUR_KEY_HERE", secret)


def test_a_key_put_into_the_suggestion_is_not_stored(world: World) -> None:
    """Region, final text, final version and target held it four times in clear."""
    turn = world.ask(ASKED)
    world.save("service.py", BEGUN + NEAR + ASKED)
    assert world.fate(turn).state == "placed"
    world.save("service.py", BEGUN + NEAR + filled(SECRET))
    assert has_placeholder(world.fate(turn).region or "")
    commit = world.commit("Talk to the service")
    kept = world.fate(turn)
    assert (kept.state, kept.commit, kept.file) == ("settled", commit, "service.py")
    assert has_placeholder(kept.final_text or "")
    assert has_placeholder(world.feedback(turn).final_version or "")
    assert world.feedback(turn).accepted
    assert has_placeholder("\n".join(kept.before))
    assert_not_stored(world.store, SECRET, OTHER)


def test_a_secret_of_the_answer_is_found_in_the_file(world: World) -> None:
    """The answer is stored with a placeholder; the file has the key itself."""
    turn = world.ask(filled(SECRET))
    world.save("service.py", BEGUN + filled(SECRET))
    placed = world.fate(turn)
    assert (placed.state, placed.match_confidence, placed.match_method) == ("placed", 1.0, "lines")
    world.save("service.py", BEGUN + "\nimport time\n\n" + filled(SECRET))
    moved = world.fate(turn)
    assert (moved.region, moved.touched_at) == (placed.region, placed.touched_at)
    world.wait(world.settings.settle + 1)
    assert (world.fate(turn).state, world.feedback(turn).modified) == ("settled", False)
    assert_not_stored(world.store, SECRET)


def test_another_secret_in_its_place_is_an_edit(world: World) -> None:
    """Its tag is another one: the region was touched, and is less like what was suggested."""
    turn = world.ask(filled(SECRET))
    world.save("service.py", BEGUN + filled(SECRET))
    placed = world.fate(turn)
    world.save("service.py", BEGUN + filled(OTHER))
    changed = world.fate(turn)
    assert changed.state == "placed"
    assert (changed.touched_at or 0) > (placed.touched_at or 0)
    assert 0.9 < (changed.similarity or 0) < 1.0
    assert_not_stored(world.store, SECRET, OTHER)


def test_a_file_that_was_committed_with_a_secret_is_compared_with_git(world: World) -> None:
    """A text that only git has is redacted as well; what stood there before is not new."""
    world.begin("service.py", BEGUN + NEAR)
    world.histories[world.repo.root / "service.py"] = FileHistory(None, window=7200)
    turn = world.ask(ASKED)
    world.save("service.py", BEGUN + NEAR + ASKED)
    world.commit("Talk to the service")
    assert world.fate(turn).state == "settled"
    assert_not_stored(world.store, OTHER)


def test_a_key_of_many_lines_is_no_reason_to_lose_the_region(world: World) -> None:
    lines = "\n".join("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" + "aB3d" * 8 for _ in range(12))
    pem = f"-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----"
    turn = world.ask(ASKED)
    world.save("service.py", f'{BEGUN}KEY = """{pem}"""\n\n\n{ASKED}')
    placed = world.fate(turn)
    assert (placed.state, placed.match_confidence) == ("placed", 1.0)
    world.save("service.py", f"{BEGUN}\n\n{ASKED}")
    again = world.fate(turn)
    assert (again.region, again.touched_at) == (placed.region, placed.touched_at)
    assert_not_stored(world.store, *lines.split("\n"))


def test_the_bytes_are_looked_at_and_a_stored_secret_is_seen(world: World) -> None:
    turn = world.ask(ASKED)
    world.store.execute("UPDATE suggestions SET region = ? WHERE turn_id = ?", (SECRET, turn))
    with pytest.raises(AssertionError):
        assert_not_stored(world.store, SECRET)
    assert world.fate(turn).region == SECRET


def test_a_text_is_looked_through_once(world: World) -> None:
    texts = CleanTexts(redactor_of(world.store))
    assert texts.of_file(None, "a.py") is None
    assert SECRET not in texts.of(filled(SECRET))
    assert texts.of(filled(SECRET)) is texts.of(filled(SECRET))
    assert texts.of(ASKED) == ASKED


def test_a_file_renamed_by_a_merge_is_compared_without_its_secrets(world: World) -> None:
    """The watcher does not tell what git wrote; the text is read from the commit."""
    world.save("service.py", BEGUN)
    world.commit("Begin")
    turn = world.ask(filled(SECRET))
    world.save("service.py", BEGUN + NEAR + filled(SECRET))
    world.commit("Talk to the service")
    world.repo.git("mv", "service.py", "talk.py")
    world.repo.git("commit", "-q", "-m", "A better name")
    world.head_moved()
    moved = world.fate(turn)
    assert (moved.file, moved.state) == ("talk.py", "settled")
    assert has_placeholder(moved.final_text or "")
    assert has_placeholder("\n".join(moved.before))
    assert world.feedback(turn).accepted
    assert_not_stored(world.store, SECRET, OTHER)
