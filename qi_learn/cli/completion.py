"""Completion in the shell: `--install-completion` and `--show-completion`.

The shell asks `qi-learn` itself for what may follow (`_QI_LEARN_COMPLETE`, click's own way).
"""

from __future__ import annotations

from pathlib import Path

import click

from qi_learn.errors import QiError

NAME = "qi-learn"
VARIABLE = "_QI_LEARN_COMPLETE"
SCRIPTS = {
    "bash": (".bash_completions/qi-learn.sh", ".bashrc", "source ~/.bash_completions/qi-learn.sh"),
    "zsh": (".zfunc/qi-learn.zsh", ".zshrc", "source ~/.zfunc/qi-learn.zsh"),
    "fish": (".config/fish/completions/qi-learn.fish", "", ""),
}
"""By shell: the script, the file that loads it and the line with which it does, in the home."""
_COMPINIT = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }"
"""A zsh that has not loaded its completion has no `compdef`; `-i` asks nothing."""


def _show(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(_script(context.command, _shell()))
        context.exit()


def _install(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        shell = _shell()
        script = _put(Path.home(), shell, _script(context.command, shell))
        click.echo(f"{shell} completion installed in {script}")
        click.echo("Completion will take effect once you restart the terminal")
        context.exit()


def _shell() -> str:
    """The shell that this was called from. Raises QiError if it has no completion here."""
    import shellingham

    known = f"There is completion for {', '.join(SCRIPTS)}: call it from one of them."
    try:
        name = str(shellingham.detect_shell()[0])
    except shellingham.ShellDetectionFailure as error:
        raise QiError("It is not known which shell this is.", known) from error
    if name not in SCRIPTS:
        raise QiError(f"There is no completion for {name}.", known)
    return name


def _script(command: click.Command, shell: str) -> str:
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    if complete is None:
        raise QiError(f"There is no completion for {shell}.", "")
    first, script = complete(command, {}, NAME, VARIABLE).source().split("\n", 1)
    # `#compdef` has to stay the first line
    return "\n".join((first, *([_COMPINIT] if shell == "zsh" else []), script))


def _put(home: Path, shell: str, script: str) -> Path:
    """Write the script, and have the shell load it; the script's path."""
    where, loader, line = SCRIPTS[shell]
    path = home / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script, encoding="utf-8")
    if loader:
        start = home / loader
        told = start.read_text(encoding="utf-8") if start.exists() else ""
        if line not in told.splitlines():
            start.write_text(f"{told.rstrip()}\n{line}\n".lstrip(), encoding="utf-8")
    return path


install_completion = click.option(
    "--install-completion",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_install,
    help="Install completion for the current shell.",
)
show_completion = click.option(
    "--show-completion",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show,
    help="Show completion for the current shell, to copy it or customize the installation.",
)
