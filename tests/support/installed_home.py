"""A person's whole home with everything in it that this program puts there, and what it looks like.

Real programs do it: `init`, `daemon install` (with a small `systemctl`), git, the daemon.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from qi_learn.paths import Paths
from tests.support.command_line import Terminal
from tests.support.daemon_process import free_port
from tests.support.fake_models_server import FakeModels, gguf

HOOKS = Path(__file__).parents[2] / "hooks"
BASHRC = b"# mine\nalias ll='ls -l'\r\nexport A=\xff\xfe\n"
FISH = b"if status is-interactive\n    # mine\nend\n"
OWN_HOOK = b'#!/bin/sh\necho committed >>"$HOME/commits"\n'
SYSTEMCTL = r"""#!/bin/sh
units=$HOME/.config/systemd/user
case "$*" in
*enable\ --now*)
    mkdir -p "$units/default.target.wants" "$units/sockets.target.wants"
    ln -sf "$units/qi-learn.service" "$units/default.target.wants/qi-learn.service"
    ln -sf "$units/qi-learn-gateway.socket" \
        "$units/sockets.target.wants/qi-learn-gateway.socket" ;;
esac
[ ! -e "$HOME/../no-systemd" ] || { echo "no bus" >&2; exit 1; }
"""


@dataclass(frozen=True)
class PersonsHome:
    """A person's home directory, and the programs beside it."""

    root: Path
    models: FakeModels

    @property
    def home(self) -> Path:
        return self.root / "person"

    @property
    def terminal(self) -> Terminal:
        """A terminal of this person: no QI_LEARN_HOME, everything in the usual places."""
        return Terminal(self.root, self.env())

    def env(self) -> dict[str, str]:
        """The person's variables; those of the tests' own environment that would say otherwise."""
        return {
            "HOME": str(self.home),
            "QI_LEARN_HOME": "",
            "XDG_CONFIG_HOME": "",
            "XDG_DATA_HOME": "",
            "XDG_STATE_HOME": "",
            "XDG_RUNTIME_DIR": str(self.root / "runtime"),
            "ZDOTDIR": "",
            "OLLAMA_MODELS": str(self.root / "nothing"),
            "TMPDIR": str(self.root / "tmp"),
            "PATH": f"{self.root / 'tools'}:/usr/bin:/bin",
            "GIT_CONFIG_GLOBAL": str(self.home / ".gitconfig"),
        }

    @property
    def paths(self) -> Paths:
        state = self.home / ".local/state/qi-learn"
        config, data = self.home / ".config/qi-learn", self.home / ".local/share/qi-learn"
        return Paths(config, data, state, self.root / "runtime" / "qi-learn")

    @property
    def project(self) -> Path:
        return self.home / "src" / "work"

    @property
    def projects(self) -> tuple[Path, ...]:
        return tuple(self.project.with_name(name) for name in ("work", "other", "third"))

    def git(self, *words: str, directory: Path | None = None) -> None:
        subprocess.run(
            ["git", *words],
            cwd=directory or self.project,
            env=self.terminal.environment(),
            check=True,
            capture_output=True,
        )

    # --- before and after -------------------------------------------------------------------------

    def make(self) -> None:
        """The home as it is before anything of ours is there."""
        for name in ("tools", "tmp", "runtime", "person/src/work"):
            (self.root / name).mkdir(parents=True, mode=0o700)
        for name in (".config/fish", ".local/share", ".local/state"):
            (self.home / name).mkdir(parents=True)
        systemctl = self.root / "tools" / "systemctl"
        systemctl.write_text(SYSTEMCTL)
        systemctl.chmod(0o755)
        (self.home / ".gitconfig").write_text("[user]\nname = A\nemail = a@localhost\n")
        (self.home / "dotfiles").mkdir()
        (self.home / "dotfiles" / "bashrc").write_bytes(BASHRC)
        (self.home / "dotfiles" / "bashrc").chmod(0o640)
        (self.home / ".bashrc").symlink_to("dotfiles/bashrc")
        (self.home / ".zshrc").write_bytes(b"# nothing\n")
        (self.home / ".config/fish/config.fish").write_bytes(FISH)
        for project in self.projects:
            project.mkdir(exist_ok=True)
            self.git("init", "-q", directory=project)
            shutil.rmtree(project / ".git" / "hooks")
            (project / ".git" / "hooks").mkdir()
        own = self.project.with_name("other") / ".git/hooks/post-commit"
        own.write_bytes(OWN_HOOK)
        own.chmod(0o755)
        self.models.write_manifest("mine:latest", b'{"layers": []}')
        self.make_base()

    def make_base(self) -> None:
        """The model that the person uses already."""
        parts = {
            "model": self.models.put(gguf()),
            "template": "{{ .Prompt }}",
            "parameters": {"stop": ["<end>"]},
        }
        assert list(self.models.make("base:latest", parts))

    def settings(self) -> str:
        """The configuration: the base on this Ollama, and a port that is free."""
        return (
            f'[serve]\nbackend = "ollama"\nbase = "base:latest"\nollama = "{self.models.url}"\n'
            f"[gateway]\nport = {free_port()}\n"
        )

    def install(self, *, daemon: bool) -> None:
        """Everything that can be installed, by what installs it."""
        self.paths.ensure()
        self.paths.settings_file.write_text(self.settings())
        for project in self.projects:
            done = self.terminal.process("init", str(project))
            assert done.code == 0, done.err
        if daemon:
            assert self.terminal.process("daemon", "install").code == 0
            done = self.terminal.process("daemon", "start")
            assert done.code == 0, done.err
        self.load_hooks()

    def load_hooks(self) -> None:
        """The hooks, as the documentation says it, and the completion."""
        _append(self.home / ".bashrc", f". {HOOKS}/qi-learn.bash\n")
        _append(
            self.home / ".zshrc",
            f'[[ -r "{HOOKS}/qi-learn.zsh" ]] && source {HOOKS}/qi-learn.zsh\n',
        )
        _append(self.home / ".config/fish/config.fish", f"source {HOOKS}/qi-learn.fish # ours\n")
        shutil.copy(HOOKS / "post-commit", self.project / ".git/hooks/post-commit")
        made = self.project.with_name("third") / ".git/hooks/post-commit"
        made.write_text(f'#!/bin/sh\n"{HOOKS}/post-commit"\n')
        own = self.project.with_name("other") / ".git/hooks/post-commit"
        _append(own, 'sh "/opt/qi_learn/hooks/post-commit" || true\n')
        script = self.home / ".bash_completions" / "qi-learn.sh"
        script.parent.mkdir(exist_ok=True)
        script.write_text("complete qi-learn\n")
        _append(self.home / ".bashrc", "source ~/.bash_completions/qi-learn.sh\n")


def _append(file: Path, text: str) -> None:
    with file.open("ab") as out:
        out.write(text.encode())


def look_of_tree(root: Path) -> dict[str, tuple[str, bytes]]:
    """Every file, link and directory below, with its mode and what it holds."""
    found = {}
    for place, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = Path(place, name)
            mode = stat.filemode(path.lstat().st_mode)
            content = b""
            if path.is_symlink():
                content = os.fsencode(path.readlink())
            elif path.is_file():
                content = path.read_bytes()
            found[str(path.relative_to(root))] = mode, content
    return found
