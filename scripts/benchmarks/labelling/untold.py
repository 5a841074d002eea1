"""Kinds of which nothing can be told, and what is everybody's."""

from __future__ import annotations

from scripts.benchmarks.labelling import styles
from scripts.benchmarks.labelling.dialects import BY_NAME
from scripts.benchmarks.labelling.play import NotPlayed, Play, Truth


def passed_by(play: Play) -> Truth:
    turn = play.ask()
    play.work(2)
    play.pass_time()
    return Truth(turn, "unknown")


def failed(play: Play) -> Truth:
    """The client could not carry it out."""
    turn = play.ask()
    play.say(turn, "failed")
    play.work()
    play.pass_time()
    return Truth(turn, "unknown")


def rated_high_not_pasted(play: Play) -> Truth:
    turn = play.ask()
    play.home.rate(turn, 5)
    play.work()
    play.pass_time()
    return Truth(turn, "unknown", allowed=("kept",))


def repeats(play: Play) -> Truth:
    """It shows what the file has already, and the file is saved with something else."""
    sample = play.sample
    if sample.fresh:
        raise NotPlayed
    turn = play.ask(sample.old, after=sample.before)
    play.repo.save(sample.path, f"{sample.before}\n{styles.reindent(sample.spare, '')}")
    play.pass_time()
    return Truth(turn, "unknown")


def too_late(play: Play) -> Truth:
    """After more than the window of work."""
    turn = play.ask()
    play.work(9, every=280.0)
    play.take(turn)
    play.settle()
    return Truth(turn, "unknown", allowed=("kept",))


def ignored_file(play: Play) -> Truth:
    """Pasted where git, and so the daemon, does not look."""
    code = styles.reindent(play.sample.new, "")
    play.repo.save(".gitignore", "private/\n")
    turn = play.ask(code, after=play.sample.after)
    play.repo.save("private/own.txt", code, seen=False)
    play.work()
    play.pass_time()
    return Truth(turn, "unknown")


def unregistered(play: Play) -> Truth:
    other = play.home.project("private", {"readme.md": "Mine.\n"}, registered=False)
    code = styles.reindent(play.sample.new, "")
    turn = play.ask(code, after=play.sample.after)
    other.save("own.txt", code, seen=False)
    play.work()
    play.pass_time()
    return Truth(turn, "unknown")


_BOILERPLATE = {
    "python": "import os\nimport sys\nfrom pathlib import Path\nfrom typing import Any\n",
    "typescript": "import fs from 'fs';\nimport path from 'path';\nimport os from 'os';\n",
    "javascript": "const fs = require('fs');\nconst path = require('path');\n"
    "const os = require('os');\n",
    "go": 'import (\n\t"fmt"\n\t"os"\n\t"strings"\n\t"errors"\n)\n',
    "rust": "use std::collections::HashMap;\nuse std::fmt::Debug;\nuse std::io::Read;\n",
    "java": "import java.util.List;\nimport java.util.Map;\nimport java.util.ArrayList;\n",
}
_GETTERS = {
    "python": "    def get_name(self):\n        return self.name\n",
    "typescript": "  getName() {\n    return this.name;\n  }\n",
    "javascript": "  getName() {\n    return this.name;\n  }\n",
    "go": "func (p *Part) Name() string {\n\treturn p.name\n}\n",
    "rust": "    pub fn name(&self) -> &str {\n        &self.name\n    }\n",
    "java": "    public String getName() {\n        return name;\n    }\n",
}


def same_imports(play: Play) -> Truth:
    """The answer was of imports, and the person's own file begins with them."""
    return _everybodys(play, _BOILERPLATE[play.sample.language])


def same_getter(play: Play) -> Truth:
    return _everybodys(play, _GETTERS[play.sample.language])


def _everybodys(play: Play, code: str) -> Truth:
    end = play.sample.path.rsplit(".", 1)[-1]
    turn = play.ask(code, after=code, before="", path=f"fresh.{end}", dialect=BY_NAME["block"])
    play.repo.save(f"own.{end}", f"{code}\n\n{play.sample.spare}", after=200.0)
    play.settle()
    play.pass_time()
    return Truth(turn, "unknown")
