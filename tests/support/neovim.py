"""A real Neovim at a terminal, with the hook loaded, in a registered project."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

from qi_learn.paths import Paths
from qi_learn.records import Event
from qi_learn.spool import read_from, spool_files
from qi_learn.workspace.registry import add_project
from tests.support.left_out import absent

HOOK = Path(__file__).parent.parent.parent / "hooks" / "qi-learn.lua"
PLUGIN = """
local shown = vim.api.nvim_create_namespace("minuet.virtualtext")
function _G.show(...)
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  local lines, below = { ... }, {}
  for n = 2, #lines do
    below[n - 1] = { { lines[n], "Comment" } }
  end
  vim.api.nvim_buf_set_extmark(0, shown, row - 1, col, {
    id = 1,
    virt_text = { { lines[1], "Comment" } },
    virt_text_pos = vim.fn.has("nvim-0.10") == 1 and "inline" or "overlay",
    virt_lines = #below > 0 and below or nil,
  })
end
function _G.take(...)
  local row, col = unpack(vim.api.nvim_win_get_cursor(0))
  local lines = { ... }
  vim.api.nvim_buf_del_extmark(0, shown, 1)
  vim.schedule(function()
    vim.api.nvim_buf_set_text(0, row - 1, col, row - 1, col, lines)
    local last = #lines[#lines] + (#lines == 1 and col or 0)
    vim.api.nvim_win_set_cursor(0, { row - 1 + #lines, last })
  end)
end
vim.keymap.set("i", "<F2>", function() show(unpack(GHOST)) end)
vim.keymap.set("i", "<F3>", function() take(unpack(GHOST)) end)
vim.keymap.set("i", "<F4>", function() take(GHOST[1]) end)
"""
"""Shows GHOST as minuet-ai.nvim's virtual text does (F2), takes all of it (F3), its first line."""
F2, F3, F4, ESCAPE = "\x1bOQ", "\x1bOR", "\x1bOS", "\x1b"


def neovim() -> str:
    """The program, or the test is skipped and says so."""
    found = os.environ.get("QI_LEARN_NVIM") or shutil.which("nvim")
    if found is None:
        absent("nvim", "NOT TESTED: Neovim is not installed here (QI_LEARN_NVIM names one)")
    return found


def never(events: list[Event]) -> bool:
    """Wanted where nothing is to be told: then a while is waited for it."""
    return False


class Editor:
    """Neovim with a file of a project."""

    def __init__(self, root: Path, text: str, ghost: list[str], *, more: str = "") -> None:
        self.project = root / "my work é"
        self.project.mkdir()
        self.paths = Paths.under(root / "home").ensure()
        add_project(self.paths, self.project)
        self.file = self.project / "stats.py"
        self.file.write_text(text)
        script = root / "plugin.lua"
        lines = ", ".join(f"[==[{line}]==]" for line in ghost)
        script.write_text(f"GHOST = {{ {lines} }}\n{PLUGIN}\n{more}")
        env = {
            **{name: value for name, value in os.environ.items() if name != "NVIM"},
            "QI_LEARN_HOME": str(root / "home"),
            "XDG_CONFIG_HOME": str(root / "config"),
            "XDG_DATA_HOME": str(root / "data"),
            "XDG_STATE_HOME": str(root / "state"),
            "TERM": "xterm-256color",
        }
        self.log = root / "messages"
        command = [
            *(neovim(), "-u", "NONE", "-i", "NONE", "-n", "--cmd", "set ttimeoutlen=0"),
            *("-c", f"luafile {HOOK}", "-c", f"luafile {script}", str(self.file)),
        ]
        self._terminal, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=end,
            stdout=end,
            stderr=end,
            env=env,
            cwd=self.project,
            start_new_session=True,
        )
        os.close(end)
        self.screen = b""
        self.draw(1.0)

    def type(self, *keys: str, wait: float = 0.15) -> None:
        """Type each of these, and let the screen be drawn."""
        for key in keys:
            os.write(self._terminal, key.encode())
            self.draw(wait)

    def draw(self, seconds: float) -> None:
        """Read what is drawn, so that Neovim goes on, until nothing comes for so long."""
        while select.select([self._terminal], [], [], seconds)[0]:
            try:
                self.screen += os.read(self._terminal, 65536)
            except OSError:
                return

    def quit(self) -> None:
        """Leave, the file written."""
        self.type(ESCAPE, ":silent! wqa!\r")
        end = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < end:
            self.draw(0.05)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._terminal)

    def messages(self) -> str:
        """What Neovim had to say."""
        self.type(ESCAPE, f":redir! > {self.log} | silent messages | redir END\r")
        end = time.monotonic() + 5
        while not self.log.exists() and time.monotonic() < end:
            self.draw(0.05)
        return self.log.read_text().strip()

    def told(self, wanted: Callable[[list[Event]], bool] = bool) -> list[Event]:
        """The events in the spool, once there is what is wanted, or after a while."""
        end = time.monotonic() + (2 if wanted is never else 10)
        while True:
            events = [
                line.event
                for file in spool_files(self.paths.spool)
                for line in read_from(file, 0)
                if line.event is not None
            ]
            if wanted(events) or time.monotonic() > end:
                return events
            self.draw(0.05)
