"""Putting a restored home into place: prepared aside, then moved in, to be completed after a kill.

The invariant: until the list of moves is written nothing of the home is changed; from then on each
move may be done twice. The daemon completes what was cut off before it opens anything.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from qi_learn import codec
from qi_learn.errors import StoreError
from qi_learn.paths import Paths, replace_file

REPLACED = ("runs", "adapters")
"""Directories whose content is the backup's alone afterwards."""


@dataclass(frozen=True, slots=True)
class Moves:
    """What lies prepared, and where it goes."""

    stage: str
    moves: tuple[tuple[str, str], ...]


def stage_of(paths: Paths) -> Path:
    """Where a restored home is prepared."""
    return paths.data / ".restoring"


def _list_of(paths: Paths) -> Path:
    return paths.data / "restoring.json"


def put_in_place(paths: Paths, stage: Path) -> None:
    """Move what is prepared into the home, in place of what is there."""
    moves = [
        (str(path), str(paths.data / path.name)) for path in sorted((stage / "data").iterdir())
    ]
    if (stage / "config" / "config.toml").exists():
        moves.append((str(stage / "config" / "config.toml"), str(paths.settings_file)))
    replace_file(_list_of(paths), codec.dumps(Moves(str(stage), tuple(moves))) + "\n")
    complete_restore(paths)


def complete_restore(paths: Paths) -> bool:
    """Do the moves that are left of a restore; False if there is none under way.

    Raises StoreError if the list of moves is damaged.
    """
    file = _list_of(paths)
    for left in file.parent.glob(f".{file.name}.*.tmp"):
        left.unlink(missing_ok=True)
    if not file.exists():
        shutil.rmtree(stage_of(paths), ignore_errors=True)
        return False
    try:
        listed = codec.loads(Moves, file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{file} cannot be read: {error}", "Delete it, and restore the backup again."
        ) from error
    for staged, target in listed.moves:
        _move(Path(staged), Path(target), paths)
    file.unlink()
    shutil.rmtree(listed.stage, ignore_errors=True)
    return True


def _move(staged: Path, target: Path, paths: Paths) -> None:
    if not staged.exists():
        return  # it was moved before
    if target == paths.database:
        for suffix in ("-wal", "-shm"):
            target.with_name(target.name + suffix).unlink(missing_ok=True)
    if staged.is_dir():
        if target.name in REPLACED:
            shutil.rmtree(target, ignore_errors=True)
        elif target.is_dir():  # receipts: those of before stay
            for path in staged.iterdir():
                path.replace(target / path.name)
            return
        staged.rename(target)
    elif target.parent == staged.parent or _same_disk(staged, target):
        staged.replace(target)
    else:
        replace_file(target, staged.read_text(encoding="utf-8", errors="surrogateescape"))
        staged.unlink()


def _same_disk(one: Path, two: Path) -> bool:
    two.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return one.stat().st_dev == two.parent.stat().st_dev
