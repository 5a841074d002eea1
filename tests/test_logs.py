"""Logs that are made to grow stay small, and lose no line at their turn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from qi_learn import logs

WRITER = """
import logging, os, sys, warnings
from pathlib import Path
from qi_learn import logs
logs.configure(Path(sys.argv[1]), limit=4000)
"""


def run(file: Path, script: str) -> None:
    with file.open("ab") as out:
        subprocess.run(
            [sys.executable, "-c", WRITER + script, str(file)], stdout=out, stderr=out, check=True
        )


def test_a_log_turns_over_and_what_is_printed_past_it_follows(tmp_path: Path) -> None:
    file = tmp_path / "own.log"
    run(
        file,
        "for n in range(300): logging.getLogger('x').info('line %03d %s', n, 'y' * 20)\n"
        "os.write(2, b'printed past the logging\\n')\n",
    )
    sizes = [p.stat().st_size for p in sorted(tmp_path.iterdir())]
    assert (len(sizes), max(sizes) <= 4000) == (3, True)
    text = "".join((tmp_path / f"own.log{n}").read_text() for n in (".2", ".1", ""))
    told = [int(line.split("line ")[1][:3]) for line in text.splitlines() if "line " in line]
    assert told == list(range(told[0], 300))
    assert file.read_text().endswith("printed past the logging\n")


def test_a_log_is_cut_while_it_is_written_to(tmp_path: Path) -> None:
    file = tmp_path / "child.log"
    with file.open("ab", buffering=0) as child:
        child.write(b"a" * 500)
        assert not logs.cut(file, limit=1000)
        for letter in (b"b", b"c", b"d"):
            child.write(letter * 1001)
            assert logs.cut(file, limit=1000)
        child.write(b"goes on")
    assert file.read_bytes() == b"goes on"
    assert (tmp_path / "child.log.1").read_bytes() == b"d" * 1001
    assert (tmp_path / "child.log.2").read_bytes() == b"c" * 1001
    assert not (tmp_path / "child.log.3").exists()
    assert not logs.cut(tmp_path / "none.log")


def test_a_warning_is_logged_once_a_place_and_shortened(tmp_path: Path) -> None:
    file = tmp_path / "own.log"
    run(
        file,
        "for n in range(50): warnings.warn(f'table {n} ' + 'z' * 100_000, RuntimeWarning)\n"
        "warnings.warn('another place', RuntimeWarning)\n",
    )
    lines = file.read_text().splitlines()
    assert [("table 0" in line, "another place" in line) for line in lines] == [
        (True, False),
        (False, True),
    ]
    assert max(map(len, lines)) < 600


def test_no_line_holds_a_secret_however_the_process_ends(tmp_path: Path) -> None:
    """A message, an exception with its causes, a thread that dies, the error that ends it all."""
    file = tmp_path / "own.log"
    secrets = [f"ghp_{letter * 4}{'aB3dE5fG7hJ9kL1mN2pQ4rS6tU8vW0xY'}" for letter in "abcd"]
    script = f"""
import threading
logging.getLogger("x").warning("said %s", {secrets[0]!r})
try:
    raise ValueError("no turn: token=" + {secrets[1]!r})
except ValueError:
    logging.getLogger("x").exception("a line")
def ends():
    raise KeyError({secrets[2]!r})
thread = threading.Thread(target=ends, name="reader")
thread.start()
thread.join()
raise RuntimeError({secrets[3]!r})
"""
    with file.open("ab") as out:
        done = subprocess.run(
            [sys.executable, "-c", WRITER + script, str(file)], stdout=out, stderr=out, check=False
        )
    text = file.read_text()
    assert done.returncode == 1
    assert [secret for secret in secrets if secret in text] == []
    assert text.count("[REDACTED:github-token:") == 4
    for told in ("said", "ValueError: no turn", "the thread reader ended", "RuntimeError"):
        assert told in text
