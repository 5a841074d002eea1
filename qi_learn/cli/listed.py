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

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(EXIT_STOPPED)
