"""A group that lists its commands in the order in which they were added."""

from __future__ import annotations

from typing import Any

import click

EXIT_STOPPED = 130
"""What a command ends with that Ctrl-C has stopped."""


class Listed(click.Group):
    """A group of commands: a story, not an alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands with the whole first sentence of each, on as many lines as it takes."""
        rows = [
            (name, command.get_short_help_str(limit=1000))
            for name, command in self.commands.items()
            if not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(EXIT_STOPPED)
